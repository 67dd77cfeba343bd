"""For 200 random histories the first simulated decision is the engine's dry run."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord
from tom_targets.models import Target

from custom_code.observatory import PlainObservatoryFacility
from tests.support.cadences import parameters
from tom_cadence import journal
from tom_cadence.core.windows import show
from tom_cadence.engine.run import run_cadences
from tom_cadence.flows import simulate as flows_simulate
from tom_cadence.models import Booking, ManagedCadence, Submission
from tom_cadence.simulation import PERFECT, simulate
from tom_cadence.simulation.results import Step

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
HISTORIES = 200
STATES = ['COMPLETED'] * 5 + ['WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'NOT_ATTEMPTED'] * 2 + ['CANCELED']
STRATEGIES: dict[str, dict[str, Any]] = {
    'ResumeCadenceAfterFailureStrategy': {},
    'RetryFailedObservationsStrategy': {},
    'StagedStrategy': {'staged_stages': 'every 6 h for 2 days, then every 24 h for 10 days'},
    'UntilSuccessStrategy': {},
}


class ToldFacility(PlainObservatoryFacility):
    """Says of every observation what this test put down for it."""

    name = 'Told observatory'
    states: ClassVar[dict[str, str]] = {}

    def get_observation_status(self, observation_id: str) -> dict[str, Any]:
        """The state, without a schedule."""
        return {'state': self.states[str(observation_id)], 'scheduled_start': None, 'scheduled_end': None}


@pytest.fixture
def told(settings: Any) -> type[ToldFacility]:
    settings.FACILITIES = {ToldFacility.name: {'portal_url': 'http://127.0.0.1:9', 'api_key': 'x'}}
    settings.TOM_FACILITY_CLASSES = [f'{__name__}.ToldFacility']
    ToldFacility.states = {}
    return ToldFacility


def invent(dice: random.Random, owner: Any, target: Any, number: int) -> DynamicCadence:
    """A cadence with a random past, as the engine would have left it."""
    name = dice.choice(list(STRATEGIES))
    given = {'cadence_frequency': dice.choice([1, 12, 24, 100.5]), **STRATEGIES[name]}
    given |= dice.choice([{}, {}, {'max_observations': dice.randint(1, 5)}, {'max_exposure_time': dice.choice([60, 200, 5000])}])
    given |= dice.choice([{}, {}, {'end_date': (NOW + dice.randint(-50, 100) * HOUR).isoformat()}])
    given |= dice.choice([{}, {}, {'max_consecutive_failures': 2}, {'retry_backoff': 3.5}, {'on_cancel': 'resubmit'}])
    given |= dice.choice([{}, {'count_from': 'observed'}])
    given |= dice.choice([{}] * 8 + [{'sky_min_altitude': 30, 'sky_darkness': 'nautical'}, {'relaxations': 'after 1: window 10 h'}])
    group = ObservationGroup.objects.create(name=f'{number}')
    when = NOW - dice.randint(10, 200) * HOUR
    records = []
    for place in range(dice.randint(1, 6)):
        hours = dice.choice([2, 4, 12])
        state = dice.choice(STATES)
        if place > 0 and dice.random() < 0.2:
            state = 'PENDING'
        record = ObservationRecord.objects.create(
            target=target,
            user=owner,
            facility=ToldFacility.name,
            parameters=parameters(target, when, hours, ToldFacility.name),
            observation_id=f'{number}-{place}',
            status=state,
        )
        ObservationRecord.objects.filter(pk=record.pk).update(created=when)
        if state == 'COMPLETED' and dice.random() < 0.8:
            begun = when + timedelta(minutes=dice.randint(0, 60))
            ObservationRecord.objects.filter(pk=record.pk).update(scheduled_start=begun, scheduled_end=begun + timedelta(minutes=2))
        ToldFacility.states[record.observation_id] = state
        group.observation_records.add(record)
        records.append(record)
        when += dice.randint(1, 40) * HOUR
    cadence = DynamicCadence.objects.create(observation_group=group, cadence_strategy=name, cadence_parameters=given, active=True)
    add_requests(dice, cadence, records)
    return cadence


def add_requests(dice: random.Random, cadence: DynamicCadence, records: list[Any]) -> None:
    """Some of the records came from requests, some requests were refused, and some records were answered elsewhere."""
    managed = ManagedCadence.objects.get(cadence=cadence)
    states, last = Submission.State, records[-1]

    def request(state: str, follows: Any, hours: float, **more: Any) -> Submission:
        when = NOW - hours * HOUR
        return Submission.objects.create(
            managed=managed,
            facility=ToldFacility.name,
            cause=f'record:{follows.pk}',
            state=state,
            follows=[follows.pk],
            created=when,
            closed=when,
            **more,
        )

    for before, record in pairwise(records):
        if dice.random() < 0.7:
            made = request(states.ACCEPTED, before, 100)
            Booking.objects.filter(record=record).delete()
            Booking.objects.create(record=record, submission=made, facility=record.facility, observation_id=record.observation_id)
    for _ in range(dice.choice([0, 0, 0, 1, 2, 4])):
        request(states.REFUSED, last, dice.choice([0.02, 0.25, 10]), counts_as_failure=True)
    if dice.random() < 0.1:
        request(states.ACCEPTED, last, 50)
    if dice.random() < 0.15:
        ManagedCadence.objects.filter(pk=managed.pk).update(ignore_before=records[-1].pk)


def in_words(step: Step) -> tuple[str, str]:
    window = f' Window {show(step.window.start)} to {show(step.window.end)}.' if step.window else ''
    return step.decision, step.reason + window


@pytest.mark.slow
@pytest.mark.django_db
def test_for_200_random_histories_the_first_simulated_decision_is_the_engine_s_dry_run(told: Any, django_user_model: Any) -> None:
    dice = random.Random(20261121)
    owner = User.objects.create_user('vera')
    target = Target.objects.create(name='SN 2011fe', type='SIDEREAL', ra=210.774, dec=54.274, permissions='OPEN')
    cadences = [invent(dice, owner, target, number) for number in range(HISTORIES)]
    journal.complete(list(ManagedCadence.objects.select_related('cadence')))

    lines = {line.cadence: (line.decision, line.reason) for line in run_cadences(now=NOW, dry_run=True).lines}
    simulated = {}
    for managed in ManagedCadence.objects.select_related('cadence__observation_group', 'owner'):
        plan = flows_simulate.of_cadence(managed, NOW)
        found = simulate(plan.strategy, plan.parameters, PERFECT, 0, 1, plan.beginning)
        simulated[managed.host.pk] = in_words(found.steps[0])

    assert len(lines) == len(cadences) == HISTORIES
    different = {pk: (lines[pk], simulated[pk]) for pk in lines if lines[pk] != simulated[pk]}
    assert different == {}
    kinds = Counter(decision for decision, _ in lines.values())
    assert min(kinds['submit'], kinds['stop'], kinds['wait']) >= 15, kinds
    words = ' '.join(reason for _, reason in lines.values())
    for case in (
        'in a row failed',
        'was refused',
        'end date',
        'followed already',
        'total exposure',
        'was cancelled',
        'after the end',
    ):
        assert case in words, f'No history in which {case}.'
