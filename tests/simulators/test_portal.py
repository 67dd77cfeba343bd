"""The stand-in portal and the web form helpers, proved against the toolkit's own facilities alone.

Nothing here needs tom_cadence: the strategies are the toolkit's own two, and none is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from dateutil.parser import parse
from django.contrib.auth.models import User
from django.test import Client
from tom_observations.facility import get_service_class
from tom_observations.models import DynamicCadence, ObservationRecord
from tom_targets.models import Target

from simulators.portal import VERBS, Portal
from simulators.server import serve
from tests.support.webform import FormRefused, connect, open_form, start_cadence

RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'
WINDOWED = [('LCO', 'IMAGING', RESUME), ('LCO', 'SPECTRA', RETRY), ('OCS', 'ALL', RESUME)]
SEQUENCES = ['PHOTOMETRIC_SEQUENCE', 'SPECTROSCOPIC_SEQUENCE']
NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
FAULTS = ('403', '503', '500-before', 'reset-before', '500-after', 'reset-after', 'malformed-after', 'hang-after')


@pytest.fixture
def portal() -> Iterator[Portal]:
    with serve(Portal()) as server:
        yield server.service


@pytest.fixture(params=['UTC', 'Asia/Tokyo', 'America/Los_Angeles'])
def zone(request: pytest.FixtureRequest, settings: Any) -> ZoneInfo:
    settings.TIME_ZONE = request.param
    return ZoneInfo(request.param)


@pytest.fixture
def observer(client: Client, django_user_model: type[User], settings: Any) -> Client:
    settings.TOM_CADENCE_STRATEGIES = [
        'tom_observations.cadences.retry_failed_observations.RetryFailedObservationsStrategy',
        'tom_observations.cadences.resume_cadence_after_failure.ResumeCadenceAfterFailureStrategy',
    ]
    client.force_login(django_user_model.objects.create_user('astronomer'))
    return client


@pytest.fixture
def target(db: None) -> Target:
    return Target.objects.create(name='SN 2026abc', type='SIDEREAL', ra=150.1, dec=-20.5, epoch=2000.0, permissions='OPEN')


def tomorrow(hours: int = 8) -> tuple[datetime, datetime]:
    start = (datetime.now(timezone.utc) + timedelta(days=1)).replace(second=0, microsecond=0)
    return start, start + timedelta(hours=hours)


def records_of(cadence: DynamicCadence) -> list[ObservationRecord]:
    return list(cadence.observation_group.observation_records.order_by('pk'))


def named(submission: Any) -> str:
    """The name that was typed: what leaves this TOM carries a mark behind it."""
    return str(submission.name).partition(' ~')[0]


def group(portal: Portal, name: str = 'SN follow-up', **window: str) -> dict[str, Any]:
    """A request group as the portal's documentation shows one; without a window: the next day."""
    start, end = portal.now(), portal.now() + timedelta(days=1)
    configuration = {
        'type': 'EXPOSE',
        'instrument_type': '1M0-SCICAM-SINISTRO',
        'target': {'name': 'SN', 'type': 'ICRS', 'ra': 10.0, 'dec': 10.0},
        'constraints': {'max_airmass': 1.6},
        'instrument_configs': [{'exposure_time': 30, 'exposure_count': 2, 'optical_elements': {'filter': 'rp'}}],
        'acquisition_config': {},
        'guiding_config': {},
    }
    request = {
        'location': {'telescope_class': '1m0'},
        'configurations': [configuration],
        'windows': [window or {'start': start.isoformat(), 'end': end.isoformat()}],
    }
    group = {'name': name, 'proposal': 'TOM2026B-001', 'ipp_value': 1.05, 'operator': 'SINGLE', 'requests': [request]}
    return group | {'observation_type': 'NORMAL'}


def call(portal: Portal, method: str, path: str, token: str | None = None, **kwargs: Any) -> requests.Response:
    headers = {'Authorization': f'Token {portal.token if token is None else token}'}
    return requests.request(method, f'{portal.url}/api/{path}', headers=headers, timeout=10, **kwargs)


# --- the host's web forms -------------------------------------------------------------------------------------------


def assert_recorded(cadence: DynamicCadence, portal: Portal, strategy: str) -> ObservationRecord:
    """The host's rows show what the portal accepted."""
    (record,) = records_of(cadence)
    assert [record.observation_id] == [str(pk) for pk in portal.submissions[-1].request_ids]
    assert record.user is not None
    assert record.user.username == 'astronomer'
    assert cadence.active
    assert (cadence.cadence_strategy, cadence.cadence_parameters) == (strategy, {'cadence_frequency': 24})
    return record


