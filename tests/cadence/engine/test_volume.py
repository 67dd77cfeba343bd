"""How many requests states cost at a portal of the OCS family, and what a list that fails costs: never a cadence."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from simulators.portal import Portal
from simulators.server import serve
from tests.support.cadences import records
from tests.support.webform import connect, start_cadence
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime.now(timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
LATER = timedelta(minutes=10)


@pytest.fixture
def portal(settings: Any) -> Iterator[Portal]:
    settings.FACILITIES = {}
    settings.TOM_FACILITY_CLASSES = []
    with serve(Portal()) as server:
        server.service.set_clock(NOON, frozen=True)
        yield server.service


@pytest.fixture
def first(client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any) -> Any:
    """One cadence, started by hand; the others are made like it."""
    connect(settings, portal, 'LCO')
    client.force_login(astronomer)
    window = (NOON + timedelta(hours=6), NOON + timedelta(hours=14))
    return start_cadence(
        client, target, 'LCO', 'IMAGING', 'ResumeCadenceAfterFailureStrategy', {'cadence_frequency': 24}, window=window
    )


def crowd(portal: Portal, first: Any, number: int, owners: int = 1) -> list[Any]:
    """So many cadences in all, of so many owners, each with one observation at the portal."""
    from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

    [like] = records(first)
    users = [like.user, *(get_user_model().objects.create_user(f'owner {each}') for each in range(1, owners))]
    made = [first]
    for each in range(1, number):
        group = portal.book(copy.deepcopy(portal.submissions[0].payload))
        booked = str(group['requests'][0]['id'])
        record = ObservationRecord.objects.create(
            target=like.target,
            user=users[each % owners],
            facility='LCO',
            parameters=like.parameters,
            observation_id=booked,
            status='PENDING',
        )
        together = ObservationGroup.objects.create(name=f'cadence {each}')
        together.observation_records.add(record)
        cadence = DynamicCadence.objects.create(
            observation_group=together,
            cadence_strategy='ResumeCadenceAfterFailureStrategy',
            cadence_parameters={'cadence_frequency': 24},
            active=True,
        )
        made.append(cadence)
    return made


def turn(portal: Portal, when: datetime) -> tuple[int, list[Any]]:
    """One turn of cron; how many requests the portal got, and the lines of the report."""
    portal.set_clock(when, frozen=True)
    before = sum(portal.requests.values())
    lines = run_cadences(now=when).lines
    return sum(portal.requests.values()) - before, lines


@pytest.mark.parametrize(('number', 'owners'), [(9, 1), (50, 10)])
def test_an_idle_run_costs_two_small_lists_whoever_owns_the_cadences(portal: Portal, first: Any, number: int, owners: int) -> None:
    crowd(portal, first, number, owners)
    asked, lines = turn(portal, NOON)
    assert asked <= 2
    assert {line.decision for line in lines} == {'wait'}
    asked, lines = turn(portal, NOON + LATER)
    assert asked <= 2
    assert len(lines) == number
    assert not [line for line in lines if line.failed]
    assert 'modified_after' in portal.asked[-1][1]


def test_a_step_that_is_due_costs_six_requests_one_of_them_whether_it_is_there_already(portal: Portal, first: Any) -> None:
    turn(portal, NOON)
    portal.set_state(records(first)[0].observation_id, 'COMPLETED')
    asked, lines = turn(portal, NOON + LATER)
    assert [line.decision for line in lines] == ['submit']
    assert asked <= 6, portal.asked[-asked:]


def test_a_step_that_is_due_among_many_costs_no_more(portal: Portal, first: Any) -> None:
    crowd(portal, first, 9)
    turn(portal, NOON)
    portal.set_state(records(first)[0].observation_id, 'COMPLETED')
    asked, lines = turn(portal, NOON + LATER)
    assert sorted(line.decision for line in lines) == ['submit'] + ['wait'] * 8
    assert asked <= 6, portal.asked[-asked:]


def test_every_night_costs_the_same(portal: Portal, first: Any) -> None:
    costs = []
    when = NOON
    turn(portal, when)
    for _ in range(4):
        portal.set_state(records(first)[-1].observation_id, 'COMPLETED')
        asked, lines = turn(portal, when + LATER)
        assert [line.decision for line in lines] == ['submit']
        costs.append(asked)
        when += timedelta(days=1)
    assert max(costs[1:]) <= costs[0] + 2, costs


def test_three_thousand_requests_of_colleagues_cost_nothing(portal: Portal, first: Any) -> None:
    cadences = crowd(portal, first, 3)
    portal.set_clock(NOON + timedelta(minutes=5), frozen=True)
    portal.add_colleagues(3000)
    turn(portal, NOON + LATER)
    asked, lines = turn(portal, NOON + timedelta(hours=2))
    assert asked == 16 + 1  # what the colleagues did meanwhile is read once; and the schedule
    portal.set_state(records(cadences[1])[0].observation_id, 'WINDOW_EXPIRED')
    schedules = portal.requests['schedule']
    asked, lines = turn(portal, NOON + timedelta(hours=3))
    assert asked - (portal.requests['schedule'] - schedules) <= 5
    assert portal.requests['schedule'] == schedules + 1  # one list a run, whatever is due
    assert sorted(line.decision for line in lines) == ['submit', 'wait', 'wait']


def test_one_retired_instrument_breaks_the_list_and_no_cadence(portal: Portal, first: Any) -> None:
    cadences = crowd(portal, first, 9)
    turn(portal, NOON)
    portal.set_state(records(cadences[4])[0].observation_id, 'WINDOW_EXPIRED')
    portal.add_colleagues(1, instrument='0M4-SCICAM-SBIG')
    portal.retire('0M4-SCICAM-SBIG')
    _, lines = turn(portal, NOON + LATER)
    assert portal.replies['list 500'] > 0
    assert not [line for line in lines if line.failed]
    assert sorted(line.decision for line in lines) == ['submit'] + ['wait'] * 8
    assert {row.unreachable_since for row in ManagedCadence.objects.all()} == {None}


def test_a_page_that_fails_costs_what_it_would_have_told_alone(portal: Portal, first: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr('tom_cadence.facilities.ocs.PAGE', 4)
    crowd(portal, first, 9)
    portal.fault('list', '500', count=-1, match='offset=4')
    _, lines = turn(portal, NOON)
    assert [query['offset'] for verb, query in portal.asked if verb == 'list' and 'name' not in query] == [['0'], ['4']]
    assert portal.requests['request'] == 5
    assert not [line for line in lines if line.failed]


def test_in_an_outage_a_facility_is_asked_and_named_once(portal: Portal, first: Any, capsys: Any) -> None:
    crowd(portal, first, 30)
    turn(portal, NOON)
    for verb in ('list', 'request'):
        portal.reply(verb, 502, '<h1>Bad Gateway</h1>', times=99)
    asked, lines = turn(portal, NOON + LATER)
    assert asked <= 12
    assert all(line.failed for line in lines)
    for verb in ('list', 'request'):
        portal.reply(verb, 502, '<h1>Bad Gateway</h1>', times=99)
    with pytest.raises(SystemExit):
        call_command('runcadencestrategies', verbosity=1)
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if 'could not be asked for 30 cadences' in line]
    assert not [line for line in said if line.startswith('Cadence ')]


def test_a_clock_that_is_ahead_hides_no_change(portal: Portal, first: Any, monkeypatch: Any) -> None:
    ahead = timedelta(hours=2)
    monkeypatch.setattr('tom_cadence.facilities.ocs.ahead', lambda response: -ahead)
    cadences = crowd(portal, first, 3)
    for minutes, expired in ((0, None), (10, None), (20, 1)):
        portal.set_clock(NOON + timedelta(minutes=minutes), frozen=True)
        if expired is not None:
            portal.set_state(records(cadences[expired])[0].observation_id, 'WINDOW_EXPIRED')
        lines = run_cadences(now=portal.now() + ahead).lines
    assert sorted(line.decision for line in lines) == ['submit', 'wait', 'wait']


def test_what_was_completed_without_any_observation_is_no_success(portal: Portal, first: Any) -> None:
    [record] = records(first)
    portal.set_state(record.observation_id, 'COMPLETED', observation='NOT_ATTEMPTED')
    _, lines = turn(portal, NOON + LATER)
    assert [line.decision for line in lines] == ['submit']
    assert 'succeeded' not in lines[0].reason
    record.refresh_from_db()
    assert record.status == 'NOT_ATTEMPTED'


def test_an_observation_that_the_portal_does_not_know_is_named(portal: Portal, first: Any) -> None:
    [record] = records(first)
    type(record).objects.filter(pk=record.pk).update(observation_id='424242')
    _, lines = turn(portal, NOON)
    assert lines[0].reason == 'LCO does not know observation 424242.'


def schedule_of(cadence: Any) -> tuple[Any, Any]:
    [record] = records(cadence)
    return record.scheduled_start, record.scheduled_end


def test_when_each_of_many_is_scheduled_is_known_without_a_question_of_its_own(portal: Portal, first: Any) -> None:
    """The first run of a day reads the whole schedule, the later ones what has changed in it."""
    cadences = crowd(portal, first, 4)
    times = (NOON + timedelta(hours=7), NOON + timedelta(hours=7, minutes=5))
    portal.schedule(records(cadences[2])[0].observation_id, *times)
    asked, _ = turn(portal, NOON)
    assert asked <= 2
    assert schedule_of(cadences[2]) == times
    assert schedule_of(cadences[3]) == (None, None)
    portal.set_clock(NOON + timedelta(minutes=5), frozen=True)
    moved = (NOON + timedelta(hours=9), NOON + timedelta(hours=9, minutes=5))
    portal.schedule(records(cadences[2])[0].observation_id, *moved)
    portal.schedule(records(cadences[3])[0].observation_id, *times)
    asked, lines = turn(portal, NOON + LATER)
    assert asked <= 2
    assert {line.decision for line in lines} == {'wait'}
    assert [schedule_of(cadences[each]) for each in (2, 3)] == [moved, times]
    portal.unschedule(records(cadences[2])[0].observation_id)
    asked, _ = turn(portal, NOON + 2 * LATER)
    assert asked <= 2
    assert [schedule_of(cadences[each]) for each in (2, 3)] == [(None, None), times]


def test_when_many_were_observed_is_known_from_one_list(portal: Portal, first: Any) -> None:
    cadences = crowd(portal, first, 4)
    turn(portal, NOON)
    times = (NOON + timedelta(hours=7), NOON + timedelta(hours=7, minutes=5))
    for each in cadences[:3]:
        portal.set_state(records(each)[0].observation_id, 'COMPLETED', observed=times)
    seen = portal.requests['observations']
    portal.set_clock(NOON + timedelta(hours=8), frozen=True)
    run_cadences(now=NOON + timedelta(hours=8))
    assert portal.requests['observations'] == seen
    old = [each.observation_group.observation_records.order_by('pk')[0] for each in cadences[:3]]
    assert {(each.scheduled_start, each.scheduled_end) for each in old} == {times}


def test_a_portal_that_tells_no_schedule_tells_states_all_the_same(portal: Portal, first: Any) -> None:
    cadences = crowd(portal, first, 3)
    turn(portal, NOON)
    portal.reply('schedule', 404, '<h1>no</h1>', times=9)
    portal.set_state(records(cadences[2])[0].observation_id, 'WINDOW_EXPIRED')
    _, lines = turn(portal, NOON + LATER)
    assert not [line for line in lines if line.failed]
    assert sorted(line.decision for line in lines) == ['submit'] + ['wait'] * 2
