"""The whole flow with RabbitMQ as the workers' broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes.photometry.checks import check_ended
from tests.processes.photometry.rabbit import rabbitmq
from tests.support.phot_processes import QUICK, PhotTom, ask, held, make_targets, unfinished, until

pytestmark = pytest.mark.slow


def test_queries_go_from_the_question_to_the_points_through_rabbitmq(
    open_tom: Callable[..., PhotTom], worker_sqlite_url: str, tmp_path: Path
) -> None:
    with rabbitmq(tmp_path / 'rabbit') as url:
        tom = open_tom(worker_sqlite_url, service=QUICK)
        tom.more['RABBITMQ_URL'] = url
        targets = make_targets(20)
        worker = tom.work()
        assert tom.start_queries([query.pk for query in ask(targets)]) == ''
        until(lambda: not unfinished() and not held(), 'all ended', worker=worker)
        worker.kill()
        check_ended(tom, targets)
