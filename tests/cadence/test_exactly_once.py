"""Nothing is booked twice and nothing ends silently: wrong clocks, a person at the wrong moment, backups, shared observations."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.db import DataError
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

from tests.conftest import NIGHT, at
from tests.support import oddities
from tests.support.cadences import PLAIN, SIMULATED, bookings, make, records, settle
from tom_cadence import journal
from tom_cadence.engine import send
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.flows import start, steer
from tom_cadence.journal import Claim, Intent
from tom_cadence.models import FollowedRecord, ManagedCadence, SiteKey, Submission
from tom_cadence.strategies import CadenceStrategy
from tom_followup import clock, failpoints
from tom_followup.failpoints import CadencePoint

pytestmark = pytest.mark.django_db(transaction=True)
HOURS = [2.0, -2.0, 1 / 3, -1 / 3]


@pytest.fixture
def due(observatory: Any, make_cadence: Any) -> Any:
    """A cadence whose observation has failed."""
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    return cadence


def managed() -> ManagedCadence:
    return ManagedCadence.objects.get()


def states() -> list[str]:
    return list(Submission.objects.order_by('pk').values_list('state', flat=True))


# --- one clock ---------------------------------------------------------------------------------------------------------


def wrong_clock(monkeypatch: Any, hours: float) -> None:
    """A host whose clock is wrong by so much; the database's is right."""
    real = time.time
    monkeypatch.setattr('time.time', lambda: real() + 3600 * hours)
    shifted = timedelta(hours=hours)
    monkeypatch.setattr('django.utils.timezone.now', lambda: datetime.now(timezone.utc) + shifted)
    clock.reset()


@pytest.mark.parametrize('hours', HOURS)
def test_the_present_is_the_databases_whatever_the_hosts_clock_says(db: Any, monkeypatch: Any, hours: float) -> None:
    right = datetime.now(timezone.utc)
    wrong_clock(monkeypatch, hours)
    assert abs(clock.database_now() - right) < timedelta(minutes=2)


@pytest.mark.parametrize('hours', HOURS)
def test_a_host_whose_clock_is_wrong_books_once_and_judges_a_lost_reply_no_sooner(
    observatory: Any, make_cadence: Any, monkeypatch: Any, settings: Any, hours: float
) -> None:
    settings.TOM_CADENCE = {'FACILITY_TIMEOUT': 5}
    now = datetime.now(timezone.utc)
    observatory.set_clock(now - timedelta(hours=7), frozen=True)
    cadence = make_cadence(book=observatory, start=now - timedelta(hours=6))
    observatory.set_clock(now, frozen=True)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    wrong_clock(monkeypatch, 0)
    observatory.fault('submit', '500-before')
    run_cadences()
    assert states() == ['uncertain']
    for _ in range(3):  # other hosts, one after the other
        wrong_clock(monkeypatch, hours)
        run_cadences()
    assert states() == ['uncertain'], 'its time to settle is not over'
    assert observatory.requests['submit'] == 1


# --- a person's word ---------------------------------------------------------------------------------------------------


@pytest.fixture
def uncertain(observatory: Any, make_cadence: Any) -> Submission:
    """A request whose reply was lost, at a facility that cannot be asked."""
    cadence = make_cadence(book=observatory, facility=PLAIN)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    observatory.fault('submit', '500-after')
    run_cadences(now=at(5))
    return Submission.objects.get()


def test_nobody_says_what_became_of_a_request_that_is_on_its_way(uncertain: Submission, astronomer: Any) -> None:
    Submission.objects.update(state='sending')
    for say in (steer.confirm_not_booked, lambda *args: steer.confirm_booked(args[0], args[1], ['2'], args[2])):
        with pytest.raises(CadenceError, match='still on its way'):
            say(managed(), astronomer, at(6))
    assert states() == ['sending']


@pytest.mark.parametrize('verb', ['booked', 'send-again'])
def test_a_word_about_another_request_than_the_one_shown_changes_nothing(
    client: Any, uncertain: Submission, astronomer: Any, verb: str
) -> None:
    client.force_login(astronomer)
    url = f'/cadences/{managed().pk}/'
    assert f'value="{uncertain.shown}"' in client.get(url).content.decode()
    for shown in (f'{uncertain.pk}-9-uncertain', f'{uncertain.pk + 1}-1-uncertain', ''):
        page = client.post(f'{url}{verb}/', {'request': shown, 'observation_ids': '2'}, follow=True).content.decode()
        assert 'since the page was loaded' in page
        assert states() == ['uncertain']


