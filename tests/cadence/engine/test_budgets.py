"""Hours of a proposal are counted across cadences: told once at 80 %, held at 100 %. Who wants to be left alone is left alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from tom_observations.models import ObservationRecord

from tests.conftest import NIGHT, at
from tests.support.cadences import SIMULATED, bookings, records, settle
from tom_cadence import journal
from tom_cadence.engine import send
from tom_cadence.engine.budgets import Budgets, spent
from tom_cadence.engine.run import run_cadences
from tom_cadence.facilities import Facilities
from tom_cadence.journal import Intent
from tom_cadence.models import CadenceRun, FacilityPause, ManagedCadence, Notice, ProposalBudget, Submission

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def three(observatory: Any, make_cadence: Any) -> list[Any]:
    """Three cadences of one proposal, an exposure of 60 s each, whose first observations succeeded: 180 s are used."""
    hosts = [make_cadence(book=observatory) for _ in range(3)]
    for host in hosts:
        [record] = records(host)
        ObservationRecord.objects.filter(pk=record.pk).update(parameters={**record.parameters, 'proposal': 'P1'})
        settle(observatory, record, 'COMPLETED')
    return hosts


def budget(seconds: float, **more: Any) -> ProposalBudget:
    return ProposalBudget.objects.create(facility=SIMULATED, proposal='P1', hours=seconds / 3600, **more)


def test_what_is_asked_for_in_one_run_counts_for_the_next_cadence_of_the_same_run(observatory: Any, three: list[Any]) -> None:
    budget(310)
    lines = run_cadences(now=at(20)).lines
    assert sorted(line.decision for line in lines) == ['submit', 'submit', 'wait']
    [waits] = [line.reason for line in lines if line.decision == 'wait']
    assert not any(line.failed for line in lines)
    assert waits.startswith('Nothing was sent: the hours of its proposal are used up.')
    assert 'It waits for hours of the proposal, and asks again by itself.' in waits
    assert len(bookings(observatory)) == 5
    [told] = Notice.objects.filter(text__contains=' waits. ')
    assert 'of the 0.08611 h of exposure of the proposal P1 are used up, and this observation takes 60 s.' in told.text
    public = [waits, *CadenceRun.objects.values_list('reason', flat=True)]
    public += ManagedCadence.objects.values_list('reason', flat=True)
    public += ManagedCadence.objects.values_list('postponed_reason', flat=True)
    assert not [reason for reason in public if '0.08611' in reason or 'P1' in reason]
    [notice] = Notice.objects.exclude(text__contains=' waits. ')
    assert 'of P1 at Simulated observatory are used.' in notice.text
    run_cadences(now=at(20.2))
    assert Notice.objects.exclude(text__contains=' waits. ').count() == 1
    assert not Submission.objects.filter(counts_as_failure=True).exists()
    assert set(ManagedCadence.objects.values_list('state', flat=True)) == {'active'}
    ProposalBudget.objects.update(hours=1)
    assert 'submit' in [line.decision for line in run_cadences(now=at(21.5)).lines]


def test_more_hours_in_the_admin_are_asked_for_in_the_next_run(observatory: Any, three: list[Any], monkeypatch: Any) -> None:
    little = budget(190)
    assert [line.decision for line in run_cadences(now=at(20)).lines] == ['wait'] * 3
    monkeypatch.setattr('tom_cadence.conf.utc_now', lambda: at(20.05))
    little.hours = 1
    little.save()
    assert [line.decision for line in run_cadences(now=at(20.1)).lines] == ['submit'] * 3


def test_another_proposal_another_facility_and_what_was_before_are_not_counted(observatory: Any, three: list[Any]) -> None:
    ProposalBudget.objects.create(facility=SIMULATED, proposal='P2', hours=0)
    ProposalBudget.objects.create(facility='LCO', proposal='P1', hours=0)
    budget(185, since=at(1))
    ObservationRecord.objects.update(created=NIGHT)
    assert [line.decision for line in run_cadences(now=at(20)).lines] == ['submit'] * 3


def test_what_failed_takes_nothing_and_an_exposure_that_nobody_can_read_is_asked_about(observatory: Any, three: list[Any]) -> None:
    budget(200)
    for host in three[1:]:
        settle(observatory, records(host)[0], 'WINDOW_EXPIRED')
        ObservationRecord.objects.filter(pk=records(host)[0].pk).update(status='WINDOW_EXPIRED')
    assert [line.decision for line in run_cadences(now=at(20)).lines].count('submit') == 2


def test_what_was_decided_and_then_not_sent_takes_no_hours_of_the_others(
    observatory: Any, three: list[Any], monkeypatch: Any
) -> None:
    """Of three cadences there are hours for one; the first one's request is edited away before it is committed."""
    budget(250)
    before, edited = send.commit, []

    def commit(ready: Any, now: Any) -> Any:
        if not edited:
            edited.append(ready[0].decided.managed.pk)
            journal.raise_version(pk=edited[0])
        return before(ready, now)

    monkeypatch.setattr(send, 'commit', commit)
    lines = run_cadences(now=at(20)).lines
    assert sorted(line.decision for line in lines) == ['busy', 'submit', 'wait']
    assert len(bookings(observatory)) == 4


