"""What a cadence that does not exist yet would do: the windows after its first, or its first run on a group that exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tom_observations.models import ObservationGroup

from tom_cadence import conf
from tom_cadence.begin import Ready, make_strategy
from tom_cadence.decisions import Decision, Stop, Submit
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.facilities.exposure import exposure_seconds
from tom_cadence.history import Attempt, History, Outcome
from tom_cadence.models import ManagedCadence
from tom_cadence.parameters import clean
from tom_cadence.preview import Preview, next_windows, within_limits
from tom_cadence.runner import read
from tom_cadence.runner.around import around_new
from tom_cadence.runner.decide import runs_itself
from tom_cadence.runner.read import Looked
from tom_cadence.visibility import Sky
from tom_cadence.windows import show


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """The windows after the first: if all succeed, if the next one fails; or why they cannot be foreseen."""

    succeeding: Preview = field(default_factory=Preview)
    failing: Preview = field(default_factory=Preview)
    now: str = ''
    unknown: str = ''


def foresee(ready: Ready, now: datetime) -> Foreseen:
    """The windows that would follow the first one."""
    strategy = make_strategy(ready.strategy, ready.parameters)
    if runs_itself(strategy):
        return _unforeseen()
    first = Attempt(
        record=1,
        observation_id='1 (the first)',
        facility=ready.gateway.name,
        status='imagined',
        outcome=Outcome.WAITING,
        created=now,
        window=ready.prepared.window,
        keywords=ready.gateway.keywords,
        parameters=ready.prepared.parameters,
    )
    around = around_new(strategy, clean(dict(ready.parameters)), ready.user, first, ready.target.pk, now)
    if around.trouble:
        return Foreseen(unknown=around.trouble)
    history = History(attempts=(first,), photometry=around.photometry, looks=around.looks)
    return _windows(_decider(strategy, ready.parameters, around.sky), history, now)


def foresee_group(group: ObservationGroup, user: Any, strategy_name: str, parameters: Mapping[str, Any], now: datetime) -> Foreseen:
    """What a cadence for this group would do at its first run, and the windows after that."""
    strategy = make_strategy(strategy_name, parameters, group)
    if runs_itself(strategy):
        return _unforeseen()
    managed = ManagedCadence(cadence=strategy.dynamic_cadence, owner=user, host_cadence_id=0)
    item = Looked(managed=managed, strategy=strategy, parameters=clean(dict(parameters)))
    read.read_rows([item], full=True)
    read.build_history(item, Facilities())
    if item.trouble:
        return Foreseen(unknown=item.trouble)
    decide = _decider(strategy, parameters, item.around.sky if item.around else None)
    try:
        decision = decide(item.history, now)
    except CadenceError as error:
        return Foreseen(now=str(error))
    return _windows(decide, item.history, now, _in_words(decision))


def _decider(strategy: Any, parameters: Mapping[str, Any], sky: Sky | None) -> Callable[[History, datetime], Decision]:
    return within_limits(strategy, clean(dict(parameters)), exposure_seconds, conf.seconds('START_LEAD'), sky)


def _windows(decide: Callable[[History, datetime], Decision], history: History, now: datetime, words: str = '') -> Foreseen:
    try:
        succeeding = next_windows(decide, history, now)
        return Foreseen(succeeding=succeeding, failing=next_windows(decide, history, now, fails_first=True), now=words)
    except Exception as error:  # a strategy is the site's own code, and this is only a preview
        return Foreseen(now=words, unknown=f'The strategy could not say what it would do: {error}')


def _unforeseen() -> Foreseen:
    return Foreseen(unknown='This strategy decides and sends by itself, so its windows cannot be foreseen.')


def _in_words(decision: Decision) -> str:
    if isinstance(decision, Submit):
        window = decision.window
        return f'{decision.reason} It would ask for {show(window.start)} to {show(window.end)}.'
    return f'{"It would end at once: " if isinstance(decision, Stop) else ""}{decision.reason}'
