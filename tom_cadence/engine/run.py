"""One run: batches of cadences are looked at; what is due is acted on, with many calls on their way at once."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet
from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.core.bounds import error_text
from tom_cadence.core.decisions import Submit
from tom_cadence.engine import late_changes, look, send
from tom_cadence.engine.containment import batch_or_singly, describe_error, is_lost
from tom_cadence.engine.mail import send_mails
from tom_cadence.engine.pipeline import Pipeline
from tom_cadence.engine.report import Report
from tom_cadence.engine.stages import Decided
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Calls, Facilities
from tom_cadence.journal import Checked
from tom_cadence.models import ManagedCadence, Submission

logger = logging.getLogger(__name__)
Progress = Callable[[int], object]


def run_cadences(
    pks: Sequence[int] | None = None,
    facilities: Sequence[str] | None = None,
    now: datetime | None = None,
    workers: int | None = None,
    *,
    dry_run: bool = False,
    validate: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Look at every active cadence (or those of ``pks``, ids of the host's rows, and ``facilities``), and act.

    ``now`` fixes the present; without it the clock is read for every decision. ``dry_run`` asks for states, but writes
    no row and sends nothing; ``validate`` also lets the facilities check what would be sent.
    """
    run = Run(clock=(lambda: now) if now else conf.utc_now, workers=workers, dry_run=dry_run, validate=validate)
    with run.ended_in_words(), collected_rarely():
        run.know_left_alone()
        if not dry_run:
            run.look_after_others()
        for done in run.batches(run.read_batches(_selected(pks, facilities))):
            if progress is not None:
                progress(done)
        if not dry_run:
            run.beside('facilities that want to be left alone were noted', run.keep_left_alone)
            run.beside('mails were sent', send_mails)
    return run.report


def run_one(strategy: Any) -> list[ObservationRecord] | None:
    """Carry out one strategy's decision for its cadence; raises what stopped it."""
    run = Run(clock=conf.utc_now, workers=1)
    journal.adopt_missing(run.clock())
    managed = list(_rows().filter(cadence=strategy.dynamic_cadence.pk))
    if not managed:
        raise CadenceError(f'{strategy.dynamic_cadence} is not active.')
    run.finish(run.begin(managed, strategy))
    if run.pipeline.problems:
        raise run.pipeline.problems[0]
    return run.pipeline.records or None


def count_cadences(pks: Sequence[int] | None, facilities: Sequence[str] | None) -> int:
    """How many cadences a run would look at."""
    return _selected(pks, facilities).count()


def _rows() -> Any:
    """Active cadences; most have the same few owners, each of whom is read once a batch, and hardly any has an open request."""
    opened = Submission.objects.filter(managed=OuterRef('pk'), state__in=Submission.OPEN)
    rows = ManagedCadence.objects.filter(cadence__active=True).annotate(has_open_request=Exists(opened))
    return rows.select_related('cadence').prefetch_related('owner').order_by('pk')


def _selected(pks: Sequence[int] | None, facilities: Sequence[str] | None) -> Any:
    rows = _rows()
    if pks is not None:
        rows = rows.filter(cadence__in=pks)
    return rows.filter(facility__in=facilities) if facilities else rows


def _read_into(batch: list[ManagedCadence], rows: QuerySet[ManagedCadence], pk: int) -> None:
    batch.append(rows.get(pk=pk))


def _complete(managed: Sequence[ManagedCadence], only: Sequence[int] | None) -> None:
    journal.complete(managed if only is None else [row for row in managed if row.pk in only])


def _checked(item: Decided, now: datetime, *, unasked: bool) -> Checked:
    return Checked(
        managed=item.managed,
        reason=item.decision.reason,
        unreachable_since=(item.managed.unreachable_since or now) if unasked else None,
        late_check=item.known.polled.late_check,
        consecutive_failures=item.consecutive_failures,
    )


