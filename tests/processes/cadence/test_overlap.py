"""Somebody edits, pauses or deletes a cadence while a run is in the middle of it: at every named point, on another connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import NIGHT, at
from tests.support.processes import RETRY, Tom, check_booked_once, expire_claims, seed
from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint

pytestmark = [pytest.mark.faults, pytest.mark.slow]

BEFORE_THE_INTENT = (CadencePoint.CLAIMED, CadencePoint.DECIDED, CadencePoint.PREPARED)
AFTER_A_LOST_REPLY = (CadencePoint.LOOKED_UP, CadencePoint.MARKED_UNCERTAIN)
IN_A_TRANSACTION = (CadencePoint.INTENT_OPEN, CadencePoint.ACCEPT_OPEN, CadencePoint.RECORDS_WRITTEN)
RECORDED = (CadencePoint.ACCEPTED, CadencePoint.STATUS_ASKED, CadencePoint.RELEASED)


class Meanwhile:
    """Does something in another thread, on a connection of its own, when the run comes to a point for the first time.

    The run waits for it, except inside a transaction: there the other one has to wait, and goes on after the commit.
    """

    def __init__(self, point: CadencePoint, deed: Callable[[], object]) -> None:
        """Nothing happens before the point."""
        self._point, self._deed = point, deed
        self._thread: threading.Thread | None = None
        self._errors: list[Exception] = []

    def __call__(self, reached: CadencePoint) -> None:
        """Be told of a point."""
        if reached is not self._point or self._thread is not None:
            return
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        if self._point not in IN_A_TRANSACTION:
            self._thread.join()

    def _work(self) -> None:
        from django.db import connections

        try:
            self._deed()
        except Exception as error:
            self._errors.append(error)
        finally:
            connections.close_all()

    def finish(self) -> None:
        """Wait until it is done; it must have happened."""
        assert self._thread is not None, f'the run never came to {self._point.value}'
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._errors:
            raise self._errors[0]


def edit(cadence: Any) -> None:
    """Change the frequency from 24 to 48 hours, as the host's form does."""
    found = type(cadence).objects.get(pk=cadence.pk)
    found.cadence_parameters = {'cadence_frequency': 48}
    found.save()


def pause(cadence: Any) -> None:
    """Switch it off, as the admin does."""
    found = type(cadence).objects.get(pk=cadence.pk)
    found.active = False
    found.save()


def pause_by_script(cadence: Any) -> None:
    """Switch it off in a way that sends no signal."""
    type(cadence).objects.filter(pk=cadence.pk).update(active=False)


def delete_cadence(cadence: Any) -> None:
    """Delete the cadence; its group stays."""
    type(cadence).objects.get(pk=cadence.pk).delete()


def delete_group(cadence: Any) -> None:
    """Delete the observation group, which takes the cadence along."""
    cadence.observation_group.delete()


def run_with(tom: Tom, point: CadencePoint, deed: Callable[[Any], None], hour: float) -> tuple[Any, list[dict[str, Any]]]:
    """A fresh due cadence, a run in the middle of which the deed happens, and two more runs: what the observatory booked."""
    if point is CadencePoint.STOPPED:
        [cadence] = seed(tom.observatory, 1, strategy=RETRY)
    else:
        [cadence] = seed(tom.observatory, 1)
    before = len(tom.observatory.log())
    if point in AFTER_A_LOST_REPLY:
        tom.observatory.fault('submit', '500-after')
    meanwhile = Meanwhile(point, lambda: deed(cadence))
    failpoints.on_reach = meanwhile
    try:
        tom.run_here(at(hour))
    finally:
        failpoints.on_reach = None
    meanwhile.finish()
    for later in (0.1, 0.4):
        tom.run_here(at(hour + later))
    return cadence, tom.observatory.log(before)


def hours() -> Any:
    """The hour of each point's run: one after the other on one database."""
    return ((point, 3 + number / 2) for number, point in enumerate(CadencePoint))


def managed(cadence: Any, pk: int) -> Any:
    """The engine's row of a cadence that may be gone."""
    from tom_cadence.models import ManagedCadence

    return ManagedCadence.objects.get(host_cadence_id=pk)


def recorded(log: list[dict[str, Any]]) -> bool:
    """Whether each of these bookings has exactly one record."""
    from tom_observations.models import ObservationRecord

    ids = [str(entry['id']) for entry in log]
    return list(ObservationRecord.objects.filter(observation_id__in=ids).values_list('observation_id', flat=True)) == ids


def test_an_edit_at_any_point_books_once_and_counts_from_its_intent_on(tom_on_both: Tom) -> None:
    for point, hour in hours():
        cadence, log = run_with(tom_on_both, point, edit, hour)
        if point is CadencePoint.STOPPED:
            assert log == [], point
            continue
        assert len(log) == 1, point
        assert recorded(log), point
        frequency = 48 if point in BEFORE_THE_INTENT else 24
        assert log[0]['start'].startswith((NIGHT + timedelta(hours=frequency)).strftime('%Y-%m-%dT%H:%M')), point
        row = managed(cadence, cadence.pk)
        assert (row.state, row.claim_holder) == ('active', ''), (point, row.reason)


