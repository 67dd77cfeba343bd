"""A data product goes, or goes to another target: the points that another file of the light curve still names stay.

The host deletes a product's points with it (CASCADE; its own page even before it). So the points are moved to another product
that names them, before. Afterwards each exposure that the product's file named is what the newest remaining file says: what the
product overwrote comes back, and what was deleted before we heard of it is stored again.

A product that goes to another target takes its points along, and each exposure is there once. So it does where two targets are
merged: the toolkit moves every product before it moves points, one by one, and fails at the first that the other target has too.
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
from tom_forced_phot.ingest import positions, sql
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


def follow_product(product: DataProduct) -> None:
    """Let the points that the product brought be its target's; of an exposure that is there already, the target's own stays."""
    file = IngestedFile.objects.filter(data_product_id=product.pk).select_related('light_curve').first()
    if file is None or file.light_curve.target_id == product.target_id:
        return
    before = file.light_curve
    with transaction.atomic():
        old, new = (take_turn(target, before.service) for target in (before.target_id, product.target_id))
        mine = PhotometryReducedDatum.objects.filter(data_product_id=product.pk, target_id=old.target_id)
        known = PhotometryReducedDatum.objects.filter(target_id=new.target_id, source_name=new.service)
        there = set(known.values_list('reduction_version', KeyTextTransform('exposure', 'value')))
        doubled: list[int] = []
        moving: list[int] = []
        for reduction, exposure, pk in mine.values_list('reduction_version', KeyTextTransform('exposure', 'value'), 'pk'):
            (doubled if (reduction, exposure) in there else moving).append(pk)
        sql.delete(doubled)
        moved = sql.give(moving, new.target_id)
        message = f'{file.message} Came here with target {before.target_id}: {moved:,} points moved'
        if len(doubled) + len(moving) > moved:
            message += f', {len(doubled) + len(moving) - moved:,} of exposures that were here already removed'
        IngestedFile.objects.filter(pk=file.pk).update(light_curve=new, message=f'{message}.{_elsewhere(file, new)}')
        for curve in (old, new):
            LightCurve.objects.filter(pk=curve.pk).update(version=F('version') + 1, **count_again(curve))


def _elsewhere(file: IngestedFile, curve: LightCurve) -> str:
    """That it was measured elsewhere than the target is, if so."""
    target = curve.target
    if file.ra is None or file.dec is None or target.type != 'SIDEREAL' or target.ra is None or target.dec is None:
        return ''
    arcsec = float(positions.separations(target.ra, target.dec, file.ra, file.dec))
    return f' Measured {positions.distance(arcsec)} from {target.name}.' if arcsec > positions.APART else ''
