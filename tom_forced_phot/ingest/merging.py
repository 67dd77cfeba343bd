"""A data product that goes to another target takes its points along, and each exposure is there once.

So it does where two targets are merged: the toolkit moves every product before it moves points, one by one, and fails at the first
that the other target has too.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.db.models.fields.json import KeyTextTransform
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tom_forced_phot.ingest import positions, sql
from tom_forced_phot.ingest.store import count_again, take_turn
from tom_forced_phot.models import IngestedFile, LightCurve


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
