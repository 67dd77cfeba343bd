"""Asking for less after failures: declared steps, laid over the facility's own form fields one after the other.

A step is written ``after 2: airmass 2.0, moon distance 20``. Steps that are due add up, the later one winning. What is relaxed is
counted from the oldest observation of the cadence, so that nothing stays relaxed after a success and nothing is relaxed twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from tom_cadence.core.decisions import Decision, Submit
from tom_cadence.core.history import History
from tom_cadence.core.windows import Window
from tom_cadence.exceptions import NeedsAttention

AIRMASS, MOON, WINDOW, EXPOSURE = 'airmass', 'moon distance', 'window', 'exposure'
FIELDS = {
    AIRMASS: re.compile(r'(c_\d+_)?max_airmass\Z'),
    MOON: re.compile(r'(c_\d+_)?min_lunar_distance\Z'),
    EXPOSURE: re.compile(r'(c_\d+_ic_\d+_)?exposure_time\Z'),
}
"""How the forms of the toolkit's facilities call them (tom_observations/facilities/ocs.py and lco.py of tomtoolkit 3.1.0)."""
MOST_STEPS = 50
UNITS = {AIRMASS: '', MOON: '°', WINDOW: ' h', EXPOSURE: ' s'}
BOUNDS = {AIRMASS: (1.0, 20.0), MOON: (0.0, 180.0), WINDOW: (0.05, 24.0 * 365), EXPOSURE: (0.01, 86400.0)}
EXAMPLE = 'after 2: airmass 2.0, moon distance 20; after 4: window 12 h, exposure 50 %'

_STEP = re.compile(r'after\s+(?P<failures>\d{1,5})(?:\s+failures?)?\s*:\s*(?P<items>.+)\Z', re.IGNORECASE | re.DOTALL)
_ITEM = re.compile(
    r'(?P<what>airmass|moon(?:\s+distance)?|window|exposure(?:\s+time)?)\s*(?:to\s+)?(?P<value>\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*'
    r'(?P<unit>%|°|deg|degrees|h|hours?|s|seconds?)?\Z',
    re.IGNORECASE,
)
_RIGHT_UNITS = {
    AIRMASS: ('',),
    MOON: ('', '°', 'deg', 'degrees'),
    WINDOW: ('h', 'hour', 'hours'),
    EXPOSURE: ('s', 'second', 'seconds'),
}


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """After so many failures or refusals in a row, this instead: a number, or (``percent``) a part of what was first asked for.

    Degrees for the distance from the Moon, hours for the window, seconds for the exposure.
    """

    failures: int
    what: str
    value: float
    percent: bool = False

    def in_words(self) -> str:
        """For example ``airmass 2``."""
        return f'{self.what} {self.value:g}{" %" if self.percent else UNITS[self.what]}'


def read_relaxations(text: Any) -> tuple[Relaxation, ...]:
    """The declared steps, fewest failures first; NeedsAttention names the one that cannot be read, and shows how to write it."""
    lines = [line.strip() for line in re.split(r'[;\n]', str(text)) if line.strip()]
    if len(lines) > MOST_STEPS:
        raise NeedsAttention(f'relaxations: {len(lines)} steps; at most {MOST_STEPS} are possible.')
    found = [relaxation for number, line in enumerate(lines, 1) for relaxation in _read_step(number, line)]
    return tuple(sorted(found, key=lambda relaxation: relaxation.failures))


def _read_step(number: int, line: str) -> Iterator[Relaxation]:
    step = _STEP.match(line)
    if step is None or int(step['failures']) < 1:
        raise NeedsAttention(f'relaxations: step {number}, {line!r}, cannot be read. Write it like: {EXAMPLE}')
    for item in step['items'].split(','):
        yield _read_item(number, item.strip(), int(step['failures']))


def _read_item(number: int, item: str, failures: int) -> Relaxation:
    found = _ITEM.match(item)
    if found is None:
        raise NeedsAttention(f'relaxations: {item!r} in step {number} cannot be read. Write it like: {EXAMPLE}')
    word, unit = found['what'].lower(), (found['unit'] or '').lower()
    what = next(name for name in UNITS if name.startswith(word.split()[0]))
    percent, value = unit == '%', float(found['value'])
    if percent and what in (AIRMASS, MOON):
        raise NeedsAttention(f'relaxations: {item!r} in step {number}: only a window and an exposure can be a part of what it was.')
    if not percent and unit not in _RIGHT_UNITS[what]:
        raise NeedsAttention(f'relaxations: {item!r} in step {number} needs its unit{UNITS[what] or ": none"}.')
    least, most = (1.0, 1000.0) if percent else BOUNDS[what]
    if not least <= value <= most:
        raise NeedsAttention(f'relaxations: {item!r} in step {number}: a number from {least:g} to {most:g} is expected.')
    return Relaxation(failures=failures, what=what, value=value, percent=percent)


