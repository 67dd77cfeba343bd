"""Every write to queries and jobs: conditional UPDATEs along the allowed moves, by who holds the claim."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Concat

from tom_forced_phot import conf
from tom_forced_phot.core import redaction
from tom_forced_phot.core.states import ENDS, OPEN, QUERY_MOVES, JobState, QueryState, check_job
from tom_forced_phot.exceptions import LostClaim
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.services.protocol import Answer, Progress

logger = logging.getLogger(__name__)
LONGEST_PROBLEM = 100
#: A step in which so many processes ended is not begun again.
DEATHS = 2
DEADLY = 'Each process that was {} ended in the middle of it, twice: it is not tried again. Tell whoever runs this TOM.'
#: After a deadline, a result that is there is fetched for so long, and a job that could not be looked at is given up.
LAST_TRIES = timedelta(days=1)


@dataclass(frozen=True)
class Claim:
    """Who works on a row: the number it was raised to, and how often before us somebody began and never ended."""

    pk: int
    number: int
    interrupted: int = 0


def only(query: PhotometryQuery) -> QuerySet[PhotometryQuery]:
    """Its row, to be written."""
    return PhotometryQuery.objects.filter(pk=query.pk)


def claim_query(query: PhotometryQuery, now: datetime) -> Claim | None:
    """Take a query, unless somebody else has it."""
    return _claim(PhotometryQuery.objects.filter(pk=query.pk, claim=query.claim, state=query.state), query, now)


def claim_job(job: RemoteJob, now: datetime) -> Claim | None:
    """Take a job, unless somebody else has it."""
    return _claim(RemoteJob.objects.filter(pk=job.pk, claim=job.claim, state=job.state), job, now)


def _claim(rows: QuerySet[Any], row: PhotometryQuery | RemoteJob, now: datetime) -> Claim | None:
    free = rows.filter(Q(claim_until=None) | Q(claim_until__lte=now))
    # who had it let go of it, or died: the try is counted before what may kill this process, too
    interrupted = row.interrupted + (row.claim_until is not None)
    fields = {'claim_until': now + conf.seconds('CLAIM_TIME'), 'interrupted': interrupted}
    return Claim(row.pk, row.claim + 1, interrupted) if free.update(claim=F('claim') + 1, **fields) else None


def release_query(claim: Claim) -> None:
    """Let it go, if it is still ours."""
    PhotometryQuery.objects.filter(pk=claim.pk, claim=claim.number).update(claim_until=None, interrupted=0)


def renew_query(claim: Claim, now: datetime) -> None:
    """Hold it for longer; LostClaim where we were taken for dead, or it was cancelled meanwhile."""
    mine = PhotometryQuery.objects.filter(pk=claim.pk, claim=claim.number, state__in=list(OPEN))
    if not mine.update(claim_until=now + conf.seconds('CLAIM_TIME')):
        raise LostClaim(f'Query {claim.pk} is not ours any more.')


def release_job(claim: Claim) -> None:
    """Let it go, if it is still ours."""
    RemoteJob.objects.filter(pk=claim.pk, claim=claim.number).update(claim_until=None, interrupted=0)


def renew_job(claim: Claim, state: JobState, now: datetime) -> None:
    """Hold it for longer; LostClaim where we were taken for dead meanwhile, so that nothing must be sent any more."""
    until = now + conf.seconds('CLAIM_TIME')
    mine = RemoteJob.objects.filter(pk=claim.pk, claim=claim.number, state=state)
    if not mine.update(claim_until=until, next_step=until, last_sent=now):
        raise LostClaim(f'Job {claim.pk} is not ours any more.')


def move_job(claim: Claim, before: JobState, after: JobState, **fields: Any) -> None:
    """Change a job that is ours and let it go; LostClaim where it is not."""
    check_job(before, after)
    rows = RemoteJob.objects.filter(pk=claim.pk, claim=claim.number, state=before)
    if after in (JobState.OPEN, JobState.CLOSED):  # otherwise it is to be sent again, and that may be what kills
        fields['interrupted'] = 0
    if 'message' in fields:
        fields['message'] = redaction.clean(fields['message'])
    if not rows.update(state=after, claim_until=None, **fields):
        raise LostClaim(f'Job {claim.pk} is not ours any more.')


def move_query(which: QuerySet[PhotometryQuery], after: QueryState, /, **fields: Any) -> int:
    """Move those of ``rows`` that may go there; how many. A closed query is never touched."""
    before = [state for state in OPEN if after in QUERY_MOVES[state] or state is after]
    return which.filter(state__in=before).update(state=after, **fields)


def end(which: QuerySet[PhotometryQuery], after: QueryState, now: datetime, message: str, problem: str = '', /, **more: Any) -> int:
    """Close queries."""
    message = redaction.clean(message)
    changed = move_query(
        which,
        after,
        message=message,
        problem=problem[:LONGEST_PROBLEM],
        closed=now,
        next_step=now if more.get('to_clean') else None,
        claim_until=None,
        interrupted=0,
        **more,
    )
    if changed:
        level = logging.WARNING if after in (QueryState.FAILED, QueryState.EXPIRED) else logging.INFO
        logger.log(level, 'Forced photometry %s: %s', after, message, extra={'event': 'query_closed', 'state': str(after)})
    return changed


def clean_up_later(pk: int, now: datetime) -> None:
    """Let a closed query's job be stopped at the service: it is there, or its reply is still on the way."""
    on_the_way = Q(job__state__in=[JobState.SUBMITTING, JobState.UNCERTAIN])
    closed = PhotometryQuery.objects.filter(pk=pk).exclude(state__in=list(OPEN))
    there = closed.filter(on_the_way | ~Q(remote={})).values('pk')
    PhotometryQuery.objects.filter(pk__in=list(there.values_list('pk', flat=True))).update(to_clean=True, next_step=now)


