"""Whatever a form accepts, a decision is quick, and what it takes is counted before it is taken."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django import forms
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tom_cadence.core.history import Attempt, History, Outcome
from tom_cadence.core.parameters import clean
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.policy import Limits, judge
from tom_cadence.core.windows import Window
from tom_cadence.exceptions import CadenceError
from tom_cadence.simulation import USUAL, SimulationStart, simulate
from tom_cadence.simulation.effort import PAGE, STEPS_A_SECOND, TooMuchWork, Work, effort_of
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
from tom_followup.units import mjd_of

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
STRATEGIES = pytest.mark.parametrize(
    'strategy',
    [
        BrightnessStrategy,
        DeclineFollowingStrategy,
        FillGapsStrategy,
        PhaseCoverageStrategy,
        ResumeCadenceAfterFailureStrategy,
        RetryFailedObservationsStrategy,
        StagedStrategy,
        UntilSuccessStrategy,
    ],
)
RECORDS, POINTS = 500, 10_000
#: What is written, and cannot be drawn from bounds: the longest that each form takes, and an ordinary one.
WRITTEN = {
    'staged_stages': ['daily', ', then '.join(f'every {hours} h for 1 day' for hours in range(1, 90))],
    'bright_table': ['', '; '.join(f'up to {step / 5}: every 0.6 min, 1 s' for step in range(-50, 49)) + '; fainter: every 2 days'],
    'relaxations': [''],
    'end_date': ['', '2199-12-31'],
    'gap_ask': ['', 'ATLAS'],
    'phase_epoch': ['0', '60316.5', '2024-01-07 12:00'],
}


@cache
def points() -> Photometry:
    """A month of points, every four minutes, in two bands."""
    nothing = np.full(POINTS, np.nan)
    return Photometry(
        time=mjd_of(NOW) - np.linspace(30, 0, POINTS),
        magnitude=18 + np.arange(POINTS) / POINTS,
        error=np.full(POINTS, 0.05),
        limit=nothing,
        flux=nothing,
        band=np.array(['r', 'g'] * (POINTS // 2)),
        source=np.full(POINTS, 'x'),
    )


def attempts(last: Outcome) -> tuple[Attempt, ...]:
    found = []
    for number in range(RECORDS):
        start = NOW - timedelta(hours=6 * (RECORDS - number))
        outcome = last if number == RECORDS - 1 else (Outcome.FAILED, Outcome.SUCCEEDED)[number % 2]
        taken = {'scheduled_start': start, 'scheduled_end': start} if outcome is Outcome.SUCCEEDED else {}
        found.append(
            Attempt(
                record=number + 1,
                observation_id=str(number + 1),
                facility='x',
                status='',
                outcome=outcome,
                created=start,
                window=Window(start=start, end=start + timedelta(hours=4)),
                parameters={'exposure_time': 60.0},
                **taken,
            )
        )
    return tuple(found)


def drawn(field: forms.Field, name: str) -> st.SearchStrategy[Any]:
    """The ends of what a field accepts, and what it begins with."""
    if name in WRITTEN:
        return st.sampled_from(WRITTEN[name])
    if isinstance(field, forms.ChoiceField):
        return st.sampled_from([key for key, _ in field.choices])
    if isinstance(field, (forms.IntegerField, forms.FloatField)):
        usual = [] if field.initial is None else [field.initial]
        ends = [1 if field.min_value is None else field.min_value, 80_000 if field.max_value is None else field.max_value]
        return st.sampled_from([*([] if field.required else ['']), *ends, *usual])
    return st.sampled_from(['', 'r', 'r, g'])


def parameters(strategy: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Whatever its form accepts, at the ends."""
    fields = {name: field for name, field in strategy.form.base_fields.items() if name in strategy.form.cadence_fields}
    asked = st.fixed_dictionaries({name: drawn(field, name) for name, field in fields.items() if not name.startswith('sky_')})
    return asked.map(lambda given: _cleaned(strategy, given)).filter(bool)


def _cleaned(strategy: Any, given: dict[str, Any]) -> dict[str, Any]:
    form = strategy.form({**given, 'cadence_strategy': strategy.__name__})
    return {name: form.cleaned_data.get(name) for name in strategy.form.cadence_fields} if form.is_valid() else {}


@STRATEGIES
@settings(max_examples=20)
@given(data=st.data(), last=st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.WAITING]))
def test_a_decision_takes_less_than_a_second_and_its_steps_are_bounded(strategy: Any, data: st.DataObject, last: Outcome) -> None:
    given = data.draw(parameters(strategy))
    made = strategy(SimpleNamespace(cadence_parameters=given))
    history = History(attempts=attempts(last), photometry=points())
    steps = effort_of(made, history)
    assert steps <= STEPS_A_SECOND
    limits = Limits(parameters=clean(given))
    began = time.thread_time()
    judge(made, history, NOW, limits, timedelta(days=1))
    assert time.thread_time() - began < 1 + 2 * steps / STEPS_A_SECOND


@STRATEGIES
@settings(max_examples=8)
@given(data=st.data())
def test_a_simulation_ends_where_its_work_does_whatever_is_filled_in(strategy: Any, data: st.DataObject) -> None:
    given = data.draw(parameters(strategy))
    first = SimulationStart.first(Window(start=NOW, end=NOW + timedelta(hours=4)), {'exposure_time': 60.0})
    work, began = Work(most=PAGE // 10), time.thread_time()
    try:
        simulate(strategy, given, USUAL, 1, 120, first, work=work)
    except TooMuchWork:
        assert work.done > work.most - STEPS_A_SECOND
    except CadenceError:
        assume(False)
    assert work.done <= work.most
    assert time.thread_time() - began < 2


def test_the_same_work_ends_at_the_same_place_on_any_machine() -> None:
    first = SimulationStart.first(Window(start=NOW, end=NOW + timedelta(hours=4)), {'exposure_time': 60.0})

    def steps() -> int:
        work = Work()
        simulate(ResumeCadenceAfterFailureStrategy, {'cadence_frequency': 24}, USUAL, 1, 60, first, work=work)
        return work.done

    assert steps() == steps() > 1000


def test_a_strategy_of_a_site_that_computes_for_long_is_ended_by_the_processors_clock() -> None:
    seconds = iter([0.0, 4.0, 5.0])
    work = Work(most=PAGE, spent=lambda: next(seconds))
    work.count(1)
    with pytest.raises(TooMuchWork):
        work.count(1)
