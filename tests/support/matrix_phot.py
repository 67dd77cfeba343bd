"""What hangs on a private target at the photometry services: queries, a file, a point, a subscription, a notice, an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from guardian.shortcuts import assign_perm
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tests.conftest import NIGHT
from tom_forced_phot.models import (
    IngestedFile,
    LightCurve,
    PhotometryAnnouncement,
    PhotometryNotice,
    PhotometryQuery,
    PhotometrySubscription,
    ServiceCredential,
)


@dataclass
class Phot:
    """Of one target; ``owner`` asked."""

    open: PhotometryQuery
    done: PhotometryQuery
    point: Any
    subscription: PhotometrySubscription
    notice: PhotometryNotice


def make_phot(target: Any, owner: Any, people: Any) -> Phot:
    """One of everything."""
    product = DataProduct(target=target, data_product_type='atlas_photometry', product_id=f'hush file {target.pk}')
    product.data.save(f'hush_{target.pk}.txt', ContentFile(b'hush'), save=True)
    point = PhotometryReducedDatum.objects.create(
        target=target, data_product=product, timestamp=NIGHT, source_name='ATLAS', bandpass='o', brightness=17.5,
        brightness_error=0.1, value={'comment': 'hush'},
    )  # fmt: skip
    if not people.only_targets:
        people.allow(product, 'dataproduct', 'tom_dataproducts')
        for who in (owner, people.changers):
            assign_perm('tom_dataproducts.delete_dataproduct', who, product)
        people.allow(point, 'photometryreduceddatum', 'tom_dataproducts')
    curve = LightCurve.objects.create(target=target, service='ATLAS', version=1, points=1, last_point=NIGHT)
    IngestedFile.objects.create(light_curve=curve, data_product=product, rows=1, new=1, ingested=NIGHT)
    told = PhotometryAnnouncement.objects.create(made=NIGHT)
    subscription = PhotometrySubscription.objects.create(
        service='ATLAS', target=target, owner=owner, parameters={'reduction': 'difference'}, next_round=NIGHT + timedelta(hours=9)
    )
    asked = {'service': 'ATLAS', 'target': target, 'asked_by': owner, 'created': NIGHT, 'subscription': subscription}
    asked['parameters'] = {'reduction': 'difference', 'mjd_min': 61000.0}
    waiting = PhotometryQuery.objects.create(
        question=f'hush {target.pk} open', state='queued', next_step=NIGHT, message=f'{target.name} waits.', **asked
    )
    done = PhotometryQuery.objects.create(
        question=f'hush {target.pk} done', state='done', closed=NIGHT, data_product=product, rows=1, new=1,
        message=f'{target.name} is stored.', announcement=told, **asked,
    )  # fmt: skip
    notice = PhotometryNotice.objects.create(user=owner, announcement=told, text=f'{target.name}: points.', created=NIGHT)
    ServiceCredential.objects.update_or_create(
        user=owner, service='ATLAS', key='api_key', defaults={'value': 'hush-token', 'changed': NIGHT}
    )
    return Phot(waiting, done, point, subscription, notice)
