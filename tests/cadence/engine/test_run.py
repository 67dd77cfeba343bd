"""The engine end to end: a real observatory over HTTP, real rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import NIGHT, at
from tests.support.cadences import PLAIN, bookings, records, settle
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import CadenceRun, ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_waiting_observation_is_waited_for(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory)
    report = run_cadences(now=NIGHT)
    assert [line.decision for line in report.lines] == ['wait']
    assert not report.failed
    assert len(bookings(observatory)) == 1
    assert ManagedCadence.objects.get(cadence=cadence).last_check == NIGHT


def test_identical_waits_fold_into_one_line(observatory: Any, make_cadence: Any) -> None:
    make_cadence(book=observatory)
    for _ in range(4):
        run_cadences(now=NIGHT)
    assert list(CadenceRun.objects.values_list('decision', 'count')) == [('wait', 4)]


def test_after_a_success_the_next_window_is_one_interval_later(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'COMPLETED')
    report = run_cadences(now=at(3))
    assert [line.decision for line in report.lines] == ['submit'], report.lines
    new = records(cadence)[1]
    assert new.parameters['start'] == '2026-11-22T08:00'
    assert new.parameters['end'] == '2026-11-22T12:00'
    assert new.status == 'PENDING'
    assert new.user == records(cadence)[0].user
    booked = bookings(observatory)[1]
    assert booked['fields']['start'] == new.parameters['start']
    request = Submission.objects.get()
    assert request.state == 'accepted'
    assert request.token in booked['fields']['name']


def test_after_a_failure_it_is_asked_again_at_once(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    assert records(cadence)[1].parameters['start'] == '2026-11-21T13:00'
    for _ in range(3):
        run_cadences(now=at(5))
    assert len(bookings(observatory)) == 2


@pytest.fixture
def one_failed_one_pending(observatory: Any, make_cadence: Any) -> tuple[Any, Any, Any]:
    """A Retry cadence whose first observation has failed, and its two records; nobody has asked for their states yet."""
    given = {'book': observatory, 'facility': PLAIN, 'strategy': 'RetryFailedObservationsStrategy'}
    cadence, other = make_cadence(**given), make_cadence(**given, start=at(48))
    (failed,), (pending,) = records(cadence), records(other)
    other.delete()
    cadence.observation_group.observation_records.add(pending)
    # One made after the other's window would look like the toolkit's own follow-up.
    cadence.observation_group.observation_records.update(created=NIGHT)
    settle(observatory, failed, 'WINDOW_EXPIRED')
    return cadence, failed, pending


@pytest.mark.parametrize('silent', ['failed', 'pending'])
def test_a_state_that_cannot_be_asked_for_blocks_only_what_depends_on_it(
    observatory: Any, one_failed_one_pending: tuple[Any, Any, Any], silent: str
) -> None:
    cadence, failed, pending = one_failed_one_pending
    unknown = failed if silent == 'failed' else pending
    observatory.fault('status', '503', match=f'/{unknown.observation_id}/')
    run_cadences(now=at(5))
    assert len(records(cadence)) == (2 if silent == 'failed' else 3)
    run_cadences(now=at(6))
    assert len(bookings(observatory)) == 3
    assert Submission.objects.get().follows == [failed.pk]
