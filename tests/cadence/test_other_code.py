"""Whatever code of the TOM asks a facility for an observation, by itself: it is recorded here, or a person is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.contrib.auth.models import User
from django.db import connections, transaction
from tom_observations.facility import BaseRoboticObservationFacility, get_service_class
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from custom_code.observatory import SimulatedObservatoryFacility
from tests.conftest import NIGHT
from tests.support.cadences import PLAIN, SIMULATED, bookings, parameters
from tom_cadence import journal
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import interception
from tom_cadence.facilities.transport import watched
from tom_cadence.flows import other_code
from tom_cadence.journal import foreign
from tom_cadence.models import Notice, Submission
from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint

pytestmark = pytest.mark.django_db(transaction=True)
CLOCK = {'now': NIGHT}


def clock() -> Any:
    return CLOCK['now']


@pytest.fixture(autouse=True)
def _virtual_time(settings: Any) -> Any:
    CLOCK['now'] = NIGHT
    settings.TOM_CADENCE = {'CLOCK': f'{__name__}.clock', 'FACILITY_TIMEOUT': 5, 'SETTLE_TIME': 60}
    yield
    failpoints.on_reach = None


def payload(target: Any, facility: Any) -> Any:
    """What the facility's own form makes."""
    form = facility.get_form('IMAGING')(parameters(target, NIGHT, facility=facility.name), facility=facility)
    assert form.is_valid(), form.errors
    return form.observation_payload()


def book(target: Any, user: Any = None, name: str = SIMULATED) -> list[str]:
    """As a command of a site, another plugin or a shell does it."""
    facility = get_service_class(name)()
    if user is not None:
        facility.set_user(user)
    return list(facility.submit_observation(payload(target, facility)))


def record(target: Any, user: Any, ids: list[str], name: str = SIMULATED) -> None:
    for found in ids:
        ObservationRecord.objects.create(target=target, user=user, facility=name, parameters={}, observation_id=found)


def later(seconds: float = 300) -> None:
    CLOCK['now'] += timedelta(seconds=seconds)
    run_cadences()


def page(client: Any, user: Any) -> str:
    client.force_login(user)
    return str(client.get('/cadences/requests/').content.decode())


def test_what_a_command_of_the_site_books_and_records_is_known(observatory: Any, astronomer: Any, target: Any) -> None:
    ids = book(target, astronomer)
    assert ids == [str(each['id']) for each in bookings(observatory)]
    request = Submission.objects.get()
    assert (request.origin, request.facility, request.owner, request.target_id) == (
        'other-code', SIMULATED, astronomer, target.pk
    )  # fmt: skip
    assert request.reply == ids
    record(target, astronomer, ids)
    request.refresh_from_db()
    assert (request.state, request.observation_ids) == ('accepted', ids)
    assert ObservationRecord.objects.get().booking.submission == request
    later()
    assert ObservationRecord.objects.count() == len(bookings(observatory)) == 1


def test_the_intent_is_committed_before_anything_leaves(observatory: Any, astronomer: Any, target: Any) -> None:
    class Killed(BaseException):
        """The process died here."""

    def die(reached: CadencePoint) -> None:
        if reached is CadencePoint.SENDING:
            raise Killed

    failpoints.on_reach = die
    with pytest.raises(Killed):
        book(target, astronomer)
    failpoints.on_reach = None
    assert Submission.objects.get().state == 'sending'
    later()
    assert Submission.objects.get().state == 'refused'  # it was looked for by its mark, and is not there


@pytest.mark.parametrize('point', [CadencePoint.REPLIED, CadencePoint.REPLY_KEPT])
def test_whoever_dies_before_the_record_is_made_leaves_no_orphan(
    observatory: Any, astronomer: Any, target: Any, point: CadencePoint
) -> None:
    class Killed(BaseException):
        """The process died here."""

    def die(reached: CadencePoint) -> None:
        if reached is point:
            raise Killed

    failpoints.on_reach = die
    with pytest.raises(Killed):
        book(target, astronomer)
    failpoints.on_reach = None
    later()
    [booked] = bookings(observatory)
    made = ObservationRecord.objects.get()
    assert (made.observation_id, made.user, made.target_id) == (str(booked['id']), astronomer, target.pk)
    assert Submission.objects.get().state == 'accepted'


