"""Looking at an open query now instead of later, because a person wants to know."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.db.models import Q

from tom_forced_phot import conf
from tom_forced_phot.models import PhotometryQuery, RemoteJob, ServiceBudget
from tom_forced_phot.queries.advance import advance
from tom_forced_phot.queries.announcing import announce
from tom_forced_phot.queries.background import CARRIES_ON, enqueue, has_workers
from tom_forced_phot.states import JobState, QueryState

STEPS = 4
WANTS_REST = '{} wants to be left alone until {:%H:%M} UTC. It is looked at then.'


def look_now(pk: int, now: datetime) -> str:
    """Do what is next of an open query at once, within the service's budget; what a person should know of it."""
    query = PhotometryQuery.objects.filter(pk=pk, state__in=QueryState.open_values()).first()
    if query is None:
        return 'It has ended already.'
    rest = ServiceBudget.objects.filter(service__startswith=f'{query.service}: ', quiet_until__gt=now).first()
    if rest is not None:
        return WANTS_REST.format(query.service, rest.quiet_until)
    if not _bring_forward(query, now):
        return 'Somebody is at work on it at this moment.'
    if has_workers():
        return enqueue([pk]) or 'It is looked at now.'
    if connection.in_atomic_block:  # a request to a service must not wait for the end of a transaction
        return f'It is looked at next. {CARRIES_ON}'
    for _ in range(STEPS):  # what was found is fetched as well
        done = advance(pk)
        if not done.worked or done.again is None or not done.state.is_open or done.again > conf.utc_now():
            break
    announce(now, mail=False)
    query.refresh_from_db()
    return f'{QueryState(query.state).words}: {query.message}'


def _bring_forward(query: PhotometryQuery, now: datetime) -> bool:
    """Make it due now, and its job as well; whether nobody holds them. What is being sent is left alone: it may have arrived."""
    free = Q(claim_until=None) | Q(claim_until__lte=now)
    if query.job_id is not None and query.state != QueryState.RESULT:
        jobs = RemoteJob.objects.filter(free, pk=query.job_id, state__in=[JobState.OPEN, JobState.UNCERTAIN])
        if not jobs.update(next_step=now):
            return False
    mine = PhotometryQuery.objects.filter(free, pk=query.pk, state__in=QueryState.open_values())
    return bool(mine.update(next_step=now))
