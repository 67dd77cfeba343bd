"""Active, paused, finished, needs attention. The host's ``DynamicCadence.active`` changes in the same transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from tom_observations.models import DynamicCadence, ObservationRecord

from tom_cadence.core.bounds import bounded_text
from tom_cadence.exceptions import CadenceError
from tom_cadence.journal import notices
from tom_cadence.journal.log import MOST, note
from tom_cadence.models import CadenceRun, FollowedRecord, ManagedCadence, Submission

logger = logging.getLogger(__name__)
State = ManagedCadence.State
CREDENTIALS, CHANGE = 'credentials', 'change'
TOLD = ('', CHANGE)
"""Classes of reasons of which the owner is told here; of the others somebody else tells, for many cadences at once."""
FOLLOWED = ('was followed already', 'already follows')
"""Parts of the reasons for which a cadence waits because a request that was accepted follows what it would follow."""
#: A cadence that waits for no season any more.
NOT_POSTPONED: dict[str, Any] = {
    'postponed_kind': '',
    'postponed_reason': '',
    'postponed_since': None,
    'postponed_until': None,
    'reminded': None,
}
#: How a change of state stands in the history.
KINDS: dict[str, CadenceRun.Decision] = {
    ManagedCadence.State.FINISHED: CadenceRun.Decision.STOP,
    ManagedCadence.State.PAUSED: CadenceRun.Decision.NOTE,
    ManagedCadence.State.ATTENTION: CadenceRun.Decision.ERROR,
}


def raise_version(**which: Any) -> None:
    """Make what was read before count as old: a run that decided on it sends nothing, and the next one asks at once."""
    ManagedCadence.objects.filter(**which).update(version=F('version') + 1, **NOT_POSTPONED)


def ask_again(now: datetime, **which: Any) -> None:
    """Those of these cadences that wait for a facility ask it in the next run; a wait that goes on all the same is no new one."""
    ManagedCadence.objects.filter(**which, postponed_until__gt=now).update(postponed_until=now)


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
    reason = bounded_text(reason, MOST)
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
            reminded=None,
        )
        if not changed:
            return False
        DynamicCadence.objects.filter(pk=managed.cadence_id).update(active=False, modified=now)
        note(managed, KINDS[state], reason, now)
        managed.state, managed.reason = state, reason
        if reason_class in TOLD:
            notices.tell_owner(managed, state, reason)
    logger.warning('%s: %s: %s', managed, state, reason, extra={'event': f'cadence_{state}', 'cadence': managed.host_cadence_id})
    return True


def say(managed: ManagedCadence, event: str, words: str, now: datetime) -> None:
    """Note what happened to a cadence that stays as it is, and tell its owner."""
    with transaction.atomic():
        note(managed, CadenceRun.Decision.NOTE, words, now)
        notices.tell_owner(managed, event, words)


def pause(managed: ManagedCadence, reason: str, now: datetime) -> bool:
    """Pause a cadence on a person's word."""
    return stop(managed, ManagedCadence.State.PAUSED, reason, now, reason_class='person')


def resume(managed: ManagedCadence, now: datetime, reason: str = 'Resumed.') -> None:
    """Let a cadence go on: failures and cancellations so far were seen by a person and count no more. A deleted one stays ended."""
    if managed.cadence_id is None:
        note(managed, CadenceRun.Decision.NOTE, reason, now)
        return
    newest = ObservationRecord.objects.filter(observationgroup__dynamiccadence=managed.cadence_id).aggregate(Max('pk'))
    with transaction.atomic():
        _let_deleted_be_followed(managed, now)
        ManagedCadence.objects.filter(pk=managed.pk).update(
            state=ManagedCadence.State.ACTIVE,
            reason='',
            reason_class='',
            ignore_before=newest['pk__max'] or 0,
            resumed=now,
            unreachable_since=None,
            consecutive_failures=0,
            last_check=now,
            last_run=None,
            version=F('version') + 1,
            **NOT_POSTPONED,
        )
        DynamicCadence.objects.filter(pk=managed.cadence_id).update(active=True, modified=now)
        note(managed, CadenceRun.Decision.NOTE, reason, now)


def settled(managed: ManagedCadence, now: datetime, reason: str) -> bool:
    """Note what a person said of a request; whether its cadence is active now.

    One that needed attention for that goes on. One that is paused, has ended, or waits for something else stays as it is.
    """
    with transaction.atomic():
        row = ManagedCadence.objects.select_for_update(of=('self',)).get(pk=managed.pk)
        if row.state == State.ATTENTION and not row.reason_class:
            resume(row, now, reason)
            return row.cadence_id is not None
        note(row, CadenceRun.Decision.NOTE, reason, now)
    return row.state == State.ACTIVE


def _let_deleted_be_followed(managed: ManagedCadence, now: datetime) -> None:
    """A person resumes a cadence that waited because what followed its newest record was deleted: it may be followed again.

    The old request keeps the ids of what it booked; nothing follows from it any more.
    """
    waiting = ManagedCadence.objects.filter(pk=managed.pk, state=ManagedCadence.State.ATTENTION).values_list('reason', flat=True)
    if not any(words in reason for reason in waiting for words in FOLLOWED):
        return
    group = ObservationRecord.objects.filter(observationgroup__dynamiccadence=managed.cadence_id).values_list('pk', flat=True)
    causes = [f'record:{pk}' for pk in group]
    accepted = Submission.objects.filter(state=Submission.State.ACCEPTED, cause__in=causes, bookings__isnull=True)
    for request in accepted.select_for_update(of=('self',)):
        Submission.objects.filter(pk=request.pk).update(cause=f'{request.cause}:deleted:{request.pk}', follows=[])
        FollowedRecord.objects.filter(submission=request.pk).delete()
        ids = ', '.join(map(str, request.observation_ids))
        words = f'The record of {ids or "an observation"} was deleted here; a person said that another one may be asked for.'
        note(managed, CadenceRun.Decision.NOTE, words, now)


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


