"""The next windows under imagined outcomes, without a database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import NIGHT, at
from tom_cadence.core.decisions import Decision, Submit, Wait
from tom_cadence.core.exposure import exposure_seconds
from tom_cadence.core.history import Attempt, History, Outcome
from tom_cadence.core.parameters import clean
from tom_cadence.core.policy import Decide
from tom_cadence.core.windows import Window
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.flows.preview import counted, next_windows, within_limits
from tom_cadence.simulation.effort import Work
from tom_cadence.strategies import ResumeCadenceAfterFailureStrategy, RetryFailedObservationsStrategy


def attempt(outcome: Outcome = Outcome.WAITING, start: float = 0, **more: Any) -> Attempt:
    given: dict[str, Any] = {
        'record': 7,
        'observation_id': '41',
        'facility': 'Simulated observatory',
        'status': outcome.value.upper(),
        'created': NIGHT,
        'submission': 3,
        'window': Window(start=at(start), end=at(start + 4)),
        'parameters': {'exposure_time': 60.0, 'exposure_count': 2},
    }
    return Attempt(**{**given, 'outcome': outcome, **more})


def history(*attempts: Attempt, **more: Any) -> History:
    return History(attempts=attempts or (attempt(),), **more)


def engine(strategy: Callable[[Any], Any] = ResumeCadenceAfterFailureStrategy, **given: Any) -> Decide:
    parameters = {'cadence_frequency': 24, **given}
    return within_limits(strategy(SimpleNamespace(cadence_parameters=parameters)), clean(parameters), exposure_seconds)


def starts(found: Any) -> list[float]:
    return [(window.start - NIGHT) / timedelta(hours=1) for window in found.windows]


def test_if_all_succeed_the_next_five_windows_follow_the_interval() -> None:
    found = next_windows(engine(), history(), at(1))
    assert starts(found) == [24, 48, 72, 96, 120]
    assert found.ending == ''
    assert all(window.length == timedelta(hours=4) for window in found.windows)


def test_if_the_next_one_fails_it_is_asked_for_again_at_the_end_of_its_window() -> None:
    assert starts(next_windows(engine(), history(), at(1), fails_first=True)) == [4, 28, 52, 76, 100]


def test_a_pause_after_a_failure_is_kept() -> None:
    assert starts(next_windows(engine(retry_backoff=3), history(), at(1), fails_first=True))[:2] == [7, 31]


def test_where_nothing_is_booked_the_next_one_to_fail_is_the_one_to_come() -> None:
    done = history(attempt(Outcome.SUCCEEDED))
    assert starts(next_windows(engine(), done, at(5))) == [24, 48, 72, 96, 120]
    assert starts(next_windows(engine(), done, at(5), fails_first=True)) == [24, 28, 52, 76, 100]


def test_no_window_starts_in_the_past() -> None:
    assert starts(next_windows(engine(), history(attempt(Outcome.SUCCEEDED)), at(100)))[:2] == [100, 124]


def test_the_end_date_ends_the_list_and_says_so() -> None:
    found = next_windows(engine(end_date=at(60).isoformat()), history(), at(1))
    assert starts(found) == [24, 48]
    assert 'end date' in found.ending


def test_the_number_of_observations_ends_the_list() -> None:
    found = next_windows(engine(max_observations=3), history(), at(1))
    assert starts(found) == [24, 48]
    assert found.ending == 'All 3 observations of this cadence are done.'


def test_the_exposure_time_in_all_ends_the_list() -> None:
    found = next_windows(engine(max_exposure_time=400), history(), at(1))
    assert starts(found) == [24, 48]
    assert '360 s used' in found.ending


def test_one_failure_more_than_allowed_asks_for_a_person() -> None:
    before = history(attempt(Outcome.FAILED), attempt(record=8, submission=4, start=4))
    found = next_windows(engine(max_consecutive_failures=2), before, at(5), fails_first=True)
    assert found.windows == ()
    assert 'in a row failed' in found.ending


def test_a_success_ends_retry() -> None:
    found = next_windows(engine(RetryFailedObservationsStrategy), history(), at(1))
    assert found.windows == ()
    assert 'succeeded' in found.ending


def test_retry_follows_a_failure_once() -> None:
    found = next_windows(engine(RetryFailedObservationsStrategy), history(), at(1), fails_first=True)
    assert starts(found) == [24]


def test_a_strategy_that_waits_for_a_time_gets_there() -> None:
    def decide(seen: History, now: datetime) -> Decision:
        if seen.waiting:
            return Wait(reason='Not finished.')
        due = seen.attempts[-1].window.end + timedelta(days=20)  # type: ignore[union-attr]
        if now < due:
            return Wait(reason='Too early.')
        return Submit(reason='Now.', window=Window(start=now, end=now + timedelta(hours=4)), like=7, cause=str(now))

    found = next_windows(decide, history(), at(1))
    gaps = [later - before for before, later in zip(starts(found), starts(found)[1:], strict=False)]
    assert len(found.windows) == 5
    assert all(20 * 24 <= gap <= 21 * 24 for gap in gaps)


def test_a_strategy_that_waits_for_ever_ends_the_list_with_its_reason() -> None:
    found = next_windows(lambda seen, now: Wait(reason='The target is too faint.'), history(attempt(Outcome.SUCCEEDED)), at(1))
    assert (found.windows, found.ending) == ((), 'The target is too faint.')


def test_what_needs_a_person_is_said() -> None:
    def decide(seen: History, now: datetime) -> Decision:
        raise NeedsAttention('Its window cannot be read.')

    assert next_windows(decide, history(), at(1)).ending == 'Its window cannot be read.'


@pytest.mark.parametrize('number', [1, 3])
def test_as_many_windows_as_asked_for(number: int) -> None:
    assert len(next_windows(engine(), history(), at(1), number=number).windows) == number


def test_the_history_that_was_handed_in_is_left_as_it_was() -> None:
    given = history()
    next_windows(engine(), given, at(1), fails_first=True)
    assert given == history()


def test_a_preview_that_would_be_too_much_work_says_so_and_stops_at_the_same_place_each_time() -> None:
    def windows(most: int) -> Any:
        strategy = ResumeCadenceAfterFailureStrategy(SimpleNamespace(cadence_parameters={'cadence_frequency': 24}))
        return next_windows(counted(engine(), strategy, Work(most=most)), history(), at(1))

    whole, part, again = windows(10_000), windows(20), windows(20)
    assert len(whole.windows) == 5
    assert 0 < len(part.windows) < 5
    assert part == again
    assert part.ending == 'What follows takes too long to work out on a page.'
    assert windows(0).windows == ()
