"""Asking facilities for states: in threads, many at once where a facility can, each observation once.

A facility that does not answer holds up its own cadences only: the others are handed on as soon as nothing moves any more.
Questions go on while the cadences of another batch are acted on; what has to be sent goes first.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.core.decisions import Stop
from tom_cadence.core.history import Outcome
from tom_cadence.engine.containment import trouble
from tom_cadence.engine.snapshot import Looked, RecordRow, window_of
from tom_cadence.exceptions import Credentials, Temporary
from tom_cadence.facilities import Calls, Facilities, Gateway, Status
from tom_cadence.facilities.calls import Call
from tom_cadence.facilities.ocs import is_ocs
from tom_cadence.journal import notices
from tom_cadence.models import CadenceRun

LIST_CHUNK = 100
OCS_LIST_FROM = 10
PATIENCE = 1.0


@dataclass
class StatesAsked:
    """One facility and owner, and whose states are wanted: {observation id: [(cadence, row)]}."""

    gateway: Gateway
    wanted: dict[str, list[tuple[Looked, RecordRow]]] = field(default_factory=lambda: defaultdict(list))


@dataclass(eq=False)
class Question:
    """One call after states, of whichever batch: ``end`` takes its answer."""

    polling: Polling
    asked: StatesAsked
    ids: tuple[str, ...]

    def end(self, call: Call) -> None:
        """Hand the answer to the cadences that wait for it."""
        self.polling.end(self, call)


class Polling:
    """The questions of one batch of cadences."""

    def __init__(self, facilities: Facilities, calls: Calls, *, may_write: bool) -> None:
        """Questions go out among ``calls``; a facility that saves states itself is asked only if it may."""
        self._facilities, self._calls, self._may_write = facilities, calls, may_write
        self._asked: dict[Any, StatesAsked] = {}
        self._open: Counter[int] = Counter()
        self._on_their_way = 0

    def start(self, wanted: Iterable[tuple[Looked, Sequence[RecordRow]]]) -> None:
        """Ask for these observations; the answers, or the errors, are put into ``Looked.polled``."""
        for item, rows in wanted:
            try:
                for row in rows:
                    gateway = self._facilities.gateway(row.facility, item.managed.owner)
                    key = (gateway.name, getattr(gateway.owner, 'pk', None))
                    self._asked.setdefault(key, StatesAsked(gateway)).wanted[row.observation_id].append((item, row))
            except Exception as error:  # a facility class is the site's code: its errors belong to its cadences alone
                trouble(item, error, 'its states were asked for')
        for asked in self._asked.values():
            try:
                if asked.gateway.updates_itself:
                    _update_itself(asked, self._may_write)
                elif asked.gateway.can_poll:
                    self._start(asked)
            except Exception as error:
                for item in {id(item): item for pairs in asked.wanted.values() for item, _ in pairs}.values():
                    trouble(item, error, 'its states were asked for')

    def ready(self, looked: Sequence[Looked], other: Callable[[Call], object]) -> Iterator[list[Looked]]:
        """The cadences whose questions are all answered: most of them together, those at a slow facility later.

        ``other`` takes the calls that end meanwhile and are no questions.
        """
        left, moved = list(looked), time.monotonic()
        while self._on_their_way:
            before = self._on_their_way
            call = self._calls.next_within(PATIENCE)
            if call is not None and isinstance(call.key, Question):
                call.key.end(call)
            elif call is not None:
                other(call)
            if self._on_their_way != before:
                moved = time.monotonic()
            elif time.monotonic() >= moved + PATIENCE:
                done = [item for item in left if not self._open[id(item)]]
                left = [item for item in left if self._open[id(item)]]
                if done:
                    yield done
                moved = time.monotonic()
        if left:
            yield left

    def _start(self, asked: StatesAsked) -> None:
        ids = list(asked.wanted)
        least = OCS_LIST_FROM if is_ocs(asked.gateway.facility) else 2
        if asked.gateway.many_at_once and len(ids) >= least:
            oldest = min(row.created for pairs in asked.wanted.values() for _, row in pairs)
            for first in range(0, len(ids), LIST_CHUNK):
                chunk = tuple(ids[first : first + LIST_CHUNK])
                self._ask(asked, chunk, _many(asked.gateway, chunk, oldest))
        else:
            for observation_id in ids:
                self._ask(asked, (observation_id,), _single(asked.gateway, observation_id))

    def _ask(self, asked: StatesAsked, ids: tuple[str, ...], function: Callable[[], Any]) -> None:
        for observation_id in ids:
            self._open.update(id(item) for item, _ in asked.wanted[observation_id])
        self._on_their_way += 1
        timeout = conf.get('FACILITY_TIMEOUT')
        self._calls.start(Question(self, asked, ids), asked.gateway.name, function, timeout, urgent=False)

    def end(self, question: Question, call: Call) -> None:
        """Take an answer, or the error; what a list left out is asked for singly."""
        if call.late:
            return
        if call.error is not None and not isinstance(call.error, Exception):
            raise call.error
        self._on_their_way -= 1
        asked, ids = question.asked, question.ids
        for observation_id in ids:
            try:
                again = _take(asked, observation_id, call)
            except Exception as error:
                again = False
                for item, _ in asked.wanted[observation_id]:
                    trouble(item, error, 'its state was read')
            for item, _ in asked.wanted[observation_id]:
                self._open[id(item)] -= 1
            if again and len(ids) > 1:
                self._ask(asked, (observation_id,), _single(asked.gateway, observation_id))


def _take(asked: StatesAsked, observation_id: str, call: Call) -> bool:
    """Hand an answer to the cadences that wait for it; True where it has to be asked for singly."""
    answer: Any = call.error or (call.result.get(observation_id) if isinstance(call.result, dict) else call.result)
    if answer is None:
        return True
    if isinstance(answer, Exception) and not isinstance(answer, (Temporary, Credentials)):
        answer = Temporary(f'{asked.gateway.name} did not answer: {answer}')
    for item, row in asked.wanted[observation_id]:
        item.polled[row.pk] = answer
    return isinstance(answer, Status) and not answer.has_schedule and _finished_now(asked, observation_id, answer)


def _finished_now(asked: StatesAsked, observation_id: str, status: Status) -> bool:
    """Whether a list said that this one has just finished: its real times are then asked for singly."""
    _, row = asked.wanted[observation_id][0]
    return status.state != row.status and asked.gateway.outcome(status.state) is Outcome.SUCCEEDED


def _single(gateway: Gateway, observation_id: str) -> Callable[[], Status]:
    return lambda: gateway.status(observation_id)


def _many(gateway: Gateway, ids: tuple[str, ...], oldest: datetime) -> Callable[[], dict[str, Status]]:
    return lambda: gateway.statuses(ids, oldest)


def _update_itself(asked: StatesAsked, may_write: bool) -> None:
    """The class saves states in its own way: let it, in this thread, and read what it saved."""
    if not may_write:
        return
    for observation_id, pairs in asked.wanted.items():
        try:
            asked.gateway.update_itself(observation_id)
            error: Exception | None = None
        except Exception as problem:  # the facility class is the site's code; the gateway has classified it
            error = problem
        for item, row in pairs:
            item.polled[row.pk] = error or _saved(row)


def _saved(row: RecordRow) -> Status:
    saved = ObservationRecord.objects.filter(pk=row.pk).values_list('status', 'scheduled_start', 'scheduled_end').first()
    state, start, end = saved or (row.status, row.scheduled_start, row.scheduled_end)
    return Status(state=state, scheduled_start=start, scheduled_end=end)


def due_rows(item: Looked, facilities: Facilities, now: datetime) -> list[RecordRow]:
    """Which observations to ask for: the unfinished ones, and now and then the finished ones that may still change."""
    late = late_check_due(item, now)
    rows = []
    gateways = {name: facilities.gateway(name, item.managed.owner) for name in {row.facility for row in item.rows}}
    for row in item.rows:
        gateway = gateways[row.facility]
        if gateway.outcome(row.status) is Outcome.WAITING:
            rows.append(row)
        elif late:
            window, _ = window_of(row, gateway.keywords)
            if window is not None and now < window.end + timedelta(days=conf.get('LATE_CHANGE_DAYS')):
                rows.append(row)
    return rows


def late_check_due(item: Looked, now: datetime) -> bool:
    """Whether it is time to ask for finished observations again: terminal is not final at real portals.

    Cadences that were made together drift apart, so that no run has to ask for all of them.
    """
    if item.glanced:  # only where it is not time yet
        return False
    last = item.managed.late_check
    spread = 0.75 + (item.managed.pk % 50) / 100
    return last is None or now >= last + spread * conf.seconds('LATE_CHANGE_INTERVAL')


def save_states(looked: Sequence[Looked], facilities: Facilities, now: datetime) -> None:
    """Save the states that changed, and tell about finished observations that changed after all."""
    changed: dict[int, tuple[Status, list[tuple[Looked, RecordRow]]]] = {}
    for item in looked:
        for row in item.rows:
            status = item.polled.get(row.pk)
            if isinstance(status, Status) and differs(status, row):
                changed.setdefault(row.pk, (status, []))[1].append((item, row))
    records = ObservationRecord.objects.in_bulk(changed) if changed else {}
    for pk, (status, pairs) in changed.items():
        if pk not in records:
            continue
        try:
            schedule = (status.scheduled_start, status.scheduled_end) if status.has_schedule else None
            journal.save_status(records[pk], status.state, schedule)
            for item, row in pairs:
                _tell_late_change(item, row, status, facilities, now)
        except Exception as error:  # what cannot be kept must not be acted on
            for item, _ in pairs:
                trouble(item, error, f'the state of observation {records[pk].observation_id} was saved')
                item.decision = Stop(reason=item.trouble, kind='attention')


def differs(status: Status, row: RecordRow) -> bool:
    """Whether the facility says something else than what is recorded."""
    if status.state != row.status:
        return True
    return status.has_schedule and (status.scheduled_start, status.scheduled_end) != (
        row.scheduled_start,
        row.scheduled_end,
    )


def _tell_late_change(item: Looked, row: RecordRow, status: Status, facilities: Facilities, now: datetime) -> None:
    gateway = facilities.gateway(row.facility, item.managed.owner)
    before, after = gateway.outcome(row.status), gateway.outcome(status.state)
    if before in (Outcome.WAITING, after):
        return
    text = f'Observation {row.observation_id} was {row.status} and is now {status.state}. What was asked for after it stays booked.'
    journal.note(item.managed, CadenceRun.Decision.NOTE, text, now)
    notices.tell_owner(item.managed, 'changed', text)
