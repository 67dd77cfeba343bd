"""A run leaves finished observations unread where a cadence waits for an unfinished one; nothing else changes by it."""

from __future__ import annotations

from typing import Any

import pytest
from tom_observations.models import DynamicCadence, ObservationRecord

from tests.conftest import at
from tests.support.cadences import PLAIN, SIMULATED, bookings, parameters, records, settle
from tom_cadence.core.decisions import Submit, Wait
from tom_cadence.engine import send
from tom_cadence.engine.decide import decided
from tom_cadence.engine.look import quick_look
from tom_cadence.engine.run import run_cadences
from tom_cadence.engine.snapshot import prepare
from tom_cadence.engine.stages import Context, Known, Polled, Snapshot
from tom_cadence.facilities import Facilities, Status
from tom_cadence.models import Booking, ManagedCadence, Submission
from tom_cadence.strategies import ResumeCadenceAfterFailureStrategy

pytestmark = pytest.mark.django_db(transaction=True)


class Liar(ResumeCadenceAfterFailureStrategy):
    """Says that it waits, and does not."""

    waits_for_unfinished = True

    def decide(self, history: Any, now: Any) -> Any:
        """Count what it is shown."""
        newest = history.attempts[-1]
        if len(history.attempts) > 3:
            return Wait(reason='Four are enough.')
        seen = f'It was shown {len(history.attempts)}.'
        return Submit(reason=seen, window=newest.window.not_before(now), like=newest.record, follows=(newest.record,))


class Onlooker(ResumeCadenceAfterFailureStrategy):
    """Waits for what is unfinished, and then on."""

    waits_for_unfinished = True

    def decide(self, history: Any, now: Any) -> Any:
        """Count what it is shown."""
        return Wait(reason='Not finished.' if history.waiting else f'It was shown {len(history.attempts)}.')


def night(observatory: Any, cadence: Any, hours: float, state: str) -> None:
    """The newest observation ends so, and cron runs."""
    settle(observatory, records(cadence)[-1], state)
    run_cadences(now=at(hours))


@pytest.fixture
def cadence(observatory: Any, make_cadence: Any) -> Any:
    """Two failures, and an observation that is not finished."""
    made = make_cadence(book=observatory)
    night(observatory, made, 4, 'WINDOW_EXPIRED')
    night(observatory, made, 8, 'WINDOW_EXPIRED')
    run_cadences(now=at(8.1))
    assert [record.status for record in records(made)] == ['WINDOW_EXPIRED', 'WINDOW_EXPIRED', 'PENDING']
    return made


def look(hours: float) -> list[Snapshot]:
    prepared = prepare(ManagedCadence.objects.select_related('cadence', 'owner').get())
    return quick_look([prepared], Facilities(), at(hours))


def test_a_cadence_that_waits_is_read_in_part(cadence: Any) -> None:
    [read] = look(8.2)
    assert read.quick
    assert [row.pk for row in read.rows] == [records(cadence)[-1].pk]
    known = Known(snapshot=read)
    assert decided(known, Facilities(), at(8.2)).consecutive_failures == 2


def test_what_was_known_of_it_stays_known(observatory: Any, cadence: Any) -> None:
    before = ManagedCadence.objects.get()
    report = run_cadences(now=at(8.5))
    after = ManagedCadence.objects.get()
    assert [line.decision for line in report.lines] == ['wait']
    assert f'Observation {records(cadence)[-1].observation_id} is not finished' in report.lines[0].reason
    assert (after.consecutive_failures, after.last_reason, after.late_check) == (2, before.last_reason, before.late_check)
    night(observatory, cadence, 9, 'WINDOW_EXPIRED')
    run_cadences(now=at(9.1))
    assert ManagedCadence.objects.get().consecutive_failures == 3
    assert len(bookings(observatory)) == 4


def test_the_first_run_after_a_booking_reads_everything_once(cadence: Any) -> None:
    ManagedCadence.objects.update(last_run=None)
    assert look(8.2) == []
    run_cadences(now=at(8.2))
    assert len(look(8.3)) == 1


@pytest.mark.parametrize('state', ['COMPLETED', 'WINDOW_EXPIRED'])
def test_news_are_acted_on_in_the_same_run(observatory: Any, cadence: Any, state: str) -> None:
    settle(observatory, records(cadence)[-1], state)
    report = run_cadences(now=at(9))
    assert [line.decision for line in report.lines] == ['submit']
    expected = at(32) if state == 'COMPLETED' else at(9)
    assert records(cadence)[-1].parameters['start'] == expected.strftime('%Y-%m-%dT%H:%M')


def test_limits_see_the_whole_history(observatory: Any, cadence: Any) -> None:
    DynamicCadence.objects.update(cadence_parameters={'cadence_frequency': 24, 'max_consecutive_failures': 3})
    night(observatory, cadence, 9, 'WINDOW_EXPIRED')
    managed = ManagedCadence.objects.get()
    assert (managed.state, len(bookings(observatory))) == ('attention', 3)
    assert '3 observations in a row' in managed.reason


