"""Several exposures of a night as one point, per band.

:func:`plain` is the stack of plot_atlas_fp (D. Young), :func:`weighted` the average of ATClean (Rest et al., srest2021/atclean).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import DETECTION, Floats
from tom_forced_phot.cleaning.cuts import judge
from tom_forced_phot.core.photometry import Measurements, Rejections, Texts, rows_by_group

SIGMAS = 3.0
STACK_ITERATIONS = 10
#: ATClean's flags and bounds of a bin (config.ini, averaging).
FEW, BAD_DAY = 0x2000, 0x800000
X2_MAX, CLIPPED_MAX, USED_MIN, ENOUGH = 4.0, 1, 2, 3


@dataclass(frozen=True)
class Nights:
    """Points sorted into bins: which bin each belongs to, and of each bin its band and its number, floor(MJD / days)."""

    points: Measurements
    bin: NDArray[np.intp]
    band: Texts
    night: NDArray[np.int64]
    without_flux: int

    def __len__(self) -> int:
        return len(self.night)

    def sum(self, values: NDArray[Any]) -> Floats:
        """The sum over each bin."""
        return np.bincount(self.bin, weights=values.astype(np.float64), minlength=len(self)).astype(np.float64)

    def median(self, values: Floats) -> Floats:
        """The median of each bin."""
        ordered = values[np.lexsort((values, self.bin))]
        number = np.bincount(self.bin, minlength=len(self))
        first = np.cumsum(number) - number
        low, high = ordered[first + (number - 1) // 2], ordered[first + number // 2]
        return low + (high - low) / 2


def plain(measured: Measurements, *, days: float = 1.0, threshold: float = DETECTION) -> Measurements:
    """The plain mean of time and flux in each band and bin of floor(MJD / days), error sqrt(sum of error^2) / n; n in ``columns``.

    ``mjd`` is the mid-exposure time. Points without a flux are left out and counted. ValueError where ``days`` is not positive.
    """
    nights = sort(measured, days)
    points = nights.points
    number = nights.sum(np.ones(len(points)))
    used = np.ones(len(points), dtype=np.bool_)
    error = np.sqrt(nights.sum(points.flux_error**2)) / number
    mean, mjd = mean_of(nights, points.flux, number), mean_of(nights, points.mjd, number)
    return stacked(nights, mjd, mean, error, used, threshold, f'plain mean in bins of {days:g} d')


def mean_of(nights: Nights, values: Floats, number: Floats) -> Floats:
    """The plain mean of each bin, taken from its median so that nothing is lost of large values close to each other."""
    middle = nights.median(values)
    return middle + nights.sum(values - middle[nights.bin]) / number


def weighted(
    measured: Measurements,
    *,
    days: float = 1.0,
    sigmas: float = SIGMAS,
    iterations: int = STACK_ITERATIONS,
    threshold: float = DETECTION,
) -> Measurements:
    """The inverse-variance weighted mean of each band and bin, without points further from it than ``sigmas`` of their own errors.

    The first clipping is about the median, the next about the mean of what was left, until nothing changes or one point is left.
    ``columns`` has ``n`` used, ``clipped``, ``x2`` (reduced chi squared) and ATClean's ``flags`` of few points and of a bad day.
    Bins where nothing is left are counted as rejected. Unlike in ATClean, points of one and the same flux keep their error.
    ValueError where ``days`` is not positive.
    """
    nights = sort(measured, days)
    used, centre = agreeing(nights, sigmas, iterations)
    share = used / nights.points.flux_error**2
    with np.errstate(divide='ignore'):
        error = 1 / np.sqrt(nights.sum(share))
    mjd = weighted_mean(nights, nights.points.mjd, share)
    found = stacked(nights, mjd, centre, error, used, threshold, f'weighted mean in bins of {days:g} d, {sigmas:g} sigma clip')
    empty = found.columns['n'] == 0
    lost = Rejections({'the measurements of a bin do not agree': int(empty.sum())} if empty.any() else {})
    return replace(found.only(~empty), rejected=found.rejected + lost)


def agreeing(nights: Nights, sigmas: float, iterations: int) -> tuple[NDArray[np.bool_], Floats]:
    """Which points the clipping leaves, and the weighted mean of each bin."""
    points = nights.points
    weight = 1 / points.flux_error**2
    used = np.ones(len(points), dtype=np.bool_)
    centre = nights.median(points.flux)
    done = nights.sum(used) <= 1
    for _ in range(1, iterations):
        near = np.abs(points.flux - centre[nights.bin]) <= sigmas * points.flux_error
        now = np.where(done[nights.bin], used, near)
        done = done | (nights.sum(now != used) == 0) | (nights.sum(now) <= 1)
        used, centre = now, weighted_mean(nights, points.flux, weight * now)
        if done.all():
            break
    return used, centre


def weighted_mean(nights: Nights, values: Floats, weight: Floats) -> Floats:
    """The weighted mean of each bin, taken from its median; nan where all weights are 0."""
    middle = nights.median(values)
    with np.errstate(divide='ignore', invalid='ignore'):
        return middle + nights.sum(weight * (values - middle[nights.bin])) / nights.sum(weight)


def sort(measured: Measurements, days: float) -> Nights:
    """The points with a flux in their bins, in an order that does not depend on the one they came in."""
    if not days > 0:
        raise ValueError(f'A bin has to be longer than nothing, and is {days} days.')
    whole = np.isfinite(measured.flux) & (measured.flux_error > 0) & np.isfinite(measured.mjd)
    points = measured.only(whole)
    points = points.only(np.lexsort((points.exposure, points.flux_error, points.flux, points.mjd, points.band)))
    bands, code = np.unique(points.band, return_inverse=True)
    night = np.floor(points.mjd / days).astype(np.int64)
    pairs, which = np.unique(np.column_stack([night, code]), axis=0, return_inverse=True)
    return Nights(points, which.reshape(-1), bands[pairs[:, 1]], pairs[:, 0], int(np.count_nonzero(~whole)))


def stacked(
    nights: Nights, mjd: Floats, flux: Floats, error: Floats, used: NDArray[np.bool_], threshold: float, how: str
) -> Measurements:
    """One point per bin: a magnitude where the mean is a detection, else the limit at as many sigmas."""
    points = nights.points
    number, clipped = nights.sum(used).astype(np.int64), nights.sum(~used).astype(np.int64)
    x2 = nights.sum(used * ((points.flux - flux[nights.bin]) / points.flux_error) ** 2) / np.where(number > 1, number - 1, np.nan)
    few = number + clipped < ENOUGH
    bad = (number < USED_MIN) | (clipped > CLIPPED_MAX) | (x2 > X2_MAX)
    flags = np.where(number == 0, BAD_DAY, np.where(few, FEW, np.where(bad, BAD_DAY, 0)))
    names = [f'stack {band} {night}' for band, night in zip(nights.band.tolist(), nights.night.tolist(), strict=True)]
    unknown = np.full(len(nights), np.nan)
    found = Measurements(
        mjd=mjd,
        band=nights.band,
        flux=flux,
        flux_error=error,
        magnitude=unknown,
        magnitude_error=unknown,
        limit=unknown,
        exposure=np.array(names, dtype=np.str_),
        exposure_time=nights.sum(np.where(used, points.exposure_time, 0.0)),
        telescope=points.telescope,
        instrument=np.full(len(nights), '', dtype=np.str_),
        columns={'n': number, 'clipped': clipped, 'x2': x2, 'flags': flags},
        constants={**points.constants, 'stack': how},
        rejected=Rejections({'the point has no flux': nights.without_flux} if nights.without_flux else {}),
        rows=len(points) + nights.without_flux,
    )
    return judge(found, threshold, threshold)


WINDOW = 11
CLIP_ITERATIONS = 7
#: Fewer points than this are never clipped.
LEAST = 5
#: The standard deviation of a normal distribution over its median absolute deviation, 1 / Phi^-1(3/4).
NORMAL_MAD = 1.482602218505602


def clip(
    measured: Measurements, *, window: int = WINDOW, sigmas: float = SIGMAS, iterations: int = CLIP_ITERATIONS
) -> NDArray[np.bool_]:
    """The points to leave out: for each band, in order of time, those that :func:`rolling_clip` marks; shape (n,)."""
    clipped = np.zeros(len(measured), dtype=np.bool_)
    _, number = np.unique(measured.band, return_inverse=True)
    for rows in rows_by_group(number.reshape(-1)):
        ordered = rows[np.lexsort((measured.flux[rows], measured.mjd[rows]))]
        clipped[ordered] = rolling_clip(measured.flux[ordered], window=window, sigmas=sigmas, iterations=iterations)
    return clipped


def rolling_clip(
    flux: Floats, *, window: int = WINDOW, sigmas: float = SIGMAS, iterations: int = CLIP_ITERATIONS
) -> NDArray[np.bool_]:
    """Which of the fluxes, in order of time, lie further than ``sigmas`` from the median of the window around them.

    The first and the last half of a window are judged in the windows at the ends; fewer points than a window are judged all
    together, fewer than five not at all; what is no number is always marked. ValueError where the window is not odd. Of exactly
    one window of points, plot_atlas_fp loses the last five; here they are judged.
    """
    if window < LEAST or window % 2 == 0:
        raise ValueError(f'The window has to be an odd number of points from {LEAST}, and is {window}.')
    if len(flux) < LEAST:
        return ~np.isfinite(flux)
    if len(flux) <= window:
        return outliers(flux[np.newaxis], sigmas, iterations)[0]
    middle = window // 2
    marked = outliers(np.lib.stride_tricks.sliding_window_view(flux, window), sigmas, iterations)
    return np.concatenate([marked[0, :middle], marked[:, middle], marked[-1, middle + 1 :]])


def outliers(rows: Floats, sigmas: float, iterations: int) -> NDArray[np.bool_]:
    """Sigma clipping of each row about its median until nothing more is clipped; shape (rows, points) as given.

    The same as ``astropy.stats.sigma_clip`` with cenfunc='median', stdfunc=mad_std, for all rows at once: also in that a value
    clipped on the way is not marked in the end if it lies within the last bounds.
    """
    without = ~np.isfinite(rows)
    outside = without
    for _ in range(iterations):
        centre = median(rows, without)[:, np.newaxis]
        spread = NORMAL_MAD * median(np.abs(rows - centre), without)[:, np.newaxis]
        outside = ~((rows >= centre - sigmas * spread) & (rows <= centre + sigmas * spread))
        if (outside <= without).all():
            break
        without = without | outside
    return outside


def median(rows: Floats, without: NDArray[np.bool_]) -> Floats:
    """The median of each row over the unmarked values; nan where all are marked."""
    ordered = np.sort(np.where(without, np.inf, rows), axis=1)
    number = rows.shape[1] - np.count_nonzero(without, axis=1)
    which = np.arange(len(rows))
    low = ordered[which, np.maximum(number - 1, 0) // 2]
    high = ordered[which, np.maximum(number, 1) // 2]
    with np.errstate(invalid='ignore'):
        return np.where(number > 0, (low + high) / 2, np.nan)
