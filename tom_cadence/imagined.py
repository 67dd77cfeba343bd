"""Imagined futures of a history: a request that was accepted, an observation that ended, a wait that is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TypeVar

from tom_cadence.decisions import Submit
from tom_cadence.history import Attempt, History, Outcome, Unit
from tom_cadence.photometry import Photometry

Value = TypeVar('Value')

FIRST_STEP, LONGEST_STEP = timedelta(minutes=15), timedelta(hours=6)
"""How far a wait is looked ahead, at first and later: a change of mind that lasts shorter than a step may be missed."""


def like_of(history: History, decision: Submit) -> Attempt:
    """The attempt whose parameters a request copies; it is mostly the newest."""
    return next(attempt for attempt in reversed(history.attempts) if attempt.record == decision.like)


def with_request(history: History, decision: Submit, now: datetime, status: str, name: str = '') -> History:
    """The history in which this request was accepted: one more attempt, in a call of its own, that waits."""
    like, number = like_of(history, decision), len(history.attempts) + 1
    attempt = replace(
        like,
        record=max(map(attrgetter('record'), history.attempts)) + 1,
        observation_id=name or f'{number} (not asked for yet)',
        status=status,
        outcome=Outcome.WAITING,
        created=now,
        window=decision.window,
        submission=-number,
        scheduled_start=None,
        scheduled_end=None,
        parameters={**like.parameters, **decision.changes},
    )
    after = replace(
        history,
        attempts=(*history.attempts, attempt),
        answered=history.answered.union(decision.follows),
        refusals=0,
    )
    return _knowing(after, (*history.units, Unit((attempt,))), (*history.waiting, attempt))


def with_end(
    history: History, record: int, outcome: Outcome, status: str, start: datetime | None = None, end: datetime | None = None
) -> History:
    """The history in which this record ended so; a success was taken from ``start`` to ``end`` (or at ``start``)."""
    before = next(attempt for attempt in reversed(history.attempts) if attempt.record == record)
    after = replace(before, outcome=outcome, status=status)
    if outcome is Outcome.SUCCEEDED and start is not None:
        after = replace(after, scheduled_start=start, scheduled_end=end or start)
    old = next(unit for unit in reversed(history.units) if any(attempt is before for attempt in unit.attempts))
    new = Unit(_in_place_of(old.attempts, before, after))
    waiting = tuple(attempt for attempt in history.waiting if attempt is not before)
    changed = replace(history, attempts=_in_place_of(history.attempts, before, after))
    return _knowing(changed, _in_place_of(history.units, old, new), waiting)


def with_photometry(history: History, photometry: Photometry) -> History:
    """The history with these points in the place of its own."""
    return _knowing(replace(history, photometry=photometry), history.units, history.waiting)


def _in_place_of(values: tuple[Value, ...], old: Value, new: Value) -> tuple[Value, ...]:
    """The values with another one in the place of ``old``, which is mostly near the end."""
    place = next(place for place in range(len(values) - 1, -1, -1) if values[place] is old)
    return (*values[:place], new, *values[place + 1 :])


def _knowing(history: History, units: tuple[Unit, ...], waiting: tuple[Attempt, ...]) -> History:
    """The same history, told what it would find out: finding out anew at every event makes a long simulation slow."""
    vars(history).update(units=units, waiting=waiting)  # where functools.cached_property looks first
    return history


def end_of_wait(waits: Callable[[datetime], bool], now: datetime, until: datetime, exactly: timedelta) -> datetime | None:
    """The first instant after ``now`` at which it does not wait any more, to within ``exactly``; None before ``until``."""
    before, step = now, FIRST_STEP
    while before < until:
        after = min(before + step, until)
        if not waits(after):
            while after - before > exactly:
                middle = before + (after - before) / 2
                before, after = (middle, after) if waits(middle) else (before, middle)
            whole = after.replace(microsecond=0)
            return whole if before < whole and not waits(whole) else after
        before, step = after, min(2 * step, LONGEST_STEP)
    return None
