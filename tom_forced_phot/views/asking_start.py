"""What the address of the asking page says: targets, a list, services, an earlier query; only what the user may see of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, QueryDict
from django.shortcuts import get_object_or_404

from tom_forced_phot import registry
from tom_forced_phot.asking_plan.dates_words import When
from tom_forced_phot.asking_plan.service_words import count
from tom_forced_phot.exceptions import Refused
from tom_forced_phot.forms_ask import MOST_TARGETS, numbers
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.permissions import askable_targets, visible_lists, visible_queries, visible_targets
from tom_forced_phot.views.asking_options import Card, prefill

MOST = MOST_TARGETS
#: Not part of what is asked.
BESIDE = ('csrfmiddlewaretoken', 'seen', 'step', 'moment', 'search')


@dataclass
class Start:
    """With what the page begins."""

    services: list[str] = field(default_factory=list)
    initial: dict[str, Any] = field(default_factory=dict)
    again: PhotometryQuery | None = None
    note: str = ''


def read(request: HttpRequest) -> Start:
    """The address; 404 for a single target, a list or a query that this user may not see."""
    given = request.GET
    start = Start(services=_services(given))
    pks, single = numbers([*given.getlist('targets'), *given.getlist('target')]), bool(given.get('target'))
    if given.get('again'):
        start.again = get_object_or_404(visible_queries(request.user), pk=_number(given['again']))
        pks, single = [start.again.target_id, *pks], True
        start.services = start.services or [start.again.service]
        start.initial |= _dates(start.again)
    seen = set(visible_targets(request.user).filter(pk__in=pks).values_list('pk', flat=True))
    if single and not seen:
        raise Http404('There is no such target, or you may not see it.')
    mine = set(askable_targets(request.user).filter(pk__in=seen).values_list('pk', flat=True))
    start.initial['targets'] = ','.join(str(pk) for pk in pks if pk in mine)
    start.note = _note(len(set(pks) - seen), len(seen - mine))
    _lists(request, given, start)
    return start


def _lists(request: HttpRequest, given: QueryDict, start: Start) -> None:
    wanted = given.get('target_list')
    if wanted:
        start.initial['target_list'] = get_object_or_404(visible_lists(request.user), pk=_number(wanted)).pk


def _number(text: str) -> int:
    found = numbers([text])
    if len(found) != 1:
        raise Http404('There is no such number.')
    return found[0]


def _services(given: QueryDict) -> list[str]:
    return [name.strip() for text in given.getlist('services') for name in text.split(',') if name.strip()]


def _note(missing: int, not_mine: int) -> str:
    said = []
    if missing:
        said.append(f'{count(missing, "target")} of the address left out: not there, or not for you to see.')
    if not_mine:
        said.append(f'{count(not_mine, "target")} left out: you may look at it, but not add data to it, so not ask.')
    return ' '.join(said)


def _dates(query: PhotometryQuery) -> dict[str, Any]:
    """The period of an earlier query; everything where it named none."""
    first, last = (query.parameters.get(key) for key in ('mjd_min', 'mjd_max'))
    try:
        earliest = registry.service(query.service).earliest
    except Refused:
        earliest = 0.0
    if last is None and (first is None or first == earliest):
        return {'when': When.ALL.value}
    return {
        'when': When.RANGE.value,
        'first': '' if first is None else f'{first:.10g}',
        'last': '' if last is None else f'{last:.10g}',
    }


def prefill_again(shown: list[Card], query: PhotometryQuery, now: datetime) -> None:
    """The options of an earlier query."""
    for card in shown:
        if card.name == query.service:
            prefill(card, query.parameters, now)


def digest(posted: QueryDict) -> str:
    """Of everything that says what is asked: the preview is of this and nothing else."""
    kept = sorted((name, value) for name, values in posted.lists() if name not in BESIDE for value in values if value)
    return hashlib.sha256(repr(kept).encode()).hexdigest()[:32]
