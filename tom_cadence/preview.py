"""The next windows of a cadence under imagined outcomes.

The decision is handed in as a function of history and time: the engine's own, limits and all, or a strategy's ``decide``
with ``within_limits`` around it. An observation that succeeds is imagined to be taken at the start of its window; that it
failed is known at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tom_cadence.decisions import Decision, Stop, Submit, Wait
from tom_cadence.exceptions import CadenceError
from tom_cadence.history import Attempt, History, Outcome, Unit
from tom_cadence.limits import enforce
from tom_cadence.parameters import Parameters
from tom_cadence.windows import Window

Decide = Callable[[History, datetime], Decision]
Exposure = Callable[[Mapping[str, Any]], float | None]
FIVE = 5
TURN, LONGEST_TURN, HORIZON = timedelta(minutes=15), timedelta(hours=6), timedelta(days=90)
"""How often a cadence that waits for a time is looked at (at first and later), and for how long."""
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
            future = _submitted(future, decision)
        else:
            waits, future = decision.reason, _later(decide, future)
    return Preview(windows=tuple(windows), ending='' if len(windows) == number else waits)


def _ask(decide: Decide, history: History, now: datetime) -> Decision:
    try:
        return decide(history, now)
    except CadenceError as error:
        return Stop(reason=str(error), kind='attention')


def within_limits(strategy: Any, parameters: Parameters, exposure: Exposure, start_lead: timedelta = timedelta(0)) -> Decide:
    """What a strategy decides, inside its limits: for a cadence that the engine does not have yet."""

    def decide(history: History, now: datetime) -> Decision:
        decision = strategy.decide(history, now)
        used, more = None, None
        if isinstance(decision, Submit) and parameters.max_exposure_time is not None:
            counted = [a for a in history.attempts if a.outcome in (Outcome.SUCCEEDED, Outcome.WAITING)]
            spent = [exposure(attempt.parameters) for attempt in counted]
            used = None if None in spent else sum(seconds for seconds in spent if seconds is not None)
            more = exposure({**_like(history, decision).parameters, **decision.changes})
        return enforce(decision, parameters, history, now, start_lead=start_lead, exposure=used, next_exposure=more)

    return decide


def _like(history: History, decision: Submit) -> Attempt:
    return next(attempt for attempt in history.attempts if attempt.record == decision.like)


def _submitted(future: Imagined, decision: Submit) -> Imagined:
    """The future in which this request was accepted."""
    history, number = future.history, len(future.history.attempts) + 1
    attempt = replace(
        _like(history, decision),
        record=max(found.record for found in history.attempts) + 1,
        observation_id=f'{number} (not asked for yet)',
        status=IMAGINED,
        outcome=Outcome.WAITING,
        created=future.now,
        window=decision.window,
        submission=-number,
        scheduled_start=None,
        scheduled_end=None,
        parameters={**_like(history, decision).parameters, **decision.changes},
    )
    after = replace(
        history,
        attempts=(*history.attempts, attempt),
        answered=history.answered.union(decision.follows),
        refusals=0,
    )
    return replace(future, history=after)


def _later(decide: Decide, future: Imagined) -> Imagined | None:
    """When its next observation has ended, or, where none is on its way, when it has waited long enough; None for never."""
    waiting = [unit for unit in future.history.units if unit.outcome is Outcome.WAITING]
    if not waiting:
        return _waited(decide, future)
    first = min(waiting, key=lambda unit: _end(unit, future.now))
    outcome = Outcome.FAILED if future.fails else Outcome.SUCCEEDED
    known = max([future.now, *(_known(attempt, future) for attempt in first.attempts)])
    ended = {attempt.record for attempt in first.attempts if attempt.outcome is Outcome.WAITING}
    attempts = tuple(_ended(a, outcome) if a.record in ended else a for a in future.history.attempts)
    return replace(future, history=replace(future.history, attempts=attempts), now=known, fails=False)


def _waited(decide: Decide, future: Imagined) -> Imagined | None:
    history, before, step = future.history, future.now, TURN
    while before - future.now < HORIZON:
        after = before + step
        if not isinstance(_ask(decide, history, after), Wait):
            while after - before > TURN:
                middle = before + (after - before) / 2
                before, after = (middle, after) if isinstance(_ask(decide, history, middle), Wait) else (before, middle)
            return replace(future, now=after)
        before, step = after, min(2 * step, LONGEST_TURN)
    return None


def _end(unit: Unit, now: datetime) -> datetime:
    return max((attempt.window.end if attempt.window else now) for attempt in unit.attempts)


def _known(attempt: Attempt, future: Imagined) -> datetime:
    """When it is known what became of an unfinished observation."""
    if attempt.window is None or attempt.outcome is not Outcome.WAITING:
        return future.now
    return attempt.window.end if future.fails else attempt.window.start


def _ended(attempt: Attempt, outcome: Outcome) -> Attempt:
    if outcome is Outcome.FAILED or attempt.window is None:
        return replace(attempt, outcome=outcome, status=IMAGINED)
    start = attempt.window.start
    return replace(attempt, outcome=outcome, status=IMAGINED, scheduled_start=start, scheduled_end=start)
