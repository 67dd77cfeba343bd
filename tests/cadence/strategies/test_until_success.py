"""Until success: one observation is wanted, by success or until a period ends; nothing follows it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.samples import HOUR, NOON, cadence, history, window
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies import History, UntilSuccessStrategy


def decide(past: History, now: Any = NOON, **parameters: Any) -> Any:
    given = {'cadence_frequency': None, 'until_mode': 'success', **parameters}
    return UntilSuccessStrategy(cadence(**given)).decide(past, now)


@pytest.mark.parametrize(
    ('outcomes', 'expected', 'words'),
    [
        ([], Wait, 'no observation yet'),
        (['waiting'], Wait, 'obs-1 is not finished'),
        (['failed'], Submit, 'obs-1 failed (WINDOW_EXPIRED): asked for again, until it succeeds.'),
        (['failed', 'waiting'], Wait, 'obs-2'),
        (['failed', 'failed'], Submit, 'obs-2'),
        (['succeeded'], Stop, 'obs-1 succeeded: that is all that was wanted.'),
        (['failed', 'succeeded'], Stop, 'obs-2 succeeded'),
        (['cancelled'], Stop, 'Resume the cadence to go on'),
    ],
)
def test_every_outcome(outcomes: list[str], expected: type, words: str) -> None:
    decision = decide(history(*outcomes))
    assert type(decision) is expected
    assert words in decision.reason


@pytest.mark.parametrize(
    ('parameters', 'start'),
    [({}, 0), ({'cadence_frequency': 24}, 20), ({'cadence_frequency': 1}, 0), ({'retry_backoff': 5}, 5)],
)
def test_it_is_asked_for_again_at_once_or_at_the_chosen_interval(parameters: dict[str, Any], start: float) -> None:
    decision = decide(history('failed'), **parameters)
    assert decision.window == window(start)
    assert decision.follows == (1,)


@pytest.mark.parametrize(('now', 'expected'), [(0, Submit), (19.9, Submit), (20, Stop), (900, Stop)])
def test_a_period_ends_it_counted_from_the_first_window(now: float, expected: type) -> None:
    decision = decide(history('failed', 'failed'), NOON + now * HOUR, until_mode='period', until_days=1)
    assert type(decision) is expected
    if expected is Stop:
        assert decision.kind == 'finished'
        assert 'the period of 1 days ended at 2026-11-22 08:00 UTC without a success' in decision.reason


def test_a_success_after_the_end_of_the_period_is_a_success() -> None:
    decision = decide(history('failed', 'succeeded'), NOON + 900 * HOUR, until_mode='period', until_days=1)
    assert 'succeeded' in decision.reason


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'until_mode': 'period'}, 'until_days is missing'),
        ({'until_days': 3}, 'until_days is given'),
        ({'until_mode': 'never'}, "until_mode is 'never'; one of success, period is expected"),
        ({'until_mode': 'period', 'until_days': -1}, 'until_days is -1; a number above 0'),
    ],
)
def test_impossible_combinations_are_refused_in_words(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(NeedsAttention, match=words):
        decide(history('failed'), **parameters)
