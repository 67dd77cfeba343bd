"""A light curve's payload, read as the page's script reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tom_followup.units import Floats


def numbers_of(described: dict[str, Any]) -> Floats:
    """The numbers that a page makes of a column of the payload; nan where there is none."""
    values = np.array(described['values'], dtype=np.int64)
    missing = values == described['none'] if described['none'] is not None else np.zeros(len(values), dtype=np.bool_)
    steps = np.cumsum(values) if described['delta'] else values
    return np.where(missing, np.nan, steps * described['scale'])
