"""Standing orders on pages: made, edited, paused, resumed, deleted; the user's own only."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from guardian.shortcuts import assign_perm
from tom_targets.models import TargetList

from tests.photometry import conftest as forced
from tests.photometry.conftest import DAY, Hands
from tests.support.asking import ended
from tom_forced_phot import queries, subscriptions
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription

pytestmark = pytest.mark.django_db(transaction=True)
atlas, clock, data_folder, make_target = forced.atlas, forced.clock, forced.data_folder, forced.make_target
LIST = '/forced-photometry/subscriptions/'
HTMX = {'HX-Request': 'true'}
GOOD = {'service': 'ATLAS', 'target': 'SN 1', 'interval_hours': '24'}


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    client.force_login(astronomer)
    return client


def page(client: Any, address: str = LIST) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return ' '.join(str(response.content.decode()).split())


def words(text: str) -> str:
    return re.sub(r'\s+', ' ', re.sub('<[^>]+>', ' ', text))


def errors(response: Any, field: str) -> str:
    """What stands in the column of a field."""
    assert response.status_code == 200, response.headers
    text = response.content.decode()
    found = re.search(rf'id="div_id_{field}".*?(?=id="div_id_|</form>)', text, re.S)
    assert found, text
    return ' '.join(re.findall(r'invalid-feedback[^>]*>(.*?)</', found[0], re.S))


def test_one_is_made_for_a_target_and_asks_with_the_next_run(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    target = make_target()
    assert 'There is no subscription yet.' in page(vera)
    assert 'value="SN 1"' in page(vera, f'{LIST}new/?target={target.pk}')
    response = vera.post(f'{LIST}new/', {**GOOD, 'min_date': '61300', 'use_reduced': 'on', 'until': '2027-01-31'}, follow=True)
    assert 'Made.' in response.content.decode()
    order = PhotometrySubscription.objects.get()
    assert (order.owner, order.target_id, order.interval_hours) == (astronomer, target.pk, 24)
    assert order.parameters == {'min_date': 61300.0, 'use_reduced': True, 'controls': False}
    assert f'{order.until:%Y-%m-%d}' == '2027-01-31'
    subscriptions.ask_due(clock())
    query = PhotometryQuery.objects.get()
    assert (query.subscription, query.asked_by) == (order, astronomer)
    assert query.parameters['reduction'] == 'reduced'
    ended(clock)
    text = words(page(vera))
    assert re.search(r'SN 1 ATLAS every 24 h until 2027-01-31 UTC Active', text)
    assert re.search(r'\d+ new points', text)


def test_one_is_made_for_a_list_and_asks_only_about_what_its_owner_may_ask_about(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    mine, foreign = make_target(), make_target(permissions='PRIVATE')
    targets = TargetList.objects.create(name='Novae')
    targets.targets.add(mine, foreign)
    assert 'Novae' not in page(vera, f'{LIST}new/'), 'a list that the user may not see'
    given = {**GOOD, 'target': '', 'target_list': targets.pk}
    assert 'Select a valid choice' in errors(vera.post(f'{LIST}new/', given), 'target_list')
    assign_perm('tom_targets.view_targetlist', astronomer, targets)
    assert vera.post(f'{LIST}new/', given).status_code == 302
    subscriptions.ask_due(clock())
    assert list(PhotometryQuery.objects.values_list('target', flat=True)) == [mine.pk]
    assert 'the list Novae' in words(page(vera))


def test_who_lost_the_target_asks_no_more_and_reads_why(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    target = make_target(name='Hush')
    order = subscriptions.make(clock(), service='ATLAS', target=target, owner=astronomer)
    target.permissions = 'PRIVATE'
    target.save()
    subscriptions.ask_due(clock())
    assert not PhotometryQuery.objects.exists()
    order.refresh_from_db()
    assert order.reason == 'vera may not ask about its target.'
    text = page(vera)
    assert 'Hush' not in text
    assert 'a target that you may not see any more' in text


@pytest.mark.parametrize(
    ('given', 'field', 'said'),
    [
        ({'target': ''}, 'target', 'Name a target, or choose a list.'),
        ({'target': 'No such'}, 'target', 'There is no target called'),
        ({'target': 'Private'}, 'target', 'There is no target called'),
        ({'target': 'Moving'}, 'target', 'ZTF measures only fixed positions'),
        ({'interval_hours': '0'}, 'interval_hours', 'greater than or equal to 1'),
        ({'interval_hours': 'x'}, 'interval_hours', 'Enter a number'),
        ({'until': 'soon'}, 'until', 'is no date'),
        ({'until': '2020-01-01'}, 'until', 'This date is over.'),
        ({'min_date': 'early'}, 'min_date', 'is no date'),
        ({'service': 'Nobody'}, 'service', 'Select a valid choice'),
    ],
)
def test_errors_stand_beside_their_fields(
    vera: Any, clock: Hands, atlas: Any, make_target: Any, settings: Any, given: dict[str, str], field: str, said: str
) -> None:
    make_target(name='SN 1')
    make_target(name='Private', permissions='PRIVATE')
    make_target(name='Moving', type='NON_SIDEREAL', scheme='MPC_MINOR_PLANET')
    forced.configure(settings, 'ZTF', email='a@example.org', userpass='secret-word')
    service = {'service': 'ZTF'} if given.get('target') == 'Moving' else {}
    response = vera.post(f'{LIST}new/', {**GOOD, **service, **given})
    assert said in errors(response, field)
    assert not PhotometrySubscription.objects.exists()


def test_a_service_without_account_is_refused_beside_the_field(vera: Any, clock: Hands, make_target: Any, settings: Any) -> None:
    make_target()
    forced.configure(settings, 'ATLAS', api_key='')
    assert 'ATLAS needs api_key' in errors(vera.post(f'{LIST}new/', GOOD), 'service')


def test_editing_changes_how_often_and_when_next(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    order = subscriptions.make(clock(), service='ATLAS', target=make_target(), owner=astronomer, parameters={'use_reduced': True})
    subscriptions.ask_due(clock())
    assert 'checked' in page(vera, f'{LIST}{order.pk}/')
    assert vera.post(f'{LIST}{order.pk}/', {'interval_hours': '48', 'min_date': '61000'}).status_code == 302
    order.refresh_from_db()
    assert order.parameters == {'use_reduced': False, 'controls': False, 'min_date': 61000.0}
    assert order.next_round == clock() + 2 * DAY
    assert 'every 2 days' in page(vera)
    assert 'greater than or equal' in errors(vera.post(f'{LIST}{order.pk}/', {'interval_hours': '0.1'}), 'interval_hours')


def test_pause_resume_and_delete(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    order = subscriptions.make(clock(), service='ATLAS', target=make_target(), owner=astronomer)
    text = vera.post(f'{LIST}{order.pk}/pause/', headers=HTMX).content.decode()
    assert 'Paused by vera.' in text
    assert 'Resume' in text
    assert subscriptions.ask_due(clock()) == []
    PhotometrySubscription.objects.update(failures=2)
    assert vera.post(f'{LIST}{order.pk}/resume/').status_code == 302
    order.refresh_from_db()
    assert (order.active, order.reason, order.failures) == (True, '', 0)
    assert len(subscriptions.ask_due(clock())) == 1
    queries.run(clock)
    assert 'Delete this subscription?' in page(vera, f'{LIST}{order.pk}/delete/')
    assert PhotometrySubscription.objects.exists()
    vera.post(f'{LIST}{order.pk}/delete/')
    assert not PhotometrySubscription.objects.exists()
    assert PhotometryQuery.objects.count() == 1


def test_one_whose_end_is_over_is_not_resumed(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    over = clock() - timedelta(days=1)
    order = subscriptions.make(clock(), service='ATLAS', target=make_target(), owner=astronomer, active=False, until=over)
    assert 'edit it and give it another one first' in vera.post(f'{LIST}{order.pk}/resume/', headers=HTMX).content.decode()
    order.refresh_from_db()
    assert not order.active


@pytest.mark.parametrize('only_targets', [True, False])
def test_only_the_owner_and_superusers_change_it_and_strangers_learn_nothing(
    client: Any, clock: Hands, atlas: Any, make_target: Any, astronomer: Any, settings: Any, only_targets: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only_targets
    target = make_target(name='Hush', permissions='PRIVATE')
    order = subscriptions.make(clock(), service='ATLAS', target=target, owner=astronomer)
    changes = [f'{LIST}{order.pk}/{verb}' for verb in ('', 'pause/', 'resume/', 'delete/')]
    assert client.get(LIST).status_code == 302
    assert [client.post(each).status_code for each in changes] == [302] * 4
    client.force_login(User.objects.create_user('eve'))
    assert 'Hush' not in page(client)
    assert [client.post(each).status_code for each in changes] == [404] * 4
    assert 'Hush' not in page(client, f'{LIST}options/?target=Hu')
    viewer, group = User.objects.create_user('viewer'), Group.objects.create(name='watchers')
    viewer.groups.add(group)
    assign_perm('tom_targets.view_target', group, target)
    client.force_login(viewer)
    assert 'Hush' in page(client)
    assert f'{LIST}{order.pk}/' not in page(client)
    for each in changes:
        assert client.post(each, {'interval_hours': '1'}).headers['Location'] == LIST
    assert 'Only its owner may change a subscription.' in page(client)
    order.refresh_from_db()
    assert (order.active, order.interval_hours) == (True, 24)
    client.force_login(User.objects.create_superuser('root'))
    client.post(f'{LIST}{order.pk}/pause/')
    order.refresh_from_db()
    assert order.reason == 'Paused by root.'


def test_options_and_names_come_as_they_are_chosen(vera: Any, clock: Hands, make_target: Any) -> None:
    make_target(name='SN 2026a')
    assert 'Reduced images' in page(vera, f'{LIST}options/?service=ATLAS')
    assert 'Until' not in page(vera, f'{LIST}options/?service=ATLAS')
    assert 'Search radius' in page(vera, f'{LIST}options/?service=PanSTARRS') or 'adius' in page(
        vera, f'{LIST}options/?service=PanSTARRS'
    )
    assert 'not configured' in page(vera, f'{LIST}options/?service=Nobody')
    assert '<option value="SN 2026a">' in page(vera, f'{LIST}options/?target=2026')
