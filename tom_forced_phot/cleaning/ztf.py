"""What the guide of the ZTF forced photometry service asks to be done with its light curves (Masci et al. 2023, arXiv:2305.16279).

Cuts, then a baseline for each field, CCD, quadrant, filter and reference image, then the scale of the errors, then magnitudes and
limits; for variables that are in the reference image, the flux of the reference is added. All on points of all queries together:
two weeks have no baseline. Fluxes here are microjansky; the baseline is taken in DN, as the guide does, by each row's zpdiff.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import Floats, microjansky_of
from tom_forced_phot.cleaning.cuts import ZTF_RECOMMENDED, Cut, judge, quality
from tom_forced_phot.core.photometry import Measurements, rows_by_group

#: The guide's thresholds (section 6.4): a magnitude above SNT, else a limit at SNU times the error.
SNT, SNU = 3.0, 5.0
#: Epochs that a baseline needs.
LEAST = 30
#: Days before and after the maximum of a transient that hold none of its light (Bright Transient Survey).
BEFORE, AFTER = 100.0, 500.0
#: What names a reference image: the dates of its first and its last exposure. One and the same image goes by several ``rfid``.
REFERENCE = ('refjdstart', 'refjdend')
#: What a baseline, and the scale of the errors, take of the file's columns.
BASELINE_COLUMNS = ('zpdiff', *REFERENCE, 'infobitssci', 'scisigpix', 'sciinpseeing', 'forcediffimchisq')
#: How far a source of the reference image may be, in arcsec, and how far from 0 its sharpness, to be the variable itself.
NEAREST, SHARP = 1.0, 0.5


def recipe(measured: Measurements, peak: float, *, cut: Cut = ZTF_RECOMMENDED, least: int = LEAST) -> Measurements:
    """The difference light curve of a transient with its maximum near MJD ``peak``: cut, corrected, rescaled, judged.

    Groups without enough epochs for a baseline stay uncorrected: their column ``baseline`` is nan.
    """
    kept = measured.only(cut(measured).keep)
    quiet = quiet_epochs(kept, peak, least=least)
    return rescale(subtract_baseline(kept, quiet, least=least), quiet, least=least)


def groups(measured: Measurements) -> NDArray[np.intp]:
    """The number of each point's group: one field, CCD, quadrant, filter and reference; ValueError where a column is lacking."""
    # the instrument names field, CCD and quadrant; the file's own numbers of quadrants begin at 0 or at 1
    _, place = np.unique(measured.instrument, return_inverse=True)
    _, band = np.unique(measured.band, return_inverse=True)
    # to a second, because not every file prints the same digits
    dates = [np.nan_to_num(np.round(quality(measured, name), 5), nan=-1.0) for name in REFERENCE]
    _, number = np.unique(np.column_stack([place, band, *dates]), axis=0, return_inverse=True)
    return number.reshape(-1)


def quiet_epochs(
    measured: Measurements, peak: float, *, before: float = BEFORE, after: float = AFTER, least: int = LEAST
) -> NDArray[np.bool_]:
    """The points for a baseline: of each group those ``before`` days before the maximum, if there are enough, else those after it.

    BrightTransientSurvey/ztf_forced_phot: more than 100 d before, else more than 500 d after maximum. Shape (n,).
    """
    early, late = measured.mjd < peak - before, measured.mjd > peak + after
    number = groups(measured)
    enough = np.bincount(number, weights=early.astype(np.float64)) >= least
    return np.where(enough[number], early, late) if len(measured) else early


def subtract_baseline(measured: Measurements, quiet: NDArray[np.bool_], *, least: int = LEAST) -> Measurements:
    """The median of the quiet epochs of its group, in DN, subtracted from each flux (the guide's section 6.2).

    ``columns`` gain ``baseline`` (DN; nan where a group has fewer than ``least`` quiet epochs and is left as it is) and
    ``baseline_epochs``. Magnitudes and limits are made anew with the guide's thresholds.
    """
    zero_point = quality(measured, 'zpdiff')
    counts = measured.flux / microjansky_of(np.ones(len(measured)), zero_point)
    level, epochs = per_group(groups(measured), quiet & np.isfinite(counts), counts, np.median, least)
    flux = measured.flux - np.where(np.isfinite(level), microjansky_of(level, zero_point), 0.0)
    return judge(with_columns(replace(measured, flux=flux), baseline=level, baseline_epochs=epochs), SNT, SNU)


