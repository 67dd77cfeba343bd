"""Five hundred queries that wait at a slow service, held open by one worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from tests.processes.photometry.checks import check_one_task_each
from tests.support.phot_processes import PhotTom, Redis, ask, in_state, make_targets, until

pytestmark = [
    pytest.mark.redis,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.prove(why='three looks at each of 500 tasks, forty seconds apart'),
]

logger = logging.getLogger(__name__)
MANY = 500
#: Seconds from one look at a task to the next, as the service class says; and how much later a look may come on a busy machine.
PAUSE, LATE = 40.0, 20.0
#: Bytes by which the memory of the worker may grow between the first round of looks and the third.
GROWTH = 16 * 2**20


def test_one_worker_with_two_threads_looks_at_five_hundred_open_tasks_on_time_in_flat_memory(
    open_tom: Callable[..., PhotTom], worker_postgres_url: str, redis: Redis
) -> None:
    tom = open_tom(worker_postgres_url, service='tests.processes.photometry.quick.SingleAtlas')
    tom.more['REDIS_URL'] = redis.url
    tom.atlas.configure(held=True)
    targets = make_targets(MANY)
    asked = ask(targets)
    worker = tom.work()
    tom.run_here()
    assert in_state('submitted') == MANY
    assert tom.start_queries([query.pk for query in asked]) == ''
    until(lambda: _looks(tom) >= 1, 'looked at once', worker=worker)
    before = worker.rss()
    until(lambda: _looks(tom) >= 3, 'looked at three times', seconds=150, worker=worker)
    after = worker.rss()
    worker.kill()
    pauses = sorted(pause for times in _times(tom).values() for pause in _pauses(times))
    logger.info('%d pauses of %.1f to %.1f s, %d to %d bytes', len(pauses), pauses[0], pauses[-1], before, after)
    assert PAUSE - 1 <= pauses[0] <= pauses[-1] <= PAUSE + LATE
    assert after - before <= GROWTH, (before, after)
    assert in_state('submitted') == MANY
    check_one_task_each(tom, targets)


def _times(tom: PhotTom) -> dict[str, list[datetime]]:
    """When each task was looked at."""
    counted = tom.atlas.counts()['times']
    return {key: [datetime.fromisoformat(at) for verb, at, _ in seen if verb == 'status'] for key, seen in counted.items()}


def _looks(tom: PhotTom) -> int:
    """How often the least looked at task was looked at."""
    times = _times(tom)
    return min(map(len, times.values())) if len(times) == MANY else 0


def _pauses(times: Sequence[datetime]) -> list[float]:
    return [(later - earlier) / timedelta(seconds=1) for earlier, later in pairwise(times)]
