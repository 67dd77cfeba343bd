"""What the page of tonight says of forced photometry, where that app is installed: a port, so that neither app needs the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db.models import Exists, Max, OuterRef, Sum

FORGOTTEN = timedelta(days=7)
"""A question that failed so long ago and was not asked again is nobody's any more."""


@dataclass(frozen=True, kw_only=True)
class News:
    """Questions of one user that failed or are open, the newest points, and when something was last at work.

    Lists hold at most so many as were asked for; their numbers say how many there are.
    """

    failed: Sequence[Any]
    failed_number: int
    open: Sequence[Any]
    open_number: int
    arrived: Sequence[Any]
    silence: str
    command: datetime | None
    worker: datetime | None


def news(user: Any, since: datetime, now: datetime, most: int) -> News | None:
    """What this user is to know; None without the other app."""
    if not apps.is_installed('tom_forced_phot'):
        return None
    from tom_forced_phot.core.states import QueryState
    from tom_forced_phot.models import IngestedFile, PhotometryQuery, WorkerSign
    from tom_forced_phot.permissions import visible_products, visible_queries, visible_targets
    from tom_forced_phot.queries.drive import silence

    mine = visible_queries(user, PhotometryQuery.objects.filter(asked_by=user.pk)).select_related('target')
    is_open = mine.filter(state__in=QueryState.open_values())
    better = [*QueryState.open_values(), QueryState.DONE.value, QueryState.NO_DATA.value]
    later = PhotometryQuery.objects.filter(
        service=OuterRef('service'), target=OuterRef('target'), pk__gt=OuterRef('pk'), state__in=better
    )
    broken = [QueryState.FAILED.value, QueryState.EXPIRED.value]
    failed = mine.filter(~Exists(later), state__in=broken, closed__gte=now - FORGOTTEN)
    files = IngestedFile.objects.filter(ingested__gte=since, new__gt=0, data_product__in=visible_products(user).values('pk'))
    files = files.filter(light_curve__target__in=visible_targets(user).values('pk')).order_by()
    by_curve = files.values('light_curve__target', 'light_curve__target__name', 'light_curve__service')
    seen = dict(WorkerSign.objects.values_list('kind', 'seen'))
    return News(
        failed=list(failed.order_by('-closed', '-pk')[:most]),
        failed_number=failed.count(),
        open=list(is_open.order_by('created', 'pk')[:most]),
        open_number=is_open.count(),
        arrived=list(by_curve.annotate(points=Sum('new'), newest=Max('ingested')).order_by('-newest')[:most]),
        silence=silence(now),
        command=seen.get('command'),
        worker=seen.get('worker'),
    )
