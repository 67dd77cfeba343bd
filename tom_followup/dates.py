"""Dates as people write them: calendar, MJD or JD, in one field; all are UTC, and so is a calendar date without an offset."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone

from tom_followup.units import JD_OF_MJD_0, instant_of, mjd_of

__all__ = ['JD_OF_MJD_0', 'instant_of', 'mjd_of', 'read_date']

EARLIEST, LATEST = 33282.0, 88069.0  # 1950 to 2100: beyond is a slip of the pen
NUMBER = re.compile(r'[+-]?\d+(\.\d*)?([eE][+-]?\d+)?')
SHAPES = ('%Y-%m-%d', '%Y-%m-%d %H:%M', '%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M:%S.%f', '%Y/%m/%d', '%Y%m%d')


def read_date(text: str) -> float:
    """MJD of ``60316.5``, ``2460317.0`` (a JD), ``2024-01-07``, ``2024-01-07 03:25`` or ISO 8601; ValueError with a sentence."""
    text = text.strip()
    number = _number(text)
    mjd = _calendar(text) if number is None else number
    if not EARLIEST <= mjd <= LATEST:
        raise ValueError(f'{text!r} is not between 1950 and 2100; write an MJD such as 60316.5, or a date such as 2024-01-07.')
    return mjd


def _number(text: str) -> float | None:
    # eight digits are a date: no MJD and no JD has so many before the point
    if not NUMBER.fullmatch(text) or re.fullmatch(r'\d{8}', text):
        return None
    value = float(text)
    if not math.isfinite(value):
        return None
    return value - JD_OF_MJD_0 if value > 2_400_000 else value


def _calendar(text: str) -> float:
    plain = text.removesuffix(' UTC').removesuffix('Z').replace('T', ' ').strip()
    for shape in SHAPES:
        try:
            return mjd_of(datetime.strptime(plain, shape).replace(tzinfo=timezone.utc))
        except ValueError:
            continue  # another shape, or none: said below
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{text!r} is no date: write an MJD such as 60316.5, or a UTC date such as 2024-01-07 03:25.') from None
    return mjd_of(found if found.tzinfo else found.replace(tzinfo=timezone.utc))
