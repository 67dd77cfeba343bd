"""The page of one cadence: what it says, and what its buttons do."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from astropy.table import Table
from bs4 import BeautifulSoup
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from guardian.shortcuts import assign_perm
from tom_dataproducts.models import PhotometryReducedDatum
from tom_observations.models import ObservationRecord

from tests.conftest import NIGHT, at
from tests.support.cadences import PLAIN, bookings, make, records, settle
from tests.support.oddities import Tutorial, paths
from tom_cadence import journal
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import CadenceRun, ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
HTMX = {'HTTP_HX_REQUEST': 'true'}


@pytest.fixture(autouse=True)
def clock(settings: Any) -> None:
    """It is 5 h after NIGHT for the pages."""
    settings.TOM_CADENCE = {
        **getattr(settings, 'TOM_CADENCE', {}),
        'CLOCK': 'tests.cadence.pages.test_cadence_page.five_hours_later',
    }


def five_hours_later() -> Any:
    return at(5)


@pytest.fixture
def cadence(observatory: Any, make_cadence: Any) -> ManagedCadence:
    """A cadence whose first observation succeeded, with the second booked."""
    host = make_cadence(book=observatory)
    settle(observatory, records(host)[0], 'COMPLETED')
    run_cadences(now=at(4))
    return ManagedCadence.objects.get(cadence=host)


@pytest.fixture
def in_doubt(observatory: Any, make_cadence: Any) -> ManagedCadence:
    """A cadence at a facility that cannot be asked, whose reply was lost after it was booked."""
    host = make_cadence(book=observatory, facility=PLAIN)
    settle(observatory, records(host)[0], 'WINDOW_EXPIRED')
    observatory.fault('submit', '500-after')
    run_cadences(now=at(4))
    return ManagedCadence.objects.get(cadence=host)


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    """The owner's browser."""
    client.force_login(astronomer)
    return client


def url(managed: ManagedCadence, verb: str = '') -> str:
    return reverse('cadences:action', args=[managed.pk, verb]) if verb else reverse('cadences:page', args=[managed.pk])


def soup(response: Any) -> BeautifulSoup:
    assert response.status_code == 200, response.status_code
    return BeautifulSoup(response.content, 'html.parser')


def text(response: Any) -> str:
    return re.sub(r'\s+', ' ', soup(response).get_text(' '))


def said(response: Any) -> str:
    found = soup(response).find(id='cadence-said')
    return ' '.join(found.get_text(' ').split()) if found else ''


def press(client: Any, managed: ManagedCadence, verb: str, **posted: Any) -> Any:
    return client.post(url(managed, verb), posted, **HTMX)


def test_the_page_says_what_the_cadence_does_in_one_sentence(vera: Any, cadence: ManagedCadence) -> None:
    page = text(vera.get(url(cadence)))
    assert (
        'Observes SN 2011fe at Simulated observatory every 24 h; a failed observation is asked for again as soon as possible.'
        in page
    )
    assert 'Active' in page


def test_retry_says_what_it_does_too(vera: Any, observatory: Any, make_cadence: Any) -> None:
    host = make_cadence(book=observatory, strategy='RetryFailedObservationsStrategy')
    assert 'Asks Simulated observatory for every failed observation of SN 2011fe again, 24 h later, until one succeeds.' in text(
        vera.get(url(host.managed))
    )


def test_no_class_name_and_no_raw_parameters_are_shown(vera: Any, cadence: ManagedCadence) -> None:
    ManagedCadence.objects.filter(pk=cadence.pk).update(
        state='attention', reason='The strategy ResumeCadenceAfterFailureStrategy failed.'
    )
    page = text(vera.get(url(cadence)))
    assert 'ResumeCadenceAfterFailureStrategy' not in page
    assert 'cadence_frequency' not in page


def test_next_windows_under_success_and_failure_are_shown(vera: Any, cadence: ManagedCadence) -> None:
    titles = {
        part.h3.text: [line.text for line in part.find_all('li')]
        for part in soup(vera.get(url(cadence))).select('.cadence-previews > div')
    }
    assert titles['If all succeed'][:2] == ['2026-11-23 08:00 UTC (4 h)', '2026-11-24 08:00 UTC (4 h)']
    assert titles['If the next one fails'][0] == '2026-11-22 12:00 UTC (4 h)'
    assert {len(lines) for lines in titles.values()} == {5}


