"""A simulation's statistics are those that its sky and its strategy define."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import accumulate, chain, pairwise, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proofs import some
from tom_cadence.core.decisions import Submit
from tom_cadence.core.history import Outcome, with_end, with_request
from tom_cadence.core.windows import Window
from tom_cadence.simulation import PERFECT, USUAL, SimulatedSky, SimulationStart, Timeline, simulate
from tom_cadence.strategies import (
    BrightnessStrategy,
    DeclineFollowingStrategy,
    FillGapsStrategy,
    PhaseCoverageStrategy,
    ResumeCadenceAfterFailureStrategy,
    RetryFailedObservationsStrategy,
    StagedStrategy,
    UntilSuccessStrategy,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
FIRST = Window(start=NOON, end=NOON + 6 * HOUR)
FOR_EVER = 100_000


def run(strategy: Any, sky: SimulatedSky, nights: int, seed: int = 1, **parameters: Any) -> Timeline:
    given = {'cadence_frequency': 24, 'max_consecutive_failures': FOR_EVER, **parameters}
    return simulate(strategy, given, sky, seed, nights, SimulationStart.first(FIRST, {'exposure_time': 60.0}))


OTHER = pytest.mark.prove(why='fifteen hundred nights, two seconds and more, as for the chance between')


@pytest.mark.parametrize('chance', some([0.1, 0.35, 0.7], [0.35], OTHER))
def test_resume_needs_as_many_attempts_for_a_success_as_the_geometric_distribution_says(chance: float) -> None:
    found = run(ResumeCadenceAfterFailureStrategy, replace(PERFECT, failures=chance), 1500)
    last = found.done[-1].number
    successes = len(found.done)
    mean = last / successes
    sigma = math.sqrt(chance) / (1 - chance) / math.sqrt(successes)
    assert successes > 1000
    assert abs(mean - 1 / (1 - chance)) < 3 * sigma


def test_the_chain_of_retry_is_as_long_as_the_geometric_distribution_says() -> None:
    sky = replace(PERFECT, failures=0.4)
    lengths = [len(run(RetryFailedObservationsStrategy, sky, 60, seed).observations) for seed in range(600)]
    assert abs(sum(lengths) / 600 - 1 / 0.6) < 3 * math.sqrt(0.4) / 0.6 / math.sqrt(600)


def test_staged_keeps_its_definition_to_the_second_in_perfect_weather() -> None:
    stages = 'every 6 h for 2 days, then every 24 h for 10 days, then every 3 days for 60 days'
    found = run(StagedStrategy, PERFECT, 100, cadence_frequency=None, staged_stages=stages)
    steps = chain(repeat(6, 8), repeat(24, 10), repeat(72, 20))
    due = [NOON + hours * HOUR for hours in accumulate(steps, initial=0)]
    assert list(found.starts) == due[: len(found.starts)]
    assert len(found.starts) in (len(due), len(due) - 1)  # whether the end of a stage still belongs to it is the strategy's matter
    assert 'stages are over' in found.ending


skies = st.builds(
    SimulatedSky,
    cloudy=st.floats(0, 0.9),
    persistence=st.floats(0, 0.9),
    failures=st.floats(0, 0.9),
    delay=st.floats(0, 5),
    report=st.floats(0, 3),
    late=st.floats(0, 1),
    late_by=st.floats(0, 20),
    looks=st.sampled_from([0.0, 5.0, 30.0]),
)


@given(
    sky=skies,
    seed=st.integers(0, 2**32),
    hours=st.floats(0.5, 100),
    strategy=st.sampled_from([ResumeCadenceAfterFailureStrategy, RetryFailedObservationsStrategy]),
    most=st.integers(1, 30),
)
def test_whatever_the_sky_no_future_breaks_the_rules(sky: SimulatedSky, seed: int, hours: float, strategy: Any, most: int) -> None:
    found = run(strategy, sky, 20, seed, cadence_frequency=hours, max_observations=most)
    assert len(found.done) <= most
    times = [step.at for step in found.steps]
    assert times == sorted(times)
    assert all(step.reason.strip() for step in found.steps)
    for each in found.observations:
        assert each.number == 1 or each.window.start >= each.asked  # never in the past
        if each.start is not None and each.end is not None and each.known is not None:
            assert each.window.start <= each.start < each.window.end
            assert each.start <= each.end <= each.known <= found.until
    asked, one_at_a_time = list(found.observations), strategy is ResumeCadenceAfterFailureStrategy
    for before, later in pairwise(asked):
        assert not one_at_a_time or (before.known is not None and before.known <= later.asked)


@given(data=st.data(), steps=st.integers(1, 12))
def test_what_an_imagined_history_is_told_is_what_it_would_find_out(data: st.DataObject, steps: int) -> None:
    """The shortcut that makes long simulations fast changes nothing."""
    history = SimulationStart.first(FIRST).history
    for step in range(steps):
        outcome = data.draw(st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED]))
        if history.waiting and data.draw(st.booleans()):
            record = data.draw(st.sampled_from([attempt.record for attempt in history.waiting]))
            history = with_end(history, record, outcome, 'x', NOON + step * HOUR)
        else:
            wanted = Submit(reason='x', window=FIRST, like=1, cause=str(step))
            history = with_request(history, wanted, NOON + step * HOUR, 'x')
        fresh = replace(history)
        assert 'units' not in vars(fresh)
        assert (history.units, history.waiting) == (fresh.units, fresh.waiting)
        assert [unit.outcome for unit in history.units] == [unit.outcome for unit in fresh.units]


def test_a_thousand_nights_are_as_many_as_they_seem() -> None:
    found = run(ResumeCadenceAfterFailureStrategy, USUAL, 1000)
    assert found.observations[-1].asked > NOON + timedelta(days=990)
    assert 600 < len(found.done) < 1000


OWN: dict[str, tuple[Any, dict[str, Any]]] = {
    'Resume': (ResumeCadenceAfterFailureStrategy, {}),
    'Retry': (RetryFailedObservationsStrategy, {}),
    'Until success': (UntilSuccessStrategy, {}),
    'Staged': (StagedStrategy, {'staged_stages': 'daily'}),
    'Phase coverage': (PhaseCoverageStrategy, {'phase_epoch': 60000, 'phase_period': 1.7}),
    'Fill the gaps': (FillGapsStrategy, {}),
    'Decline-following': (DeclineFollowingStrategy, {}),
    'Brightness': (BrightnessStrategy, {'bright_magnitude': 19, 'bright_without': 'observe'}),
}
QUICK = ('Resume', 'Retry', 'Until success', 'Phase coverage')


def ended_by_weather(name: str, lost: float, number: int) -> list[str]:
    """Why cadences ended that the weather ended, of so many in 60 nights with what a form left empty stands for."""
    strategy, own = OWN[name]
    given = {'cadence_frequency': 24, 'max_nights_without_success': None, 'max_consecutive_failures': None, **own}
    first = SimulationStart.first(Window(start=NOON, end=NOON + 4 * HOUR), {'exposure_time': 60.0})
    sky = replace(USUAL, cloudy=lost)
    timelines = (simulate(strategy, given, sky, seed, 60, first) for seed in range(number))
    return [timeline.ending for timeline in timelines if timeline.attention]


@pytest.mark.parametrize('name', OWN)
def test_what_is_left_empty_lets_the_weather_end_at_most_two_of_a_hundred_cadences_in_60_nights(name: str) -> None:
    """Windows of four hours, as an ordinary form asks for; the limits of a form in which none was filled in.

    In the worst weather of those below.
    """
    number = 50 if name in QUICK else 10
    ended = ended_by_weather(name, 0.4, number)
    assert len(ended) <= number * 0.02, ended


@pytest.mark.prove(why='two hundred cadences of each strategy at each share of lost nights: about two minutes')
@pytest.mark.parametrize('lost', [0.2, 0.3, 0.4])
@pytest.mark.parametrize('name', OWN)
def test_of_two_hundred_cadences_the_weather_ends_at_most_four(name: str, lost: float) -> None:
    ended = ended_by_weather(name, lost, 200)
    assert len(ended) <= 4, ended


def test_five_failures_in_a_row_would_end_most_of_them() -> None:
    """What the defaults are for: the same cadences with a limit of five observations."""
    given = {'cadence_frequency': 24, 'max_consecutive_failures': 5}
    sky, first = replace(USUAL, cloudy=0.3), SimulationStart.first(Window(start=NOON, end=NOON + 4 * HOUR), {'exposure_time': 60.0})
    ended = [simulate(ResumeCadenceAfterFailureStrategy, given, sky, seed, 60, first).attention for seed in range(50)]
    assert sum(ended) > 40
