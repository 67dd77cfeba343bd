"""Strategies with a run() of their own, as the toolkit shows: they work, and where they die or raise a person is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.db import OperationalError
from guardian.shortcuts import get_perms
from tom_observations.models import ObservationRecord

from tests.conftest import at
from tests.support import oddities
from tests.support.cadences import SIMULATED, bookings, records, settle
from tests.support.oddities import OurTutorial, Tutorial
from tom_cadence.engine import own_run
from tom_cadence.engine.run import run_cadences
from tom_cadence.facilities import calls, transport
from tom_cadence.models import CadenceRun, ManagedCadence, Submission
from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """The process dies here: nobody catches it."""


def dies() -> None:
    raise Killed


def breaks() -> None:
    raise RuntimeError('no photometry')


def nobody_listens() -> None:
    requests.get('http://127.0.0.1:9/', timeout=5)


@pytest.fixture(params=[Tutorial, OurTutorial], ids=["the toolkit's base", 'our base'])
def tutorial(request: Any, settings: Any, monkeypatch: Any) -> Any:
    """The tutorial's class, from either base."""
    settings.TOM_CADENCE_STRATEGIES = oddities.paths(Tutorial, OurTutorial)
    monkeypatch.setattr(request.param, 'runs', 0)
    return request.param


@pytest.fixture
def due(observatory: Any, make_cadence: Any, tutorial: Any) -> Any:
    """Its cadence; the observation has failed. The tutorial repeats the window as it was, so it lies in the future."""
    cadence = make_cadence(book=observatory, strategy=tutorial.__name__, start=at(20))
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    return cadence


def managed() -> ManagedCadence:
    return ManagedCadence.objects.get()


def test_it_runs_unchanged_and_its_records_become_the_owners(observatory: Any, due: Any, astronomer: Any) -> None:
    lines = run_cadences(now=at(5)).lines
    new = records(due)[1]
    assert [line.decision for line in lines] == ['submit']
    assert [line.observation_ids for line in lines] == [[new.observation_id]]
    assert new.user == astronomer
    assert len(bookings(observatory)) == 2
    request = Submission.objects.get()
    assert (request.origin, request.state, request.observation_ids) == ('own-run', 'accepted', [new.observation_id])
    assert new.booking.submission == request
    assert managed().state == 'active'
    assert managed().claim_holder == ''
    assert managed().last_check == at(5), 'a run in which it asked for something is a look, too'


def test_it_is_asked_at_each_run_and_leaves_nothing_where_it_does_nothing(
    observatory: Any, make_cadence: Any, tutorial: Any
) -> None:
    make_cadence(book=observatory, strategy=tutorial.__name__)
    for _ in range(3):
        assert [line.decision for line in run_cadences(now=at(1)).lines] == ['wait']
    assert tutorial.runs == 3
    assert not Submission.objects.exists()
    assert managed().last_check == at(1)
    assert CadenceRun.objects.filter(decision='wait').count() == 1


def test_a_dry_run_does_not_call_it(observatory: Any, due: Any, tutorial: Any) -> None:
    run_cadences(now=at(5), dry_run=True)
    assert tutorial.runs == 0
    assert len(bookings(observatory)) == 1


@pytest.mark.parametrize(('where', 'booked'), [('before', 1), ('after', 2)])
def test_where_it_dies_in_between_a_person_is_asked_and_nothing_is_sent_again(
    observatory: Any, due: Any, tutorial: Any, monkeypatch: Any, settings: Any, where: str, booked: int
) -> None:
    monkeypatch.setattr(tutorial, where, staticmethod(dies))
    with pytest.raises(Killed):
        run_cadences(now=at(5))
    assert Submission.objects.get().state == 'sending'
    ManagedCadence.objects.update(claim_expires=None, claim_holder='')
    for hours in (6, 7):
        run_cadences(now=at(hours))
    assert tutorial.runs == 1
    assert len(bookings(observatory)) == booked
    assert managed().state == 'attention'
    assert 'interrupted' in managed().reason


def test_what_it_had_recorded_before_it_died_is_taken_over_and_nobody_is_offered_to_ask_again(
    client: Any, observatory: Any, due: Any, tutorial: Any, monkeypatch: Any, astronomer: Any
) -> None:
    monkeypatch.setattr(own_run, '_made', lambda *_: dies())
    with pytest.raises(Killed):
        run_cadences(now=at(5))
    ManagedCadence.objects.update(claim_expires=None, claim_holder='')
    run_cadences(now=at(6))
    request = Submission.objects.get()
    assert tutorial.runs == 1
    assert (request.state, request.observation_ids) == ('accepted', [records(due)[-1].observation_id])
    assert 'after it had asked for 2' in managed().reason
    client.force_login(astronomer)
    page = client.get(f'/cadences/{managed().pk}/').content.decode()
    assert '/send-again/' not in page
    assert '/resume/' in page


