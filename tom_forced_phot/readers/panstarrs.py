"""Pan-STARRS1 as the catalogs API of MAST gives it: single-epoch detections, and averages over the survey.

A file is text: comments, and one or more sections, each a line ``# table: detection`` (or mean, forced_mean, stack) and the CSV as
MAST sent it. A CSV without such a line, and a JSON reply, are told apart by their columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.photometry import DETECTION, Measurements, Rejections
from tom_forced_phot.readers.ps1_points import AVERAGED, averages, bands_of, detections, together
from tom_forced_phot.readers.text import (
    WHOLE,
    Columns,
    decode,
    drop_repeated,
    header_names,
    read_columns,
    refuse,
    split_commas,
    typed,
)

SERVICE = 'Pan-STARRS (MAST catalogs)'
MIN_PSF_QF_PERFECT = 0.9
IDS = ('objID', 'detectID')
NEEDED = {
    'detection': ('objID', 'detectID', 'filterID', 'obsTime', 'psfFlux', 'psfFluxErr'),
    **dict.fromkeys(AVERAGED, ('objID',)),
}
TEXTS = (*IDS, 'objName', 'objAltName1', 'objAltName2', 'objAltName3')
MISSING = frozenset({'null', 'None'})
SECTION = re.compile(r'#\s*(table|object)\s*:\s*(\S+)\s*')


WORDS = {'detection': 'obsTime', 'mean': 'gMeanPSFMag', 'forced_mean': 'gFPSFFlux', 'stack': 'gPSFFlux'}
Table = tuple[str, Columns]


@dataclass
class Section:
    """One table of a file, its header first: the number of each line and the line (of JSON: its fields)."""

    name: str | None = None
    rows: list[tuple[int, Any]] = field(default_factory=list)


def read_panstarrs(content: bytes, *, min_psf_qf_perfect: float = MIN_PSF_QF_PERFECT, threshold: float = DETECTION) -> Measurements:
    """The measurements of a Pan-STARRS1 file; none where it is empty or holds headers only.

    A row of ``detection`` is a point of one exposure, found there and not forced; a row of ``mean``, ``forced_mean`` or ``stack``
    gives one point per band (``rows`` counts those), labelled in ``columns['kind']``. All rows are of one object, the file's only
    one or that of its line ``# object: <objID>``. BadFile where several objects are in it and none is named, or where it is another
    kind of file.
    """
    text = decode(content, SERVICE)
    wanted, tables = json_tables(text) if text.lstrip().startswith(('{', '[')) else text_tables(text)
    parts = [
        detections(found, min_psf_qf_perfect, threshold) if kind == 'detection' else averages(found, kind, threshold)
        for kind, found in one_object(tables, wanted)
    ]
    return drop_repeated(*together(parts, Rejections()))[0]


def text_tables(text: str) -> tuple[str | None, list[Table]]:
    """The object that is meant, if the file names one, and its tables."""
    sections, objects = [Section()], set()
    for number, line in enumerate(text.split('\n'), 1):
        told = SECTION.fullmatch(line)
        if told and told[1] == 'table':
            sections.append(Section(told[2]))
        elif told:
            objects.add(told[2])
        elif line.strip() and not line.startswith('#'):
            sections[-1].rows.append((number, line))
    if text.strip() and len(sections) == 1 and not sections[0].rows:
        raise refuse(text, SERVICE)
    if len(objects) > 1:
        raise BadFile(f'This file of {SERVICE} is said to be of {len(objects)} objects: {", ".join(sorted(objects))}.')
    return (objects.pop() if objects else None), [read_table(section, split_commas) for section in sections if section.rows]


def json_tables(text: str) -> tuple[None, list[Table]]:
    """The table of a JSON reply, ``{"info": [{"name": ...}, ...], "data": [[...], ...]}``; its rows are counted from 1."""
    try:
        reply = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise refuse(text, SERVICE) from None
    info, data = (reply.get('info'), reply.get('data')) if isinstance(reply, dict) else (None, None)
    if not isinstance(info, list) or not isinstance(data, list):
        raise refuse(text, SERVICE)
    names = [str(column.get('name')) if isinstance(column, dict) else '' for column in info]
    rows = [(number, fields(row)) for number, row in enumerate(data, 1)]
    return None, [read_table(Section(rows=[(0, names), *rows]), list)] if data else []


def fields(row: object) -> list[str]:
    """The values of a row of JSON as they stand in it."""
    return [value.strip() if isinstance(value, str) else str(value) for value in row] if isinstance(row, list) else []


def read_table(section: Section, split: Callable[[Any], list[str]]) -> Table:
    """The kind of a section, and its columns; BadFile where it is no table of this API, or one without what a point needs."""
    head = section.rows[0][1]
    names = header_names(split(head), SERVICE)
    kind = section.name or next((kind for kind in NEEDED if is_kind(kind, names)), None)
    if kind is not None and kind not in NEEDED:
        raise BadFile(f'This file of {SERVICE} holds a table {kind!r}, which is none of {", ".join(NEEDED)}.')
    text = ','.join(split(head))
    if kind is None or not is_kind(kind, names):
        raise refuse(text, SERVICE, [WORDS[kind] if kind else ' or '.join(WORDS.values())])
    lacking = [name for name in NEEDED[kind] if name not in names]
    if lacking:
        raise refuse(text, SERVICE, lacking)
    numeric = [name for name in NEEDED[kind] if name not in IDS]
    found = read_columns(names, section.rows[1:], needed=numeric, texts=TEXTS, missing=MISSING, split=split)
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