def test_a_strategy_with_a_run_of_its_own_cannot_be_previewed_and_the_page_says_so(
    vera: Any, cadence: ManagedCadence, settings: Any
) -> None:
    settings.TOM_CADENCE_STRATEGIES = paths(Tutorial)
    cadence.host.cadence_strategy = 'Tutorial'
    cadence.host.save()
    page = text(vera.get(url(cadence)))
    assert 'calls the facility itself' in page
    assert 'If all succeed' not in page


def test_the_timeline_shows_asked_observed_planned_and_the_light_curve(vera: Any, cadence: ManagedCadence, target: Any) -> None:
    PhotometryReducedDatum.objects.bulk_create(
        [
            PhotometryReducedDatum(target=target, timestamp=at(1), brightness=14.2, brightness_error=0.1, bandpass='r'),
            PhotometryReducedDatum(target=target, timestamp=at(2), limit=17.0, bandpass='r'),
        ]
    )
    page = soup(vera.get(url(cadence)))
    figure = json.loads(page.find(id='timeline-data').string)
    assert [trace['name'] for trace in figure['data']][:3] == ['Succeeded', 'Waiting', 'Planned, if all succeed']
    assert [trace['name'] for trace in figure['data']][-2:] == ['r', 'r, upper limit']
    scripts = [script['src'] for script in page.find_all('script', src=True) if 'plotly' in script['src']]
    assert len(scripts) == 1
    reply = vera.get(scripts[0], HTTP_ACCEPT_ENCODING='gzip')
    assert reply['Content-Encoding'] == 'gzip'
    assert 'immutable' in reply['Cache-Control']
    assert len(vera.get(url(cadence)).content) < 200_000


def test_photometry_that_one_may_not_see_is_not_drawn(client: Any, cadence: ManagedCadence, target: Any, settings: Any) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    PhotometryReducedDatum.objects.bulk_create(
        [PhotometryReducedDatum(target=target, timestamp=at(1), brightness=14.2, bandpass='r')]
    )
    client.force_login(cadence.owner)
    for record in ObservationRecord.objects.all():
        assign_perm('tom_observations.view_observationrecord', cadence.owner, record)
    figure = json.loads(soup(client.get(url(cadence))).find(id='timeline-data').string)
    assert 'r' not in [trace['name'] for trace in figure['data']]


def test_what_would_happen_now_asks_the_facility_and_writes_nothing(vera: Any, observatory: Any, cadence: ManagedCadence) -> None:
    settle(observatory, records(cadence.host)[1], 'COMPLETED')
    before = (CadenceRun.objects.count(), len(bookings(observatory)), list(ObservationRecord.objects.values()))
    page = text(vera.get(reverse('cadences:now', args=[cadence.pk]), **HTMX))
    assert 'It would ask for an observation.' in page
    assert 'The facility would accept it.' in page
    assert (CadenceRun.objects.count(), len(bookings(observatory)), list(ObservationRecord.objects.values())) == before


def test_pause_and_resume_show_their_effect_without_a_reload(vera: Any, observatory: Any, cadence: ManagedCadence) -> None:
    reply = press(vera, cadence, 'pause')
    assert said(reply).startswith('Paused')
    assert '<html' not in reply.content.decode()
    assert [button.text for button in soup(reply).select('button.btn-success')] == ['Resume']
    cadence.refresh_from_db()
    assert (cadence.state, cadence.host.active) == ('paused', False)
    assert said(press(vera, cadence, 'resume')).startswith('Active again')
    cadence.refresh_from_db()
    assert (cadence.state, cadence.cadence.active) == ('active', True)


def test_a_paused_cadence_shows_what_would_follow_if_it_were_resumed(vera: Any, cadence: ManagedCadence) -> None:
    reply = press(vera, cadence, 'pause')
    assert 'None while it is paused. If it were resumed now:' in text(reply)
    assert len(soup(reply).select('.cadence-windows li')) == 10