class Run:
    """One run: its pool of calls, its facilities, and the report that grows with every cadence."""

    def __init__(
        self, clock: Callable[[], datetime], workers: int | None = None, dry_run: bool = False, validate: bool = False
    ) -> None:
        """``workers`` calls at a time go to one facility."""
        self.clock, self.dry_run, self.validate = clock, dry_run, validate
        self.workers = workers or conf.get('FACILITY_CALLS')
        self.facilities = Facilities()
        self.report = Report(dry_run=dry_run)
        self._left_alone: dict[str, float] | None = None
        breaker, pool = self.facilities.breaker, self.facilities.pool
        self.calls = Calls(at_once=4 * self.workers, per_facility=self.workers, breaker=breaker, pool=pool)
        self.pipeline = Pipeline(self.facilities, clock, self.report, self.calls, most=2 * self.workers)

    def look_after_others(self) -> None:
        """Take over the host's new cadences, read what was switched, and look up the open requests that no active cadence has."""
        now = self.clock()
        self.each_beside(lambda only: journal.adopt_missing(now, only), journal.unadopted, 'cadence {} was taken over')
        self.each_beside(lambda only: journal.reconcile(now, only), journal.switched_unseen, 'cadence {} was read as switched')
        self.beside('open requests were looked for', self._look_up_open)
        self.beside('observations of ended cadences were looked at', self.look_at_ended)
        self.beside('owners were told again of what waits', lambda: journal.remind(now))

    def _look_up_open(self) -> None:
        """Those that no active cadence has; most runs find none open at all, and ask nothing else."""
        if Submission.objects.filter(state__in=Submission.OPEN).exists():
            self.beside('requests of ended cadences were looked up', self._settle_orphaned)
            self.beside('requests of no cadence were looked up', lambda: send.settle_without_cadence(self.facilities, self.clock()))

    def _settle_orphaned(self) -> None:
        def settle(managed: ManagedCadence) -> None:
            if send.settle_orphaned(managed, self.facilities, self.clock):
                self.pipeline.add_line(managed, 'note', 'A request whose reply was lost was found and recorded.', changed=True)

        for managed in send.orphaned(self.clock()):
            self.beside(f'the open request of cadence {managed.host_cadence_id} was looked up', partial(settle, managed))

    def read_batches(self, rows: QuerySet[ManagedCadence]) -> Iterator[list[ManagedCadence]]:
        """These cadences, some at a time; one that cannot be read is left out, and the report says so."""
        size, last = conf.get('BATCH_SIZE'), 0
        while True:
            some = rows.filter(pk__gt=last)[:size]
            try:
                batch = list(some)
                last = batch[-1].pk if batch else 0
            except Exception as error:
                if is_lost(error):
                    raise
                pks, batch = list(some.values_list('pk', flat=True)), []
                for pk in pks:
                    self.beside(f'cadence {pk} was read', partial(_read_into, batch, rows, pk))
                last = pks[-1] if pks else 0
            if not last:
                return
            if batch:
                yield batch

    @contextmanager
    def ended_in_words(self) -> Iterator[None]:
        """Where the database is lost inside the block, nothing more can be done in this run, and the report says so."""
        try:
            yield
        except Exception as error:
            if connection.in_atomic_block or not is_lost(error):
                raise
            connection.close()  # whoever asks next gets a new one
            logger.exception('The database was lost', extra={'event': 'database_lost'})
            self.report.problems.append(
                f'The database was lost, so the run ended early: {error_text(error)} What was on its way to a facility is '
                'looked up in a later run.'
            )

    def each_beside(self, do: Callable[[Sequence[int] | None], object], which: Callable[[], Sequence[int]], doing: str) -> None:
        """The same for many cadences: all together, or, where that raises, each of ``which`` alone."""
        try:
            do(None)
            return
        except Exception as error:
            if is_lost(error):
                raise
            logger.warning('One after the other: %s', error_text(error), extra={'event': 'one_by_one'})
        for pk in which():
            self.beside(doing.format(pk), partial(do, [pk]))

    def look_at_ended(self) -> None:
        """Ask for observations of cadences that send nothing any more, which may have changed all the same."""
        late_changes.look(self.facilities, self.calls, self.clock(), self.pipeline.take)

    def know_left_alone(self) -> None:
        """Ask nothing of facilities that asked an earlier run to be left alone."""

        def read() -> None:
            self._left_alone = journal.paused_facilities(self.clock())
            self.facilities.breaker.leave_alone(self._left_alone)

        if self._left_alone is None:
            self._left_alone = {}
            self.beside('facilities that want to be left alone were looked for', read)

    def keep_left_alone(self) -> None:
        """Keep for the next runs which facilities asked this one to be left alone, and for how long."""
        before = self._left_alone or {}
        found = self.facilities.breaker.left_alone()
        news = {facility: wait for facility, wait in found.items() if wait > before.get(facility, 0) + 1}
        if news:
            journal.pause_facilities(news, self.clock())

    def beside(self, doing: str, do: Callable[[], object]) -> None:
        """Do something that belongs to no cadence of a batch; where it fails, the report says so, and all of them are served."""
        try:
            do()
        except Exception as error:
            if is_lost(error):
                raise
            logger.exception('While %s', doing, extra={'event': 'run_error'})
            self.report.problems.append(describe_error(error, doing))

    def batches(self, batches: Iterable[Sequence[ManagedCadence]]) -> Iterator[int]:
        """Go through these batches; how many cadences each had, when it is done.

        While one is acted on, the states that the next one depends on are asked for.
        """
        ahead: look.BatchBegun | None = None
        for batch in batches:
            begun = self.begin(batch)
            if ahead is not None:
                yield self.finish(ahead)
            ahead = begun
        if ahead is not None:
            yield self.finish(ahead)

    def begin(self, managed: Sequence[ManagedCadence], strategy: Any = None) -> look.BatchBegun:
        """Read these cadences and ask for states."""
        self.know_left_alone()
        if not self.dry_run:
            self.each_beside(
                partial(_complete, managed), lambda: [row.pk for row in managed], 'the owner of cadence {} was looked for'
            )
        now, may_write = self.clock(), not self.dry_run
        return look.begin(managed, self.facilities, self.calls, now, may_write=may_write, strategy=strategy)

    def finish(self, begun: look.BatchBegun) -> int:
        """Note those that wait, act on the others; how many there were."""
        for items in look.finish(begun, self.facilities, self.clock, self.pipeline.take, may_write=not self.dry_run):
            if self.dry_run:
                self._say(items)
            else:
                self._act(items, self.clock())
        return len(begun.known)

    def _act(self, items: Sequence[Decided], now: datetime) -> None:
        locked_out = self._pause_for_credentials(items, now)
        remaining = [item for item in items if item.managed.pk not in locked_out]
        idle = {item.managed.pk: item for item in remaining if look.is_idle(item)}
        self._note(list(idle.values()), now)
        self.pipeline.run([item for item in remaining if item.managed.pk not in idle])

    def _note(self, idle: Sequence[Decided], now: datetime) -> None:
        unasked = {item.managed.pk for item in idle if item.unreachable}

        def note(some: Sequence[Decided]) -> None:
            journal.note_checked([_checked(item, now, unasked=item.managed.pk in unasked) for item in some], now)

        _, troubles = batch_or_singly(idle, note, 'its wait was noted')
        for item in idle:
            if item.managed.pk in troubles:
                self.pipeline.give_up(item.managed, troubles[item.managed.pk])
            else:
                silent = item.managed.pk in unasked
                self.pipeline.add_line(item.managed, 'wait', item.decision.reason, failed=silent, unasked=silent)

    def _pause_for_credentials(self, items: Sequence[Decided], now: datetime) -> set[int]:
        """Cadences whose facility refused their owner; all of that facility and owner are paused together."""
        locked_out: set[int] = set()
        for item in items:
            problem = item.credentials_problem
            if problem is not None:
                locked_out.add(item.managed.pk)
                self.pipeline.contain(item.managed, partial(self.pipeline.pause_for_credentials, item.managed, problem, now))
        return locked_out

    def _say(self, items: Iterable[Decided]) -> None:
        """What a dry run says."""
        for item in items:
            problem: object = item.credentials_problem or item.unreachable
            decision, reason = look.in_words(item)
            if self.validate and decision == 'submit' and isinstance(item.decision, Submit):
                refusal = look.validate(item, item.decision, self.facilities)
                problem, reason = problem or refusal, f'{reason} {refusal or "The facility would accept it."}'
            self.pipeline.add_line(item.managed, decision, str(reason), failed=bool(problem) or item.needs_attention)


RARELY = (50_000, 20, 100)


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Look for garbage more rarely inside the block: it was a fifteenth of the time of a cadence that is due (2026-11-21).

    Only in the main thread, where cron's command runs: the threads of a worker would undo each other's settings.
    """
    before = gc.get_threshold()
    if threading.current_thread() is not threading.main_thread() or not 0 < before[0] < RARELY[0]:
        yield
        return
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
