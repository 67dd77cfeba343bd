"""The parameters of a cadence, cleaned: whatever the form, the REST API or an older TOM stored becomes one value object."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from tom_cadence.exceptions import BadWindow, NeedsAttention
from tom_cadence.windows import read_instant

COUNT_FROM = ('requested', 'observed')
ON_CANCEL = ('default', 'ignore', 'resubmit')


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How a cadence goes on, and when it ends.

    ``cadence_frequency`` and ``retry_backoff`` are hours; ``max_exposure_time`` seconds in all; ``end_date`` aware UTC.
    ``count_from``: the next window counts from the requested start or from the real observation.
    ``on_cancel``: what a cancelled observation means for this cadence; 'default' follows TOM_CADENCE['RESUBMIT_CANCELLED'].
    """

    cadence_frequency: float | None = None
    end_date: datetime | None = None
    max_observations: int | None = None
    max_exposure_time: float | None = None
    max_consecutive_failures: int = 5
    count_from: Literal['requested', 'observed'] = 'requested'
    retry_backoff: float = 0.0
    on_cancel: Literal['default', 'ignore', 'resubmit'] = 'default'

    @property
    def frequency(self) -> float:
        """The cadence frequency in hours; NeedsAttention where it is missing."""
        if self.cadence_frequency is None:
            raise NeedsAttention('This cadence has no cadence_frequency (hours between observations): set it.')
        return self.cadence_frequency


OWN_FIELDS = tuple(field.name for field in fields(Parameters))


def clean(raw: Any) -> Parameters:
    """The stored parameters as values; NeedsAttention names the first one that cannot be used and what is expected."""
    if not isinstance(raw, Mapping):
        raise NeedsAttention(f'The cadence parameters are {raw!r}; a JSON object with cadence_frequency is expected.')
    given = {name: raw.get(name) for name in OWN_FIELDS}
    known = {name: value for name, value in given.items() if value not in (None, '')}
    return Parameters(**{name: _CLEAN[name](name, value) for name, value in known.items()})


def _number(name: str, value: Any, least: float, strictly: bool) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < least or (strictly and number == least):
        raise NeedsAttention(f'{name} is {value!r}; a number {"above" if strictly else "of at least"} {least:g} is expected.')
    return number


def _positive(name: str, value: Any) -> float:
    number = _number(name, value, 0, strictly=True)
    if name == 'cadence_frequency' and number > 24 * 3660:
        raise NeedsAttention(f'{name} is {value!r} hours; that is more than ten years.')
    return number


def _not_negative(name: str, value: Any) -> float:
    return _number(name, value, 0, strictly=False)


def _whole(name: str, value: Any) -> int:
    number = _number(name, value, 1, strictly=False)
    if number != int(number):
        raise NeedsAttention(f'{name} is {value!r}; a whole number is expected.')
    return int(number)


def _instant(name: str, value: Any) -> datetime:
    try:
        return read_instant(value)
    except BadWindow as error:
        raise NeedsAttention(f'{name} is {value!r}; a date and time (UTC) is expected.') from error


def _choice(name: str, value: Any) -> str:
    allowed = COUNT_FROM if name == 'count_from' else ON_CANCEL
    if value not in allowed:
        raise NeedsAttention(f'{name} is {value!r}; one of {", ".join(allowed)} is expected.')
    return str(value)


_CLEAN: dict[str, Any] = {
    'cadence_frequency': _positive,
    'end_date': _instant,
    'max_observations': _whole,
    'max_exposure_time': _positive,
    'max_consecutive_failures': _whole,
    'count_from': _choice,
    'retry_backoff': _not_negative,
    'on_cancel': _choice,
}
