"""The invariants, counted from the observatory's own log and held against the TOM's rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tom_observations.models import DynamicCadence, ObservationRecord

from simulators.service import read_instant
from tests.property.processes import Time
from tests.property.world import RESUME, TERMINAL, Kept, World
from tom_cadence.engine.report import Report
from tom_cadence.models import ManagedCadence, Submission

State = ManagedCadence.State
OUR_FAULT = ('An error nobody foresaw', 'Another request already follows')


@dataclass(eq=False)
class Ledger:
    """What was seen so far."""

    world: World
    seen: int = 0
    requests: dict[int, list[Submission]] = field(default_factory=dict)

    def check(self, begun: datetime) -> None:
        """What holds after every step; ``begun`` is when the step began."""
        log = self.world.observatory.log()
        self.requests = {}
        for request in Submission.objects.select_related('managed').order_by('pk'):
            self.requests.setdefault(request.managed.host_cadence_id, []).append(request)
        self._windows(log, begun)
        self._records(log)
        self._causes()
        for kept in self.world.kept:
            mine = [entry for entry in log if entry['target'] == kept.target]
            self._bookings(kept, {entry['id'] for entry in mine})
            if kept.strategy == RESUME and not kept.changed_late:
                assert not [entry['id'] for entry in mine if entry['beside']], f'{kept.target}: booked beside an unfinished one'
            assert kept.cap is None or len(mine) <= kept.cap, f'{kept.target}: booked while it was switched off'
        self.seen = len(log)

    def _windows(self, log: list[dict[str, Any]], begun: datetime) -> None:
        """No window was in the past when it was booked; of a process that was frozen, when it decided."""
        by_form = {number for kept in self.world.kept for number in kept.initial}
        for entry in log[self.seen :]:
            if entry['id'] in by_form:
                continue
            start, end, created = (read_instant(entry[name]) for name in ('start', 'end', 'created'))
            assert end > created, f'{entry["target"]}: booked after its window had ended'
            assert start >= (begun if self.world.froze else created), f'{entry["target"]}: a window that began in the past'

    def _records(self, log: list[dict[str, Any]]) -> None:
        """Each observation is recorded once at most, and none that the observatory does not have."""
        recorded = Counter(ObservationRecord.objects.values_list('facility', 'observation_id'))
        twice = [pair for pair, count in recorded.items() if count > 1]
        assert not twice, f'recorded twice: {twice}'
        unknown = {number for _, number in recorded} - {str(entry['id']) for entry in log}
        assert not unknown, f'recorded without a booking: {unknown}'

    def _causes(self) -> None:
        """Each record is answered by one booking at most."""
        answers: Counter[int] = Counter()
        for requests in self.requests.values():
            for request in requests:
                if request.state == Submission.State.ACCEPTED:
                    answers.update({pk: len(request.observation_ids) for pk in request.follows})
        twice = [pk for pk, count in answers.items() if count > 1]
        assert not twice, f'answered by two bookings: record {twice}'

    def _bookings(self, kept: Kept, booked: set[int]) -> None:
        """Every booking is an accepted request's, or one request that is still open accounts for it."""
        requests = self.requests.get(kept.pk, [])
        accepted = {
            int(number) for request in requests if request.state == Submission.State.ACCEPTED for number in request.observation_ids
        }
        assert self.world.lied or accepted <= booked, (
            f'{kept.target}: accepted {accepted - booked}, which the observatory does not have'
        )
        unexplained = booked - kept.initial - accepted
        doubtful = sum(request.state in Submission.OPEN for request in requests)
        assert len(unexplained) <= doubtful, f'{kept.target}: {unexplained} booked, {doubtful} requests open'

    def check_run(self, begun: datetime, faultless: bool, report: Report) -> None:
        """What holds after a run to which nothing happened: no cadence is silent, and none waits for nothing."""
        moved = {line.cadence for line in report.lines if line.changed}
        active = dict(DynamicCadence.objects.values_list('pk', 'active'))
        for managed in ManagedCadence.objects.all():
            kept = next(each for each in self.world.kept if each.pk == managed.host_cadence_id)
            if active[kept.pk]:
                assert managed.state == State.ACTIVE, f'{kept.target}: active, and yet {managed.state}'
                assert managed.last_check is not None, f'{kept.target}: never checked'
                assert begun <= managed.last_check <= Time.now, f'{kept.target}: not checked since {managed.last_check}'
                assert not managed.claim_holder, f'{kept.target}: still claimed after the run'
                waits = not faultless or kept.pk in moved or self._waits_for_something(kept)
                assert waits, f'{kept.target}: waits for nothing: {managed.last_reason}'
            else:
                assert managed.state != State.ACTIVE, f'{kept.target}: off without a state'
                assert managed.reason.strip(), f'{kept.target}: {managed.state} without a reason'
                self.note_off(kept)
            assert not managed.reason.startswith(OUR_FAULT), f'{kept.target}: {managed.reason}'

    def note_off(self, kept: Kept) -> None:
        """A cadence that is off books nothing from now on."""
        now = len(self.world.bookings(kept))
        kept.cap = now if kept.cap is None else min(kept.cap, now)

    def _waits_for_something(self, kept: Kept) -> bool:
        managed = ManagedCadence.objects.get(host_cadence_id=kept.pk)
        if managed.postponed_until is not None and managed.postponed_until > Time.now and managed.postponed_reason:
            return True  # for the sky, as the observatory's refusal says
        requests = list(Submission.objects.filter(managed__host_cadence_id=kept.pk).order_by('pk'))
        # where the observatory lies about a number, the other facility's observation of that number is what is waited for
        told = {number for request in requests for number in request.observation_ids} if self.world.lied else set()
        log = self.world.observatory.log()
        mine = [entry for entry in log if entry['target'] == kept.target or str(entry['id']) in told]
        if any(entry['state'] not in TERMINAL for entry in mine):
            return True
        return any(request.state in Submission.OPEN for request in requests) or bool(requests and requests[-1].counts_as_failure)

    def check_quiet(self) -> None:
        """When everything is settled, every booking has its record, and each cadence as many as were accepted."""
        recorded = set(ObservationRecord.objects.values_list('observation_id', flat=True))
        orphans = [entry['id'] for entry in self.world.observatory.log() if str(entry['id']) not in recorded]
        assert not orphans, f'booked without a record: {orphans}'
        still = Submission.objects.filter(state__in=Submission.OPEN).values_list('managed__target_name', 'state')
        assert not still, f'still open: {list(still)}'
