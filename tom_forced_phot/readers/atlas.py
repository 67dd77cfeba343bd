"""The result file of the ATLAS forced photometry server.

Columns as its page /forcedphot/resultdesc/ describes them (lukeshingles/atlasserver); they are read by name, because the set
has changed over the years: PA_DEG between mag5sig and Sky, ``Sky ZP Stack`` at the end of files of 2018.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import DETECTION, Floats, is_detection, limit_of, magnitude_error_of, magnitude_of
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.readers.columns import (
    REPEATED,
    SECONDS_PER_DAY,
    TextColumns,
    absurd,
    joined_texts,
    read_columns,
    repeated,
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
#: Rows whose exposures are named at a time.
SOME = 5000
#: In a large file, rows of fewer characters than this are no exposures: a date alone has 12 (59000.123456).
SHORTEST, LARGE = 18, 10_000
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
    if found.rows > LARGE and len(text) < SHORTEST * found.rows:
        characters = f'{found.rows:,} rows of {len(text) // found.rows} characters each'
        raise BadFile(f'This is not a result file of {SERVICE}: {characters} are too short for exposures.')
    # rows go before there are points of them: what a file costs is one copy of its points
    found = found.dropping_first(absurd(middle(found), found.floats('uJy'), found.floats('duJy')))
    found = found.dropping(found.values['F'] == '', 'no filter is given')
    exposure = exposures(found.values, found.floats('MJD'))
    later = repeated(exposure)
    if later.any():
        found, exposure = found.dropping(later, REPEATED), exposure[~later]
    if 'Obs' not in names and is_nightly(found):
        raise BadFile(f'{MEANS}: it has no column Obs, and one row a night in each filter. {EXPOSURES}')
    return points(found, exposure, threshold)


def is_nightly(found: TextColumns) -> bool:
    """Whether there are a good many rows, and never two of one filter in one night: the telescopes take four exposures."""
    if len(found) < NIGHTS:
        return False
    nights = np.floor(middle(found)).astype(np.int64).tolist()
    return len(set(zip(found.values['F'].tolist(), nights, strict=True))) == len(found)


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


def middle(found: TextColumns) -> Floats:
    """MJD of the middle of each exposure: ATLAS gives its start."""
    return found.floats('MJD') + EXPOSURE_TIME / 2 / SECONDS_PER_DAY


def points(found: TextColumns, exposure: NDArray[Any], threshold: float) -> Measurements:
    """One point per row."""
    flux, error = (found.floats(name) for name in ('uJy', 'duJy'))
    magnitude, magnitude_error, limit = brightness(found, flux, error, threshold)
    return Measurements(
        mjd=middle(found),
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
        lines=found.lines,
    )


def exposures(columns: dict[str, NDArray[Any]], start: Floats) -> NDArray[Any]:
    """The name of each exposure, ``Obs``; its start and filter where a file has none."""
    names = columns.get('Obs')
    if names is not None and (names != '').all():
        return names
    made = joined_texts([exposures_made(start[some], columns['F'][some]) for some in slices(len(start))])
    return made if names is None else np.where(names != '', names, made)


def slices(number: int) -> Iterator[slice]:
    """Some thousand rows at a time: Python's own texts cost several times those of an array."""
    return (slice(first, first + SOME) for first in range(0, number, SOME))


def exposures_made(start: Floats, band: NDArray[Any]) -> NDArray[Any]:
    """The start and the filter of each exposure as its name."""
    return text_array([f'{mjd:.6f}{name}' for mjd, name in zip(start.tolist(), band.tolist(), strict=True)])


def units(exposure: NDArray[Any]) -> NDArray[Any]:
    """The telescope unit of each exposure, the first three characters of its Obs (``01a``); empty where there is none."""
    starts = exposure.astype('<U3')
    found = np.zeros(len(starts), dtype='<U3')
    known: set[str] = set()
    for some in slices(len(starts)):
        known.update(starts[some].tolist())
    for start in filter(UNIT.fullmatch, known):
        found[starts == start] = start
    return found


def brightness(found: TextColumns, flux: Floats, error: Floats, threshold: float) -> tuple[Floats, Floats, Floats]:
    """Magnitude, its error and limit of each row: nan where it has none."""
    with np.errstate(all='ignore'):
        detected = is_detection(flux, error, threshold)
        solved = ~(found.floats('mag5sig') < SHALLOWEST)
        magnitude, magnitude_error = found.floats('m'), found.floats('dm')
        detected &= solved
        for given, formula in ((magnitude, magnitude_of(flux)), (magnitude_error, magnitude_error_of(flux, error))):
            np.copyto(given, formula, where=~np.isfinite(given))
            given[~detected] = np.nan
        limit = limit_of(error, threshold)
        limit[is_detection(flux, error, threshold) | ~solved] = np.nan
    return magnitude, magnitude_error, limit


MOST = 99
LINE = re.compile(rb'^#c(\d{1,2}) (.*)$', re.MULTILINE)


def pack(target: bytes, controls: Sequence[bytes]) -> bytes:
    """The target's file as the server sent it, and after it each line of each control's with ``#c`` and its number from 1."""
    lines = [b'#c%d %s' % (number, line) for number, file in enumerate(controls, 1) for line in file.splitlines() if line.strip()]
    return b'\n'.join([target.rstrip(b'\n'), *lines, b''])


def read_controls(content: bytes) -> list[Measurements]:
    """The control light curves of a file, in their order; none where it has none. BadFile where one cannot be read."""
    found: dict[int, list[bytes]] = {}
    for match in LINE.finditer(content):
        found.setdefault(int(match[1]), []).append(match[2].rstrip(b'\r'))
    return [read_atlas(b'\n'.join(lines)) for _, lines in sorted(found.items())]
