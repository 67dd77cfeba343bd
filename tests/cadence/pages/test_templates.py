"""Observation templates as users meet them: make, see, share, change, copy, delete; and the host's own addresses."""

from __future__ import annotations

import hashlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import tom_observations
import tom_observations.templatetags.observation_extras as extras
import tom_observations.views
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from guardian.shortcuts import assign_perm
from tom_observations.models import ObservationRecord, ObservationTemplate

from tests.conftest import NIGHT
from tests.support.cadences import PLAIN, SIMULATED, parameters
from tom_cadence.models import TemplateOwnership
from tom_cadence.permissions import changeable_templates, visible_templates

pytestmark = pytest.mark.django_db(transaction=True)
LIST = '/observation-templates/'
CREATE = f'{LIST}create/?facility=Simulated observatory&type=IMAGING'
FILLED = {'card-name': 'Deep r', 'card-description': 'For faint ones', 'name': '{target} r', 'filter': 'r'}
CHECKED = {
    tom_observations.views.ObservationTemplateListView: '864f2e6848cbfaa3',
    tom_observations.views.ObservationTemplateCreateView: 'cfc00e875101e602',
    tom_observations.views.ObservationTemplateUpdateView: '81bf4e31c06a544c',
    tom_observations.views.ObservationTemplateDeleteView: 'a4db66657dc7456c',
    extras.observationtemplate_from_record: 'f49b7128818bd570',
}
PARTIAL = '13c722037a52cb69'


@pytest.fixture
def group(db: Any) -> Any:
    return Group.objects.create(name='Supernova group')


@pytest.fixture
def member(group: Any) -> Any:
    user = User.objects.create_user('cecilia')
    user.groups.add(group)
    return user


@pytest.fixture
def stranger(db: Any) -> Any:
    return User.objects.create_user('edwin')


@pytest.fixture
def boss(db: Any) -> Any:
    return User.objects.create_superuser('annie')


def make(name: str = 'Deep r', owner: Any = None, groups: Any = (), facility: str = SIMULATED, **fields: Any) -> Any:
    template = ObservationTemplate.objects.create(name=name, facility=facility, parameters={'facility': facility, **fields})
    if owner is not None:
        TemplateOwnership.objects.create(template=template, owner=owner, observation_type='IMAGING').groups.set(groups)
    return template


def fingerprint(text: str) -> str:
    return hashlib.sha256(re.sub(r'\s+', ' ', text).encode()).hexdigest()[:16]


@pytest.mark.parametrize('part', CHECKED, ids=lambda part: part.__name__)
def test_the_hosts_template_pages_are_still_what_was_checked(part: Any) -> None:
    """If this fails, read the host's change, adapt tom_cadence/host.py and what it names, then note the new fingerprint."""
    assert fingerprint(inspect.getsource(inspect.unwrap(part))) == CHECKED[part]


def test_the_hosts_button_is_still_what_was_checked() -> None:
    folder = Path(tom_observations.__file__).parent / 'templates/tom_observations/partials'
    assert fingerprint((folder / 'observationtemplate_from_record.html').read_text()) == PARTIAL


def test_a_template_of_all_fields_keeps_what_is_filled_in_and_nothing_else(client: Any, observatory: Any, astronomer: Any) -> None:
    client.force_login(astronomer)
    page = client.get(CREATE).content.decode()
    assert 'name="exposure_time"' in page
    assert 'name="start"' not in page
    assert 'name="target_id"' not in page
    response = client.post(CREATE, {**FILLED, 'exposure_time': '', 'exposure_count': '3'})
    template = ObservationTemplate.objects.get()
    assert response.url == reverse('cadences:template-detail', args=[template.pk])
    assert template.parameters == {
        'facility': SIMULATED,
        'template_name': 'Deep r',
        'observation_type': 'IMAGING',
        'name': '{target} r',
        'filter': 'r',
        'exposure_count': 3,
    }
    assert (template.ownership.owner, template.ownership.observation_type) == (astronomer, 'IMAGING')


