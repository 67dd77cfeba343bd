"""Eight real processes at once, as when cron starts a run before the last one has ended."""

from __future__ import annotations

import random
import threading

import pytest

from tests.conftest import at
from tests.support.processes import Tom, check_booked_once, open_requests, seed

pytestmark = [pytest.mark.faults, pytest.mark.slow]
AGAIN = 3


def test_a_few_processes_at_once_book_each_cadence_once(tom_on_sqlite: Tom) -> None:
    at_once(tom_on_sqlite, processes=3, number=10)


@pytest.mark.prove(why='eight processes take turns at two processors, and at one database')
def test_eight_processes_at_once_book_each_of_fifty_cadences_once(tom_on_both: Tom) -> None:
    at_once(tom_on_both, processes=8, number=50)


def at_once(tom: Tom, processes: int, number: int) -> None:
    """As many runs begin at the same time, and a few more afterwards."""
    from tom_observations.models import ObservationRecord

    from tom_cadence.models import ManagedCadence, Submission

    tom.settings = {'FACILITY_TIMEOUT': 30, 'CLAIM_TIME': 120}  # on a busy machine eight of them wait long for SQLite's one writer
    cadences = seed(tom.observatory, number)
    ManagedCadence.objects.all().delete()  # as in a TOM that had them before: the eight take them over at the same time
    tom.set_now(at(3))

    ended = [process.wait() for process in [tom.start() for _ in range(processes)]]
    assert [finished.output for finished in ended if finished.status] == []
    assert check_booked_once(tom.observatory, cadences, number) == number
    assert ObservationRecord.objects.count() == 2 * number
    assert ManagedCadence.objects.filter(cadence__active=True, claim_holder='', claim_expires=None).count() == number
    assert Submission.objects.count() == number
    assert sum(finished.output.count(': submit -> ') for finished in ended) == number

    ended = [process.wait() for process in [tom.start() for _ in range(AGAIN)]]
    assert [finished.output for finished in ended if finished.status] == []
    assert all(f'{number} cadences: 0 observations booked, {number} wait' in finished.output for finished in ended)
    assert len(tom.observatory.log()) == 2 * number
    assert tom.observatory.counts()['requests']['submit'] == number
    assert not open_requests()


def test_runs_that_note_the_same_idle_cadences_at_once_do_not_lock_each_other_out(tom_on_both: Tom) -> None:
    """Each run looks at other ones of them, as with --cadence and --facility."""
    from django.db import connections

    from tom_cadence.engine.run import run_cadences
    from tom_cadence.models import CadenceRun, ManagedCadence

    number, threads, runs = 60, 6, 20
    pks = [cadence.pk for cadence in seed(tom_on_both.observatory, number, state='PENDING')]
    failed: list[Exception] = []

    def work(draw: random.Random) -> None:
        try:
            for _ in range(runs):
                run_cadences(draw.sample(pks, number * 2 // 3), now=at(1))
        except Exception as error:
            failed.append(error)
        finally:
            connections.close_all()

    working = [threading.Thread(target=work, args=[random.Random(which)]) for which in range(threads)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    assert failed == []
    assert ManagedCadence.objects.filter(last_check=at(1), cadence__active=True).count() == number
    assert CadenceRun.objects.filter(decision='wait', count__gt=1).count() >= number
