"""Who may see, ask and change what, for pages and API alike.

Seeing a query, a subscription or a point follows its target (and, with TARGET_PERMISSIONS_ONLY = False, the point itself). Asking
needs what the host demands of who adds data to a target. Changing a query or a subscription needs who asked, or a superuser.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from guardian.shortcuts import get_objects_for_user
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.models import Target, TargetList
from tom_targets.permissions import targets_for_user

from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription


def visible_targets(user: Any) -> QuerySet[Any]:
    """Targets this user may see."""
    return targets_for_user(user, Target.objects.all(), 'view_target')


def askable_targets(user: Any) -> QuerySet[Any]:
    """Targets this user may ask a service about: those to which the host lets the user add data."""
    return targets_for_user(user, Target.objects.all(), 'change_target') if user.is_authenticated else Target.objects.none()


def visible_lists(user: Any) -> QuerySet[Any]:
    """Target lists this user may see, as the host's own page shows them."""
    return get_objects_for_user(user, 'tom_targets.view_targetlist', TargetList).order_by('name')


def visible_queries(user: Any, rows: QuerySet[PhotometryQuery] | None = None) -> QuerySet[PhotometryQuery]:
    """Queries about targets this user may see, of ``rows`` or of all."""
    rows = PhotometryQuery.objects.all() if rows is None else rows
    return rows if user.is_superuser else rows.filter(target__in=visible_targets(user).values('pk'))


def changeable_queries(user: Any, rows: QuerySet[PhotometryQuery] | None = None) -> QuerySet[PhotometryQuery]:
    """Queries this user may cancel: the user's own, about targets the user still sees."""
    rows = visible_queries(user, rows)
    if not user.is_authenticated:
        return rows.none()
    return rows if user.is_superuser else rows.filter(asked_by=user)


def visible_subscriptions(user: Any) -> QuerySet[PhotometrySubscription]:
    """The user's own, and those of single targets this user may see."""
    rows = PhotometrySubscription.objects.all()
    if user.is_superuser:
        return rows
    mine = Q(owner=user) if user.is_authenticated else Q(pk__in=[])
    return rows.filter(mine | Q(target__in=visible_targets(user).values('pk')))


def changeable_subscriptions(user: Any) -> QuerySet[PhotometrySubscription]:
    """The user's own."""
    rows = PhotometrySubscription.objects.all()
    if not user.is_authenticated:
        return rows.none()
    return rows if user.is_superuser else rows.filter(owner=user)


def visible_points(user: Any, target: Any) -> QuerySet[Any]:
    """The photometry of a target that this user may see; the target itself is looked at elsewhere."""
    rows = PhotometryReducedDatum.objects.filter(target_id=target.pk)
    if user.is_superuser or getattr(settings, 'TARGET_PERMISSIONS_ONLY', True):
        return rows
    held = get_objects_for_user(user, 'tom_dataproducts.view_photometryreduceddatum', PhotometryReducedDatum)
    return rows.filter(pk__in=held.values('pk'))


def visible_products(user: Any, rows: QuerySet[Any] | None = None) -> QuerySet[Any]:
    """Data products this user may see, of ``rows`` or of all."""
    rows = DataProduct.objects.all() if rows is None else rows
    if user.is_superuser:
        return rows
    if getattr(settings, 'TARGET_PERMISSIONS_ONLY', True):
        return rows.filter(target__in=visible_targets(user).values('pk'))
    held = get_objects_for_user(user, 'tom_dataproducts.view_dataproduct', DataProduct)
    return rows.filter(pk__in=held.values('pk'))
