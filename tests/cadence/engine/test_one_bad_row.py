"""One cadence that cannot be taken over, read or reconciled is named in the report, and all others are served in the same run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import TextField, Value
from django.db.models.functions import Cast
from tom_observations.models import DynamicCadence

from tests.conftest import NIGHT
from tests.support import site
from tests.support.stage import Stage, furnished
from tom_cadence.engine import send, snapshot
from tom_cadence.journal import adoption, requests
from tom_cadence.models import ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
RESUME = 'ResumeCadenceAfterFailureStrategy'


@pytest.fixture
def scene(settings: Any) -> Iterator[Stage]:
    with furnished(settings):
        yield Stage(site.Odd, RESUME)


def spoil(model: Any, column: str, pk: int) -> None:
    """A date that the database keeps and nobody can read."""
    text = Value('2026-13-45 25:00:00', output_field=TextField())
    model.objects.filter(pk=pk).update(**{column: Cast(text, TextField())})


def repair(model: Any, column: str, pk: int) -> None:
    model.objects.filter(pk=pk).update(**{column: NIGHT})


def test_a_cadence_that_cannot_be_taken_over_is_named_and_taken_over_when_it_can_be(scene: Stage) -> None:
    ManagedCadence.objects.all().delete()
    spoil(DynamicCadence, 'created', scene.victim.pk)
    report = scene.run()
    repair(DynamicCadence, 'created', scene.victim.pk)
    scene.assert_all_others_are_served_once()
    assert [f'while cadence {scene.victim.pk} was taken over' in problem for problem in report.problems] == [True], report.problems
    assert scene.run(5.5).problems == []
    assert scene.booked('victim') == 1


def test_a_row_that_cannot_be_read_is_named_and_the_others_are_served(scene: Stage) -> None:
    spoil(ManagedCadence, 'last_check', scene.victim.pk)
    report = scene.run()
    repair(ManagedCadence, 'last_check', scene.victim.pk)
    scene.assert_all_others_are_served_once()
    assert any(f'cadence {scene.victim.pk} was read' in problem for problem in report.problems)
    assert report.failed
    assert scene.run(5.5).problems == []
    assert scene.booked('victim') == 1


def test_a_switch_that_cannot_be_read_keeps_no_other_from_being_read(scene: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    switched = [scene.victim, scene.good[0]]
    DynamicCadence.objects.filter(pk__in=[each.pk for each in switched]).update(active=False)
    stop = adoption.states.stop

    def raising(managed: ManagedCadence, *given: Any, **named: Any) -> bool:
        if managed.cadence_id == scene.victim.pk:
            raise RuntimeError('a receiver of the site, token=hush4711')
        return stop(managed, *given, **named)

    monkeypatch.setattr(adoption.states, 'stop', raising)
    report = scene.run()
    assert ManagedCadence.objects.get(cadence=scene.good[0]).state == 'paused'
    assert [f'while cadence {scene.victim.pk} was read as switched' in problem for problem in report.problems] == [True]
    assert 'hush4711' not in report.problems[0]
    assert [scene.booked(f'good {number}') for number in range(4)] == [0, 1, 1, 1]


def test_an_owner_that_cannot_be_looked_for_keeps_no_other_from_getting_one(scene: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    ManagedCadence.objects.update(owner=None, owner_name='')
    complete = adoption._complete_one

    def raising(row: ManagedCadence, *given: Any) -> None:
        if row.cadence_id == scene.victim.pk:
            raise RuntimeError('no such user')
        complete(row, *given)

    monkeypatch.setattr(adoption, '_complete_one', raising)
    report = scene.run()
    scene.assert_all_others_are_served_once()
    assert any(f'while the owner of cadence {scene.victim.pk} was looked for' in problem for problem in report.problems)


def test_an_open_request_of_an_ended_cadence_whose_look_up_raises_leaves_the_others_theirs(
    scene: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = [scene.victim, scene.good[0]]
    for cadence in ended:
        managed = ManagedCadence.objects.get(cadence=cadence)
        Submission.objects.create(
            managed=managed, cause=f'x{managed.pk}', facility=managed.facility, state='uncertain', created=NIGHT
        )
    DynamicCadence.objects.filter(pk__in=[each.pk for each in ended]).update(active=False)
    asked = []

    def raising(request: Submission, *_: Any) -> None:
        asked.append(request.managed_id)
        raise RuntimeError('a class of the site')

    monkeypatch.setattr(send, 'look_up', raising)
    report = scene.run()
    assert len(asked) == 2
    assert sum('the open request of cadence' in problem for problem in report.problems) == 2
    assert not ManagedCadence.objects.exclude(claim_holder='').exists()
    assert [scene.booked(f'good {number}') for number in range(4)] == [0, 1, 1, 1]


def test_a_cadence_that_cannot_be_read_under_its_claim_is_told_of_and_keeps_no_other_claimed(
    scene: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_rows = snapshot.read_rows

    def raising(snapshots: Any, *, full: bool, **given: Any) -> Any:
        if full and any(each.managed.cadence_id == scene.victim.pk for each in snapshots):
            raise RuntimeError('parameters that are no JSON')
        return read_rows(snapshots, full=full, **given)

    monkeypatch.setattr(snapshot, 'read_rows', raising)
    scene.run()
    scene.assert_all_others_are_served_once()
    assert ManagedCadence.objects.get(cadence=scene.victim).state == 'attention'
    assert not ManagedCadence.objects.exclude(claim_holder='').exists()


def test_a_database_that_cannot_keep_the_requests_for_a_moment_stops_no_cadence(
    scene: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ill(*_: Any) -> None:
        raise OperationalError('disk I/O error')

    with monkeypatch.context() as patched:
        patched.setattr(requests, '_open', ill)
        report = scene.run()
    assert report.failed
    assert set(ManagedCadence.objects.values_list('state', 'claim_holder')) == {('active', '')}
    scene.run(5.5)
    scene.assert_all_others_are_served_once()
    assert scene.booked('victim') == 1