def test_what_cannot_be_done_is_said_in_place(vera: Any, cadence: ManagedCadence) -> None:
    press(vera, cadence, 'pause')
    reply = press(vera, cadence, 'run-now')
    assert 'resume it first' in said(reply)
    assert soup(reply).select('#cadence-said .alert-danger')


def test_without_javascript_the_buttons_work_too(vera: Any, cadence: ManagedCadence) -> None:
    reply = vera.post(url(cadence, 'pause'), follow=True)
    assert reply.redirect_chain == [(url(cadence), 302)]
    assert 'Paused: nothing more is sent' in text(reply)


def test_run_now_books_what_is_due(vera: Any, observatory: Any, cadence: ManagedCadence) -> None:
    settle(observatory, records(cadence.host)[1], 'COMPLETED')
    assert 'Booked' in said(press(vera, cadence, 'run-now'))
    assert len(bookings(observatory)) == 3


def test_run_now_works_where_every_request_is_a_transaction(vera: Any, observatory: Any, cadence: ManagedCadence) -> None:
    settle(observatory, records(cadence.host)[1], 'COMPLETED')
    connection.settings_dict['ATOMIC_REQUESTS'] = True
    try:
        assert 'Booked' in said(press(vera, cadence, 'run-now'))
    finally:
        connection.settings_dict['ATOMIC_REQUESTS'] = False
    assert len(bookings(observatory)) == 3


@pytest.mark.parametrize(('choice', 'state'), [('keep', 'PENDING'), ('cancel', 'CANCELED')])
def test_ending_keeps_what_is_booked_unless_told_otherwise(
    vera: Any, observatory: Any, cadence: ManagedCadence, choice: str, state: str
) -> None:
    booked = records(cadence.host)[1].observation_id
    form = soup(vera.get(url(cadence))).find(id='panel-end')
    assert booked in form.text
    assert form.find('input', checked=True)['value'] == 'keep'
    assert booked in said(press(vera, cadence, 'end', booked=choice))
    cadence.refresh_from_db()
    assert cadence.state == 'finished'
    assert observatory.book.get(booked).state == state


def test_edited_parameters_count_and_are_told(vera: Any, cadence: ManagedCadence) -> None:
    edit = reverse('cadences:edit', args=[cadence.pk])
    assert 'Hours between observations.' in text(vera.get(edit))
    reply = vera.post(edit, {'cadence_frequency': '48', 'max_observations': '10', 'end_date': '2026-12-24 18:00'}, **HTMX)
    assert said(reply).startswith('The parameters are saved')
    page = text(reply)
    assert 'every 2 days' in page
    assert '2 of 10 done or booked' in page
    assert 'vera changed' in page
    cadence.refresh_from_db()
    assert cadence.cadence.cadence_parameters['end_date'] == '2026-12-24T18:00:00+00:00'


def test_a_wrong_parameter_is_told_beside_its_field_and_nothing_is_saved(vera: Any, cadence: ManagedCadence) -> None:
    edit = reverse('cadences:edit', args=[cadence.pk])
    reply = vera.post(edit, {'cadence_frequency': '999999', 'end_date': 'soon'}, **HTMX)
    page = soup(reply)
    assert 'date' in page.find(id='div_id_end_date').find(class_='invalid-feedback').text
    assert 'show' in page.find(id='panel-edit')['class']
    reply = vera.post(edit, {'cadence_frequency': '999999'}, **HTMX)
    assert 'more than ten years' in soup(reply).find(id='div_id_cadence_frequency').find(class_='invalid-feedback').text
    cadence.refresh_from_db()
    assert cadence.host.cadence_parameters['cadence_frequency'] == 24


def test_only_users_who_may_see_the_target_are_offered_as_owners(vera: Any, cadence: ManagedCadence, target: Any) -> None:
    target.permissions = 'PRIVATE'
    target.save()
    member, stranger = User.objects.create_user('tycho'), User.objects.create_user('nobody')
    group = Group.objects.create(name='Uraniborg')
    member.groups.add(group)
    assign_perm('tom_targets.view_target', group, target)
    assign_perm('tom_targets.view_target', cadence.owner, target)
    offered = [option.text for option in soup(vera.get(url(cadence))).select('#id_owner option') if option['value']]
    assert offered == ['tycho', 'vera']
    assert 'panel-owner' in str(press(vera, cadence, 'owner', owner=stranger.pk).content)
    cadence.refresh_from_db()
    assert cadence.owner.username == 'vera'
    press(vera, cadence, 'owner', owner=member.pk)
    cadence.refresh_from_db()
    assert cadence.owner == member


