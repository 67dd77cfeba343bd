"""How many seconds of exposure a set of observing parameters asks for, as far as the parameters say."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_CONFIGURATION = re.compile(r'(?P<stem>c_\d+_ic_\d+_)exposure_time\Z')


def exposure_seconds(parameters: Mapping[str, Any]) -> float | None:
    """Exposure time in seconds: time x count over all configurations; None where nothing can be read.

    Reads ``exposure_time``/``exposure_count``, the ``c_1_ic_1_…`` fields of the OCS forms, and the lists
    [time, count, block] that the LCO photometric sequence form stores per filter.
    """
    parts = [_product(parameters, '')]
    for key in parameters:
        match = _CONFIGURATION.match(key)
        if match:
            parts.append(_product(parameters, match['stem']))
    for value in parameters.values():
        if isinstance(value, (list, tuple)) and len(value) == 3:
            parts.append(_times(value[0], value[1]))
    known = [part for part in parts if part is not None]
    if not known:
        return None
    repeats = _number(parameters.get('configuration_repeats'))
    return sum(known) * (repeats or 1)


def _product(parameters: Mapping[str, Any], stem: str) -> float | None:
    count = parameters.get(f'{stem}exposure_count')
    return _times(parameters.get(f'{stem}exposure_time'), 1 if count in (None, '') else count)


def _times(time: Any, count: Any) -> float | None:
    seconds, number = _number(time), _number(count)
    return None if seconds is None or number is None else seconds * number


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
