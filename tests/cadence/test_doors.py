"""Whatever the TOM's own form and REST API are asked for is booked once, or a person is told that it is not known."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connections
from django.urls import reverse
from guardian.shortcuts import get_perms
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

from tests.conftest import NIGHT
from tests.support.cadences import PLAIN, SIMULATED, bookings, parameters
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import Submission
from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint

pytestmark = pytest.mark.django_db(transaction=True)
API = '/api/observations/'
CLOCK = {'now': NIGHT}
BEFORE_THE_CALL = (CadencePoint.PREPARED, CadencePoint.INTENT_OPEN)


def clock() -> Any:
    return CLOCK['now']


@pytest.fixture(autouse=True)
def _virtual_time(settings: Any) -> Any:
    CLOCK['now'] = NIGHT
    settings.TOM_CADENCE = {'CLOCK': f'{__name__}.clock', 'FACILITY_TIMEOUT': 90, 'SETTLE_TIME': 60}
    yield
    failpoints.on_reach = None


def post(client: Any, target: Any, facility: str = SIMULATED, **more: Any) -> Any:
    """The host's form, as a browser sends it."""
    return client.post(
        f'/observations/{facility}/create/?target_id={target.pk}', {**parameters(target, NIGHT, facility=facility), **more}
    )


def ask(client: Any, target: Any, url: str = API, facility: str = SIMULATED, **more: Any) -> Any:
    """The same over REST."""
    fields = parameters(target, NIGHT)
    names = ('start', 'end', 'filter', 'exposure_time', 'exposure_count', 'name')
    body = {
        'facility': facility,
        'observation_type': 'IMAGING',
        'target_id': target.pk,
        'observing_parameters': {key: fields[key] for key in names},
        **more,
    }
    return client.post(url, body, content_type='application/json')


DOORS = {'the form': post, 'REST': ask}
doors = pytest.mark.parametrize('door', DOORS.values(), ids=DOORS)


def said(response: Any) -> str:
    """What the page or the answer says, also in messages."""
    shown = ' '.join(str(message) for message in (response.context or {}).get('messages', ())) if response.context else ''
    return f'{response.content.decode()} {shown}'


@doors
def test_an_observation_is_booked_and_recorded_as_the_host_does(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any
) -> None:
    client.force_login(astronomer)
    response = door(client, target)
    assert response.status_code == (302 if door is post else 201), response.content
    [booked], [record] = bookings(observatory), ObservationRecord.objects.all()
    assert (record.observation_id, record.user, record.target.pk) == (str(booked['id']), astronomer, target.pk)
    assert record.parameters['filter'] == 'r'
    request = Submission.objects.get()
    assert (request.state, request.reply, request.managed) == ('accepted', [record.observation_id], None)
    assert request.origin == ('form' if door is post else 'api')
    assert not ObservationGroup.objects.exists()
    assert record.booking.submission == request
    if door is post:
        assert response.url == f'/targets/{target.pk}/?tab=observations'
    else:
        assert [each['observation_id'] for each in response.json()] == [record.observation_id]


@doors
def test_a_double_click_books_once_and_says_so(client: Any, observatory: Any, astronomer: Any, target: Any, door: Any) -> None:
    client.force_login(astronomer)
    door(client, target)
    second = door(client, target)
    assert second.status_code == (200 if door is post else 409)
    assert 'Nothing was sent: the same observation was asked for already' in said(second)
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 1


@doors
def test_a_second_click_while_the_first_is_on_its_way_books_once(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any
) -> None:
    client.force_login(astronomer)
    other: list[Any] = []

    def second(reached: CadencePoint) -> None:
        if reached is CadencePoint.INTENT_COMMITTED and not other:
            other.append(None)
            other.append(door(client, target))

    failpoints.on_reach = second
    door(client, target)
    assert 'is being sent' in said(other[1])
    assert len(bookings(observatory)) == 1


