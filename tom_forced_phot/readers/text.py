"""Text files as columns: decoding, rows of one length, numbers that stay what they are in the file."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.photometry import Measurements, Rejections

NUMBER = re.compile(r'[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf(inity)?)', re.ASCII | re.IGNORECASE)
WHOLE = re.compile(r'[+-]?\d+', re.ASCII)
SHOWN = 60
#: Whole numbers below this are exact as float64; longer ones are read without it.
EXACT = 2.0**53
DIGITS = 15
#: Beyond any flux in microjansky that a file can mean, and far from overflow in the formulas.
LARGEST = 1e30
MJD_RANGE = (50000.0, 90000.0)
SECONDS_PER_DAY = 86400.0


def decode(content: bytes, service: str) -> str:
    """The text of a file with ``\\n`` at the ends of its lines; BadFile where it is binary."""
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError:
        raise BadFile(f'This is not a result file of {service}: it is binary data, or text that is not UTF-8.') from None
    if '\0' in text:
        raise BadFile(f'This is not a result file of {service}: it is binary data.')
    return text.replace('\r\n', '\n').replace('\r', '\n') if '\r' in text else text


def refuse(text: str, service: str, lacking: Iterable[str] = ()) -> BadFile:
    """What to raise for a text of another kind: one sentence that names what was found."""
    start = text.lstrip()[:SHOWN].split('\n')[0].strip()
    if start.startswith('<'):
        found = f'it is a web page or XML, beginning with {start!r}'
    elif start.startswith(('{', '[')):
        found = f'it is JSON, beginning with {start!r}'
    else:
        wanted = ', '.join(lacking)
        found = (f'the columns {wanted} are not named in it; ' if wanted else '') + f'it begins with {start!r}'
    return BadFile(f'This is not a result file of {service}: {found}.')


def split_commas(line: str) -> list[str]:
    """The fields of one CSV line, each stripped; a quoted field never runs on into the next line."""
    if '"' not in line:
        return [part.strip() for part in line.split(',')]
    return [part.strip() for part in next(csv.reader([line]), [])]


@dataclass(frozen=True)
class Table:
    """The rows of a text table: their fields as text, their line numbers (from 1), and the rows left out so far."""

    names: tuple[str, ...]
    fields: Sequence[Sequence[str]]
    lines: Sequence[int]
    rejected: Rejections = field(default_factory=Rejections)

    def only(self, keep: NDArray[np.bool_], reason: str) -> Table:
        """Without the rows outside the mask, counted under ``reason``."""
        if keep.all():
            return self
        dropped = Rejections.of(reason, [line for line, kept in zip(self.lines, keep, strict=True) if not kept])
        chosen = np.flatnonzero(keep).tolist()
        fields, lines = [self.fields[number] for number in chosen], [self.lines[number] for number in chosen]
        return replace(self, fields=fields, lines=lines, rejected=self.rejected + dropped)

    def readable(self, needed: Iterable[str], missing: frozenset[str]) -> Table:
        """Without the rows where one of the needed columns holds no number (a word of ``missing`` passes)."""
        found = self
        for position in [self.names.index(name) for name in needed if name in self.names]:
            _, is_number = numbers([row[position] for row in found.fields], missing)
            found = found.only(is_number, f'{self.names[position]} is not a number')
        return found


@dataclass(frozen=True)
class Columns:
    """A table read: each named column as an array, the line number of each row, and what was left out of how many rows."""

    values: dict[str, NDArray[Any]]
    lines: NDArray[np.int64]
    rows: int
    rejected: Rejections = field(default_factory=Rejections)

    def __len__(self) -> int:
        return len(self.lines)

    def dropping(self, bad: NDArray[np.bool_], reason: str) -> Columns:
        """Without the rows that ``bad`` marks, counted under ``reason``."""
        if not bad.any():
            return self
        values = {name: column[~bad] for name, column in self.values.items()}
        return Columns(values, self.lines[~bad], self.rows, self.rejected + Rejections.of(reason, self.lines[bad]))

    def floats(self, name: str) -> NDArray[np.float64]:
        """A column as float64; nan in every row where the file has no such column, and where it has no number."""
        column = self.values.get(name)
        if column is None:
            return np.full(len(self), np.nan)
        return column.astype(np.float64) if column.dtype.kind in 'if' else numbers(column.tolist())[0]


def read_columns(
    names: tuple[str, ...],
    numbered: Sequence[tuple[int, Any]],
    *,
    needed: Sequence[str] = (),
    texts: Sequence[str] = (),
    missing: frozenset[str] = frozenset(),
    split: Callable[[Any], list[str]] = str.split,
) -> Columns:
    """Every named column of the numbered rows: whole numbers as int64, other numbers as float64, the rest and ``texts`` as text.

    Rows with another number of fields than ``names``, or without a number in a ``needed`` column, are counted as rejected; a word
    of ``missing`` is the number nan. ``split`` makes the fields of a row.
    """
    quick = quick_columns(names, numbered, texts, split)
    if quick is not None:
        return quick
    fields = [split(line) for _, line in numbered]
    found = Table(names, fields, [number for number, _ in numbered])
    as_wide = np.array([len(row) == len(names) for row in fields], dtype=np.bool_)
    found = found.only(as_wide, f'the row has not the {len(names)} columns of the header').readable(needed, missing)
    tokens: Sequence[Sequence[str]] = list(zip(*found.fields, strict=True)) or [()] * len(names)
    values = {
        name: text_array(column) if name in texts else typed(column, missing)
        for name, column in zip(names, tokens, strict=True)
        if name
    }
    return Columns(values, np.array(found.lines, dtype=np.int64), len(fields), found.rejected)


def quick_columns(
    names: tuple[str, ...], numbered: Sequence[tuple[int, Any]], texts: Sequence[str], split: Callable[[Any], list[str]]
) -> Columns | None:
    """The same by numpy's own reader, three times as fast; None where a row is not all numbers outside ``texts``."""
    if not numbered or split not in (str.split, split_commas):
        return None
    rows, commas = [line for _, line in numbered], split is split_commas
    first = split(rows[0])
    if len(first) != len(names) or (commas and any('"' in row for row in rows)):
        return None
    kinds = np.dtype([(f'f{n}', object if name in texts else np.float64) for n, name in enumerate(names)])
    try:
        read = np.loadtxt(rows, dtype=kinds, comments=None, delimiter=',' if commas else None, ndmin=1)
    except ValueError:
        return None
    values: dict[str, NDArray[Any]] = {}
    for number, (name, token) in enumerate(zip(names, first, strict=True)):
        column = read[f'f{number}']
        if name in texts:
            values[name] = text_array([text.strip() for text in column.tolist()])
        elif (np.abs(column[np.isfinite(column)]) < EXACT).all():
            values[name] = whole_or_not(column, token)
        else:
            return None
    values.pop('', None)
    lines = np.array([number for number, _ in numbered], dtype=np.int64)
    return Columns(values, lines, len(lines)) if len(read) == len(lines) else None


