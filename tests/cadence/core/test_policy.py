"""What the engine allows every strategy: limits in number, time and failures, and no window in the past."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.samples import HOUR, NOON, attempt, history, window
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.history import History
from tom_cadence.core.parameters import Parameters
from tom_cadence.core.policy import LONGEST_PAUSE, enforce


def submit(start: float = 20, **given: Any) -> Submit:
    return Submit(reason='due', window=window(start), like=1, **{'follows': (1,), **given})


def limited(decision: Any, *outcomes: str, now: Any = NOON, given: dict[str, Any] | None = None, **limits: Any) -> Any:
    return enforce(decision, Parameters(**limits), history(*(outcomes or ('succeeded',))), now, **(given or {}))


@pytest.mark.parametrize('decision', [Wait(reason='a'), Stop(reason='b'), Stop(reason='c', kind='attention')])
def test_waits_and_ends_are_left_alone(decision: Any) -> None:
    assert limited(decision, 'failed', 'failed', max_consecutive_failures=1) is decision


def test_a_submission_within_all_limits_is_left_alone() -> None:
    decision = submit()
    assert limited(decision, max_observations=2, end_date=NOON + 30 * HOUR, max_consecutive_failures=1) is decision


def test_a_window_in_the_past_is_moved_whole_and_nothing_else_changes() -> None:
    decision = submit(-4, cause='gap', changes={'filter': 'g'})
    moved = limited(decision)
    assert moved.window == window(0)
    assert (moved.reason, moved.like, moved.follows) == (decision.reason, decision.like, decision.follows)
    assert (moved.cause, moved.changes) == ('gap', {'filter': 'g'})


def test_the_start_lead_is_kept() -> None:
    assert limited(submit(0), given={'start_lead': 2 * HOUR}).window == window(2)


@pytest.mark.parametrize(
    ('outcomes', 'allowed', 'ends'),
    [
        (['failed'] * 4, 5, False),
        (['failed'] * 5, 5, True),
        (['failed'] * 9, 5, True),
        (['failed', 'succeeded', 'failed'], 2, False),
        (['failed'], 1, True),
    ],
)
def test_too_many_failures_in_a_row_ask_for_a_person(outcomes: list[str], allowed: int, ends: bool) -> None:
    decision = limited(submit(), *outcomes, max_consecutive_failures=allowed)
    assert isinstance(decision, Stop) is ends
    if ends:
        assert decision.kind == 'attention'
        assert f'the limit is {allowed}' in decision.reason


@pytest.mark.parametrize(
    ('start', 'end', 'ends'),
    [(20, 30, False), (20, 20, True), (20, 10, True), (-30, -1, True), (-30, 0, True), (-30, 1, False)],
)
def test_no_window_starts_after_the_end_date(start: float, end: float, ends: bool) -> None:
    decision = limited(submit(start), end_date=NOON + end * HOUR)
    assert isinstance(decision, Stop) is ends
    if ends:
        assert decision.kind == 'finished'


def test_the_start_lead_does_not_carry_a_window_past_the_end_date() -> None:
    decision = limited(submit(-4), end_date=NOON + HOUR, given={'start_lead': 2 * HOUR})
    assert isinstance(decision, Stop)


@pytest.mark.parametrize(
    ('outcomes', 'most', 'ends'),
    [
        (['succeeded'], 2, False),
        (['succeeded', 'succeeded'], 2, True),
        (['succeeded', 'waiting'], 2, True),
        (['succeeded', 'failed', 'failed'], 2, False),
        (['succeeded', 'cancelled'], 2, False),
    ],
)
def test_enough_observations_end_the_cadence(outcomes: list[str], most: int, ends: bool) -> None:
    decision = limited(submit(), *outcomes, max_observations=most)
    assert isinstance(decision, Stop) is ends
    if ends:
        assert decision.kind == 'finished'


@pytest.mark.parametrize(('used', 'more', 'ends'), [(540, 60, False), (541, 60, True), (0, 601, True), (600, 0, False)])
def test_the_total_exposure_time_is_not_exceeded(used: float, more: float, ends: bool) -> None:
    decision = limited(submit(), max_exposure_time=600, given={'exposure': used, 'next_exposure': more})
    assert isinstance(decision, Stop) is ends


@pytest.mark.parametrize('given', [{'exposure': None, 'next_exposure': 1}, {'exposure': 1, 'next_exposure': None}])
def test_an_exposure_time_that_cannot_be_read_asks_for_a_person(given: dict[str, Any]) -> None:
    decision = limited(submit(), max_exposure_time=600, given=given)
    assert isinstance(decision, Stop)
    assert decision.kind == 'attention'


@pytest.mark.parametrize(
    ('refusals', 'minutes', 'waits'),
    [(0, 0, False), (1, 9, True), (1, 10, False), (2, 19, True), (2, 20, False), (30, 359, True), (30, 360, False)],
)
def test_a_refused_request_is_tried_again_after_a_growing_pause(refusals: int, minutes: float, waits: bool) -> None:
    last = NOON - timedelta(minutes=minutes)
    past = history('failed', refusals=refusals)
    decision = enforce(submit(), Parameters(max_consecutive_failures=99), past, NOON, last_refusal=last)
    assert isinstance(decision, Wait) is waits


def test_the_pause_has_an_end() -> None:
    past = history('failed', refusals=5000)
    decision = enforce(submit(), Parameters(max_consecutive_failures=9999), past, NOON + LONGEST_PAUSE, last_refusal=NOON)
    assert isinstance(decision, Submit)


def failed(*ends: float, status: str = 'WINDOW_EXPIRED', **given: Any) -> History:
    """Failures whose windows end so many hours from noon."""
    made = [attempt(number, 'failed', status=status, window=window(end - 4)) for number, end in enumerate(ends, 1)]
    return History(attempts=tuple(made), **given)


@pytest.mark.parametrize(
    ('ends', 'nights'),
    [((0,), 1), ((0, 4, 8, 12, 16, 20), 1), ((0, 4, 24, 28, 52), 3), ((0, 240), 2), ((0, 24, 48, 72, 96), 5), ((), 0)],
)
def test_nights_without_a_success_are_nights_and_not_windows(ends: tuple[float, ...], nights: int) -> None:
    assert failed(*ends).lost_nights == nights


def test_a_success_and_a_person_begin_the_count_anew() -> None:
    assert history('failed', 'succeeded', 'failed').lost_nights == 1
    assert history('failed', 'failed', ignore_before=2).lost_nights == 0


def test_windows_that_merely_ended_are_no_errors_and_refusals_are() -> None:
    weather = failed(0, 4, 24, 28)
    assert (weather.errors, weather.consecutive_failures) == (0, 4)
    assert failed(0, 4, status='FAILURE_LIMIT_REACHED', refusals=3).errors == 5
    stop = enforce(submit(), Parameters(max_errors=2), failed(0, 4, status='ABORTED'), NOON)
    assert isinstance(stop, Stop)
    assert stop.reason == '2 observations in a row failed or were refused, windows that merely ended not counted; the limit is 2.'
    assert isinstance(enforce(submit(), Parameters(max_errors=2), weather, NOON), Submit)
    stop = enforce(submit(), Parameters(max_nights_without_success=2), weather, NOON)
    assert isinstance(stop, Stop)
    assert stop.reason == 'No observation succeeded, although one was asked for in 2 nights; the limit is 2.'
