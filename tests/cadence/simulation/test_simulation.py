"""The virtual clock: the same decisions as in production, to the second, without a database."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.support.samples import HOUR, NOON, history
from tom_cadence.core.decisions import Decision, Stop, Submit, Wait
from tom_cadence.core.history import History, Outcome
from tom_cadence.core.windows import Window
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.simulation import PERFECT, USUAL, BadSky, SimulatedSky, SimulationStart, Survey, Timeline, simulate, summary
from tom_cadence.simulation.clock import MOST_AT_ONCE
from tom_cadence.simulation.sky import Constant, Supernova
from tom_cadence.strategies import BrightnessStrategy
from tom_cadence.strategies import ResumeCadenceAfterFailureStrategy as Resume
from tom_cadence.strategies import RetryFailedObservationsStrategy as Retry
from tom_followup.units import mjd_of

ASKED = {'exposure_time': 60.0, 'exposure_count': 3}
FIRST = Window(start=NOON, end=NOON + 12 * HOUR)


def run(
    sky: SimulatedSky = PERFECT, nights: int = 10, seed: int = 1, strategy: Any = Resume, begin: Any = None, **parameters: Any
) -> Timeline:
    given = {'cadence_frequency': 24, **parameters}
    return simulate(strategy, given, sky, seed, nights, begin or SimulationStart.first(FIRST, ASKED))


def test_under_a_perfect_sky_the_interval_is_kept_to_the_second() -> None:
    found = run(nights=30, cadence_frequency=17.77)
    begun = [NOON + number * timedelta(hours=17.77) for number in range(len(found.starts))]
    assert len(found.starts) == 41
    assert all(abs(start - due) < timedelta(milliseconds=1) for start, due in zip(found.starts, begun, strict=True))
    assert found.exposed == 41 * 180
    assert found.longest_gap == pytest.approx(17.77)


def test_the_first_observation_is_the_one_the_cadence_begins_with() -> None:
    found = run(nights=1)
    assert [(each.number, each.window) for each in found.observations][:1] == [(1, FIRST)]
    assert found.steps[0].decision == 'wait'
    assert found.first == 0


def test_the_next_request_is_sent_when_the_state_is_known() -> None:
    found = run(replace(PERFECT, report=2.5), nights=2)
    assert found.observations[1].asked == NOON + timedelta(seconds=180) + 2.5 * HOUR


def test_the_engine_looks_only_so_often() -> None:
    found = run(replace(PERFECT, looks=60.0), nights=3)
    assert [(each.asked - NOON) / HOUR for each in found.observations] == [0, 1, 25, 49]


def test_a_failed_observation_is_asked_for_again_when_it_is_known_to_have_failed() -> None:
    found = run(replace(PERFECT, failures=1.0, report=1.0), nights=1, max_consecutive_failures=100)
    first, second = found.observations[:2]
    assert (first.outcome, first.known) == (Outcome.FAILED, NOON + timedelta(seconds=180) + HOUR)
    assert (second.asked, second.window) == (first.known, FIRST.starting(first.known))


@pytest.mark.parametrize(('parameters', 'done', 'words'), [
    ({'max_observations': 4}, 4, 'All 4 observations'),
    ({'end_date': (NOON + 70 * HOUR).isoformat()}, 3, 'end date'),
    ({'max_exposure_time': 400}, 2, '360 s used'),
])  # fmt: skip
def test_the_limits_are_those_of_the_engine(parameters: dict[str, Any], done: int, words: str) -> None:
    found = run(**parameters)
    assert len(found.done) == done
    assert words in found.ending
    assert not found.attention
    assert found.steps[-1].decision == 'stop'


def test_failures_in_a_row_end_it_by_asking_for_a_person() -> None:
    found = run(replace(PERFECT, failures=1.0), max_consecutive_failures=3)
    assert (len(found.observations), found.failed, found.attention) == (3, 3, True)
    assert summary([found]).without == 1


def test_an_observation_that_is_told_too_late_is_a_matter_for_a_person() -> None:
    found = run(replace(PERFECT, report=48.0), nights=5)
    assert 'is still imagined: waiting 24 h after the end of its window' in found.ending
    assert found.ended == FIRST.end + timedelta(days=1)


def test_what_is_only_known_after_the_end_is_not_told() -> None:
    last = run(replace(PERFECT, report=36.0), nights=1).observations[-1]
    assert (last.outcome, last.start, last.known) == (Outcome.WAITING, None, None)


class Patient(Resume):
    """Waits for an hour of the day, and asks without an observation before it."""

    def decide(self, history: History, now: datetime) -> Decision:
        due = history.attempts[-1].window.start + timedelta(hours=31, seconds=17)  # type: ignore[union-attr]
        if history.waiting or now < due:
            return Wait(reason='Not yet.')
        return Submit(reason='Now.', window=Window(start=now, end=now + HOUR), like=1, cause=now.isoformat())


def test_a_wait_for_a_time_ends_to_the_second() -> None:
    found = run(strategy=Patient, nights=20)
    gaps = [timedelta(hours=hours).total_seconds() for hours in found.intervals]
    assert gaps == [31 * 3600 + 17] * 15


class Greedy(Resume):
    """Never has enough."""

    def decide(self, history: History, now: datetime) -> Decision:
        return Submit(reason='More.', window=Window(start=now, end=now + HOUR), like=1, cause=str(len(history.attempts)))


def test_a_strategy_that_never_has_enough_does_not_stop_the_clock() -> None:
    found = run(strategy=Greedy, nights=1)
    at_first = [each for each in found.observations if each.asked == NOON]
    assert len(at_first) == MOST_AT_ONCE + 1
    assert found.observations[-1].asked > NOON + 23 * HOUR


class Broken(Resume):
    """A mistake in the site's own code."""

    def decide(self, history: History, now: datetime) -> Decision:
        raise KeyError('magnitude')


