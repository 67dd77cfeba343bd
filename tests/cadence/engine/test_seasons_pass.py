"""A semester's end, a proposal without time, an instrument out of service: the cadence waits, says so, and goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib.auth.models import User

from simulators.portal import Portal
from simulators.server import serve
from tests.support.cadences import records
from tests.support.webform import IMAGER, connect, forget
from tom_cadence.engine import send
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import ChangeNeeded, NotYet
from tom_cadence.flows import steer
from tom_cadence.journal import adoption, waits
from tom_cadence.models import CadenceRun, ManagedCadence, Notice, Submission

pytestmark = pytest.mark.django_db(transaction=True)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NIGHT = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)
PROPOSAL = 'TOM2026B-001'
#: What the LCO imaging form keeps of one observation.
ASKED = {
    'facility': 'LCO',
    'observation_type': 'IMAGING',
    'name': 'SN 2011fe r',
    'proposal': PROPOSAL,
    'ipp_value': 1.05,
    'optimization_type': 'TIME',
    'observation_mode': 'NORMAL',
    'configuration_repeats': 1,
    'c_1_instrument_type': IMAGER,
    'c_1_configuration_type': 'EXPOSE',
    'c_1_guide_mode': 'ON',
    'c_1_max_airmass': 1.6,
    'c_1_min_lunar_distance': 30,
    'c_1_max_lunar_phase': 1.0,
    'c_1_ic_1_readout_mode': 'full_frame',
    'c_1_ic_1_exposure_time': 30.0,
    'c_1_ic_1_exposure_count': 2,
    'c_1_ic_1_filter': 'rp',
}


@pytest.fixture
def portal(settings: Any) -> Iterator[Portal]:
    settings.FACILITIES, settings.TOM_FACILITY_CLASSES = {}, []
    with serve(Portal(proposals=(PROPOSAL, 'TOM2027A-001'))) as server:
        server.service.set_clock(NIGHT, frozen=True)
        connect(settings, server.service, 'LCO')
        yield server.service


@pytest.fixture
def managed(portal: Portal, astronomer: Any, target: Any) -> ManagedCadence:
    """A cadence of a window of eight hours a day whose first observation, of NIGHT, expired."""
    from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

    end = NIGHT + 8 * HOUR
    asked = {**ASKED, 'target_id': target.pk, 'start': NIGHT.isoformat(), 'end': end.isoformat()}
    first = portal.book(colleague(portal))
    number = str(first['requests'][0]['id'])
    group = ObservationGroup.objects.create(name='r')
    record = ObservationRecord.objects.create(
        target=target, user=astronomer, facility='LCO', parameters=asked, observation_id=number, status='WINDOW_EXPIRED'
    )
    group.observation_records.add(record)
    host = DynamicCadence.objects.create(
        observation_group=group,
        cadence_strategy='ResumeCadenceAfterFailureStrategy',
        cadence_parameters={'cadence_frequency': 24, 'max_consecutive_failures': 3},
        active=True,
    )
    portal.set_state(number, 'WINDOW_EXPIRED')
    return ManagedCadence.objects.get(cadence=host)


def colleague(portal: Portal) -> Any:
    from simulators.portal_groups import colleagues_group

    window = {'start': NIGHT.isoformat(), 'end': (NIGHT + 8 * HOUR).isoformat()}
    return colleagues_group('first', PROPOSAL, IMAGER, window)


def turn(portal: Portal, when: datetime) -> Any:
    """One turn of cron; its only line, and whether it was fine."""
    portal.set_clock(when, frozen=True)
    forget('LCO')
    report = run_cadences(now=when)
    [line] = report.lines
    return line


def state(managed: ManagedCadence) -> ManagedCadence:
    managed.refresh_from_db()
    return managed


def test_a_window_across_a_semesters_end_waits_for_the_next_one_and_is_asked_for_then(
    portal: Portal, managed: ManagedCadence
) -> None:
    end = NIGHT + 12 * HOUR
    portal.set_semesters(**{'2026B': (NIGHT - 90 * DAY, end), '2027A': (end, end + 180 * DAY)})
    when = NIGHT + 9 * HOUR
    line = turn(portal, when)
    assert (line.decision, line.failed) == ('wait', False), line
    assert 'does not fit within any defined semester' in line.reason
    assert 'It waits for a semester that holds the whole window, and goes on 2026-11-21 20:00 UTC.' in line.reason
    asked = portal.requests['validate']
    for minutes in range(5, 175, 34):
        assert turn(portal, when + timedelta(minutes=minutes)).reason == line.reason
    assert portal.requests['validate'] == asked, 'it asked although the date was known'
    assert CadenceRun.objects.filter(managed=managed, decision='wait', reason=line.reason).count() == 1
    assert state(managed).state == 'active'
    assert not Submission.objects.filter(counts_as_failure=True).exists()
    assert Notice.objects.filter(managed=managed).count() == 1
    line = turn(portal, end + timedelta(minutes=1))
    assert line.decision == 'submit', line.reason
    assert portal.submissions[-1].windows[0][0] == end + timedelta(minutes=1)
    assert state(managed).postponed_until is None
    assert len(records(managed.host)) == 2


def spend(portal: Portal) -> None:
    portal.set_proposal(PROPOSAL, hours=0)


def rest(portal: Portal) -> None:
    portal.retire(IMAGER)


def close(portal: Portal) -> None:
    portal.set_semesters(**{'2024A': ('2024-01-01', '2024-07-01')})


def refuse(portal: Portal) -> None:
    portal.reply('validate', 400, {'errors': ['No visible requests within the windows.']}, times=99)


def allow(portal: Portal) -> None:
    from simulators.portal_requests import INSTRUMENTS

    portal.set_proposal(PROPOSAL)
    portal.instruments = dict(INSTRUMENTS)
    portal.set_semesters()
    portal.answers.clear()


@pytest.mark.parametrize(
    ('season', 'words'),
    [
        (spend, 'It waits for the proposal to have time, and asks again by itself.'),
        (rest, 'It waits for what it observes with to be offered again, and asks again by itself.'),
        (close, 'It waits for a semester that holds the whole window, and asks again by itself.'),
        (refuse, 'It waits for the target to be visible in its window, and asks again by itself.'),
    ],
)
def test_a_season_is_a_wait_of_one_line_that_no_limit_counts_and_it_goes_on_by_itself(
    portal: Portal, managed: ManagedCadence, season: Any, words: str
) -> None:
    season(portal)
    asked = portal.requests['validate'] + portal.requests['instruments']
    when = NIGHT + 9 * HOUR
    for hours in range(0, 48, 4):
        line = turn(portal, when + hours * HOUR)
        assert (line.decision, line.failed) == ('wait', False), line
        assert words in line.reason
    assert portal.requests['validate'] - asked <= 14
    assert state(managed).state == 'active'
    assert CadenceRun.objects.filter(managed=managed, decision='error').count() == 0
    assert CadenceRun.objects.filter(managed=managed, reason__contains=words).count() == 1
    assert Notice.objects.filter(managed=managed).count() == 1
    allow(portal)
    assert turn(portal, when + 72 * HOUR).decision == 'submit'
    assert len(portal.submissions) == 2


def test_a_proposal_that_rolled_over_needs_a_person_who_changes_what_is_asked_for_and_it_goes_on(
    client: Any, portal: Portal, managed: ManagedCadence, astronomer: Any
) -> None:
    portal.set_proposal(PROPOSAL, current=False)
    line = turn(portal, NIGHT + 9 * HOUR)
    assert line.failed
    assert f'{PROPOSAL} is not one of the available choices' in line.reason
    assert state(managed).state == 'attention'
    assert Notice.objects.get(managed=managed).text.endswith('Change what is asked for; then it goes on.')
    client.force_login(astronomer)
    page = client.get(f'/cadences/{managed.pk}/').content.decode()
    assert 'does not take this observation any more' in page
    given = {'selected-row': [managed.pk], 'proposal': 'TOM2027A-001', 'reason': 'New semester.'}
    assert '1 of 1 cadence moved' in client.post('/cadences/proposal/', given).content.decode()
    assert state(managed).state == 'active'
    assert turn(portal, NIGHT + 10 * HOUR).decision == 'submit'
    assert portal.submissions[-1].payload['proposal'] == 'TOM2027A-001'
    assert records(managed.host)[-1].parameters['proposal'] == 'TOM2027A-001'


def test_what_the_portal_refuses_only_when_it_is_booked_waits_too(portal: Portal, managed: ManagedCadence) -> None:
    said = {'non_field_errors': [f'Proposal {PROPOSAL} does not have enough time allocated in semester 2026B']}
    portal.reply('submit', 400, said)
    line = turn(portal, NIGHT + 9 * HOUR)
    assert (line.decision, line.failed) == ('wait', False), line
    assert Submission.objects.get().counts_as_failure is False
    assert turn(portal, NIGHT + 9.5 * HOUR).decision == 'wait'
    assert turn(portal, NIGHT + 10.5 * HOUR).decision == 'submit'


def test_who_resumes_or_edits_it_has_it_asked_at_once(portal: Portal, managed: ManagedCadence, astronomer: Any) -> None:
    spend(portal)
    assert turn(portal, NIGHT + 9 * HOUR).decision == 'wait'
    allow(portal)
    assert turn(portal, NIGHT + 9.2 * HOUR).decision == 'wait'
    steer.pause(state(managed), astronomer, NIGHT + 9.3 * HOUR)
    steer.resume(state(managed), astronomer, NIGHT + 9.3 * HOUR)
    assert turn(portal, NIGHT + 9.4 * HOUR).decision == 'submit'


def edited_in_the_admin(managed: ManagedCadence, now: datetime) -> None:
    managed.host.save()


def switched_off_and_on_by_a_script(managed: ManagedCadence, now: datetime) -> None:
    for active in (False, True):
        type(managed.host).objects.filter(pk=managed.cadence_id).update(active=active)
        adoption.reconcile(now)


def edited_on_its_page(managed: ManagedCadence, now: datetime) -> None:
    steer.edit(managed, 'vera', {'cadence_frequency': 23}, now)


def handed_to_somebody_else(managed: ManagedCadence, now: datetime) -> None:
    steer.change_owner(managed, 'vera', User.objects.create_superuser('edwin'), now)


def another_observation_in_the_group(managed: ManagedCadence, now: datetime) -> None:
    [first] = records(managed.host)
    second = type(first).objects.create(
        target=first.target, user=first.user, facility='LCO', parameters=first.parameters, observation_id='77', status='FAILED'
    )
    managed.host.observation_group.observation_records.add(second)
    managed.host.observation_group.observation_records.remove(second)


def looked_at_now(managed: ManagedCadence, now: datetime) -> None:
    assert 'Booked' in steer.run_now(managed, 'vera', now)


@pytest.mark.parametrize(
    'what',
    [
        edited_in_the_admin,
        switched_off_and_on_by_a_script,
        edited_on_its_page,
        handed_to_somebody_else,
        another_observation_in_the_group,
        looked_at_now,
    ],
)
def test_whatever_a_person_does_to_a_waiting_cadence_has_it_asked_at_once(
    portal: Portal, managed: ManagedCadence, what: Callable[[ManagedCadence, datetime], None]
) -> None:
    spend(portal)
    assert turn(portal, NIGHT + 9 * HOUR).decision == 'wait'
    allow(portal)
    assert turn(portal, NIGHT + 9.2 * HOUR).decision == 'wait'
    what(state(managed), NIGHT + 9.3 * HOUR)
    assert what is looked_at_now or turn(portal, NIGHT + 9.4 * HOUR).decision == 'submit'
    assert len(records(managed.host)) == 2


def test_an_unknown_refusal_counts_as_before(portal: Portal, managed: ManagedCadence) -> None:
    portal.reply('validate', 200, {'errors': {'ipp_value': ['Too much.']}}, times=9)
    line = turn(portal, NIGHT + 9 * HOUR)
    assert (line.decision, line.failed) == ('error', True)
    assert Submission.objects.get().counts_as_failure is True
    assert state(managed).postponed_until is None


def test_a_wait_is_kept_together_with_what_its_owner_is_told(managed: ManagedCadence, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        """The process died here."""

    def die(*_: Any) -> None:
        raise Killed

    no_time = NotYet('The proposal does not have enough time allocated', kind='time')
    with monkeypatch.context() as patched:
        patched.setattr(waits.notices, 'tell_owner', die)
        with pytest.raises(Killed):
            waits.postpone(managed, no_time, NIGHT)
    assert state(managed).postponed_kind == ''
    waits.postpone(managed, no_time, NIGHT)
    waits.postpone(state(managed), no_time, NIGHT + HOUR)
    assert Notice.objects.filter(managed=managed).count() == 1


def test_the_same_wait_months_later_is_told_again(managed: ManagedCadence) -> None:
    no_time = NotYet('The proposal does not have enough time allocated', kind='time')
    waits.postpone(managed, no_time, NIGHT)
    waits.postpone(state(managed), no_time, NIGHT + 90 * DAY)
    assert state(managed).postponed_since == NIGHT + 90 * DAY
    assert Notice.objects.filter(managed=managed).count() == 2


def test_what_a_person_has_to_change_keeps_the_first_observation_from_nothing_afterwards(managed: ManagedCadence) -> None:
    request = Submission.objects.create(managed=managed, origin='start', cause='begin:1', facility='LCO', created=NIGHT)
    with pytest.raises(ChangeNeeded):
        send.conclude(request, None, ChangeNeeded('The proposal is over.'), frozenset(), '', NIGHT)
    request.refresh_from_db()
    assert (request.state, request.counts_as_failure) == ('refused', False)
