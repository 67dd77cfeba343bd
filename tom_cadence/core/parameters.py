"""The parameters of a cadence, cleaned: whatever the form, the REST API or an older TOM stored becomes one value object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from tom_cadence.core.bounds import LONGEST_HOURS, MOST_PARAMETERS, OutOfBounds, finite, short_repr, stored_text
from tom_cadence.core.relaxation import Relaxation, read_relaxations
from tom_cadence.core.visibility import DARKNESS, Constraints
from tom_cadence.core.windows import read_instant
from tom_cadence.exceptions import BadWindow, NeedsAttention

DEFAULT_NIGHTS, DEFAULT_ERRORS = 30, 10
"""With 40 % of nights lost in spells, these end fewer than 2 % of cadences in 60 nights."""
MOST_COUNT, MOST_SECONDS = 1_000_000, 3600 * LONGEST_HOURS
COUNT_FROM = ('requested', 'observed')
ON_CANCEL = ('default', 'ignore', 'resubmit', 'skip')


def hours_in_words(number: float) -> str:
    """A number of hours as people say it: ``30 min``, ``24 h``, ``3 days``."""
    if number < 1:
        return f'{number * 60:g} min'
    if number >= 48 and number % 24 == 0:
        return f'{number / 24:g} days'
    return f'{number:g} h'


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How a cadence goes on, and when it ends.

    ``cadence_frequency`` and ``retry_backoff`` are hours; ``max_exposure_time`` seconds in all; ``end_date`` aware UTC.
    ``max_consecutive_failures`` counts every failed or refused observation since the last success,
    ``max_nights_without_success`` nights with a failure; ``max_errors``, which nobody chooses, errors and refusals only.
    ``count_from``: the next window counts from the requested start or from the real observation.
    ``on_cancel``: what a cancelled observation means for this cadence; 'default' follows TOM_CADENCE['RESUBMIT_CANCELLED'].
    ``sky_min_altitude`` and ``sky_moon_distance`` are degrees; ``sky_darkness`` the twilight that must be over. These and
    ``sky_max_airmass`` say when the target can be observed; without any of them every window is taken as it is.
    ``relaxations``: what is asked for less strictly after failures.
    """

    cadence_frequency: float | None = None
    end_date: datetime | None = None
    max_observations: int | None = None
    max_exposure_time: float | None = None
    max_consecutive_failures: int | None = None
    max_nights_without_success: int | None = None
    max_errors: int | None = None
    count_from: Literal['requested', 'observed'] = 'requested'
    retry_backoff: float = 0.0
    on_cancel: Literal['default', 'ignore', 'resubmit', 'skip'] = 'default'
    sky_min_altitude: float | None = None
    sky_max_airmass: float | None = None
    sky_darkness: Literal['any', 'civil', 'nautical', 'astronomical'] = 'any'
    sky_moon_distance: float | None = None
    relaxations: tuple[Relaxation, ...] = ()

    @property
    def constraints(self) -> Constraints | None:
        """When the target can be observed, or None where nothing is asked."""
        asked = Constraints(
            min_altitude=self.sky_min_altitude,
            max_airmass=self.sky_max_airmass,
            darkness=self.sky_darkness,
            min_moon_distance=self.sky_moon_distance,
        )
        return None if asked == Constraints() else asked

    @property
    def frequency(self) -> float:
        """The cadence frequency in hours; NeedsAttention where it is missing."""
        if self.cadence_frequency is None:
            raise NeedsAttention('This cadence has no cadence_frequency (hours between observations): set it.')
        return self.cadence_frequency


FIELDS = tuple(field.name for field in fields(Parameters) if field.name != 'max_errors')
FAILURE_LIMITS = ('max_consecutive_failures', 'max_nights_without_success')
SKY_FIELDS = ('sky_min_altitude', 'sky_max_airmass', 'sky_darkness', 'sky_moon_distance', 'relaxations')
OWN_FIELDS = tuple(name for name in FIELDS if name not in SKY_FIELDS)


