"""Watching a job at the service: one look answers for all of its queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from tom_forced_phot import conf, http
from tom_forced_phot.exceptions import Credentials, ForcedPhotometryError, Refused, Throttled, UnexpectedReply
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.points import Point, reach
from tom_forced_phot.queries import budget, rows
from tom_forced_phot.queries.rows import Claim
from tom_forced_phot.queries.sending import PAGES, job_of, understood
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Job, Part, Position, Reply, Request
from tom_forced_phot.states import JobState, QueryState, pause, poll_pause

AT_SERVICE = [QueryState.SUBMITTED, QueryState.RUNNING]


def part_of(query: PhotometryQuery, job: RemoteJob) -> Part:
    """One query of a job as the service sees it."""
    return Part(query.index, Position(**job.positions[query.index]), query.parameters, query.remote)


def poll(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, clock: Callable[[], datetime]) -> datetime:
    """Ask how the queries of a job are, and write it; when to look again."""
    now = clock()
    queries = list(PhotometryQuery.objects.filter(job=row, state__in=AT_SERVICE).order_by('index'))
    if not queries:
        rows.release_job(claim)
        rows.close_if_done(row, now)
        return now
    parts = [part_of(query, row) for query in queries]
    try:
        answer = _ask(row, parts, service, now)
    except ForcedPhotometryError as error:
        return _failed(row, claim, service, error, clock())
    reach(Point.POLLED)
    now = clock()
    with transaction.atomic():
        least, most = service.look_again
        again = rows.apply(row, answer, now, poll_pause(now - row.created, least, most))
        remote = {**row.remote, **answer.remote}
        rows.move_job(claim, JobState.OPEN, JobState.OPEN, next_step=again, attempts=0, remote=remote, message='')
        rows.close_if_done(row, now)
    reach(Point.STATES_WRITTEN)
    return again


def _ask(row: RemoteJob, parts: list[Part], service: ForcedPhotometryService, now: datetime) -> Answer:
    job, answer = job_of(row), Answer()
    request: Request | None = service.status(job, parts)
    for _ in range(PAGES):
        if request is None:
            return answer
        budget.take(service, now, write=False)
        reply = http.send(request, service.url, service.secrets())
        http.log_call(service.name, request, reply, {'job': row.pk})
        answer = _progress(service, job, parts, reply, answer)
        request = answer.more
    raise UnexpectedReply(f'{service.name} lists more than {PAGES} pages of jobs.')


def _progress(service: ForcedPhotometryService, job: Job, parts: list[Part], reply: Reply, answer: Answer) -> Answer:
    return understood(service.name, lambda: service.progress(job, parts, reply, answer))


def _failed(
    row: RemoteJob, claim: Claim, service: ForcedPhotometryService, error: ForcedPhotometryError, now: datetime
) -> datetime:
    """A look that failed is made again; one whose answer makes no sense only a few times."""
    senseless = isinstance(error, (UnexpectedReply, Refused, Credentials))
    tries = row.attempts + 1
    if senseless and tries >= conf.get('REFUSED_TRIES'):
        with transaction.atomic():
            rows.move_job(claim, JobState.OPEN, JobState.CLOSED, message=str(error), closed=now, next_step=None)
            at_service = row.queries.filter(state__in=AT_SERVICE)
            rows.end(at_service, QueryState.FAILED, now, str(error), type(error).__name__, to_clean=True)
        return now
    if isinstance(error, Throttled):
        budget.keep_quiet(service, now, error.seconds, write=False)
        until = now + timedelta(seconds=error.seconds)
    else:
        until = now + pause(tries)
    with transaction.atomic():
        attempts = row.attempts if isinstance(error, Throttled) else tries
        rows.move_job(claim, JobState.OPEN, JobState.OPEN, next_step=until, attempts=attempts, message=str(error))
        rows.wait(row.queries.filter(state__in=AT_SERVICE), until, str(error))
    return until