def test_an_id_that_is_recorded_already_is_refused_in_words(uncertain: Submission, astronomer: Any) -> None:
    with pytest.raises(CadenceError, match='1 is recorded in this TOM already'):
        steer.confirm_booked(managed(), astronomer, ['1'], at(6))
    assert states() == ['uncertain']
    assert ObservationRecord.objects.count() == 1


def test_a_cadence_is_not_handed_over_while_a_request_is_open(uncertain: Submission, astronomer: Any) -> None:
    other = User.objects.create_user('edwin')
    with pytest.raises(CadenceError, match='sent with the account of vera'):
        steer.change_owner(managed(), astronomer, other, at(6))
    assert managed().owner == astronomer
    steer.confirm_booked(managed(), astronomer, ['2'], at(6))
    steer.change_owner(managed(), astronomer, other, at(7))
    assert managed().owner == other


def test_a_lost_reply_is_looked_up_with_the_account_that_sent_it(
    observatory: Any, due: Any, monkeypatch: Any, astronomer: Any
) -> None:
    from custom_code.observatory import SimulatedObservatoryFacility

    asked: list[Any] = []
    original = SimulatedObservatoryFacility.find_observations

    def find(self: Any, *args: Any) -> Any:
        asked.append(self.user)
        return original(self, *args)

    observatory.fault('submit', '500-before')
    run_cadences(now=at(5))
    ManagedCadence.objects.update(owner=User.objects.create_user('edwin'))  # by a script, past the page
    monkeypatch.setattr(SimulatedObservatoryFacility, 'find_observations', find)
    run_cadences(now=at(5.1))
    assert asked == [astronomer]


@pytest.mark.parametrize('arrived', [False, True])
def test_a_process_that_was_frozen_takes_what_others_booked_for_nothing_of_its_own(
    observatory: Any, due: Any, arrived: bool
) -> None:
    """With the same mark; whoever judged its request meanwhile has either found it, or sent another one."""
    observatory.fault('submit', '500-after' if arrived else '500-before')
    run_cadences(now=at(5))
    frozen = Submission.objects.select_related('managed', 'owner').get()
    frozen.state = Submission.State.SENDING  # as it was when the process fell asleep
    for hours in (5.1, 5.5, 6):
        run_cadences(now=at(hours))
    assert states() == (['accepted'] if arrived else ['refused', 'accepted'])
    assert len(bookings(observatory)) == 2
    found = send.look_up(frozen, Facilities(), at(6.1), frozenset())
    assert [each.observation_id for each in found or ()] == (['2'] if arrived else [])
    assert (managed().state, managed().reason) == ('active', '')
    assert not managed().runs.filter(reason__contains='given up').exists()


# --- what is followed --------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(observatory: Any, astronomer: Any, target: Any) -> Callable[..., Any]:
    """One request of a cadence that this process holds; the cadence has three records."""

    def build(*follows: int, number: int = 0) -> tuple[ManagedCadence, Claim, Intent]:
        cadence = make(astronomer, target, records=1, observation_id=f'first-{number}-{len(follows)}')
        row = ManagedCadence.objects.get(cadence=cadence)
        holder = journal.claim([row.pk])
        row.refresh_from_db()
        first = records(cadence)[0]
        intent = Intent(
            cause=f'record:{min(follows)}-{number}',
            facility=SIMULATED,
            target=target.pk,
            owner=astronomer,
            follows=follows,
            like=first.pk,
        )
        return row, Claim(row.pk, holder), intent

    return build


def test_of_two_requests_that_share_one_followed_observation_one_is_sent(asked: Any) -> None:
    found = journal.open_requests([asked(11, 12, number=1), asked(12, 13, number=2), asked(14, number=3)], at(1))
    assert isinstance(found[0], Submission)
    assert 'already follows observation record 12' in str(found[1])
    assert isinstance(found[2], Submission)
    assert set(FollowedRecord.objects.values_list('record', flat=True)) == {11, 12, 14}


def test_a_record_whose_request_was_refused_may_be_followed_again(asked: Any) -> None:
    [first] = journal.open_requests([asked(11, 12, number=1)], at(1))
    assert isinstance(first, Submission)
    journal.refuse(first, 'No.', at(1), counts=True)
    [second] = journal.open_requests([asked(12, 13, number=2)], at(1))
    assert isinstance(second, Submission)


