"""What is asked for is changed on the page of the cadence, with the facility's own form: checked, previewed, kept, and sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import User

from simulators.portal import Portal
from simulators.server import serve
from tests.conftest import at
from tests.support.cadences import records, settle
from tests.support.webform import WebForm, connect, serialise, start_cadence
from tom_cadence.core.decisions import Submit, Wait
from tom_cadence.core.policy import Instead
from tom_cadence.core.windows import Window
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import Temporary
from tom_cadence.flows import ask_instead
from tom_cadence.models import CadenceRun, ManagedCadence, Notice, Submission

pytestmark = pytest.mark.django_db(transaction=True)
RESUME = 'ResumeCadenceAfterFailureStrategy'
#: Forms of facilities, a field of each, and what is filled in.
KINDS = {
    'LCO-IMAGING': ('LCO', 'IMAGING', {'c_1_ic_1_filter': 'gp', 'c_1_ic_1_exposure_time': '45'}),
    'LCO-SPECTRA': ('LCO', 'SPECTRA', {'c_1_ic_1_exposure_time': '600'}),
    'LCO-PHOTOMETRIC_SEQUENCE': ('LCO', 'PHOTOMETRIC_SEQUENCE', {'gp_0': '90'}),
    'LCO-SPECTROSCOPIC_SEQUENCE': ('LCO', 'SPECTROSCOPIC_SEQUENCE', {'exposure_time': '600'}),
    'OCS-ALL': ('OCS', 'ALL', {'c_1_ic_1_filter': 'gp', 'c_1_ic_1_exposure_count': '3'}),
}
DAY = timedelta(days=1)
NOW = datetime.now(timezone.utc).replace(microsecond=0, second=0)


@pytest.fixture
def portal(settings: Any) -> Iterator[Portal]:
    settings.FACILITIES, settings.TOM_FACILITY_CLASSES = {}, []
    with serve(Portal(proposals=('TOM2026B-001', 'TOM2027A-001'))) as server:
        yield server.service


def begin(
    client: Any, settings: Any, portal: Portal, owner: Any, target: Any, kind: str = 'LCO-IMAGING', name: str = 'SN'
) -> ManagedCadence:
    facility, observation_type, _ = KINDS[kind]
    connect(settings, portal, facility)
    client.force_login(owner)
    window = None if 'SEQUENCE' in kind else (NOW + timedelta(hours=1), NOW + timedelta(hours=9))
    host = start_cadence(client, target, facility, observation_type, RESUME, {'cadence_frequency': 24}, window=window, name=name)
    return ManagedCadence.objects.get(cadence=host)


def form_in(response: Any, url: str) -> WebForm:
    """The form of the page, as a browser holds it."""
    found = BeautifulSoup(response.content, 'html.parser').find_all('form', method='post')
    tag = next(form for form in found if form.find(attrs={'name': 'change_reason'}))
    return WebForm(url, tag, serialise(tag))


def preview(client: Any, managed: ManagedCadence, fields: dict[str, str], reason: str = 'The host is bright.') -> Any:
    url = f'/cadences/{managed.pk}/change/'
    form = form_in(client.get(url), url).fill({**fields, 'change_reason': reason})
    return client.post(url, form.values)


def confirm(client: Any, managed: ManagedCadence, response: Any) -> Any:
    url = f'/cadences/{managed.pk}/change/'
    return client.post(url, form_in(response, url).values, follow=True)


SOME = ('LCO-IMAGING', 'LCO-PHOTOMETRIC_SEQUENCE')
ALL = [each if each in SOME else pytest.param(each, marks=pytest.mark.prove(why='five big forms, twice each')) for each in KINDS]


@pytest.mark.parametrize('kind', ALL)
def test_every_form_shows_what_is_asked_now_and_keeps_what_is_changed(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, kind: str
) -> None:
    managed = begin(client, settings, portal, astronomer, target, kind)
    before = records(managed.host)[0].parameters
    page = preview(client, managed, KINDS[kind][2])
    words = ' '.join(BeautifulSoup(page.content, 'html.parser').get_text(' ').split())
    assert 'Preview: nothing has been changed yet' in words, words
    managed.refresh_from_db()
    assert managed.asked_instead == {}
    done = confirm(client, managed, page)
    assert 'From the next request on' in done.content.decode()
    managed.refresh_from_db()
    changed = Instead.of(managed.asked_instead).fields
    assert len(changed) == len(KINDS[kind][2]), changed
    assert all(before[name] != value for name, value in changed.items())
    line = CadenceRun.objects.get(managed=managed, decision='note').reason
    assert line.startswith('From the next request on, what is asked for was changed by vera: ')
    assert line.endswith('. Reason: The host is bright.')
    assert not Notice.objects.exists()
    assert len(portal.submissions) == 1


def test_a_reason_is_needed_and_what_stays_the_same_is_no_change(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any
) -> None:
    managed = begin(client, settings, portal, astronomer, target)
    assert 'Preview: nothing' not in preview(client, managed, {'c_1_ic_1_filter': 'gp'}, reason='').content.decode()
    assert 'asked for already' in preview(client, managed, {}).content.decode()
    page = preview(client, managed, {'ipp_value': 'much'})
    assert 'Nothing was changed.' in page.content.decode()
    assert 'Enter a number' in page.content.decode()
    managed.refresh_from_db()
    assert managed.asked_instead == {}


def test_it_is_changed_once_and_not_while_a_request_is_open(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any
) -> None:
    managed = begin(client, settings, portal, astronomer, target)
    page = preview(client, managed, {'c_1_ic_1_filter': 'gp'})
    confirm(client, managed, page)
    again = confirm(client, managed, page)
    assert 'asked for already' in again.content.decode() or 'since the page was loaded' in again.content.decode()
    assert CadenceRun.objects.filter(managed=managed, reason__startswith='From the next request').count() == 1
    page = preview(client, managed, {'c_1_ic_1_filter': 'ip'})
    Submission.objects.create(managed=managed, cause='x', facility='LCO', state='uncertain', created=NOW)
    assert 'that comes first' in confirm(client, managed, page).content.decode()
    managed.refresh_from_db()
    assert managed.asked_instead['fields'] == {'c_1_ic_1_filter': 'gp'}


@pytest.mark.parametrize('permissions_only', [True, False])
def test_only_who_may_change_the_cadence_changes_what_is_asked_for(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, permissions_only: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = permissions_only
    managed = begin(client, settings, portal, astronomer, target)
    ManagedCadence.objects.filter(pk=managed.pk).update(asked_instead={})
    client.force_login(User.objects.create_user('mallory'))
    for url in (f'/cadences/{managed.pk}/change/', f'/cadences/proposal/?selected-row={managed.pk}'):
        response = client.get(url, follow=True)
        assert b'change_reason' not in response.content
        assert b'name="proposal"' not in response.content
    client.post(f'/cadences/{managed.pk}/change/', {'change_reason': 'x', 'change_confirmed': '1', 'proposal': 'TOM2027A-001'})
    client.post('/cadences/proposal/', {'selected-row': managed.pk, 'proposal': 'TOM2027A-001', 'reason': 'x'})
    client.logout()
    assert client.post(f'/cadences/{managed.pk}/change/', {'change_confirmed': '1'}).status_code == 302
    managed.refresh_from_db()
    assert managed.asked_instead == {}


def test_values_and_codes_of_proposals_are_told_to_the_owner_and_stand_in_no_reason(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any
) -> None:
    one = begin(client, settings, portal, astronomer, target)
    two = begin(client, settings, portal, astronomer, target, name='another SN')
    client.force_login(User.objects.create_superuser('root'))
    confirm(client, one, preview(client, one, {'c_1_ic_1_exposure_time': '45', 'proposal': 'TOM2027A-001'}))
    [notice] = Notice.objects.all()
    assert notice.user == astronomer
    assert 'root asks for: ' in notice.text
    assert 'from TOM2026B-001 to TOM2027A-001' in notice.text
    assert 'to 45' in notice.text
    move = {'selected-row': [one.pk, two.pk], 'proposal': 'TOM2027A-001', 'reason': 'New semester.'}
    client.post('/cadences/proposal/', move)
    notice = Notice.objects.exclude(pk=notice.pk).get()
    assert notice.user == astronomer
    assert 'root lets these cadences ask for TOM2027A-001. Reason: New semester.' in notice.text
    assert (str(one) in notice.text, str(two) in notice.text) == (False, True)
    reasons = list(CadenceRun.objects.filter(decision='note').values_list('reason', flat=True))
    assert sum('changed by root: ' in reason and 'Proposal' in reason for reason in reasons) == 2
    assert not [reason for reason in reasons if 'TOM202' in reason or '45' in reason]


def test_many_cadences_are_moved_to_another_proposal_each_for_itself(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any
) -> None:
    one = begin(client, settings, portal, astronomer, target)
    two = begin(client, settings, portal, astronomer, target, name='another SN')
    Submission.objects.create(managed=two, cause='x', facility='LCO', state='uncertain', created=NOW)
    to = client.post('/cadences/bulk/', {'action': 'proposal', 'selected-row': [one.pk, two.pk]})
    assert client.get(to.url).context['choices'][1][0] == 'TOM2027A-001'
    done = client.post(
        '/cadences/proposal/', {'selected-row': [one.pk, two.pk], 'proposal': 'TOM2027A-001', 'reason': 'New semester.'}
    )
    words = done.content.decode()
    assert '1 of 2 cadences moved.' in words
    assert 'From TOM2026B-001 to TOM2027A-001' in words
    assert 'that comes first' in words
    one.refresh_from_db()
    assert one.asked_instead['fields'] == {'proposal': 'TOM2027A-001'}
    assert 'New semester.' in CadenceRun.objects.filter(managed=one, decision='note').latest('pk').reason
    two.refresh_from_db()
    assert two.asked_instead == {}


def test_a_form_is_asked_for_its_proposals_once_an_owner_also_where_it_fails(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, monkeypatch: Any
) -> None:
    begin(client, settings, portal, astronomer, target)
    begin(client, settings, portal, astronomer, target, name='another SN')
    asked = []

    def fails(now: Any) -> dict[str, str]:
        asked.append(now)
        raise Temporary('The portal does not answer.')

    monkeypatch.setattr(ask_instead, '_offered', fails)
    rows = ManagedCadence.objects.all()
    choices, troubles = ask_instead.proposals(rows, astronomer, NOW)
    assert (choices, len(troubles), len(asked)) == ([], 2, 1)
    moved = list(ask_instead.move(rows, 'TOM2027A-001', 'New semester.', astronomer, NOW))
    assert ([each.text for each in moved], len(asked)) == (['The portal does not answer.'] * 2, 2)


def test_the_example_observatory_has_such_a_form_too(client: Any, observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    managed = ManagedCadence.objects.get(cadence=make_cadence(book=observatory))
    client.force_login(astronomer)
    page = preview(client, managed, {'filter': 'g', 'exposure_time': '30'})
    confirm(client, managed, page)
    managed.refresh_from_db()
    assert managed.asked_instead['fields'] == {'filter': 'g', 'exposure_time': 30.0}
    page = client.get(f'/cadences/{managed.pk}/').content.decode()
    assert '>Change what is asked for…<' in page
    assert 'g 30 s' in page
    for number in (1, 2):
        settle(observatory, records(managed.host)[-1], 'COMPLETED')
        run_cadences(now=at(24 * number))
        asked = records(managed.host)[-1].parameters
        assert (len(records(managed.host)), asked['filter'], asked['exposure_time']) == (number + 1, 'g', 30)
    assert records(managed.host)[0].parameters['filter'] == 'r'


def test_a_change_lies_under_what_the_strategy_changes_and_over_older_records_only() -> None:
    window = Window(start=NOW, end=NOW + DAY)
    instead = Instead.of({'fields': {'filter': 'g', 'exposure_time': 30}, 'newest': 7})
    older = Submit(reason='.', window=window, like=7, follows=(7,), changes={'exposure_time': 5})
    assert instead.laid_under(older).changes == {'filter': 'g', 'exposure_time': 5}  # type: ignore[union-attr]
    newer = Submit(reason='.', window=window, like=8, follows=(8,))
    assert instead.laid_under(newer) is newer
    assert Instead.of({}).laid_under(older) is older
    assert isinstance(instead.laid_under(Wait(reason='.')), Wait)


def test_what_the_form_or_the_portal_refuses_stands_beside_its_field_and_is_named_by_its_label(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any
) -> None:
    managed = begin(client, settings, portal, astronomer, target)
    page = BeautifulSoup(preview(client, managed, {'ipp_value': 'much'}).content, 'html.parser')
    note = page.find(id='id_ipp_value').find_parent(class_='mb-3').find(class_='invalid-feedback')
    assert note.get_text(strip=True) == 'Enter a number.'
    [line] = page.find(role='alert').find_all('li')
    assert line.get_text(' ', strip=True).startswith('Intra Proposal Priority (IPP factor) : Enter a number.'), line
    assert line.find('a')['href'] == '#id_ipp_value'
    errors = {'requests': [{'configurations': [{'instrument_configs': [{'exposure_time': ['The shutter needs 2 s.']}]}]}]}
    portal.reply('validate', 200, {'request_durations': {}, 'errors': errors})
    page = BeautifulSoup(preview(client, managed, {'c_1_ic_1_exposure_time': '1'}).content, 'html.parser')
    field = page.find(id='id_c_1_ic_1_exposure_time')
    assert field['value'] == '1', 'what was typed stays'
    assert field.find_parent(class_='mb-3').find(class_='invalid-feedback').get_text(strip=True) == 'The shutter needs 2 s.'
    [line] = page.find(role='alert').find_all('li')
    assert 'Exposure time (configuration 1, instrument 1)' in line.get_text()
