"""The other ways to tell when a point was taken: days since a date, the phase of a period, Julian dates, the barycentre."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache

import erfa  # type: ignore[import-untyped]
import numpy as np
from astropy.timeseries import LombScargle
from scipy.interpolate import CubicSpline

from tom_followup.units import JD_OF_MJD_0, SECONDS_A_DAY, Floats

#: Seconds that light takes for an astronomical unit (IAU 2012: 149,597,870,700 m).
LIGHT_TIME = 149_597_870_700 / 299_792_458
#: A search never costs more than this: so many points, of a longer light curve evenly chosen ones, and so many frequencies.
MOST_POINTS, MOST_FREQUENCIES = 5000, 400_000
#: Frequencies over the width of a peak.
OVERSAMPLING = 5
#: Frequencies between the neighbours of the highest, where the peak is looked for then.
FINER = 401
LEAST_POINTS = 10
SHORTEST, LONGEST = 0.01, 1000.0  # days
#: Days from one value of the Earth's place to the next, and of a block of them, which is computed once a process.
KNOT, BLOCK = 2, 128
#: Fewer points than this in a block are computed one by one, so that points all over the centuries cost what they are.
WORTH_A_BLOCK = 16
#: Values beyond both ends of a block, so that a cubic is as true there as within.
MARGIN = 4


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What the time is counted from, MJD, and in which period (days), None where it is not folded."""

    zero: float
    period: float | None = None

    def of(self, mjd: Floats) -> Floats:
        """Days since the date, or the phase from 0 to below 1."""
        days = mjd - self.zero
        if self.period is None:
            return days
        phase = np.mod(days / self.period, 1.0)
        return np.where(phase < 1.0, phase, 0.0)


@dataclass(frozen=True, kw_only=True)
class Search:
    """Where to look for a period: days."""

    shortest: float = SHORTEST
    longest: float = LONGEST


@dataclass(frozen=True, kw_only=True)
class Found:
    """The period of the highest peak (days), how often chance makes one as high, and of how many points it was found."""

    period: float
    false_alarm: float
    points: int
    shortest: float

    def words(self, series: str) -> str:
        """For people."""
        return (
            f'Period {self.period:.8g} d: the highest peak of a Lomb-Scargle periodogram of {self.points:,} points of {series}, '
            f'from {self.shortest:.4g} d on; chance makes one as high with a probability of {self.false_alarm:.2g}.'
        )


def find_period(mjd: Floats, flux: Floats, error: Floats, search: Search) -> Found | None:
    """The period of one series by astropy's LombScargle; None where there are too few points, or no interval that holds one.

    The grid is as fine as the whole span of time asks for, OVERSAMPLING to a peak; where that would be more than
    MOST_FREQUENCIES, the shortest period is raised, and said.
    """
    good = np.flatnonzero(np.isfinite(mjd) & np.isfinite(flux) & (error > 0))
    if len(good) > MOST_POINTS:
        good = good[np.linspace(0, len(good) - 1, MOST_POINTS).astype(np.int64)]
    if len(np.unique(mjd[good])) < LEAST_POINTS or np.ptp(flux[good]) <= 0:
        return None
    step = 1 / (OVERSAMPLING * float(np.ptp(mjd[good])))
    lowest, highest = 1 / search.longest, min(1 / search.shortest, 1 / search.longest + step * MOST_FREQUENCIES)
    number = int((highest - lowest) / step) + 1
    if number < 2:
        return None
    frequency = lowest + step * np.arange(number)
    with np.errstate(all='ignore'):
        # relative to their size, because squares of absurd numbers overflow
        size = float(np.max(np.abs(flux[good])))
        made = LombScargle(mjd[good] - mjd[good][0], flux[good] / size, error[good] / size)
        power = made.power(frequency, assume_regular_frequency=True)
        if not np.isfinite(power).any():
            return None
        near = frequency[int(np.nanargmax(power))] + step * np.linspace(-1, 1, FINER)
        near = near[near > 0]
        heights = np.nan_to_num(made.power(near, method='slow'), nan=0.0)
        peak = int(np.argmax(heights))
        height = float(np.clip(heights[peak], 0.0, 1.0))
        limits = {'minimum_frequency': lowest, 'maximum_frequency': frequency[-1]}
        chance = float(made.false_alarm_probability(height, method='baluev', **limits))
    if not np.isfinite(chance):
        return None
    return Found(period=1 / float(near[peak]), false_alarm=chance, points=len(good), shortest=1 / float(frequency[-1]))


def jd(mjd: Floats) -> Floats:
    """Julian date, UTC, of an MJD."""
    return mjd + JD_OF_MJD_0


def bjd_tdb(mjd: Floats, ra: float, dec: float) -> Floats:
    """The Julian date at which the light reaches the barycentre of the solar system, TDB, of an MJD in UTC at the Earth's centre.

    By ERFA's own series for the Earth (good to some km) and its leap seconds, so that nothing is fetched; an observatory is up to
    21 ms nearer or farther than the Earth's centre. Eastman, Siverd & Gaudi 2010, PASP 122, 935. RA and Dec: degrees, ICRS.
    """
    first = np.full(len(mjd), JD_OF_MJD_0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', erfa.ErfaWarning)  # of years after the last known leap second
        whole, part = erfa.taitt(*erfa.utctai(first, mjd))
    days = (whole - JD_OF_MJD_0) + part
    numbers, which, counts = np.unique(np.floor(days / BLOCK), return_inverse=True, return_counts=True)
    earth = np.empty((len(days), 4))
    few = counts[which] < WORTH_A_BLOCK
    earth[few] = _earth(days[few])
    order, ends = np.argsort(which, kind='stable'), np.cumsum(counts)
    for block in np.flatnonzero(counts >= WORTH_A_BLOCK).tolist():
        here = order[ends[block] - counts[block] : ends[block]]
        earth[here] = _block(int(numbers[block]))(days[here])
    alpha, delta = np.radians(ra), np.radians(dec)
    towards = np.array([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)])
    ahead = (earth[:, :3] @ towards * LIGHT_TIME + earth[:, 3]) / SECONDS_A_DAY
    return np.asarray(whole + (part + ahead), dtype=np.float64)


@lru_cache(maxsize=256)
def _block(number: int) -> CubicSpline:
    """The Earth in one block of days, whichever target it is for.

    A cubic through a value every other day is true to 6 microseconds (tested), a Julian date in a float64 to 40: the
    fastest of it is the month of the Moon, 15 ms. The series themselves take 40 microseconds of processor time a point.
    """
    knots = np.arange(number * BLOCK - MARGIN * KNOT, (number + 1) * BLOCK + MARGIN * KNOT + 1, KNOT, dtype=np.float64)
    return CubicSpline(knots, _earth(knots))


def _earth(tt: Floats) -> Floats:
    """Of each MJD in TT: where the Earth is from the barycentre (three columns, au), and TDB - TT (seconds)."""
    first = np.full(len(tt), JD_OF_MJD_0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', erfa.ErfaWarning)  # of years beyond 1900 to 2100
        _, earth = erfa.epv00(first, tt)
        scale = erfa.dtdb(first, tt, 0.0, 0.0, 0.0, 0.0)
    return np.column_stack([earth['p'], scale])
