"""Asking facilities for states: in threads, many at once where a facility can, each observation once.

A facility that does not answer holds up its own cadences only: the others are handed on as soon as nothing moves any more.
Questions go on while the cadences of another batch are acted on; what has to be sent goes first.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import connection
from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.decisions import Stop, Wait
from tom_cadence.core.history import Outcome
from tom_cadence.engine.containment import trouble_of
from tom_cadence.engine.snapshot import window_of
from tom_cadence.engine.stages import Decided, Polled, RecordRow, Snapshot
from tom_cadence.exceptions import Credentials, Temporary
from tom_cadence.facilities import Calls, Facilities, Gateway, Status
from tom_cadence.facilities.calls import Call
from tom_cadence.facilities.errors import answered_with_an_error
from tom_cadence.facilities.ocs import Block, Page, SchedulePage, iso, times_in
from tom_cadence.journal import notices
from tom_cadence.models import CadenceRun, ManagedCadence

LIST_CHUNK = 100
LIST_FROM = 2
"""From how many observations on a list is asked for in place of each."""
MOST_PAGES = 20
MOST_SCHEDULE_PAGES = 5
"""Where colleagues' schedules fill more, what is left is known later, or when it was observed."""
OVERLAP = timedelta(minutes=15)
"""How far before the last answer a list of what has changed begins: a portal writes while it is asked, and clocks differ."""
FULL_LIST = timedelta(hours=24)
"""How old an answer may be for a list of changes to be enough."""
LOOK_BACK = timedelta(days=2)
"""How far before its record was made an observation may have been made by the portal's clock."""
PATIENCE = 1.0