@doors
def test_of_two_clicks_at_the_same_instant_one_is_sent(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any
) -> None:
    client.force_login(astronomer)
    other: list[Any] = []

    def second(reached: CadencePoint) -> None:
        if reached is CadencePoint.PREPARED and not other:
            other.append(None)
            door(client, target)

    failpoints.on_reach = second
    assert 'Nothing was sent' in said(door(client, target))
    assert len(bookings(observatory)) == 1


@doors
@pytest.mark.parametrize('kind', ['500-after', 'reset-after', 'malformed-after', 'hang-after'])
def test_a_lost_reply_is_looked_up_and_recorded(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any, kind: str, settings: Any
) -> None:
    settings.TOM_CADENCE = {**settings.TOM_CADENCE, 'FACILITY_TIMEOUT': 2}
    client.force_login(astronomer)
    observatory.fault('submit', kind)
    assert door(client, target).status_code in (201, 302)
    observatory.release()
    door(client, target)
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 1


@doors
def test_what_never_arrived_is_not_sent_by_itself_and_can_be_asked_for_again(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any
) -> None:
    client.force_login(astronomer)
    observatory.fault('submit', '500-before')
    first = door(client, target)
    assert first.status_code == (302 if door is post else 202)
    assert 'not known yet' in said(client.get('/cadences/requests/'))
    assert 'it is not known yet whether it is booked' in said(door(client, target))
    CLOCK['now'] += timedelta(seconds=300)
    run_cadences()
    assert Submission.objects.get().state == 'refused'
    assert bookings(observatory) == []
    assert door(client, target).status_code in (201, 302)
    assert list(Submission.objects.order_by('pk').values_list('state', 'attempt')) == [('refused', 1), ('accepted', 2)]
    assert len(bookings(observatory)) == 1


@doors
def test_where_the_facility_cannot_be_asked_a_person_says_what_is_true(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any
) -> None:
    client.force_login(astronomer)
    observatory.fault('submit', '500-after')
    door(client, target, facility=PLAIN)
    [booked] = bookings(observatory)
    waiting = Submission.objects.get()
    url = f'/cadences/requests/{waiting.pk}/'
    page = client.get('/cadences/requests/').content.decode()
    assert waiting.shown in page
    assert target.name in page
    client.post(f'{url}again/', {'request': f'{waiting.pk}-7-uncertain'})
    assert Submission.objects.get().state == 'uncertain'
    client.post(f'{url}booked/', {'request': waiting.shown, 'ids': str(booked['id'])})
    assert ObservationRecord.objects.get().observation_id == str(booked['id'])
    client.post(f'{url}again/', {'request': waiting.shown})
    assert Submission.objects.get().state == 'accepted'


@doors
@pytest.mark.parametrize('point', [point for point in CadencePoint if point.value in (
    'prepared', 'intent-open', 'intent-committed', 'sending', 'replied', 'reply-kept', 'accept-open', 'records-written', 'accepted'
)])  # fmt: skip
def test_a_break_at_any_point_books_once_and_ends_recorded(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any, point: CadencePoint
) -> None:
    class Killed(BaseException):
        """The process died here."""

    died: list[CadencePoint] = []

    def die(reached: CadencePoint) -> None:
        if reached is point and not died:
            died.append(reached)
            raise Killed

    client.force_login(astronomer)
    failpoints.on_reach = die
    with pytest.raises(Killed):
        door(client, target)
    failpoints.on_reach = None
    for _ in range(3):
        CLOCK['now'] += timedelta(seconds=300)
        run_cadences()
    door(client, target)
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 1
    assert not Submission.objects.filter(state__in=Submission.OPEN).exists()


@doors
def test_a_refusal_is_said_and_can_be_repeated(client: Any, observatory: Any, astronomer: Any, target: Any, door: Any) -> None:
    client.force_login(astronomer)
    observatory.fault('submit', 'refuse', errors={'exposure_time': ['Too faint for this telescope.']})
    response = door(client, target)
    assert response.status_code == (200 if door is post else 400)
    assert 'Too faint for this telescope.' in said(response)
    assert door(client, target).status_code in (201, 302)
    assert len(bookings(observatory)) == 1


