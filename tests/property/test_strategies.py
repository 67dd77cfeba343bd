"""What must hold for every strategy, whatever happened: a reason, never the past, never more than asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as draw

from tests.support.samples import HOUR, attempt, cadence
from tom_cadence import registry
from tom_cadence.core.decisions import Decision, Stop, Submit, Wait
from tom_cadence.core.history import Attempt, History, Outcome, PhotometryAnswer
from tom_cadence.core.parameters import clean
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.policy import Limits, ask_strategy, limited
from tom_cadence.core.relaxation import BOUNDS
from tom_cadence.core.windows import Window
from tom_followup.units import mjd_of

START = datetime(2026, 11, 1, tzinfo=timezone.utc)
PARAMETERS: dict[str, list[Mapping[str, Any]]] = {
    'ResumeCadenceAfterFailureStrategy': [{}],
    'RetryFailedObservationsStrategy': [{}],
    'UntilSuccessStrategy': [{'until_mode': 'success', 'cadence_frequency': None}, {'until_mode': 'period', 'until_days': 5}],
    'StagedStrategy': [
        {'staged_stages': 'every 6 h for 2 days, then daily for 10 days'},
        {'staged_stages': 'daily', 'staged_from': 'date', 'staged_date': '2026-11-05'},
    ],
    'BrightnessStrategy': [
        {'bright_magnitude': 18, 'bright_stop': 19, 'bright_table': 'up to 16: every 6 h, 30 s; fainter: every 24 h, 60 s'},
        {'bright_magnitude': 17, 'bright_follow': 'fainter', 'bright_without': 'observe'},
    ],
    'DeclineFollowingStrategy': [{'decline_step': 0.2}, {'decline_step': 0.05, 'decline_points': 3, 'decline_bands': 'r'}],
    'PhaseCoverageStrategy': [
        {'phase_epoch': 59000.5, 'phase_period': 0.5668, 'phase_bins': 10},
        {'phase_epoch': 61000, 'phase_period': 25, 'phase_bins': 5, 'phase_counted': 'photometry'},
    ],
    'FillGapsStrategy': [{'cadence_frequency': 48}, {'cadence_frequency': 48, 'gap_ask': 'ATLAS'}],
}
CASES = [(name, number) for name, sets in PARAMETERS.items() for number in range(len(sets))]
STEPS = 'after 1: airmass 2; after 2: window 12 h, exposure 50 %'

hours = draw.integers(0, 24 * 30)
outcomes = draw.sampled_from(['waiting', 'succeeded', 'failed', 'cancelled'])


@draw.composite
def pasts(each: Any) -> tuple[History, datetime]:
    """Observations one after the other, a light curve, looks, and a present that is later than what is known."""
    made: list[Attempt] = []
    clock = 0
    for number in range(1, each(draw.integers(0, 6)) + 1):
        clock += each(draw.integers(1, 60))
        begin = START + clock * HOUR
        window = Window(start=begin, end=begin + each(draw.integers(1, 24)) * HOUR)
        outcome = each(outcomes)
        seen = begin if outcome == 'succeeded' and each(draw.booleans()) else None
        stored = {'exposure_time': 60.0, 'max_airmass': 1.6}
        made.append(
            attempt(number, outcome, window=window, created=begin, scheduled_start=seen, scheduled_end=seen, parameters=stored)
        )
    now = START + (clock + each(draw.integers(0, 400))) * HOUR
    points = each(draw.lists(draw.tuples(hours, draw.sampled_from('gro'), draw.floats(10, 25), draw.booleans()), max_size=12))
    curve = Photometry.of(
        [mjd_of(START + hour * HOUR) for hour, *_ in points],
        [band for _, band, *_ in points],
        [None if limit else value for *_, value, limit in points],
        0.1,
        [value if limit else None for *_, value, limit in points],
    ) if points else Photometry()  # fmt: skip
    looks = tuple(
        PhotometryAnswer(service='ATLAS', asked=START + hour * HOUR) for hour in sorted(each(draw.lists(hours, max_size=2)))
    )
    return History(attempts=tuple(made), photometry=curve, looks=looks, refusals=each(draw.integers(0, 3))), now


def strategy(name: str, number: int, **more: Any) -> Any:
    return registry.import_string(registry.OURS[name])(cadence(**PARAMETERS[name][number], **more))


def whole(name: str, number: int, past: History, now: datetime, **more: Any) -> Decision:
    """The decision as the engine has it: relaxed, and inside the limits."""
    made = strategy(name, number, **more)
    return limited(ask_strategy(made, past, now), past, now, Limits(parameters=clean(made.dynamic_cadence.cadence_parameters)))


# Ninety tests: with 500 examples each they would be half of `make prove`.
tried = settings(max_examples=min(200, settings().max_examples), suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(('name', 'number'), CASES)
@tried
@given(drawn=pasts())
def test_every_decision_has_a_reason_and_no_window_lies_in_the_past(name: str, number: int, drawn: Any) -> None:
    past, now = drawn
    decision = whole(name, number, past, now, relaxations=STEPS)
    assert decision.reason.strip()
    assert 'The strategy' not in decision.reason, decision.reason  # neither an error nor nonsense
    if isinstance(decision, Submit):
        assert decision.window.start >= now
        assert all(window.start >= now for window in decision.alternatives)
        assert decision.window.length > timedelta(0)
        assert set(decision.follows) <= {made.record for made in past.attempts}


@pytest.mark.parametrize(('name', 'number'), CASES)
@tried
@given(drawn=pasts())
def test_nothing_more_is_asked_for_while_anything_is_unfinished_or_cancelled(name: str, number: int, drawn: Any) -> None:
    past, now = drawn
    decision = whole(name, number, past, now)
    newest = past.newest
    if isinstance(decision, Submit) and name != 'RetryFailedObservationsStrategy':
        assert not past.waiting
        assert newest is not None
        assert newest.outcome is not Outcome.CANCELLED
        assert decision.follows == newest.records
        assert decision.like in newest.records


@pytest.mark.parametrize(('name', 'number'), CASES)
@tried
@given(drawn=pasts())
def test_what_is_unfinished_is_enough_to_wait_for_it(name: str, number: int, drawn: Any) -> None:
    """What lets a run leave finished observations unread; Retry answers each failure and so has to see them all."""
    past, now = drawn
    assert strategy(name, number).waits_for_unfinished is (name != 'RetryFailedObservationsStrategy')
    if past.waiting and strategy(name, number).waits_for_unfinished:
        whole_past = whole(name, number, past, now, relaxations=STEPS)
        assert isinstance(whole_past, Wait)
        assert whole(name, number, History(attempts=past.waiting), now, relaxations=STEPS) == whole_past


@pytest.mark.parametrize(('name', 'number'), CASES)
@tried
@given(drawn=pasts(), most=draw.integers(1, 4))
def test_never_more_than_was_asked_for(name: str, number: int, drawn: Any, most: int) -> None:
    past, now = drawn
    done = past.count(Outcome.SUCCEEDED) + past.count(Outcome.WAITING)
    decision = whole(name, number, past, now, max_observations=most, end_date='2026-11-20')
    if isinstance(decision, Submit):
        assert done < most
        assert decision.window.start < datetime(2026, 11, 20, tzinfo=timezone.utc)


@pytest.mark.parametrize(('name', 'number'), CASES)
@tried
@given(drawn=pasts())
def test_the_same_again_is_decided_the_same_again(name: str, number: int, drawn: Any) -> None:
    past, now = drawn
    first = whole(name, number, past, now, relaxations=STEPS)
    assert whole(name, number, past, now, relaxations=STEPS) == first
    if isinstance(first, Wait) and isinstance(later := whole(name, number, past, now + timedelta(seconds=1)), Wait):
        assert later.reason == first.reason  # equal waits fold into one line


@pytest.mark.parametrize(('name', 'number'), CASES)
@tried
@given(drawn=pasts())
def test_relaxing_changes_only_what_was_declared_and_keeps_to_its_bounds(name: str, number: int, drawn: Any) -> None:
    past, now = drawn
    plain = whole(name, number, past, now)
    relaxed = whole(name, number, past, now, relaxations=STEPS)
    assert type(plain) is type(relaxed)
    if isinstance(relaxed, Submit) and isinstance(plain, Submit):
        assert set(relaxed.changes) <= {'exposure_time', 'max_airmass', *plain.changes}
        assert BOUNDS['airmass'][0] <= relaxed.changes.get('max_airmass', 1.6) <= BOUNDS['airmass'][1]
        assert relaxed.window.start == plain.window.start


@tried
@given(text=draw.text(max_size=60))
def test_nothing_that_can_be_typed_breaks_a_reader(text: str) -> None:
    """What cannot be read is a NeedsAttention, which the form shows beside its field, and never another error."""
    for name, field in (
        ('StagedStrategy', 'staged_stages'),
        ('BrightnessStrategy', 'bright_table'),
        ('ResumeCadenceAfterFailureStrategy', 'relaxations'),
    ):
        given_parameters = {**PARAMETERS[name][0], field: text}
        made = registry.import_string(registry.OURS[name])(cadence(**given_parameters))
        past = History(attempts=(attempt(1, 'failed'),))
        decision = ask_strategy(made, past, START)
        assert not (isinstance(decision, Stop) and 'failed: ' in decision.reason and 'The strategy' in decision.reason)
