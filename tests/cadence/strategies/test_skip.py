"""``on_cancel = skip``: what a person cancelled is not asked for again, and the cadence goes on, or says why not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.samples import HOUR, NOON, attempt, cadence, window
from tom_cadence import registry, strategies
from tom_cadence.core.decisions import Stop, Submit
from tom_cadence.core.photometry import Photometry
from tom_cadence.strategies import History
from tom_followup.units import mjd_of

CANCELLED = window(-1, 8)
"""It could still be observed when it was cancelled."""
GOING_ON: dict[str, dict[str, Any]] = {
    'ResumeCadenceAfterFailureStrategy': {},
    'UntilSuccessStrategy': {'until_mode': 'success', 'cadence_frequency': None},
    'StagedStrategy': {'staged_stages': 'every 12 h for 4 days, then daily for 10 days'},
    'BrightnessStrategy': {'bright_magnitude': 18, 'bright_age': 500},
    'DeclineFollowingStrategy': {},
    'FillGapsStrategy': {'cadence_frequency': 30},
    'PhaseCoverageStrategy': {'phase_epoch': 60000.0, 'phase_period': 0.7, 'phase_bins': 4},
}
NEVER = {'RetryFailedObservationsStrategy'}


def past(*before: str) -> History:
    """The newest observation was cancelled; those before it are over."""
    older = [attempt(n, outcome, window=window(-49 + 24 * n, 4)) for n, outcome in enumerate(before, 1)]
    newest = attempt(len(before) + 1, 'cancelled', window=CANCELLED)
    bright = Photometry.of(time=[mjd_of(NOON) - 0.5], band=['r'], magnitude=[16.0], error=[0.01])
    return History(attempts=(*older, newest), skips_cancelled=True, photometry=bright)


def made(name: str, **parameters: Any) -> Any:
    return getattr(strategies, name)(cadence(**{**parameters, 'on_cancel': 'skip'}))


def test_every_strategy_is_named_here() -> None:
    assert {*GOING_ON, *NEVER} == set(registry.strategies())


@pytest.mark.parametrize('before', [(), ('succeeded',), ('failed',)], ids=str)
@pytest.mark.parametrize('name', GOING_ON)
def test_a_cancelled_observation_is_skipped_and_the_cadence_goes_on_after_it(name: str, before: tuple[str, ...]) -> None:
    strategy, history = made(name, **GOING_ON[name]), past(*before)
    decisions = (strategy.decide(history, NOON + hours * HOUR) for hours in range(72))
    asked = next((each for each in decisions if isinstance(each, Submit)), None)
    assert asked is not None, 'it goes on'
    assert asked.window.start >= CANCELLED.end, 'it does not ask for what was cancelled'
    assert asked.window.start <= CANCELLED.start + timedelta(days=3)


def test_retrying_says_why_nothing_follows_what_is_skipped() -> None:
    decision = made('RetryFailedObservationsStrategy').decide(past('succeeded'), NOON)
    assert isinstance(decision, Stop)
    decision = made('RetryFailedObservationsStrategy').decide(past(), NOON)
    assert isinstance(decision, Stop)
    why = 'nothing follows it, because this strategy asks again for failures only'
    assert decision.reason == f'Observation obs-1 was cancelled, and is skipped; {why}.'
    form = strategies.RetryFailedObservationsForm()
    assert dict(form.fields['on_cancel'].choices)['skip'] == f'is skipped: {why}'
    still = made('RetryFailedObservationsStrategy').decide(past('failed'), NOON)
    assert isinstance(still, Submit), 'the failure before it is asked for again all the same'
    assert still.follows == (1,)
