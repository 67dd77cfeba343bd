"""The one method of facility classes that books, watched whoever calls it: ``submit_observation``.

Every facility class is a subclass of the host's base class (tom_observations/facility.py 264 of tomtoolkit 3.1.0). Each class that
defines the method gets it back in a wrapper, whether it exists already or is made later, as method, class method or static method.
A call inside one of ours (``transport.watched``) goes straight through: it is recorded by whoever made it. Any other is handed to
``carry_out``, which records it and changes nothing of what the caller gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import requests
from tom_observations.facility import BaseObservationFacility, get_service_classes

from tom_cadence import conf
from tom_cadence.facilities import marks, ocs
from tom_cadence.facilities.adapters import adapter_of
from tom_cadence.facilities.transport import Overdue, deadline, is_watched

METHOD = 'submit_observation'
_WATCHED = '_tom_cadence_watched'


@dataclass(frozen=True, kw_only=True)
class ForeignCall:
    """A call of ``submit_observation`` by code that is not this app's. ``facility`` is the instance, or the class."""

    facility: Any
    payload: Any
    send: Callable[[Any], Any]

    @property
    def name(self) -> str:
        """The facility's."""
        return str(getattr(self.facility, 'name', '') or self.facility)[:50]

    @property
    def is_listed(self) -> bool:
        """Whether the TOM lists a facility of this name."""
        return self.name in get_service_classes()


carry_out: Callable[[ForeignCall], Any] | None = None
"""Set when the app is ready: sends what it is given, records it, and returns or raises what the facility does."""


def watch_facilities() -> None:
    """Watch every facility class that there is, and every one that will be; a second call does nothing."""
    if getattr(BaseObservationFacility, _WATCHED, False):
        return

    def __init_subclass__(cls: type, /, **given: Any) -> None:
        super(BaseObservationFacility, cls).__init_subclass__(**given)
        watch(cls)

    BaseObservationFacility.__init_subclass__ = classmethod(__init_subclass__)
    setattr(BaseObservationFacility, _WATCHED, True)
    waiting = BaseObservationFacility.__subclasses__()
    while waiting:
        found = waiting.pop()
        watch(found)
        waiting += found.__subclasses__()


def watch(facility_class: type) -> None:
    """Wrap the method of this class where the class itself defines it."""
    found: Any = vars(facility_class).get(METHOD)
    kind = type(found) if isinstance(found, (classmethod, staticmethod)) else None
    function = found.__func__ if kind else found
    if not callable(function) or getattr(function, _WATCHED, False) or getattr(function, '__isabstractmethod__', False):
        return
    wrapper = _wrapped(function, facility_class if kind is staticmethod else None)
    setattr(facility_class, METHOD, kind(wrapper) if kind else wrapper)


def _wrapped(function: Callable[..., Any], facility: Any) -> Callable[..., Any]:
    @wraps(function)
    def submit_observation(*args: Any, **kwargs: Any) -> Any:
        if carry_out is None or is_watched():
            return function(*args, **kwargs)
        before = args[:1] if facility is None else ()
        rest = args[len(before) :]
        if len(rest) + len(kwargs) != 1:  # not a call as the host's base class has it: it goes as it is
            call = ForeignCall(facility=facility or before[0], payload=None, send=lambda _: function(*args, **kwargs))
        else:
            [payload] = rest or kwargs.values()
            call = ForeignCall(
                facility=facility or before[0],
                payload=payload,
                send=lambda given: function(*before, *((given,) if rest else ()), **dict.fromkeys(kwargs, given)),
            )
        return carry_out(call)

    setattr(submit_observation, _WATCHED, True)
    return submit_observation


def deliver(call: ForeignCall, payload: Any) -> Any:
    """What the class returns or raises, in time. Where it was cut off, that is its own error, or a time-out of ``requests``."""
    replies: list[Any] = []
    try:
        with deadline(conf.get('FACILITY_TIMEOUT')):
            replies.append(call.send(payload))
    except Overdue as error:
        if not replies:
            raise error.__cause__ or requests.exceptions.ReadTimeout(str(error)) from error
    return replies[0]


def marked(facility: Any, payload: Any, token: str) -> Any:
    """A copy of the payload with the token in it, where the facility can be asked for it; else the payload as it is."""
    if hasattr(facility, 'mark_observation') and hasattr(facility, 'find_observations'):
        return facility.mark_observation(payload, token)
    return marks.mark(payload, token) if ocs.is_ocs(facility) else adapter_of(facility).mark(payload, token)