def test_numbers_of_another_library_are_numbers(asked: Any) -> None:
    [found] = journal.open_requests([asked(np.int64(11))], at(1))
    assert isinstance(found, Submission)
    assert found.follows == [11]


def test_what_cannot_be_written_for_one_touches_no_other(asked: Any) -> None:
    good, bad = asked(11, number=1), asked(12, number=2)
    bad = (bad[0], bad[1], Intent(**{**vars(bad[2]), 'parameters': {'filter': object()}}))
    found = journal.open_requests([good, bad, asked(13, number=3)], at(1))
    assert [isinstance(each, Submission) for each in found] == [True, False, True]
    assert 'nothing was sent' in str(found[1])


# --- the reply, first --------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process dies here."""


def test_what_was_answered_is_recorded_later_without_asking_again(observatory: Any, due: Any, monkeypatch: Any) -> None:
    def die(point: CadencePoint) -> None:
        if point is CadencePoint.REPLY_KEPT:
            raise Killed

    monkeypatch.setattr(failpoints, 'on_reach', die)
    with pytest.raises(Killed):
        run_cadences(now=at(5))
    monkeypatch.setattr(failpoints, 'on_reach', None)
    waiting = Submission.objects.get()
    assert (waiting.state, waiting.reply) == ('sending', ['2'])
    ManagedCadence.objects.update(claim_expires=None, claim_holder='')
    listed = observatory.requests['list']
    run_cadences(now=at(5.1))
    assert observatory.requests['list'] == listed
    assert [record.observation_id for record in records(due)] == ['1', '2']
    assert len(bookings(observatory)) == 2


def test_an_id_that_no_record_can_hold_ends_in_front_of_a_person_with_the_number(
    client: Any, observatory: Any, due: Any, monkeypatch: Any, astronomer: Any
) -> None:
    def too_long(*args: Any, **kwargs: Any) -> Any:
        raise DataError('value too long for type character varying(255)')

    long = 'x' * 300
    monkeypatch.setattr('custom_code.observatory.SimulatedObservatoryFacility.submit_observation', lambda self, payload: [long])
    monkeypatch.setattr('tom_cadence.journal.records.make_records', too_long)
    for hours in (5, 5.1, 5.2):
        run_cadences(now=at(hours))
    waiting = Submission.objects.get()
    assert (waiting.state, waiting.reply) == ('uncertain', [long])
    assert managed().state == 'attention'
    client.force_login(astronomer)
    page = client.get(f'/cadences/{managed().pk}/').content.decode()
    assert long in page
    assert 'has booked this request, but it could not be recorded here' in page


# --- backups and copies ------------------------------------------------------------------------------------------------


def forget_since(cadence: Any, records_kept: int) -> None:
    """Bring the TOM back from a backup that was made after so many records."""
    for record in records(cadence)[records_kept:]:
        record.delete()
    Submission.objects.all().delete()
    ManagedCadence.objects.update(state='active', reason='', claim_expires=None, claim_holder='')
    DynamicCadence.objects.update(active=True)


def test_a_tom_from_yesterdays_backup_finds_its_bookings_before_it_sends(observatory: Any, due: Any) -> None:
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 2
    settle(observatory, records(due)[1], 'WINDOW_EXPIRED')
    run_cadences(now=at(10))
    assert len(bookings(observatory)) == 3
    forget_since(due, 1)
    for hours in (11, 11.1, 11.2):
        run_cadences(now=at(hours))
    assert len(bookings(observatory)) == 3
    assert [record.observation_id for record in records(due)] == ['1', '2', '3']
    assert managed().state == 'active'


def test_another_site_has_other_marks(db: Any, settings: Any) -> None:
    first = journal.request_mark('follows', SIMULATED, '7')
    assert journal.request_mark('follows', SIMULATED, '7') == first
    assert len({first, journal.request_mark('follows', SIMULATED, '8'), journal.request_mark('follows', PLAIN, '7')}) == 3
    SiteKey.objects.update(key='another')
    second = journal.request_mark('follows', SIMULATED, '7')
    settings.TOM_CADENCE = {'SITE_KEY': 'a third'}
    assert len({first, second, journal.request_mark('follows', SIMULATED, '7')}) == 3
    settings.SECRET_KEY = 'changed'
    assert len(first) == 11