def test_the_facilitys_own_form_comes_first_and_all_fields_stand_beside_it(client: Any, observatory: Any, astronomer: Any) -> None:
    client.force_login(astronomer)
    page = client.get(f'{LIST}create/?facility=Simulated observatory').content.decode()
    assert page.index('Short form') < page.index('All fields: Imaging')
    assert 'name="name"' not in page
    client.post(f'{LIST}create/?facility=Simulated observatory', {'card-name': 'Short', 'filter': 'g'})
    assert ObservationTemplate.objects.get().parameters == {'facility': SIMULATED, 'template_name': 'Short', 'filter': 'g'}


def test_errors_stand_beside_their_fields_and_nothing_is_saved(client: Any, observatory: Any, astronomer: Any) -> None:
    client.force_login(astronomer)
    page = client.post(CREATE, {'card-name': '', 'exposure_time': '-4'}).content.decode()
    assert 'Ensure this value is greater than or equal to 0.1' in page
    assert 'This field is required' in page
    assert not ObservationTemplate.objects.exists()


def test_a_facility_without_a_form_is_not_offered_and_is_no_server_error(
    client: Any, observatory: Any, astronomer: Any, settings: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, 'tom_observations.facilities.lco_redirect.LCORedirectFacility']
    client.force_login(astronomer)
    page = client.get(LIST).content.decode()
    assert 'Plain observatory' in page
    assert 'LCORedirect' not in page
    response = client.get(f'{LIST}create/?facility=LCORedirect')
    assert response.status_code == 404
    assert b'cannot be made for LCORedirect' in response.content
    assert client.get(f'{LIST}create/?facility=Atlantis').status_code == 404


def test_a_template_is_made_of_a_past_observation(client: Any, observatory: Any, astronomer: Any, target: Any) -> None:
    asked = parameters(target, NIGHT, exposure_time=45.0, site_note='kept although no field asks for it')
    record = ObservationRecord.objects.create(
        target=target, user=astronomer, facility=SIMULATED, parameters=asked, observation_id='77', status='COMPLETED'
    )
    client.force_login(astronomer)
    page = client.get(f'/observations/{record.pk}/')
    assert b'href="template/"' in page.content
    page = client.get(f'/observations/{record.pk}/template/', follow=True)
    url = page.redirect_chain[-1][0] if page.redirect_chain else page.request['PATH_INFO']
    assert b'{target} r' in page.content
    assert b'SN 2011fe r' not in page.content
    client.post(url, {**FILLED, 'exposure_time': '45.0', 'exposure_count': '1'})
    kept = ObservationTemplate.objects.get().parameters
    assert kept['site_note'] == 'kept although no field asks for it'
    assert (kept['name'], kept['exposure_time']) == ('{target} r', 45.0)
    assert not {'target_id', 'start', 'end', 'observation_id'} & set(kept)


