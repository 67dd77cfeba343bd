"""Measured brightness of a target as columns, from whatever source: what strategies that look at the data are given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import EPOCH, POGSON
from tom_followup.units import instant_of as instant
from tom_followup.units import mjd_of as mjd

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
Mask = NDArray[np.bool_]
__all__ = ['EMPTY', 'EPOCH', 'POGSON', 'Floats', 'Mask', 'Photometry', 'Texts', 'instant', 'mjd']


def _no_numbers() -> Floats:
    return np.empty(0, dtype=np.float64)


def _no_texts() -> Texts:
    return np.empty(0, dtype=np.str_)


@dataclass(frozen=True, kw_only=True, eq=False)
class Photometry:
    """Points as columns of equal length, oldest first.

    ``time``: MJD, UTC, days (float64; 0.1 ms). ``band``: as the source names it (``r``, ``o``, ``ZTF_g``).
    ``magnitude``, ``error``: of a detection, nan where there is none. ``limit``: magnitude of an upper limit, nan where there is
    none. ``flux``: microjansky, nan where the source gives none. ``source``: who measured it, for people.
    Build it with ``Photometry.of``, which sorts; the constructor takes columns as they are.
    """

    time: Floats = field(default_factory=_no_numbers)
    band: Texts = field(default_factory=_no_texts)
    magnitude: Floats = field(default_factory=_no_numbers)
    error: Floats = field(default_factory=_no_numbers)
    limit: Floats = field(default_factory=_no_numbers)
    flux: Floats = field(default_factory=_no_numbers)
    source: Texts = field(default_factory=_no_texts)

    def __post_init__(self) -> None:
        """ValueError where columns differ in length."""
        lengths = {each.name: len(getattr(self, each.name)) for each in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f'Columns of different length: {lengths}')

    @classmethod
    def of(
        cls,
        time: Sequence[float] | Floats,
        band: str | Sequence[str],
        magnitude: Sequence[float | None] | Floats | None = None,
        error: Sequence[float | None] | Floats | float | None = None,
        limit: Sequence[float | None] | Floats | None = None,
        flux: Sequence[float | None] | Floats | None = None,
        source: str | Sequence[str] = '',
    ) -> Photometry:
        """Columns in any order; None is nan, a single value stands for all. Rows without a finite time are left out."""
        days = np.asarray(time, dtype=np.float64).reshape(-1)
        numbers = [_numbers(column, len(days)) for column in (magnitude, error, limit, flux)]
        texts = [_texts(column, len(days)) for column in (band, source)]
        order = np.argsort(days, kind='stable')
        order = order[np.isfinite(days[order])]
        (bands, sources), (magnitudes, errors, limits, fluxes) = [c[order] for c in texts], [c[order] for c in numbers]
        return cls(
            time=days[order], band=bands, magnitude=magnitudes, error=errors, limit=limits, flux=fluxes, source=sources
        )  # fmt: skip

    def __len__(self) -> int:
        """How many points."""
        return len(self.time)

    def __eq__(self, other: object) -> bool:
        """Whether all columns are the same; nan equals nan."""
        if not isinstance(other, Photometry):
            return NotImplemented
        if self is other:
            return True
        return len(self) == len(other) and all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # type: ignore[assignment]

    def only(self, keep: Mask | NDArray[np.intp] | slice) -> Photometry:
        """The points that a mask, indices or a slice chooses."""
        return Photometry(**{each.name: getattr(self, each.name)[keep] for each in fields(self)})

    def until(self, now: datetime) -> Photometry:
        """The points that were measured by ``now``."""
        return self.only(slice(0, int(np.searchsorted(self.time, mjd(now), side='right'))))

    def since(self, earliest: datetime) -> Photometry:
        """The points not older than ``earliest``."""
        return self.only(slice(int(np.searchsorted(self.time, mjd(earliest), side='left')), None))

    def in_bands(self, bands: Iterable[str]) -> Photometry:
        """The points in these bands, spelt as the source spells them; all where none is named."""
        wanted = list(bands)
        return self.only(np.isin(self.band, wanted)) if wanted else self

    def detections(self, signal_to_noise: float = 0.0) -> Photometry:
        """The points with a magnitude, at least so many times its error; one without an error passes only where 0 is asked."""
        keep = np.isfinite(self.magnitude)
        if signal_to_noise > 0:
            with np.errstate(invalid='ignore', divide='ignore'):
                keep &= (self.error > 0) & (POGSON / self.error >= signal_to_noise)
        return self.only(keep)


def _numbers(column: Any, length: int) -> Floats:
    if column is None or isinstance(column, (int, float)):
        return np.full(length, np.nan if column is None else column, dtype=np.float64)
    return np.asarray(column, dtype=np.float64).reshape(-1)  # numpy makes nan of None


def _texts(column: Any, length: int) -> Texts:
    return np.full(length, column) if isinstance(column, str) else np.asarray(column, dtype=np.str_).reshape(-1)


def _same(ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    return bool(np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == 'f'))


EMPTY = Photometry()
