"""The workers' broker is stopped and started, or is not there at all: what was asked is carried on from the rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.processes.photometry.checks import check_ended
from tests.support.phot_processes import QUICK, PhotTom, Redis, ask, held, in_state, make_targets, unfinished, until

pytestmark = [pytest.mark.faults, pytest.mark.redis, pytest.mark.slow]


@pytest.mark.prove(why='sixty queries, and a worker that is killed and started again')
def test_where_redis_lost_every_message_one_new_question_wakes_the_old_ones(
    open_tom: Callable[..., PhotTom], worker_sqlite_url: str, redis: Redis
) -> None:
    tom = open_tom(worker_sqlite_url, service=QUICK)
    tom.more['REDIS_URL'] = redis.url
    tom.atlas.configure(held=True)
    targets = make_targets(60)
    assert tom.start_queries([query.pk for query in ask(targets)]) == ''
    worker = tom.work()
    until(lambda: in_state('submitted') == 60, 'all sent', worker=worker)
    worker.kill()  # with the messages in its memory
    redis.stop()  # with those in its own
    redis.start()
    tom.atlas.configure(held=False)
    tom.move(timedelta(minutes=20))
    later = make_targets(1)
    worker = tom.work()
    assert tom.start_queries([query.pk for query in ask(later)]) == ''
    until(lambda: not unfinished() and not held(), 'all ended', worker=worker)
    worker.kill()
    check_ended(tom, [*targets, *later])


def test_a_worker_lives_through_a_restart_of_redis_and_the_command_carries_on_meanwhile(
    open_tom: Callable[..., PhotTom], worker_sqlite_url: str, redis: Redis
) -> None:
    tom = open_tom(worker_sqlite_url, service=QUICK)
    tom.more['REDIS_URL'] = redis.url
    tom.atlas.configure(held=True)
    targets = make_targets(20)
    worker = tom.work()
    assert tom.start_queries([query.pk for query in ask(targets)]) == ''
    until(lambda: in_state('submitted') == 20, 'all sent', worker=worker)
    redis.stop()
    tom.atlas.configure(held=False)
    tom.move(timedelta(minutes=5))
    report = json.loads(tom.run('--json').output)
    assert len(report['ended']) == 20
    assert unfinished() == 0
    redis.start()
    later = make_targets(3)
    assert tom.start_queries([query.pk for query in ask(later)]) == ''
    until(lambda: not unfinished() and not held(), 'all ended', worker=worker)
    worker.kill()
    check_ended(tom, [*targets, *later])


def test_where_the_broker_is_down_the_person_is_told_and_the_command_picks_it_up(
    open_tom: Callable[..., PhotTom], worker_sqlite_url: str
) -> None:
    tom = open_tom(worker_sqlite_url)
    targets = make_targets(3)
    said = tom.start_queries([query.pk for query in ask(targets)], REDIS_URL='redis://127.0.0.1:9/0')
    assert said.startswith('The queue of the workers does not answer (')
    assert said.endswith('). The query is kept. It is carried on by manage.py runforcedphotometry.')
    assert in_state('queued') == 3
    assert tom.run().status == 0
    assert in_state('submitted') == 3
    tom.run_until_ended()
    check_ended(tom, targets)
