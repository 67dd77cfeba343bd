"""Phase coverage: the largest gap next, no phase that is covered, and an end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.support.samples import HOUR, NOON, attempt, cadence, history
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.history import Attempt
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.windows import Window
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies import History, PhaseCoverageStrategy
from tom_cadence.strategies.phase import Ephemeris, PhaseCoverageForm, read
from tom_followup.units import instant_of, mjd_of

EPOCH = mjd_of(NOON)
PERIOD = 2.0


def decide(past: History, now: datetime = NOON, **parameters: Any) -> Any:
    given = {'cadence_frequency': None, 'phase_epoch': EPOCH, 'phase_period': PERIOD, 'phase_bins': 4, **parameters}
    return PhaseCoverageStrategy(cadence(**given)).decide(past, now)


def taken(*phases: float, outcome: str = 'succeeded') -> History:
    """Observations taken at these phases of the cycle before NOON, each 20 minutes long."""
    made = []
    for number, phase in enumerate(phases, 1):
        middle = instant_of(EPOCH + (phase - 1) * PERIOD)
        start, end = middle - timedelta(minutes=10), middle + timedelta(minutes=10)
        made.append(attempt(number, outcome, window=Window(start=start, end=end), scheduled_start=start, scheduled_end=end))
    return History(attempts=tuple(made))


def phase_of(window: Window) -> float:
    """The phase of a window's middle."""
    return ((mjd_of(window.start + window.length / 2) - EPOCH) / PERIOD) % 1


def simulate(bins: int, points: int = 1, period: float = PERIOD, most: int = 500) -> list[float]:
    """Phases of the observations of a whole cadence whose every observation succeeds in the middle of its window."""
    made: list[Attempt] = list(taken(0.5 / bins).attempts)
    now = NOON
    for number in range(2, most):
        decision = decide(History(attempts=tuple(made)), now, phase_bins=bins, phase_points=points, phase_period=period)
        if isinstance(decision, Stop):
            return [((mjd_of(a.window.start + a.window.length / 2) - EPOCH) / period) % 1 for a in made if a.window]
        middle = decision.window.start + decision.window.length / 2
        made.append(attempt(number, 'succeeded', window=decision.window, scheduled_start=middle, scheduled_end=middle))
        now = decision.window.end
    raise AssertionError('it does not end')


@pytest.mark.parametrize(
    ('phases', 'wanted'),
    [
        ((0.125,), 0.625),  # the other side
        ((0.125, 0.625), 0.375),  # as far, and sooner than 0.875
        ((0.125, 0.375), 0.75),
        ((0.125, 0.375, 0.625), 0.875),
        ((0.99, 0.375), 0.625),
    ],
)
def test_the_next_window_is_where_the_gap_is_largest(phases: tuple[float, ...], wanted: float) -> None:
    decision = decide(taken(*phases))
    assert isinstance(decision, Submit)
    assert phase_of(decision.window) == pytest.approx(wanted, abs=0.13)
    assert int(phase_of(decision.window) * 4) not in {int(phase * 4) for phase in phases}
    assert abs(decision.window.length - 0.96 * timedelta(days=PERIOD / 4)) < timedelta(seconds=1)
    assert decision.window.start >= NOON


def test_the_reason_says_how_many_bins_are_missing_and_which_phase_is_next() -> None:
    assert 'obs-1 succeeded. 3 of 4 phase bins are missing; next is phase 0.62.' in decide(taken(0.125)).reason


def test_it_ends_when_every_bin_has_its_points() -> None:
    full = taken(0.1, 0.3, 0.6, 0.9)
    decision = decide(full)
    assert isinstance(decision, Stop)
    assert decision.reason == 'All 4 phase bins have their 1 point.'
    assert isinstance(decide(full, phase_points=2), Submit)


@pytest.mark.parametrize(('bins', 'points'), [(4, 1), (20, 1), (20, 3)])
def test_no_observation_is_wasted(bins: int, points: int) -> None:
    phases = simulate(bins, points)
    assert len(phases) == bins * points
    assert np.bincount((np.array(phases) * bins).astype(int), minlength=bins).tolist() == [points] * bins


def test_a_failure_is_not_repeated_but_another_phase_or_cycle_asked_for() -> None:
    past = History(attempts=(*taken(0.125).attempts, attempt(2, 'failed')))
    decision = decide(past, retry_backoff=5)
    assert isinstance(decision, Submit)
    assert decision.window.start >= NOON + 5 * HOUR
    assert decision.follows == (2,)


