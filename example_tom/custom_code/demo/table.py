"""The demo's table: one line for what happened, with long reasons folded within their column."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

Row = tuple[str, str, str, str, str]
MISHAPS = ('Problem', '! ')
WIDTHS = (8, 12, 16, 62, 30)
HEAD = ('night', 'UTC', 'target', 'what was decided, and why', 'what the observatory booked')


def lines(cells: Iterable[str]) -> Iterator[str]:
    """A row as lines of text."""
    columns = [textwrap.wrap(cell, width) or [''] for cell, width in zip(cells, WIDTHS, strict=True)]
    for index in range(max(map(len, columns))):
        parts = (column[index] if index < len(column) else '' for column in columns)
        yield '  '.join(part.ljust(width) for part, width in zip(parts, WIDTHS, strict=True)).rstrip()


def head() -> Iterator[str]:
    """The head of the table."""
    yield from lines(HEAD)
    yield '  '.join('-' * width for width in WIDTHS)
