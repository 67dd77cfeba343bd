"""What was observed so far, as plain values: attempts, and the submissions they belong to.

A submission is what was sent to a facility in one call; it may have become several observation records. It is cancelled if a
person cancelled any of them, succeeded if any of its records did, and failed otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import cached_property
from typing import Any

from tom_cadence.photometry import EMPTY, Photometry
from tom_cadence.windows import Window

SAME_CALL = timedelta(seconds=5)


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
class Look:
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
    requests since the last accepted one; what happened up to record ``forgiven`` a person has looked at. ``photometry`` holds the
    target's points from any source, empty unless the strategy says ``needs_photometry``. Points are those known at the moment
    of the decision: none is later than its ``now``. ``looks`` are the answers to a strategy's wishes, oldest first.
    """

    attempts: tuple[Attempt, ...] = ()
    answered: frozenset[int] = frozenset()
    refusals: int = 0
    resubmit_cancelled: bool = False
    forgiven: int = 0
    photometry: Photometry = field(default_factory=lambda: EMPTY)
    looks: tuple[Look, ...] = ()

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
        wanted = self.resubmit_cancelled or unit.newest.record <= self.forgiven
        return unit.outcome is Outcome.FAILED or (unit.outcome is Outcome.CANCELLED and wanted)

    @cached_property
    def consecutive_failures(self) -> int:
        """Failed or refused submissions since the last success."""
        failures = self.refusals
        for unit in self.newest_first():
            if unit.outcome is Outcome.SUCCEEDED or unit.newest.record <= self.forgiven:
                break
            failures += unit.outcome is Outcome.FAILED
        return failures

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