def test_who_gives_a_cadence_away_and_may_not_see_it_any_more_is_sent_to_the_list(
    vera: Any, cadence: ManagedCadence, target: Any
) -> None:
    target.permissions = 'PRIVATE'
    target.save()
    member = User.objects.create_user('tycho')
    assign_perm('tom_targets.view_target', member, target)
    reply = press(vera, cadence, 'owner', owner=member.pk)
    assert reply['HX-Redirect'] == reverse('cadences:list')
    assert vera.get(url(cadence)).status_code == 404


def test_a_request_in_doubt_offers_three_ways_and_says_what_each_books(vera: Any, in_doubt: ManagedCadence) -> None:
    page = text(vera.get(url(in_doubt)))
    assert 'Nobody knows whether Plain observatory has this request' in page
    assert 'Nothing is sent now. The observation is recorded under this ID' in page
    assert 'one more observation of SN 2011fe is booked at Plain observatory' in page
    assert 'telescope time is booked twice' in page


def test_it_is_at_the_facility_records_it_and_goes_on(vera: Any, observatory: Any, in_doubt: ManagedCadence) -> None:
    assert 'is-invalid' in press(vera, in_doubt, 'booked', observation_ids=' , ').content.decode()
    booked = str(bookings(observatory)[1]['id'])
    assert (
        said(press(vera, in_doubt, 'booked', observation_ids=booked, request=Submission.objects.get().shown))
        == f'Recorded: {booked}. The cadence is active again.'
    )
    assert records(in_doubt.host)[1].observation_id == booked
    assert len(bookings(observatory)) == 2


def test_send_it_again_sends_it_at_the_next_run(vera: Any, observatory: Any, in_doubt: ManagedCadence) -> None:
    assert 'asked for once more' in said(press(vera, in_doubt, 'send-again', request=Submission.objects.get().shown))
    assert len(bookings(observatory)) == 2
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 3


def test_end_is_a_way_out_of_doubt_too(vera: Any, observatory: Any, in_doubt: ManagedCadence) -> None:
    assert 'One request may be at Plain observatory' in said(press(vera, in_doubt, 'end', booked='keep'))
    in_doubt.refresh_from_db()
    assert in_doubt.state == 'finished'


def test_credentials_set_right_resume_all_of_that_facility_and_owner(vera: Any, observatory: Any, make_cadence: Any) -> None:
    for _ in range(3):
        make_cadence(book=observatory)
    observatory.tokens.clear()
    run_cadences(now=at(1))
    managed = ManagedCadence.objects.first()
    assert 'Resume all 3' in text(vera.get(url(managed)))
    observatory.tokens['example-token'] = 'tom'
    assert said(press(vera, managed, 'resume-facility')) == '3 cadences are active again.'
    assert set(ManagedCadence.objects.values_list('state', flat=True)) == {'active'}


def test_a_deleted_cadence_shows_its_history_and_has_no_buttons(vera: Any, cadence: ManagedCadence) -> None:
    booked = records(cadence.host)[1].observation_id
    cadence.host.observation_group.delete()
    page = vera.get(url(cadence))
    assert 'Still booked at Simulated observatory' in text(page)
    assert booked in soup(page).find(id='cadence-observations').text
    assert soup(page).select('form[hx-post]') == []
    assert said(press(vera, cadence, 'resume')).startswith('This cadence was deleted')
    assert vera.get(reverse('cadences:history', args=[cadence.pk, 'csv'])).status_code == 200


