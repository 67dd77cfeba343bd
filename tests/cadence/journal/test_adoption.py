"""Taking cadences over: made by forms, REST, scripts, or years ago by the toolkit; and the permissions of what they book."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection
from guardian.shortcuts import assign_perm, get_perms
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

from tests.conftest import NIGHT, at
from tests.support.cadences import SIMULATED, bookings, parameters, records, settle
from tom_cadence import journal
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence

pytestmark = pytest.mark.django_db(transaction=True)
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'
PERMISSIONS = {'view_observationrecord', 'change_observationrecord', 'delete_observationrecord'}


def known(managed: ManagedCadence) -> tuple[Any, ...]:
    return managed.owner, managed.owner_name, managed.facility, managed.target_name, managed.strategy, managed.state


def test_a_cadence_is_taken_over_the_moment_it_is_made(make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence()
    assert known(cadence.managed) == (astronomer, 'vera', SIMULATED, 'SN 2011fe', RESUME, 'active')
    assert cadence.managed.host_cadence_id == cadence.pk


def test_a_cadence_made_inactive_is_paused(make_cadence: Any) -> None:
    cadence = make_cadence()
    ManagedCadence.objects.all().delete()
    DynamicCadence.objects.update(active=False)
    journal.adopt_missing(NIGHT)
    managed = ManagedCadence.objects.get(cadence=cadence)
    assert managed.state == 'paused'
    assert 'before this app' in managed.reason


@pytest.fixture
def unseen(observatory: Any, make_cadence: Any) -> Any:
    """A cadence whose row was made past the signals."""
    made = make_cadence(book=observatory)
    group = made.observation_group
    made.delete()
    ManagedCadence.objects.all().delete()
    DynamicCadence.objects.bulk_create(
        [
            DynamicCadence(
                observation_group=group, cadence_strategy=RESUME, cadence_parameters={'cadence_frequency': 24}, active=True
            )
        ]
    )
    return DynamicCadence.objects.get()


def test_rows_made_past_the_signals_are_taken_over_at_the_next_run(observatory: Any, unseen: Any, astronomer: Any) -> None:
    settle(observatory, records(unseen)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    assert known(ManagedCadence.objects.get()) == (astronomer, 'vera', SIMULATED, 'SN 2011fe', RESUME, 'active')
    assert len(bookings(observatory)) == 2
    run_cadences(now=at(5))
    assert ManagedCadence.objects.count() == 1


@pytest.mark.parametrize('active', [True, False])
def test_the_migration_takes_over_what_the_tom_already_has(unseen: Any, astronomer: Any, active: bool) -> None:
    DynamicCadence.objects.update(active=active)
    migration = import_module('tom_cadence.migrations.0002_adopt_existing_cadences')
    with connection.schema_editor() if connection.vendor != 'sqlite' else Editor() as editor:
        migration.adopt(apps, editor)
        migration.adopt(apps, editor)
    managed = ManagedCadence.objects.get()
    assert known(managed) == (astronomer, 'vera', SIMULATED, 'SN 2011fe', RESUME, 'active' if active else 'paused')
    assert (managed.cadence, managed.host_cadence_id) == (unseen, unseen.pk)
    run_cadences(now=at(1))
    assert unseen.managed.state == managed.state


class Editor:
    """The part of a schema editor that a data migration uses (SQLite's own wants foreign keys off)."""

    connection = connection

    def __enter__(self) -> Editor:
        return self

    def __exit__(self, *_: Any) -> None:
        return None


def test_the_owner_is_the_user_of_the_newest_record_that_has_one(make_cadence: Any, target: Any) -> None:
    second = User.objects.create_user('cecilia')
    cadence = make_cadence(records=3)
    for record, user in zip(records(cadence)[1:], (second, None), strict=True):
        record.user = user
        record.save()
    ManagedCadence.objects.all().delete()
    journal.adopt_missing(NIGHT)
    assert ManagedCadence.objects.get().owner == second


def test_a_cadence_made_before_its_records_waits_for_them(observatory: Any, target: Any, astronomer: Any) -> None:
    group = ObservationGroup.objects.create(name='by REST')
    cadence = DynamicCadence.objects.create(
        observation_group=group, cadence_strategy=RESUME, cadence_parameters={'cadence_frequency': 24}, active=True
    )
    DynamicCadence.objects.update(created=NIGHT)
    assert [line.decision for line in run_cadences(now=at(0.1)).lines] == ['wait']
    asked = {**parameters(target, NIGHT), 'target': target.name, 'ra': target.ra, 'dec': target.dec}
    booked = str(observatory.submit(asked, 'tom')[1]['id'])
    group.observation_records.add(
        ObservationRecord.objects.create(
            target=target, user=astronomer, facility=SIMULATED, parameters=parameters(target, NIGHT), observation_id=booked
        )
    )
    assert [line.decision for line in run_cadences(now=at(0.2)).lines] == ['wait']
    assert known(cadence.managed) == (astronomer, 'vera', SIMULATED, 'SN 2011fe', RESUME, 'active')
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 2


def test_an_empty_group_is_waited_for_ten_minutes_only(make_cadence: Any) -> None:
    cadence = make_cadence()
    cadence.observation_group.observation_records.clear()
    DynamicCadence.objects.update(created=NIGHT)
    assert [line.decision for line in run_cadences(now=at(599 / 3600)).lines] == ['wait']
    assert [line.decision for line in run_cadences(now=at(600 / 3600)).lines] == ['stop']


def test_old_rows_of_the_toolkit_go_on_without_a_step_by_the_user(observatory: Any, make_cadence: Any, settings: Any) -> None:
    if hasattr(settings, 'TOM_CADENCE_STRATEGIES'):
        del settings.TOM_CADENCE_STRATEGIES
    cadence = make_cadence(book=observatory, strategy=RETRY, records=3)
    first, second, third = records(cadence)
    # The toolkit's chain: each failure was asked for again after its window had closed.
    for number, record in enumerate((first, second, third)):
        start = parameters(record.target, at(24 * number))
        record.parameters = start
        record.save()
        ObservationRecord.objects.filter(pk=record.pk).update(created=at(24 * number - 1 if number else -1))
    for record in (first, second):
        settle(observatory, record, 'WINDOW_EXPIRED')
    run_cadences(now=at(49))
    assert len(bookings(observatory)) == 3
    settle(observatory, third, 'WINDOW_EXPIRED')
    run_cadences(now=at(53))
    run_cadences(now=at(54))
    assert len(bookings(observatory)) == 4
    newest = cadence.observation_group.observation_records.order_by('pk').last()
    assert newest.parameters['start'] == '2026-11-24T08:00'


@pytest.mark.parametrize('strategy', [RESUME, RETRY])
def test_one_group_in_two_active_cadences_books_once(observatory: Any, make_cadence: Any, strategy: str) -> None:
    cadence = make_cadence(book=observatory, strategy=strategy)
    DynamicCadence.objects.create(
        observation_group=cadence.observation_group,
        cadence_strategy=strategy,
        cadence_parameters=cadence.cadence_parameters,
        active=True,
    )
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    for hours in (5, 5.1, 5.2):
        run_cadences(now=at(hours))
    assert len(bookings(observatory)) == 2
    assert 'attention' in ManagedCadence.objects.values_list('state', flat=True)


def test_a_record_in_two_cadences_groups_is_followed_once(observatory: Any, make_cadence: Any) -> None:
    one, other = make_cadence(book=observatory), make_cadence(book=observatory)
    shared = records(one)[0]
    other.observation_group.observation_records.set([shared])
    settle(observatory, shared, 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 3
    assert sorted(ManagedCadence.objects.values_list('state', flat=True)) == ['active', 'attention']
    reason = ManagedCadence.objects.get(state='attention').reason
    assert 'two cadences' in reason


# --- permissions of what a cadence books ------------------------------------------------------------------------------------


@pytest.fixture
def shared(observatory: Any, make_cadence: Any, settings: Any) -> tuple[Any, Group, Group]:
    """A failed observation that one group may see and change, and another may only see."""
    settings.TARGET_PERMISSIONS_ONLY = False
    cadence = make_cadence(book=observatory)
    team, guests = Group.objects.create(name='team'), Group.objects.create(name='guests')
    for permission in PERMISSIONS:
        assign_perm(f'tom_observations.{permission}', team, records(cadence)[0])
    assign_perm('tom_observations.view_observationrecord', guests, records(cadence)[0])
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    return cadence, team, guests


def test_the_new_record_is_seen_by_those_who_saw_the_one_before(shared: Any, astronomer: Any) -> None:
    cadence, team, guests = shared
    run_cadences(now=at(5))
    new = records(cadence)[1]
    assert set(get_perms(team, new)) == PERMISSIONS
    assert set(get_perms(guests, new)) == {'view_observationrecord'}
    assert set(get_perms(astronomer, new)) == PERMISSIONS
    stranger = User.objects.create_user('stranger')
    assert get_perms(stranger, new) == []


def test_with_target_permissions_only_nothing_is_assigned(shared: Any, settings: Any, astronomer: Any) -> None:
    cadence, team, _ = shared
    settings.TARGET_PERMISSIONS_ONLY = True
    run_cadences(now=at(5))
    new = records(cadence)[1]
    assert get_perms(team, new) == []
    assert new.user == astronomer


def test_the_third_record_is_seen_by_the_same_people(observatory: Any, shared: Any) -> None:
    cadence, team, guests = shared
    run_cadences(now=at(5))
    settle(observatory, records(cadence)[1], 'WINDOW_EXPIRED')
    run_cadences(now=at(12))
    third = records(cadence)[2]
    assert set(get_perms(team, third)) == PERMISSIONS
    assert set(get_perms(guests, third)) == {'view_observationrecord'}


@pytest.mark.parametrize('permissions_only', [True, False])
def test_no_record_is_ever_nobody_s(
    observatory: Any, make_cadence: Any, settings: Any, permissions_only: bool, client: Any
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = permissions_only
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    assert not ObservationRecord.objects.filter(user=None).exists()
