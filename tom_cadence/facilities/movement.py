"""Whether what a facility is sent moves with the window: its payload is made for two windows, and compared.

A form that does not ask for a window, or asks for it under names that its class does not tell, makes the same payload for every
night; a cadence would book the first window for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from itertools import islice
from typing import Any

from tom_cadence.core.bounds import utc
from tom_cadence.core.windows import Window, read_instant, show
from tom_cadence.exceptions import BadWindow, CadenceError
from tom_cadence.facilities import forms, ocs
from tom_cadence.facilities.gateway import Gateway

LATER = timedelta(days=3, hours=2, minutes=17)
"""Another date, another hour and another minute, whichever of them a payload holds."""
DEEPEST, MOST_PARTS = 20, 20_000
"""How deep, and how many values of a payload are compared: objects of a plugin may know half of the process."""
_PARTS = re.compile(r"""[^\s<>"'=;,&{}()\[\]]+""")
_INSTANT = re.compile(r'\d{4}-\d\d-\d\d[T ]\d\d:\d\d')


class Verdict(Enum):
    """What the comparison says."""

    MOVES = 'moves'
    STAYS = 'stays'
    UNKNOWN = 'unknown'


@dataclass(frozen=True, kw_only=True)
class Movement:
    """Whether a payload moves with the window, and in a sentence why it cannot be used, or be told."""

    verdict: Verdict
    reason: str = ''


def movement(gateway: Gateway, parameters: Mapping[str, Any], window: Window) -> Movement:
    """Compare what would be sent for ``window`` and for a later one. The facility's own check is not asked, nothing is booked.

    Forms of one kind are compared once a gateway.
    """
    if gateway.adapter.not_automated:
        return Movement(verdict=Verdict.STAYS, reason=gateway.adapter.not_automated)
    if ocs.is_ocs(gateway.facility) and type(gateway.facility).__module__.startswith('tom_observations.'):
        return Movement(verdict=Verdict.MOVES)  # the toolkit's own are tested here, and their forms ask the portal
    key = (forms.observation_type(parameters), frozenset(parameters))
    if key not in gateway.movements:
        gateway.movements[key] = _compare(gateway, parameters, window)
    return gateway.movements[key]


def _compare(gateway: Gateway, parameters: Mapping[str, Any], window: Window) -> Movement:
    name = gateway.name
    later = window.starting(window.start + LATER)
    try:
        sent = (gateway.draft(parameters, each) for each in (window, later, window))
        first, second, again = (set(islice(_parts(payload), MOST_PARTS)) for payload in sent)
    except CadenceError as error:
        reason = f'Whether what {name} is sent moves with the window could not be tried: {error}'
        return Movement(verdict=Verdict.UNKNOWN, reason=reason)
    # What comes back with the first window followed it. A clock's reading, a counter and a random number do not come back.
    if not (first & again) - second:
        start, end = gateway.keywords
        reason = (
            f'What {name} is sent does not move with the window: it would be asked for the first window every night. Its form '
            f'does not take the window from the fields {start} and {end}, which its class names in get_start_end_keywords().'
        )
        return Movement(verdict=Verdict.STAYS, reason=reason)
    for path, text in sorted(first & second & again):
        stuck = next((end for end in (window.start, window.end) if _is(text, end)), None)
        if stuck is not None:
            words = f'What {name} is sent moves only in part with the window: "{path}" stays at {show(stuck)}.'
            return Movement(verdict=Verdict.STAYS, reason=words)
    return Movement(verdict=Verdict.MOVES)


def _parts(value: Any, path: str = '', depth: int = 0, seen: dict[int, Any] | None = None) -> Iterator[tuple[str, str]]:
    """Every value in a payload with its place; a text (XML, JSON, words) in the pieces between its signs.

    ``seen``: what was gone into before, by ``id``, and kept, so that none is given twice: objects may know each other.
    """
    seen = {} if seen is None else seen
    if isinstance(value, (Mapping, list, tuple, set, frozenset)) or hasattr(value, '__dict__'):
        if depth > DEEPEST or id(value) in seen:
            return
        seen[id(value)] = value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _parts(inner, f'{path}.{key}' if path else str(key), depth + 1, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from _parts(inner, path, depth + 1, seen)
    elif isinstance(value, date):
        yield path, value.isoformat()
    elif isinstance(value, (str, bytes)):
        text = value.decode(errors='replace') if isinstance(value, bytes) else value
        yield from ((path, part) for part in _PARTS.findall(_INSTANT.sub(lambda found: found[0].replace(' ', 'T'), text)))
    elif value is None or isinstance(value, (bool, int, float, complex)):
        yield path, repr(value)
    elif hasattr(value, '__dict__'):
        yield from _parts(vars(value), path, depth + 1, seen)
    else:
        yield path, repr(value)


def _is(text: str, instant: Any) -> bool:
    """Whether a piece of a payload is this instant, to the minute."""
    if not _INSTANT.match(text):
        return False
    try:
        return abs(utc(read_instant(text)) - instant) < timedelta(minutes=1)
    except BadWindow:
        return False
