"""What goes wrong in the toolkit's own cadences today (C1 to C18), each as the user would see it, and how it goes here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError
from django.db.models.signals import post_save
from tom_observations.models import DynamicCadence, ObservationRecord

from simulators.portal import Portal
from simulators.server import serve
from tests.conftest import NIGHT, at
from tests.support import oddities
from tests.support.cadences import PLAIN, SIMULATED, bookings, parameters, records, settle
from tests.support.webform import connect, start_cadence
from tom_cadence import registry
from tom_cadence.core.windows import Window, read_window
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import CadenceRun, ManagedCadence, Submission
from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint

pytestmark = pytest.mark.django_db(transaction=True)
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'
HOUR = timedelta(hours=1)


@pytest.fixture
def lco(settings: Any, client: Any, astronomer: Any, target: Any) -> Iterator[Any]:
    """Starts a cadence at LCO through the web form; the portal is a stand-in."""
    settings.FACILITIES, settings.TOM_FACILITY_CLASSES = {}, []
    with serve(Portal()) as server:
        portal = server.service
        connect(settings, portal, 'LCO')
        client.force_login(astronomer)

        def begin(kind: str, strategy: str) -> tuple[Portal, Any, datetime]:
            now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
            window = None if 'SEQUENCE' in kind else (now + HOUR, now + 9 * HOUR)
            return portal, start_cadence(client, target, 'LCO', kind, strategy, {'cadence_frequency': 24}, window=window), now

        yield begin


def turn(portal: Portal, cadence: Any, outcome: str, when: datetime) -> tuple[Window, Window]:
    """The newest observation ends so, cron runs: the windows in the record and at the portal."""
    portal.set_state(records(cadence)[-1].observation_id, outcome)
    portal.set_clock(when, frozen=True)
    run_cadences(now=when)
    asked = records(cadence)[-1].parameters
    start, end = portal.submissions[-1].windows[0]
    return read_window(asked['start'], asked['end']), Window(start=start, end=end)


def test_c1_a_cadence_goes_on_after_a_successful_observation(lco: Any) -> None:
    portal, cadence, now = lco('IMAGING', RESUME)
    assert '+00:00' in records(cadence)[0].parameters['start']
    recorded, booked = turn(portal, cadence, 'COMPLETED', now + 5 * HOUR)
    assert len(portal.submissions) == 2
    assert recorded == booked
    assert booked.start == now + 25 * HOUR


def test_c2_a_failed_observation_is_retried_once_however_often_cron_runs(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory, strategy=RETRY)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    for _ in range(4):
        run_cadences(now=at(100))
    assert len(bookings(observatory)) == 2
    assert records(cadence)[1].parameters['start'] == '2026-11-25T12:00'
    for number in range(2, 5):
        settle(observatory, records(cadence)[-1], 'WINDOW_EXPIRED')
        run_cadences(now=at(100 * number))
        run_cadences(now=at(100 * number))
        assert len(bookings(observatory)) == number + 1


def test_c3_the_portal_gets_the_new_window_at_the_second_retry_too(lco: Any) -> None:
    portal, cadence, now = lco('IMAGING', RESUME)
    for hours in (10, 20, 30):
        recorded, booked = turn(portal, cadence, 'WINDOW_EXPIRED', now + hours * HOUR)
        assert recorded == booked
        assert booked == Window(start=now + hours * HOUR, end=now + (hours + 8) * HOUR)
    assert len(portal.submissions) == 4


@pytest.mark.parametrize('kind', ['PHOTOMETRIC_SEQUENCE', 'SPECTROSCOPIC_SEQUENCE'])
def test_c4_a_repeating_sequence_is_continued(lco: Any, kind: str) -> None:
    portal, cadence, now = lco(kind, RESUME)
    recorded, booked = turn(portal, cadence, 'COMPLETED', now + 30 * HOUR)
    assert len(portal.submissions) == 2
    assert recorded == booked
    assert booked.start >= now + 30 * HOUR


@pytest.mark.parametrize('strategy', [RESUME, RETRY])
def test_c5_an_observation_that_i_cancelled_is_not_requested_again(observatory: Any, make_cadence: Any, strategy: str) -> None:
    cadence = make_cadence(book=observatory, strategy=strategy)
    settle(observatory, records(cadence)[0], 'CANCELED')
    for hours in (1, 2, 50):
        run_cadences(now=at(hours))
    assert len(bookings(observatory)) == 1
    assert 'cancelled' in ManagedCadence.objects.get().reason


@pytest.mark.parametrize('zone', ['Asia/Tokyo', 'America/Los_Angeles', 'Pacific/Kiritimati'])
@pytest.mark.parametrize('outcome', ['COMPLETED', 'WINDOW_EXPIRED'])
def test_c6_the_window_is_right_wherever_the_server_stands(
    observatory: Any, make_cadence: Any, settings: Any, zone: str, outcome: str
) -> None:
    settings.TIME_ZONE = zone
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], outcome)
    run_cadences(now=at(5))
    start = '2026-11-22T08:00' if outcome == 'COMPLETED' else '2026-11-21T13:00'
    assert bookings(observatory)[1]['fields']['start'] == start
    assert records(cadence)[1].parameters['start'] == start


@pytest.mark.parametrize('strategy', [RESUME, RETRY])
def test_c7_what_the_form_refuses_is_not_submitted(observatory: Any, make_cadence: Any, strategy: str) -> None:
    cadence = make_cadence(book=observatory, strategy=strategy)
    record = records(cadence)[0]
    record.parameters['filter'] = 'H-alpha'
    record.save()
    settle(observatory, record, 'WINDOW_EXPIRED')
    report = run_cadences(now=at(5))
    assert len(bookings(observatory)) == 1
    assert report.failed
    assert 'H-alpha' in report.lines[0].reason
    assert 'filter' in report.lines[0].reason


def test_c8_a_database_error_after_sending_costs_no_telescope_time(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')

    def broken(created: bool, **_: Any) -> None:
        if created:
            raise DatabaseError('no space left on device')

    post_save.connect(broken, sender=ObservationRecord)
    try:
        for _ in range(3):
            run_cadences(now=at(5))
    finally:
        post_save.disconnect(broken, sender=ObservationRecord)
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 2
    assert [record.observation_id for record in records(cadence)] == [str(each['id']) for each in bookings(observatory)]


OVERLAPS = [
    CadencePoint.CLAIMED,
    CadencePoint.DECIDED,
    CadencePoint.PREPARED,
    CadencePoint.INTENT_COMMITTED,
    CadencePoint.REPLIED,
    CadencePoint.ACCEPTED,
    CadencePoint.RELEASED,
]


@pytest.mark.parametrize('point', OVERLAPS)
@pytest.mark.parametrize('strategy', [RESUME, RETRY])
def test_c9_two_crons_at_once_book_once(
    observatory: Any, make_cadence: Any, monkeypatch: Any, strategy: str, point: CadencePoint
) -> None:
    cadence = make_cadence(book=observatory, strategy=strategy)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    met = []

    def second_cron(reached: CadencePoint) -> None:
        if reached is point and not met:
            met.append(reached)
            run_cadences(now=at(5))

    monkeypatch.setattr(failpoints, 'on_reach', second_cron)
    run_cadences(now=at(5))
    assert met == [point]
    assert len(bookings(observatory)) == 2
    assert len(records(cadence)) == 2


@pytest.mark.parametrize(
    ('outcomes', 'decision', 'start'),
    [
        (['WINDOW_EXPIRED', 'PENDING'], 'wait', None),
        (['PENDING', 'WINDOW_EXPIRED'], 'wait', None),
        (['COMPLETED', 'WINDOW_EXPIRED'], 'submit', '2026-11-22T08:00'),
        (['WINDOW_EXPIRED', 'COMPLETED'], 'submit', '2026-11-22T08:00'),
        (['WINDOW_EXPIRED', 'WINDOW_EXPIRED'], 'submit', '2026-11-21T13:00'),
    ],
)
def test_c10_a_group_of_several_requests_is_judged_by_all_of_them(
    observatory: Any, make_cadence: Any, outcomes: list[str], decision: str, start: str | None
) -> None:
    cadence = make_cadence(book=observatory, records=2)
    for record, outcome in zip(records(cadence), outcomes, strict=True):
        settle(observatory, record, outcome)
    assert [line.decision for line in run_cadences(now=at(5)).lines] == [decision]
    assert [record.parameters['start'] for record in records(cadence)[2:]] == [start] * (decision == 'submit')


def test_c11_what_my_cadence_books_is_mine_to_see_and_sent_with_my_credentials(
    observatory: Any, make_cadence: Any, settings: Any, monkeypatch: Any, astronomer: Any
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    settings.TOM_FACILITY_CLASSES = [f'{oddities.HERE}.PersonalFacility']
    settings.FACILITIES['Personal observatory'] = settings.FACILITIES[SIMULATED]
    monkeypatch.setattr(oddities.PersonalFacility, 'keys', {'vera'})
    monkeypatch.setattr(oddities.PersonalFacility, 'users', [])
    cadence = make_cadence(book=observatory, facility='Personal observatory')
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    new = records(cadence)[1]
    assert new.user == astronomer
    assert astronomer.has_perm('tom_observations.view_observationrecord', new)
    assert set(oddities.PersonalFacility.users) == {'vera'}


def test_c12_an_empty_group_is_said_and_the_others_run_on(observatory: Any, make_cadence: Any) -> None:
    empty, good = make_cadence(book=observatory), make_cadence(book=observatory)
    empty.observation_group.observation_records.clear()
    DynamicCadence.objects.update(created=NIGHT)
    settle(observatory, records(good)[0], 'WINDOW_EXPIRED')
    assert [line.decision for line in run_cadences(now=at(5)).lines] == ['stop', 'submit']
    assert 'empty' in empty.managed.reason


def test_c13_a_cadence_that_fails_is_said_on_the_terminal_and_to_cron(observatory: Any, make_cadence: Any) -> None:
    make_cadence(book=observatory)
    bad = make_cadence(book=observatory, strategy='GoneStrategy')
    out = StringIO()
    with pytest.raises(SystemExit) as status:
        call_command('runcadencestrategies', cadence=[bad.pk], stdout=out)
    assert status.value.code == 1
    assert f'Cadence {bad.pk}' in out.getvalue()
    assert '1 cadences' in out.getvalue()
    assert not CadenceRun.objects.exclude(managed__cadence=bad).exists()
    call_command('runcadencestrategies', cadence=[bad.pk], stdout=out)


def test_c14_a_portal_that_hangs_holds_up_its_own_cadences_only(observatory: Any, make_cadence: Any, settings: Any) -> None:
    settings.TOM_CADENCE = {'FACILITY_TIMEOUT': 0.3}
    hung = make_cadence(book=observatory, facility=PLAIN)
    good = make_cadence(book=observatory)
    for cadence in (hung, good):
        settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    observatory.fault('status', 'hang', match=f'/{records(hung)[0].observation_id}/')
    lines = {line.cadence: line for line in run_cadences(now=at(5)).lines}
    assert (lines[hung.pk].decision, lines[hung.pk].failed) == ('wait', True)
    assert lines[good.pk].decision == 'submit'
    observatory.release()
    assert run_cadences([hung.pk], now=at(6)).lines[0].decision == 'submit'


def test_c15_a_cadence_form_without_cadence_fields_books_nothing_and_says_why(
    client: Any, observatory: Any, astronomer: Any, target: Any, settings: Any
) -> None:
    settings.TOM_CADENCE_STRATEGIES = oddities.paths(oddities.Fieldless)
    client.force_login(astronomer)
    asked = {**parameters(target, NIGHT), 'cadence_strategy': 'Fieldless'}
    url = f'/observations/{SIMULATED}/create/?target_id={target.pk}&cadence_strategy=Fieldless'
    response = client.post(url, asked)
    assert response.status_code == 200
    assert b'cadence_fields' in response.content
    assert bookings(observatory) == []


@pytest.mark.parametrize('path', [f'tom_observations.cadence.{RETRY}', f'tom_observations.cadences.{RESUME}'])
def test_c16_the_documentation_s_old_path_is_answered_with_the_right_one(settings: Any, path: str) -> None:
    settings.TOM_CADENCE_STRATEGIES = [path]
    with pytest.raises(ImproperlyConfigured) as caught:
        registry.validate_paths()
    assert path in str(caught.value)
    assert f"'tom_cadence.strategies.{path.rpartition('.')[2]}'" in str(caught.value)


def test_c17_the_rest_api_books_nothing_for_a_cadence_that_it_then_refuses(
    client: Any, observatory: Any, astronomer: Any, target: Any
) -> None:
    client.force_login(astronomer)
    fields = parameters(target, NIGHT)
    asked = {
        'facility': SIMULATED,
        'observation_type': 'IMAGING',
        'target_id': target.pk,
        'observing_parameters': fields,
        'cadence': {'cadence_strategy': RESUME, 'cadence_frequency': 'daily'},
    }
    response = client.post('/api/observations/', asked, content_type='application/json')
    assert response.status_code == 400
    assert bookings(observatory) == []
    assert not ObservationRecord.objects.exists()


@pytest.mark.parametrize(('count_from', 'start'), [('observed', '2026-11-22T10:29'), ('requested', '2026-11-22T08:00')])
def test_c18_the_next_window_counts_from_the_real_observation_if_i_say_so(
    observatory: Any, make_cadence: Any, count_from: str, start: str
) -> None:
    cadence = make_cadence(book=observatory, count_from=count_from)
    observatory.set_clock(at(2.5), frozen=True)
    settle(observatory, records(cadence)[0], 'COMPLETED')  # its one minute of exposure ends now
    run_cadences(now=at(3))
    assert records(cadence)[0].scheduled_start == at(2.5) - timedelta(minutes=1)
    assert records(cadence)[1].parameters['start'] == start
    assert Submission.objects.get().state == 'accepted'
