"""What waits for somebody else is told again after some weeks, to whoever can do something about it, in one notice for all of it.

A cadence that needs attention, one that waits for the same thing all the time (a semester, hours of a proposal, an observation
without a readable window, measurements that nobody makes), and a request whose fate is not known are told once when it begins.
People forget, and leave; without this such a wait would go on for ever, and nobody would be told of it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery

from tom_cadence import conf
from tom_cadence.core.bounds import bounded_text
from tom_cadence.journal import notices
from tom_cadence.journal.waits import FORGOTTEN
from tom_cadence.models import CadenceRun, ManagedCadence, Submission

State = ManagedCadence.State
MOST = 200
"""How many are told again at once; the others in the next run."""
MOST_WORDS = 300


def remind(now: datetime) -> int:
    """Tell again what has waited for longer than REMIND_AFTER, and was not told for as long; of how many it was told."""
    after = timedelta(days=conf.get('REMIND_AFTER'))
    if not after:
        return 0
    found: list[tuple[ManagedCadence | Submission, str]] = [*islice(_cadences(now - after, now), MOST), *_requests(now - after)]
    supervisors = list(get_user_model()._default_manager.filter(is_superuser=True, is_active=True)) if found else []
    waiting: dict[Any, list[tuple[Any, str]]] = defaultdict(list)
    for row, line in found:
        for user in [row.owner] if row.owner is not None and row.owner.is_active else supervisors:
            waiting[user].append((row, line))
    told: set[tuple[type, int]] = set()
    for user, lines in waiting.items():
        told |= _tell(user, lines, told, now)
    return len(told)


def waits_since(managed: ManagedCadence) -> datetime | None:
    """Since when a cadence waits for the same thing, where nothing of its own ends that wait."""
    if managed.state == State.ATTENTION:
        return managed.last_check
    return managed.postponed_since if managed.state == State.ACTIVE else None


def _cadences(since: datetime, now: datetime) -> Iterator[tuple[ManagedCadence, str]]:
    same_since = CadenceRun.objects.filter(pk=OuterRef('last_run')).values('first')[:1]
    waits = Q(postponed_since__lte=since, postponed_until__gt=now - FORGOTTEN) | Q(same_since__lte=since)
    needing = Q(state=State.ATTENTION, last_check__lte=since) | (Q(state=State.ACTIVE, cadence__active=True) & waits)
    rows = ManagedCadence.objects.annotate(same_since=Subquery(same_since)).filter(needing, cadence__isnull=False)
    for managed in _not_told(rows, since).select_related('cadence', 'owner').iterator():
        begun = waits_since(managed) or managed.same_since
        if managed.state == State.ACTIVE and not managed.postponed_until and _is_its_own_interval(managed, now - begun):
            continue
        word = 'needs attention' if managed.state == State.ATTENTION else 'waits'
        reason = bounded_text(managed.reason or managed.postponed_reason or managed.last_reason, MOST_WORDS)
        yield managed, f'{managed} {word} since {begun:%Y-%m-%d}: {reason}'


def _is_its_own_interval(managed: ManagedCadence, waited: timedelta) -> bool:
    """Whether it is meant to wait for so long between two observations."""
    parameters = managed.host.cadence_parameters
    hours = parameters.get('cadence_frequency') if isinstance(parameters, dict) else None
    return isinstance(hours, (int, float)) and hours * 3600 * 2 > waited.total_seconds()


def _requests(since: datetime) -> Iterator[tuple[Submission, str]]:
    """Those that no cadence waits for: of none, or of one that is paused, ended or deleted."""
    rows = Submission.objects.filter(state__in=Submission.OPEN, created__lte=since)
    rows = rows.exclude(managed__state__in=(State.ACTIVE, State.ATTENTION), managed__cadence__isnull=False)
    for request in _not_told(rows, since).select_related('owner', 'managed')[:MOST]:
        whose = f' of {request.managed}' if request.managed is not None else ', see "Requests without a reply"'
        sent = f'{request.created:%Y-%m-%d %H:%M} UTC'
        yield request, f'It is still not known whether {request.facility} has the request of {sent}{whose}.'


def _not_told(rows: QuerySet[Any], since: datetime) -> QuerySet[Any]:
    return rows.filter(Q(reminded=None) | Q(reminded__lte=since)).order_by('pk')


def _tell(user: Any, lines: Iterable[tuple[Any, str]], told: set[tuple[type, int]], now: datetime) -> set[tuple[type, int]]:
    """One notice for one user; of two runs at once one takes each line, but what several users are told is told to all of them."""
    mine: dict[tuple[type, int], tuple[Any, str]] = {}
    with transaction.atomic():
        for row, line in lines:
            key = (type(row), row.pk)
            taken = type(row).objects.filter(pk=row.pk, reminded=row.reminded).update(reminded=now)
            if taken or key in told:
                mine[key] = (row, line)
        if mine:
            notices.tell_again(user, [row for row, _ in mine.values()], [line for _, line in mine.values()])
    return set(mine)
