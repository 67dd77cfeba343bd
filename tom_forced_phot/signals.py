"""What the host's rows tell us: a data product, a target or a user goes, or changes; somebody may see one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models.signals import post_save, pre_delete
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model
from tom_dataproducts.models import DataProduct
from tom_targets.models import BaseTarget, Target

from tom_followup.target_merge import merged_into
from tom_forced_phot import conf, ingest, queries, subscriptions


def connect() -> None:
    """Listen to the host's models and to guardian's."""
    pre_delete.connect(product_goes, sender=DataProduct, dispatch_uid='tom_forced_phot.product_goes')
    post_save.connect(product_goes_elsewhere, sender=DataProduct, dispatch_uid='tom_forced_phot.product_goes_elsewhere')
    pre_delete.connect(user_goes, sender=settings.AUTH_USER_MODEL, dispatch_uid='tom_forced_phot.user_goes')
    post_save.connect(user_changes, sender=settings.AUTH_USER_MODEL, dispatch_uid='tom_forced_phot.user_changes')
    for target in {BaseTarget, Target}:
        pre_delete.connect(target_goes, sender=target, dispatch_uid=f'tom_forced_phot.target_goes.{target.__name__}')
    for model in (get_user_obj_perms_model(), get_group_obj_perms_model()):
        post_save.connect(permission_given, sender=model, dispatch_uid=f'tom_forced_phot.{model.__name__}')


def product_goes(*, instance: DataProduct, origin: Any = None, **_: Any) -> None:
    """Keep the points that another product still supports."""
    ingest.before_deletion(instance, origin)


def product_goes_elsewhere(*, instance: DataProduct, created: bool, raw: bool = False, **_: Any) -> None:
    """Points go with their product to another target, as where two targets are merged."""
    if not created and not raw:
        ingest.follow_product(instance)


def target_goes(*, sender: type[BaseTarget], instance: Any, using: str, **_: Any) -> None:
    """What it left to another target, into which it was merged, is put in order there; its rows have moved by now.

    Where there is none, what was asked about it goes with it, and whoever waits for that is told.
    """
    stays = merged_into(instance.pk, using)
    if stays is not None:
        subscriptions.after_merge(stays)
    elif sender is BaseTarget:  # of a site's own class of targets both are sent
        queries.target_deleted(instance, conf.utc_now())


def permission_given(*, instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    """The host's upload page lets groups see a product after it was processed: let them see its points too."""
    if created and not raw and instance.permission.codename == 'view_dataproduct':
        ingest.follow_permission(instance)


def user_goes(*, instance: Any, **_: Any) -> None:
    """What a deleted user asked for is left to who follows it, or ends; nothing of it becomes everybody's."""
    subscriptions.owner_goes(instance)
    queries.owner_deleted(instance, conf.utc_now())


def user_changes(*, instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    """A user who is deactivated asks nothing more: what was not sent yet is left to who follows it, or ends."""
    if not created and not raw and not instance.is_active:
        queries.owner_left(instance, conf.utc_now(), 'was deactivated')