def rescale(measured: Measurements, quiet: NDArray[np.bool_], *, least: int = LEAST) -> Measurements:
    """The errors multiplied so that they describe the scatter (the guide's section 6.3), after the baseline is subtracted.

    First by the root of the mean forcediffimchisq of the group's quiet epochs, then by the robust RMS of flux over error there,
    half the distance of its 16th and 84th percentiles; groups with fewer than ``least`` quiet epochs stay as they are.
    ``columns`` gain ``error_scale`` (1 where nothing was done). Magnitudes and limits are made anew.
    """
    number = groups(measured)
    chi = quality(measured, 'forcediffimchisq')
    first, _ = per_group(number, quiet & (chi > 0), np.sqrt(np.where(chi > 0, chi, np.nan)), root_mean_square, least)
    scale = np.where(first > 0, first, 1.0)
    ratio = measured.flux / (measured.flux_error * scale)
    second, _ = per_group(number, quiet & np.isfinite(ratio), ratio, half_width, least)
    scale = scale * np.where(second > 0, second, 1.0)
    return judge(with_columns(replace(measured, flux_error=measured.flux_error * scale), error_scale=scale), SNT, SNU)


def root_mean_square(values: Floats) -> float:
    """The root of the mean of the squares."""
    return float(np.sqrt(np.mean(values**2)))


def half_width(values: Floats) -> float:
    """Half the distance of the 16th and the 84th percentile, which is the standard deviation of a normal distribution."""
    low, high = np.percentile(values, [16, 84])
    return float(high - low) / 2


def per_group(
    number: NDArray[np.intp], rows: NDArray[np.bool_], values: Floats, what: Callable[[Floats], Any], least: int
) -> tuple[Floats, NDArray[np.int64]]:
    """A statistic of the chosen rows of each point's group, nan where there are fewer than ``least``, and how many there are."""
    found, epochs = np.full(len(number), np.nan), np.zeros(len(number), dtype=np.int64)
    for members in rows_by_group(number):
        chosen = values[members[rows[members]]]
        epochs[members] = len(chosen)
        if len(chosen) >= max(least, 1):
            found[members] = what(chosen)
    return found, epochs


def has_reference(measured: Measurements, *, nearest: float = NEAREST, sharp: float = SHARP) -> NDArray[np.bool_]:
    """The points whose source in the reference image is the variable: nearer than ``nearest`` arcsec, and like a star.

    The file's header says that nearestrefsharp is about 0 for a star; how far from it is a choice.
    """
    distance = quality(measured, 'dnearestrefsrc')
    near = (distance >= 0) & (distance < nearest)
    given = np.isfinite(quality(measured, 'nearestrefmag')) & (quality(measured, 'nearestrefmagunc') >= 0)
    return near & given & (np.abs(quality(measured, 'nearestrefsharp')) <= sharp)


def absolute(measured: Measurements, *, nearest: float = NEAREST, sharp: float = SHARP) -> Measurements:
    """The whole flux of a variable: that of the reference image added, of the points :func:`has_reference` chooses, and only those.

    The reference flux is 10^(0.4 (23.9 - nearestrefmag)) microjansky, its error nearestrefmagunc flux / 1.0857 (the guide's section
    6.5). Clients differ in how they combine the two errors: here their squares add.
    """
    found = measured.only(has_reference(measured, nearest=nearest, sharp=sharp))
    reference = microjansky_of(np.ones(len(found)), quality(found, 'nearestrefmag'))
    reference_error = quality(found, 'nearestrefmagunc') * reference * np.log(10) / 2.5
    flux, error = found.flux + reference, np.hypot(found.flux_error, reference_error)
    return judge(with_columns(replace(found, flux=flux, flux_error=error), reference=reference), SNT, SNU)


def with_columns(measured: Measurements, **added: NDArray[Any]) -> Measurements:
    """The measurements with columns of ours beside those of the file."""
    return replace(measured, columns={**measured.columns, **added})
