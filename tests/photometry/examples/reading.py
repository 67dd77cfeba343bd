"""Reading points, as docs/photometry.md shows it."""

from tom_dataproducts.models import PhotometryReducedDatum


def light_curve(target):
    points = PhotometryReducedDatum.objects.filter(target=target, source_name='ATLAS', reduction_version='difference')
    return [
        (point.timestamp, point.bandpass, point.value['flux'], point.value['flux_error'], point.brightness, point.limit)
        for point in points.order_by('timestamp')
    ]
