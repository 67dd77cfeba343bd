"""Whose a question is: who asked first owns it, and those who asked the same meanwhile follow it, until nobody is left."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import transaction

from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.permissions import visible_targets
from tom_forced_phot.queries import rows

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
