"""The raw SQL of ingestion: many points read, inserted or updated in a few statements.

SQLite: executemany. PostgreSQL (psycopg 3): COPY and unnest(). Any other database: :mod:`~tom_forced_phot.ingest.sql`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
from django.db import IntegrityError, connection, transaction
from tom_dataproducts.models import PhotometryReducedDatum

from tom_forced_phot.ingest.point_rows import EPOCH, FIELDS, MARGIN, MICROSECOND, NUMBERS, Column, Integers, instant, take

Model = PhotometryReducedDatum
Item = TypeVar('Item')
TABLE = Model._meta.db_table
SLICE = 500
TYPES = {'timestamp': 'timestamptz', 'value': 'jsonb', **dict.fromkeys(NUMBERS, 'float8')}
#: COPY's text format; the JSON encoder has already escaped control characters.
ESCAPES = str.maketrans({'\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r'})


def kind() -> str:
    """Which of the three ways this database gets: ``sqlite``, ``postgresql``, or empty."""
    if connection.vendor == 'sqlite':
        return 'sqlite' if connection.timezone_name == 'UTC' else ''
    if connection.vendor == 'postgresql':
        from django.db.backends.postgresql.psycopg_any import is_psycopg3

        return 'postgresql' if is_psycopg3 else ''
    return ''


@dataclass(frozen=True)
class StoredCurve:
    """The stored points of one service on one target."""

    target: int
    service: str
    #: Every band the target has points in: with them the host's index (target, band, time) serves a range of times.
    bands: Sequence[str]

    @classmethod
    def of(cls, target: int, service: str) -> StoredCurve:
        """As it stands now."""
        bands = Model.objects.filter(target_id=target).order_by('bandpass').values_list('bandpass', flat=True).distinct()
        return cls(target, service, list(bands))

    def around(self, times: Integers, reductions: Iterable[str]) -> Stored:
        """The points within a day of these times (microseconds since 1970), of these reductions."""
        versions = sorted(set(reductions))
        if not len(times) or not self.bands:
            return columns([])
        first, last = instant(int(times.min()) - MARGIN), instant(int(times.max()) + MARGIN)
        if not kind():
            return stored(self.target, self.service, versions, first, last)
        adapt = connection.ops.adapt_datetimefield_value
        condition = (
            f'{_name("target")} = %s AND {_name("source_name")} = %s AND {_name("timestamp")} BETWEEN %s AND %s '
            f'AND {_name("bandpass")} IN ({_marks(self.bands)}) AND {_name("reduction_version")} IN ({_marks(versions)})'
        )
        readings = ', '.join(_reading(name) for name in FIELDS)
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT {_name("id")}, {readings} FROM {_table()} WHERE {condition}',  # noqa: S608
                [self.target, self.service, adapt(first), adapt(last), *self.bands, *versions],
            )
            return columns(cursor.fetchall())


def insert(columns: Mapping[str, Column], **constants: Any) -> int:
    """Insert points; how many were new to the host's unique constraints. ``constants`` by attribute, for example ``target_id``."""
    if not len(columns['value']):
        return 0
    way = {'sqlite': _insert_sqlite, 'postgresql': _insert_postgresql}.get(kind(), insert_with_orm)
    return way(columns, constants)


def update(ids: Integers, columns: Mapping[str, Column]) -> int:
    """Give points new values; how many took them: one that would equal a foreign point keeps its own."""
    if not len(ids) or not columns:
        return 0
    way = {'sqlite': _update_sqlite, 'postgresql': _update_postgresql}.get(kind(), update_with_orm)
    try:
        with transaction.atomic():
            way(ids, columns)
        return len(ids)
    except IntegrityError:
        if len(ids) == 1:
            return 0
    halves = np.array_split(np.arange(len(ids)), 2)
    return sum(update(ids[half], {name: take(column, half) for name, column in columns.items()}) for half in halves)


