"""What must hold in every world: bookings equal causes, nothing is silent, everybody is served.

Bookings are counted in the observatory's own book, and held against the rows of the TOM.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Q
from tom_observations.models import DynamicCadence, ObservationRecord

from simulators.bookings import TERMINAL, Booking
from tests.support.cadences import PLAIN
from tom_cadence.engine.report import Report
from tom_cadence.journal.claims import claim_time
from tom_cadence.models import FollowedRecord, ManagedCadence, Notice, OutgoingMail, Submission
from tom_cadence.permissions import without_names

if TYPE_CHECKING:
    from tests.world.month import Month

State = ManagedCadence.State
OUR_FAULT = ('An error nobody foresaw', 'Another request already follows')
SITES_FAULT = 'a mistake of the site'
A_MOMENT = timedelta(milliseconds=1)
"""What SQLite's days of 64 bits leave of an instant."""


class Broken(AssertionError):
    """An invariant does not hold."""


class Ledger:
    """What was seen so far. ``excused``: targets of which a person let another one be booked beside the first."""

    def __init__(self, month: Month) -> None:
        """Nothing yet."""
        self.month = month
        self.excused: set[str] = set()
        self.deleted: set[str] = set()
        self.caps: dict[Any, int] = {}
        self.claims: dict[str, float] = {}
        self.seen = ''

    def forget(self, since: datetime) -> None:
        """Yesterday's database is brought back: it knows nothing of what was booked since; some facilities cannot be asked."""
        asked = set(
            ManagedCadence.objects.exclude(facility=PLAIN).exclude(strategy='Tutorial').values_list('target_name', flat=True)
        )
        for entry in self.month.observatory.book.everything():
            if entry.timestamp >= since.timestamp():
                self.deleted.add(str(entry.id))
                if entry.target not in asked:
                    self.excused.add(entry.target)
        self.caps.clear()

    def demand(self, holds: object, complaint: str) -> None:
        """Complain where it does not."""
        if not holds:
            self.month.say('ledger', complaint)
            raise Broken(complaint)

    def taken(self, take: Callable[[], Any]) -> Any:
        """A statement that claims cadences: nobody takes what another one holds, whatever the clock of a host says.

        What it finds is ``seen``: raised here, the product would contain it.
        """
        before, found = _holders(), take()
        for pk, holder in _holders().items():
            now = self.claims.setdefault(holder, self.month.clock.seconds)
            other = before.get(pk, holder)
            if other != holder and now - self.claims[other] < claim_time().total_seconds():
                self.seen = f'cadence {pk}: claimed while another process held it'
        return found

    def check(self) -> None:
        """Bookings equal causes, whatever is on its way."""
        book = self.month.observatory.book.everything()
        requests = list(Submission.objects.select_related('managed', 'target').order_by('pk'))
        recorded = Counter(ObservationRecord.objects.values_list('observation_id', flat=True))
        self.demand(max(recorded.values(), default=1) == 1, f'recorded twice: {recorded.most_common(1)}')
        numbers = {str(entry.id) for entry in book}
        self.demand(set(recorded) <= numbers, f'recorded without a booking: {sorted(set(recorded) - numbers)}')
        accepted = {str(key) for request in requests for key in request.observation_ids}
        self.demand(accepted <= numbers, f'accepted without a booking: {sorted(accepted - numbers)}')
        self._answered_once(requests)
        doubts = Counter(_target_of(request) for request in requests if request.state in Submission.OPEN)
        unknown = Counter(
            entry.target for entry in book if str(entry.id) not in recorded and str(entry.id) not in accepted | self.deleted
        )
        for target, number in sorted(unknown.items()):
            self.demand(number <= doubts[target], f'{target}: {number} booked without a record, {doubts[target]} requests open')
        for entry in book:
            beside = entry.beside and entry.target not in self.excused
            self.demand(not beside, f'{entry.target}: {entry.id} is booked beside {entry.beside}')
        self._switched_off(book)

    def _answered_once(self, requests: list[Submission]) -> None:
        answers: Counter[int] = Counter()
        for request in requests:
            if request.state == Submission.State.ACCEPTED:
                answers.update({pk: len(request.observation_ids) for pk in request.follows})
        twice = sorted(pk for pk, number in answers.items() if number > 1)
        self.demand(not twice, f'answered by two bookings: record {twice}')

    def _switched_off(self, book: list[Booking]) -> None:
        """What is switched off books nothing more, but for what is on its way."""
        booked = Counter(entry.target for entry in book)
        off = ManagedCadence.objects.filter(Q(cadence=None) | Q(cadence__active=False)).order_by('pk')
        caps = {}
        for pk, target, resumed in off.values_list('pk', 'target_name', 'resumed'):
            doubts = Submission.objects.filter(managed=pk, state__in=Submission.OPEN).count()
            now = booked[target] + doubts
            caps[pk, resumed] = min(self.caps.get((pk, resumed), now), now)
            self.demand(booked[target] <= caps[pk, resumed], f'{target}: booked while it was switched off')
        self.caps = caps

    def check_run(self, begun: datetime, report: Report) -> None:
        """After a run to which nothing happened, while nobody else was there: everybody was served, and nobody is silent."""
        lines = {line.cadence: line for line in report.lines}
        self.demand(not report.problems, f'beside the cadences: {report.problems}')
        for managed in ManagedCadence.objects.select_related('cadence', 'owner').exclude(cadence=None).order_by('pk'):
            if managed.cadence is not None and managed.cadence.active:
                self._served(managed, begun, lines)
            else:
                self._said_why(managed)
        for line in report.lines:
            foreseen = SITES_FAULT in line.reason or not line.reason.startswith(OUR_FAULT)
            self.demand(foreseen, f'cadence {line.cadence}: {line.reason}')

    def check_report(self, report: Report, faults: int) -> None:
        """Of any run that ended: an error of one is one's alone, and what a reason says of an observation is so."""
        unforeseen = [line for line in report.lines if line.reason.startswith(OUR_FAULT[0]) and SITES_FAULT not in line.reason]
        self.demand(len(unforeseen) <= faults, f'{faults} statements failed, and {[line.text for line in unforeseen]}')
        self.demand(report.failed or not any(line.decision == 'error' for line in report.lines), 'errors, and exit status 0')
        states = {str(entry.id): entry.state for entry in self.month.observatory.book.everything()}
        for line in report.lines:
            said = re.match(r'Observation (\d+) is still (\w+) 24 h after', line.reason)
            if said is not None and line.decision == 'stop':
                true = states.get(said[1]) not in TERMINAL
                self.demand(true, f'{line.text} It is {states.get(said[1])}.')

    def _served(self, managed: ManagedCadence, begun: datetime, lines: dict[int, Any]) -> None:
        name = f'cadence {managed.host_cadence_id}'
        self.demand(managed.state == State.ACTIVE, f'{name}: active, and yet {managed.state}')
        self.demand(managed.host_cadence_id in lines, f'{name}: nothing is said of it')
        claimed = managed.claim_holder and managed.claim_expires is not None and managed.claim_expires > self.month.clock.now
        self.demand(not claimed, f'{name}: still claimed after the run')
        checked = managed.last_check is not None and managed.last_check >= begun - A_MOMENT
        self.demand(checked, f'{name}: not looked at since {managed.last_check}')
        line = lines[managed.host_cadence_id]
        if managed.strategy != 'Tutorial' and not line.changed and not line.failed:
            self.demand(self._waits(managed), f'{name}: waits for nothing: {line.reason}')

    def _waits(self, managed: ManagedCadence) -> bool:
        requests = list(Submission.objects.filter(managed=managed).order_by('pk'))
        mine = [entry for entry in self.month.observatory.book.everything() if entry.target == managed.target_name]
        unfinished = any(entry.state not in TERMINAL for entry in mine)
        return (
            unfinished
            or any(each.state in Submission.OPEN for each in requests)
            or bool(requests and requests[-1].counts_as_failure)
        )

    def _said_why(self, managed: ManagedCadence) -> None:
        name = f'cadence {managed.host_cadence_id}'
        self.demand(managed.state != State.ACTIVE, f'{name}: off without a state')
        self.demand(managed.reason.strip(), f'{name}: {managed.state} without a reason')
        told = managed.reason_class or managed.owner is None or managed.state == State.PAUSED
        if not told:
            unnamed = without_names([managed.target_name], managed.reason)  # what is told to who may not see the target
            words = Q(text__contains=managed.reason[:50]) | Q(text__contains=unnamed[:50])
            notices = Notice.objects.filter(words, user=managed.owner)
            self.demand(notices.exists(), f'{name}: its owner was not told that it {managed.state}: {managed.reason}')

    def check_end(self) -> None:
        """When people have said what they know: every booking has its record, nothing is open, every mail was sent once."""
        self.check()
        open_ones = Submission.objects.filter(state__in=Submission.OPEN).order_by('pk')
        self.demand(not open_ones, f'still open: {[(_target_of(each), each.state, each.message) for each in open_ones]}')
        recorded = set(ObservationRecord.objects.values_list('observation_id', flat=True))
        orphans = [entry.id for entry in self.month.observatory.book.everything() if str(entry.id) not in recorded | self.deleted]
        self.demand(not orphans, f'booked without a record: {orphans}')
        unsent = OutgoingMail.objects.filter(sent=None, user__is_active=True).exclude(user__email='').order_by('pk')
        self.demand(not unsent, f'never mailed: {[mail.subject for mail in unsent]}')
        sent = set(OutgoingMail.objects.exclude(sent=None).values_list('message_id', flat=True))
        self.demand(sent <= self.month.mailed, 'a mail is called sent that no server has')
        off = DynamicCadence.objects.filter(active=True).exclude(managed__state=State.ACTIVE).order_by('pk')
        self.demand(not off, f'active, and not: {[cadence.pk for cadence in off]}')
        followed = FollowedRecord.objects.filter(submission__state=Submission.State.REFUSED)
        self.demand(not followed.exists(), 'a refused request keeps others from asking')


def _holders() -> dict[int, str]:
    """Who holds which cadence, read past everything that may happen to a statement."""
    return dict(connection.connection.execute("SELECT id, claim_holder FROM tom_cadence_managedcadence WHERE claim_holder <> ''"))


def _target_of(request: Submission) -> str:
    if request.target is not None:
        return str(request.target.name)
    return request.managed.target_name if request.managed else ''
