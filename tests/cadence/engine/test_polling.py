"""Questions after states, among the other calls of a run."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from tom_cadence.core.history import Outcome
from tom_cadence.engine.polling import Polling, late_check_due, late_check_of
from tom_cadence.facilities import Calls, Status
from tom_cadence.facilities.ocs import Block, Page, SchedulePage

LONG = 60.0


@pytest.mark.django_db
def test_a_request_that_ends_late_while_states_are_waited_for_is_handed_on() -> None:
    gate, asked = threading.Event(), threading.Event()

    def status(observation_id: str) -> Status:
        asked.wait(LONG)
        return Status(state='PENDING')

    gateway = SimpleNamespace(
        name='a',
        owner=None,
        updates_itself=False,
        can_poll=True,
        many_at_once=False,
        has_pages=False,
        account=None,
        status=status,
        outcome=lambda state: Outcome.WAITING,
        facility=object(),
    )
    row: Any = SimpleNamespace(
        pk=7, facility='a', observation_id='x', status='PENDING', created=datetime(2026, 11, 21, tzinfo=timezone.utc)
    )
    cadence: Any = SimpleNamespace(pk=3, managed=SimpleNamespace(pk=3, owner=None, late_check=row.created), rows=[row], quick=False)
    facilities: Any = SimpleNamespace(gateway=lambda name, owner: gateway)
    calls, handed_on = Calls(4, 2, grace=0), []
    calls.start('request', 'a', lambda: gate.wait(LONG) and ['booked'], 0.01)
    assert calls.next().error is not None

    def take(call: Any) -> None:
        handed_on.append((call.key, call.late, call.result))
        asked.set()

    polling = Polling(facilities, calls, may_write=False)
    polling.start([cadence], {})
    gate.set()
    assert list(polling.ready([3], take)) == [[3]]
    assert handed_on == [('request', True, ['booked'])]
    assert polling.polled(cadence).states == {7: Status(state='PENDING')}


def portal(name: str, outcome: Any) -> Any:
    """A gateway to a portal whose lists say that everything is COMPLETED, and was scheduled."""
    start = datetime(2026, 11, 21, 3, tzinfo=timezone.utc)
    block = Block(state='COMPLETED', start=start, end=start + timedelta(hours=1))
    ids = [f'{name}-{number}' for number in range(2)]
    return SimpleNamespace(
        name=name,
        owner=None,
        updates_itself=False,
        can_poll=True,
        many_at_once=False,
        has_pages=True,
        account=name,
        page=lambda number, query: Page(states=dict.fromkeys(ids, 'COMPLETED'), more=False, ahead=timedelta(0)),
        schedule_page=lambda number, query: SchedulePage(blocks={key: [block] for key in ids}, more=False, ahead=timedelta(0)),
        outcome=outcome,
        facility=object(),
    )


@pytest.mark.django_db
def test_a_class_that_cannot_say_what_a_state_means_holds_up_no_other_facility() -> None:
    def meaning(state: str) -> Outcome:
        return Outcome.WAITING if state == 'PENDING' else Outcome.SUCCEEDED

    def broken(state: str) -> Outcome:
        if state != 'PENDING':
            raise KeyError('failed states')
        return Outcome.WAITING

    gateways = {'good': portal('good', meaning), 'bad': portal('bad', broken)}
    night = datetime(2026, 11, 21, tzinfo=timezone.utc)
    cadences: list[Any] = []
    for pk, name in enumerate(gateways, 1):
        rows = [
            SimpleNamespace(
                pk=10 * pk + number,
                facility=name,
                observation_id=f'{name}-{number}',
                status='PENDING',
                created=night,
                scheduled_start=None,
            )
            for number in range(2)
        ]
        managed = SimpleNamespace(pk=pk, host_cadence_id=pk, owner=None, late_check=night, last_run=None)
        cadences.append(SimpleNamespace(pk=pk, managed=managed, rows=rows, quick=False))
    facilities: Any = SimpleNamespace(gateway=lambda name, owner: gateways[name])
    polling = Polling(facilities, Calls(4, 2, grace=0), may_write=False, now=night)
    polling.start(cadences, {})
    assert sorted(pk for pks in polling.ready([1, 2], print) for pk in pks) == [1, 2]
    good, bad = (polling.polled(each) for each in cadences)
    assert {status.scheduled_start.hour for status in good.states.values()} == {3}
    assert (good.trouble, 'failed states' in bad.trouble) == ('', True)


def test_the_first_late_checks_of_many_are_spread_over_a_day() -> None:
    taken_over = datetime(2026, 11, 21, tzinfo=timezone.utc)
    finished: Any = SimpleNamespace(facility='a', status='COMPLETED')
    facilities: Any = SimpleNamespace(gateway=lambda name, owner: SimpleNamespace(outcome=lambda state: Outcome.SUCCEEDED))
    cadences: Any = [
        SimpleNamespace(pk=pk, quick=False, rows=[finished], managed=SimpleNamespace(pk=pk, late_check=None, owner=None))
        for pk in range(1000)
    ]
    for item in cadences:
        item.managed.late_check = late_check_of(item, facilities, taken_over)
    due = [sum(late_check_due(item, taken_over + timedelta(hours=hour, minutes=1)) for item in cadences) for hour in range(25)]
    assert due[24] == 1000
    assert due[0] < 10
    assert max(after - before for before, after in pairwise(due)) < 60
