"""Reading queries for people: place in the queue, next look, what may be done, and whether anything changed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from django.db.models import QuerySet, Sum

from tom_followup.labels import label
from tom_followup.units import instant_of
from tom_forced_phot import registry
from tom_forced_phot.core.redaction import ACCOUNT
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.permissions import askable_targets, visible_products
from tom_forced_phot.queries.turns import Waiting, fair_order

#: A place further back in the queue is not counted out.
MOST_AHEAD = 10_000
RELATED = ('target', 'asked_by', 'job', 'data_product', 'subscription')
BAD = (QueryState.FAILED, QueryState.EXPIRED)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a page says about one query beside its own fields."""

    is_open: bool
    place: str
    next_look: datetime | None
    due: bool
    file_url: str
    may_cancel: bool
    may_ask: bool
    message: str
    mark: str


def summarise(rows: Sequence[PhotometryQuery], user: Any, now: datetime) -> None:
    """Give each of these queries (of one page) its ``watched``: the same number of statements for however many."""
    queued = [row for row in rows if row.state == QueryState.QUEUED and row.job_id is None]
    places = _places(queued) if queued else {}
    products = [row.data_product_id for row in rows if row.data_product_id]
    shown = set(visible_products(user).filter(pk__in=products).values_list('pk', flat=True)) if products else set()
    askable = set(askable_targets(user).filter(pk__in={row.target_id for row in rows}).values_list('pk', flat=True))
    for row in rows:
        row.watched = _watched(row, places, shown, askable, user, now)  # type: ignore[attr-defined]


def _watched(
    row: PhotometryQuery, places: Mapping[int, int], shown: set[int], askable: set[int], user: Any, now: datetime
) -> Watched:
    is_open, product = QueryState(row.state).is_open, row.data_product
    waits_here = is_open and row.state == QueryState.QUEUED and row.job_id is None
    place = ahead(places.get(row.pk), MOST_AHEAD) if waits_here else ''
    mine = bool(user.is_superuser or (user.is_authenticated and row.asked_by_id == user.pk))
    return Watched(
        is_open=is_open,
        place=place,
        next_look=row.next_step if is_open else None,
        due=is_open and row.next_step is not None and row.next_step <= now,
        file_url=product.data.url if product is not None and product.pk in shown and product.data else '',
        may_cancel=mine and is_open,
        may_ask=row.target_id in askable,
        message=shortened(row.message),
        mark=content_hash(row, place),
    )


def content_hash(row: PhotometryQuery, place: str) -> str:
    """Another text whenever anything that is shown of it changed."""
    job = row.job
    seen: list[Any] = [row.state, row.message, row.next_step, place, row.data_product_id, sorted(row.counts.items()), row.closed]
    seen += [job and job.heard, job and job.last_sent, job and job.message, row.asked_by_id]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:12]


def _places(queued: Iterable[PhotometryQuery]) -> dict[int, int]:
    """How many questions go out before each of these, in the fair order in which they are sent."""
    services = sorted({row.service for row in queued})
    rows = PhotometryQuery.objects.filter(state=QueryState.QUEUED, job=None, service__in=services).order_by('pk')
    waiting: dict[str, list[Waiting]] = defaultdict(list)
    for service, pk, user, urgent, places in rows.values_list('service', 'pk', 'asked_by', 'urgent', 'places')[:MOST_AHEAD]:
        waiting[service].append(Waiting(pk, user, '', urgent, places))
    busy: dict[str, dict[int | None, int]] = defaultdict(dict)
    there = PhotometryQuery.objects.filter(state__in=[QueryState.SUBMITTED, QueryState.RUNNING], service__in=services)
    for service, user, number in there.order_by().values_list('service', 'asked_by').annotate(Sum('places')):
        busy[service][user] = number
    return {each.pk: place for service, found in waiting.items() for place, each in enumerate(fair_order(found, busy[service]))}


def sentence(rows: Sequence[PhotometryQuery]) -> str:
    """How far these are, for a screen reader; empty where there is nothing to wait for."""
    ended = [row for row in rows if not QueryState(row.state).is_open]
    failed = sum(row.state in BAD for row in ended)
    return progress(len(ended), failed, len(rows)) if rows else ''


