"""A TOM of real processes that asks a simulated ATLAS server, on real databases, with real brokers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import FOR_WORKERS, Server
from tests.support.phot_processes import PhotTom, Redis, phot_tom


@pytest.fixture
def open_tom(tmp_path: Path, settings: Any, monkeypatch: Any, django_db_blocker: Any) -> Iterator[Callable[..., PhotTom]]:
    """Open a TOM on a database, with options of the ATLAS server, and the class of the service."""
    with ExitStack() as stack:
        yield lambda url, **more: stack.enter_context(phot_tom(url, tmp_path, settings, monkeypatch, django_db_blocker, **more))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis server that runs."""
    server = Redis(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def worker_sqlite_url(sqlite_for_workers: Path, tmp_path: Path) -> str:
    """The DATABASE_URL of a fresh SQLite file for workers."""
    return f'sqlite:///{shutil.copy(sqlite_for_workers, tmp_path / "tom.sqlite3")}'


@pytest.fixture
def worker_postgres_url(postgres_server: Server) -> Iterator[str]:
    """The DATABASE_URL of a fresh PostgreSQL database for workers."""
    url = postgres_server.make(template=FOR_WORKERS)
    yield url
    postgres_server.drop(url)


LATER = pytest.mark.prove(why='real workers, which take half a minute, and the same on another database')


@pytest.fixture(params=['sqlite', pytest.param('postgres', marks=[pytest.mark.postgres, LATER])])
def worker_url(request: pytest.FixtureRequest) -> Any:
    """The DATABASE_URL of a fresh database for workers: the test runs on SQLite and on PostgreSQL."""
    return request.getfixturevalue(f'worker_{request.param}_url')
