"""The next windows of a cadence under imagined outcomes.

The decision is handed in as a function of history and time: the engine's own, limits and all, or a strategy's ``decide``
with ``within_limits`` around it. An observation that succeeds is imagined to be taken at the start of its window; that it
failed is known at its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tom_cadence.deciding import Decide, Exposure, Limits, limited
from tom_cadence.decisions import Decision, Stop, Submit, Wait
from tom_cadence.exceptions import CadenceError
from tom_cadence.history import Attempt, History, Outcome, Unit
from tom_cadence.imagined import end_of_wait, with_end, with_request
from tom_cadence.parameters import Parameters
from tom_cadence.visibility import Sky
from tom_cadence.windows import Window

__all__ = ['Decide', 'Imagined', 'Preview', 'next_windows', 'within_limits']
FIVE = 5
TURN, HORIZON = timedelta(minutes=15), timedelta(days=90)
"""How exactly the end of a wait is looked for, and for how long."""
MOST_STEPS = 200
IMAGINED = 'imagined'


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The windows that would be asked for, and why there are not more, where there are not."""

    windows: tuple[Window, ...] = ()
    ending: str = ''


@dataclass(frozen=True, kw_only=True)
class Imagined:
    """A moment in an imagined future."""

    history: History
    now: datetime
    fails: bool


def next_windows(decide: Decide, history: History, now: datetime, *, fails_first: bool = False, number: int = FIVE) -> Preview:
    """The next windows if all observations succeed, or (``fails_first``) if the next one to end fails and the others succeed."""
    future: Imagined | None = Imagined(history=history, now=now, fails=fails_first)
    windows: list[Window] = []
    waits = ''
    steps = 0
    while future is not None and steps < MOST_STEPS and len(windows) < number:
        steps += 1
        decision = _ask(decide, future.history, future.now)
        if isinstance(decision, Stop):
            return Preview(windows=tuple(windows), ending=decision.reason)
        if isinstance(decision, Submit):
            windows.append(decision.window)
            future = replace(future, history=with_request(future.history, decision, future.now, IMAGINED))
        else:
            waits, future = decision.reason, _later(decide, future)
    return Preview(windows=tuple(windows), ending='' if len(windows) == number else waits)


def _ask(decide: Decide, history: History, now: datetime) -> Decision:
    try:
        return decide(history, now)
    except CadenceError as error:
        return Stop(reason=str(error), kind='attention')


def within_limits(
    strategy: Any, parameters: Parameters, exposure: Exposure, start_lead: timedelta = timedelta(0), sky: Sky | None = None
) -> Decide:
    """What a strategy decides, inside its limits: for a cadence that the engine does not have yet; raises what it raises."""
    limits = Limits(parameters=parameters, start_lead=start_lead, exposure=exposure, sky=sky)
    return lambda history, now: limited(strategy.decide(history, now), history, now, limits)


def _later(decide: Decide, future: Imagined) -> Imagined | None:
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
        history = with_end(history, attempt.record, outcome, IMAGINED, attempt.window.start if attempt.window else None)
    return replace(future, history=history, now=known, fails=False)


def _waited(decide: Decide, future: Imagined) -> Imagined | None:
    waits = lambda now: isinstance(_ask(decide, future.history, now), Wait)  # noqa: E731
    over = end_of_wait(waits, future.now, future.now + HORIZON, TURN)
    return None if over is None else replace(future, now=over)


def _end(unit: Unit, now: datetime) -> datetime:
    return max((attempt.window.end if attempt.window else now) for attempt in unit.attempts)


def _known(attempt: Attempt, future: Imagined) -> datetime:
    """When it is known what became of an unfinished observation."""
    if attempt.window is None or attempt.outcome is not Outcome.WAITING:
        return future.now
    return attempt.window.end if future.fails else attempt.window.start
