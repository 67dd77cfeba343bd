"""A TOM that has used version 0.1.0 is brought to this one: no request is forgotten, whatever had become of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.conftest import NIGHT
from tests.support.cadences import PLAIN, SIMULATED, bookings, parameters

pytestmark = pytest.mark.django_db(transaction=True)
OLD = ('tom_cadence', '0004_template_applications')
STATES = ('sending', 'uncertain', 'accepted', 'refused')
LATER = NIGHT + timedelta(minutes=20)


def migrate(name: tuple[str, str] | None = None) -> Any:
    """Bring the database to this migration (or the newest); its models as they were then."""
    executor = MigrationExecutor(connection)
    wanted = [name] if name else [key for key in executor.loader.graph.leaf_nodes() if key[0] == 'tom_cadence']
    executor.migrate(wanted)
    return MigrationExecutor(connection).loader.project_state(wanted).apps


@pytest.fixture
def old(db: Any) -> Iterator[Any]:
    """The models of 0.1.0, and their tables; afterwards the database is as all other tests expect it."""
    yield migrate(OLD)
    migrate()


def fill(apps: Any, owner: int, target: Any) -> None:
    """Cadences with a request in each state, one that began, one of a strategy's own; a template's targets in every state."""
    cadences = apps.get_model('tom_cadence', 'ManagedCadence').objects
    requests = apps.get_model('tom_cadence', 'Submission').objects
    for number, (state, cause, kind) in enumerate(
        [(state, f'record:{n}', 'engine') for n, state in enumerate(STATES)]
        + [('accepted', f'begin:{owner}:abc', 'engine'), ('sending', 'cadence:9:run:1', 'strategy')]
    ):
        managed = cadences.create(
            host_cadence_id=100 + number, owner_id=owner, facility=SIMULATED, state='attention', created=NIGHT
        )
        requests.create(
            managed=managed,
            kind=kind,
            cause=cause,
            state=state,
            token=f'~cadence{number}',
            facility=SIMULATED,
            target_id=target.pk,
            owner_id=owner,
            parameters={'filter': 'r'},
            observation_ids=[f'c{number}'] if state == 'accepted' else [],
            created=NIGHT,
        )
    application = apps.get_model('tom_cadence', 'TemplateApplication').objects.create(
        key='old', template_name='Deep r', facility=SIMULATED, owner_id=owner, created=NIGHT, confirmed=NIGHT
    )
    tasks = apps.get_model('tom_cadence', 'TemplateTask').objects
    for number, state in enumerate((*STATES, 'new', 'ready', 'invalid', 'left-out', 'ready')):
        sent = state in STATES or number == 8  # the last one was sent, and never arrived
        tasks.create(
            application=application,
            target_id=target.pk,
            cause=f'application:{application.pk}:target:{number}',
            state=state,
            attempt=2 if sent else 0,
            token=f'~task{number}',
            data={'filter': ['r']},
            kept=parameters(target, NIGHT) if sent else {},
            sent=NIGHT if sent else None,
            closed=NIGHT if sent and state != 'sending' else None,
            message=f'What was said of {number}.',
            observation_ids=['t2'] if state == 'accepted' else [],
        )
    record = apps.get_model('tom_observations', 'ObservationRecord').objects.create(
        target_id=target.pk, user_id=owner, facility=SIMULATED, parameters={}, observation_id='t2', status='PENDING'
    )
    apps.get_model('tom_cadence', 'Booking').objects.create(record=record, facility=SIMULATED, observation_id='t2')


def test_every_request_of_0_1_is_kept_with_its_state_and_who_began_it(old: Any, astronomer: Any, target: Any) -> None:
    fill(old, astronomer.pk, target)
    migrate()
    from tom_cadence.models import Booking, Submission, TemplateTask

    cadences = Submission.objects.exclude(managed=None).order_by('pk')
    assert list(cadences.values_list('state', flat=True)) == [*STATES, 'accepted', 'sending']
    assert list(cadences.values_list('origin', flat=True)) == [*['cadence'] * 4, 'start', 'own-run']
    tasks = list(TemplateTask.objects.standing().order_by('pk'))
    assert [task.stands for task in tasks] == [*STATES, 'new', 'ready', 'invalid', 'left-out', 'ready']
    assert [task.request is not None for task in tasks] == [*[True] * 4, *[False] * 5]
    assert [task.request.token for task in tasks[:4]] == ['~task0', '~task1', '~task2', '~task3']
    assert {(task.request.owner, task.request.facility, task.request.target) for task in tasks[:4]} == {
        (astronomer, SIMULATED, target)
    }
    assert tasks[2].request.observation_ids == ['t2']
    assert Booking.objects.get(observation_id='t2').submission == tasks[2].request
    assert tasks[3].request.counts_as_failure
    never_arrived = Submission.objects.get(token='~task8')
    assert (never_arrived.state, never_arrived.attempt, never_arrived.counts_as_failure) == ('refused', 2, False)
    assert tasks[8].message == 'What was said of 8.'


def test_what_0_1_left_open_is_looked_up_and_recorded_once(old: Any, observatory: Any, astronomer: Any, target: Any) -> None:
    fill(old, astronomer.pk, target)
    asked = {**parameters(target, NIGHT), 'name': 'SN 2011fe r ~task0', 'target': target.name, 'ra': target.ra, 'dec': target.dec}
    status, _ = observatory.submit(asked, 'tom')
    assert status < 300
    migrate()
    from tom_cadence.engine.send import settle_without_cadence
    from tom_cadence.facilities import Facilities
    from tom_cadence.models import TemplateTask

    settle_without_cadence(Facilities(), LATER)
    tasks = list(TemplateTask.objects.standing().order_by('pk'))
    assert [task.stands for task in tasks[:2]] == ['accepted', 'ready']
    assert len(bookings(observatory)) == 1


def test_the_way_back_keeps_what_is_known(old: Any, astronomer: Any, target: Any) -> None:
    fill(old, astronomer.pk, target)
    names = ('state', 'attempt', 'token', 'kept', 'sent', 'closed', 'message', 'observation_ids')
    before = list(old.get_model('tom_cadence', 'TemplateTask').objects.order_by('pk').values(*names))
    requests = list(old.get_model('tom_cadence', 'Submission').objects.order_by('pk').values('cause', 'kind', 'state'))
    migrate()
    again = migrate(OLD)
    after = list(again.get_model('tom_cadence', 'TemplateTask').objects.order_by('pk').values(*names))
    assert after[:4] == before[:4]
    assert [(row['state'], row['message']) for row in after] == [(row['state'], row['message']) for row in before]
    assert [row['attempt'] for row in after] == [2, 2, 2, 2, 0, 0, 0, 0, 1]
    assert list(again.get_model('tom_cadence', 'Submission').objects.order_by('pk').values('cause', 'kind', 'state')) == requests
    assert again.get_model('tom_cadence', 'Booking').objects.get().submission_id is None


def test_an_open_request_of_a_newer_kind_stops_the_way_back(old: Any, astronomer: Any) -> None:
    from django.db.migrations.exceptions import IrreversibleError

    migrate()
    from tom_cadence.models import Submission

    open_one = Submission.objects.create(origin='form', cause='form:1', facility=PLAIN, owner=astronomer, created=NIGHT)
    with pytest.raises(IrreversibleError, match='open'):
        migrate(OLD)
    migrate()
    open_one.delete()
