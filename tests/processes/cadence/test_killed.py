"""Real processes killed with -9 at every named point between claim and commit, and what the runs after them make of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import NIGHT, at
from tests.support.processes import LONG_AGO, RETRY, Tom, check_booked_once, expire_claims, seed
from tests.support.proofs import some
from tom_followup.failpoints import CadencePoint

pytestmark = [pytest.mark.faults, pytest.mark.slow]

#: Points that only a lost reply leads to; every other one is passed in a run where all is well.
AFTER_A_LOST_REPLY = {CadencePoint.LOOKED_UP, CadencePoint.MARKED_UNCERTAIN}
LATER = pytest.mark.prove(why='at each point a process of its own dies, and others have to find out')
SEVERAL_AT_A_TIME = {CadencePoint.CLAIMED, CadencePoint.INTENT_OPEN, CadencePoint.INTENT_COMMITTED}


class Due:
    """Cadences of every kind that have something to do: two to go on after a success, two after a failure, two to end."""

    def __init__(self, observatory: Any) -> None:
        """Book their first observations."""
        self.go_on = [*seed(observatory, 2), *seed(observatory, 2, 'WINDOW_EXPIRED', RETRY)]
        self.end = seed(observatory, 2, strategy=RETRY)


@pytest.mark.parametrize('point', some(CadencePoint, {CadencePoint.SENDING, CadencePoint.RECORDS_WRITTEN}, LATER))
def test_a_process_killed_at_any_point_books_nothing_twice_and_loses_nothing(tom_on_sqlite: Tom, point: CadencePoint) -> None:
    tom = tom_on_sqlite
    due = Due(tom.observatory)
    before = len(tom.observatory.log())
    tom.set_now(at(3))
    _lose_replies(tom, point)
    killed = tom.run(crash_at=_crash_at(point))
    assert killed.killed, f'it never came to {point.value}: status {killed.status}, {killed.output}'

    tom.observatory.faults.clear()
    booked_by_the_dead = len(tom.observatory.log()) - before
    claims = expire_claims()
    tom.set_now(at(3) + timedelta(minutes=5))
    after = tom.run()
    assert 'Traceback' not in after.output, after.output
    runs = tom.run_until_quiet(at(3) + timedelta(minutes=20))

    assert check_booked_once(tom.observatory, due.go_on, before) == len(due.go_on), (booked_by_the_dead, claims, runs)
    _check_everybody_goes_on_or_says_why_not(due.go_on, due.end)


@LATER
@pytest.mark.postgres
def test_a_night_of_power_cuts_at_every_point_on_postgresql_books_each_cause_once(tom_on_postgres: Tom) -> None:
    """One after the other on one database, so that later processes also meet what earlier ones left behind."""
    tom = tom_on_postgres
    go_on: list[Any] = []
    end: list[Any] = []
    first: set[str] = set()
    hour = 3.0
    for point in CadencePoint:
        new = Due(tom.observatory)
        go_on += new.go_on
        end += new.end
        first.update(_first(cadence) for cadence in [*new.go_on, *new.end])
        tom.set_now(at(hour))
        _lose_replies(tom, point)
        killed = tom.run(crash_at=_crash_at(point))
        assert killed.killed, f'it never came to {point.value}: status {killed.status}, {killed.output}'
        tom.observatory.faults.clear()
        expire_claims()
        hour += 0.1
    tom.run_until_quiet(at(hour))
    new_bookings = [entry for entry in tom.observatory.log() if str(entry['id']) not in first]
    assert len(new_bookings) == len(go_on) == 4 * len(CadencePoint)
    assert sorted(entry['target'] for entry in new_bookings) == sorted(_target(cadence) for cadence in go_on)
    _check_each_booking_has_one_record(tom, go_on)
    _check_everybody_goes_on_or_says_why_not(go_on, end)


def _crash_at(point: CadencePoint) -> str:
    """The second time, in the middle of its work: one cadence is through, one is here, others are on their way.

    Claims are taken, and intents committed, several at a time: there it is the first time, while all are claimed, or all
    intents are committed, and nothing is sent yet.
    """
    return f'{point.value}:{0 if point in SEVERAL_AT_A_TIME else 1}'


def _lose_replies(tom: Tom, point: CadencePoint) -> None:
    if point in AFTER_A_LOST_REPLY:
        tom.observatory.fault('submit', '500-after', count=100)


def _first(cadence: Any) -> str:
    return str(cadence.observation_group.observation_records.earliest('pk').observation_id)


def _target(cadence: Any) -> str:
    return str(cadence.observation_group.observation_records.earliest('pk').target.name)


def _check_each_booking_has_one_record(tom: Tom, cadences: Sequence[Any]) -> None:
    from tom_observations.models import ObservationRecord

    recorded = sorted(ObservationRecord.objects.values_list('observation_id', flat=True), key=int)
    assert recorded == [str(entry['id']) for entry in tom.observatory.log()]
    assert {cadence.observation_group.observation_records.count() for cadence in cadences} == {2}


def _check_everybody_goes_on_or_says_why_not(go_on: Sequence[Any], end: Sequence[Any]) -> None:
    from tom_cadence.models import ManagedCadence, Submission

    rows = {row.cadence_id: row for row in ManagedCadence.objects.select_related('cadence')}
    for cadence in go_on:
        row = rows[cadence.pk]
        assert (row.state, row.cadence.active, row.reason) == ('active', True, ''), row.reason
        assert row.last_check is not None
        assert row.last_check > NIGHT
    for cadence in end:
        row = rows[cadence.pk]
        assert (row.state, row.cadence.active) == ('finished', False)
        assert row.reason == 'Every observation of this cadence succeeded, or was followed by one that did.'
    assert not ManagedCadence.objects.filter(claim_expires__gt=LONG_AGO).exists(), 'nobody is left holding a cadence'
    assert set(Submission.objects.values_list('state', flat=True)) <= {'accepted', 'refused'}
