"""The deadline of a query that the service has: one last look, no work for nothing, and an end soon after it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.photometry.conftest import DAY, HOUR, MINUTE, Hands
from tests.support.asking import ask, ask_many, fresh
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryQuery, RemoteJob

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held(atlas: Any, settings: Any) -> Any:
    """A server that accepts and never begins; queries have five hours."""
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'DEADLINE_HOURS': 5}
    atlas.service.configure(held=True)
    return atlas


def looks(atlas: Any) -> int:
    return int(atlas.service.requests['status'] + atlas.service.requests['list'])


def test_past_the_deadline_and_before_the_next_look_a_run_does_nothing(held: Any, clock: Hands, make_target: Any) -> None:
    ask_many([make_target() for _ in range(5)], clock)
    queries.run(clock)
    clock.move(5 * HOUR - MINUTE)
    queries.run(clock)
    due = PhotometryQuery.objects.values_list('next_step', flat=True)[0]
    assert due is not None
    assert due > clock() + MINUTE
    before = looks(held)
    clock.move(2 * MINUTE)
    assert queries.due(clock()).count() == 0
    assert queries.run(clock).steps == 0
    assert looks(held) == before


def test_the_last_look_ends_all_of_a_batch_and_takes_few_steps(held: Any, clock: Hands, make_target: Any) -> None:
    ask_many([make_target() for _ in range(5)], clock)
    queries.run(clock)
    clock.move(5 * HOUR - MINUTE)
    queries.run(clock)
    before = looks(held)
    clock.move(15 * MINUTE)  # the next look is ten minutes away at the most
    report = queries.run(clock)
    assert set(PhotometryQuery.objects.values_list('state', 'problem')) == {('failed', 'Deadline')}
    assert looks(held) == before + 1
    assert report.steps <= 6, 'one look, and five that are stopped at the server'
    assert held.service.requests['delete'] == 5
    assert RemoteJob.objects.get().state == 'closed'


@pytest.mark.parametrize('away', [True, False])
def test_no_query_outlives_its_deadline_for_long(held: Any, clock: Hands, target: Any, away: bool) -> None:
    query = ask(target, clock)
    queries.run(clock)
    clock.move(4 * HOUR)
    if away:
        held.service.fault('status', '503', count=-1)
    for _ in range(120):
        queries.run(clock)
        clock.move(MINUTE)
    closed = fresh(query).closed
    assert closed is not None
    assert closed - query.created <= timedelta(hours=5, minutes=31), 'the longest pause'


def test_what_failed_before_the_deadline_gets_its_last_look_when_the_tom_comes_back(held: Any, clock: Hands, target: Any) -> None:
    query = ask(target, clock)
    queries.run(clock)
    held.service.fault('status', '503')
    clock.move(HOUR)
    queries.run(clock)
    assert fresh(query).job is not None
    held.service.configure(held=False)
    clock.move(2 * DAY)
    for _ in range(10):
        queries.run(clock)
        clock.move(MINUTE)
    assert fresh(query).state == 'done'