def delete(ids: Sequence[int]) -> int:
    """By primary key, in slices that every database takes; how many rows that were, with those that hang on them."""
    return sum(Model.objects.filter(pk__in=some).delete()[0] for some in slices(ids))


def move(ids: Sequence[int], product: int) -> None:
    """Let points belong to another data product."""
    for some in slices(ids):
        Model.objects.filter(pk__in=some).update(data_product_id=product)


def give(ids: Sequence[int], target: int) -> int:
    """Let points belong to another target; how many do: one that equals a point of that target is deleted."""
    moved = 0
    for some in slices(ids):
        try:
            with transaction.atomic():
                moved += Model.objects.filter(pk__in=some).update(target_id=target)
        except IntegrityError:
            if len(some) == 1:
                delete(some)
            else:
                middle = len(some) // 2
                moved += give(some[:middle], target) + give(some[middle:], target)
    return moved


def slices(ids: Sequence[Item], size: int = SLICE) -> Iterator[Sequence[Item]]:
    """So many at a time: SQLite takes a limited number of parameters."""
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _name(field: str) -> str:
    return connection.ops.quote_name(Model._meta.get_field(field).column)


def _table() -> str:
    return connection.ops.quote_name(TABLE)


def _marks(values: Sequence[Any]) -> str:
    return ', '.join(['%s'] * len(values))


def _reading(field: str) -> str:
    if connection.vendor == 'postgresql':
        if field == 'timestamp':
            return f'(EXTRACT(EPOCH FROM {_name(field)}) * 1000000)::bigint'
        return f'{_name(field)}::text' if field == 'value' else _name(field)
    # an expression has no declared type, so that Django's converter, slow in the thousands, is not called
    return f"{_name(field)} || ''" if field == 'timestamp' else _name(field)


def _layout(columns: Mapping[str, Column], constants: Mapping[str, Any]) -> dict[str, Any]:
    """Field name -> column, or what is the same for all rows: ours, or the field's default."""
    fields = [field for field in Model._meta.concrete_fields if not field.primary_key]
    return {
        field.name: columns[field.name]
        if field.name in columns
        else field.get_db_prep_save(constants.get(field.attname, field.get_default()), connection)
        for field in fields
    }


def _parameters(name: str, column: Column) -> list[Any]:
    """A column as the database's driver takes it."""
    if name == 'timestamp':
        zone = '' if connection.vendor == 'sqlite' else '+00'
        return [f'{moment}{zone}' for moment in np.asarray(column).astype('datetime64[us]').tolist()]
    if name in NUMBERS:
        return nullable(column)
    return list(column)


def _is_column(given: Any) -> bool:
    return isinstance(given, (list, np.ndarray))


def _insert_sqlite(columns: Mapping[str, Column], constants: Mapping[str, Any]) -> int:
    layout = _layout(columns, constants)
    names = ', '.join(_name(name) for name in layout)
    given = [_parameters(name, column) if _is_column(column) else repeat(column) for name, column in layout.items()]
    marks = ', '.join(['%s'] * len(layout))
    with connection.cursor() as cursor:
        cursor.executemany(
            f'INSERT INTO {_table()} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING',  # noqa: S608
            list(zip(*given, strict=False)),
        )
        return cursor.rowcount


def _insert_postgresql(columns: Mapping[str, Column], constants: Mapping[str, Any]) -> int:
    layout = _layout(columns, constants)
    try:
        with transaction.atomic():
            return _copy(layout)
    except IntegrityError:
        return _insert_from_arrays(layout)


def _copy(layout: Mapping[str, Any]) -> int:
    pieces, varying = [], []
    for name, given in layout.items():
        if _is_column(given):
            piece, texts = _copied(name, given)
            varying.append(texts)
        else:
            piece = r'\N' if given is None else str(given).translate(ESCAPES).replace('%', '%%')
        pieces.append(piece)
    template = '\t'.join(pieces) + '\n'
    names = ', '.join(_name(name) for name in layout)
    lines = [template % row for row in zip(*varying, strict=True)]
    statement = f'COPY {_table()} ({names}) FROM STDIN'
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for some in slices(lines):
            copy.write(''.join(some))
    return len(lines)


