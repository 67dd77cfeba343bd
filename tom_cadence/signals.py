"""What the host's rows tell us: a cadence made, switched, edited or deleted, a group changed, a user or a target going."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.signals import request_finished
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord
from tom_targets.models import BaseTarget

from tom_cadence import conf, journal
from tom_cadence.journal import departures, foreign


def connect() -> None:
    """Listen to the host's models."""
    post_save.connect(cadence_saved, sender=DynamicCadence, dispatch_uid='tom_cadence.saved')
    post_save.connect(record_saved, sender=ObservationRecord, dispatch_uid='tom_cadence.record_saved')
    request_finished.connect(foreign.rescue, dispatch_uid='tom_cadence.rescue')
    foreign.rescue_at_exit()
    pre_delete.connect(cadence_deleted, sender=DynamicCadence, dispatch_uid='tom_cadence.deleted')
    pre_delete.connect(user_goes, sender=settings.AUTH_USER_MODEL, dispatch_uid='tom_cadence.user_goes')
    pre_delete.connect(target_goes, sender=BaseTarget, dispatch_uid='tom_cadence.target_goes')
    for changed in (post_save, post_delete):
        changed.connect(budget_changed, sender='tom_cadence.ProposalBudget', dispatch_uid='tom_cadence.budget_changed')
    m2m_changed.connect(
        group_changed, sender=ObservationGroup.observation_records.through, dispatch_uid='tom_cadence.group_changed'
    )


def cadence_saved(*, instance: DynamicCadence, raw: bool = False, **_: Any) -> None:
    """Adopt a new cadence; read a change of ``active`` as pause or resume; let any edit outdate what was read before."""
    if not raw:
        journal.switched(instance, conf.utc_now())


def record_saved(*, instance: ObservationRecord, raw: bool = False, **_: Any) -> None:
    """Other code of this TOM may have asked for it; then its request is settled."""
    if not raw:
        foreign.record_saved(instance, conf.utc_now)


def cadence_deleted(*, instance: DynamicCadence, **_: Any) -> None:
    """Write the closing line before the host's row goes."""
    booked = [each.observation_id for each in instance.observation_group.observation_records.all() if not _terminal(each)]
    journal.close_deleted(instance, booked, conf.utc_now())


def group_changed(*, action: str, instance: Any, reverse: bool, pk_set: set[int] | None = None, **_: Any) -> None:
    """A record came into a group, or left it: decisions made before count as old."""
    if action not in ('post_add', 'post_remove', 'post_clear'):
        return
    if not reverse:
        journal.raise_version(cadence__observation_group=instance)
        if action == 'post_add':
            journal.follow_groups(observation_group=instance)
    elif pk_set:
        journal.raise_version(cadence__observation_group__in=pk_set)


def user_goes(*, instance: Any, **_: Any) -> None:
    """What a user owns is left to nobody by itself."""
    departures.owner_goes(instance, conf.utc_now())


def budget_changed(*, instance: Any, raw: bool = False, **_: Any) -> None:
    """There may be hours again: who waits for them asks in the next run."""
    if not raw:
        journal.hours_changed(instance.facility, conf.utc_now())


def target_goes(*, instance: Any, **_: Any) -> None:
    """The records of a target go with it: what is still booked is said before. One that was merged has none any more."""
    found = []
    for managed in departures.cadences_of(instance):
        records = managed.host.observation_group.observation_records
        booked = [record.observation_id for record in records.filter(target=instance.pk) if not _terminal(record)]
        found.append((managed, booked, records.exclude(target=instance.pk).exists()))
    departures.target_goes(instance, found, conf.utc_now())


def _terminal(record: ObservationRecord) -> bool:
    """Whether it is over, as far as the facility's class can tell."""
    try:
        return bool(record.terminal)
    except Exception:  # a facility that is configured no more: better to name one too many
        return False
