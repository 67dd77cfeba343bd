"""What the host's rows tell us: a data product goes, or goes to another target; somebody may see one."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_save, pre_delete
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model
from tom_dataproducts.models import DataProduct

from tom_forced_phot import ingest


def connect() -> None:
    """Listen to the host's models and to guardian's."""
    pre_delete.connect(product_goes, sender=DataProduct, dispatch_uid='tom_forced_phot.product_goes')
    post_save.connect(product_goes_elsewhere, sender=DataProduct, dispatch_uid='tom_forced_phot.product_goes_elsewhere')
    for model in (get_user_obj_perms_model(), get_group_obj_perms_model()):
        post_save.connect(permission_given, sender=model, dispatch_uid=f'tom_forced_phot.{model.__name__}')


def product_goes(*, instance: DataProduct, origin: Any = None, **_: Any) -> None:
    """Keep the points that another product still supports."""
    ingest.before_deletion(instance, origin)


def product_goes_elsewhere(*, instance: DataProduct, created: bool, raw: bool = False, **_: Any) -> None:
    """Points go with their product to another target, as where two targets are merged."""
    if not created and not raw:
        ingest.follow_product(instance)


def permission_given(*, instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    """The host's upload page lets groups see a product after it was processed: let them see its points too."""
    if created and not raw and instance.permission.codename == 'view_dataproduct':
        ingest.follow_permission(instance)
