"""The same as in :mod:`~tom_forced_phot.ingest.bulk` through the ORM, for databases that are neither SQLite nor PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from tom_dataproducts.models import PhotometryReducedDatum

from tom_forced_phot.ingest.rows import EPOCH, FIELDS, MICROSECOND, NUMBERS, Column, Integers, instant
from tom_forced_phot.ingest.stored import Stored, columns, nullable

Model = PhotometryReducedDatum
BATCH = 500


def stored(target: int, service: str, reductions: Sequence[str], first: datetime, last: datetime) -> Stored:
    """The points of one light curve between two instants."""
    found = Model.objects.filter(
        target_id=target, source_name=service, reduction_version__in=reductions, timestamp__range=(first, last)
    ).values_list('pk', *FIELDS)
    return columns([(pk, (moment - EPOCH) // MICROSECOND, json.dumps(value), *rest) for pk, moment, value, *rest in found])


def insert(given: Mapping[str, Column], constants: Mapping[str, Any]) -> int:
    """Insert points; how many were new to the host's unique constraints."""
    mine = Model.objects.filter(target_id=constants['target_id'])
    before = mine.count()
    made = (Model(**constants, **dict(zip(given, row, strict=True))) for row in _rows(given))
    Model.objects.bulk_create(made, batch_size=BATCH, ignore_conflicts=True)
    return mine.count() - before


def update(ids: Integers, given: Mapping[str, Column]) -> None:
    """Give points new values; IntegrityError where one would equal another."""
    for pk, row in zip(ids.tolist(), _rows(given), strict=True):
        Model.objects.filter(pk=pk).update(**dict(zip(given, row, strict=True)))


def _rows(given: Mapping[str, Column]) -> Iterable[tuple[Any, ...]]:
    return zip(*(_python(name, column) for name, column in given.items()), strict=True)


def _python(name: str, column: Column) -> list[Any]:
    """A column as the ORM takes it."""
    if name == 'timestamp':
        return [instant(micros) for micros in np.asarray(column).tolist()]
    if name == 'value':
        return [json.loads(text) for text in column]
    return nullable(column) if name in NUMBERS else list(column)