def relax(
    decision: Decision, relaxations: tuple[Relaxation, ...], history: History, instead: Mapping[str, Any] | None = None
) -> Decision:
    """The decision with what its failures so far have made it ask for less strictly; its reason says what.

    What no step asks for any more, because an observation succeeded since, is asked for as at first; ``instead`` are the fields
    that a person changed since then.
    """
    if not relaxations or not isinstance(decision, Submit) or not history.attempts:
        return decision
    like = next(attempt for attempt in history.attempts if attempt.record == decision.like)
    first = history.attempts[0]
    due = {step.what: step for step in relaxations if step.failures <= history.consecutive_failures}
    changes, said = dict(decision.changes), []
    for what in dict.fromkeys(step.what for step in relaxations if step.what != WINDOW):
        fields = _fields(what, {**first.parameters, **(instead or {}), **decision.changes}, due.get(what))
        changes.update({name: value for name, value in fields.items() if changes.get(name, like.parameters.get(name)) != value})
        if what in due:
            said.append(due[what].in_words() if fields else f'{what}: not asked for by this observation, so left alone')
    window = decision.window
    kept_length = like.window is not None and like.window.length == window.length  # another one was chosen by the strategy itself
    if any(step.what == WINDOW for step in relaxations) and like.window is not None and kept_length:
        window = window.starting_for(_length(first.window or like.window, due.get(WINDOW)))
        said += [due[WINDOW].in_words()] if WINDOW in due else []
    failures = history.consecutive_failures
    words = f' Relaxed after {failures} failure{"s" * (failures > 1)} in a row: {"; ".join(said)}.' if said else ''
    return replace(decision, window=window, changes=changes, reason=f'{decision.reason}{words}')


def _fields(what: str, base: Mapping[str, Any], step: Relaxation | None) -> dict[str, Any]:
    """The form's fields for this and what they shall hold: as at first where nothing is relaxed."""
    names = [name for name in base if FIELDS[what].match(name)]
    if what == EXPOSURE:
        return dict(exposures(base, None if step is None else step))
    filled = [name for name in names if what == MOON or base[name] not in (None, '')]
    return {name: base[name] if step is None else step.value for name in filled}


def exposures(parameters: Mapping[str, Any], step: Relaxation | float | None) -> Iterator[tuple[str, Any]]:
    """Every exposure time of these parameters, made so many seconds long, or a part of what it is; None leaves it as it is.

    Reads what ``facilities.exposure`` reads: the exposure fields of forms, and the lists [time, count, block] of LCO's
    photometric sequences. Fields that are not filled in stay so.
    """
    for name, value in parameters.items():
        if FIELDS[EXPOSURE].match(name) and _is_number(value):
            yield name, _exposure(float(value), value, step)
        elif isinstance(value, (list, tuple)) and len(value) == 3 and _is_number(value[0]) and _is_number(value[1]):
            yield name, [_exposure(float(value[0]), value[0], step), *value[1:]]


def _exposure(seconds: float, as_it_is: Any, step: Relaxation | float | None) -> Any:
    if step is None:
        return as_it_is
    if isinstance(step, Relaxation):
        return round(seconds * step.value / 100, 3) if step.percent else step.value
    return float(step)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and float(value) > 0
    except (TypeError, ValueError):
        return False


def _length(at_first: Window, step: Relaxation | None) -> timedelta:
    if step is None:
        return at_first.length
    return at_first.length * (step.value / 100) if step.percent else timedelta(hours=step.value)


def known(relaxations: Iterable[Relaxation]) -> str:
    """The steps as a person would write them."""
    by_failures: dict[int, list[str]] = {}
    for step in relaxations:
        by_failures.setdefault(step.failures, []).append(step.in_words())
    return '; '.join(f'after {failures}: {", ".join(items)}' for failures, items in by_failures.items())
