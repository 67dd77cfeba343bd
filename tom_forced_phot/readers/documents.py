"""Tables inside JSON and VOTable documents: names of columns, and rows as text, read a piece at a time.

So a document costs its size, however many small values are in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any
from xml.parsers import expat

from tom_forced_phot.readers.text import LONGEST_LINE, MOST_COLUMNS, Rows

#: Numbers stay the text that they are: an id of 64 bits is no float.
DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
BLANKS = re.compile(r'[ \t\n\r]*')
DECLARATION = re.compile(r'<!(DOCTYPE|ENTITY)', re.IGNORECASE)
VOTABLE = re.compile(r'<(\w{1,40}:)?VOTABLE\b', re.IGNORECASE)
BEGINNING = 4000
#: Elements inside each other: a VOTable has seven.
DEEPEST = 50
BLOCK = 65_536
Named = tuple[list[str], Rows]


class NoTable(Exception):
    """The document is not one of the two kinds, or holds no table; its text, if there is one, says what it holds."""


def is_json(text: str) -> bool:
    """Whether it begins as JSON does."""
    return text[:BEGINNING].lstrip().startswith(('{', '['))


def is_votable(text: str) -> bool:
    """Whether it begins as a VOTable does."""
    return text[:BEGINNING].lstrip().startswith('<') and VOTABLE.search(text[:BEGINNING]) is not None


def json_tables(text: str) -> list[Named]:
    """The table of ``{"info": [{"name": ...}, ...], "data": [[...], ...]}``, or of a list of objects with equal keys.

    Names stand under ``name`` or ``column_name``. Rows are counted from 1. NoTable where it is another document.
    """
    try:
        start = blanks(text, 0)
        if text[start] == '[':
            end = skip(elements(text, start))
            first = next(elements(text, start), None)
            if first is not None and not isinstance(first, dict):
                raise NoTable
            keys = list(first or {})
            table: Named = keys, lambda: ((number, values(row, keys)) for number, row in enumerate(elements(text, start), 1))
            found: list[Named] = [table] if first is not None else []
        else:
            places, end = members(text, start)
            info, data = places.get('info', 0), places.get('data', 0)
            if text[info] != '[' or text[data] != '[':
                raise NoTable
            names = [name_of(column) for column in islice(elements(text, info), MOST_COLUMNS + 1)]
            found = [(names, lambda: ((number, values(row)) for number, row in enumerate(elements(text, data), 1)))]
    except (ValueError, RecursionError, IndexError):
        raise NoTable from None
    if text[blanks(text, end) :]:
        raise NoTable
    return found


def name_of(column: Any) -> str:
    """What the description of a column calls it."""
    named = (column.get('name') or column.get('column_name')) if isinstance(column, dict) else ''
    return str(named)[:100] if named else ''


def values(row: Any, keys: list[str] | None = None) -> list[str]:
    """The values of a row as they stand in the document; none where it is no row."""
    if keys is not None:
        row = [row.get(key) for key in keys] if isinstance(row, dict) and len(row) == len(keys) else None
    return [value.strip() if isinstance(value, str) else str(value) for value in row] if isinstance(row, list) else []


def blanks(text: str, at: int) -> int:
    """The index after the white space at ``at``."""
    match = BLANKS.match(text, at)
    return match.end() if match else at


def elements(text: str, at: int) -> Generator[Any, None, int]:
    """The elements of the array that begins at ``at``, one after the other; returned is the index after it. ValueError."""
    at = blanks(text, at + 1)
    if text[at : at + 1] == ']':
        return at + 1
    while True:
        if text[at : at + 1] == '[' and text.find(']', at, at + LONGEST_LINE) < 0 and len(text) > at + LONGEST_LINE:
            raise NoTable(f'a row in it is longer than {LONGEST_LINE:,} characters.')
        value, at = DECODER.raw_decode(text, at)
        yield value
        at = blanks(text, at)
        if text[at : at + 1] == ']':
            return at + 1
        if text[at : at + 1] != ',':
            raise ValueError('no comma between two elements')
        at = blanks(text, at + 1)


def members(text: str, at: int) -> tuple[dict[str, int], int]:
    """Where the values of ``info`` and ``data`` begin in the object at ``at``, and the index after it. ValueError."""
    found: dict[str, int] = {}
    at = blanks(text, at + 1)
    while text[at : at + 1] != '}':
        key, at = DECODER.raw_decode(text, at)
        at = blanks(text, at)
        if not isinstance(key, str) or text[at : at + 1] != ':':
            raise ValueError('no name of a member')
        at = blanks(text, at + 1)
        if key in ('info', 'data'):
            found[key] = at
        at = skip(elements(text, at)) if text[at : at + 1] == '[' else DECODER.raw_decode(text, at)[1]
        at = blanks(text, at)
        if text[at : at + 1] == ',':
            at = blanks(text, at + 1)
        elif text[at : at + 1] != '}':
            raise ValueError('no comma between two members')
    return found, at + 1


def skip(array: Generator[Any, None, int]) -> int:
    """Go through an array without keeping anything; the index after it."""
    while True:
        try:
            next(array)
        except StopIteration as ended:
            return int(ended.value)


def votables(content: bytes) -> list[Named]:
    """The first table of a VOTable whose rows are written out (TABLEDATA, as MAST and astropy write them by default)."""
    names: list[str] = []
    first = next(votable_rows(content, names), None)
    return [(names, lambda: enumerate(votable_rows(content, []), 1))] if first is not None else []


def votable_rows(content: bytes, names: list[str]) -> Iterator[list[str]]:
    """Each row of the first table; ``names`` is filled before the first one. NoTable where it is not well-formed."""
    if DECLARATION.search(content[:BEGINNING].decode('latin-1')):
        raise NoTable('it is XML with declarations of its own.')
    reader = _DocumentReader(names)
    try:
        for start in range(0, len(content), BLOCK):
            reader.parser.Parse(content[start : start + BLOCK], start + BLOCK >= len(content))
            yield from reader.rows
            reader.rows.clear()
            if reader.ended:
                return
    except expat.ExpatError as error:
        raise NoTable(f'it is a VOTable that is not well-formed ({error}).') from None


class _DocumentReader:
    """Collects the cells of each row as the parser comes across them."""

    def __init__(self, names: list[str]) -> None:
        """``names`` is filled with those of the columns."""
        self.names = names
        self.rows: list[list[str]] = []
        self.ended = False
        self._depth = 0
        self._row: list[str] | None = None
        self._text: list[str] | None = None
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self.parser.EntityDeclHandler = self._declared

    def _declared(self, *_: Any) -> None:
        raise NoTable('it is XML with declarations of its own.')

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(':')[2]
        self._depth += 1
        if self._depth > DEEPEST or len(self.names) > MOST_COLUMNS:
            raise NoTable('it is XML that is no table.')
        if self.ended:
            return
        if name == 'FIELD':
            self.names.append(attributes.get('name', '')[:100])
        elif name in ('BINARY', 'BINARY2', 'FITS'):
            raise NoTable(f'it is a VOTable whose rows are {name}; save it with TABLEDATA, or as CSV.')
        elif name == 'TR':
            self._row = []
        elif name == 'TD':
            self._text = []

    def _end(self, tag: str) -> None:
        name = tag.rpartition(':')[2]
        self._depth -= 1
        if name == 'TD' and self._text is not None:
            if self._row is not None:
                self._row.append(''.join(self._text).strip())
            self._text = None
        elif name == 'TR' and self._row is not None:
            self.rows.append(self._row)
            self._row = None
        elif name == 'TABLE':
            self.ended = True

    def _data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)
