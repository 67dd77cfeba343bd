"""Staged: stages as astronomers write them, kept to the second; nonsense is refused with its place."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from tests.support.samples import HOUR, NOON, attempt, cadence, history, window
from tom_cadence.core.decisions import Stop, Submit
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies import History, StagedStrategy
from tom_cadence.strategies.staged import EXAMPLE, Stage, end_of, in_words, next_start, read_stages

THREE = 'every 6 h for 2 days, then daily for 10 days, then every 3 days for 60 days'


def decide(past: History, now: Any = NOON, **parameters: Any) -> Any:
    return StagedStrategy(cadence(staged_stages=THREE, **parameters)).decide(past, now)


@pytest.mark.parametrize(
    ('text', 'stages'),
    [
        (THREE, ((6, 48), (24, 240), (72, 1440))),
        ('daily', ((24, None),)),
        ('6h for 2d; 12 h for 4 d', ((6, 48), (12, 96))),
        ('Every 30 minutes for 6 hours THEN hourly for a day'.replace('a day', '1 day'), ((0.5, 6), (1, 24))),
        ('every hour for 1 d,\nthen weekly for 3 weeks', ((1, 24), (168, 504))),
        ('nightly for 5 nights then every 2 nights without end', ((24, 120), (48, None))),
        ('every 1.5 h for .5 d.', ((1.5, 12),)),
    ],
)
def test_what_astronomers_type_is_read(text: str, stages: Any) -> None:
    found = read_stages(text)
    assert found == tuple(Stage(every=every, length=length) for every, length in stages)
    assert read_stages(in_words(found)) == found


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', 'staged_stages is missing'),
        ('every 6 h for 2 days, then dayly for 10 days', "stage 2, 'dayly for 10 days', cannot be read. Write it like: every 6 h"),
        ('every 6 parsecs for 2 days', 'stage 1'),
        ('daily, then every 3 days for 60 days', "stage 1, 'daily', never ends, but another one follows it"),
        ('every 3 days for 2 days', 'is over before its second observation'),
        ('every 0 h for 2 days', 'an interval of 0.01 h to ten years'),
        ('daily for 9000 days', 'more than ten years'),
        ('every 6 h for 2 days then', "cannot be read|stage"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_place(text: str, words: str) -> None:
    with pytest.raises(NeedsAttention, match=words):
        read_stages(text)


def test_the_example_can_be_read() -> None:
    assert len(read_stages(EXAMPLE)) == 3


def test_in_perfect_weather_the_intervals_are_those_of_the_definition_to_the_second() -> None:
    stages, at, starts = read_stages(THREE), NOON, [NOON]
    while (following := next_start(stages, NOON, at)) is not None:
        at = following[0]
        starts.append(at)
    hours = [(b - a) / HOUR for a, b in itertools.pairwise(starts)]
    assert hours == [6] * 8 + [24] * 10 + [72] * 19
    assert starts[8] == NOON + timedelta(days=2)
    assert end_of(stages, NOON) == NOON + timedelta(days=72)


@pytest.mark.parametrize(
    ('text', 'last', 'due'),
    [
        ('every 5 h for 1 day, then daily for 10 days', 20, 25),  # the shorter of the two intervals, past the boundary
        ('every 3 days for 4 days, then hourly for 1 day', 72, 96),  # the next stage is not leapt over
        ('every 10 h for 1 day, then every 20 h for 21 h, then daily for 9 days', 23, 33),
        ('every 20 h for 1 day, then every 10 h for 10 h, then hourly for 9 h', 21, 31),
        ('daily for 3 days', -5, 0),  # not begun yet
    ],
)
def test_where_two_stages_meet(text: str, last: float, due: float) -> None:
    following = next_start(read_stages(text), NOON, NOON + last * HOUR)
    assert following is not None
    assert (following[0] - NOON) / HOUR == due


@pytest.mark.parametrize(('last', 'ended'), [(47, False), (66, True), (72, True), (1000, True)])
def test_after_the_last_stage_nothing_follows(last: float, ended: bool) -> None:
    assert (next_start(read_stages('daily for 3 days'), NOON, NOON + last * HOUR) is None) is ended


def test_the_stages_count_from_the_first_success() -> None:
    decision = decide(history('failed', 'succeeded'))
    assert decision.window == window(2)
    assert 'Stage 1 of 3: every 6 h for 2 days.' in decision.reason


def test_a_failure_is_asked_for_again_at_once() -> None:
    decision = decide(history('succeeded', 'failed'), retry_backoff=2)
    assert decision.window == window(2)


@pytest.mark.parametrize(('date', 'start', 'stage'), [('2026-11-20T08:00', 2, 1), ('2026-11-18', 20, 2), ('2026-11-25', 84, 1)])
def test_the_stages_count_from_a_date(date: str, start: float, stage: int) -> None:
    decision = decide(history('succeeded'), staged_from='date', staged_date=date)
    assert decision.window == window(start)
    assert f'Stage {stage} of 3' in decision.reason


def test_a_late_observation_counts_where_it_was_really_taken() -> None:
    seen = History(attempts=(attempt(1, 'succeeded', scheduled_start=NOON - 2 * HOUR, scheduled_end=NOON),))
    assert decide(seen, count_from='observed').window == window(4)


@pytest.mark.parametrize('outcome', ['succeeded', 'failed'])
def test_it_ends_with_the_last_stage_whatever_became_of_the_last_observation(outcome: str) -> None:
    old = attempt(1, 'succeeded', window=window(-24 * 80))
    last = attempt(2, outcome, window=window(-24 * 8))
    decision = decide(History(attempts=(old, last)))
    assert isinstance(decision, Stop)
    assert 'all stages are over' in decision.reason.lower()


def test_without_an_end_a_failure_is_always_asked_for_again() -> None:
    past = History(attempts=(attempt(1, 'succeeded', window=window(-24 * 900)), attempt(2, 'failed')))
    strategy = StagedStrategy(cadence(staged_stages='daily'))
    assert isinstance(strategy.decide(past, NOON), Submit)


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [({'staged_from': 'date'}, 'staged_date is missing'), ({'staged_date': '2026-11-20'}, 'staged_date is given')],
)
def test_impossible_combinations_are_refused_in_words(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(NeedsAttention, match=words):
        decide(history('succeeded'), **parameters)