def clean(raw: Any) -> Parameters:
    """The stored parameters as values; NeedsAttention names the first one that cannot be used and what is expected."""
    if not isinstance(raw, Mapping) or len(raw) > MOST_PARAMETERS:
        raise NeedsAttention(f'The cadence parameters are {short_repr(raw)}; a JSON object with cadence_frequency is expected.')
    known = {name: raw[name] for name in FIELDS if raw.get(name) is not None and not (isinstance(raw[name], str) and not raw[name])}
    found = Parameters(**{name: _CLEAN[name](name, value) for name, value in known.items()})
    if not any(name in raw for name in FAILURE_LIMITS):  # a cadence of the toolkit, whose form never offered any
        return found
    nights = DEFAULT_NIGHTS if found.max_nights_without_success is None else found.max_nights_without_success
    errors = DEFAULT_ERRORS if found.max_consecutive_failures is None else None
    return replace(found, max_nights_without_success=nights, max_errors=errors)


def number(name: str, value: Any, *, above: float | None = None, least: float | None = None, most: float = math.inf) -> float:
    """A finite number within bounds; NeedsAttention names the parameter and says what is expected."""
    try:
        found = finite(value)
    except OutOfBounds:
        found = math.nan
    low = (above is not None and found <= above) or (least is not None and found < least)
    if not math.isfinite(found) or low or found > most:
        bound = f'above {above:g}' if above is not None else f'of at least {least:g}' if least is not None else 'that is finite'
        top = f' and of at most {most:g}' if math.isfinite(most) else ''
        raise NeedsAttention(f'{name} is {short_repr(value)}; a number {bound}{top} is expected.')
    return found


def whole(name: str, value: Any, least: int = 1, most: int = MOST_COUNT) -> int:
    """A whole number from ``least`` to ``most``; NeedsAttention otherwise."""
    found = number(name, value, least=least, most=most)
    if found != int(found):
        raise NeedsAttention(f'{name} is {short_repr(value)}; a whole number is expected.')
    return int(found)


def date_time(name: str, value: Any) -> datetime:
    """An aware UTC instant; NeedsAttention otherwise."""
    try:
        return read_instant(value)
    except BadWindow as error:
        raise NeedsAttention(f'{name} is {short_repr(value)}; a date and time (UTC) is expected. {error}') from error


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """One of the words that are allowed; NeedsAttention otherwise."""
    if not isinstance(value, str) or value not in allowed:
        raise NeedsAttention(f'{name} is {short_repr(value)}; one of {", ".join(allowed)} is expected.')
    return str(value)


def names(value: Any) -> tuple[str, ...]:
    """Words that a person wrote with commas or spaces between them, each once; a list is taken as it is."""
    parts = value if isinstance(value, (list, tuple)) else written('names', value).replace(',', ' ').split()
    found = tuple(dict.fromkeys(str(part).strip() for part in parts[:MOST_PARAMETERS] if str(part).strip()))
    if len(found) > 50 or any(len(name) > 50 for name in found):
        raise NeedsAttention(f'{short_repr(value)} is too long; at most 50 names of at most 50 letters are expected.')
    return found


def written(name: str, value: Any, most: int = 5000) -> str:
    """What a person wrote, an empty text for nothing; NeedsAttention where it is too long for that, or no text."""
    try:
        return stored_text(str('' if value is None else value).replace('\r', '\n').replace('\t', ' '), most)
    except OutOfBounds as error:
        raise NeedsAttention(f'{name} is {short_repr(value)}; {error}.') from error


def _positive(name: str, value: Any) -> float:
    found = number(name, value, above=0)
    if name == 'cadence_frequency' and found > LONGEST_HOURS:
        raise NeedsAttention(f'{name} is {short_repr(value)} hours; that is more than ten years.')
    if found > MOST_SECONDS:
        raise NeedsAttention(f'{name} is {short_repr(value)} s; that is more than ten years.')
    return found


_CLEAN: dict[str, Any] = {
    'cadence_frequency': _positive,
    'end_date': date_time,
    'max_observations': whole,
    'max_exposure_time': _positive,
    'max_consecutive_failures': whole,
    'max_nights_without_success': whole,
    'count_from': partial(choice, allowed=COUNT_FROM),
    'retry_backoff': partial(number, least=0, most=LONGEST_HOURS),
    'on_cancel': partial(choice, allowed=ON_CANCEL),
    'sky_min_altitude': partial(number, least=0, most=89),
    'sky_max_airmass': partial(number, above=1, most=20),
    'sky_darkness': partial(choice, allowed=tuple(DARKNESS)),
    'sky_moon_distance': partial(number, least=0, most=180),
    'relaxations': lambda name, value: read_relaxations(written(name, value)),
}
