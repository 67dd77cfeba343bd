"""Uploaded files whose kind was assumed: put right as soon as a file of a known kind holds the same measurements.

Files of some services say nowhere whether they were measured on difference or on reduced images. So that a file uploaded by hand
and the same one asked for are one set of points, those of the former move to the kind of the latter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from django.db.models.fields.json import KeyTextTransform
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.ingest import hidden, match, sql
from tom_forced_phot.models import IngestedFile, LightCurve

#: Fluxes are printed as whole microjansky.
PRINTED = 1.0


def put_right(curve: LightCurve, product: DataProduct, table: Measurements, reduction: str) -> str:
    """Let assumed files of another kind that hold the table's measurements be of this kind; what was done, in words."""
    files = curve.files.filter(assumed=True).exclude(reduction=reduction).exclude(data_product=product)
    if not len(table) or not files.exists():
        return ''
    values = list(zip(table.flux.tolist(), table.flux_error.tolist(), strict=True))
    measured = dict(zip(match.made_names(table), values, strict=True))  # of a file that names no exposures
    measured |= dict(zip(map(str, table.exposure.tolist()), values, strict=True))
    changed = [file for file in files.select_related('data_product') if _relabelled(file, measured, reduction)]
    if not changed:
        return ''
    names = 'an uploaded file was' if len(changed) == 1 else f'{len(changed)} uploaded files were'
    return f'{names} taken as another kind and holds the same: it is {reduction} photometry, too'


def _relabelled(file: IngestedFile, measured: dict[str, tuple[float, float]], reduction: str) -> bool:
    """Whether the points that the file brought say what is measured here; then they are of this kind now."""
    mine = PhotometryReducedDatum.objects.filter(data_product_id=file.data_product_id, reduction_version=file.reduction)
    exposures: dict[int, str] = {}
    same = common = 0
    for pk, value in mine.values_list('pk', 'value').iterator(chunk_size=2000):
        exposures[pk] = str(value.get('exposure')) if isinstance(value, dict) else ''
        known = measured.get(exposures[pk])
        if known is not None:
            common += 1
            same += all(_close(value.get(name), number) for name, number in zip(('flux', 'flux_error'), known, strict=True))
    if not common or 2 * same <= common:
        return False
    curve = file.light_curve
    there = set(
        PhotometryReducedDatum.objects.filter(
            target_id=curve.target_id, source_name=curve.service, reduction_version=reduction
        ).values_list(KeyTextTransform('exposure', 'value'), flat=True)
    )
    sql.delete([pk for pk, exposure in exposures.items() if exposure in there])
    for some in sql.slices([pk for pk, exposure in exposures.items() if exposure not in there]):
        PhotometryReducedDatum.objects.filter(pk__in=some).update(reduction_version=reduction)
    hidden.relabel(curve, file.reduction, reduction, {exposure[: hidden.LONGEST_EXPOSURE] for exposure in exposures.values()})
    IngestedFile.objects.filter(pk=file.pk).update(reduction=reduction, assumed=False)
    return True


def _close(stored: Any, number: float) -> bool:
    return isinstance(stored, (int, float)) and bool(np.isfinite(number)) and abs(stored - number) <= PRINTED
