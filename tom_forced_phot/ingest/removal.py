"""A data product goes: the points that another file of the light curve still names stay.

The host deletes a product's points with it (CASCADE; its own page even before it). So the points are moved to another product
that names them, before. Afterwards each exposure that the product's file named is what the newest remaining file says: what the
product overwrote comes back, and what was deleted before we heard of it is stored again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.fields.json import KeyTextTransform
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.base_models import BaseTarget

from tom_followup.retry import until_written
from tom_forced_phot.ingest import sql
from tom_forced_phot.ingest.files import identities, read_again
from tom_forced_phot.ingest.store import count_again, put_back, take_turn
from tom_forced_phot.models import IngestedFile, LightCurve

logger = logging.getLogger(__name__)


def before_deletion(product: DataProduct, origin: Any) -> None:
    """Move the product's points that another file names; ``origin`` is what Django was told to delete."""
    kind = origin.model if isinstance(origin, QuerySet) else type(origin)
    if issubclass(kind, BaseTarget):
        return
    file = IngestedFile.objects.filter(data_product_id=product.pk).select_related('light_curve').first()
    if file is None:
        return
    curve = take_turn(file.light_curve.target_id, file.light_curve.service)
    going = {product.pk}
    if isinstance(origin, QuerySet) and origin.model is DataProduct:  # deleted together
        going |= {each.pk for each in origin}
    left = _points(product)
    table = read_again(file)
    named = set(identities(table, file.reduction)) if table is not None else None
    for other in _files(curve):
        if left and other.data_product_id not in going:
            found = read_again(other)
            keys = identities(found, other.reduction) if found is not None else []
            sql.move([left.pop(key) for key in keys if key in left], other.data_product_id)
    # what is to be true once they are gone; if it is not, more was deleted than we saw
    LightCurve.objects.filter(pk=curve.pk).update(points=F('points') - min(len(left), curve.points))
    waiting = [callback for _, callback, *_ in connection.run_on_commit if isinstance(callback, Settle)]
    settle = next((callback for callback in waiting if callback.curve == curve.pk), None)
    if settle is None:
        transaction.on_commit(Settle(curve.pk, named), robust=True)
    else:
        settle.named = None if named is None or settle.named is None else settle.named | named


@dataclass(eq=False)
class Settle:
    """What remains to be done after the deletion: once for a light curve, however many products go together."""

    curve: int
    #: (reduction, exposure) of what the files named that go; None where one of them cannot be read any more.
    named: set[tuple[str, str]] | None

    def __call__(self) -> None:
        """Let each of these exposures be as the newest remaining file has it, and count."""
        until_written(self._settle, most=8)

    def _settle(self) -> None:
        with transaction.atomic():
            found = LightCurve.objects.filter(pk=self.curve).first()
            if found is None:
                return
            curve = take_turn(found.target_id, found.service)
            seen: set[tuple[str, str]] = set()
            for file in _files(curve):
                if self.named is not None and self.named <= seen:
                    break
                table = read_again(file)
                if table is not None:
                    keys = identities(table, file.reduction)
                    wanted = [key not in seen and (self.named is None or key in self.named) for key in keys]
                    seen.update(key for key, is_wanted in zip(keys, wanted, strict=True) if is_wanted)
                    chosen = table.only(np.array(wanted, dtype=np.bool_))
                    put_back(file.data_product, chosen, curve.service, file.reduction)
            LightCurve.objects.filter(pk=curve.pk).update(version=F('version') + 1, **count_again(curve))


def _files(curve: LightCurve) -> list[IngestedFile]:
    """The files of a light curve, newest first."""
    return list(curve.files.select_related('data_product', 'light_curve').order_by('-ingested', '-pk'))


def _points(product: DataProduct) -> dict[tuple[str, str], int]:
    """(reduction, exposure) -> id of the points that the product brought."""
    mine = PhotometryReducedDatum.objects.filter(data_product_id=product.pk)
    found = mine.values_list('reduction_version', KeyTextTransform('exposure', 'value'), 'pk')
    return {(reduction, exposure): pk for reduction, exposure, pk in found if exposure is not None}