def test_records_made_late_or_in_bulk_are_taken_over_and_not_doubled(observatory: Any, astronomer: Any, target: Any) -> None:
    [found] = book(target, astronomer)
    made = ObservationRecord(target=target, user=astronomer, facility=SIMULATED, parameters={}, observation_id=found)
    ObservationRecord.objects.bulk_create([made])
    later()
    assert Submission.objects.get().state == 'accepted'
    assert ObservationRecord.objects.get().booking.observation_id == found


def test_what_nobody_records_is_recorded_or_put_before_a_person(client: Any, observatory: Any, target: Any) -> None:
    root = User.objects.create_superuser('root')
    [found] = book(target)
    said = page(client, root)
    assert found in said
    assert 'Answered, and not recorded yet' in said
    later()
    waiting = Submission.objects.get()
    assert (waiting.state, waiting.owner) == ('uncertain', None)
    assert f'Other code of this TOM booked {found} at {SIMULATED}, and did not record it' in page(client, root)
    assert found in Notice.objects.get(user=root).text
    url = f'/cadences/requests/{waiting.pk}/booked/'
    client.post(url, {'request': waiting.shown, 'ids': found})
    assert Submission.objects.get().state == 'uncertain'  # of whom it is, is still not known
    client.post('/observations/add/', {'target_id': target.pk, 'facility': SIMULATED, 'observation_id': found, 'confirm': 'on'})
    client.post(url, {'request': waiting.shown, 'ids': found})
    assert Submission.objects.get().state == 'accepted'
    assert ObservationRecord.objects.get().observation_id == found


def test_the_default_owner_owns_it_where_nobody_is_named(observatory: Any, astronomer: Any, target: Any, settings: Any) -> None:
    settings.TOM_CADENCE = {**settings.TOM_CADENCE, 'DEFAULT_OWNER': astronomer.username}
    book(target)
    later()
    assert ObservationRecord.objects.get().user == astronomer


@pytest.mark.parametrize('kind', ['500-after', 'reset-after', 'malformed-after'])
def test_a_lost_reply_is_raised_as_it_is_and_found_again(observatory: Any, astronomer: Any, target: Any, kind: str) -> None:
    observatory.fault('submit', kind)
    with pytest.raises((requests.RequestException, ValueError, KeyError, TypeError)):
        book(target, astronomer)
    assert Submission.objects.get().state == 'uncertain'
    assert Notice.objects.filter(user=astronomer).exists()
    later()
    assert [each.observation_id for each in ObservationRecord.objects.all()] == [str(bookings(observatory)[0]['id'])]
    assert Submission.objects.get().state == 'accepted'


def test_a_facility_that_hangs_ends_as_a_time_out_of_requests(
    observatory: Any, astronomer: Any, target: Any, settings: Any
) -> None:
    settings.TOM_CADENCE = {**settings.TOM_CADENCE, 'FACILITY_TIMEOUT': 1}
    observatory.fault('submit', 'hang')
    with pytest.raises(requests.exceptions.RequestException):
        book(target, astronomer)
    observatory.release()
    assert Submission.objects.get().state == 'uncertain'


def test_where_the_facility_cannot_be_asked_a_person_is(client: Any, observatory: Any, astronomer: Any, target: Any) -> None:
    observatory.fault('submit', '500-after')
    with pytest.raises(requests.RequestException):
        book(target, astronomer, PLAIN)
    later()
    waiting = Submission.objects.get()
    assert target.name in page(client, astronomer)
    [booked] = bookings(observatory)
    client.post(f'/cadences/requests/{waiting.pk}/booked/', {'request': waiting.shown, 'ids': str(booked['id'])})
    assert ObservationRecord.objects.get().observation_id == str(booked['id'])


