"""Points that a person took out of a light curve, with a reason: kept in the database, and still hidden when they are asked again.

A hidden point is named by what its source says of it, not by the number of its row: so it stays hidden when its file is deleted
and asked for anew, or when it is measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from tom_dataproducts.models import PhotometryReducedDatum

from tom_forced_phot.ingest import sql
from tom_forced_phot.models import HiddenPoint, LightCurve

#: More are not taken: whoever hides as many wants a cut.
MOST = 500
LONGEST_REASON, LONGEST_EXPOSURE = 200, 200


def hide(point: PhotometryReducedDatum, user: Any, reason: str, now: datetime) -> None:
    """Take it out of the light curve; a new reason takes the place of an old one."""
    with transaction.atomic():
        show_again(point)
        HiddenPoint.objects.create(
            target_id=point.target_id, **identity(point), reason=reason[:LONGEST_REASON], hidden_by=user, created=now
        )


def has_room(point: PhotometryReducedDatum) -> bool:
    """Whether one more of this target may be hidden, so that each of them stays hidden."""
    return HiddenPoint.objects.filter(target_id=point.target_id).exclude(**identity(point)).count() < MOST


def relabel(curve: LightCurve, before: str, after: str, exposures: AbstractSet[str]) -> None:
    """Let points of these exposures stay hidden, whose kind of photometry is called otherwise now."""
    rows = HiddenPoint.objects.filter(target_id=curve.target_id, source=curve.service, reduction=before)
    moved = [row.pk for row in rows if row.exposure and row.exposure in exposures]
    for some in sql.slices(moved):
        HiddenPoint.objects.filter(pk__in=some).update(reduction=after)


def show_again(point: PhotometryReducedDatum) -> bool:
    """Put it back; whether it was hidden."""
    return HiddenPoint.objects.filter(target_id=point.target_id, **identity(point)).delete()[0] > 0


def identity(point: PhotometryReducedDatum) -> dict[str, Any]:
    """What names a measurement: source, kind, band, instrument, instant, and the exposure where its source names it."""
    value = point.value if isinstance(point.value, dict) else {}
    return {
        'source': point.source_name or '',
        'reduction': point.reduction_version or '',
        'band': point.bandpass or '',
        'instrument': point.instrument or '',
        'timestamp': point.timestamp,
        'exposure': str(value.get('exposure') or '')[:LONGEST_EXPOSURE],
    }


def hidden_row(point: PhotometryReducedDatum) -> HiddenPoint | None:
    """Why, by whom and when it was hidden; None where it is shown."""
    return HiddenPoint.objects.filter(target_id=point.target_id, **identity(point)).select_related('hidden_by').first()


def hidden_points(points: QuerySet[Any], target: Any) -> Mapping[int, str]:
    """Which of these points of the target are hidden, by their ids, and the reason of each; two statements at the most."""
    rows = list(HiddenPoint.objects.filter(target_id=target.pk).order_by('-pk')[:MOST])
    if not rows:
        return {}
    wanted = Q()
    for row in rows:
        wanted |= Q(source_name=row.source, timestamp=row.timestamp, bandpass=row.band)
    reasons = {
        (row.source, row.reduction, row.band, row.instrument, row.timestamp, row.exposure): row.reason for row in reversed(rows)
    }
    named = {point.pk: tuple(identity(point).values()) for point in points.filter(wanted)}
    return {pk: reasons[name] for pk, name in sorted(named.items()) if name in reasons}
