"""What becomes of this app's rows when a user or a target goes: nothing goes on in anybody else's name, and somebody is told."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from tom_observations.models import ObservationRecord

from tom_cadence.journal import notices, states
from tom_cadence.journal.adoption import default_owner
from tom_cadence.models import ManagedCadence, Submission, TemplateOwnership

logger = logging.getLogger(__name__)
State = ManagedCadence.State
OWNER_GONE = 'owner'
"""Why these wait; whoever runs this TOM is told of all of them together."""


def records_hold(user: Any) -> str:
    """Why a user cannot be deleted, who asked for observations that nobody would inherit; empty where nothing is in the way.

    The host keeps who asked for each observation, shows those of nobody to every visitor, and fails where a user with
    observations is deleted (``ObservationRecord.user`` of tomtoolkit 3.1.0: null, DO_NOTHING).
    """
    number = ObservationRecord.objects.filter(user=user).count()
    heir = default_owner().pk
    if not number or (heir is not None and heir != user.pk):
        return ''
    what = 'an observation' if number == 1 else f'{number:,} observations'
    return (
        f'{user} asked for {what}, and this TOM keeps who did: deactivate the account instead. To delete it, name an active user '
        "who inherits them as TOM_CADENCE['DEFAULT_OWNER'] in the settings."
    )


def owner_goes(user: Any, now: datetime) -> None:
    """A user is being deleted: the cadences wait for another owner, and observations go to the default owner.

    Raises PermissionDenied, before anything is changed, where the user's observations would be nobody's.
    """
    problem = records_hold(user)
    if problem:
        raise PermissionDenied(problem)
    with transaction.atomic():
        ObservationRecord.objects.filter(user=user).update(user=default_owner().pk)
        TemplateOwnership.objects.filter(owner=user).update(orphaned=True)
        reason = f'Its owner, {user}, was deleted: nothing more is asked for in that name. Give it another owner.'
        stopped = [
            managed
            for managed in ManagedCadence.objects.filter(owner=user, state=State.ACTIVE).exclude(cadence=None)
            if states.stop(managed, State.ATTENTION, reason, now, reason_class=OWNER_GONE)
        ]
        lost = list(Submission.objects.filter(owner=user, managed__cadence=None, state__in=Submission.OPEN))
        others = get_user_model().objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
        for each in others:
            if stopped:
                notices.tell_about_lost_owner(each, stopped, reason)
            for request in lost:
                text = (
                    f'A request to {request.facility} of {request.created:%Y-%m-%d %H:%M} UTC has no reply, and {user} was deleted.'
                )
                notices.tell(each, 'A request without a reply has lost its owner', f'{text} See "Requests without a reply".')
    if stopped or lost:
        words = '%d cadences and %d requests without a reply lost their owner, %s'
        logger.warning(words, len(stopped), len(lost), user, extra={'event': 'owner_deleted', 'user': user.pk})


def target_goes(target: Any, unfinished: Iterable[tuple[ManagedCadence, list[str], bool]], now: datetime) -> None:
    """A target is being deleted, and the records of its observations with it: their cadences say so, and end where nothing is left.

    ``unfinished``: each of its cadences, what is still booked, and whether it has observations of other targets.
    """
    for managed, booked, goes_on in unfinished:
        reason = f'The target {target.name} was deleted, and its observations here with it.'
        if booked:
            reason += f' Still booked at {managed.facility}: {", ".join(booked)}.'
        if managed.submissions.filter(target=target.pk, state__in=Submission.OPEN).exists():
            reason += f' One request may be at {managed.facility} although no reply arrived: look there.'
        if goes_on or managed.state == State.FINISHED:
            states.say(managed, 'lost', reason, now)
        else:
            states.stop(managed, State.FINISHED, reason, now)


def cadences_of(target: Any) -> QuerySet[ManagedCadence]:
    """The cadences that have an observation of a target."""
    rows = ManagedCadence.objects.filter(cadence__observation_group__observation_records__target=target.pk)
    return rows.select_related('cadence', 'owner').distinct()
