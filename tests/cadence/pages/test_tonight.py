"""Tonight: what needs this person, what comes next, what has arrived, whether cron is alive; and nothing that is not theirs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from tests.conftest import NIGHT, at
from tests.support.cadences import SIMULATED, make
from tom_cadence import journal
from tom_cadence.models import ManagedCadence, Submission
from tom_forced_phot.models import PhotometryQuery, WorkerSign

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = '/cadences/tonight/'


def clock() -> Any:
    return NIGHT


@pytest.fixture(autouse=True)
def at_night(settings: Any) -> None:
    settings.TOM_CADENCE = {'CLOCK': f'{__name__}.clock'}
    settings.TOM_FORCED_PHOT = {'CLOCK': f'{__name__}.clock'}


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    client.force_login(astronomer)
    return client


def said(response: Any) -> str:
    assert response.status_code == 200
    body = BeautifulSoup(response.content, 'html.parser').select_one('.cadences') or BeautifulSoup(response.content, 'html.parser')
    return ' '.join(body.get_text(' ').split())


def managed_of(cadence: Any) -> ManagedCadence:
    return ManagedCadence.objects.select_related('owner', 'cadence').get(cadence=cadence)


def looked_at() -> None:
    ManagedCadence.objects.update(last_check=NIGHT)


def test_who_has_nothing_reads_so_in_words(vera: Any, observatory: Any) -> None:
    text = said(vera.get(PAGE))
    for words in (
        'Nothing: no cadence of yours needs attention',
        'No cadence that you may see is active.',
        'No observation of a cadence has ended.',
        'No new points of forced photometry.',
        'None: every question that you asked a photometry service has its answer.',
        'No active cadence was looked at yet.',
    ):
        assert words in text
    assert 'No cadence that you may see is active.' in said(vera.get(f'{PAGE}?part=windows'))


def test_what_needs_me_is_what_i_may_put_right(vera: Any, client: Any, observatory: Any, make_cadence: Any, target: Any) -> None:
    managed = managed_of(make_cadence())
    journal.stop(managed, 'attention', 'The proposal is over.', NIGHT)
    text = said(vera.get(PAGE))
    assert f'Cadence {managed.pk}: SN 2011fe' in text
    assert 'The proposal is over.' in text
    onlooker = User.objects.create_user('ona')
    assign_perm('tom_targets.view_target', onlooker, target)
    client.force_login(onlooker)
    text = said(client.get(PAGE))
    assert 'Nothing: no cadence of yours needs attention' in text
    assert 'The proposal is over.' not in text


def test_a_request_without_a_reply_needs_me_whoever_it_was_for(
    vera: Any, astronomer: Any, observatory: Any, make_cadence: Any, target: Any
) -> None:
    managed = managed_of(make_cadence())
    known: dict[str, Any] = {'state': 'uncertain', 'facility': SIMULATED, 'target': target, 'owner': astronomer, 'created': NIGHT}
    Submission.objects.create(managed=managed, cause='a', **known)
    Submission.objects.create(managed=None, cause='b', **known)
    text = said(vera.get(PAGE))
    assert f'Nobody knows yet whether {SIMULATED} has its last request.' in text
    assert '1 request of no cadence' in text


def test_the_next_windows_come_in_their_order_with_the_sky_over_their_sites(
    vera: Any, astronomer: Any, observatory: Any, target: Any
) -> None:
    for name, hours in (('Later', 30), ('Soon', 2), ('Over', -9), ('Open', -1)):
        other = Target.objects.create(name=f'{name} star', type='SIDEREAL', ra=40, dec=20, permissions='OPEN')
        make(astronomer, other, start=at(hours), observation_id=name)
    ManagedCadence.objects.update(last_check=NIGHT)
    page = BeautifulSoup(vera.get(f'{PAGE}?part=windows').content, 'html.parser')
    assert [item.a.text for item in page.select('ol > li')] == ['Open star', 'Soon star', 'Later star']
    first = page.select('ol > li')[0]
    assert 'Open now' in first.text
    labels = [svg['aria-label'] for svg in first.select('svg')]
    assert labels
    assert all('in the dark' in label for label in labels)
    assert first.select('.tonight-window')
    assert 'Not above 30° in the dark within this window' in first.text, 'its window is in the day'
    last = page.select('ol > li')[2]
    assert not last.select('svg')
    assert 'No altitude: its window opens after the hours that are shown.' in ' '.join(last.text.split())
    assert 'Not above' not in last.text, 'that is not known yet'
    plain = BeautifulSoup(vera.get(PAGE).content, 'html.parser')
    assert [item.a.text for item in plain.select('ol > li')] == ['Open star', 'Soon star', 'Later star']
    assert not plain.select('.tonight-bar'), 'the sky is fetched when the page is there'
    assert plain.select('[hx-trigger=load]')


def test_nothing_is_said_of_hours_that_are_not_shown(vera: Any, astronomer: Any, observatory: Any) -> None:
    far = Target.objects.create(name='Far south', type='SIDEREAL', ra=40, dec=-85, permissions='OPEN')
    make(astronomer, far, start=at(20), hours=3, observation_id='1')
    make(astronomer, far, start=at(20), hours=9, observation_id='2')
    page = BeautifulSoup(vera.get(f'{PAGE}?part=windows').content, 'html.parser')
    assert ['Not above' in item.text for item in page.select('ol > li')] == [True, False]


def test_a_target_without_a_place_and_a_facility_without_sites_have_no_bar_but_a_reason(
    vera: Any, astronomer: Any, observatory: Any, settings: Any
) -> None:
    moving = Target.objects.create(name='(433) Eros', type='NON_SIDEREAL', scheme='MPC_MINOR_PLANET', permissions='OPEN')
    make(astronomer, moving, start=at(1), observation_id='1')
    still = Target.objects.create(name='SN 1', type='SIDEREAL', ra=40, dec=20, permissions='OPEN')
    make(astronomer, still, start=at(2), observation_id='2', facility='Gone')
    text = said(vera.get(f'{PAGE}?part=windows'))
    assert 'No altitude: the target has no fixed coordinates.' in text
    assert 'Gone' not in text or 'No altitude: Gone does not say where its sites are.' in text


def test_an_active_cadence_with_nothing_booked_is_counted(vera: Any, observatory: Any, make_cadence: Any) -> None:
    make_cadence(status='COMPLETED')
    assert '1 active cadence has nothing booked at the moment' in said(vera.get(PAGE))


def test_what_ended_since_yesterday_is_counted_and_named(vera: Any, observatory: Any, make_cadence: Any) -> None:
    done, failed, old, waits = (make_cadence(status=status) for status in ('COMPLETED', 'WINDOW_EXPIRED', 'COMPLETED', 'PENDING'))
    for cadence, hours in ((done, -2), (failed, -20), (old, -25), (waits, -1)):
        ObservationRecord.objects.filter(observationgroup__dynamiccadence=cadence).update(scheduled_end=at(hours))
    text = said(vera.get(PAGE))
    assert 'Observations that ended: 1 succeeded, 1 failed.' in text


def test_a_question_that_failed_needs_me_until_it_is_asked_again(vera: Any, astronomer: Any, observatory: Any, target: Any) -> None:
    def asked(state: str, hours: float = -1, user: Any = astronomer, **more: Any) -> Any:
        closed = None if state == 'running' else at(hours)
        known = {'service': 'ATLAS', 'target': target, 'asked_by': user, 'question': f'{state}{hours}', 'created': at(-30)}
        return PhotometryQuery.objects.create(**known, state=state, closed=closed, message=f'It {state}.', **more)

    asked('failed', user=User.objects.create_user('other'))
    asked('failed', hours=-8 * 24)
    assert 'no question failed' in said(vera.get(PAGE))
    asked('failed')
    assert 'Question failed ATLAS: SN 2011fe' in said(vera.get(PAGE))
    again = asked('running')
    text = said(vera.get(PAGE))
    assert 'Question failed' not in text
    assert 'Open questions ATLAS: SN 2011fe' in text
    PhotometryQuery.objects.filter(pk=again.pk).update(state='done', closed=NIGHT)
    assert 'None: every question' in said(vera.get(PAGE))


def test_silence_of_cron_and_the_last_sign_of_the_workers_are_said(vera: Any, observatory: Any, make_cadence: Any) -> None:
    managed_of(make_cadence())
    ManagedCadence.objects.update(last_check=NIGHT - timedelta(hours=5), created=at(-50))
    WorkerSign.objects.create(kind='command', seen=at(-0.1))
    text = said(vera.get(PAGE))
    assert '1 active cadence was not looked at for too long.' in text
    assert 'Last 2026-11-21 03:00 UTC (5 h ago) ; expected every 15 min.' in text
    assert 'Nothing of forced photometry is overdue.' in text
    looked_at()
    assert 'Cadences are looked at.' in said(vera.get(PAGE))


def test_a_name_that_its_owner_may_not_see_any_more_is_nowhere(vera: Any, observatory: Any, make_cadence: Any, target: Any) -> None:
    make_cadence()
    managed = managed_of(make_cadence())
    ManagedCadence.objects.update(target_name=target.name)
    journal.stop(managed, 'attention', f'{target.name} is too low.', NIGHT)
    ObservationRecord.objects.update(status='WINDOW_EXPIRED', scheduled_end=at(-1))
    Target.objects.update(permissions='PRIVATE')
    for part in ('', '?part=windows', '?part=home'):
        assert target.name not in vera.get(f'{PAGE}{part}').content.decode()
    assert f'Cadence {managed.pk}: a target that you may not see' in said(vera.get(PAGE))


def test_visitors_get_the_login_and_no_link(client: Any, db: Any) -> None:
    assert client.get(PAGE)['Location'] == f'/accounts/login/?next={PAGE}'
    assert PAGE not in client.get('/').content.decode()


def test_the_link_is_in_the_navigation_and_the_block_fetches_itself(vera: Any, astronomer: Any, observatory: Any) -> None:
    from django.template import RequestContext, Template
    from django.test import RequestFactory

    assert f'href="{PAGE}"' in vera.get('/').content.decode()
    request = RequestFactory().get('/')
    request.user = astronomer
    block = Template('{% load cadences %}{% tonight %}').render(RequestContext(request))
    assert f'hx-get="{PAGE}?part=home"' in block
    assert 'Nothing needs you.' in said(vera.get(f'{PAGE}?part=home'))


def test_more_cadences_take_no_more_statements(vera: Any, astronomer: Any, observatory: Any, target: Any) -> None:
    def statements() -> tuple[int, int]:
        found = []
        for part in ('', '?part=windows'):
            vera.get(f'{PAGE}{part}')
            with CaptureQueriesContext(
                connection,
            ) as caught:
                vera.get(f'{PAGE}{part}')
            found.append(len(caught))
        return found[0], found[1]

    def more(number: int) -> None:
        for _ in range(number):
            for status, hours in (('PENDING', 1), ('COMPLETED', -3), ('WINDOW_EXPIRED', -5)):
                make(astronomer, target, status=status, start=at(hours), observation_id='x')
            managed = managed_of(make(astronomer, target, start=at(3), observation_id='y'))
            journal.stop(managed, 'attention', 'It broke.', NIGHT)

    more(2)
    before = statements()
    more(6)
    assert statements() == before
