"""Tables as columns: rows of one length, numbers that stay what they are in the file, and what is left out, counted.

Rows become columns a few thousand at a time: what a table costs is its columns as arrays, whatever stands in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_forced_phot.core.photometry import Measurements, Rejections
from tom_forced_phot.readers.text import LONGEST_FIELD, LONGEST_LINE, SHOWN, SPACES, Rows, Splitter

NUMBER = re.compile(r'[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf(inity)?)', re.ASCII | re.IGNORECASE)
WHOLE = re.compile(r'[+-]?\d+', re.ASCII)
#: Rows, and characters of rows, made into columns at a time.
CHUNK_ROWS, CHUNK_SIZE = 2000, 200_000
#: Whole numbers below this are exact as float64; longer ones are read without it.
EXACT = 2.0**53
DIGITS = 15
#: Beyond any flux in microjansky that a file can mean, and far from overflow in the formulas.
LARGEST = 1e30
MJD_RANGE = (50000.0, 90000.0)
SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True)
class TextColumns:
    """A table read: each named column as an array, the line number of each row, and what was left out of how many rows."""

    values: dict[str, NDArray[Any]]
    lines: NDArray[np.int64]
    rows: int
    rejected: Rejections = field(default_factory=Rejections)

    def __len__(self) -> int:
        return len(self.lines)

    def dropping(self, bad: NDArray[np.bool_], reason: str) -> TextColumns:
        """Without the rows that ``bad`` marks, counted under ``reason``."""
        if not bad.any():
            return self
        values = {name: column[~bad] for name, column in self.values.items()}
        return TextColumns(values, self.lines[~bad], self.rows, self.rejected + Rejections.of(reason, self.lines[bad]))

    def dropping_first(self, rules: Iterable[tuple[NDArray[np.bool_], str]]) -> TextColumns:
        """Without the rows that any rule marks, each counted under the first that does."""
        found, gone = self, np.zeros(len(self), dtype=np.bool_)
        for bad, reason in rules:
            found = found.dropping((bad & ~gone)[~gone], reason)
            gone |= bad
        return found

    def floats(self, name: str) -> NDArray[np.float64]:
        """A column as float64; nan in every row where the file has no such column, and where it has no number."""
        column = self.values.get(name)
        if column is None:
            return np.full(len(self), np.nan)
        return column.astype(np.float64) if column.dtype.kind in 'if' else numbers(column.tolist())[0]


def read_columns(
    names: tuple[str, ...],
    rows: Rows,
    *,
    needed: Sequence[str] = (),
    texts: Sequence[str] = (),
    missing: frozenset[str] = frozenset(),
    split: Callable[[Any], list[str]] = SPACES,
) -> TextColumns:
    """Every named column of the numbered rows: whole numbers as int64, other numbers as float64, the rest and ``texts`` as text.

    A column of which more than half are numbers is one of numbers: nan in the other rows, and for the words of ``missing`` and ''.
    Not so where a whole number is too long for float64: that column is text. Rows with another number of fields than ``names``,
    with a field of more than 1,000 characters, or without a number in a ``needed`` column, are counted as rejected. ``split``
    makes the fields of a row. ``rows`` is called a second time where columns turned out to be text.
    """
    kept = frozenset(texts)
    while True:
        parts = [read_part(names, some, needed, kept, missing, split) for some in chunks(rows())]
        found_text = {name for name in names if name and name not in kept and is_text(parts, name)}
        if not found_text:
            return joined(names, parts, kept)
        kept |= found_text


@dataclass(frozen=True)
class ColumnPart:
    """Some rows of a table: columns, how many fields of a column are numbers where not all are, and what float64 cannot hold."""

    found: TextColumns
    good: dict[str, int] = field(default_factory=dict)
    #: TextColumns with a whole number that is too long for float64, and with one too long for int64.
    long: frozenset[str] = frozenset()
    too_long: frozenset[str] = frozenset()


def chunks(rows: Iterable[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    """A few thousand rows at a time, fewer where they are long."""
    some: list[tuple[int, Any]] = []
    size = 0
    for number, row in rows:
        some.append((number, row))
        size += len(row) if isinstance(row, str) else sum(map(len, row))
        if len(some) >= CHUNK_ROWS or size > CHUNK_SIZE:
            yield some
            some, size = [], 0
    if some:
        yield some


def read_part(
    names: tuple[str, ...],
    numbered_rows: list[tuple[int, Any]],
    needed: Sequence[str],
    texts: frozenset[str],
    missing: frozenset[str],
    split: Callable[[Any], list[str]],
) -> ColumnPart:
    """Some rows as columns; every column that is not among ``texts`` as numbers."""
    oversized = [number for number, row in numbered_rows if is_oversized(row, split)]
    rejected = Rejections.of(f'a field is longer than {LONGEST_FIELD:,} characters', oversized)
    gone = set(oversized)
    short = [(number, row) for number, row in numbered_rows if number not in gone] if gone else numbered_rows
    values = quick_columns(names, [row for _, row in short], texts, split) if not rejected else None
    if values is not None:
        every = np.array([number for number, _ in short], dtype=np.int64)
        return part_of(TextColumns(values, every, len(every)), {})
    kept = [(number, split(row)) for number, row in short]
    width = f'the row has not the {len(names)} columns of the header'
    rejected += Rejections.of(width, [number for number, fields in kept if len(fields) != len(names)])
    kept = [(number, fields) for number, fields in kept if len(fields) == len(names)]
    decimal_comma = isinstance(split, Splitter) and split.mark == ';'
    for name in [name for name in needed if name in names]:
        at = names.index(name)
        _, good = numbers(plain([fields[at] for _, fields in kept], decimal_comma), missing)
        bad = [number for (number, _), is_number in zip(kept, good.tolist(), strict=True) if not is_number]
        rejected += Rejections.of(f'{name} is not a number', bad)
        kept = [row for row, is_number in zip(kept, good.tolist(), strict=True) if is_number]
    values, counted = {}, {}
    columns: Sequence[Sequence[str]] = list(zip(*(fields for _, fields in kept), strict=True)) or [()] * len(names)
    overflowing: set[str] = set()
    for name, tokens in zip(names, columns, strict=True):
        if name in texts:
            values[name] = text_array(tokens)
        elif name:
            tokens = plain(tokens, decimal_comma)
            whole = whole_numbers(tokens)
            if whole is None:
                column, is_number = numbers(tokens, missing | {''})
                counted[name] = int(np.count_nonzero(is_number))
                if any(len(token) > DIGITS and WHOLE.fullmatch(token) for token in tokens):
                    overflowing.add(name)
                values[name] = column
            else:
                values[name] = whole
    found = TextColumns(values, np.array([number for number, _ in kept], dtype=np.int64), len(numbered_rows), rejected)
    return part_of(found, counted, overflowing)


def part_of(found: TextColumns, good: dict[str, int], too_long: Iterable[str] = ()) -> ColumnPart:
    """With the whole numbers named that are exact as int64 only."""
    far = 10**DIGITS
    whole = {name: column for name, column in found.values.items() if column.dtype.kind == 'i' and len(column)}
    long = frozenset(name for name, column in whole.items() if column.max() >= far or column.min() <= -far)
    return ColumnPart(found, good, long, frozenset(too_long))


def is_oversized(row: Any, split: Callable[[Any], list[str]]) -> bool:
    """Whether a row, or a field of it, is longer than any that is meant."""
    if not isinstance(row, str):
        return max(map(len, row), default=0) > LONGEST_FIELD
    if len(row) <= LONGEST_FIELD:
        return False
    return len(row) > LONGEST_LINE or max(map(len, split(row)), default=0) > LONGEST_FIELD


def is_text(parts: Sequence[ColumnPart], name: str) -> bool:
    """Whether a column that was read as numbers is text after all."""
    columns = [part.found.values[name] for part in parts]
    if any(name in part.too_long for part in parts):
        return True
    if all(column.dtype.kind == 'i' for column in columns):
        return False
    good = sum(part.good.get(name, len(part.found)) for part in parts)
    return any(name in part.long for part in parts) or 2 * good <= sum(map(len, columns))


def joined(names: Sequence[str], parts: Sequence[ColumnPart], texts: frozenset[str]) -> TextColumns:
    """The parts of a table as one."""
    empty = np.zeros(0, dtype=np.int64)
    values: dict[str, NDArray[Any]] = {}
    for name in filter(None, names):
        columns = [part.found.values.pop(name) for part in parts]
        if name in texts:
            values[name] = joined_texts(columns)
        else:
            values[name] = np.concatenate(columns) if columns else empty
    rejected = Rejections()
    for part in parts:
        rejected += part.found.rejected
    lines = np.concatenate([empty, *(part.found.lines for part in parts)])
    return TextColumns(values, lines, sum(part.found.rows for part in parts), rejected)


def joined_texts(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Text as one array, which is as wide as its longest member: of Python's own texts where that is much wider than the others."""
    if not columns:
        return text_array(())
    wide = max(column.itemsize for column in columns) * sum(map(len, columns))
    if any(column.dtype.kind == 'O' for column in columns) or wide > 2 * sum(column.nbytes for column in columns) + 2**20:
        columns = [column.astype(object) for column in columns]
    return np.concatenate(columns)