def test_nobody_says_it_is_not_there_of_what_it_recorded_after_its_time(
    client: Any, observatory: Any, due: Any, tutorial: Any, monkeypatch: Any, astronomer: Any, target: Any
) -> None:
    monkeypatch.setattr(tutorial, 'after', staticmethod(dies))
    with pytest.raises(Killed):
        run_cadences(now=at(5))
    ManagedCadence.objects.update(claim_expires=None, claim_holder='')
    run_cadences(now=at(6))
    late = ObservationRecord.objects.create(
        target=target, facility=SIMULATED, parameters=records(due)[0].parameters, observation_id='2', user=astronomer
    )
    due.observation_group.observation_records.add(late)
    client.force_login(astronomer)
    request = Submission.objects.get()
    page = client.post(f'/cadences/{managed().pk}/send-again/', {'request': request.shown}, follow=True).content.decode()
    assert '2 was recorded in the group of this cadence since the strategy began' in page
    assert Submission.objects.get().state == 'uncertain'


def test_what_it_recorded_is_read_again_where_the_database_is_busy_just_then(
    observatory: Any, due: Any, tutorial: Any, monkeypatch: Any
) -> None:
    made, calls_of = own_run._made, []

    def busy(*given: Any) -> Any:
        calls_of.append(given)
        if len(calls_of) == 1:
            raise OperationalError('database is locked')
        return made(*given)

    monkeypatch.setattr(own_run, '_made', busy)
    monkeypatch.setattr('tom_followup.retry.pause', lambda seconds: None)
    assert [line.decision for line in run_cadences(now=at(5)).lines] == ['submit']
    assert Submission.objects.get().state == 'accepted'
    assert managed().state == 'active'


def test_where_it_died_and_the_cadence_was_paused_there_is_a_way_out(
    client: Any, observatory: Any, due: Any, tutorial: Any, monkeypatch: Any, settings: Any, astronomer: Any
) -> None:
    monkeypatch.setattr(tutorial, 'before', staticmethod(dies))
    with pytest.raises(Killed):
        run_cadences(now=at(5))
    due.refresh_from_db()
    due.active = False
    due.save()
    run_cadences(now=at(5))
    assert Submission.objects.get().state == 'sending', 'it may be running still'
    run_cadences(now=at(6))
    assert Submission.objects.get().state == 'uncertain'
    client.force_login(astronomer)
    page = f'/cadences/{managed().pk}/'
    assert f'{page}resume/' in client.get(page).content.decode()
    client.post(f'{page}resume/')
    run_cadences(now=at(7))
    assert managed().state == 'attention'
    assert f'{page}send-again/' in client.get(page).content.decode()
    monkeypatch.setattr(tutorial, 'before', staticmethod(lambda: None))
    client.post(f'{page}send-again/', {'request': Submission.objects.get().shown})
    assert [line.decision for line in run_cadences(now=at(8)).lines] == ['submit']
    assert len(bookings(observatory)) == 2


@pytest.mark.parametrize(('where', 'booked'), [('before', 1), ('after', 2)])
def test_where_it_raises_a_person_is_asked(
    observatory: Any, due: Any, tutorial: Any, monkeypatch: Any, make_cadence: Any, where: str, booked: int
) -> None:
    good = make_cadence(book=observatory)
    settle(observatory, records(good)[0], 'WINDOW_EXPIRED')
    monkeypatch.setattr(tutorial, where, staticmethod(breaks))
    report = run_cadences(now=at(5))
    assert report.failed
    state = ManagedCadence.objects.get(cadence=due)
    assert state.state == 'attention'
    assert 'no photometry' in state.reason
    assert len(bookings(observatory)) == booked + 2
    assert len(records(good)) == 2
    run_cadences(now=at(6))
    assert tutorial.runs == 1


def test_where_the_facility_cannot_be_reached_before_anything_was_sent_it_is_tried_again(
    observatory: Any, due: Any, tutorial: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tutorial, 'before', staticmethod(nobody_listens))
    assert run_cadences(now=at(5)).failed
    assert managed().state == 'active'
    monkeypatch.setattr(tutorial, 'before', None)
    run_cadences(now=at(6))
    assert len(bookings(observatory)) == 2


def test_where_another_service_cannot_be_reached_after_it_was_sent_a_person_is_asked(
    observatory: Any, due: Any, tutorial: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tutorial, 'after', staticmethod(nobody_listens))
    for hours in (5, 6, 7):
        run_cadences(now=at(hours))
    assert len(bookings(observatory)) == 2
    assert managed().state == 'attention'


def test_a_record_that_it_returns_but_does_not_group_is_taken_over_too(
    observatory: Any, due: Any, tutorial: Any, monkeypatch: Any, astronomer: Any
) -> None:
    monkeypatch.setattr(tutorial, 'into_group', False)
    for hours in (5, 6):
        run_cadences(now=at(hours))
    assert len(bookings(observatory)) == 2
    assert [record.observation_id for record in records(due)] == [str(each['id']) for each in bookings(observatory)]
    assert records(due)[1].user == astronomer


def test_its_records_are_the_owners_to_see(observatory: Any, due: Any, settings: Any, astronomer: Any) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    run_cadences(now=at(5))
    assert 'view_observationrecord' in get_perms(astronomer, records(due)[1])


