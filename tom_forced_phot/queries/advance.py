"""``advance``: exactly one step of one query, by whoever calls it; the row is the truth."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from tom_followup.retry import is_busy, until_written
from tom_forced_phot import conf, http, registry
from tom_forced_phot.core import redaction
from tom_forced_phot.core.states import JobState, QueryState, Step, next_step, pause
from tom_forced_phot.exceptions import ForcedPhotometryError, LostClaim, Refused, Throttled
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import accounts, companions, fetch, followers, own_query, poll, rows, submit
from tom_forced_phot.queries.accounts import NoAccount
from tom_forced_phot.queries.rows import LAST_TRIES
from tom_forced_phot.services.base import ForcedPhotometryService

logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]


class _Busy(Exception):
    """Somebody else works on it at this moment."""


BUSY = timedelta(seconds=5)
#: A query that somebody sends at this moment is due when his claim runs out; its own message must not sleep so long.
BEING_SENT = timedelta(seconds=10)
NOT_CONFIGURED = timedelta(minutes=5)


@dataclass(frozen=True)
class Next:
    """Where a query stands after a step, and when it wants to be looked at again (None: never)."""

    state: QueryState
    again: datetime | None
    #: Whether anything was done: somebody else may hold it, or it is not due.
    worked: bool = True


def advance(pk: int, now: datetime | None = None, clock: Clock = conf.utc_now) -> Next:
    """Do what is due for a query. ``now`` fixes the time of the whole step; PhotometryQuery.DoesNotExist for a wrong id."""
    if now is not None:
        instant = now
        clock = lambda: instant  # noqa: E731
    query = _get(pk)
    state = QueryState(query.state)
    if query.next_step is None or query.next_step > clock():
        return Next(state, _when(query, clock()), worked=False)
    if not state.is_open and not query.to_clean:
        return Next(state, None, worked=False)
    try:
        service = registry.service(query.service)
    except Refused as error:
        return _not_configured(query, str(error), clock())
    try:
        again = _step(query, service, clock)
    except (LostClaim, _Busy):
        return Next(state, clock() + BUSY, worked=False)
    except NoAccount as error:
        again = without_account(query, error, clock())
    except ForcedPhotometryError as error:
        again = _unexpected(query, error, clock())
    except Exception as error:
        if is_busy(error):
            logger.warning('The database is busy; the step is tried again', extra={'event': 'database_busy', 'query': pk})
        else:
            logger.exception('A step of a forced photometry query failed', extra={'event': 'step_failed', 'query': pk})
        again = _unexpected(query, error, clock())
    return _next(pk, again, clock())


def _get(pk: int) -> PhotometryQuery:
    return PhotometryQuery.objects.select_related('job', 'target', 'asked_by').get(pk=pk)


def _next(pk: int, again: datetime | None, now: datetime) -> Next:
    query = _get(pk)
    state = QueryState(query.state)
    return Next(state, _when(query, now) or (again if state.is_open else None))


def _when(query: PhotometryQuery, now: datetime) -> datetime | None:
    """When to come back to a query; another thread may have taken it since it was read."""
    sending_now = query.job is not None and query.job.state == JobState.SUBMITTING
    return min(query.next_step, now + BEING_SENT) if sending_now and query.next_step is not None else query.next_step


def _step(query: PhotometryQuery, service: ForcedPhotometryService, clock: Clock) -> datetime | None:
    now = clock()
    service = accounts.of_query(service, query)
    if not QueryState(query.state).is_open:
        if query.job is not None and query.job.state in (JobState.SUBMITTING, JobState.UNCERTAIN):
            return _with_job(query, query.job, Step.LOOK_UP, service, clock)  # closed while its reply was on the way
        claim = _claimed(query, now)
        if claim.interrupted >= rows.DEATHS:  # tidying up is a courtesy
            PhotometryQuery.objects.filter(pk=query.pk).update(to_clean=False, next_step=None)
            return _released(claim, None)
        return _released(claim, fetch.clean(query, service, clock))
    job = query.job
    step = next_step(QueryState(query.state), None if job is None else JobState(job.state), now, _deadline(query))
    if service.does_all_itself():
        hindrance = followers.hindrance(query) if query.state == QueryState.QUEUED else ''
        if hindrance and not followers.hand_over(query, now):
            rows.end(rows.only(query), QueryState.FAILED, now, hindrance, 'Owner')
            return None
        return now if hindrance else own_query.run(query, _claimed(query, now), service, clock)
    if step is Step.GIVE_UP:
        give_up(query, service, now)
        return None
    if step is Step.FETCH:
        claim = _claimed(query, now)
        if claim.interrupted >= rows.DEATHS:
            rows.end(
                rows.only(query), QueryState.FAILED, now, rows.DEADLY.format('reading its result'), 'Interrupted', to_clean=True
            )
            return None
        return fetch.fetch(query, claim, service, clock)
    if step is Step.SUBMIT:
        if job is not None:  # its job was closed under it
            PhotometryQuery.objects.filter(pk=query.pk, job=job, state=query.state).update(job=None, state=QueryState.QUEUED)
        return submit.submit(query, service, clock)
    return now if job is None else _with_job(query, job, step, service, clock)


def _deadline(query: PhotometryQuery) -> datetime | None:
    """The deadline, if it counts: only where sending was tried; a job at the service gets a last look first (``give_up_late``)."""
    if query.job is None:
        return query.deadline if query.attempts else None
    return query.deadline if query.job.state in (JobState.SUBMITTING, JobState.UNCERTAIN) else None


def _claimed(query: PhotometryQuery, now: datetime) -> rows.Claim:
    claim = rows.claim_query(query, now)
    if claim is None:
        raise _Busy
    return claim


def _released(claim: rows.Claim, again: datetime | None) -> datetime | None:
    rows.release_query(claim)
    return again


def _with_job(query: PhotometryQuery, job: RemoteJob, step: Step, service: ForcedPhotometryService, clock: Clock) -> datetime:
    now = clock()
    if job.next_step is not None and job.next_step > now and job.claim_until is None:
        PhotometryQuery.objects.filter(pk=query.pk, state=query.state).update(next_step=job.next_step)
        return job.next_step
    claim = rows.claim_job(job, now)
    if claim is None:
        raise _Busy
    # two that sent it may have died, and then one that looked it up; of those that look how it is, two
    if claim.interrupted >= rows.DEATHS + (job.state != JobState.OPEN):
        deadly(job, claim, now)
        return now
    try:
        if step is Step.LOOK_UP:
            return submit.look_up(job, claim, service, clock)
        again = poll.poll(job, claim, service, clock)
        give_up_late(job, service, clock())
        return again
    except LostClaim:
        raise
    except ForcedPhotometryError as error:
        rows.release_job(claim)
        if rows.no_time_for(query, now):
            give_up(query, service, now)
        wait = timedelta(seconds=error.seconds) if isinstance(error, Throttled) else pause(job.attempts + 1)
        RemoteJob.objects.filter(pk=job.pk).update(next_step=now + wait)
        rows.wait(job.queries.exclude(state=QueryState.RESULT), now + wait, http.redacted_message(error, service.secrets()))
        return now + wait
    except Exception:
        rows.release_job(claim)
        raise


def _not_configured(query: PhotometryQuery, text: str, now: datetime) -> Next:
    """A mistake in the settings, or a worker with old ones: it waits, and says so, until its deadline."""
    mine = PhotometryQuery.objects.filter(pk=query.pk)
    if not QueryState(query.state).is_open:
        mine.update(to_clean=False, next_step=None)
    elif query.deadline is not None and now >= query.deadline:
        rows.end(mine, QueryState.FAILED, now, text, 'Refused')
    else:
        rows.wait(mine, now + NOT_CONFIGURED, text)
    return _next(query.pk, None, now)


def _unexpected(query: PhotometryQuery, error: Exception, now: datetime) -> datetime | None:
    """An error of ours, or of the database: tried again a few times, then said. Nothing is left claimed."""
    mine = PhotometryQuery.objects.filter(pk=query.pk)
    secrets = accounts.secrets_of(query)
    if isinstance(error, ForcedPhotometryError):
        text = http.redacted_message(error, secrets)
    else:
        text = f'An error nobody foresaw: {redaction.error_text(error, http.hidden(secrets))}'
    if not QueryState(query.state).is_open:  # tidying up at the service is a courtesy
        mine.update(to_clean=False, next_step=None, claim_until=None)
        return None
    if is_busy(error) and not rows.no_time_for(query, now):  # no fault of the query: it counts no try
        until_written(lambda: rows.wait(mine, now + BUSY, "This TOM's database was busy."), most=8)
        return now + BUSY
    if isinstance(error, Throttled) and not rows.no_time_for(query, now):
        until = now + timedelta(seconds=error.seconds)
        rows.wait(mine, until, text)
        return until
    if rows.no_time_for(query, now) or query.attempts + 1 >= 2 * conf.get('REFUSED_TRIES'):
        rows.end(mine, QueryState.FAILED, now, text, type(error).__name__)
        return None
    until = now + pause(query.attempts + 1)
    rows.wait(mine, until, text, failed=True)
    return until


def give_up(query: PhotometryQuery, service: ForcedPhotometryService, now: datetime) -> None:
    """Fail a query whose time is up, and have it stopped at the service; what came of its own position is fetched."""
    if companions.take_own([query], now):
        return
    waited = now - query.created
    text = f'{service.name} had no answer for {waited.total_seconds() / 3600:.0f} hours. Ask again, or look at the service itself.'
    if query.message and query.state in (QueryState.QUEUED, QueryState.RESULT):
        text += f' Last: {query.message}'
    rows.end(PhotometryQuery.objects.filter(pk=query.pk), QueryState.FAILED, now, text, 'Deadline')
    rows.clean_up_later(query.pk, now)


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


def deadly(row: RemoteJob, claim: rows.Claim, now: datetime) -> None:
    """Give up a job whose every look ended the process that made it."""
    text = rows.DEADLY.format('looking how it is at the service')
    with transaction.atomic():
        rows.move_job(claim, JobState(row.state), JobState.CLOSED, message=text, closed=now, next_step=None)
        waiting = row.queries.filter(state__in=[QueryState.QUEUED, QueryState.SUBMITTED, QueryState.RUNNING])
        there = row.state == JobState.OPEN
        companions.take_own(waiting, now)
        rows.end(waiting, QueryState.FAILED, now, text, 'Interrupted', to_clean=there)


def without_account(query: PhotometryQuery, error: NoAccount, now: datetime) -> datetime | None:
    """Wait, and say for whom, until the deadline; tidying up at the service is a courtesy, and left out."""
    mine = PhotometryQuery.objects.filter(pk=query.pk)
    if not QueryState(query.state).is_open:
        mine.update(to_clean=False, next_step=None)
        return None
    claim = rows.claim_query(query, now)
    if claim is None:  # somebody who still had the account is at work on it
        return None
    if query.job is not None and query.asked_by_id is not None and query.job.credential != f'{accounts.USER}{query.asked_by_id}':
        # sent by somebody who left it to a follower: it is asked anew, with the follower's account or the site's
        text = 'It is asked anew: the account is gone with which it was asked at first.'
        rows.wait(mine, now, text, state=QueryState.QUEUED, job=None, index=0, remote={})
        rows.close_if_done(query.job, now)
        return now
    longer = LAST_TRIES if query.state == QueryState.RESULT else timedelta(0)
    if error.final or (query.deadline is not None and now >= query.deadline + longer):
        rows.end(mine, QueryState.FAILED, now, str(error), 'Credentials')
        if query.job is not None:
            rows.close_if_done(query.job, now)
        return None
    rows.wait(mine, now + accounts.WAIT, str(error))
    return now + accounts.WAIT
