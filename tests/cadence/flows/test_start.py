"""The beginning of a cadence at facilities of every kind, and with the process killed in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationTemplate

from custom_code.observatory import ObservatoryImagingForm, SimulatedObservatoryFacility
from simulators.portal import Portal
from simulators.server import serve
from tests.cadence.pages.test_starting import RESUME, Page, asked, go
from tests.conftest import at
from tests.support.cadences import bookings, make, records
from tests.support.webform import FIELDS, connect
from tom_cadence import journal
from tom_cadence.core.windows import read_window
from tom_cadence.engine.run import run_cadences
from tom_cadence.flows import start as flows_start
from tom_cadence.journal.first_request import AlreadyStarted
from tom_cadence.models import ManagedCadence, Submission
from tom_followup import failpoints

pytestmark = pytest.mark.django_db(transaction=True)
KINDS = [
    ('LCO', 'IMAGING'),
    ('LCO', 'SPECTRA'),
    ('LCO', 'PHOTOMETRIC_SEQUENCE'),
    ('LCO', 'SPECTROSCOPIC_SEQUENCE'),
    ('OCS', 'ALL'),
]


class ShortForm(ObservatoryImagingForm):
    """A form without name and end, whose layout shows the start only, and none of a cadence's fields."""

    name = None
    end = None

    def layout(self) -> Any:
        return 'start'

    def clean_end(self) -> str:
        return ''

    def observation_payload(self) -> dict[str, Any]:
        start = datetime.fromisoformat(self.cleaned_data['start'])
        self.cleaned_data |= {'name': 'short', 'end': (start + timedelta(hours=4)).isoformat()}
        return super().observation_payload()


class ShortFacility(SimulatedObservatoryFacility):
    """Its facility."""

    name = 'Short observatory'
    observation_forms = {'IMAGING': ShortForm}

    def get_form(self, observation_type: Any) -> Any:
        return ShortForm


class PersonalFacility(SimulatedObservatoryFacility):
    """A facility that sends in the name of its user."""

    name = 'Personal observatory'

    def submit_observation(self, observation_payload: dict[str, Any]) -> list[str]:
        payload = observation_payload | {'name': f'{self.user.username}: {observation_payload["name"]}'[:50]}
        return super().submit_observation(payload)


@pytest.fixture
def portal(settings: Any) -> Iterator[Portal]:
    """The stand-in portal of LCO and OCS, in the real time."""
    settings.FACILITIES = {}
    settings.TOM_FACILITY_CLASSES = []
    with serve(Portal()) as server:
        yield server.service


def fill_in(facility: str, kind: str, start: datetime, **more: str) -> dict[str, str]:
    """What a user types."""
    typed = {'name': 'SN follow-up', **FIELDS[kind], **more}
    if 'SEQUENCE' in kind:
        return typed
    end = start + timedelta(hours=8)
    ends = {'start_0': f'{start:%Y-%m-%d}', 'start_1': f'{start:%H:%M}', 'end_0': f'{end:%Y-%m-%d}', 'end_1': f'{end:%H:%M}'}
    return typed | ends


@pytest.mark.parametrize('zone', ['UTC', 'America/Los_Angeles'])
@pytest.mark.parametrize(('facility', 'kind'), KINDS)
def test_the_portals_forms_start_cadences_that_go_on(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, facility: str, kind: str, zone: str
) -> None:
    settings.TIME_ZONE = zone
    connect(settings, portal, facility)
    client.force_login(astronomer)
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    page = go(client, f'target={target.pk}&what={facility}|{kind}&strategy={RESUME}')
    assert page.html.find('input', type='submit') is None
    seen = page.preview(**fill_in(facility, kind, now + timedelta(hours=1)))
    assert 'nothing has been sent' in seen.text, (seen.errors(), seen.text[:3000])
    assert 'This observation is valid with a duration of' in seen.text
    assert portal.submissions == []
    response = seen.press('Start')
    assert response.status_code == 302, Page(client, response).text[:3000]
    [sent] = portal.submissions
    cadence = DynamicCadence.objects.get()
    [record] = records(cadence)
    window = read_window(record.parameters['start'], record.parameters['end'])
    assert (window.start, window.end) == sent.windows[0]
    assert abs(window.start - now) < timedelta(hours=1, minutes=3)
    for number in (2, 3):
        portal.set_state(records(cadence)[-1].observation_id, 'WINDOW_EXPIRED')
        last = records(cadence)[-1]
        portal.set_clock(read_window(last.parameters['start'], last.parameters['end']).end + timedelta(minutes=5), frozen=True)
        assert [line.decision for line in run_cadences(now=portal.now()).lines] == ['submit']
        assert len(portal.submissions) == number


