"""Acting on many cadences: claims and rows in this thread, calls to facilities on their way meanwhile."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import cast

from django.db import OperationalError
from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.core.bounds import error_text
from tom_cadence.core.decisions import Decision, Stop, Submit, Wait
from tom_cadence.core.seasons import what_to_change
from tom_cadence.engine import own_run, send
from tom_cadence.engine.budgets import Budgets
from tom_cadence.engine.containment import batch_or_singly, is_lost, trouble_of
from tom_cadence.engine.decide import first_to_send, postponed, runs_itself
from tom_cadence.engine.polling import Question
from tom_cadence.engine.report import Line, Report
from tom_cadence.engine.send import Ready, RunCache, Sending, Taken
from tom_cadence.engine.stages import Decided, Known
from tom_cadence.exceptions import CadenceError, ChangeNeeded, Credentials, LostClaim, NeedsAttention, NotYet, Refused, Temporary
from tom_cadence.facilities import Calls, Facilities, Gateway, Status
from tom_cadence.facilities.calls import Call
from tom_cadence.journal import Checked, Claim
from tom_cadence.journal.states import CHANGE
from tom_cadence.models import ManagedCadence
from tom_followup.failpoints import CadencePoint, reach

logger = logging.getLogger(__name__)
State = ManagedCadence.State
MOST_IN_A_RUN = 20
MOST_IN_A_CHUNK = 32
MOST_TOGETHER = 8
HURRY = 0.5
"""Seconds that a prepared request waits for others, so that their intents are committed together."""


def _sending(call: Call) -> Sending:
    return cast(Sending, call.key)


class Pipeline:
    """Takes cadences that have something to do, one after the other."""

    def __init__(self, facilities: Facilities, clock: Callable[[], datetime], report: Report, calls: Calls, most: int) -> None:
        """``most`` requests at a time are on their way among ``calls``."""
        self.facilities, self.clock, self.report, self.calls, self.most = facilities, clock, report, calls, most
        self.once, self.budgets = RunCache(), Budgets(facilities)
        self.records: list[ObservationRecord] = []
        self.problems: list[CadenceError] = []
        self._again: deque[Known] = deque()
        self._sent: dict[int, int] = {}
        self._together = True
        self._first = FirstStatuses(facilities, calls)

    def run(self, items: Sequence[Decided]) -> None:
        """Act on all of them, and wait until every call has ended or is overdue."""
        try:
            self.once.preload(items)
        except Exception as error:  # each is asked for again, alone
            if is_lost(error):
                raise
            logger.warning('Permissions are asked for singly: %s', error_text(error), extra={'event': 'one_by_one'})
        due = deque(item.known for item in items)
        while due or self.calls.urgent or len(self._first):
            chunk = self._next(due)
            if chunk:
                self._take(chunk)
            elif not self._first.ask():
                self._end_all(self.calls.next_few(MOST_TOGETHER))
            due.extend(self._again)
            self._again.clear()

    def _next(self, due: deque[Known]) -> list[Known]:
        """As many cadences as can be sent for at once; nobody waits behind a facility that does not answer.

        A facility gets its next ones when half of its places are free, so that they are claimed and read together.
        """
        waiting = Counter(known.managed.facility for known in due)
        room = {facility: self.calls.room(facility) for facility in waiting}
        room = {facility: left if left >= min(self.calls.half, waiting[facility]) else 0 for facility, left in room.items()}
        chunk: list[Known] = []
        left_over: list[Known] = []
        most = min(MOST_IN_A_CHUNK, self.most - self.calls.urgent)
        for known in due:
            fits = room[known.managed.facility] > 0 and len(chunk) < most
            room[known.managed.facility] -= fits
            (chunk if fits else left_over).append(known)
        due.clear()
        due.extend(left_over)
        return chunk

    def _take(self, chunk: Sequence[Known]) -> None:
        taken, troubles = batch_or_singly(
            chunk, lambda some: {each.known.managed.pk: each for each in send.take(some)}, 'it was claimed'
        )
        ready: list[Ready] = []
        for known in chunk:
            pk = known.managed.pk
            if pk in troubles:
                self.give_up(known.managed, troubles[pk])
            elif pk not in taken:
                self.add_line(known.managed, 'busy', 'Another process is working on it, or it was paused.')
        for each in taken.values():
            prepared = self._begin(each)
            ready += [prepared] if prepared is not None else []
            if ready and time.monotonic() > ready[0].since + HURRY:
                self._send(ready)
                ready = []
        self._send(ready)

    def _begin(self, taken: Taken) -> Ready | None:
        """Decide under the claim; what is to be sent for this cadence, or None where it is done with."""
        known, claimed = taken.known, taken.claimed
        item = Decided(known=known, decision=Wait(reason='It was not decided about.'))
        try:
            request = known.snapshot.open_request
            if request is not None:
                settled, records = send.settle_open(known, request, self.facilities, self.clock())
                if settled is not None:
                    self._finish(replace(item, decision=settled), claimed, records)
                    return None
                known = send.with_journal_again(known)
                taken = replace(taken, known=known)
            own = runs_itself(known.snapshot.strategy)
            first = None if own else first_to_send(known.snapshot)
            waits = postponed(known.managed) if first is not None else None
            if waits is not None and self.clock() < waits.until:
                self._finish(replace(item, decision=Wait(reason=waits.reason)), claimed, [])
                return None
            if first is not None:
                ready = send.prepare_first(first, taken, self.facilities, self.once, self.clock())
                return replace(ready, intent=self.budgets.checked(ready.intent, self.clock()))
            item = send.decide_again(known, self.facilities, self.clock())
            if own:
                decision, records = own_run.run(item, claimed, self.facilities, self.clock)
                self._finish(replace(item, decision=decision), claimed, records)
                return None
            if isinstance(item.decision, Submit):
                ready = send.prepare(item, item.decision, taken, self.facilities, self.once, self.clock())
                return replace(ready, intent=self.budgets.checked(ready.intent, self.clock()))
            self._finish(item, claimed, [])
        except Refused as error:
            self._refuse(item, claimed, error)
        except Exception as error:
            self._fail(item, claimed, error)
        return None

    def _refuse(self, item: Decided, claimed: Claim, error: Refused) -> None:
        """What our own check, or the facility's form, refused is written down, so that it counts."""
        failed: Exception = error
        if isinstance(item.decision, Submit) and not isinstance(error, (NotYet, ChangeNeeded)):
            try:
                send.refused_at_home(item.snapshot, item.decision, self.facilities, str(error), self.clock())
            except Exception as problem:
                failed = problem
        self._fail(item, claimed, failed)

    def _send(self, ready: Sequence[Ready]) -> None:
        """Commit the intents together, and start the calls."""
        if not ready:
            return
        try:
            committed = send.commit(ready, self.clock())
        except Exception as error:
            if is_lost(error):
                raise
            failed: Exception = error
            if isinstance(error, OperationalError):  # it is busy or ill, and has taken none of them
                failed = Temporary(f'Nothing was sent, because the database could not keep the request: {error_text(error)}')
            for each in ready:
                self._fail(each.decided, each.taken.claimed, failed)
            return
        for each, found in committed:
            if not isinstance(found, Sending):
                self._fail(each.decided, each.taken.claimed, found)
                continue
            try:
                self._start(found)
            except Exception as error:
                self._fail(each.decided, each.taken.claimed, error)

    def _start(self, sending: Sending) -> None:
        self.calls.start(sending, sending.submission.facility, sending.function, conf.get('FACILITY_TIMEOUT'))

    def _end_all(self, calls: Sequence[Call]) -> None:
        """What was accepted at the same time is recorded together, and first; everything else by itself."""
        accepted = [call for call in calls if isinstance(call.key, Sending) and call.error is None]
        together = self._record_together(accepted) if len(accepted) > 1 and self._together else []
        for call in calls:
            if call not in together:
                self.take(call)

    def _record_together(self, calls: Sequence[Call]) -> Sequence[Call]:
        """The calls that are done with: all, or none where each has to be settled alone."""
        try:
            settled = send.settle_batch([(_sending(call), call.result) for call in calls], self.clock())
        except Exception as error:
            if is_lost(error):
                raise
            settled = None
        if settled is None:  # a hook that raises would be called again for each: from here on one by one
            self._together = False
            return []
        for call, accepted in zip(calls, settled, strict=True):
            self._conclude(_sending(call), partial(send.booked, _sending(call), accepted))
        return calls

    def take(self, call: Call) -> None:
        """What came of one call: a request, a first state, or a question about cadences that are not acted on yet."""
        if isinstance(call.key, Question):
            call.key.end(call)
            return
        if isinstance(call.key, FirstStatus):
            try:
                self._first.take(call.key, call)
            except Exception as error:  # a state that is asked for again in the next run
                if is_lost(error):
                    raise
                logger.exception('A first state was not saved', extra={'event': 'first_status'})
            return
        sending = _sending(call)
        self._conclude(sending, lambda: send.settle(sending, call.result, call.error, self.facilities, self.clock()))

    def _conclude(self, sending: Sending, outcome: Callable[[], tuple[Decision, list[ObservationRecord]]]) -> None:
        try:
            decision, records = outcome()
            self._finish(replace(sending.decided, decision=decision), sending.claimed, records)
            self._first.add(sending, records)
        except Exception as error:
            self._fail(sending.decided, sending.claimed, error)

    def _finish(self, item: Decided, claimed: Claim, records: Sequence[ObservationRecord]) -> None:
        now, decision = self.clock(), item.decision
        if records:
            self.records.extend(records)
            ids = [record.observation_id for record in records]
            self.add_line(item.managed, 'submit', decision.reason, ids=ids, changed=True)
            self._look_again(item)  # accepting has let go of the cadence in the same transaction
        elif isinstance(decision, Stop):
            self._stop(item, claimed, decision, now)
        else:
            checked = Checked(
                managed=item.managed,
                reason=decision.reason,
                consecutive_failures=item.consecutive_failures,
                late_check=item.managed.late_check,
            )
            journal.note_checked([checked], now)
            if item.managed.pk not in self._sent:
                self.add_line(item.managed, 'wait', decision.reason)
        if not records or runs_itself(item.snapshot.strategy):
            journal.release(claimed)
        reach(CadencePoint.RELEASED)

    def _look_again(self, item: Decided) -> None:
        """A strategy that answers each failure on its own may have another one to answer in the same run."""
        sent = self._sent[item.managed.pk] = self._sent.get(item.managed.pk, 0) + 1
        if getattr(item.snapshot.strategy, 'answers_each_failure', False) and sent < MOST_IN_A_RUN:
            self._again.append(item.known)

    def _stop(self, item: Decided, claimed: Claim, decision: Stop, now: datetime) -> None:
        state = State.ATTENTION if decision.kind == 'attention' else State.FINISHED
        stopped = journal.stop(item.managed, state, decision.reason, now, holder=claimed.holder)
        reach(CadencePoint.STOPPED)
        attention = decision.kind == 'attention'
        if stopped:
            self.add_line(item.managed, 'stop', decision.reason, changed=True, failed=attention)
        if attention:
            self.problems.append(NeedsAttention(decision.reason))

    def contain(self, managed: ManagedCadence, do: Callable[[], object]) -> None:
        """Do something about one cadence; what it raises is written down for that one."""
        try:
            do()
        except Exception as error:
            self.give_up(managed, trouble_of(managed, error, 'it was written down what became of it'))

    def give_up(self, managed: ManagedCadence, reason: str) -> None:
        """A cadence about which something could not be written: it needs a person, and where even that cannot be kept, says so."""
        try:
            stopped = journal.stop(managed, State.ATTENTION, reason, self.clock())
        except Exception as error:
            if is_lost(error):
                raise
            reason, stopped = f'{reason} It could not be stopped either: {error_text(error)}', False
        self.add_line(managed, 'error', reason, changed=stopped, failed=True)
        self.problems.append(NeedsAttention(reason))

    def _fail(self, item: Decided, claimed: Claim, error: Exception) -> None:
        """What an error means for this cadence; no other one is touched, except by refused credentials."""
        if is_lost(error):
            raise error
        self.contain(item.managed, lambda: self._write_failure(item, claimed, error))

    def _write_failure(self, item: Decided, claimed: Claim, error: Exception) -> None:
        now = self.clock()
        error = self._too_long(item, error, now)
        if isinstance(error, LostClaim):
            self.add_line(item.managed, 'busy', str(error))
        elif isinstance(error, Credentials):
            self.pause_for_credentials(item.managed, error, now)
        elif isinstance(error, NotYet):
            self._postpone(item, error, now)
        elif isinstance(error, ChangeNeeded):
            reason = what_to_change(str(error))
            journal.stop(item.managed, State.ATTENTION, reason, now, reason_class=CHANGE)
            self.add_line(item.managed, 'error', reason, changed=True, failed=True)
        elif isinstance(error, (Temporary, Refused)):
            since = (item.managed.unreachable_since or now) if isinstance(error, Temporary) else None
            checked = Checked(
                managed=item.managed,
                reason=str(error),
                unreachable_since=since,
                late_check=item.managed.late_check,
                consecutive_failures=item.consecutive_failures,
            )
            journal.note_checked([checked], now)
            self.add_line(item.managed, 'error', str(error), failed=True, unasked=isinstance(error, Temporary))
        else:
            self._needs_attention(item, error, now)
        if not isinstance(error, (LostClaim, NotYet)):
            self.problems.append(error if isinstance(error, CadenceError) else NeedsAttention(str(error)))
        journal.release(claimed)

    def _postpone(self, item: Decided, error: NotYet, now: datetime) -> None:
        """What the facility cannot take yet is a wait: no failure, one line, and asked again when it may have come."""
        journal.postpone(item.managed, error, now)
        checked = Checked(
            managed=item.managed,
            reason=item.managed.postponed_reason,
            late_check=item.managed.late_check,
            consecutive_failures=item.consecutive_failures,
        )
        journal.note_checked([checked], now)
        self.add_line(item.managed, 'wait', item.managed.postponed_reason)

    def _too_long(self, item: Decided, error: Exception, now: datetime) -> Exception:
        """A facility that could not be reached for so long is a matter for a person."""
        since, limit = item.managed.unreachable_since, conf.seconds('OVERDUE_TIME')
        if isinstance(error, Temporary) and since is not None and now >= since + limit:
            return NeedsAttention(f'{error} It has been so since {since:%Y-%m-%d %H:%M} UTC.')
        return error

    def _needs_attention(self, item: Decided, error: Exception, now: datetime) -> None:
        reason = str(error)
        if not isinstance(error, CadenceError):
            logger.exception('A cadence failed', extra={'event': 'cadence_error', 'cadence': item.managed.host_cadence_id})
            reason = f'An error nobody foresaw: {error_text(error)}'
        journal.stop(item.managed, State.ATTENTION, reason, now)
        self.add_line(item.managed, 'error', reason, changed=True, failed=True)

    def pause_for_credentials(self, managed: ManagedCadence, error: Credentials, now: datetime) -> None:
        """All active cadences of this facility and owner wait for a person, with one notice."""
        stopped = journal.pause_for_credentials(managed, str(error), now)
        self.add_line(managed, 'error', str(error), changed=bool(stopped), failed=True)

    def add_line(
        self,
        managed: ManagedCadence,
        decision: str,
        reason: str,
        *,
        ids: Sequence[str] = (),
        changed: bool = False,
        failed: bool = False,
        unasked: bool = False,
    ) -> None:
        """One line of the report."""
        self.report.lines.append(
            Line(
                cadence=managed.host_cadence_id,
                target=managed.target_name,
                strategy=managed.strategy,
                decision=decision,
                reason=reason,
                observation_ids=list(ids),
                changed=changed,
                failed=failed,
                facility=managed.facility,
                unasked=unasked,
            )
        )


