"""Pan-STARRS1 as the catalogs API of MAST gives it: single-epoch detections, and averages over the survey.

A file is text: comments, and one or more sections, each a line ``# table: detection`` (or mean, forced_mean, stack) and the CSV as
MAST sent it. A CSV without such a line, and a JSON reply, are told apart by their columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import erfa  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from tom_followup.units import DETECTION, Floats, is_detection, limit_of, magnitude_error_of, magnitude_of
from tom_forced_phot.core.photometry import ROW_FIELDS, Measurements, Rejections
from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.readers.columns import (
    LARGEST,
    WHOLE,
    TextColumns,
    drop_absurd,
    drop_repeated,
    read_columns,
    text_array,
    typed,
)
from tom_forced_phot.readers.documents import NoTable, is_json, is_votable, json_tables, votables
from tom_forced_phot.readers.text import (
    LONGEST_FIELD,
    LONGEST_LINE,
    SHOWN,
    Rows,
    decode,
    header_names,
    numbered,
    refuse,
    rows_below,
    split_header,
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


def detections(found: TextColumns, threshold: float) -> Numbered:
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


def averages(found: TextColumns, kind: str, threshold: float) -> Numbered:
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


def average(found: TextColumns, kind: str, band: str, threshold: float) -> Numbered:
    """Points of one band: the mean or the forced mean of each object, at its mean epoch."""
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
    found: TextColumns,
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


def given(found: TextColumns, name: str) -> Floats:
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
    """One column of all parts, filled up with nan, empty texts or None where a part does not have it."""
    known = {part.columns[name].dtype.kind for part in parts if name in part.columns}
    filler: Any = np.nan if known == {'f'} else '' if known == {'U'} else None
    pieces = [part.columns[name] if name in part.columns else np.full(len(part), filler) for part in parts]
    if filler is None and any(piece.dtype.kind == 'O' for piece in pieces):
        pieces = [piece.astype(object) for piece in pieces]
    return np.concatenate(pieces)


NO_ROWS = TextColumns({}, np.zeros(0, dtype=np.int64), 0)
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


SERVICE = 'Pan-STARRS (MAST catalogs)'
IDS = ('objID', 'detectID')
NEEDED = {
    'detection': ('objID', 'detectID', 'filterID', 'obsTime', 'psfFlux', 'psfFluxErr'),
    **dict.fromkeys(AVERAGED, ('objID',)),
}
TEXTS = (*IDS, 'objName', 'objAltName1', 'objAltName2', 'objAltName3')
MISSING = frozenset({'null', 'None'})
SECTION = re.compile(r'#\s*(table|object)\s*:\s*(\S+)\s*')
MOST_SECTIONS = 1000
WORDS = {'detection': 'obsTime', 'mean': 'gMeanPSFMag', 'forced_mean': 'gFPSFFlux', 'stack': 'gPSFFlux'}
#: MAST writes these names in other cases too (``objid``): each is known by its own spelling.
SPELLINGS = {
    name.lower(): name
    for name in (
        *('objID', 'objName', 'objAltName1', 'objAltName2', 'objAltName3', 'raMean', 'decMean', 'raMeanErr', 'decMeanErr'),
        *('nDetections', 'qualityFlag', 'objInfoFlag', 'epochMean', 'primaryDetection', 'raStack', 'decStack', 'surveyID'),
        *('detectID', 'imageID', 'filterID', 'obsTime', 'ra', 'dec', 'raErr', 'decErr', 'expTime', 'airMass', 'zp', 'xPos', 'yPos'),
        *('psfFlux', 'psfFluxErr', 'psfMajorFWHM', 'psfMinorFWHM', 'psfTheta', 'psfQf', 'psfQfPerfect', 'psfChiSq'),
        *(
            'psfLikelihood',
            'extNSigma',
            'apFlux',
            'apFluxErr',
            'apRadius',
            'apFillF',
            'kronFlux',
            'kronFluxErr',
            'kronRad',
            'sky',
            'skyErr',
        ),
        *('infoFlag', 'infoFlag2', 'infoFlag3', 'pltScale', 'processingVersion', 'dvoRegionID', 'ippObjID', 'ippDetectID'),
        *(f'{band}{what}' for band in BANDS for what in ('QfPerfect', 'Flags', 'nTotal', 'nIncPSFFlux', 'Epoch')),
        *(f'{band}MeanPSFMag{what}' for band in BANDS for what in ('', 'Err', 'Std', 'Npt', 'Min', 'Max')),
        *(f'{band}{kind}{what}' for band in BANDS for kind in ('FPSFFlux', 'PSFFlux') for what in ('', 'Err', 'Std')),
        *(f'{band}PSFMag{what}' for band in BANDS for what in ('', 'Err')),
    )
}
Table = tuple[str, TextColumns]


@dataclass(frozen=True)
class Section:
    """One table of a file: its kind, where that is said, its columns, and what gives its rows and splits them."""

    name: str | None
    names: Sequence[str]
    rows: Rows
    split: Callable[[Any], list[str]]


def read_panstarrs(content: bytes, *, threshold: float = DETECTION) -> Measurements:
    """The measurements of a Pan-STARRS1 file, without any cut in quality; none where it is empty or holds headers only.

    A row of ``detection`` is a point of one exposure, found there and not forced; a row of ``mean``, ``forced_mean`` or ``stack``
    gives one point per band (``rows`` counts those), labelled in ``columns['kind']``. All rows are of one object, the file's only
    one or that of its line ``# object: <objID>``. CSV, JSON and VOTable as MAST and programs that saved them again write them.
    BadFile where several objects are in it and none is named, or where it is another kind of file.
    """
    text = decode(content, SERVICE)
    wanted: str | None = None
    try:
        if is_json(text):
            sections = [Section(None, names, rows, list) for names, rows in json_tables(text)]
        elif is_votable(text):
            sections = [Section(None, names, rows, list) for names, rows in votables(content)]
        else:
            wanted, sections = text_sections(text)
        tables = [found for section in sections if (found := read_table(section)) is not None]
    except NoTable as error:
        raise refuse(text, SERVICE) if not str(error) else BadFile(f'This is not a result file of {SERVICE}: {error}') from None
    parts = [
        detections(found, threshold) if kind == 'detection' else averages(found, kind, threshold)
        for kind, found in one_object(tables, wanted)
    ]
    kept, numbers = drop_repeated(*together(parts, Rejections()))
    return replace(kept, lines=numbers)


def text_sections(text: str) -> tuple[str | None, list[Section]]:
    """The object that is meant, if the file names one, and its tables: each ends where the next one is announced."""
    announced: list[tuple[str | None, int, int]] = [(None, 0, 0)]
    objects: set[str] = set()
    at = 0
    for number, line in numbered(text):
        told = SECTION.fullmatch(line) if line.startswith('#') and len(line) <= LONGEST_FIELD else None
        if told and told[1] == 'object':
            objects.add(told[2])
        elif told:
            announced.append((told[2], at, number - 1))
        if len(announced) + len(objects) > MOST_SECTIONS:
            raise BadFile(f'This is not a result file of {SERVICE}: it announces more than {MOST_SECTIONS} tables and objects.')
        at += len(line) + 1
    if len(objects) > 1:
        shown = ', '.join(sorted(objects)[:5])
        raise BadFile(f'This file of {SERVICE} is said to be of {len(objects)} objects: {shown}.')
    ends = [at for _, at, _ in announced[1:]] + [len(text)]
    sections = [
        section
        for (kind, at, before), end in zip(announced, ends, strict=True)
        if (section := section_of(text[at:end], kind, before)) is not None
    ]
    if text.strip() and len(announced) == 1 and not sections:
        raise refuse(text, SERVICE)
    return (objects.pop() if objects else None), sections


def section_of(text: str, kind: str | None, before: int) -> Section | None:
    """The table in a piece of a file that begins after so many lines; None where there is no header in it."""
    at, head = next(rows_below(text), (0, ''))
    if len(head) > LONGEST_LINE:
        raise refuse(head, SERVICE)
    names, split = split_header(head, rows_below(text, at))
    return Section(kind, names, lambda: ((before + number, row) for number, row in rows_below(text, at)), split) if at else None


def read_table(section: Section) -> Table | None:
    """The kind of a section, and its columns; BadFile where it is no table of this API, or one without what a point needs.

    None for a table of a document without a row.
    """
    if section.split is list and next(iter(section.rows()), None) is None:
        return None
    spelled = [SPELLINGS.get(name.lower(), name) for name in section.names]
    names = header_names(spelled, SERVICE)
    kind = section.name or next((kind for kind in NEEDED if is_kind(kind, names)), None)
    if kind is not None and kind not in NEEDED:
        raise BadFile(f'This file of {SERVICE} holds a table {kind[:SHOWN]!r}, which is none of {", ".join(NEEDED)}.')
    text = ','.join(section.names)
    if kind is None or not is_kind(kind, names):
        raise refuse(text, SERVICE, [WORDS[kind] if kind else ' or '.join(WORDS.values())])
    lacking = [name for name in NEEDED[kind] if name not in names]
    if lacking:
        raise refuse(text, SERVICE, lacking)
    numeric = [name for name in NEEDED[kind] if name not in IDS]
    found = read_columns(names, section.rows, needed=numeric, texts=TEXTS, missing=MISSING, split=section.split)
    return kind, whole_ids(found, [name for name in NEEDED[kind] if name in IDS])


def is_kind(kind: str, names: Sequence[str]) -> bool:
    """Whether columns of these names are those of this table."""
    return 'obsTime' in names if kind == 'detection' else bool(bands_of(names, kind))


def whole_ids(found: TextColumns, names: Sequence[str]) -> TextColumns:
    """With the ids as int64, read from their digits: as floats, two objects would become one."""
    for name in names:
        bad = np.array([WHOLE.fullmatch(token) is None for token in found.values[name].tolist()], dtype=np.bool_)
        found = found.dropping(bad, f'{name} is not a whole number')
    return replace(found, values={**found.values, **{name: typed(found.values[name].tolist()) for name in names}})


def one_object(tables: Sequence[Table], wanted: str | None) -> list[Table]:
    """The tables without the rows of other objects than the one meant; BadFile where several could be."""
    objects = sorted({str(number) for _, found in tables for number in found.values['objID'].tolist()})
    if wanted is None and len(objects) > 1:
        raise BadFile(
            f'This file of {SERVICE} holds rows of {len(objects)} objects, among them {", ".join(objects[:3])}, '
            'and no line "# object: <objID>" says which is meant.'
        )
    if wanted is None:
        return list(tables)
    others = [np.array([str(number) != wanted for number in found.values['objID'].tolist()], dtype=np.bool_) for _, found in tables]
    return [(kind, found.dropping(other, 'another object')) for (kind, found), other in zip(tables, others, strict=True)]
