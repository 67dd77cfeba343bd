"""Cadences run by real dramatiq workers, told by messages in a real Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import at
from tests.support.processes import MANAGE, Tom, check_booked_once, seed, tom
from tests.support.redis import redis_server

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with redis_server(tmp_path) as url:
        yield url


@pytest.fixture
def tom_with_workers(worker_sqlite_url: str, tmp_path: Path, settings: Any, django_db_blocker: Any) -> Iterator[Tom]:
    with tom(worker_sqlite_url, tmp_path, settings, django_db_blocker) as given:
        yield given


def until(holds: Callable[[], bool], worker: subprocess.Popen[bytes]) -> None:
    """Wait until something holds that the workers bring about."""
    end = time.monotonic() + 90
    while not holds():
        assert worker.poll() is None, 'the worker ended'
        assert time.monotonic() < end, 'the workers never did it'
        threading.Event().wait(0.1)


def test_workers_book_what_is_enqueued_once_although_every_message_is_sent_twice(tom_with_workers: Tom, redis_url: str) -> None:
    from tom_cadence.models import ManagedCadence

    tom = tom_with_workers
    cadences = seed(tom.observatory, 6)
    tom.set_now(at(3))
    for _ in range(2):
        sent = tom.run('--enqueue', REDIS_URL=redis_url)
        assert sent.status == 0, sent.output
        assert '6 cadences enqueued' in sent.output
    assert len(tom.observatory.log()) == 6

    command = [sys.executable, str(MANAGE), 'rundramatiq', '--processes', '1', '--threads', '2', '--queues', 'cadences']
    worker = subprocess.Popen(
        command,
        env=tom.environment(REDIS_URL=redis_url),
        cwd=MANAGE.parent,  # as a user does: the workers import the project from where manage.py stands
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: len(tom.observatory.log()) == 12 and _empty(redis_url), worker)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGTERM)
        worker.wait(30)
    assert check_booked_once(tom.observatory, cadences, 6) == 6
    assert set(ManagedCadence.objects.values_list('state', flat=True)) == {'active'}


def _empty(url: str) -> bool:
    from redis import Redis

    with Redis.from_url(url) as client:
        return not client.hlen('dramatiq:cadences.msgs') and not client.llen('dramatiq:cadences')


def test_a_broker_that_is_down_is_said_so_and_nothing_is_lost(tom_with_workers: Tom) -> None:
    tom = tom_with_workers
    cadences: list[Any] = seed(tom.observatory, 1)
    tom.set_now(at(3))
    refused = tom.run('--enqueue', REDIS_URL='redis://127.0.0.1:9/0')
    assert refused.status == 1
    assert 'The broker does not take messages' in refused.output
    assert 'Traceback' not in refused.output
    assert tom.run().status == 0
    assert check_booked_once(tom.observatory, cadences, 1) == 1


def test_without_dramatiq_enqueue_says_what_is_missing(tom_with_workers: Tom) -> None:
    refused = tom_with_workers.run('--enqueue')
    assert refused.status == 1
    assert "needs 'django_dramatiq' in INSTALLED_APPS" in refused.output
