"""Asking and waiting, for tests of the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

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
    """Let time pass, with a run of the command each minute, until every query is in one of these states and nothing is due."""
    wanted = set(states)
    for _ in range(int(hours * 60)):
        queries.run(clock)
        found = set(PhotometryQuery.objects.values_list('state', flat=True))
        if found <= wanted and not PhotometryQuery.objects.filter(to_clean=True).exists():
            return
        clock.move(MINUTE)
    raise AssertionError(f'still {sorted(found)}: {list(PhotometryQuery.objects.values_list("message", flat=True)[:3])}')


def ended(clock: Hands, hours: float = 200) -> None:
    """Until every query has ended, however."""
    until(clock, *(str(state) for state in QueryState if not state.is_open), hours=hours)


def fresh(query: PhotometryQuery) -> PhotometryQuery:
    """As it is in the database now."""
    return PhotometryQuery.objects.get(pk=query.pk)
