"""What was observed so far, as plain values: attempts, and the submissions they belong to.

A submission is what was sent to a facility in one call; it may have become several observation records. It is cancelled if a
person cancelled any of them, succeeded if any of its records did, and failed otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeVar

from tom_cadence.core.decisions import Submit
from tom_cadence.core.photometry import EMPTY, Photometry
from tom_cadence.core.windows import Window

SAME_CALL, DAY = timedelta(seconds=5), timedelta(days=1)
EXPIRED = ('EXPIRED', 'NOT_ATTEMPTED', 'WINDOW ENDED')
"""Parts of states that say that a window ended, and no more: of OCS (WINDOW_EXPIRED, NOT_ATTEMPTED), and of the simulation."""


class Outcome(str, Enum):
    """What became of an observation."""

    WAITING = 'waiting'
    SUCCEEDED = 'succeeded'
    FAILED = 'failed'
    CANCELLED = 'cancelled'


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One observation record.

    ``window`` is None where it cannot be read; ``trouble`` says why. ``submission`` is the journal's number of the call
    that made it, None for records made by hand or by the toolkit. ``target`` is the primary key of what was observed,
    ``scheduled_end`` when the facility observed it. ``parameters`` is empty where the strategy does not read parameters.
    """

    record: int
    observation_id: str
    facility: str
    status: str
    outcome: Outcome
    created: datetime
    window: Window | None
    target: int = 0
    trouble: str = field(default_factory=str)  # no class attribute: an attempt may read it later, with its window
    submission: int | None = None
    one_call_many: bool = False
    scheduled_start: datetime | None = None
    scheduled_end: datetime | None = None
    keywords: tuple[str, str] = ('start', 'end')
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """The attempts of one call to the facility, oldest first."""

    attempts: tuple[Attempt, ...]

    @property
    def newest(self) -> Attempt:
        """The attempt recorded last."""
        return self.attempts[-1]

    @property
    def records(self) -> tuple[int, ...]:
        """Primary keys of the records."""
        return tuple(attempt.record for attempt in self.attempts)

    @cached_property
    def outcome(self) -> Outcome:
        """Waiting while any record is; cancelled if a person cancelled any; succeeded if any did; else failed."""
        outcomes = {attempt.outcome for attempt in self.attempts}
        order = (Outcome.WAITING, Outcome.CANCELLED, Outcome.SUCCEEDED)
        return next((outcome for outcome in order if outcome in outcomes), Outcome.FAILED)

    @property
    def expired(self) -> bool:
        """Whether nothing was tried: each window ended before the observation had its turn."""
        return all(any(word in each.status.upper() for word in EXPIRED) for each in self.attempts)

    @property
    def decisive(self) -> Attempt:
        """The newest attempt to which happened what happened to the whole: the one that a sentence names."""
        return next((each for each in reversed(self.attempts) if each.outcome is self.outcome), self.newest)

    def in_words(self) -> str:
        """What became of it, for example ``Observation 196 succeeded`` or ``Observation 7 failed (WINDOW_EXPIRED)``."""
        named, of = self.decisive, len(self.attempts)
        words = {Outcome.SUCCEEDED: 'succeeded', Outcome.CANCELLED: 'was cancelled'}.get(self.outcome, f'failed ({named.status})')
        succeeded = sum(each.outcome is Outcome.SUCCEEDED for each in self.attempts)
        some = f' ({succeeded} of {of} of one request succeeded)' if 0 < succeeded < of else ''
        return f'Observation {named.observation_id} {words}{some}'