@pytest.mark.parametrize(('facility', 'observation_type', 'strategy'), WINDOWED)
def test_the_window_typed_into_the_form_reaches_the_portal(
    facility: str,
    observation_type: str,
    strategy: str,
    zone: ZoneInfo,
    observer: Client,
    target: Target,
    portal: Portal,
    settings: Any,
) -> None:
    connect(settings, portal, facility)
    typed = tomorrow()
    cadence = start_cadence(observer, target, facility, observation_type, strategy, {'cadence_frequency': 24}, window=typed)
    record = assert_recorded(cadence, portal, strategy)
    assert [(named(each), each.windows) for each in portal.submissions] == [('SN follow-up', (typed,))]
    assert tuple(parse(record.parameters[key]) for key in ('start', 'end')) == typed
    assert parse(record.parameters['start']).utcoffset() == typed[0].astimezone(zone).utcoffset()


@pytest.mark.parametrize('observation_type', SEQUENCES)
def test_a_sequence_form_asks_for_now_as_the_toms_clock_shows_it(
    observation_type: str, zone: ZoneInfo, observer: Client, target: Target, portal: Portal, settings: Any
) -> None:
    """The toolkit sends its local clock without offset, and the portal reads UTC: the window is shifted (C6)."""
    connect(settings, portal, 'LCO')
    before = datetime.now(timezone.utc).replace(microsecond=0)
    cadence = start_cadence(observer, target, 'LCO', observation_type, RESUME, {'cadence_frequency': 24})
    record = assert_recorded(cadence, portal, RESUME)
    (((start, end),),) = [each.windows for each in portal.submissions]
    shift = before.astimezone(zone).utcoffset() or timedelta()
    assert before <= start - shift <= datetime.now(timezone.utc)
    assert end - start == timedelta(hours=24)
    assert record.parameters['start'] == start.strftime('%Y-%m-%dT%H:%M:%S')


def test_a_short_sequence_is_refused_west_of_greenwich(observer: Client, target: Target, portal: Portal, settings: Any) -> None:
    settings.TIME_ZONE = 'America/Los_Angeles'
    connect(settings, portal, 'LCO')
    with pytest.raises(FormRefused, match='Window end time must be in the future'):
        start_cadence(observer, target, 'LCO', SEQUENCES[0], RESUME, {'cadence_frequency': 6})
    assert portal.submissions == []


