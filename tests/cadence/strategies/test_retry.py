"""Retry, every outcome: a chain in which each failure gets exactly one follow-up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.samples import HOUR, NOON, attempt, cadence, history, window
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.history import History
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies import RetryFailedObservationsStrategy


def decide(past: History, now: Any = NOON, **parameters: Any) -> Any:
    return RetryFailedObservationsStrategy(cadence(**parameters)).decide(past, now)


@pytest.mark.parametrize(
    ('outcomes', 'answered', 'expected', 'follows'),
    [
        ([], [], Wait, None),
        (['waiting'], [], Wait, None),
        (['failed'], [], Submit, (1,)),
        (['failed'], [1], Stop, None),
        (['failed', 'waiting'], [1], Wait, None),
        (['failed', 'failed'], [1], Submit, (2,)),
        (['failed', 'failed'], [], Submit, (1,)),
        (['failed', 'succeeded'], [1], Stop, None),
        (['failed', 'failed', 'waiting'], [1, 2], Wait, None),
        (['succeeded'], [], Stop, None),
        (['succeeded', 'failed'], [], Submit, (2,)),
        (['cancelled'], [], Stop, None),
        (['failed', 'cancelled'], [1], Stop, None),
        (['waiting', 'failed'], [], Submit, (2,)),
    ],
    ids=lambda value: '-'.join(map(str, value)) or 'none' if isinstance(value, list) else None,
)
def test_every_outcome(outcomes: list[str], answered: list[int], expected: type, follows: Any) -> None:
    decision = decide(history(*outcomes, answered=frozenset(answered)))
    assert type(decision) is expected
    assert decision.reason
    if isinstance(decision, Submit):
        assert decision.follows == follows
        assert decision.window == window(20)


@pytest.mark.parametrize(('late', 'start'), [(0, 20), (20, 20), (30, 30)])
def test_the_retry_is_one_interval_later_but_never_in_the_past(late: float, start: float) -> None:
    assert decide(history('failed'), NOON + late * HOUR).window == window(start)


def test_the_end_after_a_success_is_a_good_one() -> None:
    decision = decide(history('failed', 'succeeded', answered=frozenset([1])))
    assert decision.kind == 'finished'
    assert 'succeeded' in decision.reason


@pytest.mark.parametrize('given', [{'resubmit_cancelled': True}, {'ignore_before': 1}])
def test_a_cancelled_observation_is_asked_for_again_only_on_a_person_s_word(given: dict[str, Any]) -> None:
    assert isinstance(decide(history('cancelled', **given)), Submit)
    assert isinstance(decide(history('cancelled', answered=frozenset([1]), **given)), Stop)


def test_several_records_of_one_request_get_one_follow_up() -> None:
    both = (attempt(1, 'failed', submission=7), attempt(2, 'failed', submission=7))
    assert decide(History(attempts=both)).follows == (1, 2)
    assert isinstance(decide(History(attempts=both, answered=frozenset([2]))), Stop)


def test_two_failures_of_a_tom_s_past_are_followed_one_by_one() -> None:
    old = (attempt(1, 'failed', submission=None), attempt(2, 'failed', submission=None))
    assert decide(History(attempts=old)).follows == (1,)
    assert decide(History(attempts=old, answered=frozenset([1]))).follows == (2,)


def test_a_failure_that_the_toolkit_had_retried_is_not_retried_again() -> None:
    first = attempt(1, 'failed', submission=None, window=window(-30))
    retried = attempt(2, 'waiting', submission=None, created=NOON - 20 * HOUR, window=window(-6))
    assert isinstance(decide(History(attempts=(first, retried))), Wait)


def test_a_failure_whose_window_cannot_be_read_asks_for_a_person() -> None:
    lost = History(attempts=(attempt(1, 'failed', window=None, trouble='The observing window is missing.'),))
    with pytest.raises(NeedsAttention, match='obs-1'):
        decide(lost)


def test_a_missing_frequency_asks_for_a_person() -> None:
    with pytest.raises(NeedsAttention, match='cadence_frequency'):
        decide(history('failed'), cadence_frequency='')


def test_each_of_three_targets_that_failed_is_asked_for_again_although_one_succeeded() -> None:
    """As "apply to many targets" of the toolkit leaves them: one window, made within a second."""
    together = tuple(
        attempt(number, outcome, submission=None, target=number, created=NOON)
        for number, outcome in ((1, 'succeeded'), (2, 'failed'), (3, 'failed'))
    )
    first = decide(History(attempts=together))
    assert (first.follows, first.like) == ((2,), 2)
    second = decide(History(attempts=together, answered=frozenset([2])))
    assert (second.follows, second.like) == ((3,), 3)


def test_a_follow_up_of_another_target_answers_nothing() -> None:
    failed = attempt(1, 'failed', submission=None, target=1)
    other = attempt(2, 'succeeded', submission=None, target=2, created=NOON + 30 * HOUR, window=window(24))
    assert decide(History(attempts=(failed, other))).follows == (1,)


def test_the_end_names_what_did_not_succeed() -> None:
    one_request = (attempt(1, 'succeeded', submission=7), attempt(2, 'failed', submission=7))
    end = decide(History(attempts=one_request))
    assert isinstance(end, Stop)
    assert 'Not every observation succeeded: obs-2 (WINDOW_EXPIRED) did not' in end.reason


def test_a_request_of_several_of_which_one_was_cancelled_is_not_asked_for_again() -> None:
    one_request = (attempt(1, 'succeeded', submission=7), attempt(2, 'cancelled', submission=7))
    end = decide(History(attempts=one_request))
    assert isinstance(end, Stop)
    assert 'obs-2 (CANCELED) did not' in end.reason
