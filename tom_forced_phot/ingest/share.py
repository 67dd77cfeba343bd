"""New points go on to other TOMs, where the target is shared continuously."""

from __future__ import annotations

import logging

from django.db import transaction
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.models import PersistentShare
from tom_targets.sharing import continuous_share_data

from tom_forced_phot.ingest.bulk import slices

logger = logging.getLogger(__name__)


def after_commit(product: DataProduct, newest: int) -> None:
    """Share the product's points with ids above ``newest`` once they are committed; a failure is logged and harms nothing."""
    if PersistentShare.objects.filter(target_id=product.target_id).exists():
        transaction.on_commit(lambda: _share(product, newest), robust=True)


def _share(product: DataProduct, newest: int) -> None:
    mine = PhotometryReducedDatum.objects.filter(data_product_id=product.pk, pk__gt=newest)
    for ids in slices(list(mine.order_by('pk').values_list('pk', flat=True))):
        try:
            continuous_share_data(product.target, list(PhotometryReducedDatum.objects.filter(pk__in=ids)))
        except Exception as error:  # other people's servers and settings: whatever it is, the points are stored
            logger.warning('Points of data product %s could not be shared: %r', product.pk, error)
            return
