"""What was observed so far: which records belong together, and how a submission ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.support.samples import HOUR, NOON, attempt, history, window
from tom_cadence.core.history import Attempt, History, Outcome, Unit


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
        (['succeeded', 'cancelled'], 'cancelled'),
        (['cancelled', 'succeeded', 'failed'], 'cancelled'),
        (['cancelled', 'failed'], 'cancelled'),
        (['cancelled', 'waiting'], 'waiting'),
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
        (['failed', 'failed', 'failed'], {'ignore_before': 2}, 1),
        (['failed', 'failed', 'failed'], {'ignore_before': 3}, 0),
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
        ('cancelled', {'ignore_before': 1}, True),
        ('succeeded', {'ignore_before': 1, 'resubmit_cancelled': True}, False),
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


@given(
    some.lists(
        some.tuples(
            some.sampled_from([0, 2, 4, 6]), some.sampled_from([20, 30]), some.sampled_from('AB'), some.sampled_from([None, 1])
        ),
        max_size=12,
    )
)
def test_from_the_newest_on_the_submissions_are_the_same(steps: list[tuple[int, int, str, int | None]]) -> None:
    created, attempts = attempt(1).created, []
    for record, (later, start, facility, submission) in enumerate(steps):
        created += timedelta(seconds=later)
        attempts.append(attempt(record, submission=submission, created=created, window=window(start), facility=facility))
    found, other = History(attempts=tuple(attempts)), History(attempts=tuple(attempts))
    assert list(other.newest_first()) == list(reversed(found.units))
    assert found.newest == next(other.newest_first(), None)


def test_older_windows_are_not_looked_at_for_the_newest_submission() -> None:
    class Unread(Attempt):
        @property
        def window(self) -> None:
            raise AssertionError('nobody needs this window')

    old = object.__new__(Unread)
    vars(old).update({**vars(attempt(1, submission=None)), 'window': None})
    newest = attempt(2, submission=None)
    found = History(attempts=(old, old, replace(newest, created=newest.created + HOUR)))
    assert found.newest is not None
    assert found.newest.records == (2,)


@pytest.mark.parametrize(
    ('outcomes', 'words'),
    [
        (['succeeded'], 'Observation obs-0 succeeded'),
        (['failed'], 'Observation obs-0 failed (WINDOW_EXPIRED)'),
        (['succeeded', 'failed'], 'Observation obs-0 succeeded (1 of 2 of one request succeeded)'),
        (['failed', 'succeeded', 'succeeded'], 'Observation obs-2 succeeded (2 of 3 of one request succeeded)'),
        (['succeeded', 'cancelled', 'failed'], 'Observation obs-1 was cancelled (1 of 3 of one request succeeded)'),
        (['failed', 'failed'], 'Observation obs-1 failed (WINDOW_EXPIRED)'),
    ],
)
def test_a_sentence_names_the_observation_that_really_did_it(outcomes: list[str], words: str) -> None:
    assert Unit(tuple(attempt(number, outcome) for number, outcome in enumerate(outcomes))).in_words() == words


def test_a_template_applied_to_three_targets_at_once_makes_three_calls() -> None:
    """One window, made within a second, by the toolkit: what was asked for of one target is not answered by another."""
    together = [attempt(number, 'failed', submission=None, target=number, created=NOON) for number in (1, 2, 3)]
    assert [unit.records for unit in History(attempts=tuple(together)).units] == [(1,), (2,), (3,)]
    assert [unit.records for unit in History(attempts=tuple(together)).newest_first()] == [(3,), (2,), (1,)]