@pytest.mark.parametrize(
    ('typed', 'field'),
    [({'name': ''}, 'name'), ({'c_1_ic_1_exposure_time': '-3'}, 'c_1_ic_1_exposure_time'), ({'start_0': ''}, 'start_0')],
)
def test_errors_of_a_portals_form_stand_beside_the_field(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, typed: dict[str, str], field: str
) -> None:
    connect(settings, portal, 'LCO')
    client.force_login(astronomer)
    now = datetime.now(timezone.utc)
    page = go(client, f'target={target.pk}&what=LCO|IMAGING&strategy={RESUME}')
    answer = page.preview(**fill_in('LCO', 'IMAGING', now + timedelta(hours=1)) | typed)
    assert field in answer.errors(), (answer.errors(), answer.text[:2000])
    assert portal.submissions == []


def test_a_sequence_form_does_not_ask_twice_how_often(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any
) -> None:
    connect(settings, portal, 'LCO')
    client.force_login(astronomer)
    page = go(client, f'target={target.pk}&what=LCO|PHOTOMETRIC_SEQUENCE&strategy={RESUME}')
    assert page.html.find(attrs={'name': 'cadence_frequency'})['type'] == 'hidden'
    typed = fill_in('LCO', 'PHOTOMETRIC_SEQUENCE', datetime.now(timezone.utc))
    page = page.preview(**typed, **{'cadence-cadence_frequency': '12.5'})
    assert 'whole number' in page.errors()['cadence-cadence_frequency']


def test_a_template_of_a_portal_fills_in_its_form(client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any) -> None:
    connect(settings, portal, 'LCO')
    client.force_login(astronomer)
    kept = {'facility': 'LCO', 'template_name': 'Two', 'filter': 'rp', 'exposure_time': 77.0, 'exposure_count': 2}
    template = ObservationTemplate.objects.create(name='Two', facility='LCO', parameters=kept)
    page = go(client, f'target={target.pk}&template={template.pk}&what=LCO|IMAGING&strategy={RESUME}')
    assert page.html.find(attrs={'name': 'c_1_ic_1_exposure_time'})['value'] == '77.0'


class Killed(BaseException):
    """The process died here."""


def start_and_die(browser: Any, target: Any, point: failpoints.CadencePoint) -> None:
    seen = go(browser, asked(target)).preview()

    def die(reached: failpoints.CadencePoint) -> None:
        if reached is point:
            raise Killed

    failpoints.on_reach = die
    try:
        with pytest.raises(Killed):
            seen.press('Start')
    finally:
        failpoints.on_reach = None


@pytest.fixture
def browser(client: Any, observatory: Any, astronomer: Any, settings: Any) -> Any:
    settings.TOM_CADENCE = {'CLOCK': 'tests.cadence.pages.test_starting.clock', 'FACILITY_TIMEOUT': 4}
    client.force_login(astronomer)
    return client


POINTS = ['INTENT_OPEN', 'INTENT_COMMITTED', 'SENDING', 'REPLIED', 'ACCEPT_OPEN', 'RECORDS_WRITTEN', 'ACCEPTED']


@pytest.mark.parametrize('name', POINTS)
def test_a_start_that_was_killed_is_not_there_or_is_found_by_the_next_run(
    browser: Any, observatory: Any, target: Any, name: str
) -> None:
    start_and_die(browser, target, failpoints.CadencePoint[name])
    if name == 'INTENT_OPEN':
        assert not ObservationGroup.objects.exists()
        assert not ManagedCadence.objects.exists()
        return
    managed = ManagedCadence.objects.get()
    journal.expire_claims()
    DynamicCadence.objects.update(created=at(0))
    for hours in (0.1, 0.5, 1):
        run_cadences(now=at(hours))
    managed.refresh_from_db()
    booked = bookings(observatory)
    assert len(booked) <= 1
    assert len(records(managed.host)) == len(booked)
    assert managed.state == ('active' if booked else 'attention')
    assert not Submission.objects.filter(state__in=Submission.OPEN).exists()


