"""Active, paused, finished, needs attention. The host's ``DynamicCadence.active`` changes in the same transaction."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Q
from tom_observations.models import DynamicCadence, ObservationRecord

from tom_cadence import notices
from tom_cadence.bounds import said
from tom_cadence.journal.notes import MOST, note
from tom_cadence.models import CadenceRun, ManagedCadence

logger = logging.getLogger(__name__)
CREDENTIALS = 'credentials'
#: How a change of state stands in the history.
KINDS: dict[str, CadenceRun.Decision] = {
    ManagedCadence.State.FINISHED: CadenceRun.Decision.STOP,
    ManagedCadence.State.PAUSED: CadenceRun.Decision.NOTE,
    ManagedCadence.State.ATTENTION: CadenceRun.Decision.ERROR,
}


def raise_version(**which: Any) -> None:
    """Make what was read before count as old: a run that decided on it sends nothing."""
    ManagedCadence.objects.filter(**which).update(version=F('version') + 1)


def stop(
    managed: ManagedCadence,
    state: str,
    reason: str,
    now: datetime,
    *,
    holder: str | None = None,
    reason_class: str = '',
) -> bool:
    """Switch a cadence off and say why: finished, paused or needs attention. False where it was no longer ours to stop."""
    reason = said(reason, MOST)
    rows = ManagedCadence.objects.filter(pk=managed.pk)
    if holder is not None:
        rows = rows.filter(claim_holder=holder)
    with transaction.atomic():
        changed = rows.update(
            state=state,
            reason=reason,
            reason_class=reason_class,
            version=F('version') + 1,
            claim_holder='',
            claim_expires=None,
            last_check=now,
            last_run=None,
        )
        if not changed:
            return False
        DynamicCadence.objects.filter(pk=managed.cadence_id).update(active=False, modified=now)
        note(managed, KINDS[state], reason, now)
        managed.state, managed.reason = state, reason
        if not reason_class:
            notices.tell_owner(managed, state, reason)
    logger.warning('%s: %s: %s', managed, state, reason, extra={'event': f'cadence_{state}', 'cadence': managed.host_cadence_id})
    return True


def pause(managed: ManagedCadence, reason: str, now: datetime) -> bool:
    """Pause a cadence on a person's word."""
    return stop(managed, ManagedCadence.State.PAUSED, reason, now, reason_class='person')


def resume(managed: ManagedCadence, now: datetime, reason: str = 'Resumed.') -> None:
    """Let a cadence go on: failures and cancellations so far were seen by a person and count no more."""
    newest = ObservationRecord.objects.filter(observationgroup__dynamiccadence=managed.cadence_id).aggregate(Max('pk'))
    with transaction.atomic():
        ManagedCadence.objects.filter(pk=managed.pk).update(
            state=ManagedCadence.State.ACTIVE,
            reason='',
            reason_class='',
            forgiven=newest['pk__max'] or 0,
            resumed=now,
            unreachable_since=None,
            consecutive_failures=0,
            last_check=now,
            last_run=None,
            version=F('version') + 1,
        )
        DynamicCadence.objects.filter(pk=managed.cadence_id).update(active=True, modified=now)
        note(managed, CadenceRun.Decision.NOTE, reason, now)


def pause_for_credentials(found: ManagedCadence, reason: str, now: datetime) -> list[ManagedCadence]:
    """Pause a cadence and all others of its facility and owner, with one notice; the cadences that were paused."""
    facility = found.facility
    together = Q(facility=facility, owner=found.owner) | Q(pk=found.pk)
    rows = ManagedCadence.objects.filter(together, state=ManagedCadence.State.ACTIVE, cadence__active=True)
    stopped = [
        managed
        for managed in rows
        if stop(managed, ManagedCadence.State.ATTENTION, reason, now, reason_class=f'{CREDENTIALS}:{facility}'[:32])
    ]
    if stopped:
        notices.tell_about_credentials(stopped, facility, reason)
    return stopped


def resume_after_credentials(facility: str, owner: Any, now: datetime) -> int:
    """Resume what ``pause_for_credentials`` paused; how many cadences."""
    rows = ManagedCadence.objects.filter(
        state=ManagedCadence.State.ATTENTION, owner=owner, reason_class=f'{CREDENTIALS}:{facility}'[:32]
    ).exclude(cadence=None)
    for managed in rows:
        resume(managed, now, f'Resumed after the credentials of {facility} were set right.')
    return len(rows)