def quick_columns(
    names: tuple[str, ...], rows: Sequence[Any], texts: frozenset[str], split: Callable[[Any], list[str]]
) -> dict[str, NDArray[Any]] | None:
    """The columns by numpy's own reader, three times as fast; None where a row is not all numbers outside ``texts``."""
    if not rows or not isinstance(split, Splitter):
        return None
    first = split(rows[0])
    if len(first) != len(names) or (split.mark and any('"' in row for row in rows)):
        return None
    kinds = np.dtype([(f'f{n}', object if name in texts else np.float64) for n, name in enumerate(names)])
    try:
        read = np.loadtxt(rows, dtype=kinds, comments=None, delimiter=split.mark or None, ndmin=1)
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
    return values if len(read) == len(rows) else None


def whole_or_not(column: NDArray[np.float64], token: str) -> NDArray[Any]:
    """As int64 where the first row's token is a whole number and so are all the others."""
    if WHOLE.fullmatch(token) and np.isfinite(column).all():
        whole = column.astype(np.int64)
        if (whole == column).all():
            return whole
    return np.ascontiguousarray(column)


def text_array(tokens: Sequence[str]) -> NDArray[Any]:
    """Text as a numpy array of text (never of floats where there is none); as Python's own texts where one is very long."""
    longest = max(map(len, tokens), default=0)
    if longest > SHOWN and longest * len(tokens) > 4 * sum(map(len, tokens)):
        return np.array(tokens, dtype=object)
    return np.array(tokens, dtype=np.str_)