def test_a_broken_strategy_ends_its_simulation_with_what_went_wrong() -> None:
    found = run(strategy=Broken)
    assert (found.ending, found.attention) == ("The strategy Broken failed: KeyError: 'magnitude'", True)


def test_retry_stops_after_a_success_and_follows_each_failure_once() -> None:
    assert len(run(strategy=Retry).observations) == 1
    failing = run(replace(PERFECT, failures=1.0), nights=5, strategy=Retry, max_consecutive_failures=50)
    assert [(each.window.start - NOON) / HOUR for each in failing.observations] == [0, 24, 48, 72, 96, 120]


def test_a_cadence_goes_on_from_its_real_history() -> None:
    real = history('succeeded', 'failed')
    found = run(begin=SimulationStart(history=real, now=NOON), nights=1)
    assert found.steps[0].decision == 'submit'
    assert 'obs-2 failed' in found.steps[0].reason
    assert found.observations[0].window.start == NOON


def test_the_same_seed_is_the_same_future_and_another_seed_another_one() -> None:
    assert run(USUAL, 40, 7) == run(USUAL, 40, 7)
    assert run(USUAL, 40, 7).starts != run(USUAL, 40, 8).starts


def test_another_strategy_has_the_same_weather() -> None:
    cloudy = replace(PERFECT, cloudy=0.4)
    daily, hourly = (
        run(cloudy, 30, max_consecutive_failures=999),
        run(cloudy, 30, cadence_frequency=1, max_consecutive_failures=999),
    )
    nights = {start.date() for start in hourly.starts if start.hour > 12}
    assert {start.date() for start in daily.starts if start.hour > 12} <= nights
    assert len(nights) < 30


def test_what_cannot_be_simulated_is_said() -> None:
    for wrong in ({'nights': 0}, {'nights': 5000}, {'seed': -1}):
        with pytest.raises(BadSky):
            run(**wrong)  # type: ignore[arg-type]
    with pytest.raises(NeedsAttention, match='cadence_frequency'):
        run(cadence_frequency=-3)


