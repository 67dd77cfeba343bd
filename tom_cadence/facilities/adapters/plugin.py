"""What an adapter may say of a facility class, and which one belongs to a class.

A site names one of its own in ``TOM_CADENCE['FACILITY_ADAPTERS']``: ``{'dotted.path.of.Facility': 'dotted.path.of.Adapter'}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar

from django.utils.module_loading import import_string

from tom_cadence import conf
from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.windows import Window
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.facilities.marks import Sought


class Adapter:
    """A facility class as it is. Subclasses say what is otherwise; none of them keeps anything between two calls."""

    facilities: ClassVar[tuple[str, ...]] = ()
    """Dotted paths of the classes; what is derived from them is meant, too."""
    not_automated: ClassVar[str] = ''
    """Why no cadence of this facility can be carried out, in a sentence."""
    answers: ClassVar[bool] = True
    """Whether ``get_observation_status`` tells a state; where not, a person says what became of an observation."""
    terminal: ClassVar[frozenset[str]] = frozenset()
    """The states in which an observation is over, where those of the class are not to be used."""
    failed: ClassVar[frozenset[str]] = frozenset()
    """Those of them that are failures."""
    by_hand: ClassVar[Mapping[str, str]] = {'observed': 'COMPLETED', 'failed': 'FAILED', 'not-observed': 'EXPIRED'}
    """The states that are recorded where a person says what became of an observation; written as the class writes them."""

    def window_fields(self) -> frozenset[str]:
        """Names of the form's fields that say the window, where they are not those of ``get_start_end_keywords``."""
        return frozenset()

    def window(self, window: Window) -> Window:
        """The window as precisely as the facility's form can say it; never earlier."""
        return window

    def fields(self, data: Mapping[str, Any], window: Window) -> dict[str, Any]:
        """What the form's fields are filled in with besides, for an observation in this window."""
        return {}

    def refuses(self, data: Mapping[str, Any]) -> str:
        """Why these parameters must not be sent, or an empty text."""
        return ''

    def exposure(self, parameters: Mapping[str, Any]) -> float | None:
        """Seconds of exposure in all; None where they are read as usual."""
        return None

    def can_look_up(self) -> bool:
        """Whether ``find`` finds what ``mark`` marked."""
        return False

    def mark(self, payload: Any, token: str) -> Any:
        """A copy of the payload with the token in it, or the payload."""
        return payload

    def find(self, facility: Any, what: Sought) -> list[str]:
        """Ids of what the facility has of a request."""
        raise NotImplementedError

    def submit(self, facility: Any, payload: Any) -> Any:
        """Send it, once, and return what the class returns. An ``errors.Declined`` raised here proves that nothing is booked."""
        return facility.submit_observation(payload)


@cache
def shipped() -> dict[str, Adapter]:
    """The adapters of this package by the classes they are for. A new file here is all it takes."""
    found: dict[str, Adapter] = {}
    for module in iter_modules([str(Path(__file__).parent)]):
        for each in vars(import_module(f'{__package__}.{module.name}')).values():
            if isinstance(each, type) and issubclass(each, Adapter):
                found.update(dict.fromkeys(each.facilities, each()))
    return found


def adapter_of(facility: Any) -> Adapter:
    """The adapter of a facility's class, or of the nearest class that it is derived from; the site's own come first.

    NeedsAttention where the site's own cannot be made.
    """
    own: Mapping[str, Any] = conf.get('FACILITY_ADAPTERS')
    for each in type(facility).__mro__:
        path = f'{each.__module__}.{each.__qualname__}'
        if path in own:
            try:
                made = import_string(own[path])
                return made() if isinstance(made, type) else made
            except Exception as error:  # the site's own code
                text = f"The adapter {own[path]!r} of TOM_CADENCE['FACILITY_ADAPTERS'] fails: {bounded_text(error)}"
                raise NeedsAttention(text) from error
        if path in shipped():
            return shipped()[path]
    return PLAIN


PLAIN = Adapter()
