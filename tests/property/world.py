"""A TOM and an observatory for one example: cadences, nights, people, and what can happen in the middle of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord
from tom_targets.models import Target

from tests.conftest import NIGHT
from tests.property.processes import Process, Time, elsewhere, run
from tests.support.cadences import PLAIN, SIMULATED, make
from tom_cadence import journal
from tom_cadence.engine.report import Report
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import Booking, CadenceRun, FollowedRecord, ManagedCadence, Notice, Submission
from tom_followup.failpoints import CadencePoint

RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'
TERMINAL = ('COMPLETED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'CANCELED', 'NOT_ATTEMPTED')
LONG, SHORT = timedelta(hours=2), timedelta(seconds=20)
SETTLED = timedelta(minutes=11)
THROUGH = ObservationGroup.observation_records.through


@dataclass(eq=False)
class Kept:
    """One cadence, and what the test knows about it. ``cap``: the most bookings it may have while it is switched off."""

    pk: int
    target: str
    strategy: str
    facility: str
    initial: frozenset[int]
    cap: int | None = None
    changed_late: bool = False


@dataclass(eq=False)
class World:
    """Everything of one example."""

    observatory: Any
    owner: Any
    targets: list[Any]
    kept: list[Kept] = field(default_factory=list)
    workers: int = 1
    froze: bool = False
    lied: bool = False
    problems: list[BaseException] = field(default_factory=list)

    def begin(self, seed: int, workers: int) -> None:
        """An empty TOM and an observatory that forgot everything, at NIGHT."""
        for model in (
            Notice,
            CadenceRun,
            Booking,
            FollowedRecord,
            Submission,
            ManagedCadence,
            DynamicCadence,
            THROUGH,
            ObservationGroup,
            ObservationRecord,
        ):
            model._default_manager.all()._raw_delete('default')
        self.observatory.reset()
        self.observatory.weather.seed = seed
        self.kept, self.workers, self.problems = [], workers, []
        self.lied = False
        Time.now, Time.frozen = NIGHT, 0.0
        self.show_clock()

    def show_clock(self) -> None:
        """Let the observatory's clock be the TOM's."""
        self.observatory.set_clock(Time.now, frozen=True)

    def start_cadence(self, strategy: str, facility: str, hours: float, **parameters: Any) -> None:
        """One more cadence, begun by its first observation, as the web form leaves it."""
        target = self.targets[len(self.kept)]
        before = len(self.observatory.log())
        cadence = make(
            self.owner,
            target,
            strategy=strategy,
            facility=facility,
            book=self.observatory,
            hours=hours,
            start=Time.now,
            **parameters,
        )
        initial = frozenset(entry['id'] for entry in self.observatory.log(before))
        self.kept.append(Kept(cadence.pk, target.name, strategy, facility, initial))

    def bookings(self, kept: Kept) -> list[dict[str, Any]]:
        """What the observatory accepted for a cadence."""
        return [entry for entry in self.observatory.log() if entry['target'] == kept.target]

    def bad_reply(self, kind: str, count: int) -> None:
        """Let the observatory answer the next requests badly; 'same-id' is a lie about what it booked."""
        self.lied = self.lied or kind == 'same-id'
        self.observatory.fault('submit', kind, count)

    def pass_time(self, delta: timedelta) -> None:
        """Let time pass for everybody."""
        Time.now += delta
        self.show_clock()

    def run(self, process: Process | None = None) -> Report | None:
        """One run; None where it was killed. Claims of the dead are ended, as their time would."""
        self.froze = False
        report = run(process or Process(), self.workers)
        if report is None:
            journal.expire_claims()
        if self.problems:
            raise self.problems.pop()
        return report

    def dry_run(self) -> Report:
        """One run that only looks."""
        return run_cadences(workers=self.workers, dry_run=True)

    def happening(self, kind: str, kept: Kept, parameters: dict[str, Any]) -> Any:
        """What can happen in the middle of a run, done by somebody else."""

        def happen() -> None:
            try:
                if kind.startswith('frozen'):
                    self.freeze(LONG if kind == 'frozen for long' else SHORT)
                if kind in ('edited', 'paused', 'switched off by a script'):
                    elsewhere(lambda: self.steer(kept, kind, parameters))
                else:
                    elsewhere(lambda: run(Process(), self.workers))
            except BaseException as error:
                self.problems.append(error)  # the engine must not see it

        return happen

    def freeze(self, delta: timedelta) -> None:
        """The process sleeps; its claims end when their time is over."""
        self.froze = True
        Time.freeze(delta.total_seconds())
        self.show_clock()
        if delta is LONG:
            elsewhere(journal.expire_claims)

    def disturbed(self, point: CadencePoint, passes: int, kind: str, kept: Kept, parameters: dict[str, Any]) -> Report | None:
        """A run to which something happens at a point."""
        if kind == 'killed':
            return self.run(Process(point, passes, deadly=True))
        return self.run(Process(point, passes, self.happening(kind, kept, parameters)))

    def steer(self, kept: Kept, kind: str, parameters: dict[str, Any]) -> None:
        """A person's doing. A cadence that is switched off may keep what is on its way, and book nothing after it."""
        cadence = DynamicCadence.objects.get(pk=kept.pk)
        if kind == 'edited':
            cadence.cadence_parameters = {**cadence.cadence_parameters, **parameters}
            cadence.save()
        elif kind == 'switched on':
            kept.cap = None
            cadence.active = True
            cadence.save()
        elif cadence.active:
            if kind == 'paused':
                cadence.active = False
                cadence.save()
            else:
                DynamicCadence.objects.filter(pk=kept.pk).update(active=False)
            on_its_way = Submission.objects.filter(managed__cadence=kept.pk, state=Submission.State.SENDING).count()
            kept.cap = len(self.bookings(kept)) + on_its_way

    def answer(self) -> None:
        """Somebody looks at the observatory what became of the requests that it cannot be asked about, and says so."""
        known = set(ObservationRecord.objects.values_list('observation_id', flat=True))
        for kept in self.kept:
            managed = ManagedCadence.objects.get(host_cadence_id=kept.pk)
            waits = Submission.objects.filter(managed=managed, state=Submission.State.UNCERTAIN).first()
            if waits is None or managed.state != ManagedCadence.State.ATTENTION:
                continue
            ids = [str(entry['id']) for entry in self.bookings(kept) if str(entry['id']) not in known]
            kept.cap = None
            if ids:
                journal.confirm_booked(waits, ids, 'vera', Time.now)
            else:
                journal.confirm_not_booked(waits, 'vera', Time.now)


def people() -> tuple[Any, list[Any]]:
    """The astronomer and a few targets."""
    owner = User.objects.create_user('vera', 'vera@example.org')
    targets = [
        Target.objects.create(name=f'SN {number}', type='SIDEREAL', ra=210.7, dec=54.2, permissions='OPEN') for number in range(3)
    ]
    return owner, targets


__all__ = ['PLAIN', 'RESUME', 'RETRY', 'SETTLED', 'SIMULATED', 'TERMINAL', 'Kept', 'World', 'people']
