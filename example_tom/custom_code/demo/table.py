"""The demo's tables: one line for what happened, with long reasons folded within their column."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Row = tuple[str, ...]
MISHAPS = ('Problem', 'Failed', '! ')


@dataclass(frozen=True)
class Table:
    """Names and widths of the columns; the last ``numbers`` of them are set to the right."""

    names: Row
    widths: Sequence[int]
    numbers: int = 0

    def head(self) -> Iterator[str]:
        """The head of the table."""
        yield from self.lines(self.names)
        yield '  '.join('-' * width for width in self.widths)

    def lines(self, cells: Iterable[str]) -> Iterator[str]:
        """A row as lines of text."""
        columns = [textwrap.wrap(cell, width) or [''] for cell, width in zip(cells, self.widths, strict=True)]
        for index in range(max(map(len, columns))):
            parts = [column[index] if index < len(column) else '' for column in columns]
            yield '  '.join(map(self._set, parts, range(len(parts)))).rstrip()

    def _set(self, text: str, column: int) -> str:
        width = self.widths[column]
        return text.rjust(width) if column >= len(self.widths) - self.numbers else text.ljust(width)


NIGHTS = Table(('night', 'UTC', 'target', 'what was decided, and why', 'what the observatory booked'), (8, 12, 16, 62, 30))
PHOTOMETRY = Table(
    ('UTC', 'service', 'target', 'what became of the query', 'rows', 'new', 'unchanged', 'rejected', 'requests'),
    (12, 9, 14, 54, 4, 4, 9, 8, 8),
    numbers=5,
)