@doors
def test_a_person_may_want_one_more_of_the_same(client: Any, observatory: Any, astronomer: Any, target: Any, door: Any) -> None:
    client.force_login(astronomer)
    door(client, target)
    told = said(door(client, target))
    assert ('name="tom_cadence_again" value="1"' if door is post else '"again":1') in told
    door(client, target, **({'tom_cadence_again': '1'} if door is post else {'again': 1}))
    door(client, target, **({'tom_cadence_again': '1'} if door is post else {'again': 1}))
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 2


@doors
def test_after_the_first_one_failed_the_same_may_be_asked_for_again(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any
) -> None:
    client.force_login(astronomer)
    door(client, target)
    ObservationRecord.objects.update(status='CANCELED')
    assert door(client, target).status_code in (201, 302)
    assert len(bookings(observatory)) == 2


@doors
def test_a_cadence_begins_with_it_and_has_its_request(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any
) -> None:
    client.force_login(astronomer)
    strategy = {'cadence_strategy': 'ResumeCadenceAfterFailureStrategy', 'cadence_frequency': 24}
    if door is post:
        url = f'/observations/{SIMULATED}/create/?target_id={target.pk}&cadence_strategy=ResumeCadenceAfterFailureStrategy'
        client.post(url, {**parameters(target, NIGHT), **strategy})
    else:
        ask(client, target, cadence=strategy)
    cadence = DynamicCadence.objects.get()
    assert cadence.cadence_parameters['cadence_frequency'] in (24, 24.0)
    assert cadence.managed.owner == astronomer
    assert Submission.objects.get().managed == cadence.managed
    assert cadence.observation_group.observation_records.count() == 1
    assert 'change_observationgroup' in get_perms(astronomer, cadence.observation_group)


