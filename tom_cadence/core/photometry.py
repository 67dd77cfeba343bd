"""Measured brightness of a target as columns, from whatever source: what strategies that look at the data are given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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


COLUMNS = ('time', 'band', 'magnitude', 'error', 'limit', 'flux', 'source')
BRIGHTEST, FAINTEST = -27.0, 32.0
"""Magnitudes between the Sun's (-26.8 in V: Willmer 2018, ApJS 236, 47) and the deepest limits of JWST (about 31 AB)."""


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
    ``left_out``, no column, is a sentence that names the points which are not here, because no telescope measures what they say.
    Build it with ``Photometry.of``, which sorts; the constructor takes columns as they are.
    """

    time: Floats = field(default_factory=_no_numbers)
    band: Texts = field(default_factory=_no_texts)
    magnitude: Floats = field(default_factory=_no_numbers)
    error: Floats = field(default_factory=_no_numbers)
    limit: Floats = field(default_factory=_no_numbers)
    flux: Floats = field(default_factory=_no_numbers)
    source: Texts = field(default_factory=_no_texts)
    left_out: str = ''

    def __post_init__(self) -> None:
        """ValueError where columns differ in length."""
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
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
        texts: list[Texts] = [
            np.full(len(days), column) if isinstance(column, str) else np.asarray(column, dtype=np.str_).reshape(-1)
            for column in (band, source)
        ]
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
        pairs = [(getattr(self, name), getattr(other, name)) for name in COLUMNS]
        return all(np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == 'f') for ours, theirs in pairs)

    __hash__ = None  # type: ignore[assignment]

    def only(self, keep: Mask | NDArray[np.intp] | slice) -> Photometry:
        """The points that a mask, indices or a slice chooses."""
        return Photometry(**{name: getattr(self, name)[keep] for name in COLUMNS}, left_out=self.left_out)

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


def measurable(magnitude: Floats) -> Mask:
    """Which magnitudes a telescope can have measured: 99.99 in the place of one is none."""
    with np.errstate(invalid='ignore'):
        return np.asarray((magnitude > BRIGHTEST) & (magnitude < FAINTEST))


EMPTY = Photometry()
