"""What a cadence that does not exist yet would do: the windows after its first, or its first run on a group that exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tom_observations.models import ObservationGroup

from tom_cadence import conf
from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.decisions import Decision, Stop, Submit, Wait
from tom_cadence.core.exposure import exposure_seconds
from tom_cadence.core.history import Attempt, History, Outcome, Unit, end_of_wait, with_end, with_request
from tom_cadence.core.parameters import Parameters, clean
from tom_cadence.core.policy import Decide, Exposure, Limits, limited
from tom_cadence.core.visibility import Sky
from tom_cadence.core.windows import Window, show
from tom_cadence.engine import snapshot
from tom_cadence.engine.context import context_of_new, read_context_of
from tom_cadence.engine.decide import history_of, runs_itself
from tom_cadence.engine.stages import Known, Snapshot
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.flows.start import ReadyToStart, make_strategy
from tom_cadence.models import ManagedCadence
from tom_cadence.simulation.effort import PAGE, TooMuchWork, Work, effort_of
from tom_followup.clock import processor_time

__all__ = ['Decide', 'Future', 'Preview', 'counted', 'next_windows', 'within_limits']


FIVE = 5
TURN, HORIZON = timedelta(minutes=15), timedelta(days=90)
"""How exactly the end of a wait is looked for, and for how long."""
MOST_STEPS = 200
TOO_MUCH = 'What follows takes too long to work out on a page.'
NOT_YET = 'not asked for yet'
"""The state of an observation that nobody has asked for."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The windows that would be asked for, and why there are not more, where there are not."""

    windows: tuple[Window, ...] = ()
    ending: str = ''


@dataclass(frozen=True, kw_only=True)
class Future:
    """A moment in an imagined future."""

    history: History
    now: datetime
    fails: bool


def next_windows(decide: Decide, history: History, now: datetime, *, fails_first: bool = False, number: int = FIVE) -> Preview:
    """The next windows if all observations succeed, or (``fails_first``) if the next one to end fails and the others succeed.

    Those that could be had for the work of ``decide``, where it is ``counted``.
    """
    future: Future | None = Future(history=history, now=now, fails=fails_first)
    windows: list[Window] = []
    waits = ''
    steps = 0
    while future is not None and steps < MOST_STEPS and len(windows) < number:
        steps += 1
        try:
            decision = _ask(decide, future.history, future.now)
            if isinstance(decision, Stop):
                return Preview(windows=tuple(windows), ending=decision.reason)
            if isinstance(decision, Submit):
                windows.append(decision.window)
                future = replace(future, history=with_request(future.history, decision, future.now, NOT_YET))
            else:
                waits, future = decision.reason, _later(decide, future)
        except TooMuchWork:
            return Preview(windows=tuple(windows), ending=TOO_MUCH)
    return Preview(windows=tuple(windows), ending='' if len(windows) == number else waits)


def _ask(decide: Decide, history: History, now: datetime) -> Decision:
    try:
        return decide(history, now)
    except TooMuchWork:
        raise
    except CadenceError as error:
        return Stop(reason=str(error), kind='attention')


def counted(decide: Decide, strategy: Any, work: Work) -> Decide:
    """The same, but TooMuchWork where deciding takes more than is left of ``work``."""

    def decided(history: History, now: datetime) -> Decision:
        work.count(effort_of(strategy, history))
        return decide(history, now)

    return decided


def within_limits(
    strategy: Any, parameters: Parameters, exposure: Exposure, start_lead: timedelta = timedelta(0), sky: Sky | None = None
) -> Decide:
    """What a strategy decides, inside its limits: for a cadence that the engine does not have yet; raises what it raises."""
    limits = Limits(parameters=parameters, start_lead=start_lead, exposure=exposure, sky=sky)
    return lambda history, now: limited(strategy.decide(history, now), history, now, limits)


def _later(decide: Decide, future: Future) -> Future | None:
    """When its next observation has ended, or, where none is on its way, when it has waited long enough; None for never."""
    waiting = [unit for unit in future.history.units if unit.outcome is Outcome.WAITING]
    if not waiting:
        return _waited(decide, future)
    first = min(waiting, key=lambda unit: _end(unit, future.now))
    outcome = Outcome.FAILED if future.fails else Outcome.SUCCEEDED
    known = max([future.now, *(_known(attempt, future) for attempt in first.attempts)])
    ended = {attempt.record for attempt in first.attempts if attempt.outcome is Outcome.WAITING}
    history = future.history
    for attempt in (a for a in first.attempts if a.record in ended):
        history = with_end(history, attempt.record, outcome, NOT_YET, attempt.window.start if attempt.window else None)
    return replace(future, history=history, now=known, fails=False)