def _copied(name: str, column: Column) -> tuple[str, list[Any]]:
    """How a value of the column stands in a line of COPY's text format, and the values."""
    values = _parameters(name, column)
    if name in NUMBERS:
        return ('%s', [r'\N' if value is None else repr(value) for value in values]) if None in values else ('%r', values)
    joined = ''.join(values)
    special = any(character in joined for character in '\\\t\n\r')
    return '%s', [value.translate(ESCAPES) for value in values] if special else values


def _insert_from_arrays(layout: Mapping[str, Any]) -> int:
    """Slower than COPY, but a row that equals another is left out, not fatal."""
    varying = {name: column for name, column in layout.items() if _is_column(column)}
    chosen = ', '.join(f'v.{_name(name)}::{TYPES.get(name, "text")}' if name in varying else '%s' for name in layout)
    constants = [given for name, given in layout.items() if name not in varying]
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO {_table()} ({", ".join(map(_name, layout))}) '  # noqa: S608
            f'SELECT {chosen} FROM {_unnest(list(varying))} ON CONFLICT DO NOTHING',
            [*constants, *(_parameters(name, column) for name, column in varying.items())],
        )
        return cursor.rowcount


def _unnest(names: Sequence[str], first: str = '') -> str:
    arrays = [f'%s::{"float8" if name in NUMBERS else "text"}[]' for name in names]
    quoted = [_name(name) for name in names]
    if first:
        arrays, quoted = ['%s::bigint[]', *arrays], [first, *quoted]
    return f'unnest({", ".join(arrays)}) AS v({", ".join(quoted)})'


def _update_sqlite(ids: Integers, columns: Mapping[str, Column]) -> None:
    names = ', '.join(f'{_name(name)} = %s' for name in columns)
    given = [_parameters(name, column) for name, column in columns.items()]
    with connection.cursor() as cursor:
        cursor.executemany(
            f'UPDATE {_table()} SET {names} WHERE {_name("id")} = %s',  # noqa: S608
            list(zip(*given, ids.tolist(), strict=True)),
        )


def _update_postgresql(ids: Integers, columns: Mapping[str, Column]) -> None:
    names = ', '.join(f'{_name(name)} = v.{_name(name)}::{TYPES.get(name, "text")}' for name in columns)
    given = [_parameters(name, column) for name, column in columns.items()]
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE {_table()} AS p SET {names} FROM {_unnest(list(columns), "id")} WHERE p.{_name("id")} = v.id',  # noqa: S608
            [ids.tolist(), *given],
        )


BATCH = 500


def stored(target: int, service: str, reductions: Sequence[str], first: datetime, last: datetime) -> Stored:
    """The points of one light curve between two instants."""
    found = Model.objects.filter(
        target_id=target, source_name=service, reduction_version__in=reductions, timestamp__range=(first, last)
    ).values_list('pk', *FIELDS)
    return columns([(pk, (moment - EPOCH) // MICROSECOND, json.dumps(value), *rest) for pk, moment, value, *rest in found])


def insert_with_orm(given: Mapping[str, Column], constants: Mapping[str, Any]) -> int:
    """Insert points; how many were new to the host's unique constraints."""
    mine = Model.objects.filter(target_id=constants['target_id'])
    before = mine.count()
    made = (Model(**constants, **dict(zip(given, row, strict=True))) for row in _rows(given))
    Model.objects.bulk_create(made, batch_size=BATCH, ignore_conflicts=True)
    return mine.count() - before


def update_with_orm(ids: Integers, given: Mapping[str, Column]) -> None:
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


@dataclass(frozen=True)
class Stored:
    """Points as they stand in the database, in the columns of :class:`~tom_forced_phot.ingest.point_rows.PointRows`."""

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
