"""Who may see and who may change what, for pages and API alike.

Seeing follows the targets of the cadence's observations (and, with TARGET_PERMISSIONS_ONLY = False, the observation group).
Changing needs the owner, somebody who was given the permission to change every target of the cadence, or a superuser. That the
toolkit lets everybody edit public targets does not count: whoever changes a cadence spends its owner's telescope time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from guardian.shortcuts import get_objects_for_user
from tom_dataproducts.models import PhotometryReducedDatum
from tom_observations.models import ObservationGroup, ObservationRecord, ObservationTemplate
from tom_targets.models import Target
from tom_targets.permissions import targets_for_user

from tom_cadence.models import ManagedCadence, SharedTemplate

Rows = QuerySet[ManagedCadence]
UNSEEN = 'a target that you may not see'
"""An owner keeps a cadence, and may stop it, when the permission on its target was taken away."""


def visible_cadences(user: Any, rows: Rows | None = None) -> Rows:
    """Cadences this user may see, of ``rows`` or of all."""
    return _allowed(user, rows, 'view')


def changeable_cadences(user: Any, rows: Rows | None = None) -> Rows:
    """Cadences this user may pause, resume, edit and end."""
    if not user.is_authenticated:
        return ManagedCadence.objects.none()
    return _allowed(user, rows, 'change')


def may_change(user: Any, managed: ManagedCadence) -> bool:
    """Whether this user may change this cadence."""
    return changeable_cadences(user, ManagedCadence.objects.filter(pk=managed.pk)).exists()


def visible_targets(user: Any, rows: QuerySet[Any] | None = None) -> QuerySet[Any]:
    """Targets this user may see, of ``rows`` or of all."""
    return targets_for_user(user, Target.objects.all() if rows is None else rows, 'view_target')


def startable_targets(user: Any) -> QuerySet[Any]:
    """Targets for which this user may start a cadence of their own: those that the toolkit lets them change."""
    return targets_for_user(user, Target.objects.all(), 'change_target') if user.is_authenticated else Target.objects.none()


def targets_with_change_permission(user: Any) -> QuerySet[Any]:
    """Targets that this user was given the permission to change: in person, by a group, or for all targets."""
    return get_objects_for_user(user, f'{Target._meta.app_label}.change_target', Target.objects.all())


def may_see_all(user: Any, targets: QuerySet[Any]) -> bool:
    """Whether this user may see every one of these targets."""
    return not targets.exclude(pk__in=visible_targets(user).values('pk')).exists()


def visible_groups(user: Any) -> QuerySet[ObservationGroup]:
    """Observation groups this user may see, by themselves where the site says so; their observations are another question."""
    return _groups(user, 'view')


def changeable_groups(user: Any) -> QuerySet[ObservationGroup]:
    """Observation groups this user may start a cadence on, by themselves where the site says so."""
    return _groups(user, 'change')


def _groups(user: Any, action: str) -> QuerySet[ObservationGroup]:
    if settings.TARGET_PERMISSIONS_ONLY or user.is_superuser:
        return ObservationGroup.objects.all()
    return get_objects_for_user(user, f'tom_observations.{action}_observationgroup', ObservationGroup)


def names_visible_to(user: Any) -> Q:
    """Of cadences: those of whose targets this user may see all, so that their names may be told and searched."""
    if user.is_superuser:
        return Q()
    return ~Q(Exists(_records().exclude(target__in=visible_targets(user).values('pk'))))


def without_names(names: Iterable[str], text: str) -> str:
    """A reason or a notice without these names of targets, which its reader may not know; as whole words, the longest first."""
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = re.sub(rf'(?<!\w){re.escape(name)}(?!\w)', UNSEEN, text)
    return text


def visible_records(user: Any, rows: QuerySet[Any] | None = None) -> QuerySet[Any]:
    """Observation records this user may see: by their target, and by themselves where the site says so."""
    rows = ObservationRecord.objects.all() if rows is None else rows
    if user.is_superuser:
        return rows
    if settings.TARGET_PERMISSIONS_ONLY:
        return rows.filter(target__in=visible_targets(user).values('pk'))
    held = get_objects_for_user(user, 'tom_observations.view_observationrecord', ObservationRecord)
    return rows.filter(pk__in=held.values('pk'))


def visible_points(user: Any, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Photometric points this user may see, of targets that the user may see: by themselves where the site says so."""
    if settings.TARGET_PERMISSIONS_ONLY or user.is_superuser:
        return rows
    return get_objects_for_user(user, 'tom_dataproducts.view_photometryreduceddatum', klass=rows)