def test_of_two_clicks_at_the_same_instant_one_is_sent(
    browser: Any, observatory: Any, target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both forms arrive before either is written: the database lets one through."""
    seen = go(browser, asked(target)).preview()
    monkeypatch.setattr(flows_start, 'started_with', lambda user, token: None)
    first, second = seen.press('Start'), seen.press('Start')
    assert first['Location'] == second['Location']
    assert (len(bookings(observatory)), ManagedCadence.objects.count(), ObservationGroup.objects.count()) == (1, 1, 1)


def test_a_second_click_while_it_is_being_sent_leads_to_the_cadence(browser: Any, observatory: Any, target: Any) -> None:
    seen = go(browser, asked(target)).preview()
    again: list[Any] = []

    def click(reached: failpoints.CadencePoint) -> None:
        if reached is failpoints.CadencePoint.INTENT_COMMITTED and not again:
            again.append(seen.press('Start'))

    failpoints.on_reach = click
    try:
        first = seen.press('Start')
    finally:
        failpoints.on_reach = None
    assert again[0]['Location'] == first['Location']
    assert len(bookings(observatory)) == 1


def test_a_run_leaves_a_start_alone_that_is_being_sent(browser: Any, observatory: Any, target: Any) -> None:
    start_and_die(browser, target, failpoints.CadencePoint.INTENT_COMMITTED)
    assert [line.decision for line in run_cadences(now=at(0.1)).lines] == ['busy']
    assert Submission.objects.get().state == 'sending'


def test_after_send_it_again_the_first_observation_is_sent_once(browser: Any, observatory: Any, target: Any) -> None:
    seen = go(browser, f'target={target.pk}&what=Plain observatory|IMAGING&strategy={RESUME}').preview()
    observatory.fault('submit', 'reset-before')
    seen.press('Start')
    managed = ManagedCadence.objects.get()
    assert managed.state == 'attention'
    journal.confirm_not_booked(journal.open_request_of(managed), 'vera', at(0))
    managed.refresh_from_db()
    begun = flows_start.send_first_again(managed, at(0))
    assert not begun.attention
    assert len(bookings(observatory)) == len(records(managed.host)) == 1
    assert [request.attempt for request in Submission.objects.order_by('pk')] == [1, 2]
    with pytest.raises(Exception, match='no first observation'):
        flows_start.send_first_again(managed, at(0))


def test_two_cadences_for_one_group_are_not_made(astronomer: Any, target: Any, observatory: Any) -> None:
    cadence = make(astronomer, target)
    with pytest.raises(AlreadyStarted) as caught:
        flows_start.start_on_group(cadence.observation_group, astronomer, RESUME, {'cadence_frequency': 24}, at(0))
    assert caught.value.managed == cadence.managed
    assert DynamicCadence.objects.count() == 1


class TutorialStrategy:
    """A strategy as the toolkit's tutorial writes one, without a name of its own and without our base."""

    from tom_observations.cadence import BaseCadenceForm as form

    def __init__(self, dynamic_cadence: Any) -> None:
        self.dynamic_cadence = dynamic_cadence

    def run(self) -> None:
        return None


def test_a_strategy_of_the_tutorials_kind_is_named_in_words_and_can_be_started(
    browser: Any, observatory: Any, target: Any, settings: Any
) -> None:
    settings.TOM_CADENCE_STRATEGIES = ['tests.cadence.flows.test_start.TutorialStrategy']
    page = go(browser, asked(target, strategy='TutorialStrategy'))
    assert 'Tutorial It sends its observations by itself' in page.text
    seen = page.preview()
    assert 'its windows cannot be foreseen' in seen.text
    seen.press('Start')
    assert DynamicCadence.objects.get().cadence_parameters == {'cadence_frequency': 24}
    assert len(bookings(observatory)) == 1


def test_the_toolkits_own_strategies_can_be_started(browser: Any, observatory: Any, target: Any, settings: Any) -> None:
    settings.TOM_CADENCE = {**settings.TOM_CADENCE, 'REPLACE_TOOLKIT_STRATEGIES': False}
    settings.TOM_CADENCE_STRATEGIES = [f'tom_observations.cadences.resume_cadence_after_failure.{RESUME}']
    go(browser, asked(target)).preview().press('Start')
    assert DynamicCadence.objects.get().cadence_parameters == {'cadence_frequency': 24}


@pytest.mark.parametrize('dotted', ['gemini.GEMFacility', 'soar.SOARFacility', 'blanco.BLANCOFacility', 'lt.LTFacility'])
def test_the_form_of_every_facility_of_the_toolkit_is_shown_or_said_to_be_unavailable(
    browser: Any, target: Any, settings: Any, dotted: str
) -> None:
    settings.TOM_FACILITY_CLASSES = [f'tom_observations.facilities.{dotted}']
    nowhere = {'portal_url': 'http://127.0.0.1:9', 'archive_url': '', 'api_key': ''}
    settings.FACILITIES |= dict.fromkeys(('OCS', 'LCO', 'SOAR', 'BLANCO'), nowhere)
    settings.FACILITIES['GEM'] = {
        'portal_url': {'GS': 'https://139.229.34.15:8443', 'GN': 'https://128.171.88.221:8443'},
        'api_key': {'GS': '', 'GN': ''},
        'user_email': '',
        'programs': {'GS-2018B-Q-101': {'MM': 'Std: Some descriptive text'}},
    }
    options = go(browser, f'target={target.pk}').html.select('#start-what option')
    for value in [option['value'] for option in options if option['value']]:
        page = go(browser, f'target={target.pk}&what={value}&strategy={RESUME}')
        assert page.html.find('button', string='Preview') or 'did not answer' in page.text, page.text