# --- a strategy's own run ----------------------------------------------------------------------------------------------


class Silent(CadenceStrategy):
    """Asks for an observation in its own run(), and tells nobody."""

    name = 'Silent'
    raises: ClassVar[bool] = False

    def run(self) -> None:
        from tom_observations.facility import get_service_class

        last = self.dynamic_cadence.observation_group.observation_records.order_by('-created').first()
        facility = get_service_class(last.facility)()
        form = facility.get_form(None)({**last.parameters, 'target_id': last.target_id}, facility=facility)
        form.is_valid()
        facility.submit_observation(form.observation_payload())
        if type(self).raises:
            raise RuntimeError('no photometry')


@pytest.mark.parametrize('raises', [False, True])
def test_a_strategy_that_sends_by_itself_and_records_nothing_needs_a_person(
    observatory: Any, make_cadence: Any, settings: Any, monkeypatch: Any, raises: bool
) -> None:
    settings.TOM_CADENCE_STRATEGIES = [*oddities.paths(), f'{__name__}.Silent']
    monkeypatch.setattr(Silent, 'raises', raises)
    make_cadence(book=observatory, strategy='Silent', start=at(20))
    for hours in (1, 2, 3):
        run_cadences(now=at(hours))
    assert len(bookings(observatory)) == 2
    assert states() == ['uncertain']
    assert managed().state == 'attention'
    assert 'in its own run()' in managed().reason


# --- a first observation -----------------------------------------------------------------------------------------------


@pytest.fixture
def begun(observatory: Any, astronomer: Any, target: Any) -> Any:
    """A cadence whose first request got no reply, and did not arrive."""
    cadence = DynamicCadence.objects.create(
        observation_group=ObservationGroup.objects.create(name='SN 2011fe r'),
        cadence_strategy='ResumeCadenceAfterFailureStrategy',
        cadence_parameters={'cadence_frequency': 24},
        active=True,
    )
    from tests.support.cadences import parameters

    row = ManagedCadence.objects.get(cadence=cadence)
    ManagedCadence.objects.update(owner=astronomer, facility=SIMULATED)
    Submission.objects.create(
        managed=row,
        origin='start',
        cause=f'begin:{astronomer.pk}:x',
        facility=SIMULATED,
        target=target,
        owner=astronomer,
        parameters=parameters(target, NIGHT),
        window_start=NIGHT,
        window_end=at(4),
        created=NIGHT,
    )
    return cadence


def test_a_first_observation_that_never_arrived_is_sent_again_by_itself(observatory: Any, begun: Any) -> None:
    for hours in (0.1, 0.5, 0.6):
        run_cadences(now=at(hours))
    assert [record.observation_id for record in records(begun)] == ['1']
    assert states() == ['refused', 'accepted']
    assert len(bookings(observatory)) == 1
    assert managed().state == 'active'


def test_a_first_observation_that_is_refused_has_a_button_that_leads_out(
    client: Any, observatory: Any, begun: Any, astronomer: Any
) -> None:
    observatory.fault('submit', 'refuse', errors={'target': ['Too close to the moon.']})
    for hours in (0.1, 0.5, 0.6):
        run_cadences(now=at(hours))
    DynamicCadence.objects.update(created=NIGHT)
    run_cadences(now=at(1))
    assert managed().state == 'attention'
    assert start.missing_first(managed()) is not None
    client.force_login(astronomer)
    url = f'/cadences/{managed().pk}/'
    assert 'Send the first observation again' in client.get(url).content.decode()
    client.post(f'{url}send-first/')
    assert len(bookings(observatory)) == len(records(begun)) == 1
    assert managed().state == 'active'