CHUNK = 500


def locked(managed: ManagedCadence) -> ManagedCadence:
    """The row as it is now, held until the transaction ends; CadenceError where the cadence was deleted."""
    row = ManagedCadence.objects.select_for_update(of=('self',)).select_related('cadence').filter(pk=managed.pk).first()
    if row is None or row.cadence is None:
        raise CadenceError(f'{managed} was deleted.')
    return row


def switch_off(managed: ManagedCadence, state: str, reason: str, now: datetime, *, only: Sequence[str]) -> None:
    """Pause or end a cadence on a person's word; CadenceError where it is in none of the states ``only``."""
    with transaction.atomic():
        row = locked(managed)
        if row.state not in only:
            word = 'needs attention' if row.state == State.ATTENTION else f'is {row.state}'
            raise CadenceError(f'{row} {word}: it is not sending anything.')
        stop(row, state, reason, now, reason_class='person')
    managed.state, managed.reason = state, reason


def switch_on(managed: ManagedCadence, reason: str, now: datetime) -> None:
    """Resume a cadence on a person's word; CadenceError where it is active."""
    with transaction.atomic():
        row = locked(managed)
        if row.state == State.ACTIVE:
            raise CadenceError(f'{row} is active already.')
        resume(row, now, reason)
    managed.state, managed.reason = State.ACTIVE, ''


def set_owner(managed: ManagedCadence, owner: Any, reason: str, now: datetime) -> None:
    """Hand a cadence to somebody else."""
    with transaction.atomic():
        row = locked(managed)
        opened = Submission.objects.filter(managed=row, state__in=Submission.OPEN).select_related('owner').first()
        if opened is not None:
            raise CadenceError(
                f'It is not known yet what became of a request that was sent with the account of {opened.owner}, and only that '
                'account can find out: say what became of it first, then hand the cadence over.'
            )
        changed = {'owner': owner, 'owner_name': owner.get_username(), 'version': F('version') + 1}
        ManagedCadence.objects.filter(pk=row.pk).update(**changed, **NOT_POSTPONED)
        note(row, CadenceRun.Decision.NOTE, reason, now)
    managed.owner, managed.owner_name = owner, owner.get_username()


def set_parameters(managed: ManagedCadence, change: Callable[[Any], tuple[dict[str, Any], str]], now: datetime) -> None:
    """Write new parameters: ``change`` makes them, and the line about them, from those that are stored now."""
    with transaction.atomic():
        row = locked(managed)
        parameters, reason = change(row.host.cadence_parameters)
        if not reason:
            return
        DynamicCadence.objects.filter(pk=row.cadence_id).update(cadence_parameters=parameters, modified=now)
        ManagedCadence.objects.filter(pk=row.pk).update(version=F('version') + 1, **NOT_POSTPONED)
        note(row, CadenceRun.Decision.NOTE, reason, now)
    if managed.cadence is not None:
        managed.cadence.cadence_parameters = parameters


def pause_many(pks: Sequence[int], reason: str, now: datetime) -> list[int]:
    """Pause those of them that are active, with a few statements for any number; which they were."""
    values = {'state': State.PAUSED, 'reason': reason, 'reason_class': 'person', 'claim_holder': '', 'claim_expires': None}
    return _switch_many(pks, [State.ACTIVE], False, values, CadenceRun.Decision.NOTE, reason, now)


def resume_many(pks: Sequence[int], reason: str, now: datetime) -> list[int]:
    """Resume those of them that are paused or need attention, with a few statements for any number; which they were."""
    for first in range(0, len(pks), CHUNK):
        waiting = ManagedCadence.objects.filter(pk__in=pks[first : first + CHUNK], state=State.ATTENTION, cadence__isnull=False)
        for managed in waiting.filter(Q(reason__contains=FOLLOWED[0]) | Q(reason__contains=FOLLOWED[1])):
            with transaction.atomic():
                _let_deleted_be_followed(managed, now)
    newest = ObservationRecord.objects.filter(observationgroup__dynamiccadence=OuterRef('cadence')).order_by('-pk')
    values = {
        'state': State.ACTIVE,
        'reason': '',
        'reason_class': '',
        'ignore_before': Coalesce(Subquery(newest.values('pk')[:1]), 0),
        'resumed': now,
        'unreachable_since': None,
        'consecutive_failures': 0,
        **NOT_POSTPONED,
    }
    return _switch_many(pks, [State.PAUSED, State.ATTENTION], True, values, CadenceRun.Decision.NOTE, reason, now)


def _switch_many(
    pks: Sequence[int], states_before: Sequence[str], active: bool, values: dict[str, Any], kind: str, reason: str, now: datetime
) -> list[int]:
    done: list[int] = []
    for first in range(0, len(pks), CHUNK):
        with transaction.atomic():
            rows = ManagedCadence.objects.select_for_update(of=('self',)).filter(
                pk__in=pks[first : first + CHUNK], state__in=states_before, cadence__isnull=False
            )
            found = dict(rows.order_by('pk').values_list('pk', 'cadence_id'))
            ManagedCadence.objects.filter(pk__in=found).update(**values, last_check=now, last_run=None, version=F('version') + 1)
            DynamicCadence.objects.filter(pk__in=found.values()).update(active=active, modified=now)
            CadenceRun.objects.bulk_create(
                CadenceRun(managed_id=pk, decision=kind, reason=reason, first=now, last=now) for pk in found
            )
        done.extend(found)
    return done