def test_a_refusal_is_the_callers_and_leaves_nothing_open(observatory: Any, astronomer: Any, target: Any) -> None:
    observatory.fault('submit', 'refuse', errors={'exposure_time': ['Too faint for this telescope.']})
    with pytest.raises(Exception, match='Too faint for this telescope'):
        book(target, astronomer)
    assert Submission.objects.get().state == 'refused'


def test_what_was_sent_in_a_transaction_that_is_rolled_back_is_not_forgotten(
    client: Any, observatory: Any, astronomer: Any, target: Any
) -> None:
    with transaction.atomic():
        record(target, astronomer, book(target, astronomer))
        transaction.set_rollback(True)
    assert not ObservationRecord.objects.exists()
    client.get('/')  # any request of this process, its next booking, or its end
    request = Submission.objects.get()
    assert (request.state, request.reply) == ('uncertain', [str(bookings(observatory)[0]['id'])])
    later()
    assert ObservationRecord.objects.count() == 1


def test_what_was_sent_for_a_target_that_went_with_the_transaction_is_not_forgotten(
    client: Any, observatory: Any, astronomer: Any
) -> None:
    with transaction.atomic():
        [found] = book(Target.objects.create(name='SN 2026abc', type='SIDEREAL', ra=83.6, dec=22.0), astronomer)
        transaction.set_rollback(True)
    client.get('/')
    request = Submission.objects.get()
    assert (request.state, request.reply, request.target_id) == ('uncertain', [found], None)


def test_what_cannot_be_written_again_is_tried_again_and_stands_in_the_log(
    client: Any, observatory: Any, astronomer: Any, target: Any, monkeypatch: Any, caplog: Any
) -> None:
    with transaction.atomic():
        [found] = book(target, astronomer)
        transaction.set_rollback(True)

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError('Nobody expected that.')

    with monkeypatch.context() as patch:
        patch.setattr(foreign, 'insert', broken)
        assert client.get('/').status_code == 200
    assert not Submission.objects.exists()
    [line] = [each for each in caplog.records if getattr(each, 'event', '') == 'rolled_back_request']
    assert line.ids == [found]
    client.get('/')
    assert Submission.objects.get().reply == [found]


def test_what_was_sent_in_a_transaction_that_is_committed_is_written_once(
    client: Any, observatory: Any, astronomer: Any, target: Any
) -> None:
    with transaction.atomic():
        record(target, astronomer, book(target, astronomer))
    foreign.rescue()
    assert Submission.objects.get().state == 'accepted'


def test_it_is_sent_even_where_it_cannot_be_written_down(
    observatory: Any, astronomer: Any, target: Any, monkeypatch: Any, caplog: Any
) -> None:
    def broken(*_: Any) -> Any:
        raise OSError('The disk is full.')

    monkeypatch.setattr(foreign, 'open_foreign', broken)
    [found] = book(target, astronomer)
    assert str(bookings(observatory)[0]['id']) == found
    assert f'Booked by other code, and not written down: {found}' in caplog.text


def test_our_own_doors_are_recorded_once(client: Any, observatory: Any, astronomer: Any, target: Any) -> None:
    client.force_login(astronomer)
    client.post(f'/observations/{SIMULATED}/create/?target_id={target.pk}', parameters(target, NIGHT))
    assert Submission.objects.get().origin == 'form'


# --- any shape of a class ----------------------------------------------------------------------------------------------


class Said(Exception):
    """A refusal of a class's own."""


