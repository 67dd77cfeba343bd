"""Pan-STARRS1 as the catalogs API of MAST gives it: single-epoch detections, and averages over the survey.

A file is text: comments, and one or more sections, each a line ``# table: detection`` (or mean, forced_mean, stack) and the CSV as
MAST sent it. A CSV without such a line, and a JSON reply, are told apart by their columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.photometry import DETECTION, Measurements, Rejections
from tom_forced_phot.readers.columns import (
    WHOLE,
    Columns,
    drop_repeated,
    read_columns,
    typed,
)
from tom_forced_phot.readers.documents import NoTable, is_json, is_votable, json_tables, votables
from tom_forced_phot.readers.ps1_points import AVERAGED, BANDS, averages, bands_of, detections, together
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
Table = tuple[str, Columns]


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
    return drop_repeated(*together(parts, Rejections()))[0]


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


def whole_ids(found: Columns, names: Sequence[str]) -> Columns:
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
