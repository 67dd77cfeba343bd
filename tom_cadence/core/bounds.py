"""What is believed of anything from outside: rows, forms, files, strategies and facilities, bounded where they are read.

Nothing here raises anything but ``OutOfBounds``, whatever it is given: an object whose ``str()`` fails is still described.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np

from tom_followup.dates import EARLIEST, LATEST
from tom_followup.redaction import redact

LONGEST_HOURS = 24.0 * 3660
"""Ten years: no interval, pause or window of a cadence is longer."""
MOST_ID = 2**63 - 1
MOST_TEXT, MOST_SENTENCE, MOST_REPR = 10_000, 1000, 200
MOST_PARAMETERS, MOST_PARTS, MOST_DEEP = 500, 5000, 20

_CONTROL = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]')


class OutOfBounds(ValueError):
    """Something from outside that cannot be what it is taken for; the text says what is expected, as the end of a sentence."""


def bounded_text(value: Any, most: int = MOST_SENTENCE) -> str:
    """Somebody else's words as one short line that every database takes: no control characters, no secrets.

    It is cut off between two words before it is searched for secrets, which takes a time that grows with its length, and after it.
    """
    try:
        text = value if type(value) is str else str(value)
    except Exception:  # an error or a value of the site, whose own __str__ fails
        return f'{type(value).__name__} (it cannot be shown)'
    if len(text) > 4 * most:
        text = text[: 4 * most].rpartition(' ')[0] or text[:most]
    text = redact(' '.join((text if text.isprintable() else _CONTROL.sub(' ', text)).split()))
    return text if len(text) <= most else f'{text[: most - 1]}…'


def short_repr(value: Any) -> str:
    """A value for a sentence, as Python writes it, short."""
    try:
        text = repr(value)
    except Exception:
        text = f'{type(value).__name__} (it cannot be shown)'
    return bounded_text(text, MOST_REPR)


def error_text(error: BaseException) -> str:
    """An error as its class and a short text."""
    words = bounded_text(error)
    return f'{type(error).__name__}: {words}' if words else type(error).__name__


def stored_text(value: Any, most: int = MOST_TEXT) -> str:
    """A text that every database takes."""
    if not isinstance(value, str) or len(value) > most or _CONTROL.search(value):
        raise OutOfBounds(f'a text of at most {most} characters without control characters is expected')
    return str(value)


def within_years(moment: datetime) -> bool:
    """Whether an aware instant is one that an observation can have."""
    return EARLIEST <= moment <= LATEST


def utc(moment: Any) -> datetime:
    """An aware instant in UTC; naive means UTC, a date its midnight."""
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if not isinstance(moment, datetime) or not EARLIEST.year - 1 <= moment.year <= LATEST.year:
        raise OutOfBounds(f'a date between {EARLIEST.year} and {LATEST.year} is expected')
    try:
        found = moment.replace(tzinfo=timezone.utc) if moment.utcoffset() is None else moment.astimezone(timezone.utc)
        found = datetime.combine(found.date(), found.time(), timezone.utc)  # no subclass of somebody else
    except Exception as error:  # a time zone of the site's own may raise anything
        raise OutOfBounds(f'a date between {EARLIEST.year} and {LATEST.year} is expected') from error
    if not within_years(found):
        raise OutOfBounds(f'a date between {EARLIEST.year} and {LATEST.year} is expected')
    return found


def finite(value: Any) -> float:
    """A finite number: of Python, of numpy, a Decimal, or its text."""
    if isinstance(value, (bool, np.bool_)) or _is_masked(value) or (isinstance(value, str) and len(value) > 100):
        raise OutOfBounds('a number is expected')
    try:
        found = float(value)
    except Exception as error:  # TypeError, ValueError, OverflowError, or whatever a __float__ raises
        raise OutOfBounds('a number is expected') from error
    if not math.isfinite(found):
        raise OutOfBounds('a number that is finite is expected')
    return found


def primary_key(value: Any) -> int:
    """A primary key as Python's own integer; numpy's, as strategies make them of columns, are converted."""
    if isinstance(value, (bool, np.bool_)):
        raise OutOfBounds('the primary key of a record is expected')
    try:
        found = operator.index(value)
    except Exception as error:
        raise OutOfBounds('the primary key of a record is expected') from error
    if not 0 < found <= MOST_ID:
        raise OutOfBounds('the primary key of a record is expected')
    return found


def hours_long(hours: Any) -> timedelta:
    """So many hours, of at most ten years."""
    found = finite(hours)
    if abs(found) > LONGEST_HOURS:
        raise OutOfBounds('at most ten years are expected')
    return timedelta(hours=found)


def json_value(value: Any, deep: int = 0) -> Any:
    """A value that every database keeps as JSON: numpy's and decimal numbers are converted, dates stay what they are."""
    if deep > MOST_DEEP:
        raise OutOfBounds('values nested less deeply are expected')
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return stored_text(value)
    if isinstance(value, (datetime, date)):
        utc(value)
        return value
    if isinstance(value, (np.generic, np.ndarray)):
        if _is_masked(value):
            raise OutOfBounds('a value that is not masked is expected')
        return json_value(value.tolist(), deep + 1)
    if isinstance(value, int):
        if abs(value) > MOST_ID:
            raise OutOfBounds('a smaller number is expected')
        return int(value)
    if isinstance(value, (float, Decimal)):
        return finite(value)
    if isinstance(value, Mapping):
        return {stored_text(name, 200): json_value(part, deep + 1) for name, part in _few(value).items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [json_value(part, deep + 1) for part in _few(value)]
    raise OutOfBounds('numbers, texts, lists and mappings are expected')


def _is_masked(value: Any) -> bool:
    return value is np.ma.masked or (isinstance(value, np.ma.MaskedArray) and bool(np.any(value.mask)))


def _few(values: Any) -> Any:
    if len(values) > MOST_PARTS:
        raise OutOfBounds(f'at most {MOST_PARTS} values are expected')
    return values
