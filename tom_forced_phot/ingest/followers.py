"""Who gets to see a product gets to see the points that its file names."""

from __future__ import annotations

from typing import Any

from tom_dataproducts.models import PhotometryReducedDatum

from tom_forced_phot.ingest import permissions
from tom_forced_phot.ingest.files import points_of
from tom_forced_phot.models import IngestedFile


def follow_permission(given: Any) -> None:
    """``given`` is guardian's row that lets a user or a group see a data product; nothing is done for products not ours."""
    if not permissions.needed() or not str(given.object_pk).isdecimal():
        return
    files = IngestedFile.objects.filter(data_product_id=int(given.object_pk)).select_related('light_curve', 'data_product')
    file = files.first()
    if file is None:
        return
    own = PhotometryReducedDatum.objects.filter(data_product_id=file.data_product_id).values_list('pk', flat=True)
    ids = set(own)
    if len(ids) < file.rows - file.rejected:
        ids.update(points_of(file))
    name = 'user_id' if hasattr(given, 'user_id') else 'group_id'
    permissions.assign(type(given), {name: getattr(given, name)}, PhotometryReducedDatum, sorted(ids))
