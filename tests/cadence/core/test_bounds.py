"""Whatever comes from outside is either usable or refused in words: numbers, dates, keys, texts and values of any shape."""

from __future__ import annotations

import json
import math
import time
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tom_cadence.core import bounds
from tom_cadence.core.bounds import OutOfBounds
from tom_cadence.core.parameters import clean
from tom_cadence.core.windows import Window, read_instant, read_window
from tom_cadence.exceptions import BadWindow, NeedsAttention

UTC = timezone.utc


class Rude:
    """A value whose every conversion raises."""

    def __str__(self) -> str:
        raise RuntimeError('no')

    __repr__ = __str__  # type: ignore[assignment]

    def __float__(self) -> float:
        raise RuntimeError('no')

    def __index__(self) -> int:
        raise RuntimeError('no')


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, moment: Any) -> timedelta:
        raise RuntimeError('no')


ODD: list[Any] = [
    None,
    '',
    'x' * 1_000_000,
    'nul\x00',
    '\ud800',
    float('nan'),
    float('inf'),
    10**400,
    -(10**30),
    Decimal('NaN'),
    Decimal('sNaN'),
    Decimal('1e999999'),
    True,
    [],
    [[[[]]]],
    {},
    {'a': object()},
    b'bytes',
    object(),
    Rude(),
    np.ma.masked,
    np.float64('nan'),
    np.array([1, 2]),
    np.datetime64('NaT'),
    datetime.max,
    datetime.min,
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime(2026, 1, 1, tzinfo=Nowhere()),
    date.max,
    '9999-12-31T23:59:59-12:00',
    '0001-01-01',
    '٢٠٢٦',
    '1' * 5000,
    '12:00 IST',
    lambda: None,
]
anything = st.one_of(
    st.integers(0, len(ODD) - 1).map(ODD.__getitem__),
    st.text(max_size=40),
    st.floats(),
    st.integers(),
    st.decimals(),
    st.datetimes(timezones=st.one_of(st.none(), st.timezones())),
    st.dates(),
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)),
)


@given(anything)
def test_anything_is_used_or_refused_and_never_more(value: Any) -> None:
    for read in (bounds.finite, bounds.primary_key, bounds.utc, bounds.stored_text, bounds.hours_long, bounds.json_value):
        try:
            found = read(value)
        except OutOfBounds:
            continue
        if read is bounds.finite:
            assert type(found) is float
            assert math.isfinite(found)
        elif read is bounds.primary_key:
            assert type(found) is int
        elif read is bounds.utc:
            assert bounds.EARLIEST <= found <= bounds.LATEST
        elif read is bounds.json_value:
            json.dumps(found, allow_nan=False, default=str).encode()
    assert len(bounds.bounded_text(value)) <= bounds.MOST_SENTENCE
    assert len(bounds.short_repr(value)) <= bounds.MOST_REPR
    assert '\x00' not in bounds.bounded_text(value)
    bounds.bounded_text(value).encode()


@given(anything)
@example(datetime(2026, 1, 1, tzinfo=Nowhere()))
def test_any_date_is_read_or_refused(value: Any) -> None:
    try:
        found = read_instant(value)
    except BadWindow:
        return
    assert bounds.EARLIEST <= found <= bounds.LATEST


@given(st.dictionaries(st.sampled_from(sorted(clean.__globals__['FIELDS'])), anything, max_size=4) | anything)
def test_any_stored_parameters_are_used_or_refused(raw: Any) -> None:
    try:
        found = clean(raw)
    except NeedsAttention:
        return
    assert found.end_date is None or found.end_date <= bounds.LATEST


def test_a_window_of_the_ordinary_form_that_ends_in_9999_is_refused_in_words() -> None:
    with pytest.raises(BadWindow, match='between 1900 and 2200'):
        read_window('2026-11-21T00:00', '9999-12-31T00:00')
    with pytest.raises(BadWindow, match='between 1900 and 2200'):
        Window(start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime.max.replace(tzinfo=UTC))


def test_a_window_with_another_time_zone_becomes_utc() -> None:
    east = timezone(timedelta(hours=9))
    window = Window(start=datetime(2026, 1, 1, 9, tzinfo=east), end=datetime(2026, 1, 1, 10, tzinfo=east))
    assert (window.start, window.start.tzinfo) == (datetime(2026, 1, 1, tzinfo=UTC), UTC)


def test_an_abbreviated_time_zone_is_not_taken_for_utc() -> None:
    with pytest.raises(BadWindow, match="'EST' is not known: write UTC"):
        read_instant('Nov 21 2026 03:41 EST')
    assert read_instant('Nov 21 2026 03:41 UTC') == datetime(2026, 11, 21, 3, 41, tzinfo=UTC)


@pytest.mark.parametrize('text', ['a' * 500_000, 'token=' * 100_000, 'https://' * 60_000, '-_' * 200_000, 'api_key ' * 50_000])
def test_a_long_text_is_searched_for_secrets_in_no_time(text: str) -> None:
    before = time.process_time()
    assert len(bounds.bounded_text(text)) <= bounds.MOST_SENTENCE
    assert time.process_time() - before < 0.5


def test_no_half_of_a_secret_stays_where_a_text_is_cut_off() -> None:
    for length in range(4 * bounds.MOST_SENTENCE - 60, 4 * bounds.MOST_SENTENCE + 10):
        text = f'{"https://example.org?" + "x" * (length - 21)} https://vera:hush4711@example.org'
        assert 'hush' not in bounds.bounded_text(text)


def test_numpys_keys_are_converted() -> None:
    assert [type(bounds.primary_key(value)) for value in (np.int64(7), np.uint8(7), 7)] == [int, int, int]
    for bad in (0, -1, 2**63, 7.0, '7', np.float64(7), True, None, np.array([7, 8])):
        with pytest.raises(OutOfBounds):
            bounds.primary_key(bad)
