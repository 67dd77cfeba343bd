"""Numbers out of the JSON texts that points carry: quickly out of those that are flat and ours, exactly out of all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import Floats

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
        return np.array([number(json.loads(text)) for text in texts], dtype=np.float64)


def _parsed(values: Sequence[str]) -> tuple[Floats, Floats]:
    objects = [each if each.get('flux_unit') == 'uJy' else {} for each in _objects(values)]
    flux, error = (np.array([number(each.get(name)) for each in objects], dtype=np.float64) for name in NAMES)
    return flux, error


def cells(values: Sequence[str], names: Iterable[str]) -> dict[str, list[Any]]:
    """What the sources themselves say under these names, as it is; None where a point has no such thing."""
    wanted = list(names)
    objects = _objects(values) if wanted else []
    return {name: [each.get(name) for each in objects] for name in wanted}


def column(found: Sequence[Any]) -> NDArray[Any]:
    """Cells as numbers, nan where one is none; as texts where one of them is a text."""
    kinds = set(map(type, found))
    if kinds <= PLAIN:
        return np.array(found, dtype=np.float64)
    if str in kinds:
        return np.array(['' if each is None else str(each) for each in found], dtype=np.str_)
    return np.array([number(each) for each in found], dtype=np.float64)


def numeric(found: NDArray[Any]) -> Floats:
    """A column as numbers whatever it holds; nan for a text that is none."""
    if found.dtype.kind != 'U':
        return np.asarray(found, dtype=np.float64)
    return np.array([_float(text) for text in found.tolist()], dtype=np.float64)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _objects(values: Sequence[str]) -> list[Mapping[str, Any]]:
    """All texts at once, which is faster than one by one; what is no object counts as an empty one."""
    return [each if isinstance(each, Mapping) else {} for each in json.loads(f'[{",".join(values)}]')]


def number(value: Any) -> float:
    """A number as float; nan for everything else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float('nan')
