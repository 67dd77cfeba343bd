"""Resume, every outcome: wait, the same length again, or the next interval; never in the past."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.samples import HOUR, NOON, attempt, cadence, history, window
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.history import History
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies import ResumeCadenceAfterFailureStrategy


def decide(past: History, now: Any = NOON, **parameters: Any) -> Any:
    return ResumeCadenceAfterFailureStrategy(cadence(**parameters)).decide(past, now)


@pytest.mark.parametrize(
    ('outcomes', 'expected', 'start', 'follows'),
    [
        ([], Wait, None, None),
        (['waiting'], Wait, None, None),
        (['failed', 'waiting'], Wait, None, None),
        (['waiting', 'failed'], Wait, None, None),
        (['waiting', 'succeeded'], Wait, None, None),
        (['failed'], Submit, 0, (1,)),
        (['succeeded'], Submit, 20, (1,)),
        (['succeeded', 'failed'], Submit, 0, (2,)),
        (['failed', 'succeeded'], Submit, 20, (2,)),
        (['cancelled'], Stop, None, None),
        (['succeeded', 'cancelled'], Stop, None, None),
    ],
    ids=lambda value: '-'.join(value) or 'empty' if isinstance(value, list) else None,
)
def test_every_outcome(outcomes: list[str], expected: type, start: float | None, follows: Any) -> None:
    decision = decide(history(*outcomes))
    assert type(decision) is expected
    assert decision.reason
    if isinstance(decision, Submit):
        assert decision.window == window(start or 0)
        assert decision.follows == follows
        assert decision.like == follows[-1]


def test_a_failed_observation_is_asked_for_again_after_the_pause_that_was_chosen() -> None:
    assert decide(history('failed'), retry_backoff=3).window == window(3)


@pytest.mark.parametrize(('late', 'start'), [(0, 20), (20, 20), (21, 21), (1000, 1000)])
def test_after_a_long_silence_of_cron_the_next_window_starts_now(late: float, start: float) -> None:
    assert decide(history('succeeded'), NOON + late * HOUR).window == window(start)


def test_the_next_window_counts_from_the_real_observation_where_asked() -> None:
    seen = History(attempts=(attempt(1, 'succeeded', scheduled_start=NOON - 2 * HOUR, scheduled_end=NOON - HOUR),))
    assert decide(seen, count_from='observed').window == window(22)
    assert decide(seen).window == window(20)


def test_the_next_window_counts_from_the_request_where_the_real_time_is_unknown() -> None:
    assert decide(history('succeeded'), count_from='observed').window == window(20)


def test_the_record_that_succeeded_is_the_one_that_is_repeated() -> None:
    both = History(attempts=(attempt(1, 'succeeded', submission=7), attempt(2, 'failed', submission=7)))
    decision = decide(both)
    assert (decision.like, decision.follows) == (1, (1, 2))


@pytest.mark.parametrize('given', [{'resubmit_cancelled': True}, {'ignore_before': 1}])
def test_a_cancelled_observation_is_asked_for_again_only_on_a_person_s_word(given: dict[str, Any]) -> None:
    decision = decide(history('cancelled', **given))
    assert isinstance(decision, Submit)
    assert 'was cancelled' in decision.reason


def test_a_cancelled_observation_is_skipped_where_that_is_wanted() -> None:
    decision = decide(history('cancelled', skips_cancelled=True))
    assert decision.window == decide(history('succeeded')).window
    assert decision.reason == 'Observation obs-1 was cancelled, and is skipped: the next one 24 h after it.'


def test_a_cancellation_ends_the_cadence_and_says_how_to_go_on() -> None:
    decision = decide(history('cancelled'))
    assert decision.kind == 'finished'
    assert 'obs-1 was cancelled' in decision.reason
    assert 'Resume' in decision.reason


@pytest.mark.parametrize('outcome', ['failed', 'succeeded'])
def test_a_window_that_cannot_be_read_asks_for_a_person(outcome: str) -> None:
    lost = History(attempts=(attempt(1, outcome, window=None, trouble='The observing window is missing.'),))
    with pytest.raises(NeedsAttention, match=r'obs-1: The observing window is missing'):
        decide(lost)


@pytest.mark.parametrize('outcome', ['failed', 'succeeded'])
def test_a_missing_frequency_asks_for_a_person_at_once(outcome: str) -> None:
    with pytest.raises(NeedsAttention, match='cadence_frequency'):
        decide(history(outcome), cadence_frequency=None)


def test_the_same_wait_has_the_same_words_at_any_time() -> None:
    assert decide(history('waiting'), NOON).reason == decide(history('waiting'), NOON + 7 * HOUR).reason


class Faint(ResumeCadenceAfterFailureStrategy):
    """Twelve hours later, and longer, as a site's own subclass may say."""

    def advance_window(self, observation_payload: dict[str, Any], start_keyword: str = 'start', end_keyword: str = 'end') -> Any:
        observation_payload[start_keyword] = (NOON + 12 * HOUR).isoformat()
        observation_payload[end_keyword] = (NOON + 20 * HOUR).isoformat()
        observation_payload['exposure_time'] = 300
        observation_payload['nested']['deep'] = 'changed'
        return observation_payload