@dataclass(frozen=True, kw_only=True)
class PhotometryAnswer:
    """What became of a photometry service that was asked about the target.

    ``asked`` and ``ended`` are aware UTC, ``ended`` None while it has not answered. ``problem`` says why it never will.
    """

    service: str
    asked: datetime
    ended: datetime | None = None
    problem: str = ''


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything a strategy may look at, oldest first.

    ``answered`` are the records that some submission already follows (of any cadence); ``refusals`` counts the refused
    requests since the last accepted one; what happened up to record ``ignore_before`` a person has looked at. ``photometry``
    holds the target's points from any source, empty unless the strategy says ``needs_photometry``. Points are those known at the
    moment of the decision: none is later than its ``now``. ``looks`` are the answers to a strategy's wishes, oldest first.
    """

    attempts: tuple[Attempt, ...] = ()
    answered: frozenset[int] = frozenset()
    refusals: int = 0
    resubmit_cancelled: bool = False
    skips_cancelled: bool = False
    ignore_before: int = 0
    photometry: Photometry = field(default_factory=lambda: EMPTY)
    looks: tuple[PhotometryAnswer, ...] = ()

    @property
    def forgiven(self) -> int:
        """The name of ``ignore_before`` in 0.1.0."""
        return self.ignore_before

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The attempts grouped by the call that made them, oldest first."""
        return _grouped(self.attempts)

    def newest_first(self) -> Iterator[Unit]:
        """The units from the newest on; older attempts are not looked at before they are asked for."""
        if 'units' in vars(self):
            yield from reversed(self.units)
            return
        end = len(self.attempts)
        while end:
            begin = end - 1
            while begin and _same_call(self.attempts[begin - 1], self.attempts[begin]):
                begin -= 1
            yield from reversed(_grouped(self.attempts[begin:end]))
            end = begin

    @property
    def newest(self) -> Unit | None:
        """The newest submission, or None where the group is empty."""
        return next(self.newest_first(), None)

    @cached_property
    def waiting(self) -> tuple[Attempt, ...]:
        """Attempts that are not finished."""
        return tuple(attempt for attempt in self.attempts if attempt.outcome is Outcome.WAITING)

    def asks_again(self, unit: Unit) -> bool:
        """Whether a submission that ended so is asked for again."""
        wanted = self.resubmit_cancelled or unit.newest.record <= self.ignore_before
        return unit.outcome is Outcome.FAILED or (unit.outcome is Outcome.CANCELLED and wanted)

    @cached_property
    def failed_since(self) -> tuple[Unit, ...]:
        """What failed since the last success, and since a person looked, newest first."""
        found = []
        for unit in self.newest_first():
            if unit.outcome is Outcome.SUCCEEDED or unit.newest.record <= self.ignore_before:
                break
            if unit.outcome is Outcome.FAILED:
                found.append(unit)
        return tuple(found)

    @property
    def consecutive_failures(self) -> int:
        """Failed or refused submissions since the last success."""
        return self.refusals + len(self.failed_since)

    @property
    def errors(self) -> int:
        """The same without those whose window merely ended: what the weather does is no error."""
        return self.refusals + sum(not unit.expired for unit in self.failed_since)

    @property
    def lost_nights(self) -> int:
        """Nights, or days, with a failure since the last success: spans of 24 h, counted from the first of them."""
        ends = [unit.newest.window.end if unit.newest.window else unit.newest.created for unit in self.failed_since]
        return len({(end - min(ends)) // DAY for end in ends})

    def count(self, outcome: Outcome) -> int:
        """How many submissions ended so."""
        return sum(unit.outcome is outcome for unit in self.units)


def _grouped(attempts: Sequence[Attempt]) -> tuple[Unit, ...]:
    groups: list[list[Attempt]] = []
    for attempt in attempts:
        if groups and _same_call(groups[-1][0], attempt):
            groups[-1].append(attempt)
        else:
            groups.append([attempt])
    return tuple(Unit(tuple(group)) for group in groups)


def _same_call(first: Attempt, attempt: Attempt) -> bool:
    """Whether a call that made ``first`` made this one too.

    Two neighbours that it did not make together are of two units, whichever attempt is the first of the older unit.
    """
    if attempt.submission is not None or first.submission is not None:
        return attempt.submission == first.submission
    if (attempt.facility, attempt.target) != (first.facility, first.target) or abs(attempt.created - first.created) > SAME_CALL:
        return False
    return attempt.window == first.window


Value = TypeVar('Value')

FIRST_STEP, LONGEST_STEP = timedelta(minutes=15), timedelta(hours=6)
"""How far a wait is looked ahead, at first and later: a change of mind that lasts shorter than a step may be missed."""


def copied_attempt(history: History, decision: Submit) -> Attempt:
    """The attempt whose parameters a request copies; it is mostly the newest."""
    return next(attempt for attempt in reversed(history.attempts) if attempt.record == decision.like)


def with_request(history: History, decision: Submit, now: datetime, status: str, name: str = '') -> History:
    """The history in which this request was accepted: one more attempt, in a call of its own, that waits."""
    like, number = copied_attempt(history, decision), len(history.attempts) + 1
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
