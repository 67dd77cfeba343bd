"""Several commands and a worker at work on the same queries at the same time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.processes.photometry.checks import check_ended
from tests.support.phot_processes import PhotTom, Redis, ask, held, make_targets, unfinished, until

pytestmark = [pytest.mark.faults, pytest.mark.redis, pytest.mark.slow]
TENS = 'tests.processes.photometry.quick.TensAtlas'


def test_two_commands_and_a_worker_at_once_ask_about_each_of_a_few_targets_once(
    open_tom: Callable[..., PhotTom], worker_sqlite_url: str, redis: Redis
) -> None:
    at_once(open_tom(worker_sqlite_url, service=TENS), redis, 20)


@pytest.mark.prove(why="a hundred queries are sent, looked at and fetched by three processes that get into each other's way")
def test_two_commands_and_a_worker_at_once_ask_about_each_target_once(
    open_tom: Callable[..., PhotTom], worker_url: str, redis: Redis
) -> None:
    at_once(open_tom(worker_url, service=TENS), redis, 100)


def at_once(tom: PhotTom, redis: Redis, number: int) -> None:
    """The queries are asked when all three are at work."""
    tom.more['REDIS_URL'] = redis.url
    targets = make_targets(number)
    worker = tom.work()
    commands = [tom.start('--loop', '0.2', '--json') for _ in range(2)]
    until(lambda: {'command', 'worker'} & _at_work(), 'somebody is at work', worker=worker)
    assert tom.start_queries([query.pk for query in ask(targets)]) == ''
    until(lambda: not unfinished() and not held(), 'all ended', worker=worker)
    assert [command.popen.poll() for command in commands] == [None, None], 'a command ended'
    until(lambda: _at_work() == {'command', 'worker'}, 'both have been at work', worker=worker)
    tom.end()
    check_ended(tom, targets)


def _at_work() -> set[str]:
    from tom_forced_phot.models import WorkerSign

    return set(WorkerSign.objects.values_list('kind', flat=True))
