"""What was observed may be withdrawn after its cadence has ended: that is noticed for LATE_CHANGE_DAYS, saved, and told once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import at
from tests.support.cadences import records, settle
from tom_cadence.engine.run import run_cadences
from tom_cadence.flows import steer
from tom_cadence.models import ManagedCadence, Notice

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ended(observatory: Any, make_cadence: Any, astronomer: Any) -> Any:
    """A cadence of one success, and one that is still booked, which its owner ended."""
    host = make_cadence(book=observatory)
    settle(observatory, records(host)[0], 'COMPLETED')
    run_cadences(now=at(5))
    steer.end(ManagedCadence.objects.get(cadence=host), astronomer, at(6))
    Notice.objects.all().delete()
    return host


def states(host: Any) -> list[str]:
    return [record.status for record in records(host)]


def test_data_withdrawn_after_the_end_is_noticed_and_told_once(observatory: Any, ended: Any) -> None:
    settle(observatory, records(ended)[0], 'FAILURE_LIMIT_REACHED')
    settle(observatory, records(ended)[1], 'COMPLETED')
    for hours in (7, 20, 40, 60):
        run_cadences(now=at(hours))
    assert states(ended) == ['FAILURE_LIMIT_REACHED', 'COMPLETED']
    [notice] = Notice.objects.all()
    assert 'was COMPLETED and is now FAILURE_LIMIT_REACHED' in notice.text
    assert ManagedCadence.objects.get(cadence=ended).state == 'finished'
    assert len(observatory.log()) == 2


def test_it_is_asked_as_rarely_as_other_finished_ones_and_not_for_ever(observatory: Any, ended: Any) -> None:
    for minutes in range(0, 24 * 60, 30):
        run_cadences(now=at(6 + minutes / 60))
    asked = sum(observatory.requests.values())
    for minutes in range(0, 24 * 60, 30):
        run_cadences(now=at(30 + minutes / 60))
    assert 1 <= sum(observatory.requests.values()) - asked <= 8
    run_cadences(now=at(24 * 40))
    asked = sum(observatory.requests.values())
    run_cadences(now=at(24 * 41))
    assert sum(observatory.requests.values()) == asked
