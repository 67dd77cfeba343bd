"""The light curves that strategies look at: one statement for all cadences of a run that need theirs, none where no one does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import Q
from django.db.models.fields.json import KT
from guardian.shortcuts import get_objects_for_user
from tom_dataproducts.models import PhotometryReducedDatum

from tom_cadence.photometry import EPOCH, Photometry
from tom_cadence.runner.read import Looked
from tom_followup.units import flux_factor, magnitude_error_of, magnitude_of

COLUMNS = ('target', 'timestamp', 'bandpass', 'brightness', 'brightness_error', 'limit', 'unit', 'source_name', 'telescope')
DAY = timedelta(days=1)


def read_photometry(looked: Iterable[Looked], now: datetime) -> dict[int, Photometry]:
    """The light curves of the cadences whose strategy needs one, by the id() of each."""
    needing = [item for item in looked if not item.trouble and getattr(item.strategy, 'needs_photometry', False) and item.rows]
    spans = {id(item): _span(item) for item in needing}
    found: dict[int, Photometry] = {}
    for readers in _who_may_see_the_same([item for item in needing if spans[id(item)] != timedelta(0)]):
        curves = _read(readers, spans, now)
        found.update((id(item), _since(curves.get(_target(item)), spans[id(item)], now)) for item in readers)
    return found


def _span(item: Looked) -> timedelta | None:
    try:
        return item.strategy.photometry_span()
    except Exception:  # a parameter that cannot be used: decide says which, and a person is asked
        return timedelta(0)


def _target(item: Looked) -> int:
    return item.rows[-1].target


def _who_may_see_the_same(items: Sequence[Looked]) -> list[list[Looked]]:
    """All together; where each point has permissions of its own, by owner, so that no reason tells what its reader may not see."""
    if settings.TARGET_PERMISSIONS_ONLY:
        return [list(items)] if items else []
    by_owner: dict[Any, list[Looked]] = defaultdict(list)
    for item in items:
        by_owner[item.managed.owner_id].append(item)
    return list(by_owner.values())


def _read(items: Sequence[Looked], spans: dict[int, timedelta | None], now: datetime) -> dict[int, Photometry]:
    wanted: dict[timedelta | None, set[int]] = defaultdict(set)
    for item in items:
        wanted[spans[id(item)]].add(_target(item))
    which = Q()
    for span, targets in wanted.items():
        which |= Q(target__in=targets) if span is None else Q(target__in=targets, timestamp__gte=now - span)
    points = PhotometryReducedDatum.objects.filter(which, timestamp__lte=now)
    if not settings.TARGET_PERMISSIONS_ONLY:
        points = get_objects_for_user(items[0].managed.owner, 'tom_dataproducts.view_photometryreduceddatum', klass=points)
    rows: dict[int, list[Any]] = defaultdict(list)
    for target, *row in points.order_by().values_list(*COLUMNS, KT('value__flux')):
        rows[target].append(row)
    return {target: columns(found) for target, found in rows.items()}


def columns(rows: Sequence[Sequence[Any]]) -> Photometry:
    """Rows (timestamp, band, brightness, error, limit, unit, source, telescope, flux in microjansky) as columns.

    A brightness in janskys becomes an AB magnitude (Oke & Gunn 1983, ApJ 266, 713); one in any other unit is taken for what
    the TOM's own pages take it for, a magnitude.
    """
    when, band, value, error, limit, unit, source, telescope, flux = zip(*rows, strict=True)
    magnitude, errors, limits = (np.asarray(column, dtype=np.float64) for column in (value, error, limit))
    fluxes = np.array([_number(text) for text in flux])
    factor = np.array([flux_factor(text) for text in unit])
    is_flux = np.isfinite(factor)
    as_magnitude = [magnitude_of(column * factor) for column in (magnitude, limits)]
    relative = magnitude_error_of(magnitude, errors)
    return Photometry.of(
        time=[(moment - EPOCH) / DAY for moment in when],
        band=band,
        magnitude=_finite(np.where(is_flux, as_magnitude[0], magnitude)),
        error=_finite(np.where(is_flux, relative, errors)),
        limit=_finite(np.where(is_flux, as_magnitude[1], limits)),
        flux=np.where(is_flux & np.isnan(fluxes), magnitude * factor, fluxes),
        source=[name or other for name, other in zip(source, telescope, strict=True)],
    )


def _finite(column: Any) -> Any:
    return np.where(np.isfinite(column), column, np.nan)


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return np.nan


def _since(curve: Photometry | None, span: timedelta | None, now: datetime) -> Photometry:
    if curve is None:
        return Photometry()
    return curve if span is None else curve.since(now - span)
