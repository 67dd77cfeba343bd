"""Taking over the host's cadences: rows made by its forms, its admin, its REST API, or years ago."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F, Max, OuterRef, Q, Subquery
from tom_observations.models import DynamicCadence, ObservationRecord

from tom_cadence import conf
from tom_cadence.journal import notices, states
from tom_cadence.journal.log import note
from tom_cadence.journal.records import follow_groups
from tom_cadence.models import CadenceRun, ManagedCadence, Submission

State = ManagedCadence.State


def unadopted() -> list[int]:
    """The host's cadences that have no journal row yet."""
    return list(DynamicCadence.objects.filter(managed__isnull=True).order_by('pk').values_list('pk', flat=True))


def adopt_missing(now: datetime, only: Sequence[int] | None = None) -> int:
    """Take over every cadence that has no journal row yet, or those of them that are named; how many."""
    rows = DynamicCadence.objects.filter(managed__isnull=True)
    found = list(_with_newest(rows if only is None else rows.filter(pk__in=only)))
    adopt(found, now)
    return len(found)


def adopt(cadences: Iterable[Any], now: datetime) -> None:
    """Make the journal rows of these cadences; two processes that do so at once make one."""
    default = default_owner()
    cadences = list(cadences)
    numbers = _numbers([cadence.pk for cadence in cadences])
    rows = [
        ManagedCadence(
            pk=numbers[cadence.pk],
            cadence=cadence,
            host_cadence_id=cadence.pk,
            strategy=cadence.cadence_strategy,
            state=State.ACTIVE if cadence.active else State.PAUSED,
            reason='' if cadence.active else 'It was switched off before this app took it over.',
            owner_id=getattr(cadence, 'owner_id', None) or default.pk,
            owner_name=getattr(cadence, 'owner_name', None) or default.username,
            facility=getattr(cadence, 'facility', None) or '',
            target_name=getattr(cadence, 'target_name', None) or '',
            created=now,
        )
        for cadence in cadences
    ]
    ManagedCadence.objects.bulk_create(rows, ignore_conflicts=True, batch_size=200)
    if rows:
        follow_groups(pk__in=[row.host_cadence_id for row in rows])


def _numbers(cadences: Sequence[int]) -> dict[int, int]:
    """The number of each cadence: the host's own, so that pages, commands and mails mean the same one by it.

    A number that a deleted cadence has had, which a database should not give twice, is not given again.
    """
    taken = set(ManagedCadence.objects.filter(pk__in=cadences).exclude(cadence__in=cadences).values_list('pk', flat=True))
    newest = max([*cadences, ManagedCadence.objects.aggregate(Max('pk'))['pk__max'] or 0]) if taken else 0
    free = count(newest + 1)
    return {pk: next(free) if pk in taken else pk for pk in cadences}


def _with_newest(cadences: Any) -> Any:
    """The cadences with what their newest record says, and the owner: the user of the newest record that has one."""
    newest = ObservationRecord.objects.filter(observationgroup=OuterRef('observation_group')).order_by('-created', '-pk')
    owned = newest.filter(user__isnull=False)
    return cadences.annotate(
        owner_id=Subquery(owned.values('user')[:1]),
        owner_name=Subquery(owned.values('user__username')[:1]),
        facility=Subquery(newest.values('facility')[:1]),
        target_name=Subquery(newest.values('target__name')[:1]),
    )


@dataclass(frozen=True)
class Default:
    """Who owns what nobody owns; nobody where the setting is empty, or names nobody who is active."""

    pk: int | None = None
    username: str = ''


def default_owner() -> Default:
    """Who owns what nobody owns."""
    name = conf.get('DEFAULT_OWNER')
    users = get_user_model().objects.filter(**{get_user_model().USERNAME_FIELD: name}, is_active=True) if name else None
    found = users.first() if users is not None else None
    return Default(found.pk, found.get_username()) if found else Default()