def test_records_are_for_the_groups_that_were_chosen(
    client: Any, observatory: Any, astronomer: Any, target: Any, settings: Any
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    ours, others = Group.objects.create(name='Ours'), Group.objects.create(name='Others')
    astronomer.groups.add(ours)
    client.force_login(astronomer)
    observatory.fault('submit', '500-after')
    ask(client, target, groups=[{'id': ours.pk}, {'id': others.pk}])
    record = ObservationRecord.objects.get()
    assert 'view_observationrecord' in get_perms(astronomer, record)
    assert 'view_observationrecord' in get_perms(ours, record)
    assert get_perms(others, record) == []


@pytest.mark.parametrize(
    'url', ['/api/observations/', '/api/observations.json', '/api/observations.json/', '/api/observations.api']
)
def test_a_stranger_books_nothing_whatever_the_suffix(
    client: Any, observatory: Any, astronomer: Any, target: Any, url: str
) -> None:
    target.permissions = 'PRIVATE'
    target.save()
    assert ask(client, target, url).status_code in (401, 403, 404)
    client.force_login(astronomer)
    assert ask(client, target, url).status_code in (400, 403, 404)
    assert bookings(observatory) == []
    assert not ObservationRecord.objects.exists()


@pytest.mark.parametrize('suffix', ['/', '.json'])
def test_a_stranger_reads_and_cancels_nothing_whatever_the_suffix(
    client: Any, observatory: Any, astronomer: Any, target: Any, suffix: str
) -> None:
    client.force_login(astronomer)
    ask(client, target)
    record = ObservationRecord.objects.get()
    client.logout()
    url = f'{API}{record.pk}/cancel{suffix}'
    assert client.patch(url).status_code in (401, 403)
    client.force_login(User.objects.create_user('edwin'))
    assert client.patch(url).status_code == 404
    assert observatory.log()[0].get('state', 'PENDING') != 'CANCELED'
    target.permissions = 'PRIVATE'
    target.save()
    assert client.get(f'{API}{record.pk}{suffix}').status_code == 404
    client.force_login(astronomer)
    assert client.patch(url).status_code == 200


MODES = pytest.mark.parametrize('only_targets', [True, False], ids=['target permissions', 'all permissions'])


@MODES
def test_looking_at_the_cancel_address_cancels_nothing_and_a_confirmed_one_does(
    client: Any, observatory: Any, astronomer: Any, target: Any, settings: Any, only_targets: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only_targets
    client.force_login(astronomer)
    post(client, target)
    record = ObservationRecord.objects.get()
    url = reverse('tom_observations:cancel', kwargs={'pk': record.pk})
    for method in (client.get, client.head, client.options):
        assert method(url).status_code == 200
    assert f'Cancel observation {record.observation_id}?' in client.get(url).content.decode()
    assert observatory.counts()['requests'].get('cancel', 0) == 0
    assert client.post(url).url == f'/observations/{record.pk}/'
    record.refresh_from_db()
    assert record.status == 'CANCELED'


@MODES
def test_a_stranger_cancels_and_changes_nobodys_observation(
    client: Any, observatory: Any, astronomer: Any, target: Any, settings: Any, only_targets: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only_targets
    client.force_login(astronomer)
    post(client, target)
    record = ObservationRecord.objects.get()
    client.force_login(User.objects.create_user('edwin'))
    for rest in ('cancel/', 'update/'):
        for method in (client.get, client.post, client.put):
            answer = method(f'/observations/{record.pk}/{rest}', {'observation_id': 'mine'})
            assert answer.status_code == (302 if only_targets else 404)  # the target is public: who may look is told so
    client.logout()
    assert client.post(f'/observations/{record.pk}/cancel/').url.startswith('/accounts/login/')
    assert observatory.counts()['requests'].get('cancel', 0) == 0
    record.refresh_from_db()
    assert record.status != 'CANCELED'
    assert record.observation_id != 'mine'


def test_a_cancellation_that_the_facility_refuses_is_said(client: Any, observatory: Any, astronomer: Any, target: Any) -> None:
    client.force_login(astronomer)
    post(client, target)
    record = ObservationRecord.objects.get()
    ObservationRecord.objects.update(observation_id='999999')
    answer = client.post(f'/observations/{record.pk}/cancel/', follow=True)
    assert 'Observation 999999 was not cancelled.' in said(answer)
    assert client.patch(f'{API}{record.pk}/cancel/').status_code == 400


@doors
def test_a_portal_that_hangs_is_not_waited_for(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any, settings: Any
) -> None:
    settings.TOM_CADENCE = {**settings.TOM_CADENCE, 'FACILITY_TIMEOUT': 1}
    client.force_login(astronomer)
    observatory.fault('submit', 'hang')
    assert door(client, target).status_code in (202, 302)
    observatory.release()
    assert Submission.objects.get().state == 'uncertain'


@doors
def test_it_works_where_every_request_is_one_transaction(
    client: Any, observatory: Any, astronomer: Any, target: Any, door: Any
) -> None:
    client.force_login(astronomer)
    connections.databases['default']['ATOMIC_REQUESTS'] = True
    try:
        assert door(client, target).status_code in (201, 302)
    finally:
        connections.databases['default']['ATOMIC_REQUESTS'] = False
    assert Submission.objects.get().state == 'accepted'


def test_nobody_elses_requests_are_shown_or_told(client: Any, observatory: Any, astronomer: Any, target: Any) -> None:
    client.force_login(astronomer)
    observatory.fault('submit', '500-before')
    post(client, target)
    waiting = Submission.objects.get()
    client.force_login(User.objects.create_user('edwin'))
    assert target.name not in client.get('/cadences/requests/').content.decode()
    assert client.post(f'/cadences/requests/{waiting.pk}/again/', {'request': waiting.shown}).status_code == 404
    client.logout()
    assert client.get('/cadences/requests/').status_code == 302
