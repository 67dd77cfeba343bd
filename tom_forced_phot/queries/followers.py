"""Whose a question is: who asked first owns it, and those who asked the same meanwhile follow it, until nobody is left."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import transaction

from tom_forced_phot.core.states import JobState, QueryState
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription, RemoteJob, ServiceCredential
from tom_forced_phot.permissions import visible_targets
from tom_forced_phot.queries import notices, rows

logger = logging.getLogger(__name__)


def entitled(query: PhotometryQuery) -> list[Any]:
    """Followers who may still have the answer, who asked first first: active, and allowed to see the target."""
    through = PhotometryQuery.followers.through.objects.filter(photometryquery=query.pk).order_by('pk')
    users = [each.user for each in through.select_related('user')]
    return [user for user in users if may_see(query, user)]


def hindrance(query: PhotometryQuery) -> str:
    """Why a question may not be sent any more in the name of who asked; empty where it may. Nobody: the command."""
    user = query.asked_by
    return '' if user is None or user.is_active else f'It was not sent: {user}, who asked, was deactivated.'


def may_see(query: PhotometryQuery, user: Any) -> bool:
    """Whether a user may still have the answer."""
    return bool(user.is_active) and visible_targets(user).filter(pk=query.target_id).exists()


def hand_over(query: PhotometryQuery, now: datetime, message: str = '') -> bool:
    """Give an open question to the first follower who may have it; whether there was one. It goes on as it was."""
    for user in entitled(query):
        if user.pk == query.asked_by_id:
            continue
        with transaction.atomic():
            mine = rows.only(query).filter(asked_by=query.asked_by_id, state__in=QueryState.open_values())
            more = {'message': message} if message else {}
            if not mine.update(asked_by=user, urgent=True, **more):
                return False
            query.followers.remove(user)
        logger.info('A query was handed over', extra={'event': 'query_handed_over', 'query': query.pk, 'user': user.pk})
        return True
    return False


def owner_left(user: Any, now: datetime, why: str) -> int:
    """What becomes of the open questions of a user who is deactivated or goes: followers go on with them.

    Of the others, those that were not sent yet end in words; those at the service are brought home, unless they are looked after
    with the user's own account and that goes, too. How many ended.
    """
    ended = 0
    for query in PhotometryQuery.objects.filter(asked_by=user, state__in=QueryState.open_values()).select_related('job'):
        if not hand_over(query, now) and query.job_id is None:
            ended += rows.end(rows.only(query), QueryState.FAILED, now, f'It was not sent: {user}, who asked, {why}.', 'Owner')
    return ended


def owner_deleted(user: Any, now: datetime) -> None:
    """A user is being deleted: nothing of what the user asked becomes everybody's."""
    owner_left(user, now, 'was deleted')
    own = PhotometryQuery.objects.filter(asked_by=user, job__credential=f'user:{user.pk}', state__in=QueryState.open_values())
    text = f'{user}, with whose own account it was asked, was deleted.'
    rows.end(own, QueryState.FAILED, now, text, 'Credentials')
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
