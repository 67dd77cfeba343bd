"""What was observed so far: which records belong together, and how a submission ended."""

from __future__ import annotations

import pytest

from tests.unit.samples import HOUR, attempt, history, window
from tom_cadence.history import History, Outcome, Unit


@pytest.mark.parametrize(
    ('outcomes', 'expected'),
    [
        (['waiting'], 'waiting'),
        (['succeeded'], 'succeeded'),
        (['failed'], 'failed'),
        (['cancelled'], 'cancelled'),
        (['failed', 'waiting'], 'waiting'),
        (['succeeded', 'waiting'], 'waiting'),
        (['failed', 'succeeded'], 'succeeded'),
        (['succeeded', 'failed'], 'succeeded'),
        (['succeeded', 'cancelled'], 'succeeded'),
        (['cancelled', 'failed'], 'failed'),
        (['cancelled', 'cancelled'], 'cancelled'),
        (['failed', 'failed'], 'failed'),
    ],
)
def test_a_submission_of_several_records_is_judged_by_all_of_them(outcomes: list[str], expected: str) -> None:
    unit = Unit(tuple(attempt(number, outcome) for number, outcome in enumerate(outcomes)))
    assert unit.outcome is Outcome(expected)


def test_records_of_one_request_are_one_unit() -> None:
    found = History(attempts=(attempt(1, submission=7), attempt(2, submission=7), attempt(3, submission=8)))
    assert [unit.records for unit in found.units] == [(1, 2), (3,)]
    assert found.newest is not None
    assert found.newest.newest.record == 3


def test_records_made_by_the_toolkit_within_seconds_and_with_one_window_are_one_unit() -> None:
    first = attempt(1, submission=None)
    same = attempt(2, submission=None, created=first.created)
    assert [unit.records for unit in History(attempts=(first, same)).units] == [(1, 2)]


@pytest.mark.parametrize(
    'other',
    [
        {'created': attempt(1).created + HOUR},
        {'created': attempt(1).created, 'window': window(20)},
        {'created': attempt(1).created, 'facility': 'Other'},
        {'created': attempt(1).created, 'submission': 3},
    ],
    ids=['an hour later', 'other window', 'other facility', 'sent by the engine'],
)
def test_records_of_different_calls_stay_apart(other: dict[str, object]) -> None:
    found = History(attempts=(attempt(1, submission=None), attempt(2, **{'submission': None, **other})))
    assert [unit.records for unit in found.units] == [(1,), (2,)]


def test_an_empty_group_has_nothing_newest() -> None:
    assert History().newest is None
    assert History().consecutive_failures == 0


@pytest.mark.parametrize(
    ('outcomes', 'given', 'failures'),
    [
        (['failed'], {}, 1),
        (['failed', 'failed', 'failed'], {}, 3),
        (['failed', 'succeeded', 'failed'], {}, 1),
        (['failed', 'succeeded'], {}, 0),
        (['failed', 'waiting'], {}, 1),
        (['failed', 'cancelled', 'failed'], {}, 2),
        (['failed', 'failed'], {'refusals': 2}, 4),
        (['succeeded'], {'refusals': 2}, 2),
        (['failed', 'failed', 'failed'], {'forgiven': 2}, 1),
        (['failed', 'failed', 'failed'], {'forgiven': 3}, 0),
    ],
)
def test_failures_in_a_row_are_counted_since_the_last_success(outcomes: list[str], given: dict[str, int], failures: int) -> None:
    assert history(*outcomes, **given).consecutive_failures == failures


@pytest.mark.parametrize(
    ('outcome', 'given', 'again'),
    [
        ('failed', {}, True),
        ('succeeded', {}, False),
        ('waiting', {}, False),
        ('cancelled', {}, False),
        ('cancelled', {'resubmit_cancelled': True}, True),
        ('cancelled', {'forgiven': 1}, True),
        ('succeeded', {'forgiven': 1, 'resubmit_cancelled': True}, False),
    ],
)
def test_what_is_asked_for_again(outcome: str, given: dict[str, object], again: bool) -> None:
    found = history(outcome, **given)
    assert found.asks_again(found.units[0]) is again


def test_submissions_are_counted_not_records() -> None:
    found = History(attempts=(attempt(1, 'succeeded', submission=7), attempt(2, 'failed', submission=7)))
    assert (found.count(Outcome.SUCCEEDED), found.count(Outcome.FAILED)) == (1, 0)


def test_every_unfinished_record_is_waited_for() -> None:
    assert [found.record for found in history('waiting', 'failed', 'waiting').waiting] == [1, 3]