def test_the_alternatives_are_windows_on_missing_phases_too() -> None:
    decision = decide(taken(0.125))
    assert len(decision.alternatives) > 10
    assert all(int(phase_of(window) * 4) != 0 or window.start == NOON for window in decision.alternatives)
    assert all(window.start >= NOON for window in decision.alternatives)


def test_points_of_anybody_count_where_asked() -> None:
    days = EPOCH + PERIOD * (np.array([0.1, 0.3, 0.6]) - 3)
    seen = Photometry.of(days, ['r', 'r', 'g'], 17.0)
    past = History(attempts=taken(0.9).attempts, photometry=seen)
    assert isinstance(decide(past, phase_counted='photometry'), Stop)
    assert isinstance(decide(past, phase_counted='photometry', phase_bands='r'), Submit)
    assert '3 of 4 phase bins' in decide(past).reason


def test_own_observations_older_than_the_newest_point_are_not_counted_twice() -> None:
    past = History(attempts=taken(0.6).attempts, photometry=Photometry.of([EPOCH - 0.01], 'r', 17.0))
    assert '3 of 4 phase bins' in decide(past, phase_counted='photometry').reason


@pytest.mark.parametrize(('outcomes', 'words'), [(['waiting'], 'not finished'), ([], 'no observation yet')])
def test_it_waits_for_what_is_on_its_way(outcomes: list[str], words: str) -> None:
    decision = decide(history(*outcomes))
    assert isinstance(decision, Wait)
    assert words in decision.reason


def test_a_period_of_a_year_is_waited_for_no_longer_than_needed() -> None:
    decision = decide(taken(0.125), phase_period=330, phase_bins=20)
    assert decision.window.start - NOON <= timedelta(days=17)


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'phase_period': None}, 'phase_period is missing: say the period in days'),
        ({'phase_epoch': None}, 'phase_epoch is missing'),
        ({'phase_period': 0.01, 'phase_bins': 20}, 'a bin of this period would take 0.72 minutes; at least 2 are needed'),
        ({'phase_bins': 500, 'phase_period': 100}, 'at most 200'),
        ({'phase_bands': 'r'}, 'phase_bands is given, but only observations of this cadence are counted'),
        ({'phase_epoch': 2461000.5}, 'at most 100000'),  # a JD
    ],
)
def test_impossible_combinations_are_refused_in_words(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(NeedsAttention, match=words):
        decide(taken(0.125), **parameters)


def test_phases_are_those_of_the_ephemeris() -> None:
    found = Ephemeris(epoch=100.0, period=0.5).phase(np.array([100.0, 100.125, 99.875, 100.5 - 1e-17]))
    assert found.tolist() == [0, 0.25, 0.75, 0]


@pytest.mark.parametrize(
    'written',
    [
        '60316.14236',
        '2460316.64236',
        'JD 2460316.64236',
        'MJD 60316.14236',
        '2024-01-07 03:24:59.904',
        '2024-01-07T05:24:59.904+02:00',
    ],
)
def test_the_epoch_is_written_as_any_other_date(written: str) -> None:
    form = PhaseCoverageForm({'phase_epoch': written, 'phase_period': '2', 'cadence_strategy': 'PhaseCoverageStrategy'})
    assert form.is_valid(), form.errors
    assert form.cleaned_data['phase_epoch'] == pytest.approx(60316.14236, abs=1e-8)
    assert 'Read as 2024-01-07 03:2' in str(form['phase_epoch'].help_text)
    assert read({'phase_epoch': written, 'phase_period': 2}).epoch == pytest.approx(60316.14236, abs=1e-8)


@pytest.mark.parametrize(
    ('written', 'words'), [('7/1/2024', 'day or month first'), ('soon', 'is no date'), ('-5', 'is not between')]
)
def test_an_epoch_that_is_no_date_is_refused_beside_its_field(written: str, words: str) -> None:
    form = PhaseCoverageForm({'phase_epoch': written, 'phase_period': '2', 'cadence_strategy': 'PhaseCoverageStrategy'})
    assert words in str(form.errors['phase_epoch'])
    with pytest.raises(NeedsAttention, match='phase_epoch'):
        read({'phase_epoch': written, 'phase_period': 2})


def test_an_old_epoch_keeps_all_its_digits() -> None:
    assert read({'phase_epoch': '12345.123456789', 'phase_period': 2}).epoch == 12345.123456789
    form = PhaseCoverageForm(initial={'phase_epoch': 60316.142361234})
    assert form['phase_epoch'].value() == 60316.142361234