def wait(which: QuerySet[PhotometryQuery], until: datetime, message: str, *, failed: bool = False, **more: Any) -> int:
    """Come back later, in the same state; ``failed`` counts one try more."""
    tries = {'attempts': F('attempts') + 1} if failed else {}
    fields = {'next_step': until, 'message': redaction.clean(message), 'claim_until': None, 'interrupted': 0}
    return which.filter(state__in=list(OPEN)).update(**{**fields, **tries, **more})


def apply(job: RemoteJob, answer: Answer, now: datetime, pause: timedelta, most: float) -> datetime:
    """Write what a service said about the positions of a job; when to look at it again (``most``: seconds, at the latest)."""
    soonest: datetime | None = None
    plain: dict[tuple[Any, ...], list[int]] = {}
    for index, progress in answer.parts.items():
        asked = progress.look_again if progress.look_again is not None and math.isfinite(progress.look_again) else 0.0
        asked = min(asked, most)
        again = now + max(pause, timedelta(seconds=asked))
        if progress.state not in ENDS and progress.state is not QueryState.RESULT:
            soonest = again if soonest is None else min(soonest, again)
        same = progress.state, progress.message, repr(sorted(progress.remote.items()))  # written by one UPDATE
        plain.setdefault(same, []).append(index)
    again = soonest or now + pause
    for indexes in plain.values():
        _apply_one(job, indexes, answer.parts[indexes[0]], now, again)
    return again


def _apply_one(job: RemoteJob, indexes: Iterable[int], progress: Progress, now: datetime, again: datetime) -> None:
    rows = PhotometryQuery.objects.filter(job=job, index__in=list(indexes))
    remote: Mapping[str, Any] = {'remote': dict(progress.remote)} if progress.remote else {}
    if progress.state in ENDS:
        problem = {'failed': 'Refused', 'expired': 'Expired'}.get(progress.state, '')
        # of what is gone nothing is there any more, but what was measured with it may be
        clean = progress.state in (QueryState.NO_DATA, QueryState.FAILED, QueryState.EXPIRED) and bool(progress.remote)
        end(rows, progress.state, now, progress.message, problem, to_clean=clean, **remote)
    else:
        due = now if progress.state is QueryState.RESULT else again
        move_query(rows, progress.state, next_step=due, message=progress.message, problem='', attempts=0, **remote)
    # cancelled, or given up, while the request was on its way: it is to be stopped at the service as well
    if progress.remote and progress.state not in (QueryState.EXPIRED,):
        gone = rows.filter(state__in=[QueryState.CANCELLED, QueryState.FAILED], remote={})
        gone.update(to_clean=True, next_step=now, **remote)


def requeue(job: RemoteJob, indexes: list[int], now: datetime) -> None:
    """Put those of a job back into the queue that the service does not have."""
    if indexes:
        missing = PhotometryQuery.objects.filter(job=job, index__in=indexes, state__in=[QueryState.QUEUED, QueryState.SUBMITTED])
        wait(missing, now, 'It is not at the service: it is sent anew.', state=QueryState.QUEUED, job=None, index=0, remote={})


def close_if_done(job: RemoteJob, now: datetime) -> bool:
    """Close a job of which nothing is waiting or running any more."""
    waiting = PhotometryQuery.objects.filter(job=job, state__in=[QueryState.QUEUED, QueryState.SUBMITTED, QueryState.RUNNING])
    if waiting.exists():
        return False
    rows = RemoteJob.objects.filter(pk=job.pk, state=JobState.OPEN)
    return bool(rows.update(state=JobState.CLOSED, closed=now, next_step=None, claim_until=None))


def withdraw(job: RemoteJob, until: datetime, message: str, *, failed: bool = False, alone: bool = False, **more: Any) -> int:
    """Put the queries of a job that will not be sent back into the queue; ``alone``: each goes out by itself."""
    rows = PhotometryQuery.objects.filter(job=job, state__in=[QueryState.QUEUED, QueryState.SUBMITTED])
    if alone:
        more['group_key'] = ''
    return wait(rows, until, message, failed=failed, state=QueryState.QUEUED, job=None, index=0, remote={}, **more)


def halve(job: RemoteJob, now: datetime, message: str) -> None:
    """Put the queries of a job that was refused for one of them, nobody said which, back into the queue as two requests."""
    queued = PhotometryQuery.objects.filter(job=job, state__in=[QueryState.QUEUED, QueryState.SUBMITTED])
    indexes = sorted(queued.values_list('index', flat=True))
    if not indexes:  # all of them were cancelled meanwhile
        return
    middle = indexes[len(indexes) // 2]
    for half, side in ((queued.filter(index__lt=middle), 'a'), (queued.filter(index__gte=middle), 'b')):
        half.update(part=Concat('part', Value(side)))
    withdraw(job, now, message)


def no_time_for(query: PhotometryQuery, now: datetime) -> bool:
    """Whether a query is so late that what just failed is not tried again, whatever the reason."""
    return query.deadline is not None and now >= query.deadline + LAST_TRIES