def complete(managed: Sequence[ManagedCadence]) -> None:
    """Fill in owner and snapshot of cadences that were made before their first observation; nobody replaces a deleted owner."""
    lacking = {row.cadence_id: row for row in managed if not (row.owner_id and row.facility and row.target_name)}
    if not lacking:
        return
    default = default_owner()
    for cadence in _with_newest(DynamicCadence.objects.filter(pk__in=lacking)):
        _complete_one(lacking[cadence.pk], cadence, default)


def _complete_one(row: ManagedCadence, cadence: Any, default: Default) -> None:
    known = {
        'owner_id': row.owner_id or (None if row.owner_name else cadence.owner_id or default.pk),
        'owner_name': row.owner_name or cadence.owner_name or default.username,
        'facility': row.facility or cadence.facility or '',
        'target_name': row.target_name or cadence.target_name or '',
    }
    if any(getattr(row, name) != value for name, value in known.items()):
        ManagedCadence.objects.filter(pk=row.pk).update(**known)
        for name, value in known.items():
            setattr(row, name, value)


SWITCHED_OFF = Q(state=State.ACTIVE, cadence__active=False)
SWITCHED_ON = Q(cadence__active=True) & ~Q(state=State.ACTIVE)


def switched_unseen() -> list[int]:
    """Cadences whose ``active`` was changed past the signals (by a script, a shell)."""
    return list(ManagedCadence.objects.filter(SWITCHED_OFF | SWITCHED_ON).order_by('pk').values_list('pk', flat=True))


def reconcile(now: datetime, only: Sequence[int] | None = None) -> None:
    """Read such a change as pause or resume, of every cadence or of those that are named."""
    rows = ManagedCadence.objects.all() if only is None else ManagedCadence.objects.filter(pk__in=only)
    for managed in rows.filter(SWITCHED_OFF):
        states.stop(managed, State.PAUSED, 'It was switched off in the admin or by a script.', now, reason_class='person')
    for managed in rows.filter(SWITCHED_ON):
        states.resume(managed, now, 'It was switched on in the admin or by a script.')


def switched(cadence: DynamicCadence, now: datetime) -> None:
    """The same for one cadence that was just saved; its version is raised in any case."""
    managed = ManagedCadence.objects.filter(cadence=cadence).first()
    if managed is None:
        adopt(_with_newest(DynamicCadence.objects.filter(pk=cadence.pk)), now)
    elif managed.state == State.ACTIVE and not cadence.active:
        states.stop(managed, State.PAUSED, 'It was switched off.', now, reason_class='person')
    elif managed.state != State.ACTIVE and cadence.active:
        states.resume(managed, now, 'It was switched on.')
    else:
        changed = {'version': F('version') + 1, 'strategy': cadence.cadence_strategy}
        ManagedCadence.objects.filter(pk=managed.pk).update(**changed, **states.NOT_POSTPONED)


def close_deleted(cadence: DynamicCadence, unfinished: Sequence[str], now: datetime) -> None:
    """The host's row is about to go: write the closing line, and tell the owner which observations are still booked."""
    managed = ManagedCadence.objects.filter(cadence=cadence).select_related('owner').first()
    if managed is None:
        return
    reason = 'The cadence or its observation group was deleted.'
    if unfinished:
        reason += f' Still booked at {managed.facility}: {", ".join(unfinished)}.'
    if Submission.objects.filter(managed=managed, state__in=Submission.OPEN).exists():
        reason += f' One request may be at {managed.facility} although no reply arrived: look there.'
    with transaction.atomic():
        ManagedCadence.objects.filter(pk=managed.pk).update(
            state=State.FINISHED,
            reason=reason,
            cadence=None,
            version=F('version') + 1,
            claim_holder='',
            claim_expires=None,
        )
        note(managed, CadenceRun.Decision.STOP, reason, now)
    notices.tell_owner(managed, 'deleted', reason)
