"""Who may see the points, where a site gives permissions to each product and point (TARGET_PERMISSIONS_ONLY = False)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from guardian.shortcuts import get_groups_with_perms
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.models import Target

from tom_forced_phot.ingest.point_rows import Integers

BATCH = 2000


@dataclass(frozen=True)
class Watchers:
    """Who gets to see what a file brings."""

    users: Sequence[Any] = ()
    groups: Sequence[Any] = ()


def needed() -> bool:
    """Whether points have permissions of their own; else they follow the target."""
    return not getattr(settings, 'TARGET_PERMISSIONS_ONLY', True)


def grant(product: DataProduct, made: QuerySet[Any], seen: Iterable[Integers], watchers: Watchers) -> None:
    """Let the watchers, the target's groups, and whoever may see the product, see it and the points that its file names."""
    if not needed():
        return
    users = {user.pk for user in watchers.users} | set(_holders(get_user_obj_perms_model(), product, 'user_id'))
    groups = {group.pk for group in [*watchers.groups, *target_groups(product.target)]}
    groups |= set(_holders(get_group_obj_perms_model(), product, 'group_id'))
    ids = [*made.values_list('pk', flat=True), *(pk for some in seen for pk in some.tolist())]
    for model, attribute, holders in (
        (get_user_obj_perms_model(), 'user_id', users),
        (get_group_obj_perms_model(), 'group_id', groups),
    ):
        for holder in sorted(holders):
            assign(model, {attribute: holder}, DataProduct, [product.pk])
            assign(model, {attribute: holder}, PhotometryReducedDatum, ids)


def assign(model: Any, holder: dict[str, int], kind: type[Any], ids: Sequence[int]) -> None:
    """Permission to view the objects of one kind, for one user or group; whoever has it keeps it."""
    content_type = ContentType.objects.get_for_model(kind)
    permission = Permission.objects.get(content_type=content_type, codename=f'view_{kind._meta.model_name}')
    rows = (model(permission=permission, content_type=content_type, object_pk=str(pk), **holder) for pk in ids)
    model.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)


def target_groups(target: Any) -> Iterator[Group]:
    """The groups that may view the target; a TOM with a target class of its own gives the permission on that class."""
    own = target if isinstance(target, Target) else Target.objects.filter(pk=target.pk).first()
    for one in {type(some): some for some in (target, own) if some is not None}.values():
        for group, names in get_groups_with_perms(one, attach_perms=True).items():
            if 'view_target' in names:
                yield group


def _holders(model: Any, product: DataProduct, attribute: str) -> QuerySet[Any]:
    content_type = ContentType.objects.get_for_model(DataProduct)
    return model.objects.filter(
        content_type=content_type, object_pk=str(product.pk), permission__codename='view_dataproduct'
    ).values_list(attribute, flat=True)
