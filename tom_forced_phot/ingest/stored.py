"""Points as they stand in the database, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tom_forced_phot.ingest.rows import FIELDS, NUMBERS, Column, Integers


@dataclass(frozen=True)
class Stored:
    """Points as they stand in the database, in the columns of :class:`~tom_forced_phot.ingest.rows.Points`."""

    ids: Integers
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.ids)


def columns(found: Sequence[Sequence[Any]]) -> Stored:
    """Rows of (id, FIELDS): the time as text or as microseconds since 1970, ``value`` as JSON text."""
    ids, *rest = list(zip(*found, strict=True)) or [()] * (len(FIELDS) + 1)
    by_name: dict[str, Column] = {}
    for name, column in zip(FIELDS, rest, strict=True):
        if name == 'timestamp':
            kept = column if column and isinstance(column[0], int) else np.array(column, dtype='datetime64[us]')
            by_name[name] = np.array(kept).astype(np.int64)
        elif name in NUMBERS:
            by_name[name] = np.array(column, dtype=np.float64)
        else:
            by_name[name] = list(column)
    return Stored(np.array(ids, dtype=np.int64), by_name)


def nullable(numbers: Column) -> list[float | None]:
    """Numbers as a database's driver takes them."""
    return [None if value != value else value for value in np.asarray(numbers).tolist()]
