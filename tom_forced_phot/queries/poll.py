"""Watching a job at the service: one look answers for all of its queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction

from tom_followup.failpoints import PhotometryPoint, reach
from tom_forced_phot import http
from tom_forced_phot.core.states import JobState, QueryState, pause, poll_pause
from tom_forced_phot.exceptions import Credentials, ForcedPhotometryError, Refused, Throttled, UnexpectedReply
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import client, companions, rows
from tom_forced_phot.queries.client import call
from tom_forced_phot.queries.rows import Claim
from tom_forced_phot.queries.submit import PAGES, job_of, understood
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Part, Request

AT_SERVICE = [QueryState.SUBMITTED, QueryState.RUNNING]


def poll(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, clock: Callable[[], datetime]) -> datetime:
    """Ask how the queries of a job are, and write it; when to look again."""
    now = clock()
    queries = list(PhotometryQuery.objects.filter(job=row, state__in=AT_SERVICE).order_by('index'))
    if not queries:
        rows.release_job(claim)
        rows.close_if_done(row, now)
        return now
    parts = [part for query in queries for part in companions.open_parts(query, row)]
    try:
        answer = _ask(row, parts, service, now)
    except ForcedPhotometryError as error:
        return _failed(row, claim, service, error, clock())
    reach(PhotometryPoint.POLLED)
    now = clock()
    with transaction.atomic():
        least, most = service.look_again
        answer = companions.of_queries(answer, [(query.index, query.places, query.remote) for query in queries])
        again = rows.apply(row, answer, now, poll_pause(now - row.created, least, most), most)
        remote = {**row.remote, **answer.remote}
        rows.move_job(claim, JobState.OPEN, JobState.OPEN, next_step=again, attempts=0, remote=remote, message='', heard=now)
        rows.close_if_done(row, now)
    reach(PhotometryPoint.STATES_WRITTEN)
    return again


def _ask(row: RemoteJob, parts: list[Part], service: ForcedPhotometryService, now: datetime) -> Answer:
    job, answer = job_of(row), Answer()
    request: Request | None = service.status(job, parts)
    for _ in range(PAGES):
        if request is None:
            return answer
        client.take(service, row.credential, now, write=False)
        reply = call(service, request, row)
        answer = understood(service.name, partial(service.progress, job, parts, reply, answer))
        request = answer.more
    if answer.parts:
        return answer
    raise UnexpectedReply(f'{service.name} lists more than {PAGES} pages of jobs.')


def _failed(
    row: RemoteJob, claim: Claim, service: ForcedPhotometryService, error: ForcedPhotometryError, now: datetime
) -> datetime:
    """A look that failed is made again, more and more rarely; nonsense only for a part of the service's patience."""
    text = http.redacted_message(error, service.secrets())
    at_service = row.queries.filter(state__in=AT_SERVICE)
    senseless = isinstance(error, (UnexpectedReply, Refused, Credentials))
    if senseless and now - (row.heard or row.created) >= invalid_reply_patience(service):
        with transaction.atomic():
            rows.move_job(claim, JobState.OPEN, JobState.CLOSED, message=text, closed=now, next_step=None)
            companions.take_own(at_service, now)
            rows.end(at_service, QueryState.FAILED, now, text, type(error).__name__, to_clean=True)
        return now
    throttled = isinstance(error, Throttled)
    wait = timedelta(seconds=error.seconds) if isinstance(error, Throttled) else pause(row.attempts + 1, service.look_again[0])
    with transaction.atomic():
        attempts = row.attempts + (not throttled)
        rows.move_job(claim, JobState.OPEN, JobState.OPEN, next_step=now + wait, attempts=attempts, message=text)
        rows.wait(at_service, now + wait, text)
    return now + wait


def invalid_reply_patience(service: ForcedPhotometryService) -> timedelta:
    """How long a service may answer nonsense about a job: a page of maintenance must not cost what was asked for days."""
    return timedelta(seconds=max(3600.0, service.patience / 7))
