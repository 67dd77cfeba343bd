"""A user or a target is being deleted: what becomes of what was asked, here and at the services."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from tom_forced_phot import conf, http, registry
from tom_forced_phot.core.states import JobState, QueryState
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription, RemoteJob, ServiceCredential
from tom_forced_phot.permissions import visible_targets
from tom_forced_phot.queries import accounts, client, companions, followers, notices, rows
from tom_forced_phot.queries.submit import job_of
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Request

logger = logging.getLogger(__name__)


def owner_deleted(user: Any, now: datetime) -> None:
    """A user is being deleted: nothing of what the user asked becomes everybody's."""
    followers.owner_left(user, now, 'was deleted')
    own = PhotometryQuery.objects.filter(asked_by=user, job__credential=f'user:{user.pk}', state__in=QueryState.open_values())
    _stop_after_commit(own)
    text = f'{user}, with whose own account it was asked, was deleted.'
    jobs = list(RemoteJob.objects.filter(credential=f'user:{user.pk}').exclude(state=JobState.CLOSED))
    rows.end(own, QueryState.FAILED, now, text, 'Credentials')
    for job in jobs:
        rows.close_if_done(job, now)
    ServiceCredential.objects.filter(user=user).delete()


def target_deleted(target: Any, now: datetime) -> None:
    """A target is being deleted, and with it what was asked about it: whoever waits for an answer is told."""
    queries = PhotometryQuery.objects.filter(target=target.pk, state__in=QueryState.open_values())
    standing = PhotometrySubscription.objects.filter(target=target.pk)
    waiting: dict[Any, list[str]] = {}
    for query in queries.select_related('asked_by').prefetch_related('followers'):
        for user in {query.asked_by, *query.followers.all()} - {None}:
            waiting.setdefault(user, []).append(f'a query to {query.service}')
    for order in standing.select_related('owner').exclude(owner=None):
        waiting.setdefault(order.owner, []).append(f'the subscription to {order.service}')
    for user, what in waiting.items():
        seen = visible_targets(user).filter(pk=target.pk).exists()
        notices.inform(user, f'{target.name if seen else "A target"} was deleted, and with it {", ".join(what)}.', now)
    _stop_after_commit(queries)
    jobs = RemoteJob.objects.filter(queries__target=target.pk).exclude(state=JobState.CLOSED).distinct()
    others = PhotometryQuery.objects.exclude(target=target.pk).values('job')
    text = 'Its targets were deleted here. What the service still has of it is not fetched.'
    ended = RemoteJob.objects.filter(
        pk__in=list(jobs.exclude(pk__in=others.filter(job__isnull=False)).values_list('pk', flat=True))
    )
    ended.update(state=JobState.CLOSED, message=text, closed=now, next_step=None, claim_until=None)
    if waiting:
        known = {'event': 'target_deleted', 'target': target.pk}
        logger.warning('A target was deleted with what was asked about it', extra=known)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A request that stops one position at a service, made while the rows that describe it were still there."""

    service: ForcedPhotometryService
    job: RemoteJob
    index: int
    request: Request


def _stop_after_commit(queries: QuerySet[PhotometryQuery]) -> None:
    """Stop at the services, where they can, what is there of these; tried once, for afterwards nobody knows of it any more."""
    stops: list[Stop] = []
    for query in queries.exclude(remote={}).exclude(job=None).select_related('job'):
        try:
            assert query.job is not None  # noqa: S101
            service = accounts.of_job(registry.service(query.service), query.job)
            job = job_of(query.job)
            for part in companions.parts_of(query, query.job):
                request = service.cancel(job, part)
                if request is not None:
                    stops.append(Stop(service=service, job=query.job, index=part.index, request=request))
        except Exception:  # an account that is gone, or the site's own class: it stays at the service
            logger.exception('A job cannot be stopped', extra={'event': 'job_not_stopped', 'query': query.pk})
    if stops:
        transaction.on_commit(partial(_stop, stops), robust=True)


def _stop(stops: Sequence[Stop]) -> None:
    """Within the budget and for a bounded time: what is left stays at the service."""
    with http.time_limit(conf.get('SYNCHRONOUS_TIME')) as left:
        for each in stops:
            if left() <= 0:
                break
            try:
                spent = client.take(each.service, each.job.credential, conf.utc_now(), write=True)
                try:
                    client.call(each.service, each.request, each.job, index=each.index)
                finally:
                    client.arrived(spent, conf.utc_now())
            except ForcedPhotometryError as error:
                known = {'event': 'job_not_stopped', 'job': each.job.pk}
                logger.warning('A job could not be stopped: %s', http.redacted_message(error, each.service.secrets()), extra=known)
