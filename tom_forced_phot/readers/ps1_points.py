"""Rows of the tables of Pan-STARRS1 as measurements.

Fluxes are in Jy: m = -2.5 log10(F / Jy) + 8.90, which is the AB zero point 23.9 for microjansky (STScI's example notebook for the
DR2 catalogs API).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import erfa  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from tom_forced_phot.photometry import (
    ROW_FIELDS,
    Floats,
    Measurements,
    Rejections,
    is_detection,
    limit_of,
    magnitude_error_of,
    magnitude_of,
)
from tom_forced_phot.readers.columns import (
    LARGEST,
    Columns,
    drop_absurd,
    text_array,
)

JD_MJD = 2400000.5
#: Points, and the number of the line that each of them stands in.
Numbered = tuple[Measurements, NDArray[Any]]
TELESCOPE = 'PS1'
INSTRUMENT = 'GPC1'
MICROJANSKY = 1e6
NO_VALUE = -999.0
BANDS = 'grizy'
#: The survey ran from 2009 to 2015; times outside these years are no times of its exposures.
SURVEY = (54500.0, 59000.0)
MIDDLE_OF_SURVEY = 56000.0
CONSTANTS = {
    'time': 'middle of exposure',
    'time_scale': 'TAI',
    'photometry': 'single-epoch detections, not forced; kind tells averages over the survey from them',
}
#: Of each table of averages: the columns of flux (Jy), magnitude and epoch of a band; the first that a file has is taken.
AVERAGED = {
    'mean': (None, '{}MeanPSFMag', 'epochMean'),
    'forced_mean': ('{}FPSFFlux', None, 'epochMean'),
    'stack': ('{}PSFFlux', '{}PSFMag', '{}Epoch'),
}


def detections(found: Columns, threshold: float) -> Numbered:
    """One point per row of the table ``detection``.

    ``obsTime`` is the TAI MJD of mid-exposure (outerspace.stsci.edu, PS1 Detection table); ``mjd`` is UTC. Rows are points
    whatever their psfQfPerfect: what to leave out is decided where they are shown. A flux below ``threshold`` times its error is
    given as the limit at that many sigmas.
    """
    known = np.isin(found.floats('filterID'), np.arange(1, len(BANDS) + 1))
    found = found.dropping(~known, 'filterID is none of 1 to 5 (g, r, i, z, y)')
    found = found.dropping(np.isnan(given(found, 'psfFlux') + given(found, 'psfFluxErr')), 'no PSF flux')
    times = found.floats('obsTime')
    found = found.dropping(~((times > SURVEY[0]) & (times < SURVEY[1])), 'obsTime is no time of the survey')
    measured = points(
        found,
        kind='detection',
        exposure=text_array([f'detection {number}' for number in found.values['detectID'].tolist()]),
        band=np.array(list(BANDS))[found.floats('filterID').astype(np.int64) - 1],
        mjd=utc(found.floats('obsTime')),
        epoch=np.full(len(found), 'middle of the exposure'),
        flux=MICROJANSKY * given(found, 'psfFlux'),
        flux_error=MICROJANSKY * given(found, 'psfFluxErr'),
        exposure_time=given(found, 'expTime'),
        threshold=threshold,
    )
    return drop_absurd(measured, found.lines)


def averages(found: Columns, kind: str, threshold: float) -> Numbered:
    """One point per row and band of a table of averages; ``rows`` counts each band of a row, of those the file has columns for.

    ``mjd`` is the mean epoch as it is, 56000 (the middle of the survey) where the file has none: the column ``epoch`` says which.
    It is no time of an observation.
    """
    if 'primaryDetection' in found.values:
        found = found.dropping(found.floats('primaryDetection') == 0, 'not the primary detection of the stack')
    whole = replace(found, rejected=Rejections(), rows=len(found))
    return together([average(whole, kind, band, threshold) for band in bands_of(found.values, kind)], found.rejected)


def bands_of(names: Collection[str], kind: str) -> list[str]:
    """The bands that a table of averages has columns of."""
    return [band for band in BANDS if any(name and name.format(band) in names for name in AVERAGED[kind][:2])]


def average(found: Columns, kind: str, band: str, threshold: float) -> Numbered:
    """One band of a table of averages."""
    flux_name, magnitude_name, epoch_name = (name.format(band) if name else '' for name in AVERAGED[kind])
    is_flux = flux_name in found.values
    measure, what = (flux_name, 'flux') if is_flux else (magnitude_name, 'magnitude')
    found = found.dropping(np.isnan(given(found, measure)), f'no {kind.replace("_", " ")} {what} in this band')
    epoch = found.floats(epoch_name)
    told = (epoch > SURVEY[0]) & (epoch < SURVEY[1])
    nothing = np.full(len(found), np.nan)
    measured = points(
        found,
        kind=kind,
        exposure=text_array([f'{kind} {number} {band}' for number in found.values['objID'].tolist()]),
        band=np.full(len(found), band),
        mjd=np.where(told, epoch, MIDDLE_OF_SURVEY),
        epoch=np.where(told, epoch_name, 'not given: the middle of the survey is taken'),
        flux=MICROJANSKY * given(found, measure) if is_flux else nothing,
        flux_error=MICROJANSKY * given(found, measure + 'Err') if is_flux else nothing,
        exposure_time=nothing,
        threshold=threshold,
    )
    if is_flux:
        return drop_absurd(measured, found.lines)
    return replace(measured, magnitude=given(found, measure), magnitude_error=given(found, measure + 'Err')), found.lines


def points(
    found: Columns,
    *,
    kind: str,
    exposure: NDArray[Any],
    band: NDArray[Any],
    mjd: Floats,
    epoch: NDArray[Any],
    flux: Floats,
    flux_error: Floats,
    exposure_time: Floats,
    threshold: float,
) -> Measurements:
    """One point per row; the columns ``kind`` and ``epoch`` are added to those of the file."""
    with np.errstate(all='ignore'):
        detected = is_detection(flux, flux_error, threshold)
        magnitude, magnitude_error = magnitude_of(flux), magnitude_error_of(flux, flux_error)
        limit = limit_of(flux_error, threshold)
    return Measurements(
        mjd=mjd,
        band=band,
        flux=flux,
        flux_error=flux_error,
        magnitude=np.where(detected, magnitude, np.nan),
        magnitude_error=np.where(detected, magnitude_error, np.nan),
        limit=np.where(detected, np.nan, limit),
        exposure=exposure,
        exposure_time=exposure_time,
        telescope=TELESCOPE,
        instrument=np.full(len(found), INSTRUMENT),
        columns={**found.values, 'kind': np.full(len(found), kind), 'epoch': epoch},
        constants=CONSTANTS,
        rejected=found.rejected,
        rows=found.rows,
    )


def given(found: Columns, name: str) -> Floats:
    """A column with nan for -999, which is "no value" in these tables."""
    column = found.floats(name)
    return np.where((column == NO_VALUE) | ~(np.abs(column) < LARGEST), np.nan, column)


def utc(tai: Floats) -> Floats:
    """UTC MJD of a TAI MJD, by the leap seconds that come with ERFA.

    Not by astropy's ``Time``, which fetches a newer list from the network when its own is old.
    """
    if not len(tai):
        return tai
    days, rest = erfa.taiutc(JD_MJD, tai)
    return np.asarray(days - JD_MJD + rest, dtype=np.float64)


def together(parts: Sequence[Numbered], rejected: Rejections) -> Numbered:
    """Several parts as one, with the rows rejected before them; their rows add up.

    A column that a part does not have is filled with nan, '' or None, so that 64-bit ids stay whole numbers.
    """
    if not parts:
        return replace(NOTHING, rejected=rejected, rows=len(rejected)), NO_ROWS.lines
    measured = [part for part, _ in parts]
    rows = len(rejected)
    for part in measured:
        rejected, rows = rejected + part.rejected, rows + part.rows
    fields = {name: np.concatenate([getattr(part, name) for part in measured]) for name in ROW_FIELDS}
    columns = {name: column_of(measured, name) for name in dict.fromkeys(name for part in measured for name in part.columns)}
    whole = replace(measured[0], **fields, columns=columns, rejected=rejected, rows=rows)
    return whole, np.concatenate([lines for _, lines in parts])


def column_of(parts: Sequence[Measurements], name: str) -> NDArray[Any]:
    """One column of all parts."""
    known = {part.columns[name].dtype.kind for part in parts if name in part.columns}
    filler: Any = np.nan if known == {'f'} else '' if known == {'U'} else None
    pieces = [part.columns[name] if name in part.columns else np.full(len(part), filler) for part in parts]
    if filler is None and any(piece.dtype.kind == 'O' for piece in pieces):
        pieces = [piece.astype(object) for piece in pieces]
    return np.concatenate(pieces)


NO_ROWS = Columns({}, np.zeros(0, dtype=np.int64), 0)
NONE = np.zeros(0)
NOTHING = points(
    NO_ROWS,
    kind='detection',
    exposure=text_array([]),
    band=text_array([]),
    mjd=NONE,
    epoch=text_array([]),
    flux=NONE,
    flux_error=NONE,
    exposure_time=NONE,
    threshold=1.0,
)
