"""Measurements as the host's columns, and the text of each point's ``value``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tom_dataproducts.models import PhotometryReducedDatum

from tom_followup.units import Floats
from tom_forced_phot.core.photometry import Measurements

Column = list[Any] | NDArray[Any]
Integers = NDArray[np.int64]

UNIT = 'AB mag'
FLUX_UNIT = 'uJy'
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
EPOCH_MJD = 40587.0
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
MICROSECONDS_A_DAY = 86_400 * SECOND
#: Around a table's times stored points are looked for; an exposure keeps its time, but for what a re-reduction may put right.
MARGIN = MICROSECONDS_A_DAY
TEXTS = ('telescope', 'instrument', 'reduction_version', 'unit', 'bandpass')
NUMBERS = ('brightness', 'brightness_error', 'limit', 'exposure_time')
#: What a measurement gives a point, in the host's names; ``timestamp`` as microseconds since 1970, ``value`` as JSON text.
FIELDS = ('timestamp', 'value', *TEXTS, *NUMBERS)
LENGTHS = {name: PhotometryReducedDatum._meta.get_field(name).max_length for name in (*TEXTS, 'source_name')}


@dataclass(frozen=True)
class PointRows:
    """Points in the host's columns, all of one length: arrays of numbers (nan for NULL), lists of texts."""

    columns: Mapping[str, Column]
    exposure: list[str]

    def __len__(self) -> int:
        return len(self.exposure)

    def chosen(self, indices: Integers, fields: tuple[str, ...] = FIELDS) -> dict[str, Column]:
        """Some rows of some columns."""
        return {name: take(self.columns[name], indices) for name in fields}


def take(column: Column, indices: Integers) -> Column:
    """The entries with these indices."""
    if isinstance(column, list):
        return [column[index] for index in indices.tolist()]
    return column[indices]


def microseconds(mjd: Floats) -> Integers:
    """UTC of an MJD in UTC as microseconds since 1970: (MJD - 40587) x 86 400 000 000, rounded.

    Every day has 86,400 s in this formula, as in every MJD of UTC; only within a day that ends with a leap second (the last one
    was 2016-12-31) do two conventions differ, by less than 1 s. A float64 MJD is good to about 0.6 microseconds.
    """
    return np.rint((mjd - EPOCH_MJD) * MICROSECONDS_A_DAY).astype(np.int64)


def instant(micros: int) -> datetime:
    """Microseconds since 1970 as an aware UTC datetime."""
    return EPOCH + timedelta(microseconds=micros)


def kinds(table: Measurements, reduction: str) -> list[str]:
    """The ``reduction_version`` of each row."""
    kind = table.columns.get('kind')
    return texts(np.full(len(table), reduction) if kind is None else kind, 'reduction_version')


def texts(column: NDArray[Any], field: str) -> list[str]:
    """Texts as the host's field takes them: cut at its length, without NUL."""
    length = LENGTHS[field]
    return [str(value).replace('\0', '')[:length] for value in column.tolist()]


def moments(table: Measurements, reduction: str) -> Integers:
    """The time that each row is stored with, in microseconds since 1970.

    Exposures of one instrument, band and reduction that were made at the same time are a microsecond apart, in the order of their
    names: the host keeps one point for each time, and three telescopes have written one MJD into two exposures. The files give
    times to 0.1 s.
    """
    times = microseconds(table.mjd)
    order = np.argsort(times, kind='stable')
    together = np.zeros(len(order) + 1, dtype=np.bool_)
    together[1:-1] = np.diff(times[order]) == 0
    shared = order[together[1:] | together[:-1]]
    if not len(shared):
        return times
    some = table.only(shared)
    words = [np.array(texts(column, name)) for name, column in (('instrument', some.instrument), ('bandpass', some.band))]
    keys = (some.exposure.astype(np.str_), np.array(kinds(some, reduction)), *words, times[shared])
    by_name = np.lexsort(keys)
    first = np.ones(len(shared), dtype=np.bool_)
    first[1:] = ~np.logical_and.reduce([key[by_name][1:] == key[by_name][:-1] for key in keys[1:]])
    places = np.arange(len(shared))
    times[shared[by_name]] += places - np.maximum.accumulate(np.where(first, places, 0))
    return times


def points(table: Measurements, reduction: str, times: Integers) -> PointRows:
    """The rows as points, with these times."""
    rows, exposure = len(table), [str(value).replace('\0', '') for value in table.exposure.tolist()]
    telescope = table.telescope[: LENGTHS['telescope']]
    columns: dict[str, Column] = {
        'timestamp': times,
        'value': values(table, exposure),
        'telescope': [telescope] * rows,
        'instrument': texts(table.instrument, 'instrument'),
        'reduction_version': kinds(table, reduction),
        'unit': [UNIT] * rows,
        'bandpass': texts(table.band, 'bandpass'),
        'brightness': finite(table.magnitude),
        'brightness_error': finite(table.magnitude_error),
        'limit': finite(table.limit),
        'exposure_time': finite(table.exposure_time),
    }
    return PointRows(columns, exposure)


def values(table: Measurements, exposure: list[str]) -> list[str]:
    """The ``value`` of each row: what the file says, and flux in microjansky; our own four names win over the file's."""
    ours = {
        'flux': table.flux,
        'flux_error': table.flux_error,
        'flux_unit': FLUX_UNIT,
        'exposure': np.array(exposure, dtype=np.str_),
    }
    return objects({**table.constants, **table.columns, **ours}, len(table))


def finite(column: Floats) -> Floats:
    """With nan for infinity, so that neither is stored."""
    return np.where(np.isfinite(column), column, np.nan)


NULL = 'null'


def objects(columns: Mapping[str, Any], rows: int) -> list[str]:
    """One JSON object a row; a member is an array of that length, or a constant. Not-a-number and infinity become null."""
    pieces, varying = [], []
    for key in sorted(columns, key=lambda name: (len(name.encode()), name.encode())):
        column = columns[key]
        if isinstance(column, np.ndarray):
            piece, texts = _column(column)
            varying.append(texts)
        else:
            piece = _percent(json.dumps(clean(column)))
        pieces.append(f'{_percent(json.dumps(key))}: {piece}')
    template = '{' + ', '.join(pieces) + '}'
    return [template % row for row in zip(*varying, strict=True)] if varying else [template % ()] * rows


def clean(value: Any) -> Any:
    """What JSON can hold: numbers that are not finite become None, numpy's become Python's, NUL (PostgreSQL refuses it) goes."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): clean(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(member) for member in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    return str(value).replace('\0', '')


def _column(column: NDArray[Any]) -> tuple[str, Sequence[Any]]:
    """How a value of the column stands in the template, and the values."""
    kind = column.dtype.kind
    if kind == 'f':
        good = np.isfinite(column)
        values = column.tolist()
        if good.all():
            return '%r', values
        return '%s', [repr(value) if fine else NULL for value, fine in zip(values, good.tolist(), strict=True)]
    if kind in 'iu':
        return '%d', column.tolist()
    if kind == 'U':
        texts = column.tolist()
        joined = ''.join(texts)
        # the encoder would only put quotation marks around these
        if joined.isascii() and joined.isprintable() and '"' not in joined and '\\' not in joined:
            return '"%s"', texts
    return '%s', [json.dumps(clean(value)) for value in column.tolist()]


def _percent(text: str) -> str:
    return text.replace('%', '%%')
