"""What a person does to cadences: one by one through ``steering``, many at once on the overview."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm
from tom_targets.models import Target

from tests.conftest import NIGHT, at
from tests.support.cadences import PLAIN, SIMULATED, bookings, make, records, settle
from tom_cadence.engine.mail import send_mails
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import CadenceError, NeedsAttention
from tom_cadence.flows import steer
from tom_cadence.models import CadenceRun, ManagedCadence, Notice

pytestmark = pytest.mark.django_db(transaction=True)

BULK = '/cadences/bulk/'


def managed(cadence: Any) -> ManagedCadence:
    return ManagedCadence.objects.select_related('cadence', 'owner').get(host_cadence_id=cadence.pk)


def lines(cadence: Any) -> list[str]:
    return list(CadenceRun.objects.filter(managed=managed(cadence)).order_by('pk').values_list('reason', flat=True))


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user('ada', 'ada@example.org', 'stars')


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    client.force_login(astronomer)
    return client


def post(client: Any, **given: Any) -> str:
    response = client.post(BULK, given)
    assert response.status_code == 302
    return str(list(get_messages(response.wsgi_request))[-1])


def test_pause_and_resume_say_who_and_stop_and_start_sending(observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    steer.pause(managed(cadence), astronomer, NIGHT)
    assert run_cadences(now=at(5)).lines == []
    cadence.refresh_from_db()
    assert not cadence.active
    steer.resume(managed(cadence), astronomer, at(5))
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 2
    assert lines(cadence)[:2] == ['vera paused it.', 'vera resumed it.']


def test_what_is_paused_cannot_be_paused_and_what_is_active_not_resumed(
    observatory: Any, make_cadence: Any, astronomer: Any
) -> None:
    cadence = make_cadence()
    with pytest.raises(CadenceError, match='is active already'):
        steer.resume(managed(cadence), astronomer, NIGHT)
    steer.pause(managed(cadence), astronomer, NIGHT)
    with pytest.raises(CadenceError, match='is paused: it is not sending anything'):
        steer.pause(managed(cadence), astronomer, NIGHT)
    with pytest.raises(CadenceError, match='resume it first'):
        steer.run_now(managed(cadence), astronomer, NIGHT)


def test_a_deleted_cadence_can_only_be_looked_at(observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence()
    row = managed(cadence)
    cadence.observation_group.delete()
    for word in (steer.pause, steer.resume, steer.end, steer.run_now):
        with pytest.raises(CadenceError):
            word(row, astronomer, NIGHT)


def test_ending_keeps_what_is_booked_and_says_so(observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence(book=observatory)
    booked = records(cadence)[0].observation_id
    told = steer.end(managed(cadence), astronomer, NIGHT)
    assert told == f'The cadence has ended. Still booked at {SIMULATED}: {booked}.'
    assert managed(cadence).state == 'finished'
    assert records(cadence)[0].status == 'PENDING'
    assert not Notice.objects.exists()


def test_ending_can_cancel_what_is_booked(observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence(book=observatory)
    told = steer.end(managed(cadence), astronomer, NIGHT, cancel_booked=True)
    assert 'Cancelled at Simulated observatory' in told
    assert records(cadence)[0].status == 'CANCELED'
    assert any('Cancelled at' in line for line in lines(cadence))


def test_what_cannot_be_cancelled_is_named(observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence(observation_id='987654')
    told = steer.end(managed(cadence), astronomer, NIGHT, cancel_booked=True)
    assert 'Not cancelled, so perhaps still booked: 987654' in told
    assert managed(cadence).state == 'finished'


def test_run_now_does_what_cron_would_do_and_says_it(observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence(book=observatory)
    assert 'is not finished' in steer.run_now(managed(cadence), astronomer, NIGHT)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    assert 'Booked: ' in steer.run_now(managed(cadence), astronomer, at(5))
    assert len(bookings(observatory)) == 2
    assert 'vera had it looked at now.' in lines(cadence)


def test_a_new_owner_must_be_active_and_see_the_target(observatory: Any, make_cadence: Any, astronomer: Any, ada: Any) -> None:
    cadence = make_cadence()
    steer.change_owner(managed(cadence), astronomer, ada, NIGHT)
    assert (managed(cadence).owner, managed(cadence).owner_name) == (ada, 'ada')
    assert lines(cadence)[-1] == 'vera handed it from vera to ada.'
    Target.objects.update(permissions='PRIVATE')
    with pytest.raises(CadenceError, match='may not see the target'):
        steer.change_owner(managed(cadence), astronomer, astronomer, NIGHT)
    astronomer.is_active = False
    with pytest.raises(CadenceError, match='not active any more'):
        steer.change_owner(managed(cadence), ada, astronomer, NIGHT)


def test_an_edit_is_checked_and_said_in_words_and_outdates_decisions(observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence(max_observations=5)
    version = managed(cadence).version
    steer.edit(managed(cadence), astronomer, {'cadence_frequency': 48, 'max_observations': None, 'end_date': at(99)}, NIGHT)
    cadence.refresh_from_db()
    assert cadence.cadence_parameters['cadence_frequency'] == 48
    assert managed(cadence).version > version
    line = lines(cadence)[-1]
    assert line.startswith('vera changed repeat every from 24 to 48; observations in all from 5 to empty; end date from empty to ')
    with pytest.raises(NeedsAttention, match='max_observations'):
        steer.edit(managed(cadence), astronomer, {'max_observations': -1}, NIGHT)
    before = len(lines(cadence))
    steer.edit(managed(cadence), astronomer, {'cadence_frequency': 48}, NIGHT)
    assert len(lines(cadence)) == before


def test_a_request_in_doubt_is_settled_by_a_persons_word(observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence(book=observatory, facility=PLAIN)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    observatory.fault('submit', '500-after')
    run_cadences(now=at(5))
    with pytest.raises(CadenceError, match='Say under which number'):
        steer.confirm_booked(managed(cadence), astronomer, [' '], at(6))
    steer.confirm_booked(managed(cadence), astronomer, [f' {bookings(observatory)[1]["id"]} '], at(6))
    assert len(records(cadence)) == 2
    assert any('vera said that it is booked' in line for line in lines(cadence))
    with pytest.raises(CadenceError, match='no request whose fate is unknown'):
        steer.confirm_not_booked(managed(cadence), astronomer, at(6))


def test_selected_cadences_are_paused_and_resumed_and_others_left_alone(
    vera: Any, observatory: Any, make_cadence: Any, ada: Any, target: Any
) -> None:
    Target.objects.update(permissions='PRIVATE')
    mine, paused = make_cadence(), make_cadence()
    ManagedCadence.objects.filter(cadence=paused).update(state='paused')
    private = Target.objects.create(name='Secret', type='SIDEREAL', ra=1, dec=1, permissions='PRIVATE')
    hidden = make(ada, private)
    chosen = [managed(cadence).pk for cadence in (mine, paused, hidden)] + ['x', '9' * 30]
    told = post(vera, action='pause', **{'selected-row': chosen})
    assert told == '1 cadence paused. 1 cadence left alone: not active.'
    assert 'Secret' not in told
    assert [managed(cadence).state for cadence in (mine, paused, hidden)] == ['paused', 'paused', 'active']
    assert lines(mine)[-1] == 'vera paused it, with others.'
    mine.refresh_from_db()
    assert not mine.active
    assert post(vera, action='resume', **{'selected-row': chosen}) == '2 cadences resumed.'
    mine.refresh_from_db()
    assert mine.active
    assert managed(mine).ignore_before == records(mine)[0].pk


def test_a_cadence_that_is_seen_but_not_ones_own_is_left_alone(
    vera: Any, astronomer: Any, observatory: Any, ada: Any, target: Any
) -> None:
    from guardian.shortcuts import assign_perm

    Target.objects.update(permissions='PRIVATE')
    assign_perm('view_target', astronomer, target)
    cadence = make(ada, target)
    told = post(vera, action='pause', **{'selected-row': [managed(cadence).pk]})
    assert told == 'No cadences paused. 1 cadence left alone: not yours to change.'
    assert managed(cadence).state == 'active'


def test_nothing_selected_is_said(vera: Any) -> None:
    assert post(vera, action='pause') == 'Nothing was paused: select cadences first.'
    assert post(vera, action='nonsense') == 'Nothing was done: it is not said what to do.'


def test_everything_at_a_facility_is_paused_after_a_question(vera: Any, observatory: Any, make_cadence: Any, ada: Any) -> None:
    here, there = [make_cadence() for _ in range(3)], make_cadence(facility=PLAIN)
    page = vera.get(BULK, {'facility': SIMULATED}).content.decode()
    assert '3 active cadences at Simulated observatory will be paused' in page
    assert {managed(cadence).state for cadence in here} == {'active'}
    assert post(vera, action='pause-facility', facility=SIMULATED) == '3 cadences at Simulated observatory paused.'
    assert {managed(cadence).state for cadence in here} == {'paused'}
    assert managed(there).state == 'active'
    assert managed(here[0]).reason == 'vera paused everything at Simulated observatory.'
    assert 'no active cadence' in vera.get(BULK, {'facility': SIMULATED}).content.decode()


def test_pausing_many_needs_few_statements_and_tells_each_other_owner_once(
    vera: Any, observatory: Any, ada: Any, astronomer: Any, target: Any, mailoutbox: Any
) -> None:
    assign_perm('tom_targets.change_target', astronomer, target)
    for _ in range(12):
        make(ada, target)
    with CaptureQueriesContext(connection) as few:
        post(vera, action='pause-facility', facility=SIMULATED)
    assert ManagedCadence.objects.filter(state='paused').count() == 12
    assert [notice.user for notice in Notice.objects.all()] == [ada]
    assert '12 cadences paused. vera paused everything' in Notice.objects.get().text
    assert mailoutbox == [], 'no page waits for a mail server'
    send_mails()
    assert [mail.to for mail in mailoutbox] == [['ada@example.org']]
    assert len(few) < 40


def test_new_credentials_are_one_click_for_all_that_waited(vera: Any, observatory: Any, make_cadence: Any) -> None:
    for _ in range(3):
        make_cadence(book=observatory)
    observatory.tokens.clear()
    run_cadences(now=at(1))
    text = vera.get('/cadences/').content.decode()
    assert '3 cadences wait:' in text
    owner = ManagedCadence.objects.first()
    assert owner is not None
    told = post(vera, action='resume-credentials', facility=SIMULATED, owner=str(owner.owner_id))
    assert told == '3 cadences at Simulated observatory resumed.'
    observatory.tokens['example-token'] = 'tom'
    assert [line.decision for line in run_cadences(now=at(2)).lines] == ['wait'] * 3
    assert '3 cadences wait:' not in vera.get('/cadences/').content.decode()


def test_htmx_gets_the_message_and_the_word_to_fetch_the_table_again(vera: Any, observatory: Any, make_cadence: Any) -> None:
    given = {'action': 'pause', 'selected-row': [managed(make_cadence()).pk]}
    response = vera.post(BULK, given, headers={'HX-Request': 'true'})
    assert response.status_code == 200
    assert response['HX-Trigger'] == 'cadences-changed'
    assert '1 cadence paused.' in response.content.decode()
    assert 'hx-swap-oob' in response.content.decode()


def test_visitors_are_sent_to_the_login(client: Any, observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence()
    response = client.post(BULK, {'action': 'pause', 'selected-row': [managed(cadence).pk]})
    assert response.status_code == 302
    assert '/accounts/login/' in response['Location']
    assert managed(cadence).state == 'active'
