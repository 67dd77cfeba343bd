"""PostgreSQL is stopped (immediate) and started in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from tests.processes.photometry.checks import check_ended
from tests.support.databases import Server
from tests.support.phot_processes import CLAIM, QUICK, PhotTom, Redis, ask, held, in_state, make_targets, unfinished, until

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.slow]


@contextmanager
def away(server: Server) -> Iterator[None]:
    """The server is not there; it comes back at the end."""
    connection.close()
    server.halt()
    try:
        yield
    finally:
        server.start()


def test_a_command_whose_database_goes_away_says_so_and_the_next_one_ends_everything_once(
    open_tom: Callable[..., PhotTom], postgres_url: str, postgres_server: Server
) -> None:
    tom = open_tom(postgres_url)
    targets = make_targets(20)
    ask(targets)
    tom.atlas.fault('submit', 'late')  # the database goes away while the request is on its way
    process = tom.start()
    until(lambda: tom.atlas.faults.waiting, 'the request arrived')
    with away(postgres_server):
        tom.atlas.release()
        until(lambda: len(tom.atlas.log()) == 20, 'the tasks are made')
        assert process.wait().status != 0
    assert in_state('queued') == 20
    tom.move(CLAIM)
    tom.atlas.fault('result', 'slow', seconds=0.01, skip=5)  # and once more while results are fetched
    process = tom.start()
    until(lambda: in_state('done') >= 3, 'some are done')
    with away(postgres_server):
        process.wait()
    tom.move(CLAIM)
    tom.run_until_ended()
    check_ended(tom, targets)


@pytest.mark.prove(why='a worker waits for its database, and has sixty queries to carry on')
@pytest.mark.redis
def test_a_worker_lives_through_a_restart_of_the_database(
    open_tom: Callable[..., PhotTom], worker_postgres_url: str, postgres_server: Server, redis: Redis
) -> None:
    tom = open_tom(worker_postgres_url, service=QUICK)
    tom.more['REDIS_URL'] = redis.url
    targets = make_targets(60)
    worker = tom.work()
    assert tom.start_queries([query.pk for query in ask(targets)]) == ''
    until(lambda: in_state('done') >= 5, 'some are done', worker=worker)
    with away(postgres_server):
        pass
    tom.move(CLAIM)
    later = make_targets(1)
    assert tom.start_queries([query.pk for query in ask(later)]) == ''
    until(lambda: not unfinished() and not held(), 'all ended', worker=worker)
    worker.kill()
    check_ended(tom, [*targets, *later])
