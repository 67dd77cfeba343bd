"""Limits, late changes and silence: a cadence ends when it should, hears of changes after the end, and never waits unheard."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail

from tests.conftest import at
from tests.support import oddities
from tests.support.cadences import PLAIN, bookings, records, settle
from tests.support.oddities import Oracle
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import CadenceRun, ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'


def night_after_night(observatory: Any, cadence: Any, outcome: str, nights: int = 8) -> int:
    """The newest observation ends so each night, and cron runs twice; how many observations there were."""
    for night in range(nights):
        observatory.set_clock(at(24 * night + 5), frozen=True)
        settle(observatory, records(cadence)[-1], outcome)
        for _ in range(2):
            run_cadences(now=at(24 * night + 5))
    cadence.refresh_from_db()
    return len(bookings(observatory))


def managed() -> ManagedCadence:
    return ManagedCadence.objects.get()


@pytest.mark.parametrize(
    ('outcome', 'limits', 'observations', 'state', 'word'),
    [
        ('COMPLETED', {'max_observations': 3}, 3, 'finished', 'All 3'),
        ('COMPLETED', {'max_observations': '3'}, 3, 'finished', 'All 3'),
        ('COMPLETED', {'end_date': '2026-11-23T09:00'}, 3, 'finished', 'end date'),
        ('WINDOW_EXPIRED', {'end_date': '2026-11-23T09:00'}, 3, 'finished', 'end date'),
        ('COMPLETED', {'max_exposure_time': 240}, 4, 'finished', 'total exposure time'),
        ('COMPLETED', {'max_exposure_time': 239.9}, 3, 'finished', 'total exposure time'),
        ('WINDOW_EXPIRED', {'max_consecutive_failures': 3}, 3, 'attention', '3 observations in a row'),
        ('WINDOW_EXPIRED', {'max_nights_without_success': 4}, 5, 'attention', 'was asked for in 4 nights; the limit is 4'),
        ('WINDOW_EXPIRED', {'max_nights_without_success': None}, 9, 'active', ''),
        ('FAILURE_LIMIT_REACHED', {'max_nights_without_success': 20}, 9, 'active', ''),
        ('WINDOW_EXPIRED', {}, 9, 'active', ''),
        ('FAILURE_LIMIT_REACHED', {}, 9, 'active', ''),
        ('COMPLETED', {}, 9, 'active', ''),
    ],
)
def test_a_cadence_ends_at_its_limits_and_tells_the_owner(
    observatory: Any, make_cadence: Any, outcome: str, limits: dict[str, Any], observations: int, state: str, word: str
) -> None:
    cadence = make_cadence(book=observatory, **limits)
    assert night_after_night(observatory, cadence, outcome) == observations
    assert managed().state == state
    assert word in managed().reason
    assert cadence.active is (state == 'active')
    assert [told.to for told in mail.outbox] == [['vera@example.org']] * (state != 'active')


def test_failed_observations_use_no_exposure_time(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory, max_exposure_time=60)
    assert night_after_night(observatory, cadence, 'WINDOW_EXPIRED', nights=3) == 4


def test_an_exposure_time_that_cannot_be_read_asks_a_person_rather_than_guess(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory, max_exposure_time=600)
    record = records(cadence)[0]
    record.parameters['exposure_time'] = 'as long as it takes'
    record.save()
    assert night_after_night(observatory, cadence, 'COMPLETED', nights=1) == 1
    assert managed().state == 'attention'


@pytest.mark.parametrize('limits', [{'max_observations': 1}, {'end_date': '2026-11-21T00:00'}, {'max_exposure_time': 60}])
def test_a_site_s_own_strategy_gets_the_same_limits(
    observatory: Any, make_cadence: Any, settings: Any, monkeypatch: Any, limits: dict[str, Any]
) -> None:
    settings.TOM_CADENCE_STRATEGIES = oddities.paths(Oracle)
    monkeypatch.setattr(Oracle, 'answer', staticmethod(oddities.submit))
    cadence = make_cadence(book=observatory, strategy='Oracle', **limits)
    assert night_after_night(observatory, cadence, 'COMPLETED', nights=2) == 1
    assert managed().state == 'finished'


def test_refusals_count_as_failures_and_pause_longer_each_time(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory, max_consecutive_failures=5)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    observatory.fault('submit', 'refuse', count=99, errors={'end': ['Not visible.']})
    tries = []
    for minute in range(0, 300, 5):
        run_cadences(now=at(5 + minute / 60))
        tries.append(Submission.objects.count())
    assert [tries.index(number) * 5 for number in (1, 2, 3, 4)] == [0, 10, 30, 70]
    assert tries[-1] == 4
    assert managed().state == 'attention'
    assert '5 observations in a row' in managed().reason
    assert CadenceRun.objects.filter(reason__contains='Not visible.').exists()
    assert len(bookings(observatory)) == 1


# --- terminal is not final ------------------------------------------------------------------------------------------------


def test_a_failure_that_became_a_success_is_counted_and_told_and_the_follow_up_stays(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory, max_observations=2)
    first = records(cadence)[0]
    settle(observatory, first, 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    run_cadences(now=at(5.5))
    settle(observatory, first, 'COMPLETED')
    run_cadences(now=at(6))
    first.refresh_from_db()
    assert first.status == 'WINDOW_EXPIRED', 'finished observations are asked for every six hours or so only'
    run_cadences(now=at(13.5))
    first.refresh_from_db()
    assert first.status == 'COMPLETED'
    assert len(bookings(observatory)) == 2
    assert observatory.book.get(records(cadence)[1].observation_id, 'tom').state == 'PENDING'
    assert 'is now COMPLETED' in CadenceRun.objects.get(decision='note').reason
    assert ['late change' in told.subject for told in mail.outbox] == [True]
    settle(observatory, records(cadence)[1], 'COMPLETED')
    run_cadences(now=at(14))
    assert managed().state == 'finished'
    assert len(bookings(observatory)) == 2


def test_a_success_that_is_pending_again_books_nothing_new(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory)
    first = records(cadence)[0]
    settle(observatory, first, 'COMPLETED')
    run_cadences(now=at(3))
    settle(observatory, first, 'PENDING')
    for hours in (12, 13, 20):
        run_cadences(now=at(hours))
    first.refresh_from_db()
    assert first.status == 'PENDING'
    assert len(bookings(observatory)) == 2
    settle(observatory, first, 'COMPLETED')
    run_cadences(now=at(21))
    assert len(bookings(observatory)) == 2


def test_a_failure_that_changed_before_it_was_answered_is_not_answered(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory, status='WINDOW_EXPIRED')
    settle(observatory, records(cadence)[0], 'COMPLETED')
    run_cadences(now=at(5))
    assert records(cadence)[1].parameters['start'] == '2026-11-22T08:00'


def test_finished_observations_are_left_alone_after_two_weeks(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'COMPLETED')
    run_cadences(now=at(3))
    before = observatory.counts()['requests'].get('status', 0)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    ManagedCadence.objects.update(late_check=None)
    run_cadences(now=at(4 + 14 * 24 + 1))
    assert records(cadence)[0].status == 'COMPLETED'
    assert observatory.counts()['requests']['status'] == before + 1


# --- silence ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('hours', 'state'), [(27.9, 'active'), (28, 'attention')])
def test_an_observation_unfinished_a_day_after_its_window_asks_a_person(
    observatory: Any, make_cadence: Any, hours: float, state: str
) -> None:
    cadence = make_cadence(book=observatory)
    run_cadences(now=at(hours))
    assert managed().state == state
    if state == 'attention':
        assert records(cadence)[0].observation_id in managed().reason
        assert len(mail.outbox) == 1


def test_one_failed_question_after_a_window_that_is_long_over_is_not_taken_for_a_state(observatory: Any, make_cadence: Any) -> None:
    """A TOM whose cron stood still for two days, and whose first question fails: the state was never learnt."""
    cadence = make_cadence(book=observatory, facility=PLAIN)
    settle(observatory, records(cadence)[0], 'COMPLETED')
    observatory.fault('status', '503')
    run_cadences(now=at(52))
    assert managed().state == 'active'
    assert 'HTTP 503' in managed().last_reason
    run_cadences(now=at(52.1))
    assert managed().state == 'active'
    assert len(bookings(observatory)) == 2


@pytest.mark.parametrize('fault', ['503', '404', 'reset-before', '500-before'])
def test_no_state_for_a_day_asks_a_person(observatory: Any, make_cadence: Any, fault: str) -> None:
    make_cadence(book=observatory, facility=PLAIN, hours=100)
    observatory.fault('status', fault, count=9999)
    for hours in (1, 12, 24.9):
        report = run_cadences(now=at(hours))
        assert report.failed
        assert managed().state == 'active'
    run_cadences(now=at(25))
    assert managed().state == 'attention'
    assert '24 h' in managed().reason
    assert run_cadences(now=at(26)).lines == []


def test_one_answer_in_between_starts_the_day_anew(observatory: Any, make_cadence: Any) -> None:
    make_cadence(book=observatory, facility=PLAIN, hours=100)
    observatory.fault('status', '503')
    run_cadences(now=at(1))
    run_cadences(now=at(12))
    assert managed().unreachable_since is None
    observatory.fault('status', '503', count=99)
    for hours in (13, 25.5, 36.5):
        run_cadences(now=at(hours))
    assert managed().state == 'active'


def test_a_facility_that_cannot_be_reached_to_send_for_a_day_asks_a_person(
    observatory: Any, make_cadence: Any, settings: Any
) -> None:
    cadence = make_cadence(book=observatory, status='WINDOW_EXPIRED')
    settings.TOM_CADENCE = {'LATE_CHANGE_DAYS': 0}
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    address = settings.FACILITIES['Simulated observatory']['portal_url']
    settings.FACILITIES['Simulated observatory']['portal_url'] = 'http://127.0.0.1:9'
    for hours in (5, 17):
        assert run_cadences(now=at(hours)).failed
        assert managed().state == 'active'
    run_cadences(now=at(29.1))
    assert managed().state == 'attention'
    settings.FACILITIES['Simulated observatory']['portal_url'] = address
    assert len(bookings(observatory)) == 1


# --- dead ends --------------------------------------------------------------------------------------------------------------


def test_who_deletes_the_newest_record_is_asked_and_resume_leads_out(observatory: Any, make_cadence: Any) -> None:
    from tom_cadence import journal

    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 2
    records(cadence)[-1].delete()
    run_cadences(now=at(6))
    assert managed().state == 'attention'
    assert 'Look whether that is still booked; resume the cadence to ask for another one.' in managed().reason
    assert len(bookings(observatory)) == 2
    journal.resume(managed(), at(7))
    run_cadences(now=at(8))
    assert managed().state == 'active'
    assert len(bookings(observatory)) == 3
    assert len(records(cadence)) == 2
    run_cadences(now=at(9))
    assert len(bookings(observatory)) == 3
    assert CadenceRun.objects.filter(decision='note', reason__contains='was deleted here').count() == 1
