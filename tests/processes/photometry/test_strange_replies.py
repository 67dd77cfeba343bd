"""A service that answers with errors, nonsense, nothing, or addresses of somebody else, to every kind of request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.processes.photometry.checks import check_ended, check_files, check_one_task_each, check_points
from tests.support.phot_processes import PhotTom, ask, make_targets, unfinished
from tom_forced_phot.models import PhotometryQuery

pytestmark = [pytest.mark.faults, pytest.mark.slow]

NOT_DONE = ['429', '500', '503', 'html', 'empty', 'malformed', 'reset-before', 'hang']
#: Not 429: a server that says so has done nothing.
DONE_BUT_LOST = ['500-after', '503-after', 'html-after', 'empty-after', 'malformed-after', 'reset-after', 'hang-after', 'cut']


def ask_in_two_jobs() -> list[Any]:
    """Twenty targets: ten are asked about with other dates, so that they go out in a request of their own."""
    targets = make_targets(20)
    ask(targets[:10])
    ask(targets[10:], max_date=61344.0)
    return targets


@pytest.mark.parametrize('fault', [*NOT_DONE, *DONE_BUT_LOST])
def test_twenty_queries_end_as_they_should_although_each_step_fails(
    open_tom: Callable[..., PhotTom], sqlite_url: str, settings: Any, fault: str
) -> None:
    tom = open_tom(sqlite_url)
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'READ_TIMEOUT': 0.3}
    targets = ask_in_two_jobs()
    for verb, count in (('submit', 1), ('list', 2), ('result', 4), ('delete', 2)):
        tom.atlas.fault(verb, fault, count=count, seconds=20)
    tom.run_until_ended(most=60)
    assert sum(tom.atlas.faults.committed.values()) == 9
    check_ended(tom, targets)


def test_nothing_is_fetched_from_a_foreign_address_and_no_token_goes_there(
    open_tom: Callable[..., PhotTom], sqlite_url: str
) -> None:
    from simulators.foreign_host import ForeignHost
    from simulators.server import serve

    tom = open_tom(sqlite_url)
    targets = ask_in_two_jobs()
    with serve(ForeignHost()) as foreign:
        tom.atlas.fault('list', 'foreign-url', origin=foreign.root)
        tom.atlas.fault('result', 'redirect-foreign', origin=foreign.root, count=3)
        tom.run_until_ended(most=60)
        assert foreign.service.strays == []
    failed = PhotometryQuery.objects.filter(state='failed')
    assert failed.count() == 10
    assert {query.problem for query in failed} == {'UnexpectedReply'}
    assert all(f'which is not at {tom.server.url}: it is not fetched.' in query.message for query in failed)
    assert PhotometryQuery.objects.filter(state='done').count() == 10
    check_one_task_each(tom, targets)
    check_points()
    check_files(tom)
    assert unfinished() == 0