def whole_or_not(column: NDArray[np.float64], token: str) -> NDArray[Any]:
    """As int64 where the first row's token is a whole number and so are all the others."""
    if WHOLE.fullmatch(token) and np.isfinite(column).all():
        whole = column.astype(np.int64)
        if (whole == column).all():
            return whole
    return np.ascontiguousarray(column)


def data_lines(lines: Sequence[str], start: int) -> list[tuple[int, str]]:
    """The lines from index ``start`` that are neither empty nor comments, each with its number in the file (from 1)."""
    numbered = enumerate(lines[start:], start + 1)
    return [(number, line) for number, line in numbered if line and line[0] != '#' and not line.isspace()]


def header_names(names: Sequence[str], service: str) -> tuple[str, ...]:
    """The names as they are; BadFile where one stands there twice."""
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise BadFile(f'This is not a result file of {service}: its header names {", ".join(twice)} more than once.')
    return tuple(names)


def text_array(tokens: Sequence[str]) -> NDArray[Any]:
    """Text as a numpy array of text (never of floats where there is none)."""
    return np.array(tokens, dtype=np.str_)


def numbers(tokens: Sequence[str], missing: frozenset[str] = frozenset()) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The tokens as float64, and where they are numbers; a word of ``missing`` counts as the number nan."""
    if is_plain(tokens):
        try:
            return np.array(list(map(float, tokens)), dtype=np.float64), np.ones(len(tokens), dtype=np.bool_)
        except ValueError:
            pass  # there is one among them that is no number: which, is found one by one
    good = np.array([token in missing or NUMBER.fullmatch(token) is not None for token in tokens], dtype=np.bool_)
    values = [float(token) if ok and token not in missing else math.nan for token, ok in zip(tokens, good, strict=True)]
    return np.array(values, dtype=np.float64), good


def is_plain(tokens: Sequence[str]) -> bool:
    """Whether ``float`` and ``int`` read these as any other program does: they also take ``1_000`` and digits of other scripts."""
    joined = ''.join(tokens)
    return joined.isascii() and '_' not in joined


def typed(tokens: Sequence[str], missing: frozenset[str] = frozenset()) -> NDArray[Any]:
    """Whole numbers as int64 (exact, 64-bit ids too), numbers as float64, anything else as text.

    A column of which more than half are numbers is one of numbers: nan in the other rows, and for ``missing`` and ''. Not so
    where a whole number is too long for float64: that column stays text.
    """
    if is_plain(tokens):
        try:
            return np.array(list(map(int, tokens)), dtype=np.int64)
        except OverflowError:
            return text_array(tokens)
        except ValueError:
            pass  # not all are whole numbers
    if any(len(token) > DIGITS and WHOLE.fullmatch(token) for token in tokens):
        return text_array(tokens)
    values, good = numbers(tokens, missing | {''})
    return values if 2 * np.count_nonzero(good) > len(tokens) else text_array(tokens)


def drop_repeated(found: Measurements, lines: NDArray[Any]) -> tuple[Measurements, NDArray[Any]]:
    """Of several rows with one ``exposure`` the last stays: what was measured again replaces what was before."""
    backwards = found.exposure[::-1]
    _, first_from_end = np.unique(backwards, return_index=True)
    repeated = np.ones(len(found), dtype=np.bool_)
    repeated[len(found) - 1 - first_from_end] = False
    return found.rejecting(repeated, 'a later row holds the same exposure, and that one is kept', lines)


def drop_absurd(found: Measurements, lines: NDArray[Any]) -> tuple[Measurements, NDArray[Any]]:
    """Without the rows whose flux, error or time can be no measurement."""
    flux, error = found.flux, found.flux_error
    finite = (np.abs(flux) < LARGEST) & (np.abs(error) < LARGEST)
    empty = finite & (flux == 0) & (error == 0)
    rules = [
        (~finite, 'the flux or its error is not a finite number'),
        (empty, 'no measurement: flux and error are zero'),
        (finite & ~empty & ~(error > 0), 'the error of the flux is not positive'),
        (~((found.mjd > MJD_RANGE[0]) & (found.mjd < MJD_RANGE[1])), 'the time is not an MJD between 50000 and 90000'),
    ]
    gone = np.zeros(len(found), dtype=np.bool_)
    kept = found
    for bad, reason in rules:
        kept, lines = kept.rejecting((bad & ~gone)[~gone], reason, lines)
        gone |= bad
    return kept, lines