def _waited(decide: Decide, future: Future) -> Future | None:
    waits = lambda now: isinstance(_ask(decide, future.history, now), Wait)  # noqa: E731
    over = end_of_wait(waits, future.now, future.now + HORIZON, TURN)
    return None if over is None else replace(future, now=over)


def _end(unit: Unit, now: datetime) -> datetime:
    return max((attempt.window.end if attempt.window else now) for attempt in unit.attempts)


def _known(attempt: Attempt, future: Future) -> datetime:
    """When it is known what became of an unfinished observation."""
    if attempt.window is None or attempt.outcome is not Outcome.WAITING:
        return future.now
    return attempt.window.end if future.fails else attempt.window.start


@dataclass(frozen=True, kw_only=True)
class PreviewOfStart:
    """The windows after the first: if all succeed, if the next one fails; or why they cannot be foreseen."""

    succeeding: Preview = field(default_factory=Preview)
    failing: Preview = field(default_factory=Preview)
    now: str = ''
    unknown: str = ''


def preview_start(ready: ReadyToStart, now: datetime) -> PreviewOfStart:
    """The windows that would follow the first one."""
    strategy = make_strategy(ready.strategy, ready.parameters)
    if runs_itself(strategy):
        return _decides_itself()
    first = Attempt(
        record=1,
        observation_id='1 (the first)',
        facility=ready.gateway.name,
        status=NOT_YET,
        outcome=Outcome.WAITING,
        created=now,
        window=ready.prepared.window,
        keywords=ready.gateway.keywords,
        parameters=ready.prepared.parameters,
    )
    context = context_of_new(strategy, clean(dict(ready.parameters)), ready.user, first, ready.target.pk, now)
    if context.trouble:
        return PreviewOfStart(unknown=context.trouble)
    history = History(attempts=(first,), photometry=context.photometry, looks=context.answers)
    return _windows(_decider(strategy, ready.parameters, context.sky), history, now)


def preview_group(
    group: ObservationGroup, user: Any, strategy_name: str, parameters: Mapping[str, Any], now: datetime
) -> PreviewOfStart:
    """What a cadence for this group would do at its first run, and the windows after that."""
    strategy = make_strategy(strategy_name, parameters, group)
    if runs_itself(strategy):
        return _decides_itself()
    managed = ManagedCadence(cadence=strategy.dynamic_cadence, owner=user, host_cadence_id=0)
    prepared = Snapshot(managed=managed, strategy=strategy, parameters=clean(dict(parameters)))
    [read] = snapshot.read_rows([prepared], full=True)
    facilities = Facilities()
    context = read_context_of(read, facilities, now)
    past = history_of(Known(snapshot=read, context=context), facilities)
    if past.trouble:
        return PreviewOfStart(unknown=past.trouble)
    decide = _decider(strategy, parameters, context.sky)
    try:
        decision = decide(past.history, now)
    except CadenceError as error:
        return PreviewOfStart(now=str(error))
    return _windows(decide, past.history, now, _in_words(decision))


def _decider(strategy: Any, parameters: Mapping[str, Any], sky: Sky | None) -> Callable[[History, datetime], Decision]:
    decide = within_limits(strategy, clean(dict(parameters)), exposure_seconds, conf.seconds('START_LEAD'), sky)
    return counted(decide, strategy, Work(most=PAGE // 2, spent=processor_time))


def _windows(decide: Callable[[History, datetime], Decision], history: History, now: datetime, words: str = '') -> PreviewOfStart:
    try:
        succeeding = next_windows(decide, history, now)
        return PreviewOfStart(succeeding=succeeding, failing=next_windows(decide, history, now, fails_first=True), now=words)
    except Exception as error:  # a strategy is the site's own code, and this is only a preview
        return PreviewOfStart(now=words, unknown=f'The strategy could not say what it would do: {bounded_text(error)}')


def _decides_itself() -> PreviewOfStart:
    return PreviewOfStart(unknown='This strategy decides and sends by itself, so its windows cannot be foreseen.')


def _in_words(decision: Decision) -> str:
    if isinstance(decision, Submit):
        window = decision.window
        return f'{decision.reason} It would ask for {show(window.start)} to {show(window.end)}.'
    return f'{"It would end at once: " if isinstance(decision, Stop) else ""}{decision.reason}'