def plain(tokens: Sequence[str], decimal_comma: bool) -> Sequence[str]:
    """With a point where a spreadsheet put a decimal comma."""
    return [token.replace(',', '.', 1) for token in tokens] if decimal_comma else tokens


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
    joined_tokens = ''.join(tokens)
    return joined_tokens.isascii() and '_' not in joined_tokens


def whole_numbers(tokens: Sequence[str]) -> NDArray[np.int64] | None:
    """The tokens as int64, exact for 64-bit ids too; None where one is something else."""
    if is_plain(tokens):
        with suppress(ValueError, OverflowError):
            return np.array(list(map(int, tokens)), dtype=np.int64)
    return None


def typed(tokens: Sequence[str]) -> NDArray[Any]:
    """A column by itself: whole numbers as int64, numbers as float64, anything else as text."""
    read = read_columns(('it',), lambda: enumerate([token] for token in tokens), split=list)
    return read.values['it']


def repeated(exposure: NDArray[Any]) -> NDArray[np.bool_]:
    """The rows whose exposure a later row holds, too: what was measured again replaces what was before."""
    backwards = exposure[::-1]
    if exposure.dtype.kind == 'U':
        with suppress(UnicodeEncodeError):
            backwards = backwards.astype(np.bytes_)  # a quarter of the memory
    _, first_from_end = np.unique(backwards, return_index=True)
    found = np.ones(len(exposure), dtype=np.bool_)
    found[len(exposure) - 1 - first_from_end] = False
    return found


REPEATED = 'a later row holds the same exposure, and that one is kept'


def drop_repeated(found: Measurements, lines: NDArray[Any]) -> tuple[Measurements, NDArray[Any]]:
    """Of several rows with one ``exposure`` the last stays."""
    return found.rejecting(repeated(found.exposure), REPEATED, lines)


def absurd(mjd: NDArray[np.float64], flux: NDArray[np.float64], error: NDArray[np.float64]) -> list[tuple[NDArray[np.bool_], str]]:
    """The rows whose flux, error or time can be no measurement, and why; the first reason of a row counts."""
    finite = (np.abs(flux) < LARGEST) & (np.abs(error) < LARGEST)
    empty = finite & (flux == 0) & (error == 0)
    return [
        (~finite, 'the flux or its error is not a finite number'),
        (empty, 'no measurement: flux and error are zero'),
        (finite & ~empty & ~(error > 0), 'the error of the flux is not positive'),
        (~((mjd > MJD_RANGE[0]) & (mjd < MJD_RANGE[1])), 'the time is not an MJD between 50000 and 90000'),
    ]


def drop_absurd(found: Measurements, lines: NDArray[Any]) -> tuple[Measurements, NDArray[Any]]:
    """Without the rows whose flux, error or time can be no measurement."""
    gone = np.zeros(len(found), dtype=np.bool_)
    kept = found
    for bad, reason in absurd(found.mjd, found.flux, found.flux_error):
        kept, lines = kept.rejecting((bad & ~gone)[~gone], reason, lines)
        gone |= bad
    return kept, lines
