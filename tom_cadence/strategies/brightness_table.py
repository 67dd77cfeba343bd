"""Intervals and exposure times by magnitude, as astronomers write them: ``up to 16: every 6 h, 30 s; fainter: every 2 days``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tom_cadence.exceptions import NeedsAttention
from tom_cadence.parameters import written

EXAMPLE = 'up to 16: every 6 h, 30 s; up to 18: every 24 h, 120 s; fainter: every 2 days, 300 s'
_ROW = re.compile(
    r'(?:(?:up\s+)?to\s+(?P<to>-?\d+(?:\.\d+)?)(?:\s*mag)?|(?P<rest>fainter))\s*:\s*'
    r'every\s+(?P<every>\d+(?:\.\d+)?)\s*(?P<unit>min|h|hours?|d|days?)'
    r'(?:\s*,\s*(?P<seconds>\d+(?:\.\d+)?)\s*s)?\Z',
    re.IGNORECASE,
)
MOST_ROWS = 100
_HOURS = {'m': 1 / 60, 'h': 1.0, 'd': 24.0}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Down to this magnitude (inf for any): hours between observations, and seconds of exposure where they are to follow."""

    to: float
    every: float
    seconds: float | None = None


def read_table(text: Any) -> tuple[Row, ...]:
    """The rows, brightest first; NeedsAttention names the one that cannot be read, and shows how to write it."""
    lines = [line.strip() for line in re.split(r'[;\n]', written('bright_table', text)) if line.strip()]
    if len(lines) > MOST_ROWS:
        raise NeedsAttention(f'bright_table: {len(lines)} rows; at most {MOST_ROWS} are possible.')
    rows = [_read(number, line) for number, line in enumerate(lines, 1)]
    for number, (brighter, fainter) in enumerate(pairwise(rows), 2):
        if fainter.to <= brighter.to:
            raise NeedsAttention(f'bright_table: row {number}, {lines[number - 1]!r}, is not fainter than the one before it.')
    return tuple(rows)


def _read(number: int, line: str) -> Row:
    found = _ROW.match(line)
    if found is None:
        raise NeedsAttention(f'bright_table: row {number}, {line!r}, cannot be read. Write it like: {EXAMPLE}')
    every = float(found['every']) * _HOURS[found['unit'][0].lower()]
    seconds = float(found['seconds']) if found['seconds'] else None
    if not 0.01 <= every <= 24 * 3660:
        raise NeedsAttention(f'bright_table: row {number}, {line!r}: an interval of 0.01 h to ten years is expected.')
    if seconds is not None and not 0.01 <= seconds <= 86400:
        raise NeedsAttention(f'bright_table: row {number}, {line!r}: an exposure of 0.01 s to a day is expected.')
    return Row(to=math.inf if found['rest'] else float(found['to']), every=every, seconds=seconds)


def row_for(rows: Sequence[Row], magnitude: float) -> Row | None:
    """The row that a magnitude falls into, or None where it is fainter than all."""
    return next((row for row in rows if magnitude <= row.to), None)
