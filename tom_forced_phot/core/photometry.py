"""What a service measured, as columns: fluxes in microjansky, AB magnitudes, mid-exposure times in UTC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import asin, atan2, cos, degrees, hypot, radians, sin, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import (
    DETECTION,
    POGSON,
    ZERO_POINT,
    Floats,
    is_detection,
    limit_of,
    magnitude_error_of,
    magnitude_of,
    microjansky_of,
)

__all__ = [
    'DETECTION',
    'POGSON',
    'ROW_FIELDS',
    'ZERO_POINT',
    'Floats',
    'Measurements',
    'Rejections',
    'Texts',
    'is_detection',
    'limit_of',
    'magnitude_error_of',
    'magnitude_of',
    'microjansky_of',
]


Texts = NDArray[Any]
#: What is measured here, and what it is converted with, in one import for readers and recipes.


@dataclass(frozen=True)
class Rejections:
    """Rows of a file that are no points: how many for which reason, and the first few line numbers of each."""

    counts: Mapping[str, int] = field(default_factory=dict)
    lines: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(self.counts.values())

    def __add__(self, other: Rejections) -> Rejections:
        counts = Counter(self.counts)
        counts.update(other.counts)
        names = list(dict.fromkeys([*self.lines, *other.lines]))
        lines = {name: (*self.lines.get(name, ()), *other.lines.get(name, ()))[:SHOWN] for name in names}
        return Rejections(dict(counts), lines)

    @classmethod
    def of(cls, reason: str, lines: Any) -> Rejections:
        """All of ``lines`` (their numbers in the file, from 1) for one reason."""
        numbers = [int(number) for number in lines]
        return cls({reason: len(numbers)}, {reason: tuple(numbers[:SHOWN])}) if numbers else cls()

    def sentence(self) -> str:
        """For example ``3 rows: no flux (procstatus 56,57), lines 61, 62, 63``; empty where there are none."""
        parts = [
            f'{number} {"row" if number == 1 else "rows"}: {reason}, line{"s" * (number > 1)} '
            + ', '.join(map(str, self.lines.get(reason, ())))
            + (' ...' if number > len(self.lines.get(reason, ())) else '')
            for reason, number in self.counts.items()
        ]
        return '; '.join(parts)


SHOWN = 5


@dataclass(frozen=True)
class Measurements:
    """Points as columns of equal length n, in the order of the file, with what was left out.

    ``mjd``: mid-exposure, UTC, days. ``flux``, ``flux_error``: microjansky, nan where the service gives none.
    ``magnitude``, ``magnitude_error``, ``limit``: AB; nan where not given (a point has a magnitude or a limit, or neither where
    the exposure has no photometric solution). ``exposure``: what tells two measurements of one light curve apart, unique in a
    table. ``exposure_time``: seconds. ``columns``: the file's own columns of these rows, by their names in the file, untouched.
    ``constants``: what holds for each row and goes into each point's ``value``. ``rows``: data rows of the file. ``position``: for
    which one the file says that it was measured (degrees, ICRS). ``lines``: the line of each row in the file.
    """

    mjd: Floats
    band: Texts
    flux: Floats
    flux_error: Floats
    magnitude: Floats
    magnitude_error: Floats
    limit: Floats
    exposure: Texts
    exposure_time: Floats
    telescope: str
    instrument: Texts
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    rejected: Rejections = field(default_factory=Rejections)
    rows: int = 0
    position: tuple[float, float] | None = None
    lines: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """ValueError where columns differ in length."""
        lengths = {name: len(getattr(self, name)) for name in ROW_FIELDS}
        lengths.update({name: len(column) for name, column in self.columns.items()})
        if len(set(lengths.values())) > 1:
            raise ValueError(f'Columns of different length: {lengths}')

    def __len__(self) -> int:
        return len(self.mjd)

    def only(self, keep: NDArray[Any]) -> Measurements:
        """The rows that ``keep`` (a mask, or indices) chooses; nothing is counted as rejected for it."""
        chosen = {name: getattr(self, name)[keep] for name in ROW_FIELDS}
        lines = None if self.lines is None else self.lines[keep]
        return replace(self, **chosen, lines=lines, columns={name: column[keep] for name, column in self.columns.items()})

    def rejecting(self, bad: NDArray[np.bool_], reason: str, lines: NDArray[Any]) -> tuple[Measurements, NDArray[Any]]:
        """Without the rows that ``bad`` marks, counted under ``reason``; ``lines`` are the rows' numbers in the file."""
        if not bad.any():
            return self, lines
        kept = replace(self.only(~bad), rejected=self.rejected + Rejections.of(reason, lines[bad]))
        return kept, lines[~bad]


ROW_FIELDS = (
    'mjd', 'band', 'flux', 'flux_error', 'magnitude', 'magnitude_error', 'limit', 'exposure', 'exposure_time', 'instrument',
)  # fmt: skip


def rows_by_group(number: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """The rows of each group, by the ``number`` of each row, in order of the numbers; linear in the rows, however many groups."""
    order = np.argsort(number, kind='stable')
    ends = np.flatnonzero(np.diff(number[order])) + 1
    yield from (rows for rows in np.split(order, ends) if len(rows))


def separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """The great-circle distance between two positions (degrees) in arcsec; the haversine form is exact for small angles."""
    one, two = radians(dec), radians(other_dec)
    across = sin(radians(other_ra - ra) / 2) ** 2
    square = sin((two - one) / 2) ** 2 + cos(one) * cos(two) * across
    return 3600 * degrees(2 * asin(sqrt(min(1.0, square))))


def moved(ra: float, dec: float, pm_ra: float, pm_dec: float, years: float) -> tuple[float, float]:
    """A position (degrees) after so many years of proper motion (mas/yr, in right ascension with the cosine of declination).

    Along the tangent at the beginning: within a thousandth of the way for less than two degrees. No parallax, no radial motion.
    """
    east, north = (radians(each * years / 3.6e6) for each in (pm_ra, pm_dec))
    along, up = radians(ra), radians(dec)
    x = cos(up) * cos(along) - east * sin(along) - north * sin(up) * cos(along)
    y = cos(up) * sin(along) + east * cos(along) - north * sin(up) * sin(along)
    z = sin(up) + north * cos(up)
    return degrees(atan2(y, x)) % 360, degrees(atan2(z, hypot(x, y)))
