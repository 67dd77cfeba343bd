"""A dramatiq worker killed with -9 in the middle of a hundred queries, and started again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from tests.processes.photometry.checks import check_ended
from tests.support.phot_processes import CLAIM, QUICK, PhotTom, Redis, ask, held, make_targets, unfinished, until
from tom_followup.failpoints import PhotometryPoint
from tom_forced_phot import conf
from tom_forced_phot.models import PhotometryQuery

pytestmark = [pytest.mark.faults, pytest.mark.redis, pytest.mark.slow]

#: Where a worker dies, and how often it has passed the point before; each life goes on where the one before ended.
LIVES = [
    (PhotometryPoint.JOB_COMMITTED, 0),
    (PhotometryPoint.REPLIED, 0),
    (PhotometryPoint.STATES_WRITTEN, 0),
    (PhotometryPoint.FILE_WRITTEN, 20),
    (PhotometryPoint.CLEANED, 30),
]


def test_a_few_queries_end_as_they_should_although_the_worker_is_killed(
    open_tom: Callable[..., PhotTom], worker_sqlite_url: str, redis: Redis
) -> None:
    killed_again_and_again(open_tom(worker_sqlite_url, service=QUICK), redis, 10, [(PhotometryPoint.FILE_WRITTEN, 3)])


@pytest.mark.prove(why='six workers are started one after the other, each of which takes seconds to start')
def test_a_hundred_queries_end_as_they_should_although_the_worker_is_killed_again_and_again(
    open_tom: Callable[..., PhotTom], worker_url: str, redis: Redis
) -> None:
    killed_again_and_again(open_tom(worker_url, service=QUICK), redis, 100, LIVES)


def killed_again_and_again(tom: PhotTom, redis: Redis, number: int, lives: Sequence[tuple[PhotometryPoint, int]]) -> None:
    """Each worker goes on where the one before it died."""
    tom.more['REDIS_URL'] = redis.url
    tom.atlas.configure(held=True)
    targets = make_targets(number)
    pks = [query.pk for query in ask(targets)]
    assert tom.start_queries(pks) == ''
    for point, passed in lives:
        if point is PhotometryPoint.FILE_WRITTEN:
            tom.atlas.configure(held=False)
        worker = tom.work(crash_at=point, passed=passed)
        tom.start_queries(pks[:1])  # one message is enough: it wakes all that wait too long
        worker.wait_until_dead()
        tom.move(CLAIM)
    worker = tom.work()
    tom.start_queries(pks[:1])
    until(lambda: not unfinished() and not held(), 'all ended', worker=worker)
    worker.kill()
    check_ended(tom, targets)


@pytest.mark.prove(why='a hundred queries, each with a message for each of its steps')
def test_a_worker_alone_brings_a_hundred_queries_from_the_question_to_the_points(
    open_tom: Callable[..., PhotTom], worker_url: str, redis: Redis
) -> None:
    tom = open_tom(worker_url, service=QUICK)
    tom.more['REDIS_URL'] = redis.url
    targets = make_targets(100)
    worker = tom.work()
    assert tom.start_queries([query.pk for query in ask(targets)]) == ''
    until(lambda: not unfinished() and not held(), 'all ended', worker=worker)
    worker.kill()
    check_ended(tom, targets)


@pytest.mark.prove(why='the messages of ten queries go round until one thread has sent them all')
def test_queries_whose_messages_come_while_another_thread_sends_them_are_not_left_until_its_claim_runs_out(
    open_tom: Callable[..., PhotTom], worker_sqlite_url: str, redis: Redis
) -> None:
    tom = open_tom(worker_sqlite_url, service=QUICK)
    tom.more['REDIS_URL'] = redis.url
    targets = make_targets(10)
    tom.atlas.fault('submit', 'hang-after')  # the server takes its time
    assert tom.start_queries([query.pk for query in ask(targets)]) == ''
    tom.more['EXAMPLE_TOM_PHOT_SETTINGS'] = json.dumps({'READ_TIMEOUT': 60})
    worker = tom.work()
    until(lambda: tom.atlas.faults.waiting, 'the request arrived', worker=worker)
    until(lambda: _looked_at_by_worker() >= len(targets) - 1, 'the other thread saw the other queries', worker=worker)
    tom.atlas.release()
    until(lambda: not unfinished() and not held(), 'all ended', worker=worker)
    worker.kill()
    check_ended(tom, targets)


def _looked_at_by_worker() -> int:
    """How many queries have their next message on its way."""
    return PhotometryQuery.objects.exclude(wake=None).filter(wake__gt=conf.utc_now()).count()