@pytest.mark.parametrize('only', [True, False])
def test_a_record_that_may_not_be_seen_is_not_found(
    client: Any, observatory: Any, astronomer: Any, stranger: Any, target: Any, settings: Any, only: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only
    if only:
        target.permissions = 'PRIVATE'
        target.save()
    record = ObservationRecord.objects.create(
        target=target, user=astronomer, facility=SIMULATED, parameters=parameters(target, NIGHT), observation_id='77'
    )
    url = f'{LIST}from-record/{record.pk}/'
    client.force_login(stranger)
    for response in (client.get(url), client.post(url, FILLED), client.get(f'/observations/{record.pk}/template/', follow=True)):
        assert response.status_code == 404
        assert target.name.encode() not in response.content
    if not only:
        assign_perm('tom_observations.view_observationrecord', stranger, record)
        assert client.get(url, follow=True).status_code == 200


def test_who_sees_and_changes_what(astronomer: Any, member: Any, stranger: Any, boss: Any, group: Any) -> None:
    mine, shared, nobodys = make('mine', astronomer), make('shared', astronomer, [group]), make('old')
    everyone = {mine, shared, nobodys}
    seen = {user: set(visible_templates(user)) for user in (astronomer, member, stranger, boss, AnonymousUser())}
    changed = {user: set(changeable_templates(user)) for user in seen}
    assert list(seen.values()) == [everyone, {shared, nobodys}, {nobodys}, everyone, {nobodys}]
    assert list(changed.values()) == [everyone, {nobodys}, {nobodys}, everyone, set()]


@pytest.mark.parametrize('verb', ['', 'edit/', 'delete/', 'duplicate/', 'apply/'])
def test_somebody_elses_template_is_not_found(client: Any, observatory: Any, astronomer: Any, stranger: Any, verb: str) -> None:
    url = f'{LIST}{make(owner=astronomer).pk}/{verb}'
    client.force_login(stranger)
    assert client.get(url).status_code in (404, 405)
    assert client.post(url, FILLED).status_code == (404 if verb else 405)
    assert ObservationTemplate.objects.get().name == 'Deep r'


@pytest.mark.parametrize('verb', ['edit/', 'delete/'])
def test_a_member_of_the_group_may_use_it_but_not_change_it(
    client: Any, observatory: Any, astronomer: Any, member: Any, group: Any, verb: str
) -> None:
    template = make(owner=astronomer, groups=[group], filter='r')
    client.force_login(member)
    page = client.get(f'{LIST}{template.pk}/').content.decode()
    assert 'Apply to targets' in page
    assert '/edit/' not in page
    assert client.get(f'{LIST}{template.pk}/apply/').status_code == 200
    response = client.post(f'{LIST}{template.pk}/{verb}', FILLED)
    assert response.status_code == 302
    assert response.url == f'{LIST}{template.pk}/'
    assert ObservationTemplate.objects.filter(pk=template.pk, parameters__filter='r').exists()


def test_anonymous_visitors_read_what_they_may_and_change_nothing(client: Any, observatory: Any, astronomer: Any) -> None:
    old, mine = make('old one', filter='V'), make('secret one', astronomer)
    page = client.get(LIST).content.decode()
    assert 'old one' in page
    assert 'secret one' not in page
    assert client.get(f'{LIST}{old.pk}/').status_code == 200
    assert client.get(f'{LIST}{mine.pk}/').status_code == 404
    for url in (CREATE, *(f'{LIST}{old.pk}/{verb}/' for verb in ('edit', 'delete', 'duplicate', 'apply'))):
        assert client.post(url, FILLED).url.startswith('/accounts/login/'), url
    hosts = f'/observations/template/{SIMULATED}/create/'
    assert client.post(hosts, {'facility': SIMULATED, 'template_name': 'graffiti'}).url.startswith('/accounts/login/')
    assert client.post(f'/observations/template/{old.pk}/delete/').url.startswith('/accounts/login/')
    assert ObservationTemplate.objects.count() == 2


def test_a_template_of_the_host_is_taken_over_by_editing_it(client: Any, observatory: Any, astronomer: Any, stranger: Any) -> None:
    old = make('old', filter='V', exposure_time=30.0, rotator='kept')
    client.force_login(astronomer)
    page = client.get(f'{LIST}{old.pk}/edit/').content.decode()
    assert 'belongs to nobody' in page
    client.post(f'{LIST}{old.pk}/edit/', {'card-name': 'old, but mine', 'filter': 'g', 'exposure_time': ''})
    old.refresh_from_db()
    assert old.ownership.owner == astronomer
    assert old.parameters == {'facility': SIMULATED, 'template_name': 'old, but mine', 'filter': 'g', 'rotator': 'kept'}
    client.force_login(stranger)
    assert client.get(f'{LIST}{old.pk}/').status_code == 404


def test_a_superuser_who_edits_leaves_the_owner(client: Any, observatory: Any, astronomer: Any, boss: Any) -> None:
    template = make(owner=astronomer)
    client.force_login(boss)
    client.post(f'{LIST}{template.pk}/edit/', FILLED)
    assert TemplateOwnership.objects.get().owner == astronomer


def test_it_is_shared_with_the_groups_one_belongs_to_only(
    client: Any, observatory: Any, member: Any, group: Any, stranger: Any
) -> None:
    other = Group.objects.create(name='Others')
    client.force_login(member)
    assert b'Others' not in client.get(CREATE).content
    assert b'Select a valid choice' in client.post(CREATE, {**FILLED, 'card-groups': [other.pk]}).content
    client.post(CREATE, {**FILLED, 'card-groups': [group.pk]})
    assert list(TemplateOwnership.objects.get().groups.all()) == [group]


def test_a_copy_is_ones_own(client: Any, observatory: Any, astronomer: Any, member: Any, group: Any) -> None:
    template = make(owner=astronomer, groups=[group], filter='r', rotator='kept')
    client.force_login(member)
    assert client.get(f'{LIST}{template.pk}/duplicate/').status_code == 405
    response = client.post(f'{LIST}{template.pk}/duplicate/')
    copy = ObservationTemplate.objects.exclude(pk=template.pk).get()
    assert response.url == reverse('cadences:template-edit', args=[copy.pk])
    assert (copy.name, copy.ownership.owner, list(copy.ownership.groups.all())) == ('Deep r (copy)', member, [])
    assert copy.parameters['rotator'] == 'kept'


def test_deleting_asks_first(client: Any, observatory: Any, astronomer: Any) -> None:
    template = make(owner=astronomer)
    client.force_login(astronomer)
    assert b'Delete Deep r?' in client.get(f'{LIST}{template.pk}/delete/').content
    assert ObservationTemplate.objects.exists()
    client.post(f'{LIST}{template.pk}/delete/')
    assert not ObservationTemplate.objects.exists()


def test_the_list_says_what_each_sets_and_can_be_narrowed_down(client: Any, observatory: Any, astronomer: Any) -> None:
    make('Deep r', astronomer, filter='r', exposure_time=300.0)
    make('Quick', facility=PLAIN, filter='g')
    client.force_login(astronomer)
    page = client.get(LIST).content.decode()
    assert 'Exposure time <strong>300</strong>' in page
    assert 'nobody' in page
    for query, shown, hidden in (
        ('query=deep', 'Deep r', 'Quick'),
        ('facility=' + PLAIN, 'Quick', 'Deep r'),
        ('mine=on', 'Deep r', 'Quick'),
    ):
        page = client.get(f'{LIST}?{query}', headers={'HX-Request': 'true'}).content.decode()
        assert shown in page, query
        assert hidden not in page, query
    assert 'No template fits' in client.get(f'{LIST}?query=nothing').content.decode()


def test_the_list_costs_the_same_for_three_and_for_thirty(client: Any, observatory: Any, member: Any, group: Any) -> None:
    client.force_login(member)
    counted = []
    for number in (3, 27):
        for each in range(number):
            make(f'{number} {each}', member, [group], filter='r')
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(LIST)
        counted.append(len(queries))
    assert counted[0] == counted[1]


def test_pages_of_the_list_have_one_size_whatever_the_address_says(client: Any, observatory: Any, astronomer: Any) -> None:
    for number in range(27):
        make(f'template {number:02}', astronomer)
    client.force_login(astronomer)
    for size in ('-5', '100000'):
        page = client.get(f'{LIST}?per_page={size}')
        assert page.status_code == 200
        assert len(page.context['table'].page.object_list) == 25


def test_the_hosts_addresses_lead_here(client: Any, observatory: Any, astronomer: Any) -> None:
    template = make(owner=astronomer)
    client.force_login(astronomer)
    assert client.get('/observations/template/list/?facility=x').url == f'{LIST}?facility=x'
    assert client.get(reverse('tom_observations:template-update', args=[template.pk])).url == f'{LIST}{template.pk}/'
    assert client.get(reverse('tom_observations:template-detail', args=[template.pk])).url == f'{LIST}{template.pk}/'
    page = client.get(f'/observations/template/{SIMULATED}/create/?filter=g&observation_type=IMAGING&target_id=4').content.decode()
    assert '<option value="g" selected>' in page
    assert b'Delete Deep r?' in client.get(f'/observations/template/{template.pk}/delete/').content


def test_a_facility_that_does_not_answer_is_a_sentence(client: Any, observatory: Any, astronomer: Any, settings: Any) -> None:
    settings.TOM_FACILITY_CLASSES = ['tests.cadence.pages.test_templates.BrokenObservatory']
    client.force_login(astronomer)
    page = client.get(f'{LIST}create/?facility=Broken observatory&type=IMAGING')
    assert page.status_code == 200
    assert b'cannot be shown' in page.content
    assert b'Traceback' not in page.content


def __getattr__(name: str) -> Any:
    if name != 'BrokenObservatory':
        raise AttributeError(name)
    import requests

    from custom_code.observatory import ObservatoryImagingForm, PlainObservatoryFacility

    class Form(ObservatoryImagingForm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise requests.ConnectionError('the portal is down')

    class Broken(PlainObservatoryFacility):
        name = 'Broken observatory'
        observation_forms = {'IMAGING': Form}

        def get_form(self, observation_type: Any) -> Any:
            return Form

    return Broken
