"""Clipping of single outliers by a rolling median, as plot_atlas_fp does for ATLAS light curves.

D. Young, plot_atlas_fp.py with fundamentals.stats.rolling_window_sigma_clip: windows of 11 points, median and 1.4826 MAD, up to 7
iterations. A transient that rises faster than its window of points is clipped as well: the result is a mask to look at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tom_forced_phot.photometry import Floats, Measurements

WINDOW = 11
SIGMAS = 3.0
ITERATIONS = 7
#: Fewer points than this are never clipped.
LEAST = 5
#: The standard deviation of a normal distribution over its median absolute deviation, 1 / Phi^-1(3/4).
NORMAL_MAD = 1.482602218505602


def clip(
    measured: Measurements, *, window: int = WINDOW, sigmas: float = SIGMAS, iterations: int = ITERATIONS
) -> NDArray[np.bool_]:
    """The points to leave out: for each band, in order of time, those that :func:`rolling_clip` marks; shape (n,)."""
    clipped = np.zeros(len(measured), dtype=np.bool_)
    for band in np.unique(measured.band):
        rows = np.flatnonzero(measured.band == band)
        ordered = rows[np.lexsort((measured.flux[rows], measured.mjd[rows]))]
        clipped[ordered] = rolling_clip(measured.flux[ordered], window=window, sigmas=sigmas, iterations=iterations)
    return clipped


def rolling_clip(flux: Floats, *, window: int = WINDOW, sigmas: float = SIGMAS, iterations: int = ITERATIONS) -> NDArray[np.bool_]:
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
