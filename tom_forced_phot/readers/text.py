"""Text files as lines and fields: decoding, what divides a line, the names in a header.

A file costs memory and time in proportion to its size, whatever stands in it: lines are cut out of the text a block at a time, and
a field, a line and a header have a largest size.
"""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tom_forced_phot.exceptions import BadFile

#: Control characters that no text has.
CONTROL = bytes([*range(9), *range(14, 32)])
SHOWN = 60
#: Characters of a field and of a line; columns of a table. Real ones have at most 30, 5,000 and 300.
LONGEST_FIELD, LONGEST_LINE, MOST_COLUMNS = 1000, 100_000, 1000
#: Characters cut into lines at a time.
BLOCK = 65_536
#: What may stand between the fields of a line, beside blanks; the first that is there counts.
MARKS = ';,\t'
#: Rows that show by what the fields are divided.
LOOKED_AT = 50
#: Gives the numbered rows of a table, as often as it is called.
Rows = Callable[[], Iterable[tuple[int, Any]]]


def decode(content: bytes, service: str) -> str:
    """The text of a file with ``\\n`` at the ends of its lines; BadFile where it is binary.

    UTF-8 and UTF-16 with or without a byte order mark; anything else that has no control characters is read as Latin-1, so that
    a name in a comment costs no file. NUL bytes that pad the end of a file go.
    """
    content = content.rstrip(b'\0')
    encodings: tuple[str, ...] = ('utf-8-sig', 'latin-1')
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encodings = ('utf-16',)
    elif b'\0' in content[1:2] or content[:1] == b'\0':
        # ASCII in UTF-16 has a NUL in every other byte, also where nothing marks the order
        encodings = ('utf-16-le',) if content[:1] != b'\0' else ('utf-16-be',)
    if encodings[0].startswith('utf-16'):
        content += b'\0' * (len(content) % 2)  # that of the last character, not of a padding
    text = ''
    for encoding in encodings:
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    plain = text.encode(errors='replace') if encodings[0].startswith('utf-16') else content
    if content and (not text or len(plain.translate(None, CONTROL)) < len(plain)):
        raise BadFile(f'This is not a result file of {service}: it is binary data.')
    if not text.isascii():
        # beside ASCII there is nothing but comments: in one byte a character, where a single other one made it four
        text = text.lstrip('\ufeff').encode('latin-1', 'replace').decode('latin-1')
    return text.replace('\r\n', '\n').replace('\r', '\n') if '\r' in text else text


def refuse(text: str, service: str, lacking: Iterable[str] = ()) -> BadFile:
    """What to raise for a text of another kind: one sentence that names what was found."""
    start = next((line for _, line in numbered(text) if line.strip()), '').strip()[:SHOWN]
    if start.startswith('<'):
        found = f'it is a web page or XML, beginning with {start!r}'
    elif start.startswith(('{', '[')):
        found = f'it is JSON, beginning with {start!r}'
    else:
        wanted = ', '.join(lacking)
        found = (f'the columns {wanted} are not named in it; ' if wanted else '') + f'it begins with {start!r}'
    return BadFile(f'This is not a result file of {service}: {found}.')


def numbered(text: str, *, below: int = 0, data: bool = False) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers (from 1), cut out of it a block at a time, so that few of them exist at once.

    ``below``: those below the line of that number; ``data``: only those that are neither empty nor comments.
    """
    number, start = 0, 0
    while start < len(text):
        end = text.find('\n', start + BLOCK)
        block = text[start:] if end < 0 else text[start:end]
        start = len(text) if end < 0 else end + 1
        lines = block.split('\n')
        first, number = number + 1, number + len(lines)
        if number > below:
            some = enumerate(lines[max(0, below - first + 1) :], max(first, below + 1))
            yield from (pair for pair in some if not data or ((line := pair[1]) and line[0] != '#' and not line.isspace()))


def rows_below(text: str, header: int = 0) -> Iterator[tuple[int, str]]:
    """The lines below the line of that number that are neither empty nor comments."""
    return numbered(text, below=header, data=True)


@dataclass(frozen=True)
class Splitter:
    """How the fields of a line are told apart: by white space, or by one character, with quoted fields and each field stripped."""

    mark: str = ''

    def __call__(self, line: str) -> list[str]:
        """A quoted field never runs on into the next line. Beside semicolons a comma may be a decimal comma."""
        if not self.mark:
            return line.split()
        if '"' not in line:
            return [part.strip() for part in line.split(self.mark)]
        with suppress(csv.Error):
            return [part.strip() for part in next(csv.reader([line], delimiter=self.mark), [])]
        return []

    @classmethod
    def of(cls, header: str) -> Splitter:
        """That of a header; by white space where it has none of the marks."""
        return cls(next((mark for mark in MARKS if mark in header), ''))


SPACES, COMMAS = Splitter(), Splitter(',')


def split_header(header: str, rows: Iterable[tuple[int, str]]) -> tuple[list[str], Splitter]:
    """The names in a header, and what splits the rows below it: some files divide the two in different ways.

    The services of ZTF put commas between the names and blanks between the values. A name that is empty belongs to a column that
    a spreadsheet or pandas added; it is none where the rows are divided by blanks.
    """
    split = Splitter.of(header)
    names = split(header)
    named = [name for name in names if name]
    first = [row for _, row in islice(rows, LOOKED_AT) if len(row) <= LONGEST_LINE]
    as_header = sum(len(split(row)) == len(names) for row in first)
    as_words = sum(len(row.split()) == len(named) for row in first)
    return (named, SPACES) if as_words > as_header else (names, split)


def header_names(names: Sequence[str], service: str) -> tuple[str, ...]:
    """The names as they are; BadFile where one stands there twice, or where there are too many."""
    if len(names) > MOST_COLUMNS:
        raise BadFile(f'This is not a result file of {service}: its header names {len(names):,} columns.')
    twice = sorted(name for name, number in Counter(names).items() if name and number > 1)
    if twice:
        shown = ', '.join(name[:SHOWN] for name in twice[:5]) + (' and others' if len(twice) > 5 else '')
        raise BadFile(f'This is not a result file of {service}: its header names {shown} more than once.')
    return tuple(names)
