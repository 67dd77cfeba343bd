"""Control light curves: what the sky around a target does on the same images, and what that says of the target's points.

Rest et al., ATClean (srest2021/atclean): eight positions on a circle of 17 arcsec are measured like the target. Where they agree on
anything but nothing, the image is bad at this place; where they scatter more than their errors say, all errors are too small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import Floats
from tom_forced_phot.cleaning.cuts import ATLAS_STATIC, CONTROLS_BAD, quality
from tom_forced_phot.cleaning.stack import agreeing, sort
from tom_forced_phot.core.photometry import Measurements

NUMBER, RADIUS = 8, 17.0  # arcsec
#: ATClean's bounds of an epoch (config.ini, controls_cut) and their flags.
X2_MAX, SNR_MAX, CLIPPED_MAX, GOOD_MIN = 2.5, 3.0, 2, 4
X2, SNR, CLIPPED, FEW_GOOD, QUESTIONABLE, BAD = 0x100, 0x200, 0x400, 0x800, 0x80000, CONTROLS_BAD
#: Extra noise (uncert_est): of measurements below this chi squared; added where errors grow by as many per cent.
TEMPORARY_X2, WORTH_ADDING = 20.0, 10.0
SIGMAS, ITERATIONS = 3.0, 10
#: A file with more bands is none of ATLAS, which has had three; and each costs a look at all of it.
MOST_BANDS = 20
#: The columns that a table of ATLAS gains.
COLUMNS = ('c2_mean', 'c2_mean_err', 'c2_X2norm', 'c2_Nclip', 'c2_Ngood', 'c2_flags', 'duJy_new')


def positions(ra: float, dec: float, number: int = NUMBER, radius: float = RADIUS) -> list[tuple[float, float]]:
    """RA and Dec (degrees) of positions on a circle of ``radius`` arcsec, from east by north, as ATClean lays them."""
    angles = 2 * np.pi * np.arange(1, number + 1) / number
    east, north = radius / 3600 * np.cos(angles), radius / 3600 * np.sin(angles)
    along = np.round(ra + east / np.cos(np.radians(dec)), 10) % 360
    return list(zip(along.tolist(), (dec + north).tolist(), strict=True))


def with_controls(target: Measurements, controls: Sequence[Measurements]) -> Measurements:
    """The target's table with COLUMNS, each band by itself; nan where a band has no control light curve.

    A control's measurement belongs to the exposure of its own name; those of other exposures are not used, nor is a control without
    the columns of ATClean's static cut.
    """
    found = {name: np.full(len(target), np.nan) for name in COLUMNS}
    controls = [control for control in controls if is_judged(control)]
    bands = np.unique(target.band)
    if len(bands) > MOST_BANDS:
        bands = bands[:0]
    for band in bands:
        rows = np.flatnonzero((target.band == band) & np.isfinite(target.flux) & (target.flux_error > 0))
        of_band = [control.only(sound(control, band)) for control in controls]
        if not len(rows) or not any(len(control) for control in of_band):
            continue
        place = {name: number for number, name in enumerate(target.exposure[rows].tolist())}
        matched = [matching(control, place) for control in of_band]
        extra = extra_noise([control for control, _ in matched])
        found['duJy_new'][rows] = np.hypot(target.flux_error[rows], extra)
        for name, column in statistics(matched, len(rows), extra).items():
            found[name][rows] = column
    return replace(target, columns={**target.columns, **found})


def is_judged(control: Measurements) -> bool:
    """Whether it has the columns of ATClean's static cut, as numbers."""
    needed = [control.columns.get(rule.column) for rule in ATLAS_STATIC.rules]
    return all(column is not None and column.dtype.kind in 'if' for column in needed)


def sound(control: Measurements, band: str) -> NDArray[np.bool_]:
    """The measurements of a band that have a flux and an error."""
    return np.asarray((control.band == band) & np.isfinite(control.flux) & (control.flux_error > 0))


def matching(control: Measurements, place: Mapping[str, int]) -> tuple[Measurements, NDArray[np.intp]]:
    """The measurements on the target's exposures, and the ``place`` of each among them."""
    where = np.array([place.get(name, -1) for name in control.exposure.tolist()], dtype=np.intp)
    return control.only(where >= 0), where[where >= 0]


