"""The result file of the ATLAS forced photometry server.

Columns as its page /forcedphot/resultdesc/ describes them (lukeshingles/atlasserver); they are read by name, because the set
has changed over the years: PA_DEG between mag5sig and Sky, ``Sky ZP Stack`` at the end of files of 2018.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import DETECTION, Floats, is_detection, limit_of, magnitude_error_of, magnitude_of
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.readers.columns import (
    SECONDS_PER_DAY,
    TextColumns,
    drop_absurd,
    drop_repeated,
    read_columns,
    text_array,
)
from tom_forced_phot.readers.text import (
    LONGEST_LINE,
    SPACES,
    Splitter,
    decode,
    header_names,
    numbered,
    refuse,
    rows_below,
    split_header,
)

SERVICE = 'ATLAS forced photometry'
TELESCOPE = 'ATLAS'
EXPOSURE_TIME = 30.0
#: Frames shallower than this have no photometric solution (the server's FAQ, 2025-04).
SHALLOWEST = 10.0
NEEDED = ('MJD', 'uJy', 'duJy', 'F')
TEXTS = ('F', 'Obs')
CONSTANTS = {'time': 'start of exposure', 'time_scale': 'UTC'}
#: Columns, in lower case, that only means of several exposures have: of plot_atlas_fp.py, of ATClean, and of this app.
AVERAGED = frozenset(
    {'n', 'nobs', 'n_obs', 'nexp', 'n_exp', 'points_averaged', 'points_clipped', 'mjdbin', 'ngood', 'nclip', 'nexcluded', 'stdev'}
)
MEANS = 'This file of ATLAS forced photometry holds nightly means'
EXPOSURES = 'Only single exposures are stored; their means are made from them where they are shown.'
#: So many rows without a second one in a night are no chance.
NIGHTS = 12
UNIT = re.compile(r'\d\d[a-z]')


def read_atlas(content: bytes, *, threshold: float = DETECTION) -> Measurements:
    """The measurements of an ATLAS result file, as the server sends it or saved again as CSV; none where it is empty.

    ``mjd`` is the start of the 30 s exposure in the file plus 15 s. The magnitude is the server's own m (it knows the unrounded
    flux) where the signed uJy/duJy exceeds ``threshold``; else ``limit`` is 23.9 - 2.5 log10(threshold duJy), as on the
    server's page; a frame with mag5sig < 10 has neither. BadFile where it is another kind of file.
    """
    text = decode(content, SERVICE)
    names, start, split = header(text)
    averaged = [name for name in names if name.lower() in AVERAGED]
    if averaged and 'Obs' not in names:
        raise BadFile(f'{MEANS}: its column {averaged[0]} counts or describes the exposures in a row. {EXPOSURES}')
    found = read_columns(names, lambda: rows_below(text, start), needed=NEEDED[:3], texts=TEXTS, split=split)
    kept, numbers = drop_absurd(points(found, threshold), found.lines)
    kept, numbers = kept.rejecting(kept.band == '', 'no filter is given', numbers)
    kept, numbers = drop_repeated(kept, numbers)
    if 'Obs' not in names and is_nightly(kept):
        raise BadFile(f'{MEANS}: it has no column Obs, and one row a night in each filter. {EXPOSURES}')
    return replace(kept, lines=numbers)


def is_nightly(found: Measurements) -> bool:
    """Whether there are a good many rows, and never two of one filter in one night: the telescopes take four exposures."""
    if len(found) < NIGHTS:
        return False
    nights = np.floor(found.mjd).astype(np.int64)
    return all(len(np.unique(nights[found.band == band])) == (found.band == band).sum() for band in np.unique(found.band))


def header(text: str) -> tuple[tuple[str, ...], int, Splitter]:
    """The names of the columns, the number of their line, and what splits a row.

    ``###`` is glued to the first name as the server sends it; copies have lost it, or begin with other comments.
    """
    blank = True
    for number, line in numbered(text):
        if NEEDED[0] in line and len(line) <= LONGEST_LINE:
            names = [name.lstrip('# ') for name in Splitter.of(line)(line)]
            if set(NEEDED) <= set(names):
                names, split = split_header(line.lstrip('# \t'), rows_below(text, number))
                return header_names([name.lstrip('# ') for name in names], SERVICE), number, split
        blank = blank and not line.strip()
        if line.strip() and not line.lstrip().startswith('#'):
            break
    if blank:
        return NEEDED, 0, SPACES
    raise refuse(text, SERVICE, NEEDED)


def points(found: TextColumns, threshold: float) -> Measurements:
    """One point per row, before anything is sorted out."""
    start, flux, error = (found.floats(name) for name in ('MJD', 'uJy', 'duJy'))
    exposure = exposures(found.values, start)
    magnitude, magnitude_error, limit = brightness(found, flux, error, threshold)
    return Measurements(
        mjd=start + EXPOSURE_TIME / 2 / SECONDS_PER_DAY,
        band=found.values['F'],
        flux=flux,
        flux_error=error,
        magnitude=magnitude,
        magnitude_error=magnitude_error,
        limit=limit,
        exposure=exposure,
        exposure_time=np.full(len(found), EXPOSURE_TIME),
        telescope=TELESCOPE,
        instrument=units(exposure),
        columns=found.values,
        constants=CONSTANTS,
        rejected=found.rejected,
        rows=found.rows,
    )


def exposures(columns: dict[str, NDArray[Any]], start: Floats) -> NDArray[Any]:
    """The name of each exposure, ``Obs``; its start and filter where a file has none."""
    names = columns.get('Obs')
    if names is not None and (names != '').all():
        return names
    bands = columns['F'].tolist()
    made = text_array([f'{mjd:.6f}{band}' for mjd, band in zip(start.tolist(), bands, strict=True)])
    return made if names is None else np.where(names != '', names, made)


def units(exposure: NDArray[Any]) -> NDArray[Any]:
    """The telescope unit of each exposure, the first three characters of its Obs (``01a``); empty where there is none."""
    starts = exposure.astype('<U3')
    known, which = np.unique(starts, return_inverse=True)
    return text_array([start if UNIT.fullmatch(start) else '' for start in known.tolist()])[which]


def brightness(found: TextColumns, flux: Floats, error: Floats, threshold: float) -> tuple[Floats, Floats, Floats]:
    """Magnitude, its error and limit of each row: nan where it has none."""
    given, given_error = found.floats('m'), found.floats('dm')
    with np.errstate(all='ignore'):
        detected = is_detection(flux, error, threshold)
        magnitude = np.where(np.isfinite(given), given, magnitude_of(flux))
        magnitude_error = np.where(np.isfinite(given_error), given_error, magnitude_error_of(flux, error))
        limit = limit_of(error, threshold)
        solved = ~(found.floats('mag5sig') < SHALLOWEST)
    return (
        np.where(detected & solved, magnitude, np.nan),
        np.where(detected & solved, magnitude_error, np.nan),
        np.where(~detected & solved, limit, np.nan),
    )
