"""The list of cadences as a user sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from tests.conftest import NIGHT, at
from tests.support.cadences import PLAIN, SIMULATED, make, records
from tom_cadence.models import ManagedCadence, Submission

pytestmark = pytest.mark.django_db

LIST = '/cadences/'


@pytest.fixture(autouse=True)
def tonight(settings: Any) -> None:
    """The pages' clock stands at NIGHT."""
    settings.TOM_CADENCE = {'CLOCK': 'tests.cadence.pages.test_overview.night'}


def night() -> Any:
    return NIGHT


def managed(cadence: Any) -> ManagedCadence:
    return ManagedCadence.objects.get(cadence=cadence)


def page(client: Any, address: str = LIST, **given: Any) -> str:
    response = client.get(address, given)
    assert response.status_code == 200
    return str(response.content.decode())


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    client.force_login(astronomer)
    return client


def test_it_is_in_the_navigation(vera: Any) -> None:
    assert 'href="/cadences/">Cadences</a>' in page(vera, '/')


def test_a_row_says_target_strategy_facility_owner_state_and_numbers(vera: Any, observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(records=4)
    first, second, third, _ = records(cadence)
    ObservationRecord.objects.filter(pk__in=[first.pk, second.pk]).update(status='COMPLETED', scheduled_end=at(-20))
    ObservationRecord.objects.filter(pk=third.pk).update(status='WINDOW_EXPIRED', scheduled_end=at(-3))
    text = page(vera)
    for shown in ('SN 2011fe', SIMULATED, 'vera', 'Active', '2 done, 1 failed', 'Failed', '3 h ago', 'Observation 4 is booked.'):
        assert shown in text
    assert 'ResumeCadenceAfterFailureStrategy' not in text.replace('value="ResumeCadenceAfterFailureStrategy"', '')
    assert 'Window closes' in text


def test_the_next_window_says_when_it_opens(vera: Any, observatory: Any, make_cadence: Any) -> None:
    make_cadence(start=at(5))
    assert 'Window opens' in page(vera)
    assert 'in 5 h' in page(vera)


def test_the_list_leads_to_requests_without_a_reply_of_whoever_looks(client: Any, vera: Any, astronomer: Any) -> None:
    assert 'Requests without a reply' not in page(vera)
    Submission.objects.create(cause='x', facility=SIMULATED, state='uncertain', created=NIGHT, owner=astronomer)
    assert '<a class="btn btn-outline-danger" href="/cadences/requests/">Requests without a reply: 1</a>' in page(vera)
    assert 'Hours of proposals' not in page(vera)
    client.force_login(User.objects.create_user('staff', is_staff=True))
    assert 'Requests without a reply' not in page(client)
    assert 'href="/cadences/budgets/">Hours of proposals</a>' in page(client)
    client.logout()
    assert 'Requests without a reply' not in page(client)


def test_the_pages_say_where_a_part_of_them_could_not_be_fetched(vera: Any, observatory: Any, make_cadence: Any) -> None:
    for address in (LIST, f'{LIST}{managed(make_cadence()).pk}/', f'{LIST}start/'):
        assert 'tom_cadence/failures' in page(vera, address)


def test_a_row_says_why_a_cadence_does_not_go_on(vera: Any, observatory: Any, make_cadence: Any) -> None:
    ManagedCadence.objects.filter(cadence=make_cadence()).update(state='attention', reason='Nobody knows where it is.')
    text = page(vera)
    assert 'Needs attention' in text
    assert 'Nobody knows where it is.' in text


def test_a_facility_that_is_configured_no_more_does_not_break_the_list(vera: Any, observatory: Any, make_cadence: Any) -> None:
    make_cadence(facility='Gone')
    assert 'Gone' in page(vera)


def test_a_deleted_cadence_stays_in_its_owners_list(vera: Any, observatory: Any, make_cadence: Any) -> None:
    make_cadence().observation_group.delete()
    assert 'was deleted' in page(vera)


@pytest.mark.parametrize('only_targets', [True, False])
def test_what_a_user_may_not_see_is_not_in_the_list_nor_in_its_filters(
    client: Any, django_user_model: Any, settings: Any, observatory: Any, make_cadence: Any, target: Any, only_targets: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only_targets
    make_cadence()
    Target.objects.update(permissions='PRIVATE')
    stranger = django_user_model.objects.create_user('eve', password='x')
    for visitor in (None, stranger):
        if visitor:
            client.force_login(visitor)
        for given in ({}, {'query': '2011'}, {'target': 'SN'}, {'mine': 'on'}, {'sort': 'target'}):
            text = page(client, **given)
            assert 'SN 2011fe' not in text
            assert '0 cadences' in text
    assert client.get(f'/cadences/target/{target.pk}/').status_code == 404


@pytest.mark.parametrize(
    ('given', 'shown'),
    [
        ({'state': 'paused'}, {'M 51'}),
        ({'target': 'm 5'}, {'M 51'}),
        ({'facility': PLAIN}, {'M 51'}),
        ({'strategy': 'RetryFailedObservationsStrategy'}, {'M 51'}),
        ({'mine': 'on'}, {'SN 2011fe'}),
        ({'query': 'plain obs'}, {'M 51'}),
        ({'query': 'retry'}, {'M 51'}),
        ({'query': 'ada'}, {'M 51'}),
        ({'query': 'fe'}, {'SN 2011fe'}),
        ({'query': 'nothing like it'}, set()),
        ({}, {'M 51', 'SN 2011fe'}),
    ],
)
def test_it_is_filtered_and_searched(
    vera: Any, django_user_model: Any, observatory: Any, make_cadence: Any, given: dict[str, str], shown: set[str]
) -> None:
    make_cadence()
    ada = django_user_model.objects.create_user('ada', password='x')
    other = Target.objects.create(name='M 51', type='SIDEREAL', ra=202, dec=47, permissions='OPEN')
    cadence = make(ada, other, facility=PLAIN, strategy='RetryFailedObservationsStrategy')
    ManagedCadence.objects.filter(cadence=cadence).update(state='paused')
    text = page(vera, **given)
    assert {name for name in ('M 51', 'SN 2011fe') if f'>{name}</a>' in text} == shown
    assert ('No cadence matches these filters.' in text) == (not shown)


def test_it_sorts_by_what_is_in_the_head_and_first_by_what_needs_a_person(
    vera: Any, astronomer: Any, observatory: Any, make_cadence: Any
) -> None:
    for name, state in (('A', 'finished'), ('B', 'active'), ('C', 'attention')):
        galaxy = Target.objects.create(name=f'Galaxy {name}', type='SIDEREAL', ra=1, dec=1, permissions='OPEN')
        ManagedCadence.objects.filter(cadence=make(astronomer, galaxy)).update(state=state)

    def order(**given: str) -> str:
        text = page(vera, **given)
        return ''.join(sorted('ABC', key=lambda name: text.index(f'>Galaxy {name}</a>')))

    assert order() == 'CBA'
    assert order(sort='target') == 'ABC'
    assert order(sort='-target') == 'CBA'
    assert order(sort='state') == 'CBA'
    assert order(sort='-state') == 'ABC'
    assert order(sort='strategy') == 'CBA'
    assert 'aria-sort="ascending"' in page(vera, sort='target')


def test_it_has_pages_of_25(vera: Any, observatory: Any, make_cadence: Any) -> None:
    for _ in range(27):
        make_cadence()
    assert 'Cadences 1 to 25 of 27.' in page(vera)
    assert page(vera, page='2').count('name="selected-row" form=') == 2
    assert 'Cadences 26 to 27 of 27.' in page(vera, page='99')
    assert 'Cadences 1 to 25 of 27.' in page(vera, per_page='100000', page='x')


def test_htmx_gets_only_the_table_and_the_browser_keeps_the_two_apart(vera: Any, observatory: Any, make_cadence: Any) -> None:
    make_cadence()
    response = vera.get(LIST, headers={'HX-Request': 'true'})
    assert '<html' not in response.content.decode()
    assert 'SN 2011fe' in response.content.decode()
    assert 'HX-Request' in response['Vary']
    back = vera.get(LIST, headers={'HX-Request': 'true', 'HX-History-Restore-Request': 'true'})
    assert '<html' in back.content.decode()


@pytest.mark.parametrize('only_targets', [True, False])
@pytest.mark.parametrize('who', ['superuser', 'owner', 'anonymous'])
def test_the_number_of_statements_does_not_grow_with_the_number_of_cadences(
    client: Any, astronomer: Any, settings: Any, observatory: Any, target: Any, who: str, only_targets: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only_targets
    if who != 'anonymous':
        astronomer.is_superuser = who == 'superuser'
        astronomer.save()
        client.force_login(astronomer)

    def statements() -> int:
        page(client)
        with CaptureQueriesContext(connection) as seen:
            page(client)
        return len(seen)

    for _ in range(3):
        make(astronomer, target, records=3, status='COMPLETED')
    few = statements()
    for _ in range(20):
        make(astronomer, target, records=3, status='COMPLETED')
    assert statements() == few
    assert few <= 22


def test_nobody_has_a_cadence_yet(vera: Any, client: Any) -> None:
    assert 'There is no cadence yet that you may see.' in page(vera)
    client.logout()
    assert 'Log in' in page(client)


def test_a_red_banner_when_nobody_looks_at_the_cadences(vera: Any, observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence()
    ManagedCadence.objects.filter(cadence=cadence).update(last_check=NIGHT - timedelta(minutes=44))
    assert 'not looked at for too long' not in page(vera)
    ManagedCadence.objects.filter(cadence=cadence).update(last_check=NIGHT - timedelta(minutes=46))
    assert '1 active cadence\n  was not looked at for too long' in page(vera)
    ManagedCadence.objects.filter(cadence=cadence).update(state='paused')
    assert 'not looked at for too long' not in page(vera)


def test_the_tab_of_a_target_costs_nothing_until_it_is_opened(vera: Any, observatory: Any, make_cadence: Any, target: Any) -> None:
    make_cadence()
    make_cadence(strategy='RetryFailedObservationsStrategy')
    with CaptureQueriesContext(connection) as seen:
        text = page(vera, reverse('targets:detail', args=[target.pk]))
    assert f'hx-get="/cadences/target/{target.pk}/"' in text
    assert text.count('href="#cadences"') == 1
    assert not [query for query in seen if 'managedcadence' in query['sql']]
    tab = page(vera, f'/cadences/target/{target.pk}/')
    assert tab.count('class="cadence-card"') == 2
    assert 'Observation 1 is booked.' in tab


def test_the_tab_shows_only_the_cadences_of_its_target_and_says_where_to_start(
    vera: Any, observatory: Any, make_cadence: Any
) -> None:
    make_cadence()
    other = Target.objects.create(name='M 51', type='SIDEREAL', ra=202, dec=47, permissions='OPEN')
    assert 'No cadence observes this target yet.' in page(vera, f'/cadences/target/{other.pk}/')


def test_the_statements_of_the_tab_do_not_grow(vera: Any, observatory: Any, make_cadence: Any, target: Any) -> None:
    def statements() -> int:
        page(vera, f'/cadences/target/{target.pk}/')
        with CaptureQueriesContext(connection) as seen:
            page(vera, f'/cadences/target/{target.pk}/')
        return len(seen)

    for _ in range(3):
        make_cadence()
    few = statements()
    for _ in range(27):
        make_cadence()
    assert statements() == few
