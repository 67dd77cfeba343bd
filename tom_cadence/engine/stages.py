"""What a run knows of one cadence, stage by stage: read, asked, decided. Nothing here changes once it is made.

A later stage makes a new value of an earlier one: ``Snapshot`` (``snapshot``, ``look``), ``Context`` (``context``), ``Polled``
(``polling``), all three of them ``Known``; ``ReadHistory`` and ``Decided`` (``decide``). Many are kept by the primary key of the
managed cadence, which no two of a run share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from tom_cadence.core.decisions import Decision, Stop
from tom_cadence.core.history import History, PhotometryAnswer
from tom_cadence.core.parameters import Parameters
from tom_cadence.core.photometry import EMPTY, Photometry
from tom_cadence.core.visibility import Sky
from tom_cadence.exceptions import Credentials
from tom_cadence.facilities import Status
from tom_cadence.models import ManagedCadence, Submission

States = Mapping[int, Status | Exception]
"""What a facility said, by the primary key of the record."""


class RecordRow(NamedTuple):
    """One observation record as the engine reads it; a tuple, because a run makes very many of them.

    ``start`` and ``end`` are as they are stored; ``parameters`` only where they were asked for. ``noted``: it has a booking.
    """

    pk: int
    observation_id: str
    facility: str
    status: str
    created: datetime
    scheduled_start: datetime | None = None
    scheduled_end: datetime | None = None
    start: Any = None
    end: Any = None
    submission: int | None = None
    target: int = 0
    noted: bool = True
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """One cadence as the database has it: its records and its requests, each oldest first.

    ``quick``: only what is unfinished was read, because the cadence waits for it whatever else it did. ``journal_read``: all
    requests were read, not only those whose fate is not known. ``trouble`` says why its strategy or parameters cannot be used.
    ``handed_in`` is the strategy of a caller who made it himself.
    """

    managed: ManagedCadence
    strategy: Any = None
    parameters: Parameters = field(default_factory=Parameters)
    handed_in: Any = None
    trouble: str = ''
    rows: tuple[RecordRow, ...] = ()
    requests: tuple[Submission, ...] = ()
    quick: bool = False
    journal_read: bool = False

    @property
    def pk(self) -> int:
        """The primary key of the managed cadence, by its own name: a run asks for it very often, and ``pk`` looks for it first."""
        return self.managed.id

    @property
    def open_request(self) -> Submission | None:
        """The request whose fate is not known yet."""
        return next((request for request in self.requests if request.state in Submission.OPEN), None)

    @property
    def observation_ids(self) -> frozenset[str]:
        """The facility's numbers of all that was read."""
        return frozenset(row.observation_id for row in self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a cadence may look at besides its observations: empty where its strategy and parameters ask for nothing of it.

    ``answers`` are those of photometry services, oldest first. ``trouble`` says why it is not known when the target is up.
    """

    photometry: Photometry = field(default_factory=lambda: EMPTY)
    answers: tuple[PhotometryAnswer, ...] = ()
    sky: Sky | None = None
    trouble: str = ''


@dataclass(frozen=True, kw_only=True, slots=True)
class Polled:
    """What the facility said of a cadence's observations in this run, and what went wrong while it was asked.

    ``late_check``: what is noted as the last time that finished observations were asked for.
    """

    states: States = field(default_factory=dict)
    late_check: datetime | None = None
    trouble: str = ''


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of a cadence before anybody decides about it.

    ``context`` is None where it was not read. ``caught`` is trouble that was only seen in this run: to read everything again
    would not show it.
    """

    snapshot: Snapshot
    context: Context | None = None
    polled: Polled = field(default_factory=Polled)
    caught: str = ''

    @property
    def managed(self) -> ManagedCadence:
        """The cadence."""
        return self.snapshot.managed

    @property
    def trouble(self) -> str:
        """What is wrong with it, so that its strategy is not asked."""
        return self.caught or self.snapshot.trouble


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadHistory:
    """The history that a strategy is shown; or why it is not asked, and whether that is because of the owner's credentials.

    ``by_hand``: the facilities that cannot be asked what became of an observation, so that a person says it.
    """

    history: History = field(default_factory=History)
    trouble: str = ''
    credentials: Credentials | None = None
    by_hand: frozenset[str] = frozenset()

    def untold(self, now: datetime) -> str:
        """Which observation a person has to say something about, because its window is over; empty for none."""
        for attempt in self.history.waiting if self.by_hand else ():
            if attempt.facility in self.by_hand and attempt.window is not None and attempt.window.end <= now:
                return UNTOLD.format(attempt.observation_id, attempt.facility)
        return ''


UNTOLD = (
    'The window of observation {} is over, and {} cannot be asked what became of it: '
    'say on the page of this cadence whether it was observed.'
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A cadence with the decision about it; ``past`` is None where it was not looked at for that."""

    known: Known
    decision: Decision
    past: ReadHistory | None = None

    @property
    def managed(self) -> ManagedCadence:
        """The cadence."""
        return self.known.snapshot.managed

    @property
    def snapshot(self) -> Snapshot:
        """What was read of it."""
        return self.known.snapshot

    @property
    def history(self) -> History:
        """What its strategy was shown."""
        return self.past.history if self.past is not None else History()

    @property
    def consecutive_failures(self) -> int:
        """Failures in a row; as they were known before, where only what is unfinished was read."""
        if self.past is None or self.snapshot.quick:
            return self.managed.consecutive_failures
        return self.past.history.consecutive_failures

    @property
    def unreachable(self) -> str:
        """Why an unfinished observation could not be asked for in this run, or an empty text."""
        return unreachable(self.known.polled, self.history)

    @property
    def credentials_problem(self) -> Credentials | None:
        """The refusal of the owner's credentials, where the facility or its class said so in this run."""
        if self.past is not None and self.past.credentials is not None:
            return self.past.credentials
        return next((answer for answer in self.known.polled.states.values() if isinstance(answer, Credentials)), None)

    @property
    def needs_attention(self) -> bool:
        """Whether the decision is that a person must look."""
        return isinstance(self.decision, Stop) and self.decision.kind == 'attention'


def unreachable(polled: Polled, history: History) -> str:
    """Why an unfinished observation could not be asked for, or an empty text."""
    if not polled.states:
        return ''
    answers = (polled.states.get(attempt.record) for attempt in history.waiting)
    return next((str(answer) for answer in answers if isinstance(answer, Exception)), '')
