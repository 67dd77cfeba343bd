"""What the simulated surveys saw: sources in microjansky, and when each survey exposed, all from a seed.

Every number depends on (seed, position, exposure) only, never on the range or the order of the questions: asking again
with other dates brings the same exposures. ``revision`` is a re-reduction: the same exposures, slightly other fluxes.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Colour of the sources: flux in a band over the flux in r.
BANDS = {'c': 0.95, 'o': 1.05, 'g': 0.85, 'H': 0.7, 'w': 1.0, 'r': 1.0, 'i': 1.1, 'z': 1.15, 'y': 1.2}
NEAR = 1e-4  # degrees: positions this near to each other are the same source
FIELD = 0.1  # degrees: positions this near to each other are on the same exposures


def key_of(*parts: object) -> int:
    """A 64-bit number that depends on the parts only."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), 'big')


def uniform(key: int, counter: Any, salt: int) -> Floats:
    """Numbers in [0, 1) from a key and counters (splitmix64): as fast as an array, in any order the same."""
    with np.errstate(over='ignore'):
        state = np.atleast_1d(np.asarray(counter)).astype(np.int64).astype(np.uint64)
        state = (state + np.uint64((key + salt * 0xD1B54A32D192ED03) % 2**64)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    result: Floats = (state >> np.uint64(11)).astype(np.float64) / 2.0**53
    return result


def normal(key: int, counter: Any, salt: int) -> Floats:
    """Gaussian numbers, likewise."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(key, counter, salt)))
    result: Floats = radius * np.cos(2.0 * np.pi * uniform(key, counter, salt + 7919))
    return result


@dataclass
class Source:
    """A supernova with its peak at an MJD, or a constant source; ``host`` is what reduced images show besides."""

    kind: str = 'supernova'
    peak: float = 61200.0
    flux: float = 900.0
    rise: float = 12.0
    fall: float = 40.0
    host: float = 300.0

    def __post_init__(self) -> None:
        """Refuse a kind that is not known."""
        if self.kind not in ('supernova', 'constant', 'nothing'):
            raise ValueError(f'unknown source {self.kind!r}; known: supernova, constant, nothing')

    def at(self, mjd: Floats, band: str) -> Floats:
        """The true flux in microjansky at MJDs in a band."""
        level = self.flux * BANDS[band]
        if self.kind == 'constant':
            return np.full_like(mjd, level)
        if self.kind == 'nothing':
            return np.zeros_like(mjd)
        days = mjd - self.peak
        before = np.clip(1.0 + days / (1.7 * self.rise), 0.0, None) ** 2
        return np.asarray(level * np.where(days < 0, before, np.exp(-np.clip(days, 0.0, None) / self.fall)))


class Sky:
    """The sources and the files that positions have. Safe to use from many threads."""

    def __init__(self, seed: int = 0) -> None:
        """Start with a supernova at every position, from the seed."""
        self.seed = seed
        self._lock = threading.Lock()
        self._sources: list[tuple[float, float, Source]] = []
        self._files: list[tuple[float, float, Path]] = []

    def clear(self) -> None:
        """Forget what was set."""
        with self._lock:
            self._sources.clear()
            self._files.clear()

    def set_source(self, ra: float, dec: float, **what: Any) -> None:
        """Put a source at a position (fields of ``Source``)."""
        with self._lock:
            self._sources.insert(0, (ra, dec, Source(**what)))

    def set_file(self, ra: float, dec: float, path: str | Path) -> None:
        """Serve a given result file for a position, as it is, whatever dates are asked."""
        if not Path(path).is_file():
            raise ValueError(f'no file {path}')
        with self._lock:
            self._files.insert(0, (ra, dec, Path(path)))

    def file(self, ra: float, dec: float) -> bytes | None:
        """The given file of a position, if any."""
        with self._lock:
            found = next((path for one, two, path in self._files if near(one, two, ra, dec)), None)
        return found.read_bytes() if found else None

    def source(self, ra: float, dec: float) -> Source:
        """The source at a position: the one that was set, or a supernova of its own."""
        with self._lock:
            found = next((what for one, two, what in self._sources if near(one, two, ra, dec)), None)
        if found:
            return found
        chances = uniform(self.key('source', ra, dec), np.arange(4), 1)
        return Source('supernova', 60900 + 440 * chances[0], 300 + 2000 * chances[1], 10 + 8 * chances[2], 30 + 40 * chances[3])

    def key(self, what: str, ra: float, dec: float, grain: float = NEAR) -> int:
        """The key of all chances at a position."""
        return key_of(self.seed, what, round(ra / grain), round(dec / grain))


def near(one: float, two: float, ra: float, dec: float, within: float = NEAR) -> bool:
    """Whether two positions are the same within some degrees."""
    across = (one - ra + 180.0) % 360.0 - 180.0
    return abs(across) * np.cos(np.radians(dec)) <= within and abs(two - dec) <= within


@dataclass
class Cadence:
    """How a survey exposes: nights of ``first`` to ``last`` that are clear, some exposures in each."""

    name: str
    first: float
    last: float
    clear: float
    visits: int
    gap: float
    evening: tuple[float, float]
    season: bool = False

    def slots(self, sky: Sky, ra: float, dec: float, begin: float, end: float) -> tuple[Ints, Floats, Ints]:
        """Numbers, MJDs and nights of the exposures of a position from ``begin`` to ``end``, in the order of time."""
        key = sky.key(self.name, ra, dec, FIELD)
        first, last = (int(np.floor(each)) for each in (max(begin, self.first) - 1, min(end, self.last) + 1))
        nights = np.arange(first, max(first, last + 1), dtype=np.int64)
        nights = nights[uniform(key, nights, 1) < self.clear]
        if self.season:  # the Sun is too near in right ascension
            sun = 280.46 + 0.9856 * (nights - 51544.5)
            nights = nights[np.abs((ra - sun + 180) % 360 - 180) > 45]
        number = (nights[:, None] * self.visits + np.arange(self.visits)).ravel()
        night = np.repeat(nights, self.visits)
        opening = self.evening[0] + (self.evening[1] - self.evening[0]) * uniform(key, night, 2)
        mjd = np.round(night + opening + self.gap * (number % self.visits + 0.4 * uniform(key, number, 3)), 6)
        kept = (mjd >= max(begin, self.first)) & (mjd <= min(end, self.last)) & (uniform(key, number, 4) < 0.93)
        order = np.argsort(mjd[kept], kind='stable')
        return number[kept][order], mjd[kept][order], night[kept][order]


ATLAS = Cadence('atlas', 57230, 1e5, clear=0.45, visits=4, gap=0.011, evening=(0.25, 0.6))
ZTF = Cadence('ztf', 58194, 1e5, clear=0.4, visits=3, gap=0.04, evening=(0.15, 0.5))
PS1 = Cadence('ps1', 55000, 56900, clear=0.035, visits=2, gap=0.012, evening=(0.25, 0.6))
