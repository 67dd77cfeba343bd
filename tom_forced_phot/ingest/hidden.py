"""Points that a person took out of a light curve, with a reason: kept in the database, and still hidden when they are asked again.

A hidden point is named by what its source says of it, not by the number of its row: so it stays hidden when its file is deleted
and asked for anew, or when it is measured again. A file that does not name its exposures holds the same ones: the same source,
kind, band and instant are the same exposure there. Where a file changes what names a point, its name here follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from tom_dataproducts.models import PhotometryReducedDatum

from tom_forced_phot.ingest import match, sql
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
    return HiddenPoint.objects.filter(pk__in=[row.pk for row in _rows(point)]).delete()[0] > 0


def _rows(point: PhotometryReducedDatum) -> list[HiddenPoint]:
    """The rows that hide a point, newest first."""
    mine = HiddenPoint.objects.filter(target_id=point.target_id, source=point.source_name or '', timestamp=point.timestamp)
    named = tuple(identity(point).values())
    return [row for row in mine.select_related('hidden_by').order_by('-pk') if is_same(named, _named(row))]


Identity = tuple[Any, ...]


def _named(row: HiddenPoint) -> Identity:
    return (row.source, row.reduction, row.band, row.instrument, row.timestamp, row.exposure)


def is_same(one: Identity, other: Identity) -> bool:
    """Whether two identities are of one exposure: equal; or as much, where only one of the two files names its exposures."""
    (*first, instrument, instant, exposure), (*second, their_instrument, their_instant, their_exposure) = one, other
    if one == other:
        return True
    nameless = [not instrument and match.is_made(exposure), not their_instrument and match.is_made(their_exposure)]
    return first == second and instant == their_instant and sorted(nameless) == [False, True] and bool(exposure and their_exposure)


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
    return next(iter(_rows(point)), None)


def hidden_points(points: QuerySet[Any], target: Any) -> Mapping[int, str]:
    """Which of these points of the target are hidden, by their ids, and the reason of each; two statements where they are few."""
    rows = HiddenPoint.objects.filter(target_id=target.pk).order_by('pk')
    return {pk: row.reason for pk, row in sorted(_found(points, list(rows)), key=lambda pair: pair[0])}


def _found(points: QuerySet[Any], rows: list[HiddenPoint]) -> Iterator[tuple[int, HiddenPoint]]:
    """Each hidden one of these points with its row, the newest row of a point last; after a merge they may be more than MOST."""
    for some in sql.slices(rows):
        at: dict[tuple[str, datetime], list[HiddenPoint]] = {}
        for row in some:
            at.setdefault((row.source, row.timestamp), []).append(row)
        here = points.filter(source_name__in={source for source, _ in at}, timestamp__in={instant for _, instant in at})
        for point in here:
            named = tuple(identity(point).values())
            for row in at.get((named[0], point.timestamp), ()):
                if is_same(named, _named(row)):
                    yield point.pk, row


def hidden_in(target: int, source: str) -> dict[int, int]:
    """Of a light curve that is about to be written: row here -> id of the point that it hides."""
    rows = list(HiddenPoint.objects.filter(target_id=target, source=source).order_by('pk'))
    points = PhotometryReducedDatum.objects.filter(target_id=target)
    return {row.pk: pk for pk, row in _found(points, rows)}


def follow(before: Mapping[int, int], became: Mapping[int, int]) -> None:
    """Let these points stay hidden as they are called now; ``became``: of those that were removed, which holds the exposure."""
    points = PhotometryReducedDatum.objects.in_bulk({became.get(pk, pk) for pk in before.values()}) if before else {}
    for row, pk in before.items():
        point = points.get(became.get(pk, pk))
        if point is not None:
            HiddenPoint.objects.filter(pk=row).update(**identity(point))