@pytest.mark.parametrize(('facility', 'observation_type', 'strategy'), [*WINDOWED, *(('LCO', each, RESUME) for each in SEQUENCES)])
def test_every_form_works_with_permissions_of_its_own_for_observations(
    facility: str,
    observation_type: str,
    strategy: str,
    observer: Client,
    target: Target,
    portal: Portal,
    settings: Any,
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    connect(settings, portal, facility)
    window = None if observation_type in SEQUENCES else tomorrow()
    cadence = start_cadence(observer, target, facility, observation_type, strategy, {'cadence_frequency': 24}, window=window)
    assert_recorded(cadence, portal, strategy)


def test_period_and_jitter_book_several_requests_in_one_group(
    observer: Client, target: Target, portal: Portal, settings: Any
) -> None:
    connect(settings, portal, 'LCO')
    start, end = tomorrow(hours=48)
    static, dynamic = {'period': 24, 'jitter': 4}, {'cadence_frequency': 72}
    cadence = start_cadence(observer, target, 'LCO', 'IMAGING', RESUME, dynamic, window=(start, end), fields=static)
    hours = [(0, 2), (22, 26)]
    (submission,) = portal.submissions
    assert submission.windows == tuple((start + timedelta(hours=a), start + timedelta(hours=b)) for a, b in hours)
    assert [record.observation_id for record in records_of(cadence)] == [str(pk) for pk in submission.request_ids]


def test_what_the_portal_refuses_comes_back_as_the_forms_errors(
    observer: Client, target: Target, portal: Portal, settings: Any
) -> None:
    connect(settings, portal, 'LCO')
    with pytest.raises(FormRefused) as refused:
        start_cadence(observer, target, 'LCO', 'IMAGING', RESUME, {'cadence_frequency': 24}, window=tomorrow(), name='x' * 51)
    assert refused.value.errors == {'name': ['Ensure this field has no more than 50 characters.']}
    assert not ObservationRecord.objects.exists()


def test_the_forms_helper_behaves_as_a_browser(observer: Client, target: Target, portal: Portal, settings: Any) -> None:
    connect(settings, portal, 'LCO')
    form = open_form(observer, target, 'LCO', 'IMAGING', RESUME)
    assert form.values['cadence_strategy'] == [RESUME]
    assert form.values['start_1'] == ['00:00']
    assert 'submit' not in form.values
    with pytest.raises(AssertionError, match='must be filled in'):
        form.submit(observer)
    with pytest.raises(KeyError, match='no field'):
        form.fill({'exposure_time': 1})
    with pytest.raises(ValueError, match='offers'):
        form.fill({'c_1_ic_1_filter': 'unheard of'})
    with pytest.raises(ValueError, match='whole minutes'):
        form.fill_window(NOON + timedelta(seconds=1), NOON + timedelta(hours=1))


# --- the toolkit's facility talks to the portal ---------------------------------------------------------------------


@pytest.fixture
def facility(settings: Any, portal: Portal) -> Any:
    connect(settings, portal, 'LCO')
    return get_service_class('LCO')()


def test_the_toolkit_reads_states_and_observation_times(facility: Any, portal: Portal) -> None:
    (pk,) = facility.submit_observation(group(portal))
    assert facility.get_observation_status(pk) == {'state': 'PENDING', 'scheduled_start': None, 'scheduled_end': None}
    portal.schedule(pk, NOON, NOON + timedelta(minutes=5))
    assert facility.get_observation_status(pk)['scheduled_start'] == '2026-11-21T12:00:00Z'
    assert portal.settle_all('WINDOW_EXPIRED') == [pk]
    expired = {'state': 'WINDOW_EXPIRED', 'scheduled_start': None, 'scheduled_end': None}
    assert facility.get_observation_status(pk) == expired
    portal.set_state(pk, 'COMPLETED', observed=(NOON, NOON + timedelta(minutes=1)))
    assert facility.get_observation_status(pk)['scheduled_end'] == '2026-11-21T12:01:00Z'
    portal.set_state(pk, 'PENDING')
    assert facility.get_observation_status(pk)['scheduled_end'] is None
    assert portal.requests['request'] == portal.requests['observations'] == 5


def test_the_toolkit_cancels_what_is_pending_and_nothing_else(facility: Any, portal: Portal) -> None:
    first, second = (facility.submit_observation(group(portal))[0] for _ in range(2))
    portal.set_state(second, 'COMPLETED')
    assert facility.cancel_observation(first)
    with pytest.raises(Exception, match='Cannot transition from request state COMPLETED'):
        facility.cancel_observation(second)
    assert [portal.state(pk) for pk in (first, second)] == ['CANCELED', 'COMPLETED']


def test_the_same_submission_twice_is_booked_twice(facility: Any, portal: Portal) -> None:
    ids = [facility.submit_observation(group(portal))[0] for _ in range(2)]
    assert ids == portal.request_ids()
    assert len(set(ids)) == len(portal.submissions) == 2


# --- the portal itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('verb', VERBS)
@pytest.mark.parametrize('token', ['', 'another'])
def test_a_wrong_or_missing_token_is_forbidden(portal: Portal, verb: str, token: str) -> None:
    method, pattern = VERBS[verb]
    path = pattern.replace(r'(\d+)', '1').removeprefix('/api/')
    assert call(portal, method, f'{path}/', token, json={}).status_code == 403
    assert portal.requests[verb] == 1


@pytest.mark.parametrize(
    ('method', 'path'), [('GET', 'requests/9/'), ('GET', 'requests/9/observations/'), ('POST', 'requestgroups/9/cancel/')]
)
def test_what_is_not_there_is_not_found(portal: Portal, method: str, path: str) -> None:
    reply = call(portal, method, path)
    assert (reply.status_code, reply.json()) == (404, {'detail': 'Not found.'})


def windowed(**window: str) -> Callable[[Portal], dict[str, Any]]:
    return lambda portal: group(portal, **window)


IN_WINDOWS = {
    'end in the past': (
        windowed(start='2026-11-20T00:00:00', end='2026-11-21T11:59:59Z'),
        {'end': ['Window end time must be in the future']},
    ),
    'no end': (windowed(start='2026-11-22T00:00:00'), {'end': ['This field is required.']}),
    'reversed': (
        windowed(start='2026-11-23T00:00:00', end='2026-11-23T00:30:00+01:00'),
        {
            'non_field_errors': [
                "Window end '2026-11-22 23:30:00+00:00' cannot be earlier than window start '2026-11-23 00:00:00+00:00'"
            ]
        },
    ),
}


@pytest.mark.parametrize('case', IN_WINDOWS)
def test_an_impossible_window_is_refused(portal: Portal, case: str) -> None:
    portal.set_clock(NOON, frozen=True)
    make, errors = IN_WINDOWS[case]
    nested = {'requests': [{'windows': [errors]}]}
    refused = call(portal, 'POST', 'requestgroups/', json=make(portal))
    checked = call(portal, 'POST', 'requestgroups/validate/', json=make(portal))
    assert (refused.status_code, refused.json()) == (400, nested)
    assert (checked.status_code, checked.json()) == (200, {'request_durations': {}, 'errors': nested})
    assert portal.submissions == []


def test_missing_fields_and_what_is_no_json_are_refused(portal: Portal) -> None:
    empty = call(portal, 'POST', 'requestgroups/', json={}).json()
    assert set(empty) == {'name', 'proposal', 'ipp_value', 'operator', 'observation_type', 'requests'}
    assert call(portal, 'POST', 'requestgroups/', data=b'{"ipp_value": NaN}').status_code == 400
    mixed = group(portal)
    mixed['requests'][0]['configurations'][0]['instrument_configs'][0]['optical_elements']['slit'] = 'slit_1.6as'
    assert 'optical_element of type slit is not available' in call(portal, 'POST', 'requestgroups/', json=mixed).text


def test_times_without_offset_are_utc_and_a_window_may_have_begun(portal: Portal) -> None:
    portal.set_clock(NOON, frozen=True)
    made = call(portal, 'POST', 'requestgroups/', json=group(portal, start='2026-11-21T05:00', end='2026-11-21T14:00'))
    assert (made.status_code, made.json()['state'], made.json()['created']) == (201, 'PENDING', '2026-11-21T12:00:00Z')
    assert portal.submissions[0].windows == ((NOON - timedelta(hours=7), NOON + timedelta(hours=2)),)


def test_the_list_finds_a_token_in_the_name_and_comes_in_pages(portal: Portal) -> None:
    for hour in range(12):
        portal.set_clock(NOON + timedelta(hours=hour), frozen=True)
        call(portal, 'POST', 'requestgroups/', json=group(portal, f'SN 2026abc ~K{hour:02}'))
    portal.set_state(portal.request_ids()[3], 'COMPLETED')

    def names(query: str) -> list[str]:
        reply = call(portal, 'GET', f'requestgroups/?{query}').json()
        return [each['name'][-3:] for each in reply['results']]

    assert names('name=~k07&created_after=2026-11-21T19:00:00') == ['K07']
    assert names('name=~k07&created_after=2026-11-21T19:00:01') == []
    assert names('created_before=2026-11-21T13:00:00Z') == ['K01', 'K00']
    assert names('state=COMPLETED') == names(f'request_id={portal.request_ids()[3]}') == ['K03']
    assert names('state=COMPLETED&state=PENDING&limit=2&offset=1') == ['K10', 'K09']
    first = call(portal, 'GET', 'requestgroups').json()
    second = call(portal, 'GET', first['next'].split('/api/')[1]).json()
    assert [first['count'], len(first['results']), len(second['results']), second['next']] == [12, 10, 2, None]
    assert second['previous'].endswith('limit=10&offset=0')
    assert {'id', 'state', 'windows'} <= set(first['results'][0]['requests'][0])
    assert call(portal, 'GET', 'requestgroups/?created_after=2026-11-21T19:00:00+00:00').status_code == 400


def submit(portal: Portal, deadline: float = 10) -> None:
    """As a careful client does: with a deadline for the reply, and reading it."""
    headers = {'Authorization': f'Token {portal.token}'}
    reply = requests.post(f'{portal.url}/api/requestgroups/', json=group(portal), headers=headers, timeout=deadline)
    reply.raise_for_status()
    reply.json()


@pytest.mark.parametrize('fault', FAULTS)
def test_a_fault_strikes_once_and_after_it_the_booking_is_there_or_not(portal: Portal, fault: str) -> None:
    kinds = {'reset': requests.ConnectionError, 'malfo': requests.JSONDecodeError, 'hang-': requests.ReadTimeout}
    portal.fault('submit', fault)
    with pytest.raises(kinds.get(fault[:5], requests.HTTPError)):
        submit(portal, deadline=0.2 if fault == 'hang-after' else 10)
    assert len(portal.submissions) == fault.endswith('-after')
    submit(portal)
    assert portal.requests['submit'] == 2
    assert [named(each) for each in portal.submissions] == ['SN follow-up'] * (1 + fault.endswith('-after'))
