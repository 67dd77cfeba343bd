"""Starting a cadence in the browser: what the user sees at each step, and what is booked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import Group, User
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord, ObservationTemplate
from tom_targets.models import Target

from tests.conftest import NIGHT, at
from tests.support.cadences import PLAIN, SIMULATED, bookings, make, parameters, records
from tests.support.webform import serialise
from tom_cadence.core.windows import read_instant
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'
BOTH_MODES = pytest.mark.parametrize('permissions_only', [True, False], ids=['target permissions', 'all permissions'])


@pytest.fixture(autouse=True)
def tonight(settings: Any, observatory: Any) -> None:
    """The TOM's clock stands where the observatory's does; a facility that hangs is waited for a second."""
    settings.TOM_CADENCE = {'CLOCK': 'tests.cadence.pages.test_starting.clock', 'FACILITY_TIMEOUT': 4}


def clock() -> Any:
    return NIGHT


class Page:
    """A page as the user sees it: its words, and its forms as a browser would send them."""

    def __init__(self, client: Client, response: Any) -> None:
        assert response.status_code == 200, response
        self.client, self.html = client, BeautifulSoup(response.content, 'html.parser')

    @property
    def text(self) -> str:
        return ' '.join(self.html.get_text(' ').split())

    def form(self, button: str) -> Any:
        return next(form for form in self.html.find_all('form') if any(button in each.get_text() for each in form('button')))

    def press(self, button: str, **typed: Any) -> Any:
        form = self.form(button)
        values = serialise(form)
        for name, value in typed.items():
            assert form.find(attrs={'name': name}) is not None, sorted(values)
            values[name] = [value]
        return self.client.post(form['action'], values)

    def preview(self, **typed: Any) -> Page:
        typed.setdefault('cadence-cadence_frequency', '24')
        return Page(self.client, self.press('Preview', **typed))

    def errors(self) -> dict[str, str]:
        """Field -> what stands beside it."""
        found = {}
        for field in self.html.select('input.is-invalid, select.is-invalid'):
            notes = field.find_parent(class_='mb-3').select('.invalid-feedback')
            found[field['name']] = ' '.join(note.get_text(strip=True) for note in notes)
        return found


def go(client: Client, query: str) -> Page:
    return Page(client, client.get(f'/cadences/start/?{query}'))


def asked(target: Any, facility: str = SIMULATED, strategy: str = RESUME) -> str:
    return f'target={target.pk}&what={facility}|IMAGING&strategy={strategy}'


def stranger() -> Any:
    return User.objects.create_user('edwin', 'edwin@example.org', 'stars')


def private(target: Any, *holders: Any, verbs: tuple[str, ...] = ('view', 'change')) -> Any:
    target.permissions = 'PRIVATE'
    target.save()
    for holder in holders:
        for verb in verbs:
            assign_perm(f'tom_targets.{verb}_target', holder, target)
    return target


@pytest.fixture
def browser(client: Client, astronomer: Any) -> Client:
    client.force_login(astronomer)
    return client


START_AT_GROUPS = '/cadences/start/#start-groups'


def test_a_user_is_led_from_the_target_to_a_booked_observation(
    browser: Client, observatory: Any, target: Any, astronomer: Any
) -> None:
    first = go(browser, f'target={target.pk}')
    assert 'SN 2011fe' in first.text
    assert 'Simulated observatory: Imaging' in first.text
    assert 'Resume cadence after failure' in first.text
    assert 'if it fails, it is asked for again as soon as possible' in first.text
    assert RESUME not in first.text
    filled = go(browser, asked(target))
    assert 'Hours between observations' in filled.text
    seen = filled.preview()
    assert bookings(observatory) == []
    assert not DynamicCadence.objects.exists()
    assert 'First window, sent when you start it 2026-11-21 09:00 UTC (in 60 min) to 2026-11-22 09:00 UTC' in seen.text
    assert 'Next windows if all succeed 2026-11-22 09:00 UTC' in seen.text
    assert 'Simulated observatory says: This observation is valid.' in seen.text
    response = seen.press('Start')
    managed = ManagedCadence.objects.get()
    assert (response.status_code, response['Location']) == (302, f'/cadences/{managed.pk}/')
    assert len(bookings(observatory)) == 1
    record = ObservationRecord.objects.get()
    assert (record.user, record.target, record.status) == (astronomer, target, 'PENDING')
    assert (managed.state, managed.owner, managed.facility, managed.target_name) == ('active', astronomer, SIMULATED, 'SN 2011fe')
    assert managed.host.cadence_parameters['cadence_frequency'] == 24
    assert managed.host.observation_group.name == 'SN 2011fe'


def test_the_nights_pass_after_the_start(browser: Client, observatory: Any, target: Any) -> None:
    go(browser, asked(target)).preview(start='2026-11-21T09:00', end='2026-11-21T13:00').press('Start')
    cadence = DynamicCadence.objects.get()
    observatory.set_state(records(cadence)[0].observation_id, 'COMPLETED')
    assert [line.decision for line in run_cadences(now=at(6)).lines] == ['submit']
    assert [record.parameters['start'] for record in records(cadence)] == ['2026-11-21T09:00', '2026-11-22T09:00']


@pytest.mark.parametrize('repeat', ['double click', 'reload'])
def test_the_confirmation_sent_twice_books_once(browser: Client, observatory: Any, target: Any, repeat: str) -> None:
    seen = go(browser, asked(target)).preview()
    first, second = seen.press('Start'), seen.press('Start')
    assert first['Location'] == second['Location']
    assert (len(bookings(observatory)), DynamicCadence.objects.count(), ObservationGroup.objects.count()) == (1, 1, 1)


def test_what_the_preview_showed_is_needed_before_anything_is_sent(browser: Client, observatory: Any, target: Any) -> None:
    form = go(browser, asked(target)).form('Preview')
    values = serialise(form) | {'cadence-cadence_frequency': ['24']}
    response = browser.post(form['action'].replace('start/preview', 'start'), values)
    assert b'nothing has been sent' in response.content
    assert bookings(observatory) == []


@pytest.mark.parametrize(
    ('typed', 'field', 'words'),
    [
        ({'cadence-cadence_frequency': ''}, 'cadence-cadence_frequency', 'This field is required.'),
        ({'cadence-cadence_frequency': '-1'}, 'cadence-cadence_frequency', 'greater than or equal to'),
        ({'cadence-end_date': 'some day'}, 'cadence-end_date', 'is no date: write an MJD'),
        ({'cadence-end_date': '2026-11-20'}, 'cadence-end_date', 'The first window would start after the end date'),
        ({'cadence-max_exposure_time': '5'}, 'cadence-max_exposure_time', 'The first observation would exceed'),
        ({'name': ''}, 'name', 'This field is required.'),
        ({'start': 'x'}, 'start', 'is not a date and time'),
        ({'end': '2026-11-21T08:30'}, 'end', 'must be after its start'),
        ({'start': '2026-11-19T00:00', 'end': '2026-11-20T00:00'}, 'end', 'ended already'),
        ({'exposure_time': '999999'}, 'exposure_time', 'do not fit into the window'),
    ],
)
def test_an_error_stands_beside_its_field_and_nothing_is_sent(
    browser: Client, observatory: Any, target: Any, typed: dict[str, str], field: str, words: str
) -> None:
    page = go(browser, asked(target)).preview(**typed)
    assert words in page.errors().get(field, ''), (page.errors(), page.text)
    assert page.html.find('button', string='Preview') is not None
    assert bookings(observatory) == []
    assert not ManagedCadence.objects.exists()


def test_a_refusal_by_the_facility_comes_back_beside_the_field_and_leaves_no_cadence(
    browser: Client, observatory: Any, target: Any
) -> None:
    seen = go(browser, asked(target)).preview(start='2026-11-21T09:00', end='2026-11-21T13:00')
    observatory.set_clock(at(6))
    response = Page(browser, seen.press('Start'))
    assert 'ended already' in response.errors()['end'], response.errors()
    assert bookings(observatory) == []
    for rows in (DynamicCadence, ManagedCadence, Submission, ObservationGroup, ObservationRecord):
        assert not rows.objects.exists()


@pytest.mark.parametrize('facility', [SIMULATED, PLAIN])
def test_a_facility_that_cannot_be_reached_leaves_no_cadence(
    browser: Client, observatory: Any, target: Any, settings: Any, facility: str
) -> None:
    seen = go(browser, asked(target, facility)).preview()
    settings.FACILITIES[facility]['portal_url'] = 'http://127.0.0.1:9'
    page = Page(browser, seen.press('Start'))
    assert 'did not answer' in page.text or 'could not be reached' in page.text
    assert not ManagedCadence.objects.exists()
    assert not ObservationGroup.objects.exists()


def test_refused_credentials_leave_no_cadence_and_show_no_key(
    browser: Client, observatory: Any, target: Any, settings: Any
) -> None:
    seen = go(browser, asked(target)).preview()
    settings.FACILITIES[SIMULATED]['api_key'] = 'stolen-key'
    page = Page(browser, seen.press('Start'))
    assert 'does not accept the credentials' in page.text
    assert 'stolen-key' not in page.text
    assert not ManagedCadence.objects.exists()


@pytest.mark.parametrize('fault', ['500-after', 'reset-after', 'malformed-after', 'hang-after'])
def test_a_lost_reply_is_found_again_and_the_cadence_exists(browser: Client, observatory: Any, target: Any, fault: str) -> None:
    seen = go(browser, asked(target)).preview()
    observatory.fault('submit', fault)
    seen.press('Start')
    observatory.release()
    managed = ManagedCadence.objects.get()
    assert managed.state == 'active'
    assert len(bookings(observatory)) == len(records(managed.host)) == 1


def test_the_preview_says_how_often_as_the_page_of_the_cadence_does(browser: Client, observatory: Any, target: Any) -> None:
    seen = go(browser, asked(target)).preview(**{'cadence-cadence_frequency': '72', 'cadence-max_exposure_time': '7200'})
    assert 'repeat every 3 days, exposure time in all 7200 s' in seen.text


def test_a_first_request_in_doubt_leads_to_its_target(browser: Client, observatory: Any, target: Any) -> None:
    seen = go(browser, asked(target, PLAIN)).preview()
    observatory.fault('submit', 'reset-after')
    page = seen.press('Start')['Location']
    assert f'href="/targets/{target.pk}/"' in browser.get(page).content.decode()
    private(target)
    for address in (page, '/cadences/'):
        assert target.name not in browser.get(address).content.decode().replace('messages', '')


def test_a_lost_reply_of_a_facility_that_cannot_be_asked_needs_attention(browser: Client, observatory: Any, target: Any) -> None:
    seen = go(browser, asked(target, PLAIN)).preview()
    observatory.fault('submit', 'reset-after')
    response = seen.press('Start')
    managed = ManagedCadence.objects.get()
    assert response['Location'] == f'/cadences/{managed.pk}/'
    assert (managed.state, managed.host.active) == ('attention', False)
    assert Submission.objects.get().state == 'uncertain'
    assert seen.press('Start')['Location'] == response['Location']
    assert len(bookings(observatory)) == 1


def test_a_lost_reply_that_is_not_there_yet_is_looked_up_by_the_next_run(browser: Client, observatory: Any, target: Any) -> None:
    seen = go(browser, asked(target)).preview()
    observatory.fault('submit', '500-before')
    seen.press('Start')
    managed = ManagedCadence.objects.get()
    assert (managed.state, Submission.objects.get().state, bookings(observatory)) == ('active', 'uncertain', [])
    DynamicCadence.objects.update(created=NIGHT)
    assert [line.decision for line in run_cadences(now=at(0.1)).lines] == ['wait']
    assert [line.decision for line in run_cadences(now=at(0.5)).lines] == ['submit'], 'it is sent again, as was said'
    managed.refresh_from_db()
    assert managed.state == 'active'
    assert len(bookings(observatory)) == 1


def test_starting_works_in_a_tom_with_atomic_requests(browser: Client, observatory: Any, target: Any) -> None:
    assert connections.settings['default'] is connection.settings_dict
    connection.settings_dict['ATOMIC_REQUESTS'] = True
    try:
        go(browser, asked(target)).preview().press('Start')
    finally:
        connection.settings_dict['ATOMIC_REQUESTS'] = False
    assert len(bookings(observatory)) == 1
    assert ManagedCadence.objects.get().state == 'active'


@pytest.mark.parametrize('strategy', [RESUME, RETRY])
def test_a_cadence_like_a_past_observation(browser: Client, observatory: Any, astronomer: Any, target: Any, strategy: str) -> None:
    past = make(astronomer, target, book=observatory, start=at(1), status='COMPLETED')
    DynamicCadence.objects.all().delete()
    record = records(past)[0]
    record.parameters |= {'filter': 'g', 'exposure_time': 42.0, 'observation_id': 'old'}
    record.save()
    page = go(browser, f'record={record.pk}&strategy={strategy}')
    values = serialise(page.form('Preview'))
    assert (values['filter'], values['exposure_time'], values['name']) == (['g'], ['42.0'], ['SN 2011fe r'])
    assert values['start'] == ['2026-11-21T09:00']
    seen = page.preview(start='2026-11-23T00:00', end='2026-11-23T02:00')
    seen.press('Start')
    new = ObservationRecord.objects.latest('pk')
    assert (new.parameters['filter'], new.parameters['exposure_time']) == ('g', 42.0)
    assert 'observation_id' not in new.parameters


def test_a_cadence_from_a_template_asks_for_the_target_first(browser: Client, observatory: Any, target: Any) -> None:
    kept = {'template_name': 'Deep', 'filter': 'z', 'exposure_time': 300.0, 'facility': SIMULATED}
    template = ObservationTemplate.objects.create(name='Deep', facility=SIMULATED, parameters=kept)
    page = go(browser, f'template={template.pk}')
    assert 'SN 2011fe' in page.text
    link = next(each['href'] for each in page.html('a') if target.name in each.get_text())
    page = Page(browser, browser.get(f'{link}&strategy={RESUME}'))
    assert serialise(page.form('Preview'))['filter'] == ['z']
    page.preview().press('Start')
    assert ObservationRecord.objects.get().parameters['exposure_time'] == 300.0
    template.refresh_from_db()
    assert template.ownership.used == 1


def test_a_cadence_for_a_group_adopts_its_observations_and_sends_nothing(
    browser: Client, observatory: Any, astronomer: Any, target: Any
) -> None:
    group = make(astronomer, target, book=observatory, status='COMPLETED').observation_group
    DynamicCadence.objects.all().delete()
    page = go(browser, f'group={group.pk}&strategy={RESUME}')
    assert 'nothing is sent when it starts' in page.text
    seen = page.preview()
    assert 'It would ask for 2026-11-22 08:00 UTC' in seen.text
    first, second = seen.press('Start'), seen.press('Start')
    managed = ManagedCadence.objects.get(cadence__isnull=False)
    assert first['Location'] == second['Location'] == f'/cadences/{managed.pk}/'
    assert (managed.owner, managed.facility, managed.target_name) == (astronomer, SIMULATED, 'SN 2011fe')
    assert len(bookings(observatory)) == 1
    observatory.set_state(records(managed.host)[0].observation_id, 'COMPLETED')
    assert [line.decision for line in run_cadences(now=at(5)).lines] == ['submit']


def test_the_start_page_offers_the_users_groups_that_have_no_cadence(
    browser: Client, client: Client, observatory: Any, astronomer: Any, target: Any
) -> None:
    from django.contrib.auth.models import User
    from guardian.shortcuts import assign_perm

    busy, free, foreign = (make(astronomer, target, observation_id=f'g{number}').observation_group for number in range(3))
    DynamicCadence.objects.exclude(observation_group=busy).delete()
    for group, name in ((busy, 'Busy nights'), (free, 'Free nights'), (foreign, 'Nights of others')):
        group.name = name
        group.save()
    for group in (busy, free):
        for verb in ('view', 'change'):
            assign_perm(f'tom_observations.{verb}_observationgroup', astronomer, group)
    text = browser.get('/cadences/start/').content.decode()
    assert f'/cadences/start/?group={free.pk}' in text
    assert 'Free nights' in text
    assert 'Busy nights' not in text
    assert 'Nights of others' not in text
    assert 'Free nights' not in browser.get('/cadences/start/?q=zzz').content.decode()
    assert 'Free nights' in browser.get('/cadences/start/?q=free', headers={'HX-Target': 'start-targets'}).content.decode()
    assert f'{START_AT_GROUPS}"' in browser.get('/observations/groups/list/').content.decode()
    target.permissions = 'PRIVATE'
    target.save()
    member = User.objects.create_user('member')
    assign_perm('tom_observations.view_observationgroup', member, free)
    client.force_login(member)
    assert 'Free nights' not in client.get('/cadences/start/').content.decode()


def test_a_group_that_has_a_cadence_is_said_before_the_start(browser: Client, observatory: Any, make_cadence: Any) -> None:
    group = make_cadence(book=observatory).observation_group
    seen = go(browser, f'group={group.pk}&strategy={RESUME}').preview()
    assert 'This observation group has an active cadence already (Resume cadence after failure)' in seen.text


def test_the_preview_warns_of_another_cadence_and_of_an_observation_in_the_window(
    browser: Client, observatory: Any, make_cadence: Any, target: Any
) -> None:
    make_cadence(book=observatory, start=at(2))
    seen = go(browser, asked(target)).preview()
    assert 'SN 2011fe has an active cadence already: Resume cadence after failure, at Simulated observatory.' in seen.text
    assert 'Observation 1 at Simulated observatory is in that window' in seen.text
    other = go(browser, asked(target)).preview(start='2026-11-25T00:00', end='2026-11-26T00:00')
    assert 'is in that window' not in other.text


def test_a_failed_observation_in_the_window_is_not_warned_of(browser: Client, make_cadence: Any, target: Any) -> None:
    make_cadence(start=at(2), status='WINDOW_EXPIRED')
    assert 'is in that window' not in go(browser, asked(target)).preview().text


@BOTH_MODES
def test_records_belong_to_the_user_and_are_shared_with_the_chosen_groups(
    browser: Client, observatory: Any, astronomer: Any, target: Any, settings: Any, permissions_only: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = permissions_only
    team = Group.objects.create(name='Team')
    astronomer.groups.add(team)
    member = stranger()
    member.groups.add(team)
    typed = {} if permissions_only else {'groups': str(team.pk)}
    go(browser, asked(target)).preview(**typed).press('Start')
    record = ObservationRecord.objects.get()
    group = ObservationGroup.objects.get()
    assert astronomer.has_perm('tom_observations.delete_observationgroup', group)
    if not permissions_only:
        assert astronomer.has_perm('tom_observations.view_observationrecord', record)
        assert member.has_perm('tom_observations.view_observationrecord', record)
        assert member.has_perm('tom_observations.view_observationgroup', group)


@BOTH_MODES
@pytest.mark.parametrize('verb', ['get', 'post'])
@pytest.mark.parametrize('page', ['', 'preview/'])
def test_a_private_target_is_not_there_for_strangers(
    client: Client, observatory: Any, target: Any, settings: Any, permissions_only: bool, verb: str, page: str
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = permissions_only
    private(target)
    record = ObservationRecord.objects.create(
        target=target, facility=SIMULATED, parameters=parameters(target, NIGHT), observation_id='1'
    )
    group = ObservationGroup.objects.create(name='secret')
    group.observation_records.add(record)
    client.force_login(stranger())
    for query in (asked(target), f'record={record.pk}&strategy={RESUME}', f'group={group.pk}&strategy={RESUME}'):
        response = getattr(client, verb)(f'/cadences/start/{page}?{query}', follow=True)
        assert response.status_code == 404, query
        assert target.name.encode() not in response.content
    assert bookings(observatory) == []


def test_a_private_target_is_not_found_by_its_name(client: Client, observatory: Any, target: Any) -> None:
    private(target)
    client.force_login(stranger())
    for headers in ({}, {'HX-Request': 'true', 'HX-Target': 'start-targets'}):
        response = client.get('/cadences/start/?q=2011', headers=headers)
        assert b'SN 2011fe' not in response.content


def test_who_may_only_see_a_target_cannot_start_a_cadence_for_it(client: Client, observatory: Any, target: Any) -> None:
    user = stranger()
    private(target, user, verbs=('view',))
    client.force_login(user)
    for page in ('', 'preview/'):
        response = client.post(f'/cadences/start/{page}?{asked(target)}', {})
        assert response.status_code in (302, 403)
    assert bookings(observatory) == []


def test_a_posted_target_is_not_the_one_that_counts(browser: Client, observatory: Any, target: Any) -> None:
    other = private(Target.objects.create(name='Secret', type='SIDEREAL', ra=1, dec=2))
    seen = go(browser, asked(target)).preview(target_id=str(other.pk))
    seen.press('Start', target_id=str(other.pk))
    assert ObservationRecord.objects.get().target == target
    assert bookings(observatory)[0]['target'] == 'SN 2011fe'


@pytest.mark.parametrize('page', ['', 'preview/'])
@pytest.mark.parametrize('verb', ['get', 'post'])
def test_visitors_are_asked_to_log_in(client: Client, observatory: Any, target: Any, page: str, verb: str) -> None:
    response = getattr(client, verb)(f'/cadences/start/{page}?{asked(target)}')
    assert response.status_code == 302
    assert response['Location'].startswith('/accounts/login/')
    assert bookings(observatory) == []


def test_htmx_gets_the_body_alone_and_plain_browsers_the_page(browser: Client, observatory: Any, target: Any) -> None:
    url = f'/cadences/start/?{asked(target)}'
    assert b'<html' in browser.get(url).content
    part = browser.get(url, headers={'HX-Request': 'true'})
    assert b'<html' not in part.content
    assert part.content.lstrip().startswith(b'<div id="cadence-start"')
    assert 'HX-Request' in part['Vary']
    assert b'<html' in browser.get(url, headers={'HX-Request': 'true', 'HX-History-Restore-Request': 'true'}).content


def test_a_facility_that_cannot_take_observations_is_not_offered(
    browser: Client, observatory: Any, target: Any, settings: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, 'tom_observations.facilities.lco_redirect.LCORedirectFacility']
    offered = [option.get_text() for option in go(browser, f'target={target.pk}').html.select('#start-what option')]
    assert offered == [
        'Choose a facility and a kind of observation',
        'Plain observatory: Imaging',
        'Simulated observatory: Imaging',
    ]


def test_a_form_without_name_and_end_asks_for_what_it_lacks(browser: Client, observatory: Any, target: Any, settings: Any) -> None:
    settings.TOM_FACILITY_CLASSES = ['tests.cadence.flows.test_start.ShortFacility']
    settings.FACILITIES['Short observatory'] = settings.FACILITIES[SIMULATED]
    page = go(browser, asked(target, 'Short observatory'))
    assert 'End of the first window' in page.text
    assert page.html.find(attrs={'name': 'cadence-cadence_frequency'}) is not None
    settings.TIME_ZONE = 'Asia/Tokyo'
    with timezone.override('Asia/Tokyo'):
        seen = page.preview(**{'cadence_window-end': '2026-11-21T13:00'})
        assert 'Read as 2026-11-21 13:00 UTC, MJD 61365.54167.' in seen.text
        seen.press('Start')
    assert ObservationRecord.objects.get().parameters['end'].startswith('2026-11-21T13:00')
    [booked] = bookings(observatory)
    cadence = DynamicCadence.objects.get()
    assert cadence.observation_group.name == 'SN 2011fe: Resume cadence after failure'
    observatory.set_state(booked['id'], 'COMPLETED')
    assert [line.decision for line in run_cadences(now=at(6)).lines] == ['submit']
    assert records(cadence)[-1].parameters['end'].startswith('2026-11-22T13:00')


def test_times_are_utc_in_any_time_zone(browser: Client, observatory: Any, target: Any, settings: Any) -> None:
    settings.TIME_ZONE = 'Asia/Tokyo'
    seen = go(browser, asked(target)).preview()
    assert '2026-11-21 09:00 UTC (in 60 min) to 2026-11-22 09:00 UTC' in seen.text
    seen.press('Start')
    assert bookings(observatory)[0]['start'].startswith('2026-11-21T09:00')


def test_the_facility_gets_the_users_own_credentials(
    browser: Client, observatory: Any, target: Any, astronomer: Any, settings: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = ['tests.cadence.flows.test_start.PersonalFacility']
    settings.FACILITIES['Personal observatory'] = settings.FACILITIES[SIMULATED]
    go(browser, asked(target, 'Personal observatory')).preview().press('Start')
    assert bookings(observatory)[0]['name'].startswith('vera')


def test_the_number_of_statements_does_not_grow_with_the_targets(
    browser: Client, observatory: Any, target: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(40):
        Target.objects.create(name=f'AT {number}', type='SIDEREAL', ra=1, dec=2, permissions='OPEN')
    with django_assert_max_num_queries(25):
        page = go(browser, 'q=AT')
    assert len(page.html.select('#start-targets li')) == 12


def test_a_window_that_has_begun_is_said(browser: Client, observatory: Any, target: Any) -> None:
    late = (NIGHT - timedelta(hours=2)).strftime('%Y-%m-%dT%H:%M')
    assert 'has begun already' in go(browser, asked(target)).preview(start=late).text


@pytest.mark.parametrize(
    ('typed', 'words'),
    [
        ({'start': '2026-11-21T12:00', 'end': '2026-11-21T16:00'}, 'The first window can begin at 2026-11-2'),
        ({'cadence-sky_min_altitude': '70'}, 'in the next 30 days'),
    ],
    ids=['by day', 'never that high'],
)
def test_the_first_window_is_judged_by_what_is_asked_of_the_sky(
    browser: Client, observatory: Any, target: Any, typed: dict[str, str], words: str
) -> None:
    asked_of_it = {'cadence-sky_min_altitude': '20', 'cadence-sky_darkness': 'nautical', **typed}
    page = go(browser, asked(target)).preview(**asked_of_it)
    assert words in page.errors().get('start', ''), (page.errors(), page.text)
    assert [button.get_text(strip=True) for button in page.html('button') if 'Start' in button.get_text()] == []
    assert bookings(observatory) == []
    if 'can begin at' in words:
        begin = page.errors()['start'].rpartition('can begin at ')[2].removesuffix(' UTC.')
        end = (read_instant(begin) + timedelta(hours=4)).strftime('%Y-%m-%dT%H:%M')
        page = page.preview(**{**asked_of_it, 'start': begin.replace(' ', 'T'), 'end': end})
        page.press('Start')
        assert len(bookings(observatory)) == 1


def test_a_target_that_moves_cannot_be_asked_for_by_the_sky(browser: Client, observatory: Any, target: Any) -> None:
    Target.objects.filter(pk=target.pk).update(type='NON_SIDEREAL')
    page = go(browser, asked(target)).preview(**{'cadence-sky_min_altitude': '20'})
    assert 'no fixed coordinates' in page.text
    assert bookings(observatory) == []


def test_before_it_starts_the_page_says_how_many_such_cadences_the_weather_would_stop(
    client: Client, observatory: Any, astronomer: User, target: Target
) -> None:
    client.force_login(astronomer)
    shown = go(client, f'target={target.pk}&what={SIMULATED}|IMAGING&strategy={RESUME}').preview()
    address = shown.html.find(id='start-share')['hx-get']
    assert 'part=share' in address
    said = client.get(address, headers={'HX-Request': 'true'}).content.decode()
    assert 'With 30 % of nights lost, 50 of 50 simulated cadences were still running after 60 nights.' in said


def test_a_cadence_of_a_group_whose_target_is_never_up_does_not_start(
    browser: Client, observatory: Any, astronomer: Any, target: Any
) -> None:
    group = make(astronomer, target, book=observatory, status='COMPLETED').observation_group
    DynamicCadence.objects.all().delete()
    page = go(browser, f'group={group.pk}&strategy={RESUME}')
    seen = page.preview(**{'cadence-sky_min_altitude': '70'})
    assert 'long enough at' in seen.text
    assert 'in the next 30 days' in seen.text
    assert [button.get_text(strip=True) for button in seen.html('button') if 'Start' in button.get_text()] == []
    typed = {'cadence-cadence_frequency': '24', 'cadence-sky_min_altitude': '70', 'start_once': 'a-number-that-counts-once-only'}
    browser.post(f'/cadences/start/?group={group.pk}&strategy={RESUME}', typed)
    assert not DynamicCadence.objects.exists()
    assert 'It would ask for' in page.preview(**{'cadence-sky_min_altitude': '20'}).text
