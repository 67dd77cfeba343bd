"""JSON objects, one a row, written as text from columns.

Keys stand in the order in which PostgreSQL prints them (by length, then by bytes), with its separators (which are Python's too),
so that what is stored can be compared as text. Where texts differ all the same (PostgreSQL prints 1e-07 as 0.0000001), the
caller compares what they mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