@pytest.mark.parametrize('limits', [{'end_date': '2026-11-21T00:00'}, {'max_observations': 1}])
def test_the_limits_hold_for_it_too(observatory: Any, due: Any, tutorial: Any, limits: dict[str, Any]) -> None:
    settle(observatory, records(due)[0], 'COMPLETED')
    due.cadence_parameters = {'cadence_frequency': 24, **limits}
    due.save()
    run_cadences(now=at(25))
    assert tutorial.runs == 0
    assert len(bookings(observatory)) == 1
    assert managed().state == 'finished'


def test_two_crons_at_once_run_it_once(observatory: Any, due: Any, tutorial: Any, monkeypatch: Any) -> None:
    met = []

    def second_cron(reached: CadencePoint) -> None:
        if reached is CadencePoint.INTENT_COMMITTED and not met:
            met.append(reached)
            run_cadences(now=at(5))

    monkeypatch.setattr(failpoints, 'on_reach', second_cron)
    run_cadences(now=at(5))
    assert met
    assert tutorial.runs == 1
    assert len(bookings(observatory)) == 2


class Gate:
    """Where something hangs until the test opens it. As soon as it hangs, hours have passed by the clock of calls."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.reached.set()
        self.opened.wait(60)

    def monotonic(self) -> float:
        return time.monotonic() + 7200 * self.reached.is_set()


@pytest.fixture
def gate(monkeypatch: Any) -> Iterator[Gate]:
    """It is opened when the test is over, and what hung there has ended."""
    made = Gate()
    monkeypatch.setattr(calls, 'time', made)
    monkeypatch.setattr(transport, 'time', made)
    yield made
    made.opened.set()
    for thread in threading.enumerate():
        if thread.name == 'facility call':
            thread.join(10)


@pytest.mark.parametrize(('where', 'booked'), [('before', 1), ('after', 2)])
def test_where_it_never_ends_a_person_is_asked_and_the_others_are_served(
    observatory: Any, due: Any, tutorial: Any, monkeypatch: Any, make_cadence: Any, gate: Gate, where: str, booked: int
) -> None:
    good = make_cadence(book=observatory)
    settle(observatory, records(good)[0], 'WINDOW_EXPIRED')
    monkeypatch.setattr(tutorial, where, staticmethod(gate.wait))
    report = run_cadences(now=at(5))
    assert report.failed
    state = ManagedCadence.objects.get(cadence=due)
    assert state.state == 'attention'
    assert 'did not end its own run() within' in state.reason
    mark = Submission.objects.get(managed=state)
    assert (mark.origin, mark.state) == ('own-run', 'uncertain')
    assert len(records(good)) == 2
    assert len(bookings(observatory)) == booked + 2
    run_cadences(now=at(6))
    assert tutorial.runs == 1


def test_what_it_would_send_after_its_time_does_not_leave(
    observatory: Any, due: Any, tutorial: Any, monkeypatch: Any, gate: Gate
) -> None:
    ended = threading.Event()
    run = tutorial.run

    def late(self: Any) -> Any:
        try:
            return run(self)
        finally:
            ended.set()

    monkeypatch.setattr(tutorial, 'run', late)
    monkeypatch.setattr(tutorial, 'before', staticmethod(gate.wait))
    run_cadences(now=at(5))
    gate.opened.set()
    assert ended.wait(10)
    assert len(bookings(observatory)) == 1
    assert Submission.objects.get().state == 'uncertain'
    assert managed().state == 'attention'


def test_a_class_that_never_ends_its_own_update_of_states_holds_up_its_own_cadence_only(
    observatory: Any, make_cadence: Any, settings: Any, monkeypatch: Any, gate: Gate
) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, f'{oddities.HERE}.Sleepless']
    settings.FACILITIES['Sleepless observatory'] = settings.FACILITIES[SIMULATED]
    monkeypatch.setattr(oddities.Sleepless, 'sleep', staticmethod(gate.wait))
    slow = make_cadence(facility='Sleepless observatory')
    good = make_cadence(book=observatory)
    settle(observatory, records(good)[0], 'WINDOW_EXPIRED')
    lines = {line.cadence: line for line in run_cadences(now=at(1)).lines}
    assert lines[good.pk].decision == 'submit'
    assert lines[slow.pk].failed
    assert 'No reply within' in lines[slow.pk].reason


def test_what_a_class_saves_by_itself_is_acted_on_in_the_same_run(observatory: Any, make_cadence: Any, settings: Any) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, f'{oddities.HERE}.Sleepless']
    settings.FACILITIES['Sleepless observatory'] = settings.FACILITIES[SIMULATED]
    mine = [make_cadence(facility='Sleepless observatory', observation_id=f'old-{number}') for number in range(3)]
    lines = {line.cadence: line for line in run_cadences(now=at(1)).lines}
    assert [records(cadence)[0].status for cadence in mine] == ['WINDOW_EXPIRED'] * 3
    assert [lines[cadence.pk].decision for cadence in mine] == ['submit'] * 3