def test_two_processes_share_one_budget(observatory: Any, three: list[Any], monkeypatch: Any) -> None:
    """Both have counted before either has sent: who commits later counts what the other one asked for."""
    budget(250)
    before, others = Budgets.checked, []

    def checked(self: Any, intent: Any, now: Any) -> Any:
        found = before(self, intent, now)
        if not others:
            others.append(1)
            others.extend(run_cadences([three[1].pk], now=at(20)).lines)
        return found

    monkeypatch.setattr(Budgets, 'checked', checked)
    lines = run_cadences([three[0].pk], now=at(20)).lines
    assert [line.decision for line in others[1:]] == ['submit']
    assert [line.decision for line in lines] == ['wait']
    assert len(bookings(observatory)) == 4
    assert spent(ProposalBudget.objects.get(), Facilities()).seconds <= 250


def test_what_was_refused_meanwhile_gives_its_hours_back(observatory: Any, three: list[Any]) -> None:
    budget(250)
    lost = Submission.objects.create(
        cause='x', facility=SIMULATED, parameters=records(three[0])[0].parameters, state='uncertain', created=NIGHT
    )
    run = Budgets(Facilities())
    asked = run.checked(Intent(cause='y', facility=SIMULATED, target=None, owner=None, parameters=lost.parameters), at(1))
    assert asked.locks is not None
    assert asked.last_word is not None
    asked.locks()
    assert asked.last_word() is not None
    Submission.objects.update(state='refused')
    asked.locks()
    assert asked.last_word() is None
    assert asked.last_word() is not None, 'the same transaction asks for two'


def test_many_budgets_are_shown_page_by_page(client: Any) -> None:
    ProposalBudget.objects.bulk_create(ProposalBudget(facility=SIMULATED, proposal=f'P{n:03}', hours=1) for n in range(30))
    client.force_login(User.objects.create_user('staff', is_staff=True))
    assert client.get('/cadences/budgets/').content.decode().count('>P0') == 25
    assert client.get('/cadences/budgets/?page=2').content.decode().count('>P0') == 5


def test_staff_see_how_much_is_used_and_nobody_else(client: Any, observatory: Any, three: list[Any], astronomer: Any) -> None:
    budget(200)
    client.force_login(astronomer)
    assert client.get('/cadences/budgets/').status_code == 404
    client.force_login(User.objects.create_user('staff', is_staff=True))
    ObservationRecord.objects.update(status='COMPLETED')
    page = client.get('/cadences/budgets/').content.decode()
    assert '90 %' in page
    assert '180 s' in page


def test_a_facility_that_wants_to_be_left_alone_is_not_asked_by_the_next_run_either(observatory: Any, three: list[Any]) -> None:
    for _ in range(3):
        observatory.fault('submit', '429')
    lines = run_cadences(now=at(20)).lines
    assert all('left alone' in line.reason for line in lines if line.failed)
    until = FacilityPause.objects.get().until
    asked = sum(observatory.requests.values())
    assert run_cadences(now=min(at(20) + timedelta(minutes=5), until - timedelta(seconds=5))).lines
    assert sum(observatory.requests.values()) == asked
    run_cadences(now=until + timedelta(minutes=1))
    assert sum(observatory.requests.values()) > asked


def test_the_pages_say_when_little_is_left_and_for_what_a_cadence_waits(
    client: Any, observatory: Any, three: list[Any], astronomer: Any
) -> None:
    """180 s are used: of 220 s more than 80 %; the one 60 s more are not to be had."""
    User.objects.filter(pk=astronomer.pk).update(is_staff=True)
    client.force_login(astronomer)
    budget(220)
    page = client.get('/cadences/budgets/').content.decode()
    assert 'text-bg-warning">82 %' in page
    assert {line.decision for line in run_cadences(now=at(20)).lines} == {'wait'}
    managed = ManagedCadence.objects.get(cadence=three[0])
    shown = client.get(f'/cadences/{managed.pk}/').content.decode()
    assert 'It waits for hours of the proposal, and asks again by itself.' in shown
    ProposalBudget.objects.update(hours=180 / 3600)
    assert 'text-bg-danger">100 %' in client.get('/cadences/budgets/').content.decode()