@pytest.mark.parametrize('kind', ['csv', 'ecsv'])
def test_astropy_reads_the_history_back(vera: Any, cadence: ManagedCadence, kind: str, tmp_path: Path) -> None:
    journal.note(cadence, 'note', 'A "quoted", word\nand a second line', at(4))
    reply = vera.get(reverse('cadences:history', args=[cadence.pk, kind]))
    assert reply['Content-Disposition'] == f'attachment; filename="cadence-{cadence.pk}.{kind}"'
    file = tmp_path / 'history'
    file.write_bytes(reply.content)
    table = Table.read(file, format=f'ascii.{kind}')
    assert list(table['kind']).count('observation') == 2
    first = table[0]
    assert (first['outcome'], first['window_start_utc'], float(first['exposure_time'])) == (
        'succeeded',
        '2026-11-21T08:00:00',
        60.0,
    )
    assert list(table['kind']).count('decision') == cadence.runs.count()
    assert 'A "quoted", word and a second line' in list(table['reason'])
    if kind == 'ecsv':
        assert str(table['exposure_time'].unit) == 's'
        assert table.meta['target'] == 'SN 2011fe'


def visitors(target: Any) -> dict[str, Any]:
    return {
        'anonymous': None,
        'stranger': User.objects.create_user('stranger'),
        'superuser': User.objects.create_superuser('root'),
    }


