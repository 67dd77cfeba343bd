"""Decline-following: the interval in which the target changes by one step, from a slope that no outlier spoils."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import theilslopes

from tests.support.samples import HOUR, NOON, attempt, cadence, history, window
from tom_cadence.core.decisions import Submit, Wait
from tom_cadence.core.photometry import Photometry
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies import DeclineFollowingStrategy, History
from tom_cadence.strategies.decline import pooled_slope, read
from tom_followup.units import mjd_of

NOW = mjd_of(NOON)


def curve(rate: float, number: int = 8, **more: Any) -> Photometry:
    """One point a day up to yesterday, fading by ``rate`` magnitudes a day."""
    days = np.arange(-number, 0.0)
    return Photometry.of(NOW + days, 'r', 17 + rate * days, **{'error': 0.02, **more})


def decide(seen: Photometry, now: Any = NOON, outcome: str = 'succeeded', **parameters: Any) -> Any:
    past = history(outcome)
    given = {'cadence_frequency': 24, 'decline_step': 0.2, **parameters}
    return DeclineFollowingStrategy(cadence(**given)).decide(History(attempts=past.attempts, photometry=seen), now)


@pytest.mark.parametrize(
    ('seen', 'due', 'words'),
    [
        (curve(0.2), 20, 'It fades by 0.2 mag a day (the last 8 points, r, to 2026-11-20 12:00 UTC): every 24 h.'),
        (curve(-0.4), 8, 'It brightens by 0.4 mag a day'),
        (curve(0.1), 44, 'every 48 h'),
        (curve(2.0), 2, 'every 6 h'),  # no shorter than the shortest
        (curve(0.001), 236, 'every 240 h'),  # no longer than the longest
        (curve(0.0), 236, 'It does not change'),
        (curve(0.2, 2), 20, 'too few points to tell a slope from: every 24 h'),
        (curve(0.2, error=0.9), 20, 'too few points'),
        (curve(0.2).only(np.array([6, 6, 6])), 20, 'too few points'),  # all at one time
    ],
)
def test_the_interval_follows_the_slope(seen: Photometry, due: float, words: str) -> None:
    early = decide(seen)
    assert isinstance(early, Wait)
    assert words in early.reason
    decision = decide(seen, NOON + (due - 0.5) * HOUR, decline_age=60)
    assert isinstance(decision, Submit)
    assert decision.window == window(due)


def test_one_bad_point_does_not_change_the_slope_much() -> None:
    spoilt = curve(0.2)
    spoilt.magnitude[5] += 3
    assert pooled_slope(spoilt) == pytest.approx(0.2, abs=0.02)


def test_it_is_the_slope_of_theil_and_sen() -> None:
    draw = np.random.default_rng(5)
    days, magnitudes = np.sort(draw.uniform(0, 30, 40)), draw.normal(17, 1, 40)
    assert pooled_slope(Photometry.of(days, 'r', magnitudes)) == pytest.approx(theilslopes(magnitudes, days).slope, rel=1e-12)


def test_a_colour_is_not_taken_for_a_slope() -> None:
    both = Photometry.of(NOW - np.arange(8.0), ['g'] * 4 + ['r'] * 4, [18.0] * 4 + [17.0] * 4, error=0.02)
    assert pooled_slope(both) == 0


@pytest.mark.parametrize(('parameters', 'number'), [({'decline_points': 4}, 4), ({'decline_age': 3.5}, 3), ({}, 8)])
def test_only_the_newest_points_count(parameters: dict[str, Any], number: int) -> None:
    assert f'the last {number} points' in decide(curve(0.2, 20), **parameters).reason


def test_points_of_other_bands_and_of_the_future_do_not_count() -> None:
    late = Photometry.of([*(NOW - np.arange(4.0)), NOW + 1], 'r', [17.0, 17, 17, 17, 30], error=0.02)
    assert 'It does not change (the last 4 points' in decide(late, decline_bands='r').reason
    assert 'too few' in decide(late, decline_bands='g').reason


def test_a_failure_is_asked_for_again() -> None:
    assert decide(curve(0.2), outcome='failed').window == window(0)


def test_a_real_time_counts_where_asked() -> None:
    seen = History(attempts=(attempt(1, 'succeeded', scheduled_start=NOON - HOUR),), photometry=curve(0.2))
    strategy = DeclineFollowingStrategy(cadence(decline_step=0.2, count_from='observed'))
    assert 'due at 2026-11-22 11:00 UTC' in strategy.decide(seen, NOON).reason


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'cadence_frequency': None}, 'cadence_frequency is missing'),
        ({'decline_least': 48, 'decline_most': 24}, 'decline_most is 24 h, which is shorter than the shortest interval, 48 h'),
        ({'cadence_frequency': 3}, 'it must be between 6 h and 240 h'),
        ({'decline_points': 2}, 'decline_points is 2; a number of at least 3'),
        ({'decline_step': 0}, 'decline_step is 0; a number above 0'),
    ],
)
def test_impossible_combinations_are_refused_in_words(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(NeedsAttention, match=words):
        decide(curve(0.2), **parameters)


@pytest.mark.parametrize('points', [201, 12_000, 1_000_000, 10**400])
def test_more_points_than_a_slope_can_be_made_of_in_no_time_are_refused(points: int) -> None:
    with pytest.raises(NeedsAttention, match=r'decline_points is .* of at most 200 is expected'):
        read({'cadence_frequency': 24, 'decline_points': points})