def statistics(matched: Sequence[tuple[Measurements, NDArray[np.intp]]], number: int, extra: float) -> Mapping[str, Floats]:
    """Of each exposure: the clipped weighted mean of the controls that pass ATClean's static cut, and its flags.

    As in the public program, a mean that is significantly negative gets no flag of its own.
    """
    kept = [(control.only(keep), where[keep]) for control, where in matched for keep in [ATLAS_STATIC(control).keep]]
    whole = [control for control, _ in kept]
    epoch = np.concatenate([where for _, where in kept]).astype(np.float64)
    flux = np.concatenate([control.flux for control in whole])
    error = np.hypot(np.concatenate([control.flux_error for control in whole]), extra)
    nothing = np.full(len(flux), np.nan)
    table = Measurements(
        mjd=epoch,
        band=np.zeros(len(flux), dtype='<U1'),
        flux=flux,
        flux_error=error,
        magnitude=nothing,
        magnitude_error=nothing,
        limit=nothing,
        exposure=np.arange(len(flux)).astype(np.str_),
        exposure_time=nothing,
        telescope='',
        instrument=np.zeros(len(flux), dtype='<U1'),
    )
    bins = sort(table, 1.0)
    used, centre = agreeing(bins, SIGMAS, ITERATIONS)
    good, all_of = bins.sum(used), bins.sum(np.ones(len(used)))
    with np.errstate(divide='ignore', invalid='ignore'):
        mean_error = 1 / np.sqrt(bins.sum(used / bins.points.flux_error**2))
        squares = bins.sum(used * ((bins.points.flux - centre[bins.bin]) / bins.points.flux_error) ** 2)
        x2 = np.where(good > 1, squares / (good - 1), np.nan)
    found = {name: np.full(number, np.nan) for name in ('c2_mean', 'c2_mean_err', 'c2_X2norm')}
    found |= {name: np.zeros(number) for name in ('c2_Nclip', 'c2_Ngood')}
    seen = good > 0
    found['c2_mean'][bins.night[seen]], found['c2_mean_err'][bins.night[seen]] = centre[seen], mean_error[seen]
    found['c2_X2norm'][bins.night] = x2
    found['c2_Ngood'][bins.night], found['c2_Nclip'][bins.night] = good, all_of - good
    return {**found, 'c2_flags': flags(found)}


def flags(found: Mapping[str, Floats]) -> Floats:
    """ATClean's flags of each exposure: those of the bounds it breaks, and bad, or questionable, for all of them."""
    with np.errstate(invalid='ignore'):
        ratio = found['c2_mean'] / found['c2_mean_err']
        broken = (
            np.where(found['c2_X2norm'] > X2_MAX, X2, 0)
            | np.where(ratio > SNR_MAX, SNR, 0)
            | np.where(found['c2_Nclip'] > CLIPPED_MAX, CLIPPED, 0)
            | np.where(found['c2_Ngood'] < GOOD_MIN, FEW_GOOD, 0)
        )
    verdict = np.where(broken != 0, BAD, np.where(found['c2_Nclip'] > 0, QUESTIONABLE, 0))
    return (broken | verdict).astype(np.float64)


def extra_noise(controls: Sequence[Measurements]) -> float:
    """What is added to all errors in quadrature (microjansky): the median over the controls of the scatter beyond their errors.

    0 where errors would grow by less than a tenth, as ATClean recommends.
    """
    typical, extras = [], []
    for control in controls:
        certain = quality(control, 'duJy') <= ATLAS_STATIC.rules[1].high
        clean = certain & (quality(control, 'chi/N') < TEMPORARY_X2)
        spread = clipped_deviation(control.flux[clean])
        if np.isnan(spread):
            spread = clipped_deviation(control.flux[certain])
        if np.isnan(spread):
            continue
        median = float(np.median(quality(control, 'duJy')[clean if clean.any() else certain]))
        typical.append(median)
        extras.append(float(np.sqrt(max(spread**2 - median**2, 0.0))))
    if not extras:
        return 0.0
    extra, before = float(np.median(extras)), float(np.median(typical))
    grown = 100 * (np.hypot(extra, before) - before) / before
    return extra if grown >= WORTH_ADDING else 0.0


#: By what a standard deviation of so few is too small on average (pdastro's c4); the formula below is for more.
C4 = (0.0, 0.0, 0.7978845608028654, 0.8862269254527579, 0.9213177319235613, 0.9399856029866251, 0.9515328619481445)


def clipped_deviation(values: Floats) -> float:
    """The standard deviation of what is within three of it, the first time about the median; nan of fewer than two values."""
    used = np.ones(len(values), dtype=np.bool_)
    centre = deviation = np.nan
    same = False
    for step in range(ITERATIONS):
        if step:
            now = np.abs(values - centre) <= SIGMAS * deviation
            same = bool((now == used).all())
            used = now
        number = int(np.count_nonzero(used))
        if number < 2:
            return np.nan
        if not step:
            centre = float(np.median(values))
            c4 = C4[number] if number < len(C4) else 1 - 1 / (4 * number) - 7 / (32 * number**2) - 19 / (128 * number**3)
            deviation = float(np.sqrt(np.sum((values - centre) ** 2) / (number - 1)) / c4)
        else:
            centre, deviation = float(np.mean(values[used])), float(np.std(values[used], ddof=1))
        if deviation == 0 or same:
            break
    return deviation
