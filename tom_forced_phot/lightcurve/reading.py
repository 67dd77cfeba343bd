"""The only module here that reads points: one statement for all of them, and one that tells whether they changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BigIntegerField, Count, F, Func, Max, Min, QuerySet, Sum, TextField
from numpy.typing import NDArray

from tom_followup.units import Floats
from tom_forced_phot import conf
from tom_forced_phot.lightcurve.columns import NUMBERS, Columns, build
from tom_forced_phot.models import LightCurve
from tom_forced_phot.permissions import visible_points

#: Raised when the columns are made in another way, so that those of an older version are not taken for them.
FORMAT = 2
#: Points read at a time, so that memory stays bounded and Python's collector of garbage has little to look through.
CHUNK = 5000
MOST_POINTS = 200_000
"""Of one target, the newest: a first look at half as many takes 0.8 s of a processor, and nobody sees more in a plot."""
#: Fewer points than this are read as quickly as they are kept.
WORTH_KEEPING = 2000
KEPT_FOR = 3600
#: Characters of a text in a source's own column; the card of a point has all of them.
LONGEST_TEXT = 100
SEPARATOR = '\x1f'
TEXTS = ('bandpass', 'unit', 'telescope', 'instrument', 'source_name', 'reduction_version')
FIELDS = {'magnitude': 'brightness', 'magnitude_error': 'brightness_error', 'limit': 'limit', 'exposure_time': 'exposure_time'}


class Micros(Func):
    """A time as the database's own text (SQLite, in UTC) or as microseconds since 1970 (PostgreSQL)."""

    output_field = BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """An expression has no declared type, so that no converter is called for each value."""
        return super().as_sql(compiler, connection, template="(%(expressions)s || '')", **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """The time zone of the session has no say in an epoch."""
        template = '(EXTRACT(EPOCH FROM %(expressions)s) * 1000000)::bigint'
        return super().as_sql(compiler, connection, template=template, **extra)


class Joined(Func):
    """Texts as one, which is half the work of fetching them one by one."""

    output_field = TextField()
    template = '(%(expressions)s)'

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Joined by the separator."""
        return super().as_sql(compiler, connection, arg_joiner=' || char(31) || ', **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Joined by the separator."""
        return super().as_sql(compiler, connection, arg_joiner=' || chr(31) || ', **extra)


class Text(Func):
    """A JSON column as the text it is."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """It is a text."""
        return super().as_sql(compiler, connection, template='(%(expressions)s)', **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Printed by the database."""
        return super().as_sql(compiler, connection, template='(%(expressions)s)::text', **extra)


def stamp(user: Any, target: Any) -> str:
    """A short text that is another one when the points that this user sees of the target are others.

    Ingestion raises the version of its light curve; what others store, change or delete shows in counts, sums and extremes. A
    foreign point whose texts alone were edited shows only in the next hour.
    """
    rows = visible_points(user, target)
    sums = rows.aggregate(
        number=Count('pk'),
        newest=Max('pk'),
        first=Min('timestamp'),
        last=Max('timestamp'),
        ids=Sum('pk'),
        mixed=Sum(F('pk') % 1009 * (F('pk') % 1013)),
        brightness=Sum('brightness'),
        errors=Sum('brightness_error'),
        limits=Sum('limit'),
    )
    versions = list(LightCurve.objects.filter(target_id=target.pk).order_by('service').values_list('service', 'version'))
    # a database that adds up in parallel does not add in the same order twice
    parts = [f'{value:.9g}' if isinstance(value, float) else str(value) for value in sums.values()]
    return hashlib.sha256(
        repr((FORMAT, target.pk, scope(user), parts, versions, f'{conf.utc_now():%Y-%m-%d %H}')).encode()
    ).hexdigest()[:32]


def scope(user: Any) -> str:
    """Who sees the same points as this user: everybody who sees the target, or the user alone."""
    return 'all' if user.is_superuser or getattr(settings, 'TARGET_PERMISSIONS_ONLY', True) else f'user {user.pk}'


Quality = Mapping[str, frozenset[str]]


def columns(user: Any, target: Any, quality: Quality | None = None, mark: str = '') -> Columns:
    """The points of the target that this user may see; ``mark``, their stamp, where they may be kept for the next one.

    ``quality``: which of its own columns are wanted of each service.
    """
    names = {service: tuple(sorted(wanted)) for service, wanted in sorted((quality or {}).items()) if wanted}
    key = hashlib.sha256(repr((FORMAT, target.pk, scope(user), names)).encode()).hexdigest()
    kept = cache.get(f'tom_forced_phot.curve.{key}') if mark else None
    if kept is not None and kept[0] == mark:
        found: Columns = kept[1]
        return found
    made = read(visible_points(user, target), names)
    if mark and len(made) >= WORTH_KEEPING:
        # one entry a target, whatever happens to its points: the stamp inside says whether it still holds
        cache.set(f'tom_forced_phot.curve.{key}', (mark, made), KEPT_FOR)
    return made


def answer(user: Any, target: Any, mark: str) -> bytes | None:
    """The newest answer that was kept for who sees the same points, if it is the one that ``mark`` names."""
    kept = cache.get(_answer_key(user, target))
    return kept[1] if kept is not None and kept[0] == mark else None


def keep_answer(user: Any, target: Any, mark: str, body: bytes, points: int) -> None:
    """Keep an answer for the next one who asks the same; one a target, so that a cache does not fill up with them."""
    if points >= WORTH_KEEPING:
        cache.set(_answer_key(user, target), (mark, body), KEPT_FOR)


def _answer_key(user: Any, target: Any) -> str:
    key = hashlib.sha256(repr((FORMAT, target.pk, scope(user))).encode()).hexdigest()
    return f'tom_forced_phot.answer.{key}'


def read(rows: QuerySet[Any], quality: Mapping[str, Sequence[str]]) -> Columns:
    """These points as columns; of very many only the newest."""
    some = _read(rows, quality)
    if len(some) <= MOST_POINTS:
        return some
    beyond = rows.order_by('-timestamp').values_list('timestamp', flat=True)[MOST_POINTS : MOST_POINTS + 1]
    cut = next(iter(beyond), None)
    if cut is None:  # some went between the two statements
        return _read(rows, quality)
    return replace(_read(rows.filter(timestamp__gt=cut), quality), newest_only=True)


def _read(rows: QuerySet[Any], quality: Mapping[str, Sequence[str]]) -> Columns:
    read_some = _fetched if connection.vendor in ('sqlite', 'postgresql') else _converted
    gathered: dict[str, Any] = {name: [] for name in ('ids', 'micros', 'labels', *NUMBERS)}
    own: dict[str, list[NDArray[Any]]] = {}
    chunks: list[int] = []
    for ids, micros, labels, numbers, texts in read_some(rows):
        flux, flux_error = fluxes(texts)
        found = {**numbers, 'flux': flux, 'flux_error': flux_error, 'ids': ids, 'micros': micros}
        for name, column in found.items():
            gathered[name].append(np.array(column, dtype=np.int64 if name in ('ids', 'micros') else np.float64))
        for name, cells in _quality(quality, labels, texts).items() if quality else ():
            parts = own.setdefault(name, [])
            parts += [np.full(number, np.nan) for number in chunks[len(parts) :]]
            parts.append(cells)
        gathered['labels'].extend(labels)
        chunks.append(len(labels))
    whole = {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in gathered.items() if name != 'labels'}
    label = {text: tuple(text.split(SEPARATOR)) for text in dict.fromkeys(gathered['labels'])}
    columns_of_own = {
        name: joined([*parts, *(np.full(number, np.nan) for number in chunks[len(parts) :])]) for name, parts in own.items()
    }
    return build(whole, [label[text] for text in gathered['labels']], columns_of_own)


def _quality(quality: Mapping[str, Sequence[str]], labels: Sequence[str], texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """What these points' services say of them; only texts of services that were asked for are looked into."""
    service_of = {label: label.split(SEPARATOR)[TEXTS.index('source_name')] for label in set(labels)}
    found: dict[str, NDArray[Any]] = {}
    for service in quality.keys() & set(service_of.values()):
        if len(service_of) == 1 or set(service_of.values()) == {service}:
            found |= {name: as_column(cells) for name, cells in cells_of(texts, quality[service]).items()}
            continue
        rows = [row for row, label in enumerate(labels) if service_of[label] == service]
        for name, cells in cells_of([texts[row] for row in rows], quality[service]).items():
            part = as_column(cells)
            column = found.get(name, np.full(len(labels), np.nan))
            if part.dtype.kind != column.dtype.kind:
                part, column = (as_texts(each) for each in (part, column))
            if part.dtype.itemsize > column.dtype.itemsize:
                column = column.astype(part.dtype)
            column[rows] = part
            found[name] = column
    return found


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The parts of a column as one: of texts where one of them is."""
    if len({part.dtype.kind for part in parts}) > 1:
        parts = [as_texts(part) for part in parts]
    return np.concatenate(parts)


def as_texts(column: NDArray[Any]) -> NDArray[Any]:
    """Numbers as texts, whole ones as such; empty where there is none."""
    if column.dtype.kind == 'U':
        return column
    said = ['' if value != value else str(int(value)) if value.is_integer() else repr(value) for value in column.tolist()]
    return np.array(said, dtype=np.str_)


Some = tuple[Sequence[int], Any, Sequence[str], dict[str, Any], Sequence[str]]


def _fetched(rows: QuerySet[Any]) -> Iterator[Some]:
    """As the database's driver gives them: no objects, no converters."""
    chosen = rows.order_by().annotate(moment=Micros('timestamp'), label=Joined(*TEXTS), text=Text('value'))[: MOST_POINTS + 1]
    try:
        sql, parameters = chosen.values_list('pk', 'moment', 'label', 'text', *FIELDS.values()).query.sql_with_params()
    except EmptyResultSet:
        return
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        while some := cursor.fetchmany(CHUNK):
            ids, moments, labels, texts, *numbers = zip(*some, strict=True)
            micros = moments if isinstance(moments[0], int) else np.array(moments, dtype='datetime64[us]').astype(np.int64)
            yield ids, micros, labels, dict(zip(FIELDS, numbers, strict=True)), texts


def _converted(rows: QuerySet[Any]) -> Iterator[Some]:
    """By the ORM, for databases whose texts are not known here."""
    found = rows.order_by().values_list('pk', 'timestamp', 'value', *TEXTS, *FIELDS.values())[: MOST_POINTS + 1]
    for start in range(0, len(found), CHUNK):
        ids, moments, objects, *rest = zip(*found[start : start + CHUNK], strict=True)
        micros = np.array([moment.replace(tzinfo=None) for moment in moments], dtype='datetime64[us]').astype(np.int64)
        labels = [SEPARATOR.join(texts) for texts in zip(*rest[: len(TEXTS)], strict=True)]
        numbers = dict(zip(FIELDS, rest[len(TEXTS) :], strict=True))
        yield ids, micros, labels, numbers, [json.dumps(each) for each in objects]


#: Whoever names the unit so has a flux in microjansky: the points that this app stores.
UNIT = '"flux_unit": "uJy"'
NAMES = ('flux', 'flux_error')
#: What numpy itself makes numbers of, None as nan.
PLAIN = {int, float, type(None)}
#: In a JSON text a quotation mark inside a string is escaped, so that only a key looks like this.
PATTERNS = {name: re.compile(f'"{name}": ([^,}}]+)') for name in NAMES}


def fluxes(values: Sequence[str]) -> tuple[Floats, Floats]:
    """Flux and error of each text, nan where it has none of ours."""
    quick = _searched(values)
    if quick is not None:
        return quick
    found = np.full((2, len(values)), np.nan)
    rows = [row for row, text in enumerate(values) if UNIT in text]
    if rows:
        ours = [values[row] for row in rows]
        found[:, rows] = _searched(ours) or _parsed(ours)
    return found[0], found[1]


def _searched(values: Sequence[str]) -> tuple[Floats, Floats] | None:
    """By a search in the text, ten times as fast; None unless all are ours, and none has an object in it or lacks a name."""
    text = '\n'.join(values)
    if text.count(UNIT) != len(values) or text.count('{') != len(values):
        return None
    flux, error = (pattern.findall(text) for pattern in PATTERNS.values())
    return (_floats(flux), _floats(error)) if len(flux) == len(error) == len(values) else None


def _floats(texts: list[str]) -> Floats:
    try:
        return np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
    except ValueError:  # null
        return np.array([as_number(json.loads(text)) for text in texts], dtype=np.float64)


def _parsed(values: Sequence[str]) -> tuple[Floats, Floats]:
    objects = [each if each.get('flux_unit') == 'uJy' else {} for each in _objects(values)]
    flux, error = (np.array([as_number(each.get(name)) for each in objects], dtype=np.float64) for name in NAMES)
    return flux, error


def cells_of(values: Sequence[str], names: Iterable[str]) -> dict[str, list[Any]]:
    """What the sources themselves say under these names, as it is; None where a point has no such thing."""
    wanted = list(names)
    objects = _objects(values) if wanted else []
    return {name: [each.get(name) for each in objects] for name in wanted}


def as_column(found: Sequence[Any]) -> NDArray[Any]:
    """Cells as numbers, nan where one is none; as texts where one of them is a text."""
    kinds = set(map(type, found))
    if kinds <= PLAIN:
        return np.array(found, dtype=np.float64)
    if str in kinds:
        # an array of texts is as wide as its longest one
        return np.array(['' if each is None else str(each)[:LONGEST_TEXT] for each in found], dtype=np.str_)
    return np.array([as_number(each) for each in found], dtype=np.float64)


def _objects(values: Sequence[str]) -> list[Mapping[str, Any]]:
    """All texts at once, which is faster than one by one; what is no object counts as an empty one."""
    return [each if isinstance(each, Mapping) else {} for each in json.loads(f'[{",".join(values)}]')]


def as_number(value: Any) -> float:
    """A number as float; nan for everything else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float('nan')
