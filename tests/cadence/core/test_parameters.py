"""Cadence parameters: whatever a form, an API or an older TOM stored becomes a value, or a sentence that says what is wrong."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import pytest

from tom_cadence.core.parameters import FAILURE_LIMITS, OWN_FIELDS, Parameters, clean
from tom_cadence.exceptions import NeedsAttention

UTC = timezone.utc


def test_everything_but_the_frequency_has_a_safe_default() -> None:
    assert clean({}) == Parameters()
    assert Parameters().max_consecutive_failures is None
    assert Parameters().on_cancel == 'default'
    assert Parameters().count_from == 'requested'


@pytest.mark.parametrize('empty', [None, ''])
def test_an_empty_field_is_the_default(empty: Any) -> None:
    given = dict.fromkeys(OWN_FIELDS, empty)
    assert clean(given) == Parameters(max_nights_without_success=30, max_errors=10)
    for name in FAILURE_LIMITS:
        del given[name]
    assert clean(given) == Parameters(), 'a cadence of the toolkit never had any limit'


def test_what_is_chosen_takes_the_place_of_the_default() -> None:
    assert clean({'max_consecutive_failures': 3}) == Parameters(max_consecutive_failures=3, max_nights_without_success=30)
    assert clean({'max_nights_without_success': '7'}) == Parameters(max_nights_without_success=7, max_errors=10)
    assert clean({'max_errors': 1}) == Parameters(), 'nobody chooses that'


@pytest.mark.parametrize(
    ('name', 'stored', 'value'),
    [
        ('cadence_frequency', 24, 24.0),
        ('cadence_frequency', '0.5', 0.5),
        ('end_date', '2026-12-24', datetime(2026, 12, 24, tzinfo=UTC)),
        ('end_date', '2026-12-24T18:00:00+09:00', datetime(2026, 12, 24, 9, tzinfo=UTC)),
        ('max_observations', '3', 3),
        ('max_observations', 3.0, 3),
        ('max_exposure_time', '600', 600.0),
        ('max_consecutive_failures', 1, 1),
        ('count_from', 'observed', 'observed'),
        ('retry_backoff', 0, 0.0),
        ('on_cancel', 'resubmit', 'resubmit'),
    ],
)
def test_a_usable_value_is_kept(name: str, stored: Any, value: Any) -> None:
    assert getattr(clean({name: stored}), name) == value


BAD_NUMBERS = [0, -1, '-0.1', 'daily', math.nan, 'nan', math.inf, '-inf', True, [24], {'hours': 24}]


@pytest.mark.parametrize('stored', BAD_NUMBERS)
@pytest.mark.parametrize('name', ['cadence_frequency', 'max_exposure_time'])
def test_a_number_must_be_above_nought(name: str, stored: Any) -> None:
    with pytest.raises(NeedsAttention, match=rf'^{name} is .*a number above 0 is expected'):
        clean({name: stored})


@pytest.mark.parametrize('stored', [*BAD_NUMBERS, 2.5])
@pytest.mark.parametrize('name', ['max_observations', 'max_consecutive_failures'])
def test_a_count_must_be_a_whole_number(name: str, stored: Any) -> None:
    with pytest.raises(NeedsAttention, match=rf'^{name} is '):
        clean({name: stored})


@pytest.mark.parametrize(
    ('name', 'stored', 'expected'),
    [
        ('cadence_frequency', 1e6, 'more than ten years'),
        ('retry_backoff', -1, 'at least 0'),
        ('end_date', 'Christmas', 'a date and time'),
        ('end_date', ['x'], 'a date and time'),
        ('count_from', 'start', 'requested, observed'),
        ('on_cancel', 'maybe', 'default, ignore, resubmit'),
        ('on_cancel', ['ignore'], 'default, ignore, resubmit'),
    ],
)
def test_a_bad_value_is_named_with_what_is_expected(name: str, stored: Any, expected: str) -> None:
    with pytest.raises(NeedsAttention, match=expected) as caught:
        clean({name: stored})
    assert name in str(caught.value)
    assert repr(stored) in str(caught.value)


@pytest.mark.parametrize('stored', [None, [], 'cadence_frequency', 24])
def test_parameters_that_are_no_object_are_named(stored: Any) -> None:
    with pytest.raises(NeedsAttention, match='a JSON object'):
        clean(stored)


def test_a_missing_frequency_is_said_when_it_is_needed() -> None:
    parameters = clean({'max_observations': 2})
    with pytest.raises(NeedsAttention, match='no cadence_frequency'):
        parameters.frequency  # noqa: B018


def test_fields_of_a_site_s_own_strategy_are_left_alone() -> None:
    assert clean({'cadence_frequency': 1, 'brighter_than': 'nan'}) == Parameters(cadence_frequency=1.0)
