"""A facility that books and does not say so, or says nonsense, or says nothing: never two bookings, never none without a word."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import at
from tests.support.cadences import PLAIN, SIMULATED
from tests.support.processes import check_booked_once, open_requests, seed
from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

BOOKED = ['500-after', 'reset-after', 'malformed-after', 'hang-after']
NOT_BOOKED = ['500-before', '503', '404', 'reset-before', 'hang', 'empty-ids']
DUE = 3.0
SETTLED = 11 / 60


@pytest.fixture(autouse=True)
def impatient(settings: Any) -> None:
    """A facility that hangs is waited for one second only."""
    settings.TOM_CADENCE = {'FACILITY_TIMEOUT': 1}


@pytest.fixture(autouse=True)
def nothing_hangs_after_the_test(observatory: Any) -> Iterator[None]:
    """Let go what a test left hanging."""
    yield
    observatory.release()


def turn(observatory: Any, hours: float, **given: Any) -> list[Any]:
    """One run of cron at this hour of the night; the observatory has the same time. The lines of its report."""
    from tom_cadence.engine.run import run_cadences

    observatory.set_clock(at(hours))
    return run_cadences(now=at(hours), **given).lines


def sent(observatory: Any) -> int:
    """How often the observatory was asked to book."""
    return int(observatory.requests['submit'])


def looked_up(observatory: Any) -> int:
    """How often the observatory was asked whether it has a booking."""
    return int(observatory.requests['list'] - observatory.requests['submit'])  # and once before each request is sent


def state_of(cadence: Any) -> tuple[str, str]:
    """The cadence's state and the reason for it."""
    from tom_cadence.models import ManagedCadence

    managed = ManagedCadence.objects.get(host_cadence_id=cadence.pk)
    cadence.refresh_from_db()
    assert cadence.active == (managed.state == 'active')
    return managed.state, managed.reason


def states() -> list[str]:
    """The states of all requests, oldest first."""
    from tom_cadence.models import Submission

    return list(Submission.objects.order_by('pk').values_list('state', flat=True))


@pytest.mark.parametrize('fault', BOOKED)
def test_a_booking_whose_reply_was_lost_is_found_at_once_and_recorded(observatory: Any, astronomer: Any, fault: str) -> None:
    [cadence] = seed(observatory, 1)
    observatory.fault('submit', fault)
    [line] = turn(observatory, DUE)
    assert (line.decision, line.failed, line.observation_ids) == ('submit', False, ['2'])
    for hours in (DUE, DUE + SETTLED, DUE + 1):
        assert [line.decision for line in turn(observatory, hours)] == ['wait']
    assert check_booked_once(observatory, [cadence], 1) == sent(observatory) == 1
    assert states() == ['accepted']
    assert state_of(cadence) == ('active', '')


