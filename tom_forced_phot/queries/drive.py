"""Driving queries: what is due now, in a fair order, as the command and the workers do it; and one query for a bounded time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import Case, Max, Q, QuerySet, When

from tom_forced_phot import conf, http
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryQuery, WorkerSign
from tom_forced_phot.queries.advance import Next, advance
from tom_forced_phot.queries.notices import announce

logger = logging.getLogger(__name__)
ROUNDS, AT_ONCE, MOST_IDLE = 2000, 100, 900
#: What an error of ours kept from its step is looked at again after so long.
TROUBLED = timedelta(minutes=15)
#: So long after its time, a message will not come any more.
OVERDUE = timedelta(seconds=60)
#: A message that comes so much before its time counts as in time.
EARLY = timedelta(seconds=2)


@dataclass
class Report:
    """What a run did."""

    steps: int = 0
    ended: list[PhotometryQuery] = field(default_factory=list)
    waiting: int = 0
    #: What went wrong with the TOM itself: the query, and the class of the error.
    troubled: list[tuple[int, str]] = field(default_factory=list)

    @property
    def failed(self) -> list[PhotometryQuery]:
        """Queries that newly failed."""
        return [query for query in self.ended if query.state in (QueryState.FAILED, QueryState.EXPIRED)]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            'steps': self.steps,
            'waiting': self.waiting,
            'troubled': [{'query': pk, 'error': error} for pk, error in self.troubled],
            'ended': [
                {
                    'query': query.pk,
                    'service': query.service,
                    'target': query.target.name,
                    'state': query.state,
                    'message': query.message,
                    **query.counts,
                }
                for query in self.ended
            ],
        }


def due(now: datetime, service: str | None = None, pks: Iterable[int] | None = None) -> QuerySet[PhotometryQuery]:
    """Queries that want a step now: what a person waits for and what is to be stopped, then the others, then tidying up.

    Of each kind those that wait longest come first.
    """
    wanted = Q(state__in=QueryState.open_values()) | Q(to_clean=True)
    free = Q(claim_until=None) | Q(claim_until__lte=now)
    rows = PhotometryQuery.objects.filter(wanted, free, next_step__lte=now)
    if service:
        rows = rows.filter(service=service)
    if pks is not None:
        rows = rows.filter(pk__in=list(pks))
    # its turn is over when somebody else has taken the job
    busy = Q(job__claim_until__gt=now) & ~Q(state=QueryState.RESULT)
    finished = Q(state__in=[QueryState.DONE, QueryState.NO_DATA])
    turn = Case(When(finished, then=2), When(Q(urgent=True) | Q(state=QueryState.CANCELLED), then=0), default=1)
    return rows.exclude(busy).annotate(turn=turn).order_by('turn', 'next_step', 'pk')


def run(
    clock: Callable[[], datetime] = conf.utc_now,
    service: str | None = None,
    pks: Iterable[int] | None = None,
    progress: Callable[[int], Any] = lambda done: None,
) -> Report:
    """Do every step that is due, until none is."""
    report, wanted = Report(), None if pks is None else list(pks)
    sign('command', clock())
    idle: list[int] = []  # somebody else has them
    for _ in range(ROUNDS):
        # few at a time: what a person asks meanwhile is not to wait for the end of a long list
        found = list(due(clock(), service, wanted).exclude(pk__in=idle).values_list('pk', flat=True)[:AT_ONCE])
        for pk in found:
            if not _one(pk, clock, report):
                idle.append(pk)
            progress(1)
        if not found or len(idle) > MOST_IDLE:
            break
    announce(clock())
    rows = PhotometryQuery.objects.filter(state__in=QueryState.open_values())
    report.waiting = (rows.filter(service=service) if service else rows).count()
    return report


def _one(pk: int, clock: Callable[[], datetime], report: Report) -> int:
    before = PhotometryQuery.objects.filter(pk=pk).values_list('state', flat=True).first()
    if before is None:
        return 0
    try:
        done = advance(pk, clock=clock)
    except PhotometryQuery.DoesNotExist:  # deleted with its target, in the middle of it
        return 0
    except (OperationalError, InterfaceError):
        raise  # the database is away: for everybody
    except Exception as error:
        logger.exception('A query could not be driven', extra={'event': 'query_not_driven', 'query': pk})
        report.troubled.append((pk, type(error).__name__))
        PhotometryQuery.objects.filter(pk=pk).update(next_step=clock() + TROUBLED)
        return 0
    if not done.worked:
        return 0
    report.steps += 1
    if QueryState(before).is_open and not done.state.is_open:
        report.ended += PhotometryQuery.objects.select_related('target').filter(pk=pk)
    return 1


def drive(
    pk: int,
    seconds: float,
    clock: Callable[[], datetime] = conf.utc_now,
    wait: Callable[[float], Any] = lambda seconds: threading.Event().wait(seconds),
) -> Next:
    """Drive one query until it has ended, or for so long at the most: for a web request where there is no worker."""
    end = clock() + timedelta(seconds=seconds)
    left = seconds  # counted as well: a rehearsal's clock may stand still
    with http.time_limit(seconds) as time_left:
        while True:
            try:
                done = advance(pk, clock=clock)
            except PhotometryQuery.DoesNotExist:
                return Next(QueryState.CANCELLED, None)
            now = clock()
            if done.again is None or not done.state.is_open or now >= end or done.again > end:
                return done
            pause = max(0.05, (done.again - now).total_seconds())
            if pause > min(left, time_left()):
                return done
            wait(pause)
            left -= pause


def overdue(now: datetime, most: int) -> list[int]:
    """Queries that are due and for which no message comes soon, each given to one caller only, by a conditional UPDATE."""
    found: list[int] = []
    # a message that was sent away for long, before another's look brought the answer, is as good as none
    forgotten = Q(wake=None) | Q(wake__lte=now - OVERDUE) | Q(wake__gt=now + OVERDUE)
    for pk, before in due(now).filter(forgotten).values_list('pk', 'wake')[: 2 * most]:
        if len(found) < most and expect(pk, before, now):
            found.append(pk)
    return found


def is_expected(pk: int, now: datetime) -> bool:
    """Whether another message for this query comes later, and nothing is due now: the message at hand is one too many."""
    early = now + EARLY
    return PhotometryQuery.objects.filter(pk=pk, wake__gt=early).exclude(next_step__lte=early).exists()


def expect(pk: int, before: datetime | None, wake: datetime) -> bool:
    """Note for when the next message is on its way; of two that come at once, only one may send it."""
    return bool(PhotometryQuery.objects.filter(pk=pk, wake=before).update(wake=wake))


def sign(kind: str, now: datetime) -> None:
    """Note that somebody is at work; at most once a minute."""
    rows = WorkerSign.objects.filter(kind=kind)
    if rows.filter(seen__gt=now - timedelta(minutes=1), seen__lte=now).exists():
        return
    if not rows.update(seen=now):
        WorkerSign.objects.get_or_create(kind=kind, defaults={'seen': now})


def silence(now: datetime) -> str:
    """A sentence where queries are overdue and nothing was at work for three expected intervals; empty where all is well."""
    patience = timedelta(seconds=3 * conf.get('EXPECTED_INTERVAL'))
    rows = PhotometryQuery.objects.filter(state__in=QueryState.open_values(), next_step__lt=now - patience)
    number = rows.count()
    seen = WorkerSign.objects.aggregate(last=Max('seen'))['last']
    if not number or (seen is not None and now - seen < patience):
        return ''
    what = f'{number} open queries are overdue' if number > 1 else 'One open query is overdue'
    when = 'nothing was ever at work' if seen is None else f'nothing has been at work since {seen:%Y-%m-%d %H:%M} UTC'
    return f'{what}: {when}.'