def classes() -> dict[str, Callable[[], Any]]:
    """Classes made after the app was ready, of every shape: each books 'a' and 'b' of the payload, or raises."""

    def answer(payload: Any) -> Any:
        if payload == 'refuse':
            raise Said(payload)
        return payload

    class Whole(BaseRoboticObservationFacility):
        name = 'Made later'

        def submit_observation(self, observation_payload: Any) -> Any:
            return answer(observation_payload)

        get_form = validate_observation = get_terminal_observing_states = get_observing_sites = get_observation_url = (  # type: ignore[assignment]
            get_observation_status
        ) = data_products = lambda self, *_: None

    class Extended(Whole):
        def submit_observation(self, observation_payload: Any) -> Any:
            return super().submit_observation(observation_payload)

    class Inherited(Extended):
        pass

    class OfTheClass(Whole):
        @classmethod
        def submit_observation(cls, observation_payload: Any) -> Any:  # as the toolkit's Gemini
            return answer(observation_payload)

    class Static(Whole):
        @staticmethod
        def submit_observation(observation_payload: Any) -> Any:
            return answer(observation_payload)

    return {each.__name__: each for each in (Whole, Extended, Inherited, OfTheClass, Static)}


@pytest.mark.parametrize('kind', ['Whole', 'Extended', 'Inherited', 'OfTheClass', 'Static'])
@pytest.mark.parametrize('named', [False, True])
def test_every_shape_of_a_class_is_watched_once_and_answers_as_ever(db: Any, kind: str, named: bool) -> None:
    facility = classes()[kind]()

    def send(given: Any) -> Any:
        return facility.submit_observation(observation_payload=given) if named else facility.submit_observation(given)

    given = ['a', 'b']
    assert send(given) is given
    assert [each.reply for each in Submission.objects.all()] == [['a', 'b']]
    with pytest.raises(Said, match='refuse') as raised:
        send('refuse')
    assert raised.value.args == ('refuse',)
    assert sorted(Submission.objects.values_list('state', flat=True)) == ['sending', 'uncertain']
    with watched():
        send(given)
    assert Submission.objects.count() == 2
    with pytest.raises(TypeError, match='submit_observation'):
        facility.submit_observation()


def test_a_class_that_is_watched_twice_records_once(db: Any) -> None:
    made = classes()['Whole']
    interception.watch(made)  # type: ignore[arg-type]
    interception.watch_facilities()
    made().submit_observation(['a'])
    assert Submission.objects.count() == 1


def test_the_facilities_of_the_toolkit_are_watched() -> None:
    from tom_observations.facilities import gemini, lco, manual, ocs

    for each in (lco.LCOFacility, ocs.OCSFacility, gemini.GEMFacility, manual.ExampleManualFacility, SimulatedObservatoryFacility):
        assert getattr(each.submit_observation, interception._WATCHED, False), each


def test_no_secret_of_a_payload_is_kept(db: Any) -> None:
    classes()['Whole']().submit_observation({'target_id': 1, 'params': {'filter': 'r', 'api_token': 'abc123'}})
    assert Submission.objects.get().parameters == {'filter': 'r'}


@pytest.mark.parametrize('said', ['M 31', '9' * 40, True, ''])
def test_a_target_that_is_no_key_is_no_reason_to_forget_the_request(db: Any, said: Any) -> None:
    assert other_code._target({'target_id': said}) is None


@pytest.mark.parametrize('said', ['x' * 256, 'a\0b'])
def test_an_id_that_no_database_keeps_is_refused_in_words(db: Any, said: str) -> None:
    waiting = Submission.objects.create(cause='x', facility=SIMULATED, state='uncertain', created=NIGHT)
    with pytest.raises(CadenceError, match='at most 255 letters'):
        journal.confirm_booked(waiting, [said], 'vera', NIGHT)


def test_it_works_where_every_request_is_one_transaction(db: Any) -> None:
    connections.databases['default']['ATOMIC_REQUESTS'] = True
    try:
        with transaction.atomic():
            classes()['Whole']().submit_observation(['a'])
    finally:
        connections.databases['default']['ATOMIC_REQUESTS'] = False
    assert Submission.objects.get().reply == ['a']
