"""Giving up: what had no answer until its deadline, and what has no account to go on with."""

from __future__ import annotations

from datetime import datetime, timedelta

from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import accounts, rows
from tom_forced_phot.queries.accounts import NoAccount
from tom_forced_phot.queries.fetching import LAST_TRIES
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.states import JobState, QueryState


def give_up(query: PhotometryQuery, service: ForcedPhotometryService, now: datetime) -> None:
    """Fail a query whose time is up, and have it stopped at the service."""
    waited = now - query.created
    text = f'{service.name} had no answer for {waited.total_seconds() / 3600:.0f} hours. Ask again, or look at the service itself.'
    if query.message and query.state == QueryState.QUEUED:
        text += f' Last: {query.message}'
    rows.end(PhotometryQuery.objects.filter(pk=query.pk), QueryState.FAILED, now, text, 'Deadline')
    rows.tidy_later(query.pk, now)


def give_up_late(job: RemoteJob, service: ForcedPhotometryService, now: datetime) -> None:
    """After a look at a job: fail all of its queries whose time is up, for only one of them led to this look.

    Not before a look after the deadline, answered or not: the TOM may have been off until now.
    """
    job = RemoteJob.objects.get(pk=job.pk)
    if job.state != JobState.OPEN or not (job.attempts or job.heard):
        return
    late = PhotometryQuery.objects.filter(job=job, state__in=[QueryState.SUBMITTED, QueryState.RUNNING], deadline__lte=now)
    for query in late if job.attempts else late.filter(deadline__lte=job.heard):
        give_up(query, service, now)
    rows.close_if_done(job, now)


def without_account(query: PhotometryQuery, error: NoAccount, now: datetime) -> datetime | None:
    """Wait, and say for whom, until the deadline; tidying up at the service is a courtesy, and left out."""
    mine = PhotometryQuery.objects.filter(pk=query.pk)
    if not QueryState(query.state).is_open:
        mine.update(to_clean=False, next_step=None)
        return None
    claim = rows.claim_query(query, now)
    if claim is None:  # somebody who still had the account is at work on it
        return None
    longer = LAST_TRIES if query.state == QueryState.RESULT else timedelta(0)
    if error.final or (query.deadline is not None and now >= query.deadline + longer):
        rows.end(mine, QueryState.FAILED, now, str(error), 'Credentials')
        if query.job is not None:
            rows.close_if_done(query.job, now)
        return None
    rows.wait(mine, now + accounts.WAIT, str(error))
    return now + accounts.WAIT