def test_a_subclass_moves_the_window_its_own_way_and_may_change_more() -> None:
    stored = {'start': 'x', 'end': 'y', 'exposure_time': 60, 'filter': 'r', 'nested': {'deep': 'kept'}}
    past = History(attempts=(attempt(1, 'succeeded', parameters=stored),))
    decision = Faint(cadence()).decide(past, NOON)
    assert decision.window == window(12, 8)
    assert decision.changes == {'exposure_time': 300, 'nested': {'deep': 'changed'}}
    assert stored['nested'] == {'deep': 'kept'}
    assert Faint.needs_parameters
    assert not ResumeCadenceAfterFailureStrategy.needs_parameters


def test_a_subclass_that_decides_for_itself_is_given_everything_unless_it_says_that_it_waits() -> None:
    class Hasty(ResumeCadenceAfterFailureStrategy):
        def decide(self, history: History, now: Any) -> Any:
            return super().decide(history, now)

    class Patient(Hasty):
        waits_for_unfinished = True

        def decide(self, history: History, now: Any) -> Any:
            return super().decide(history, now)

    assert [made.waits_for_unfinished for made in (Faint, Hasty, Patient)] == [True, False, True]


def test_a_hook_that_returns_nothing_is_named() -> None:
    class Forgetful(ResumeCadenceAfterFailureStrategy):
        def advance_window(self, observation_payload: Any, start_keyword: str = 'start', end_keyword: str = 'end') -> Any:
            return None

    with pytest.raises(NeedsAttention, match='advance_window of Forgetful returned None'):
        Forgetful(cadence()).decide(history('succeeded'), NOON)


def test_the_hook_may_be_called_as_the_toolkit_s_is() -> None:
    payload = {'begin': '2026-11-21T08:00:00', 'finish': '2026-11-21T12:00:00'}
    moved = ResumeCadenceAfterFailureStrategy(cadence()).advance_window(payload, 'begin', 'finish')
    assert moved == {'begin': '2026-11-22T08:00:00', 'finish': '2026-11-22T12:00:00'}


def test_a_request_of_several_of_which_a_person_cancelled_one_ends_and_names_that_one() -> None:
    one_request = (attempt(195, 'succeeded', submission=7), attempt(196, 'cancelled', submission=7))
    end = decide(History(attempts=one_request))
    assert isinstance(end, Stop)
    assert end.reason.startswith(
        'Observation obs-196 was cancelled (1 of 2 of one request succeeded), so it is not asked for again.'
    )


def test_the_success_that_is_named_is_the_one_that_succeeded() -> None:
    one_request = (attempt(195, 'succeeded', submission=7), attempt(196, 'failed', submission=7))
    assert decide(History(attempts=one_request)).reason.startswith(
        'Observation obs-195 succeeded (1 of 2 of one request succeeded)'
    )