@pytest.mark.parametrize('target_permissions_only', [True, False])
@pytest.mark.parametrize(('who', 'sees', 'changes'), [('anonymous', 404, 302), ('stranger', 404, 404), ('superuser', 200, 200)])
def test_a_private_target_is_seen_and_steered_by_those_who_may(
    client: Any,
    cadence: ManagedCadence,
    target: Any,
    settings: Any,
    target_permissions_only: bool,
    who: str,
    sees: int,
    changes: int,
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = target_permissions_only
    target.permissions = 'PRIVATE'
    target.save()
    user = visitors(target)[who]
    if user is not None:
        client.force_login(user)
    for address in (url(cadence), reverse('cadences:history', args=[cadence.pk, 'csv'])):
        reply = client.get(address)
        assert reply.status_code == sees
        assert sees == 200 or b'2011fe' not in reply.content
    reply = client.post(url(cadence, 'pause'), **({} if who == 'anonymous' else HTMX))
    assert reply.status_code == changes
    assert '2011fe' not in reply.headers.get('Location', '')
    cadence.refresh_from_db()
    assert (cadence.state == 'paused') is (who == 'superuser')


def test_a_visitor_of_an_open_target_may_look_but_not_change(client: Any, cadence: ManagedCadence) -> None:
    page = client.get(url(cadence))
    assert soup(page).select('form[hx-post]') == []
    assert 'What would happen now' not in text(page)
    for address in (reverse('cadences:edit', args=[cadence.pk]), reverse('cadences:now', args=[cadence.pk])):
        assert '/accounts/login/' in client.get(address)['Location']


def test_who_may_only_look_is_refused_and_nothing_changes(
    client: Any, observatory: Any, cadence: ManagedCadence, target: Any
) -> None:
    target.permissions = 'PRIVATE'
    target.save()
    watcher = User.objects.create_user('watcher')
    assign_perm('tom_targets.view_target', watcher, target)
    client.force_login(watcher)
    assert soup(client.get(url(cadence))).select('form[hx-post]') == []
    for verb in ('pause', 'resume', 'end', 'run-now', 'edit', 'owner', 'booked', 'send-again', 'resume-facility'):
        assert client.post(url(cadence, verb), {'cadence_frequency': 1}).status_code in (302, 403)
    for address in (reverse('cadences:now', args=[cadence.pk]), reverse('cadences:edit', args=[cadence.pk])):
        assert client.get(address).status_code in (302, 403)
    before = (cadence.state, cadence.version, cadence.host.cadence_parameters)
    cadence = ManagedCadence.objects.get()
    assert (cadence.state, cadence.version, cadence.host.cadence_parameters) == before
    assert len(bookings(observatory)) == 2


def test_get_changes_nothing_and_an_unknown_button_is_not_found(vera: Any, cadence: ManagedCadence) -> None:
    assert vera.get(url(cadence, 'pause')).status_code == 405
    assert vera.post(url(cadence, 'explode')).status_code == 404


def test_an_owner_without_permission_reads_no_name_of_the_target(vera: Any, cadence: ManagedCadence, target: Any) -> None:
    target.permissions = 'PRIVATE'
    target.save()
    page = vera.get(url(cadence))
    assert page.status_code == 200
    assert b'2011fe' not in page.content
    assert 'a target that you may not see' in text(page)


def statements(client: Any, address: str) -> int:
    client.get(address)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def test_the_page_takes_as_many_statements_for_thirty_observations_as_for_three(
    vera: Any, observatory: Any, astronomer: Any, target: Any
) -> None:
    numbers = []
    for count in (3, 30):
        host = make(astronomer, target, records=count, book=observatory, status='COMPLETED')
        for place, record in enumerate(records(host)):
            ObservationRecord.objects.filter(pk=record.pk).update(created=NIGHT + timedelta(hours=place))
            journal.note(host.managed, 'note', f'Note {place}', at(place))
        numbers.append(statements(vera, f'{url(host.managed)}?observations=all&decisions=all'))
    assert numbers[0] == numbers[1]
    assert numbers[0] < 45


def test_decisions_are_folded_to_ten_until_all_are_asked_for(vera: Any, cadence: ManagedCadence) -> None:
    for number in range(20):
        journal.note(cadence, 'note', f'Note {number}', at(4 + number / 60))
    shown = soup(vera.get(url(cadence))).select('#cadence-decisions li')
    assert len(shown) == 10
    assert 'Note 19' in shown[0].text
    assert len(soup(vera.get(f'{url(cadence)}?decisions=all')).select('#cadence-decisions li')) == cadence.runs.count()
    assert f'href="{url(cadence)}?decisions=all"' in vera.get(url(cadence)).content.decode()  # also below an address of a button


def test_the_hosts_record_page_names_the_cadence_and_the_observations_around(vera: Any, cadence: ManagedCadence) -> None:
    first, second = records(cadence.host)
    page = soup(vera.get(reverse('tom_observations:detail', args=[first.pk])))
    panel = page.find('nav', attrs={'aria-label': 'Cadence of this observation'})
    assert [link['href'] for link in panel.find_all('a')] == [url(cadence), reverse('tom_observations:detail', args=[second.pk])]
    assert 'This is its first observation.' in panel.text
    assert 'Request Parameters' in page.text


def test_a_word_about_a_request_from_an_old_page_brings_no_ended_cadence_back(vera: Any, in_doubt: ManagedCadence) -> None:
    request = Submission.objects.get(state='uncertain')
    press(vera, in_doubt, 'end')
    for verb in ('booked', 'send-again'):
        told = said(press(vera, in_doubt, verb, request=request.shown, observation_ids='2'))
        assert 'is finished: resume it first' in told
    in_doubt.refresh_from_db()
    assert in_doubt.state == 'finished'
    assert not in_doubt.host.active


def test_the_lost_request_of_a_deleted_cadence_is_ended_on_the_page_of_requests(vera: Any, in_doubt: ManagedCadence) -> None:
    request = Submission.objects.get(state='uncertain')
    in_doubt.host.observation_group.delete()
    address = f'/cadences/requests/{request.pk}/again/'
    assert address in vera.get('/cadences/requests/').content.decode()
    vera.post(address, {'request': request.shown})
    request.refresh_from_db()
    in_doubt.refresh_from_db()
    assert (request.state, in_doubt.state) == ('refused', 'finished')


def test_the_record_page_leads_to_the_history_of_a_deleted_cadence(vera: Any, cadence: ManagedCadence) -> None:
    second = records(cadence.host)[1]
    cadence.host.observation_group.delete()
    page = soup(vera.get(reverse('tom_observations:detail', args=[second.pk])))
    panel = page.find('nav', attrs={'aria-label': 'Cadence of this observation'})
    assert [link['href'] for link in panel.find_all('a')] == [url(cadence)]
    assert 'Deleted' in panel.text


def test_the_record_page_of_an_observation_without_a_cadence_is_the_hosts_own(vera: Any, observatory: Any, target: Any) -> None:
    record = ObservationRecord.objects.create(
        target=target, facility='Simulated observatory', parameters={}, observation_id='9', status='PENDING'
    )
    assert 'Part of the cadence' not in text(vera.get(reverse('tom_observations:detail', args=[record.pk])))


def test_unreadable_parameters_are_said_and_the_page_still_opens(vera: Any, cadence: ManagedCadence) -> None:
    cadence.host.cadence_parameters = {'cadence_frequency': 'often'}
    cadence.host.save()
    assert 'repeat interval is' in text(vera.get(url(cadence)))
    assert said(vera.post(reverse('cadences:edit', args=[cadence.pk]), {'cadence_frequency': '12'}, **HTMX)).startswith('The para')


def test_a_facility_or_strategy_that_is_not_configured_any_more_does_not_break_the_page(
    vera: Any, cadence: ManagedCadence, settings: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = ['custom_code.observatory.PlainObservatoryFacility']
    assert 'not in TOM_FACILITY_CLASSES' in text(vera.get(url(cadence)))
    cadence.host.cadence_strategy = 'Gone'
    cadence.host.save()
    assert 'A strategy that is not configured any more' in text(vera.get(url(cadence)))


def test_a_request_that_is_being_sent_is_drawn_and_nothing_is_previewed(vera: Any, cadence: ManagedCadence) -> None:
    Submission.objects.create(
        managed=cadence, cause='x', facility='Simulated observatory', created=at(4), window_start=at(30), window_end=at(34)
    )
    page = soup(vera.get(url(cadence)))
    figure = json.loads(page.find(id='timeline-data').string)
    assert 'Request without a reply' in [trace['name'] for trace in figure['data']]
    assert page.select('.cadence-previews') == []


def test_a_lost_reply_is_told_once_and_in_words(vera: Any, observatory: Any, in_doubt: ManagedCadence) -> None:
    text = vera.get(url(in_doubt)).content.decode()
    assert '500 Server Error' not in text
    assert 'for url' not in text
    assert text.count('It is not known whether') == 1
    assert 'What came back:' in text


def test_decisions_are_told_in_words_of_people(vera: Any, observatory: Any, cadence: ManagedCadence) -> None:
    run_cadences(now=at(100))
    text = vera.get(url(cadence)).content.decode()
    assert '>Submit<' not in text
    assert '>Wait<' not in text
    assert '>Waits<' in text or '>Asked<' in text


@pytest.mark.parametrize(
    ('verb', 'posted', 'line'),
    [
        ('pause', {}, 'vera paused it'),
        ('end', {}, 'vera ended it'),
        ('edit', {'cadence_frequency': '48'}, 'vera changed repeat every from 24 to 48.0'),
    ],
)
def test_who_says_why_is_quoted_in_the_history_and_who_does_not_is_not_asked(
    vera: Any, cadence: ManagedCadence, verb: str, posted: dict[str, str], line: str
) -> None:
    press(vera, cadence, verb, **posted, steer_reason=' The host galaxy\nis too bright.  ')
    kept = CadenceRun.objects.get(managed=cadence, reason__contains='The host galaxy')
    assert kept.reason.lower().startswith(line.lower())
    assert kept.reason.endswith(': The host galaxy is too bright.')
    assert 'The host galaxy is too bright.' in text(vera.get(url(cadence)))


def test_a_reason_without_end_is_cut_and_markup_in_it_is_text(vera: Any, cadence: ManagedCadence) -> None:
    press(vera, cadence, 'pause', steer_reason='<b>x</b>' + 'y' * 10_000)
    answer = vera.get(url(cadence)).content.decode()
    assert '<b>x</b>' not in answer
    assert '&lt;b&gt;x' in answer
    cadence.refresh_from_db()
    assert len(cadence.reason) < 400


def test_who_may_only_look_reads_why_there_are_no_buttons(client: Any, cadence: ManagedCadence) -> None:
    assert f'href="{url(cadence)}?login=1"' in client.get(url(cadence)).content.decode()
    client.force_login(User.objects.create_user('onlooker'))
    said_to = text(client.get(url(cadence)))
    assert 'To pause, edit or end it you need to be its owner' in said_to
    assert not soup(client.get(url(cadence))).select('form[action$="/pause/"]')