@pytest.mark.parametrize('wrong', [{'cloudy': 1.2}, {'failures': -0.1}, {'delay': math.inf}, {'late': 2}, {'looks': -5}])
def test_a_sky_that_cannot_be_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(BadSky, match=next(iter(wrong))):
        SimulatedSky(**wrong)  # type: ignore[arg-type]


def test_the_figures_of_many_runs() -> None:
    found = summary([run(nights=3), run(nights=5), run(replace(PERFECT, failures=1.0), max_consecutive_failures=1)])
    assert (found.runs, found.done.median, found.without, found.ended, found.attention) == (3, 3, 1, 1, 1)
    assert (found.interval.median, found.interval.ninety, found.first.median) == (24, 24, 0)
    assert found.exposed.high == pytest.approx(0.24)
    assert 'in a row failed' in next(iter(found.endings))


def test_a_gap_before_the_first_and_after_the_last_counts() -> None:
    late = SimulationStart.first(Window(start=NOON, end=NOON + HOUR), ASKED)
    begun = replace(late, now=NOON - 50 * HOUR)
    assert run(begin=begun, nights=4, max_observations=1).longest_gap == 50
    forever = run(strategy=Retry, nights=4)
    assert forever.longest_gap == pytest.approx(180 / 3600)  # it ended when the first success was known


def test_the_history_that_is_handed_in_is_left_as_it_was() -> None:
    given = history('waiting')
    run(begin=SimulationStart(history=given, now=NOON))
    assert given == history('waiting')


def test_a_decision_without_sense_is_found_as_in_the_engine() -> None:
    class Wrong(Resume):
        def decide(self, history: History, now: datetime) -> Decision:
            return Stop(reason=' ')

    assert "gives ' ' as its reason" in run(strategy=Wrong).ending


class Curious(Resume):
    """Looks at the light curve, and notes what it saw."""

    needs_photometry = True
    seen: list[tuple[datetime, float, int]] = []

    def decide(self, history: History, now: datetime) -> Decision:
        points = history.photometry
        newest = float(points.time[-1]) if len(points) else 0.0
        Curious.seen.append((now, newest, len(points)))
        return super().decide(history, now)


def test_a_strategy_sees_the_points_known_by_then_and_those_of_its_own_observations() -> None:
    Curious.seen = []
    survey = Survey(name='ATLAS', band='o', every=1.0, latency=12.0, lost=0.0)
    found = run(SimulatedSky(light=Constant(level=17.0), surveys=(survey,)), strategy=Curious, nights=10)
    assert all(newest <= mjd_of(now) for now, newest, _ in Curious.seen)
    numbers = [number for _, _, number in Curious.seen]
    assert numbers == sorted(numbers)
    assert numbers[0] >= 28  # the surveys have looked before
    assert set(found.photometry.source.tolist()) == {'ATLAS', 'imagined'}
    assert (found.photometry.source == 'imagined').sum() == len(found.done)


def test_brightness_ends_when_the_imagined_supernova_has_faded() -> None:
    sky = SimulatedSky(light=Supernova(maximum=mjd_of(NOON) + 5, peak=16.0, fall=20.0), depth=21.0)
    given = {'bright_follow': 'brighter', 'bright_magnitude': 17.5, 'bright_stop': 17.5}
    found = run(sky, strategy=BrightnessStrategy, nights=150, **given)
    assert 'ends' in found.ending
    assert found.ended is not None
    faint = sky.light.magnitude(np.array([mjd_of(found.ended)]), 'r')[0]  # type: ignore[union-attr]
    assert faint == pytest.approx(17.5, abs=0.1)


def test_a_strategy_that_does_not_look_gets_no_points() -> None:
    assert len(run(SimulatedSky(light=Constant(level=17.0))).photometry) == 0