def targets_seen_whole(user: Any, targets: Iterable[int]) -> set[int]:
    """Those of these targets (primary keys) that this user may see with all of their photometric points."""
    seen = set(visible_targets(user, Target.objects.filter(pk__in=targets)).values_list('pk', flat=True))
    if settings.TARGET_PERMISSIONS_ONLY or user.is_superuser or not seen:
        return seen
    points = PhotometryReducedDatum.objects.filter(target__in=seen).order_by()
    there, allowed = (
        dict(rows.order_by().values_list('target').annotate(Count('pk'))) for rows in (points, visible_points(user, points))
    )
    return {pk for pk in seen if there.get(pk, 0) == allowed.get(pk, 0)}


def may_read_reasons(user: Any, managed: ManagedCadence, target: int | None) -> bool:
    """Whether what a cadence that looks at photometry of this target says tells this user nothing of points that may not be seen.

    It looks with its owner's eyes.
    """
    if target is None or user.is_superuser:
        return True
    if user.pk is not None and user.pk == managed.owner_id:
        return visible_targets(user, Target.objects.filter(pk=target)).exists()
    return target in targets_seen_whole(user, [target])


def cancellable_records(user: Any, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Observation records this user may cancel: the user's own, and those that the user was given the permission to change."""
    if user.is_superuser:
        return rows
    if not user.is_authenticated:
        return rows.none()
    if settings.TARGET_PERMISSIONS_ONLY:
        return rows.filter(Q(user=user) | Q(target__in=targets_with_change_permission(user).values('pk')))
    held = get_objects_for_user(user, 'tom_observations.change_observationrecord', ObservationRecord)
    return rows.filter(Q(user=user) | Q(pk__in=held.values('pk')))


def _allowed(user: Any, rows: Rows | None, action: str) -> Rows:
    rows = ManagedCadence.objects.all() if rows is None else rows
    if user.is_superuser:
        return rows
    targets = visible_targets(user) if action == 'view' else targets_with_change_permission(user)
    allowed = Q(Exists(_records())) & ~Q(Exists(_records().exclude(target__in=targets.values('pk'))))
    if not settings.TARGET_PERMISSIONS_ONLY:
        allowed &= Q(cadence__observation_group__in=_groups(user, action).values('pk'))
    if user.is_authenticated:
        allowed |= Q(owner=user)
    return rows.filter(allowed)


def _records() -> QuerySet[Any]:
    return ObservationRecord.objects.filter(observationgroup__dynamiccadence=OuterRef('cadence'))


def visible_templates(user: Any) -> QuerySet[ObservationTemplate]:
    """Observation templates this user may see and use: nobody's, the user's own, and those shared with the user's groups."""
    rows = ObservationTemplate.objects.all()
    if user.is_superuser:
        return rows
    allowed = _nobodys()
    if user.is_authenticated:
        shared = SharedTemplate.objects.filter(ownership__template=OuterRef('pk'), group__in=user.groups.all())
        allowed |= Q(ownership__owner=user) | Q(Exists(shared))
    return rows.filter(allowed)


def changeable_templates(user: Any) -> QuerySet[ObservationTemplate]:
    """Observation templates this user may edit and delete: the user's own, and nobody's, which the user so takes over."""
    rows = ObservationTemplate.objects.all()
    if not user.is_authenticated:
        return rows.none()
    if user.is_superuser:
        return rows
    return rows.filter(_nobodys() | Q(ownership__owner=user))


def _nobodys() -> Q:
    """Of templates: those made with the toolkit. One whose owner was deleted is not everybody's for that."""
    return Q(ownership__isnull=True) | Q(ownership__owner__isnull=True, ownership__orphaned=False)
