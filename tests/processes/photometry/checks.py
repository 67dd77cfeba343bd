"""What must hold when all is over, however often processes died on the way."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.support.phot_processes import PhotTom, messages


def check_ended(tom: PhotTom, asked: list[Any], **others: list[Any]) -> None:
    """Every query ended once and as it should (``done``, or the state of ``others`` it is named in), one task each.

    No query too many, no point twice, no file or data product that belongs to nobody, nothing held by a dead process.
    """
    from tom_forced_phot.models import PhotometryQuery, RemoteJob

    wished = {target.pk: 'done' for target in asked} | {each.pk: state for state, some in others.items() for each in some}
    found = sorted(PhotometryQuery.objects.values_list('target_id', 'state'))
    assert found == sorted(wished.items()), messages()
    assert not PhotometryQuery.objects.exclude(claim_until=None).exists(), 'a query is held by somebody'
    assert not PhotometryQuery.objects.filter(to_clean=True).exists()
    assert set(RemoteJob.objects.values_list('state', 'claim_until')) == {('closed', None)}
    check_one_task_each(tom, asked)
    check_points()
    check_files(tom)


def check_one_task_each(tom: PhotTom, asked: list[Any]) -> None:
    """The server's own log: it was asked about each target exactly once."""
    tasks = Counter((entry['ra'], entry['dec']) for entry in tom.atlas.log())
    assert tasks == {(target.ra, target.dec): 1 for target in asked}


def check_points() -> None:
    """Every finished query's points are there, each once, and are what its file holds."""
    from tom_dataproducts.models import PhotometryReducedDatum

    from tom_forced_phot.models import LightCurve, PhotometryQuery

    total = 0
    for query in PhotometryQuery.objects.filter(state='done').select_related('data_product'):
        points = PhotometryReducedDatum.objects.filter(target_id=query.target_id)
        assert (points.count(), query.updated, query.unchanged) == (query.new, 0, 0), query.message
        assert query.new > 0
        assert points.values('timestamp').distinct().count() == query.new
        assert set(points.values_list('data_product_id', flat=True)) == {query.data_product_id}
        rows = [line for line in query.data_product.data.read().splitlines() if line and not line.startswith(b'#')]
        query.data_product.data.close()
        assert len(rows) == query.rows == query.new + query.rejected
        assert LightCurve.objects.get(target_id=query.target_id).points == query.new
        total += query.new
    assert PhotometryReducedDatum.objects.count() == total, 'points that no query brought'


def check_files(tom: PhotTom) -> None:
    """One data product and one file for each query that brought data; nothing else lies around."""
    from tom_dataproducts.models import DataProduct

    from tom_forced_phot.models import PhotometryQuery

    kept = set(PhotometryQuery.objects.exclude(data_product=None).values_list('data_product__data', flat=True))
    assert PhotometryQuery.objects.filter(state='done').count() == len(kept) == DataProduct.objects.count()
    there = {str(path.relative_to(tom.media)) for path in tom.media.rglob('*') if path.is_file()}
    assert there == kept
