"""The beginning of a cadence: group, cadence and first request in one transaction, before the facility is called."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from guardian.shortcuts import assign_perm, get_groups_with_perms, remove_perm
from tom_observations.models import DynamicCadence, ObservationGroup

from tom_cadence.exceptions import CadenceError
from tom_cadence.journal.claims import FEW, HOLDER, Claim, expiry
from tom_cadence.journal.log import note
from tom_cadence.journal.records import GROUP_PERMISSIONS
from tom_cadence.journal.requests import Intent, insert
from tom_cadence.models import CadenceRun, ManagedCadence, Submission
from tom_followup.failpoints import CadencePoint, reach
from tom_followup.retry import until_written

SHARED = GROUP_PERMISSIONS[:2]
CAUSE = 'begin:'


class AlreadyStarted(CadenceError):
    """This was started before: a double click, a reload, or a group that has a cadence."""

    def __init__(self, managed: ManagedCadence, text: str) -> None:
        """Keep the cadence there is."""
        super().__init__(text)
        self.managed = managed


@dataclass(frozen=True, kw_only=True)
class NewCadence:
    """A cadence that is about to begin. ``groups`` are those the user gives its observations to."""

    owner: Any
    strategy: str
    parameters: dict[str, Any]
    name: str
    target_name: str
    groups: Sequence[Any] = field(default_factory=tuple)


def create_with_request(beginning: NewCadence, intent: Intent, now: datetime) -> tuple[ManagedCadence, Submission, Claim]:
    """Commit cadence and intent, the cadence claimed by this process; AlreadyStarted where this form was sent before."""
    holder = HOLDER + secrets.token_hex(6)

    def write() -> tuple[ManagedCadence, Submission]:
        with transaction.atomic(durable=True):
            managed = _make(beginning, intent, holder, now)
            submission = insert(managed, intent, now)
            reach(CadencePoint.INTENT_OPEN)
        return managed, submission

    try:
        managed, submission = until_written(write, most=FEW)
    except IntegrityError:
        before = cadence_of_cause(intent.cause)
        if before is None:
            raise
        raise AlreadyStarted(before, 'This was started already: nothing was sent a second time.') from None
    reach(CadencePoint.INTENT_COMMITTED)
    return managed, submission, Claim(managed.pk, holder)


def cadence_of_cause(cause: str) -> ManagedCadence | None:
    """The cadence that was begun with this form, as far as it was not refused."""
    states = (Submission.State.SENDING, Submission.State.UNCERTAIN, Submission.State.ACCEPTED)
    found = Submission.objects.select_related('managed').filter(cause=cause, state__in=states).first()
    return found.managed if found else None


def _make(beginning: NewCadence, intent: Intent, holder: str, now: datetime) -> ManagedCadence:
    group = ObservationGroup.objects.create(name=beginning.name[:50])
    for permission in GROUP_PERMISSIONS:
        assign_perm(f'tom_observations.{permission}', beginning.owner, group)
    for each in beginning.groups:
        for permission in SHARED:
            assign_perm(f'tom_observations.{permission}', each, group)
    known = {'facility': intent.facility, 'target_name': beginning.target_name}
    claim = {'claim_holder': holder, 'claim_expires': expiry(), 'claim_number': F('claim_number') + 1}
    return _cadence(group, beginning, now, **known, **claim)


def _cadence(group: ObservationGroup, beginning: NewCadence, now: datetime, **more: Any) -> ManagedCadence:
    """The host's row, which a signal has adopted, and what the signal could not know."""
    cadence = DynamicCadence.objects.create(
        observation_group=group, cadence_strategy=beginning.strategy, cadence_parameters=beginning.parameters, active=True
    )
    owner = {'owner': beginning.owner, 'owner_name': beginning.owner.get_username()}
    ManagedCadence.objects.filter(cadence=cadence).update(**owner, **more, last_check=now, version=F('version') + 1)
    return ManagedCadence.objects.select_related('cadence', 'owner').get(cadence=cadence)


def create_on_group(group: ObservationGroup, beginning: NewCadence, now: datetime) -> ManagedCadence:
    """A cadence for a group that exists; nothing is sent. AlreadyStarted where one is active on it."""

    def write() -> ManagedCadence:
        with transaction.atomic():
            ObservationGroup.objects.select_for_update().get(pk=group.pk)
            there = ManagedCadence.objects.filter(cadence__observation_group=group, cadence__active=True).first()
            if there is not None:
                raise AlreadyStarted(there, 'This observation group has an active cadence already: no second one was made.')
            managed = _cadence(group, beginning, now)
            note(managed, CadenceRun.Decision.NOTE, f'{beginning.owner} started it for an existing observation group.', now)
        return managed

    return until_written(write, most=FEW)


def take_back(begun: ManagedCadence, owner: Any) -> None:
    """Remove a cadence whose first request was proven not to be booked, as if it had never been begun."""

    def write() -> None:
        with transaction.atomic():
            rows = ManagedCadence.objects.select_for_update(of=('self',)).select_related('cadence__observation_group')
            managed = rows.get(pk=begun.pk)
            group = managed.host.observation_group
            if group.observation_records.exists():
                return
            for permission in GROUP_PERMISSIONS:
                for holder in (owner, *get_groups_with_perms(group)):
                    remove_perm(f'tom_observations.{permission}', holder, group)
            managed.delete()  # before the host's row, whose deletion would be told to the owner
            group.delete()

    until_written(write)
