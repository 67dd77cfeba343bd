"""Pause, resume, credentials, owners, limits, late changes, silence, deletion: why a cadence is on or off, and who is told."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

from tests.conftest import at
from tests.support import oddities
from tests.support.cadences import PLAIN, SIMULATED, bookings, records, settle
from tests.support.oddities import PersonalFacility
from tom_cadence import journal
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import CadenceRun, ManagedCadence, Submission
from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint

pytestmark = pytest.mark.django_db(transaction=True)
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'


@pytest.fixture
def due(observatory: Any, make_cadence: Any) -> Any:
    """A cadence whose observation has failed."""
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    return cadence


def state_of(cadence: Any) -> tuple[str, bool]:
    """The journal's word, and the host's permission to send; they must agree."""
    managed = ManagedCadence.objects.get(host_cadence_id=cadence.pk)
    cadence.refresh_from_db()
    assert cadence.active is (managed.state == 'active')
    return managed.state, cadence.active


def decisions(cadence: Any) -> list[str]:
    return list(CadenceRun.objects.filter(managed__host_cadence_id=cadence.pk).order_by('pk').values_list('decision', flat=True))


# --- a person's word ---------------------------------------------------------------------------------------------------


def test_a_paused_cadence_sends_nothing_until_it_is_resumed(observatory: Any, due: Any) -> None:
    assert journal.pause(due.managed, 'Full moon.', at(4))
    assert state_of(due) == ('paused', False)
    assert run_cadences(now=at(5)).lines == []
    assert len(bookings(observatory)) == 1
    journal.resume(ManagedCadence.objects.get(), at(6))
    assert state_of(due) == ('active', True)
    run_cadences(now=at(6))
    assert len(bookings(observatory)) == 2
    assert decisions(due) == ['note', 'note', 'submit']


@pytest.mark.parametrize('way', ['save', 'update'])
def test_switching_active_in_the_admin_or_a_script_is_pause_and_resume(observatory: Any, due: Any, way: str) -> None:
    def switch(value: bool) -> None:
        if way == 'save':
            due.active = value
            due.save()
        else:
            DynamicCadence.objects.update(active=value)
        run_cadences(now=at(5))

    switch(False)
    assert state_of(due) == ('paused', False)
    assert 'switched off' in ManagedCadence.objects.get().reason
    assert len(bookings(observatory)) == 1
    switch(True)
    assert state_of(due) == ('active', True)
    assert len(bookings(observatory)) == 2
    assert mail.outbox == []


@pytest.mark.parametrize('point', [CadencePoint.CLAIMED, CadencePoint.DECIDED, CadencePoint.PREPARED])
def test_a_pause_in_the_middle_of_a_run_is_obeyed(observatory: Any, due: Any, monkeypatch: Any, point: CadencePoint) -> None:
    def person(reached: CadencePoint) -> None:
        if reached is point:
            DynamicCadence.objects.update(active=False)  # past the signals: only ``active`` itself says so

    monkeypatch.setattr(failpoints, 'on_reach', person)
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 1
    assert not Submission.objects.exists()
    assert ManagedCadence.objects.get().claim_holder == ''


@pytest.mark.parametrize('point', [CadencePoint.DECIDED, CadencePoint.PREPARED])
def test_an_edit_in_the_middle_of_a_run_is_not_overrun(observatory: Any, due: Any, monkeypatch: Any, point: CadencePoint) -> None:
    def person(reached: CadencePoint) -> None:
        if reached is point:
            monkeypatch.setattr(failpoints, 'on_reach', None)
            edited = DynamicCadence.objects.get()
            edited.cadence_parameters = {'cadence_frequency': 24, 'end_date': '2026-11-21T00:00'}
            edited.save()

    monkeypatch.setattr(failpoints, 'on_reach', person)
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 1
    run_cadences(now=at(5))
    assert state_of(due) == ('finished', False)


def test_resuming_forgives_what_a_person_has_seen(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory, max_consecutive_failures=1)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    assert state_of(cadence) == ('attention', False)
    journal.resume(ManagedCadence.objects.get(), at(6))
    run_cadences(now=at(6))
    assert len(bookings(observatory)) == 2
    settle(observatory, records(cadence)[1], 'WINDOW_EXPIRED')
    run_cadences(now=at(12))
    assert state_of(cadence) == ('attention', False)


def test_resuming_after_a_cancellation_asks_again(observatory: Any, due: Any) -> None:
    settle(observatory, records(due)[0], 'CANCELED')
    run_cadences(now=at(5))
    assert state_of(due) == ('finished', False)
    journal.resume(ManagedCadence.objects.get(), at(6))
    run_cadences(now=at(6))
    assert len(bookings(observatory)) == 2


@pytest.mark.parametrize(
    ('setting', 'own', 'again'),
    [
        (False, None, False),
        (True, None, True),
        (False, 'resubmit', True),
        (True, 'ignore', False),
        (True, 'default', True),
        (False, 'default', False),
    ],
)
@pytest.mark.parametrize('strategy', [RESUME, RETRY])
def test_a_cancellation_by_cadence_and_by_setting(
    observatory: Any, make_cadence: Any, settings: Any, strategy: str, setting: bool, own: str | None, again: bool
) -> None:
    settings.TOM_CADENCE = {'RESUBMIT_CANCELLED': setting}
    cadence = make_cadence(book=observatory, strategy=strategy, **({'on_cancel': own} if own else {}))
    settle(observatory, records(cadence)[0], 'CANCELED')
    run_cadences(now=at(5))
    run_cadences(now=at(6))
    assert len(bookings(observatory)) == 1 + again


# --- deletion -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('what', ['the cadence', 'the group'])
def test_deleting_leaves_the_journal_and_tells_the_owner_what_is_still_booked(
    observatory: Any, make_cadence: Any, astronomer: Any, what: str
) -> None:
    cadence = make_cadence(book=observatory)
    booked, number = records(cadence)[0].observation_id, cadence.pk
    (cadence if what == 'the cadence' else cadence.observation_group).delete()
    managed = ManagedCadence.objects.get(host_cadence_id=number)
    assert (managed.cadence, managed.state) == (None, 'finished')
    assert (managed.target_name, managed.facility, managed.strategy) == ('SN 2011fe', SIMULATED, RESUME)
    assert (managed.owner, managed.owner_name) == (astronomer, 'vera')
    closing = CadenceRun.objects.get(managed=managed)
    assert closing.decision == 'stop'
    assert booked in closing.reason
    assert run_cadences(now=at(5)).lines == []
    (told,) = mail.outbox
    assert told.to == ['vera@example.org']
    assert booked in told.body


def test_deleting_an_owner_does_not_delete_the_journal(observatory: Any, due: Any, astronomer: Any) -> None:
    run_cadences(now=at(5))
    ObservationGroup.objects.all().delete()
    ObservationRecord.objects.all().delete()  # the host itself does not let a user go who has records
    astronomer.delete()
    assert ManagedCadence.objects.get().owner_name == 'vera'
    assert Submission.objects.get().state == 'accepted'


def test_a_cadence_deleted_while_its_request_is_on_its_way_keeps_the_booking(observatory: Any, due: Any, monkeypatch: Any) -> None:
    def person(reached: CadencePoint) -> None:
        if reached is CadencePoint.REPLIED:
            DynamicCadence.objects.all().delete()

    monkeypatch.setattr(failpoints, 'on_reach', person)
    run_cadences(now=at(5))
    booked = str(bookings(observatory)[1]['id'])
    request = Submission.objects.get()
    assert (request.state, request.observation_ids) == ('accepted', [booked])


# --- credentials and owners -------------------------------------------------------------------------------------------------


def test_refused_credentials_pause_together_with_one_notice_and_one_resume(
    observatory: Any, make_cadence: Any, due: Any, astronomer: Any
) -> None:
    waiting, elsewhere = make_cadence(book=observatory), make_cadence(book=observatory, facility=PLAIN)
    observatory.fault('status', '403', match=f'{records(waiting)[0].observation_id}')
    run_cadences([due.pk, waiting.pk], now=at(5))
    assert [state_of(cadence)[0] for cadence in (due, waiting, elsewhere)] == ['attention', 'attention', 'active']
    assert len(bookings(observatory)) == 3
    (told,) = mail.outbox
    assert told.subject == '[Example TOM] 2 cadences: Simulated observatory does not accept your credentials'
    assert 'example-token' not in told.body
    assert journal.resume_after_credentials(SIMULATED, astronomer, at(6)) == 2
    run_cadences(now=at(6))
    assert len(bookings(observatory)) == 4
    assert len(mail.outbox) == 1


def test_credentials_refused_while_sending_pause_too_and_nothing_is_booked_twice(
    observatory: Any, make_cadence: Any, due: Any, astronomer: Any
) -> None:
    waiting = make_cadence(book=observatory)
    observatory.fault('submit', '403')
    run_cadences(now=at(5))
    assert [state_of(cadence)[0] for cadence in (due, waiting)] == ['attention', 'attention']
    assert len(mail.outbox) == 1
    journal.resume_after_credentials(SIMULATED, astronomer, at(6))
    run_cadences(now=at(6))
    assert len(records(due)) == 2
    assert list(Submission.objects.order_by('pk').values_list('state', 'attempt')) == [('refused', 1), ('accepted', 2)]


def test_an_owner_without_a_key_of_their_own_gets_one_notice_and_another_owner_runs_on(
    observatory: Any, make_cadence: Any, settings: Any, monkeypatch: Any, target: Any
) -> None:
    from django.contrib.auth.models import User

    from tests.support.cadences import make

    settings.TOM_FACILITY_CLASSES = [f'{oddities.HERE}.PersonalFacility']
    settings.FACILITIES['Personal observatory'] = settings.FACILITIES[SIMULATED]
    monkeypatch.setattr(PersonalFacility, 'keys', {'cecilia'})
    mine = [make_cadence(book=observatory, facility='Personal observatory') for _ in range(3)]
    other = User.objects.create_user('cecilia', 'cecilia@example.org')
    theirs = make(other, target, book=observatory, facility='Personal observatory')
    for cadence in (*mine, theirs):
        settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    assert [state_of(cadence)[0] for cadence in (*mine, theirs)] == ['attention'] * 3 + ['active']
    assert len(records(theirs)) == 2
    assert [told.to for told in mail.outbox] == [['vera@example.org']]
    monkeypatch.setattr(PersonalFacility, 'keys', {'cecilia', 'vera'})
    assert journal.resume_after_credentials('Personal observatory', mine[0].managed.owner, at(6)) == 3
    run_cadences(now=at(6))
    assert [len(records(cadence)) for cadence in mine] == [2, 2, 2]


def test_nobody_owns_it(observatory: Any, due: Any) -> None:
    due.observation_group.observation_records.update(user=None)
    ManagedCadence.objects.all().delete()
    run_cadences(now=at(5))
    assert state_of(due) == ('attention', False)
    assert 'Nobody owns' in due.managed.reason
    assert len(bookings(observatory)) == 1


def test_the_owner_has_left(observatory: Any, due: Any, astronomer: Any) -> None:
    astronomer.is_active = False
    astronomer.save()
    run_cadences(now=at(5))
    assert state_of(due) == ('attention', False)
    assert 'vera' in ManagedCadence.objects.get().reason
    assert len(bookings(observatory)) == 1


def test_the_owner_may_not_see_the_target_any_more(observatory: Any, due: Any, target: Any) -> None:
    target.permissions = 'PRIVATE'
    target.save()
    run_cadences(now=at(5))
    assert state_of(due) == ('attention', False)
    assert 'permission' in ManagedCadence.objects.get().reason
    assert len(bookings(observatory)) == 1
    assert not Submission.objects.exists()