@dataclass
class StatesAsked:
    """One facility and account, and whose states are wanted: {observation id: [(cadence, row)]}."""

    gateway: Gateway
    wanted: dict[str, list[tuple[Snapshot, RecordRow]]] = field(default_factory=lambda: defaultdict(list))
    blocks: dict[str, list[Block]] = field(default_factory=lambda: defaultdict(list))
    """What a list of the schedule told, the newest first."""

    @property
    def cadences(self) -> dict[int, Snapshot]:
        """Whose states are wanted."""
        return {snapshot.pk: snapshot for pairs in self.wanted.values() for snapshot, _ in pairs}

    def row(self, observation_id: str) -> RecordRow:
        """What is recorded of an observation."""
        return self.wanted[observation_id][0][1]

    def unfinished(self, ids: Iterable[str]) -> bool:
        """Whether any of these is recorded as still to be observed, so that it may have a schedule."""
        return any(self.gateway.outcome(self.row(each).status) is Outcome.WAITING for each in ids)

    def listed_status(self, observation_id: str, state: str) -> Status:
        """A state that a list has told, with the schedule where one was told, too."""
        blocks, times = self.blocks.get(observation_id, ()), None
        with suppress(Exception):  # a class that cannot say what a state means is found out where each cadence takes its answer
            finished = self.gateway.outcome(state) is Outcome.SUCCEEDED
            times = times_in(blocks, finished, self.row(observation_id).scheduled_start)
        if times is None:
            return Status(state=state, has_schedule=False)
        return Status(state=state, scheduled_start=times[0], scheduled_end=times[1])


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Which page of a list is asked for; ``changes``: what is not in it is as it was at the last answer.

    ``schedule``: of the list of the schedule, after which the list of states is asked for.
    """

    since: datetime
    changes: bool
    number: int = 0
    corrected: bool = False
    schedule: bool = False

    @property
    def query(self) -> dict[str, datetime]:
        """What the portal is asked."""
        return {'modified_after' if self.changes else 'created_after': self.since}

    def schedule_query(self, now: datetime) -> dict[str, str]:
        """What the portal is asked about the schedule: what has changed in it, or all that is to come."""
        return {'modified_after': iso(self.since)} if self.changes else {'state': 'PENDING', 'end_after': iso(now)}


@dataclass(eq=False)
class Question:
    """One call after states, of whichever batch: ``end`` takes its answer.

    ``updates``: the class saves the state of the first of ``ids`` in its own way, and after it those of the others.
    """

    polling: Polling
    asked: StatesAsked
    ids: tuple[str, ...]
    listed: Listed | None = None
    updates: bool = False

    def end(self, call: Call) -> None:
        """Hand the answer to the cadences that wait for it."""
        self.polling.end(self, call)


class Polling:
    """The questions of one batch of cadences, and the answers as they come in; ``polled`` says what there was for each."""

    def __init__(self, facilities: Facilities, calls: Calls, *, may_write: bool, now: datetime | None = None) -> None:
        """Questions go out among ``calls``; a facility that saves states itself is asked only if it may."""
        self._facilities, self._calls, self._may_write = facilities, calls, may_write
        self._now = now or conf.utc_now()
        self._asked: dict[Any, StatesAsked] = {}
        self._answers: dict[int, dict[int, Status | Exception]] = defaultdict(dict)
        self._late_checks: dict[int, datetime | None] = {}
        self._troubles: dict[int, str] = {}
        self._open: Counter[int] = Counter()
        self._on_their_way = 0

    def start(self, snapshots: Iterable[Snapshot], follows: Mapping[int, Collection[int]]) -> None:
        """Ask for the states that these cadences depend on; ``follows``: the records that a request would follow, by cadence."""
        for snapshot in snapshots:
            try:
                self._late_checks[snapshot.pk] = late_check_of(snapshot, self._facilities, self._now)
                for row in wanted_rows(snapshot, follows.get(snapshot.pk, ()), self._facilities, self._now):
                    gateway = self._facilities.gateway(row.facility, snapshot.managed.owner)
                    key = (gateway.name, gateway.account)
                    self._asked.setdefault(key, StatesAsked(gateway)).wanted[row.observation_id].append((snapshot, row))
            except Exception as error:  # a facility class is the site's code: its errors belong to its cadences alone
                self._trouble(snapshot, error, 'it was found out which states to ask for')
        for asked in self._asked.values():
            try:
                if asked.gateway.updates_itself:
                    self._start_updates(asked)
                elif asked.gateway.can_poll:
                    self._start(asked)
            except Exception as error:
                for snapshot in asked.cadences.values():
                    self._trouble(snapshot, error, 'its states were asked for')

    def polled(self, snapshot: Snapshot) -> Polled:
        """What there is by now for this cadence."""
        late_check = self._late_checks.get(snapshot.pk, snapshot.managed.late_check)
        return Polled(
            states=dict(self._answers.get(snapshot.pk, {})), late_check=late_check, trouble=self._troubles.get(snapshot.pk, '')
        )

    def _trouble(self, snapshot: Snapshot, error: Exception, doing: str) -> None:
        self._troubles[snapshot.pk] = trouble_of(snapshot.managed, error, doing)

    def ready(self, pks: Iterable[int], other: Callable[[Call], object]) -> Iterator[list[int]]:
        """The cadences whose questions are all answered: most of them together, those at a slow facility later.

        ``other`` takes the calls that end meanwhile and are no questions.
        """
        left, moved = list(pks), time.monotonic()
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
                done = [pk for pk in left if not self._open[pk]]
                left = [pk for pk in left if self._open[pk]]
                if done:
                    yield done
                moved = time.monotonic()
        if left:
            yield left

    def _start(self, asked: StatesAsked) -> None:
        """Ask with as few requests as the facility allows."""
        ids = list(asked.wanted)
        if len(ids) < LIST_FROM:
            self._ask_each(asked, ids)
        elif asked.gateway.many_at_once:
            for first in range(0, len(ids), LIST_CHUNK):
                chunk = tuple(ids[first : first + LIST_CHUNK])
                self._ask(asked, chunk, partial(asked.gateway.statuses, chunk))
        elif asked.gateway.has_pages:
            self._ask_lists(asked)
        else:
            self._ask_each(asked, ids)

    def _ask_lists(self, asked: StatesAsked) -> None:
        """What has changed since the last answer, for those that had one today; the whole list for the others, once a day."""
        answered = {key: self._answered(pairs) for key, pairs in asked.wanted.items()}
        known = tuple(key for key, instant in answered.items() if instant is not None)
        others = [key for key, instant in answered.items() if instant is None]
        if known:
            since = min(instant for instant in answered.values() if instant is not None) - OVERLAP
            self._ask_list(asked, known, Listed(since=since, changes=True))
        if len(others) < LIST_FROM:
            self._ask_each(asked, others)
        else:
            oldest = min(row.created for key in others for _, row in asked.wanted[key]) - LOOK_BACK
            self._ask_list(asked, tuple(others), Listed(since=oldest, changes=False))

    def _ask_list(self, asked: StatesAsked, ids: tuple[str, ...], listed: Listed) -> None:
        """Ask for the schedule first, where one may have changed: what it tells is asked for no more."""
        self._ask_page(asked, ids, replace(listed, schedule=asked.unfinished(ids)))

    def _answered(self, pairs: Sequence[tuple[Snapshot, RecordRow]]) -> datetime | None:
        """When the facility last told about this observation, for all who wait for it; None where that is not enough."""
        checks = []
        for snapshot, row in pairs:
            managed = snapshot.managed
            if managed.last_run is None or managed.last_check is None or managed.unreachable_since is not None:
                return None
            checks.append(max(managed.last_check, row.created))
        last = min(checks)
        return last if last <= self._now < last + FULL_LIST and last.date() == self._now.date() else None

    def _ask_each(self, asked: StatesAsked, ids: Iterable[str], states: Mapping[str, str] | None = None) -> None:
        """Ask for each; ``states`` are known from a list, and only the schedule is missing."""
        for observation_id in ids:
            known = (states or {}).get(observation_id, '')
            arguments = (observation_id, known) if known else (observation_id,)
            self._ask(asked, (observation_id,), partial(asked.gateway.status, *arguments))

    def _ask_page(self, asked: StatesAsked, ids: tuple[str, ...], listed: Listed) -> None:
        if listed.schedule:
            query = listed.schedule_query(self._now)
            self._ask(asked, ids, lambda: asked.gateway.schedule_page(listed.number, query), listed)
        else:
            self._ask(asked, ids, lambda: asked.gateway.page(listed.number, listed.query), listed)

    def _ask(self, asked: StatesAsked, ids: tuple[str, ...], function: Callable[[], Any], listed: Listed | None = None) -> None:
        for observation_id in ids:
            self._open.update(snapshot.pk for snapshot, _ in asked.wanted[observation_id])
        self._on_their_way += 1
        timeout = conf.get('FACILITY_TIMEOUT')
        self._calls.start(Question(self, asked, ids, listed), asked.gateway.name, function, timeout, urgent=False)

    def end(self, question: Question, call: Call) -> None:
        """Take an answer, or the error; what a list left out is asked for singly."""
        if call.late:
            return
        if call.error is not None and not isinstance(call.error, Exception):
            raise call.error
        self._on_their_way -= 1
        asked, ids = question.asked, question.ids
        if question.updates:
            self._updated(asked, ids[0], call.error)
            self._update_next(asked, ids[1:])
            return
        if question.listed is not None and question.listed.schedule:
            self._ask_page(asked, ids, _after_schedule(asked, question.listed, call))
            self._close(asked, ids)
            return
        answers, further = self._read(question, call)
        again = []
        for observation_id in ids:
            try:
                if self._take(asked, observation_id, answers.get(observation_id)) and len(ids) + bool(question.listed) > 1:
                    again.append(observation_id)
            except Exception as error:
                for snapshot, _ in asked.wanted[observation_id]:
                    self._trouble(snapshot, error, 'its state was read')
        if further is not None:
            left = tuple(key for key in again if key not in answers)
            self._ask_page(asked, left, further)
            again = [key for key in again if key in answers]
        self._ask_each(asked, again, {key: answers[key].state for key in again if key in answers})
        self._close(asked, ids)

    def _close(self, asked: StatesAsked, ids: Iterable[str]) -> None:
        """A question about these has ended."""
        for observation_id in ids:
            for snapshot, _ in asked.wanted[observation_id]:
                self._open[snapshot.pk] -= 1

    def _read(self, question: Question, call: Call) -> tuple[dict[str, Any], Listed | None]:
        """The answers to a question, {observation id: status or error}, and the page to ask for next.

        A list that fails although the facility answers, as one does that holds something it cannot show, is no answer
        for anybody: each is asked for.
        """
        asked, ids, listed = question.asked, question.ids, question.listed
        if call.error is not None:
            alone = (
                (listed is not None or len(ids) > 1) and isinstance(call.error, Temporary) and answered_with_an_error(call.error)
            )
            return ({} if alone else dict.fromkeys(ids, call.error)), None
        if listed is None:
            return (call.result if isinstance(call.result, dict) else {ids[0]: call.result}), None
        page: Page = call.result
        if listed.changes and not listed.corrected and page.ahead < -OVERLAP / 2:  # our clock is ahead, so something is left out
            return {}, replace(listed, since=listed.since + page.ahead, corrected=True)
        found: dict[str, Any] = {key: asked.listed_status(key, page.states[key]) for key in ids if key in page.states}
        missing = [key for key in ids if key not in found]
        if page.more and missing:
            further = replace(listed, number=listed.number + 1)
            return found, further if further.number < MOST_PAGES else None
        if listed.changes:
            found |= {key: asked.listed_status(key, asked.row(key).status) for key in missing}
        return found, None

    def _take(self, asked: StatesAsked, observation_id: str, answer: Any) -> bool:
        """Keep an answer for the cadences that wait for it; True where it has to be asked for singly."""
        if answer is None:
            return True
        if isinstance(answer, Exception):
            answer = _as_temporary(asked, answer)
        for snapshot, row in asked.wanted[observation_id]:
            self._answers[snapshot.pk][row.pk] = answer
        return isinstance(answer, Status) and not answer.has_schedule and _finished_now(asked, observation_id, answer)

    def _start_updates(self, asked: StatesAsked) -> None:
        """The class saves states in its own way: let it, one after the other, and read what it saved.

        Inside a transaction of the caller's that is done here: another thread would not see what is written, nor be seen.
        """
        if not self._may_write:
            return
        ids = tuple(asked.wanted)
        for observation_id in ids:
            self._open.update(snapshot.pk for snapshot, _ in asked.wanted[observation_id])
        if not connection.in_atomic_block:
            self._update_next(asked, ids)
            return
        for observation_id in ids:
            try:
                asked.gateway.update_itself(observation_id)
                self._updated(asked, observation_id, None)
            except Exception as problem:  # the facility class is the site's code; the gateway has classified it
                self._updated(asked, observation_id, problem)

    def _update_next(self, asked: StatesAsked, ids: tuple[str, ...]) -> None:
        if ids:
            self._on_their_way += 1
            function, timeout = partial(asked.gateway.update_itself, ids[0]), conf.get('FACILITY_TIMEOUT')
            self._calls.start(Question(self, asked, ids, updates=True), asked.gateway.name, function, timeout, urgent=False)

    def _updated(self, asked: StatesAsked, observation_id: str, error: BaseException | None) -> None:
        """What the class saved, or why it did not."""
        for snapshot, row in asked.wanted[observation_id]:
            self._open[snapshot.pk] -= 1
            try:
                if error is None:
                    self._answers[snapshot.pk][row.pk] = _saved(row)
                else:
                    self._answers[snapshot.pk][row.pk] = _as_temporary(asked, error)
            except Exception as problem:
                self._trouble(snapshot, problem, 'its state was read')


def _after_schedule(asked: StatesAsked, listed: Listed, call: Call) -> Listed:
    """Keep what a page of the schedule tells, and say which page is asked for next; a schedule is not worth an error."""
    states = replace(listed, number=0, corrected=False, schedule=False)
    if call.error is not None:
        return states
    page: SchedulePage = call.result
    if listed.changes and not listed.corrected and page.ahead < -OVERLAP / 2:
        return replace(listed, since=listed.since + page.ahead, corrected=True)
    for key, blocks in page.blocks.items():
        asked.blocks[key] += blocks
    further = replace(listed, number=listed.number + 1)
    return further if page.more and further.number < MOST_SCHEDULE_PAGES else states


def _as_temporary(asked: StatesAsked, error: BaseException) -> Temporary | Credentials:
    """Why a state could not be asked for."""
    if isinstance(error, (Temporary, Credentials)):
        return error
    return Temporary(f'{asked.gateway.name} did not answer: {bounded_text(error)}')


def _finished_now(asked: StatesAsked, observation_id: str, status: Status) -> bool:
    """Whether a list said that this one has just finished: its real times are then asked for singly."""
    _, row = asked.wanted[observation_id][0]
    return status.state != row.status and asked.gateway.outcome(status.state) is Outcome.SUCCEEDED


def _saved(row: RecordRow) -> Status:
    saved = ObservationRecord.objects.filter(pk=row.pk).values_list('status', 'scheduled_start', 'scheduled_end').first()
    state, start, end = saved or (row.status, row.scheduled_start, row.scheduled_end)
    return Status(state=state, scheduled_start=start, scheduled_end=end)


FIRST_CHECKS = timedelta(days=1)


def wanted_rows(snapshot: Snapshot, follows: Collection[int], facilities: Facilities, now: datetime) -> list[RecordRow]:
    """Which observations to ask for: the unfinished ones, and, because terminal is not final at real portals, the finished ones
    that a request would follow, and now and then all that may still change.
    """
    late = snapshot.managed.late_check is not None and late_check_due(snapshot, now)
    rows = []
    gateways = {name: facilities.gateway(name, snapshot.managed.owner) for name in {row.facility for row in snapshot.rows}}
    for row in snapshot.rows:
        gateway = gateways[row.facility]
        if row.pk in follows or gateway.outcome(row.status) is Outcome.WAITING:
            rows.append(row)
        elif late:
            window, _ = window_of(row, gateway.keywords)
            if window is not None and now < window.end + timedelta(days=conf.get('LATE_CHANGE_DAYS')):
                rows.append(row)
    return rows


def late_check_due(snapshot: Snapshot, now: datetime) -> bool:
    """Whether it is time to ask for finished observations again: terminal is not final at real portals.

    Cadences that were made together drift apart, so that no run has to ask for all of them.
    """
    if snapshot.quick:  # only where it is not time yet
        return False
    last = snapshot.managed.late_check
    return last is None or now >= last + _interval(snapshot)


def late_check_of(snapshot: Snapshot, facilities: Facilities, now: datetime) -> datetime | None:
    """What is noted as the last time that finished observations were asked for.

    Those of cadences that were just taken over are first asked for within a day, each at its own hour: a thousand cadences of an
    older TOM must not ask for everything in one run.
    """
    managed = snapshot.managed
    if managed.late_check is not None:
        return now if late_check_due(snapshot, now) else managed.late_check
    try:
        gateways = {name: facilities.gateway(name, managed.owner) for name in {row.facility for row in snapshot.rows}}
        if all(gateways[row.facility].outcome(row.status) is Outcome.WAITING for row in snapshot.rows):
            return now
    except Exception:  # a facility class is the site's code; what is wrong with it is said where its states are asked for
        return now
    return now + FIRST_CHECKS * ((managed.pk % 289) / 289) - _interval(snapshot)


def _interval(snapshot: Snapshot) -> timedelta:
    return (0.75 + (snapshot.pk % 50) / 100) * timedelta(seconds=conf.get('LATE_CHANGE_INTERVAL'))


def save_states(items: Sequence[Decided], facilities: Facilities, now: datetime) -> list[Decided]:
    """Save the states that changed, and tell about finished observations that changed after all.

    The cadences with their decisions; a person is asked where a state could not be saved.
    """
    acting = [each for each in items if not isinstance(each.decision, Wait)]
    checked = [(each.managed, each.known.polled.late_check) for each in acting]
    journal.note_late_checks([(managed, late) for managed, late in checked if late != managed.late_check])
    changed: dict[int, tuple[Status, list[tuple[Decided, RecordRow]]]] = {}
    for each in items:
        states = each.known.polled.states
        for row in each.snapshot.rows if states else ():
            status = states.get(row.pk)
            if isinstance(status, Status) and differs(status, row):
                changed.setdefault(row.pk, (status, []))[1].append((each, row))
    records = ObservationRecord.objects.in_bulk(changed) if changed else {}
    troubles: dict[int, str] = {}
    for pk, (status, pairs) in changed.items():
        if pk not in records:
            continue
        try:
            schedule = (status.scheduled_start, status.scheduled_end) if status.has_schedule else None
            journal.save_status(records[pk], status.state, schedule)
            for each, row in pairs:
                _tell_late_change(each.managed, row, status, facilities, now)
        except Exception as error:  # what cannot be kept must not be acted on
            for each, _ in pairs:
                doing = f'the state of observation {records[pk].observation_id} was saved'
                troubles[each.managed.pk] = trouble_of(each.managed, error, doing)
    return [stopped(each, troubles[each.managed.pk]) if each.managed.pk in troubles else each for each in items]


def stopped(item: Decided, trouble: str) -> Decided:
    """The same cadence, which needs a person because of something that was caught in this run."""
    return replace(item, known=replace(item.known, caught=trouble), decision=Stop(reason=trouble, kind='attention'))


def differs(status: Status, row: RecordRow) -> bool:
    """Whether the facility says something else than what is recorded."""
    if status.state != row.status:
        return True
    return status.has_schedule and (status.scheduled_start, status.scheduled_end) != (
        row.scheduled_start,
        row.scheduled_end,
    )


def _tell_late_change(managed: ManagedCadence, row: RecordRow, status: Status, facilities: Facilities, now: datetime) -> None:
    gateway = facilities.gateway(row.facility, managed.owner)
    before, after = gateway.outcome(row.status), gateway.outcome(status.state)
    if before in (Outcome.WAITING, after):
        return
    text = f'Observation {row.observation_id} was {row.status} and is now {status.state}. What was asked for after it stays booked.'
    journal.note(managed, CadenceRun.Decision.NOTE, text, now)
    notices.tell_owner(managed, 'changed', text)