@pytest.mark.parametrize('fault', BOOKED)
def test_a_booking_whose_reply_was_lost_is_found_later_where_the_list_was_down_too(
    observatory: Any, astronomer: Any, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    [cadence] = seed(observatory, 1)
    observatory.fault('submit', fault)

    def down(point: CadencePoint) -> None:
        if point is CadencePoint.SENDING:
            observatory.fault('list', '503', count=2)

    monkeypatch.setattr(failpoints, 'on_reach', down)
    for hours in (DUE, DUE + 1):
        [line] = turn(observatory, hours)
        assert (line.decision, line.failed) == ('error', True)
        assert 'answered HTTP 503' in line.reason
    assert open_requests() == 1
    assert [line.observation_ids for line in turn(observatory, DUE + 2)] == [['2']]
    assert check_booked_once(observatory, [cadence], 1) == sent(observatory) == 1


def test_where_it_cannot_be_asked_whether_it_is_there_already_nothing_is_sent_before_the_next_run(
    observatory: Any, astronomer: Any
) -> None:
    [cadence] = seed(observatory, 1)
    observatory.fault('list', '503')
    [line] = turn(observatory, DUE)
    assert (line.decision, line.failed, sent(observatory)) == ('error', True, 0)
    assert [line.observation_ids for line in turn(observatory, DUE + 0.1)] == [['2']]
    assert check_booked_once(observatory, [cadence], 1) == sent(observatory) == 1


@pytest.mark.parametrize('fault', NOT_BOOKED)
def test_what_never_arrived_is_looked_up_twice_around_the_settle_time_and_then_sent_once_more(
    observatory: Any, astronomer: Any, fault: str
) -> None:
    [cadence] = seed(observatory, 1)
    observatory.fault('submit', fault)
    [line] = turn(observatory, DUE)
    assert (line.decision, line.observation_ids) == ('wait', [])
    assert (sent(observatory), looked_up(observatory), states()) == (1, 1, ['uncertain'])
    assert [line.decision for line in turn(observatory, DUE + 9 / 60)] == ['wait']
    assert (sent(observatory), looked_up(observatory), states()) == (1, 2, ['uncertain'])
    assert [line.observation_ids for line in turn(observatory, DUE + SETTLED)] == [['2']]
    assert (sent(observatory), looked_up(observatory), states()) == (2, 3, ['refused', 'accepted'])
    assert [line.decision for line in turn(observatory, DUE + 2 * SETTLED)] == ['wait']
    assert check_booked_once(observatory, [cadence], 1) == 1
    assert sent(observatory) == 2
    assert state_of(cadence) == ('active', '')


def test_a_booking_made_long_after_the_reply_was_given_up_is_found_and_not_repeated(observatory: Any, astronomer: Any) -> None:
    [cadence] = seed(observatory, 1)
    observatory.fault('submit', 'late')
    assert [line.decision for line in turn(observatory, DUE)] == ['wait']
    assert len(observatory.log()) == 1
    observatory.release()
    _until(lambda: len(observatory.log()) == 2)
    assert [line.observation_ids for line in turn(observatory, DUE + 9 / 60)] == [['2']]
    assert [line.decision for line in turn(observatory, DUE + 1)] == ['wait']
    assert check_booked_once(observatory, [cadence], 1) == sent(observatory) == 1


def test_a_reply_that_comes_after_its_booking_was_looked_up_changes_nothing(
    observatory: Any, astronomer: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client of the facility honours no deadline: the call is given up, the booking found, and then the call returns."""
    from tests.processes.cadence.facilities import SlowObservatoryFacility
    from tom_followup import failpoints

    settings.TOM_FACILITY_CLASSES = ['tests.processes.cadence.facilities.SlowObservatoryFacility']
    settings.TOM_CADENCE = {'FACILITY_TIMEOUT': 0.5}
    SlowObservatoryFacility.gate.clear()
    [cadence] = seed(observatory, 1)
    observatory.latency['status'] = 0.4  # the run goes on after the booking was found, so that the late reply meets it
    monkeypatch.setattr(
        failpoints,
        'on_reach',
        lambda point: SlowObservatoryFacility.gate.set() if point is failpoints.CadencePoint.ACCEPTED else None,
    )
    lines = turn(observatory, DUE)
    assert [line.observation_ids for line in lines if line.observation_ids] == [['2']]
    assert not any(line.failed for line in lines), lines
    assert state_of(cadence) == ('active', '')
    assert [line.decision for line in turn(observatory, DUE + 1)] == ['wait']
    assert check_booked_once(observatory, [cadence], 1) == sent(observatory) == 1


@pytest.mark.parametrize('fault', [*BOOKED, *NOT_BOOKED])
def test_a_facility_that_cannot_be_asked_waits_for_a_person_and_is_never_sent_it_again(
    observatory: Any, astronomer: Any, mailoutbox: Any, fault: str
) -> None:
    [cadence] = seed(observatory, 1, facility=PLAIN)
    observatory.fault('submit', fault)
    [line] = turn(observatory, DUE)
    assert (line.decision, line.failed) == ('error', True)
    state, reason = state_of(cadence)
    assert state == 'attention'
    assert 'It is not known whether Plain observatory booked the request' in reason
    assert [mail.subject for mail in mailoutbox] == [f'[Example TOM] Cadence {cadence.pk} (SN 1) needs attention']
    for hours in (DUE + 1, DUE + 24):
        assert turn(observatory, hours) == []
    cadence.active = True  # somebody only switches it on again, without a word about the request
    cadence.save()
    assert [line.decision for line in turn(observatory, DUE + 25)] == ['error']
    assert state_of(cadence)[0] == 'attention'
    assert sent(observatory) == 1
    assert states() == ['uncertain']
    assert len(observatory.log()) == (2 if fault in BOOKED else 1)


def test_a_persons_word_about_a_lost_reply_leaves_one_booking_and_one_record(observatory: Any, astronomer: Any) -> None:
    from tom_cadence import journal
    from tom_cadence.models import ManagedCadence

    there, lost = seed(observatory, 2, facility=PLAIN)
    observatory.fault('submit', '500-after', match='SN 1')
    observatory.fault('submit', '500-before', match='SN 2')
    turn(observatory, DUE)
    [booking] = observatory.log(2)
    waiting = {cadence: journal.open_request_of(ManagedCadence.objects.get(cadence=cadence)) for cadence in (there, lost)}
    journal.confirm_booked(waiting[there], [str(booking['id'])], 'vera', at(4))
    journal.confirm_not_booked(waiting[lost], 'vera', at(4))
    turn(observatory, 4)
    turn(observatory, 5)
    assert check_booked_once(observatory, [there, lost], 2) == 2
    assert state_of(there)[0] == state_of(lost)[0] == 'active'


def test_a_facility_whose_clock_is_behind_is_still_asked_rightly(observatory: Any, astronomer: Any) -> None:
    from tom_cadence.engine.run import run_cadences

    [cadence] = seed(observatory, 1)
    observatory.fault('submit', '500-after')
    for hours in (DUE, DUE + SETTLED, DUE + 2 * SETTLED):
        observatory.set_clock(at(hours) - timedelta(seconds=90))
        run_cadences(now=at(hours))
    assert check_booked_once(observatory, [cadence], 1) == sent(observatory) == 1


def test_the_id_of_an_observation_already_in_the_group_needs_attention(observatory: Any, astronomer: Any) -> None:
    [cadence] = seed(observatory, 1)
    observatory.fault('submit', 'same-id')
    turn(observatory, DUE)
    state, reason = state_of(cadence)
    assert state == 'attention'
    assert 'already recorded in this TOM: 1' in reason
    assert cadence.observation_group.observation_records.count() == 1
    assert turn(observatory, DUE + 1) == []
    assert sent(observatory) == 1


def test_the_id_of_another_cadences_observation_needs_attention(observatory: Any, astronomer: Any) -> None:
    from tom_observations.models import ObservationRecord

    [first], [second] = seed(observatory, 1), seed(observatory, 1, state='PENDING')
    observatory.fault('submit', 'same-id')  # the newest booking is SN 2's
    turn(observatory, DUE)
    state, reason = state_of(first)
    assert state == 'attention'
    assert 'already recorded in this TOM: 2' in reason
    assert ObservationRecord.objects.filter(observation_id='2').count() == 1, 'two records of one observation'
    assert state_of(second) == ('active', '')


def test_the_id_of_a_paused_cadences_observation_needs_attention(observatory: Any, astronomer: Any) -> None:
    from tom_observations.models import ObservationRecord

    first, second = seed(observatory, 2)
    second.active = False
    second.save()
    observatory.fault('submit', 'same-id')
    turn(observatory, DUE)
    assert state_of(first)[0] == 'attention'
    assert ObservationRecord.objects.filter(observation_id='2').count() == 1, 'two records of one observation'


def test_an_observation_that_is_refused_with_errors_is_tried_less_and_less_often_and_after_five_times_a_person_is_asked(
    observatory: Any, astronomer: Any
) -> None:
    [cadence] = seed(observatory, 1)
    cadence.cadence_parameters['max_consecutive_failures'] = 5
    cadence.save()
    observatory.fault('submit', 'refuse', count=9, errors={'exposure_time': ['Too faint for this telescope.']})
    minutes = 180.0
    for tries, pause in enumerate((10, 20, 40, 80), start=1):
        [line] = turn(observatory, minutes / 60)
        assert (line.decision, line.failed, sent(observatory)) == ('error', True, tries)
        assert 'Too faint for this telescope.' in line.reason
        [line] = turn(observatory, (minutes + pause - 1) / 60)
        assert (line.decision, sent(observatory)) == ('wait', tries)
        minutes += pause + 1
    turn(observatory, minutes / 60)
    assert sent(observatory) == 5
    turn(observatory, 30)
    state, reason = state_of(cadence)
    assert state == 'attention'
    assert reason == '5 observations in a row failed or were refused; the limit is 5.'
    assert turn(observatory, 60) == []
    assert sent(observatory) == 5
    assert states() == ['refused'] * 5
    assert looked_up(observatory) == 0


@pytest.mark.parametrize('verb', ['submit', 'status'])
def test_refused_credentials_pause_all_cadences_of_that_facility_and_owner_together_with_one_notice(
    observatory: Any, astronomer: Any, settings: Any, mailoutbox: Any, verb: str
) -> None:
    from tom_cadence import journal

    portal = settings.FACILITIES[SIMULATED]
    settings.FACILITIES = {SIMULATED: dict(portal), PLAIN: portal}
    cadences, other = seed(observatory, 3), seed(observatory, 1, facility=PLAIN)[0]
    waiting = seed(observatory, 1, state='PENDING')[0]
    if verb == 'submit':
        observatory.fault('submit', '403', match='SN 1')
        observatory.fault('submit', '403', match='SN 2')
        observatory.fault('submit', '403', match='SN 3')
    else:
        settings.FACILITIES[SIMULATED]['api_key'] = 'expired'
    turn(observatory, DUE)
    for cadence in [*cadences, waiting]:
        state, reason = state_of(cadence)
        assert state == 'attention'
        assert reason.startswith('Simulated observatory does not accept the credentials')
        assert 'expired' not in reason
    assert state_of(other) == ('active', '')
    said = '[Example TOM] 4 cadences: Simulated observatory does not accept your credentials'
    assert [mail.subject for mail in mailoutbox] == [said]
    turn(observatory, DUE + 1)
    assert len(mailoutbox) == 1
    assert [entry['target'] for entry in observatory.log(5)] == ['SN 4']

    settings.FACILITIES[SIMULATED]['api_key'] = 'example-token'
    assert journal.resume_after_credentials(SIMULATED, astronomer, at(DUE + 2)) == 4
    turn(observatory, DUE + 2)
    turn(observatory, DUE + 3)
    assert check_booked_once(observatory, [*cadences, other], 5) == 4
    assert open_requests() == 0


def test_what_was_not_sent_because_the_facility_did_not_answer_before_is_sent_in_a_later_run(
    observatory: Any, astronomer: Any, settings: Any
) -> None:
    settings.TOM_CADENCE = {'FACILITY_TIMEOUT': 0.4}
    cadences = seed(observatory, 4, facility=PLAIN)
    observatory.fault('submit', 'hang', count=3)
    turn(observatory, DUE, workers=1)
    assert [state_of(cadence)[0] for cadence in cadences] == ['attention', 'attention', 'attention', 'active']
    assert sent(observatory) == 3
    assert [line.observation_ids for line in turn(observatory, DUE + 1, workers=1)] == [['5']]
    assert check_booked_once(observatory, cadences[3:], 4) == 1


def _until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds that another thread brings about."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, 'it never came'
        threading.Event().wait(0.01)