@dataclass(eq=False)
class FirstStatus:
    """The question after a new observation's state; its failure is harmless."""

    gateway: Gateway
    records: Sequence[ObservationRecord]


class FirstStatuses:
    """Questions that wait for room among the calls; ``len`` of them."""

    def __init__(self, facilities: Facilities, calls: Calls) -> None:
        """None yet."""
        self._facilities, self._calls = facilities, calls
        self._waiting: deque[FirstStatus] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, sending: Sending, records: Sequence[ObservationRecord]) -> None:
        """Ask for these later."""
        if not records:
            return
        gateway = self._facilities.gateway(sending.submission.facility, sending.decided.managed.owner)
        if gateway.can_poll and not gateway.updates_itself:
            self._waiting.append(FirstStatus(gateway, records))

    def ask(self) -> bool:
        """Ask as many as there is room for now; whether any was asked."""
        left: deque[FirstStatus] = deque()
        asked = False
        while self._waiting:
            each = self._waiting.popleft()
            if self._calls.room(each.gateway.name):
                self._start(each)
                asked = True
            else:
                left.append(each)
        self._waiting = left
        return asked

    def _start(self, each: FirstStatus) -> None:
        def states() -> list[Status]:
            return [each.gateway.first_status(record.observation_id) for record in each.records]

        self._calls.start(each, each.gateway.name, states, conf.get('FACILITY_TIMEOUT'))

    def take(self, asked: FirstStatus, call: Call) -> None:
        """Save what the facility says."""
        if call.error is not None and not isinstance(call.error, Exception):
            raise call.error
        reach(CadencePoint.STATUS_ASKED)
        for record, status in zip(asked.records, call.result or (), strict=False):
            if isinstance(status, Status):
                schedule = (status.scheduled_start, status.scheduled_end) if status.has_schedule else None
                journal.save_status(record, status.state, schedule)