def test_a_finished_record_that_nobody_noted_is_noted_before_anything_is_sent(
    observatory: Any, cadence: Any, target: Any, astronomer: Any
) -> None:
    asked = parameters(target, at(-24), facility=SIMULATED)
    ObservationRecord.objects.bulk_create(
        [
            ObservationRecord(
                target=target, user=astronomer, facility=SIMULATED, parameters=asked, observation_id='by-hand', status='COMPLETED'
            )
        ]
    )
    made = ObservationRecord.objects.get(observation_id='by-hand')
    through = type(cadence.observation_group).observation_records.through
    through.objects.bulk_create([through(observationgroup=cadence.observation_group, observationrecord=made)])
    assert not Booking.objects.filter(record=made).exists()
    before = len(bookings(observatory))
    observatory.fault('submit', 'refuse')
    settle(observatory, records(cadence)[2], 'WINDOW_EXPIRED')
    run_cadences(now=at(8.3))
    assert len(bookings(observatory)) == before
    assert Booking.objects.filter(record=made).exists()


@pytest.mark.parametrize(
    ('changes', 'hours'),
    [
        ({}, 40),  # finished ones are asked for again
        ({'sky_min_altitude': 30}, 8.2),  # whether the target is ever up depends on more
    ],
)
def test_what_depends_on_more_is_read_whole(cadence: Any, changes: dict[str, Any], hours: float) -> None:
    DynamicCadence.objects.update(cadence_parameters={'cadence_frequency': 24, **changes})
    assert look(hours) == []
    DynamicCadence.objects.update(cadence_strategy='RetryFailedObservationsStrategy')
    assert look(8.2) == []


def test_a_facility_that_is_gone_is_left_to_the_whole_reading(settings: Any, cadence: Any) -> None:
    settings.TOM_FACILITY_CLASSES = ['custom_code.observatory.PlainObservatoryFacility']
    assert look(8.2) == []
    assert 'not in TOM_FACILITY_CLASSES' in run_cadences(now=at(8.2)).lines[0].reason


def test_a_facility_that_cannot_say_its_states_troubles_its_own_cadence_only(
    monkeypatch: Any, cadence: Any, make_cadence: Any
) -> None:
    def broken(self: Any) -> Any:
        raise RuntimeError('no states today')

    monkeypatch.setattr('custom_code.observatory.SimulatedObservatoryFacility.get_terminal_observing_states', broken)
    other = make_cadence(facility=PLAIN, observation_id='2')
    lines = {line.cadence: line for line in run_cadences(now=at(8.2)).lines}
    assert 'no states today' in lines[cadence.pk].reason
    assert lines[other.pk].decision == 'submit'


def test_a_finished_record_of_another_facility_is_not_taken_for_an_unfinished_one(settings: Any, cadence: Any) -> None:
    settings.TOM_CADENCE_STRATEGIES = [f'{__name__}.Onlooker']
    DynamicCadence.objects.update(cadence_strategy='Onlooker')
    newest = records(cadence)[-1].pk
    ObservationRecord.objects.filter(pk=newest).update(facility=PLAIN, status='NO SUCH STATE')
    assert look(8.2) == []


def test_a_strategy_that_does_not_wait_after_all_is_shown_everything(settings: Any, observatory: Any, cadence: Any) -> None:
    settings.TOM_CADENCE_STRATEGIES = [f'{__name__}.Liar']
    DynamicCadence.objects.update(cadence_strategy='Liar')
    asked = run_cadences(now=at(8.2), dry_run=True)
    assert 'It was shown 3.' in asked.lines[0].reason
    report = run_cadences(now=at(8.2))
    assert [line.reason for line in report.lines] == ['It was shown 3.']
    assert len(bookings(observatory)) == 4


def test_the_context_of_a_cadence_is_read_under_the_claim_where_it_had_only_a_quick_look(cadence: Any) -> None:
    [read] = look(8.2)
    said = Polled(states={read.rows[0].pk: Status(state='PENDING')})
    [taken] = send.take([Known(snapshot=read, context=Context(), polled=said, caught='It raised.')])
    assert (taken.known.context, taken.known.snapshot.quick, len(taken.known.snapshot.rows)) == (None, False, 3)
    assert (taken.known.polled.states, taken.known.trouble) == (said.states, 'It raised.')


def test_a_wait_after_news_has_seen_everything(settings: Any, observatory: Any, cadence: Any) -> None:
    settings.TOM_CADENCE_STRATEGIES = [f'{__name__}.Onlooker']
    DynamicCadence.objects.update(cadence_strategy='Onlooker')
    assert run_cadences(now=at(8.2)).lines[0].reason == 'Not finished.'
    settle(observatory, records(cadence)[-1], 'COMPLETED')
    assert run_cadences(now=at(8.3)).lines[0].reason == 'It was shown 3.'


def test_a_refusal_makes_no_failure_forgotten(observatory: Any, cadence: Any) -> None:
    observatory.fault('submit', 'refuse')
    night(observatory, cadence, 9, 'WINDOW_EXPIRED')
    assert len(bookings(observatory)) == 3
    assert ManagedCadence.objects.get().consecutive_failures == 3


def test_a_request_whose_reply_was_lost_is_looked_up_although_the_cadence_waits(cadence: Any) -> None:
    managed = ManagedCadence.objects.get()
    lost = Submission.objects.create(
        managed=managed,
        cause='another night',
        facility=managed.facility,
        owner=managed.owner,
        state=Submission.State.UNCERTAIN,
        created=at(8.1),
        closed=at(8.1),
    )
    run_cadences(now=at(8.2))
    lost.refresh_from_db()
    assert lost.state == Submission.State.UNCERTAIN  # not there, but it may be on its way still
    run_cadences(now=at(8.5))
    lost.refresh_from_db()
    assert (lost.state, lost.message.split(':')[0]) == (Submission.State.REFUSED, f'It never arrived at {managed.facility}')