# --- owners ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['', 'vera', 'nobody', 'idle'])
def test_cadences_whose_observations_have_no_user_get_the_default_owner_or_say_where_one_is_chosen(
    observatory: Any, astronomer: Any, target: Any, settings: Any, name: str
) -> None:
    User.objects.create_user('idle', is_active=False)
    settings.TOM_CADENCE = {'DEFAULT_OWNER': name}
    cadence = make(None, target, book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    if name == 'vera':
        assert (managed().owner, managed().owner_name, managed().state) == (astronomer, 'vera', 'active')
        assert records(cadence)[1].user == astronomer
    else:
        assert managed().state == 'attention'
        assert 'Choose an owner on its page' in managed().reason
        assert "TOM_CADENCE['DEFAULT_OWNER']" in managed().reason


# --- an observation that was deleted here ------------------------------------------------------------------------------


@pytest.fixture
def lost(observatory: Any, due: Any) -> Any:
    """A cadence whose newest record somebody deleted."""
    run_cadences(now=at(5))
    records(due)[1].delete()
    run_cadences(now=at(6))
    assert managed().state == 'attention'
    return due


def press(client: Any, astronomer: Any, verb: str) -> str:
    client.force_login(astronomer)
    return client.post(f'/cadences/{managed().pk}/{verb}/', follow=True).content.decode()


def test_a_deleted_observation_is_named_with_two_ways_out(client: Any, lost: Any, astronomer: Any) -> None:
    client.force_login(astronomer)
    page = client.get(f'/cadences/{managed().pk}/').content.decode()
    assert 'Observation 2 was deleted here' in page
    assert 'Record it again and go on' in page
    assert 'Forget it: ask for a new one' in page


def test_a_deleted_observation_is_recorded_again(client: Any, observatory: Any, lost: Any, astronomer: Any) -> None:
    press(client, astronomer, 'record-again')
    run_cadences(now=at(7))
    assert [record.observation_id for record in records(lost)] == ['1', '2']
    assert managed().state == 'active'
    assert len(bookings(observatory)) == 2


def test_in_the_place_of_a_deleted_observation_a_new_one_is_asked_for(
    client: Any, observatory: Any, lost: Any, astronomer: Any
) -> None:
    press(client, astronomer, 'ask-anew')
    for hours in (7, 8):
        run_cadences(now=at(hours))
    assert [record.observation_id for record in records(lost)] == ['1', '3']
    assert len(bookings(observatory)) == 3
    assert managed().state == 'active'


def test_a_new_cadence_on_the_group_has_the_same_ways_out(client: Any, observatory: Any, lost: Any, astronomer: Any) -> None:
    group = lost.observation_group
    lost.delete()
    new = DynamicCadence.objects.create(
        observation_group=group,
        cadence_strategy='ResumeCadenceAfterFailureStrategy',
        cadence_parameters={'cadence_frequency': 24},
        active=True,
    )
    run_cadences(now=at(7))
    row = ManagedCadence.objects.get(cadence=new)
    assert row.state == 'attention'
    steer.request_anew(row, astronomer, at(7))
    run_cadences(now=at(8))
    assert ManagedCadence.objects.get(cadence=new).state == 'active'
    assert group.observation_records.count() == 2


# --- one number --------------------------------------------------------------------------------------------------------


def test_a_cadence_has_one_number_everywhere(client: Any, observatory: Any, due: Any, astronomer: Any) -> None:
    run_cadences(now=at(5))
    row = managed()
    assert row.pk == due.pk == row.host_cadence_id
    assert str(row).startswith(f'Cadence {due.pk} ')
    client.force_login(astronomer)
    assert client.get(f'/cadences/{due.pk}/').status_code == 200


def test_an_old_link_to_a_cadences_page_leads_on(client: Any, observatory: Any, due: Any, astronomer: Any) -> None:
    ManagedCadence.objects.update(old_number=due.pk + 1000)
    client.force_login(astronomer)
    assert client.get(f'/cadences/{due.pk + 1000}/').url == f'/cadences/{due.pk}/'
    client.force_login(User.objects.create_user('edwin'))
    due.observation_group.observation_records.get().target.__class__.objects.update(permissions='PRIVATE')
    assert client.get(f'/cadences/{due.pk + 1000}/').status_code == 404


def test_a_request_whose_look_up_raises_leaves_the_others_theirs(monkeypatch: pytest.MonkeyPatch, db: Any) -> None:
    from tom_cadence.engine import send

    for cause in ('a', 'b'):
        Submission.objects.create(cause=cause, facility='X', state='uncertain', created=NIGHT, closed=NIGHT)
    asked = []

    def raising(request: Submission, *_: Any) -> None:
        asked.append(request.cause)
        raise RuntimeError('a hook of the site')

    monkeypatch.setattr(send, 'look_up', raising)
    monkeypatch.setattr(send, 'is_over', lambda request, now: True)
    send.look_up_open(Submission.objects.all(), send.Facilities(), NIGHT)
    assert asked == ['a', 'b']
