"""Relaxed after failures: the declared steps, in the facility's own fields, and back again after a success."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.samples import attempt, window
from tom_cadence.core.decisions import Submit, Wait
from tom_cadence.core.history import History
from tom_cadence.core.relaxation import EXAMPLE, Relaxation, known, read_relaxations, relax
from tom_cadence.exceptions import NeedsAttention

LCO = {
    'c_1_max_airmass': 1.6,
    'c_1_min_lunar_distance': None,
    'c_2_max_airmass': 1.8,
    'c_1_ic_1_exposure_time': 100.0,
    'c_1_ic_2_exposure_time': None,
    'ipp_value': 1.05,
}
STEPS = read_relaxations('after 2: airmass 2.0, moon distance 20; after 3: airmass 2.5; after 4: window 12 h, exposure 50 %')


def run(failures: int, like: dict[str, Any] | None = None, steps: Any = STEPS, refusals: int = 0, **submit: Any) -> Any:
    """What is asked for after so many failures in a row, where the last record was made with the parameters ``like``."""
    attempts = [attempt(1, 'succeeded' if not failures else 'failed', parameters=LCO)]
    attempts += [attempt(number, 'failed', parameters=like or LCO) for number in range(2, failures + 1)]
    given = {'reason': 'Again.', 'window': window(0), 'like': attempts[-1].record, 'follows': (attempts[-1].record,), **submit}
    return relax(Submit(**given), steps, History(attempts=tuple(attempts), refusals=refusals))


@pytest.mark.parametrize(
    ('failures', 'changes', 'hours', 'said'),
    [
        (1, {}, 4, ''),
        (
            2,
            {'c_1_max_airmass': 2.0, 'c_2_max_airmass': 2.0, 'c_1_min_lunar_distance': 20.0},
            4,
            ' Relaxed after 2 failures in a row: airmass 2; moon distance 20°.',
        ),
        (3, {'c_1_max_airmass': 2.5, 'c_2_max_airmass': 2.5, 'c_1_min_lunar_distance': 20.0}, 4, 'airmass 2.5; moon distance 20°.'),
        (
            4,
            {'c_1_max_airmass': 2.5, 'c_2_max_airmass': 2.5, 'c_1_min_lunar_distance': 20.0, 'c_1_ic_1_exposure_time': 50.0},
            12,
            'airmass 2.5; moon distance 20°; exposure 50 %; window 12 h.',
        ),
    ],
)
def test_step_by_step(failures: int, changes: dict[str, Any], hours: float, said: str) -> None:
    decision = run(failures)
    assert decision.changes == changes
    assert decision.window == window(0, hours)
    assert decision.reason.endswith(said or 'Again.')


def test_a_refusal_counts_as_a_failure() -> None:
    assert run(1, refusals=1).changes['c_1_max_airmass'] == 2.0


def test_what_is_relaxed_already_is_not_relaxed_twice() -> None:
    relaxed = {**LCO, 'c_1_ic_1_exposure_time': 50.0, 'c_1_max_airmass': 2.5, 'c_2_max_airmass': 2.5}
    assert run(4, like=relaxed).changes == {'c_1_min_lunar_distance': 20.0}


def test_after_a_success_it_is_asked_for_as_at_first() -> None:
    relaxed = {**LCO, 'c_1_max_airmass': 2.5, 'c_1_min_lunar_distance': 20.0, 'c_1_ic_1_exposure_time': 50.0}
    attempts = (attempt(1, 'failed', parameters=LCO), attempt(2, 'succeeded', parameters=relaxed, window=window(-20, 12)))
    decision = relax(
        Submit(reason='Next.', window=window(4, 12), like=2, follows=(2,)), STEPS, History(attempts=attempts)
    )  # fmt: skip
    assert decision.changes == {'c_1_max_airmass': 1.6, 'c_1_min_lunar_distance': None, 'c_1_ic_1_exposure_time': 100.0}
    assert decision.window == window(4, 4)
    assert decision.reason == 'Next.'


def test_a_part_of_an_exposure_is_a_part_of_what_the_strategy_wants() -> None:
    assert run(4, changes={'c_1_ic_1_exposure_time': 300.0}).changes['c_1_ic_1_exposure_time'] == 150.0
    assert run(1, changes={'c_1_ic_1_exposure_time': 300.0}).changes == {'c_1_ic_1_exposure_time': 300.0}


def test_a_window_whose_length_the_strategy_chose_is_left_alone() -> None:
    assert run(4, window=window(0, 1)).window == window(0, 1)


def test_what_the_observation_does_not_ask_for_is_said() -> None:
    plain = History(attempts=(attempt(1, 'failed', parameters={'exposure_time': 60}), attempt(2, 'failed')))
    decision = relax(Submit(reason='Again.', window=window(0), like=1, follows=(2,)), STEPS, plain)
    assert decision.changes == {}
    assert 'airmass: not asked for by this observation, so left alone' in decision.reason


def test_without_steps_and_without_a_submission_nothing_happens() -> None:
    wait = Wait(reason='No.')
    assert relax(wait, STEPS, History()) is wait
    decision = Submit(reason='Again.', window=window(0), like=1)
    assert relax(decision, (), History(attempts=(attempt(1, 'failed'),))) is decision


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('airmass 2', "step 1, 'airmass 2', cannot be read. Write it like: after 2"),
        ('after 0: airmass 2', 'step 1'),
        ('after 1: airmass 2; after 2: seeing 3', "'seeing 3' in step 2 cannot be read"),
        ('after 1: airmass 50 %', 'only a window and an exposure can be a part'),
        ('after 1: window 12', "'window 12' in step 1 needs its unit h"),
        ('after 1: exposure 12 h', 'needs its unit s'),
        ('after 1: airmass 2 h', 'needs its unit: none'),
        ('after 1: airmass 0.5', 'a number from 1 to 20 is expected'),
        ('after 1: moon distance 200', 'a number from 0 to 180'),
        ('after 1: exposure 0 %', 'a number from 1 to 1000'),
    ],
)
def test_what_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(NeedsAttention, match=words):
        read_relaxations(text)


def test_steps_are_read_in_any_order_and_written_as_people_do() -> None:
    steps = read_relaxations('After 4 failures: Window to 12 hours\nafter 2: moon 20 deg, exposure time 80%')
    assert steps[0] == Relaxation(failures=2, what='moon distance', value=20)
    assert known(steps) == 'after 2: moon distance 20°, exposure 80 %; after 4: window 12 h'
    assert read_relaxations(known(steps)) == steps
    assert read_relaxations(EXAMPLE)
    assert read_relaxations('') == ()
