"""A subscription, as docs/photometry.md shows it."""

from tom_forced_phot.models import PhotometrySubscription


def subscribe(target, user):
    return PhotometrySubscription.objects.create(
        service='ATLAS',
        target=target,
        owner=user,
        interval_hours=24,
        parameters={'min_date': 61300.0, 'use_reduced': False},
    )
