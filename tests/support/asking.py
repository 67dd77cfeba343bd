"""Asking and waiting, for tests of the engine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Min, Q

from tests.photometry.conftest import MINUTE, Hands
from tom_forced_phot import queries
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryQuery

DATES = {'min_date': 61300.0, 'max_date': 61340.0}


def ask(target: Any, clock: Hands, user: Any = None, service: str = 'ATLAS', **more: Any) -> PhotometryQuery:
    """Ask about forty nights."""
    return queries.ask(service, target, {**DATES, **more}, user, clock()).query


def ask_many(targets: Iterable[Any], clock: Hands, user: Any = None, service: str = 'ATLAS') -> list[PhotometryQuery]:
    """Ask about several targets."""
    return [ask(target, clock, user, service) for target in targets]


def until(clock: Hands, *states: str, hours: float = 200) -> None:
    """Let time pass, with a run of the command each minute, until every query is in one of these states and nothing is due.

    The minutes in which nothing is due are passed over.
    """
    wanted, last = set(states), clock() + timedelta(hours=hours)
    while clock() < last:
        queries.run(clock)
        found = set(PhotometryQuery.objects.values_list('state', flat=True))
        if found <= wanted and not PhotometryQuery.objects.filter(to_clean=True).exists():
            return
        to_next_minute_of_work(clock)
    raise AssertionError(f'still {sorted(found)}: {list(PhotometryQuery.objects.values_list("message", flat=True)[:3])}')


def to_next_minute_of_work(clock: Hands) -> None:
    """Let one minute pass, and those after it in which cron would find nothing to do."""
    at_work = PhotometryQuery.objects.filter(Q(state__in=QueryState.open_values()) | Q(to_clean=True))
    due = at_work.aggregate(first=Min('next_step'))['first'] or clock()
    clock.move(MINUTE * max(1, math.ceil((due - clock()) / MINUTE)))


def ended(clock: Hands, hours: float = 200) -> None:
    """Until every query has ended, however."""
    until(clock, *(str(state) for state in QueryState if not state.is_open), hours=hours)


def fresh(query: PhotometryQuery) -> PhotometryQuery:
    """As it is in the database now."""
    return PhotometryQuery.objects.get(pk=query.pk)