@pytest.mark.parametrize('deed', [pause, pause_by_script])
def test_nothing_is_sent_after_a_pause_and_what_was_on_its_way_is_recorded(tom_on_both: Tom, deed: Any) -> None:
    for point, hour in hours():
        cadence, log = run_with(tom_on_both, point, deed, hour)
        cadence.refresh_from_db()
        row = managed(cadence, cadence.pk)
        expected = 0 if point in (*BEFORE_THE_INTENT, CadencePoint.STOPPED) else 1
        assert len(log) == expected, point
        assert recorded(log), point
        assert cadence.observation_group.observation_records.count() == 1 + expected, point
        assert not cadence.active, point
        assert row.state == ('finished' if point is CadencePoint.STOPPED else 'paused'), (point, row.reason)
        assert row.reason, point


@pytest.mark.parametrize('deed', [delete_cadence, delete_group])
def test_nothing_is_sent_after_a_deletion_and_the_owner_is_told_what_may_be_booked(tom_on_both: Tom, deed: Any) -> None:
    from tom_cadence.models import Submission

    for point, hour in hours():
        pk: list[int] = []

        def delete(cadence: Any, pk: list[int] = pk) -> None:
            pk.append(cadence.pk)
            deed(cadence)

        cadence, log = run_with(tom_on_both, point, delete, hour)
        row = managed(cadence, pk[0])
        expected = 0 if point in (*BEFORE_THE_INTENT, CadencePoint.STOPPED) else 1
        assert len(log) == expected, point
        assert recorded(log), point
        assert (row.cadence_id, row.state) == (None, 'finished'), (point, row.reason)
        assert row.reason.startswith('The cadence or its observation group was deleted.'), point
        if expected:
            request = Submission.objects.get(managed=row)
            assert (request.state, request.observation_ids) == ('accepted', [str(log[0]['id'])]), point
            if point not in IN_A_TRANSACTION:
                told = f'Still booked at Simulated observatory: {log[0]["id"]}.' if point in RECORDED else 'One request may be at'
                assert told in row.reason, point


def test_a_cadence_paused_or_deleted_after_its_process_was_killed_books_nothing_more(tom_on_sqlite: Tom) -> None:
    """The reply died with the process. What is paused is looked up when it goes on; about what is deleted the owner is told."""
    tom = tom_on_sqlite
    paused, deleted, without_group = cadences = seed(tom.observatory, 3)
    pks = [cadence.pk for cadence in cadences]
    tom.set_now(at(3))
    tom.observatory.latency['submit'] = 0.5  # so that all three are on their way when the first reply comes
    assert tom.run(crash_at='replied').killed
    end = time.monotonic() + 20
    while len(tom.observatory.log(3)) < tom.observatory.counts()['requests']['submit']:  # what the dead process had sent
        assert time.monotonic() < end, 'it never came'
        threading.Event().wait(0.01)
    booked = tom.observatory.log(3)
    assert 1 <= len(booked) <= 3
    tom.observatory.latency.clear()
    pause(paused)
    delete_cadence(deleted)
    delete_group(without_group)
    expire_claims()
    for hour in (4, 5):
        tom.run_here(at(hour))
    assert tom.observatory.log(3) == booked
    for pk in pks[1:]:
        assert 'One request may be at Simulated observatory although no reply arrived' in managed(None, pk).reason
    paused.refresh_from_db()
    paused.active = True
    paused.save()
    tom.run_until_quiet(at(6))
    assert len([entry for entry in tom.observatory.log(3) if entry['target'] == 'SN 1']) == 1
    assert paused.observation_group.observation_records.count() == 2
    assert len(tom.observatory.log(3)) == max(len(booked), 1 + len([e for e in booked if e['target'] != 'SN 1']))


def test_two_runs_at_once_in_one_process_book_once(tom_on_both: Tom) -> None:
    """A second run begins and ends while the first one is on its way to the facility."""
    tom = tom_on_both
    for point, hour in hours():
        if point in (CadencePoint.STOPPED, *AFTER_A_LOST_REPLY):
            continue
        before = len(tom.observatory.log())
        [cadence] = seed(tom.observatory, 1)
        second: list[Any] = []

        def run_again(second: list[Any] = second, hour: float = hour) -> None:
            from tom_cadence.engine.run import run_cadences

            failpoints.on_reach = None
            second.append(run_cadences(now=at(hour)))

        meanwhile = Meanwhile(point, run_again)
        failpoints.on_reach = meanwhile
        try:
            tom.run_here(at(hour))
        finally:
            failpoints.on_reach = None
        meanwhile.finish()
        assert not second[0].failed, (point, [line.text for line in second[0].lines])
        assert check_booked_once(tom.observatory, [cadence], before + 1) == 1, point