def of(row: PhotometryQuery) -> Watched:
    """What ``summarise`` found."""
    watched: Watched = row.watched  # type: ignore[attr-defined]
    return watched


def tag_of(rows: Sequence[PhotometryQuery]) -> str:
    """The entity tag of an answer about these."""
    kept = [(row.pk, watched.mark, watched.due, watched.may_cancel, watched.may_ask) for row in rows for watched in [of(row)]]
    return f'"{hashlib.sha256(repr(kept).encode()).hexdigest()[:24]}"'


def read(rows: QuerySet[PhotometryQuery], pks: Sequence[int]) -> list[PhotometryQuery]:
    """Those of ``rows`` with these numbers, in their order."""
    found = rows.select_related(*RELATED).in_bulk(list(pks))
    return [found[pk] for pk in pks if pk in found]


def question(query: PhotometryQuery) -> list[tuple[str, str]]:
    """What was asked, in words."""
    labels: dict[str, str] = {}
    try:
        fields = registry.service(query.service).get_form().base_fields
        labels = {name: str(field.label) for name, field in fields.items() if field.label}
    except Exception:  # a service that is gone, or the site's own class: the question is shown all the same
        labels = {}
    return asked(query.parameters, labels)


DATES = {'mjd_min': 'From', 'mjd_max': 'Until'}
LABELS = {
    'reduction': 'Photometry',
    'release': 'Release',
    'radius': 'Search radius',
    'min_detections': 'Detections',
    'tables': 'Tables',
}
REDUCTIONS = {'difference': 'on difference images', 'reduced': 'on reduced images (no template is subtracted)'}
LONGEST = 160


def asked(parameters: Mapping[str, Any], labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """What was asked: name and value for people. ``labels`` are those of the service's own form."""
    found = [(label, date(parameters[key])) for key, label in DATES.items() if parameters.get(key) is not None]
    if not found and 'radius' not in parameters:
        found = [('Dates', 'all that the service measures when no date is given')]
    others = (key for key in parameters if key not in DATES and not ACCOUNT.search(key))
    return found + [
        ((LABELS.get(key) or labels.get(key) or label(key)), text) for key in others if (text := _value(key, parameters[key]))
    ]


def date(mjd: float) -> str:
    """``2026-10-30 00:00 UTC (MJD 61343)``."""
    instant = instant_of(float(mjd)).astimezone(timezone.utc)
    return f'{instant:%Y-%m-%d %H:%M} UTC (MJD {float(mjd):.5f}'.rstrip('0').rstrip('.') + ')'


def _value(key: str, value: Any) -> str:
    if value is None or value == '' or value == [] or isinstance(value, Mapping):
        return ''
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, (list, tuple)):
        return ', '.join(str(each).replace('_', ' ') for each in value)
    return {
        'reduction': lambda: REDUCTIONS.get(str(value), str(value).replace('_', ' ')),
        'radius': lambda: f'{float(value):g} arcsec',
        'release': lambda: str(value).upper(),
        'min_detections': lambda: f'at least {value}',
    }.get(key, lambda: str(value))()


def position(ra: float | None, dec: float | None, name: str) -> str:
    """Where it looked."""
    if ra is None or dec is None:
        return f'{name}, by its name at the Minor Planet Center'
    return f'RA {ra:.5f}°, Dec {dec:+.5f}°'


def shortened(text: str, longest: int = LONGEST) -> str:
    """At the end of a word."""
    return text if len(text) <= longest else f'{text[:longest].rpartition(" ")[0].rstrip(",;:")} …'


def ahead(number: int | None, most: int) -> str:
    """How many go out before it."""
    if number is None:
        return f'More than {most:,} are sent before it'
    return 'Next to be sent' if number == 0 else f'{number:,} {"is" if number == 1 else "are"} sent before it'


def progress(ended: int, failed: int, number: int) -> str:
    """``3 of 25 done, 1 failed``: what a screen reader says."""
    return f'{ended:,} of {number:,} done' + (f', {failed:,} failed' if failed else '')


def took(asked_at: datetime, closed: datetime) -> float:
    """Seconds from the question to the end."""
    return max(0.0, (closed - asked_at).total_seconds())
