"""A TOM of real processes that asks a simulated ATLAS server, on real databases, with real brokers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import (  # noqa: F401
    Server,
    database_url,
    migrated_postgres,
    migrated_sqlite,
    postgres_server,
    postgres_url,
    sqlite_url,
)
from tests.support.phot_processes import PhotTom, Redis, phot_tom
from tests.support.processes import MANAGE, ROOT

NOBODY = 'redis://127.0.0.1:9/0'


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


def _migrate(url: str) -> None:
    """Also the tables of django_dramatiq, which this process does not have."""
    environment = {'PATH': '/usr/bin:/bin', 'PYTHONPATH': str(ROOT), 'DATABASE_URL': url, 'REDIS_URL': NOBODY}
    command = [sys.executable, str(MANAGE), 'migrate', '--skip-checks', '--verbosity', '0']
    subprocess.run(command, env=environment, cwd=ROOT, timeout=120, check=True)


@pytest.fixture(scope='session')
def sqlite_for_workers(migrated_sqlite: Path) -> Path:  # noqa: F811
    """An SQLite file that has all tables, also those that workers need."""
    path = migrated_sqlite.with_name('workers.sqlite3')
    shutil.copy(migrated_sqlite, path)
    _migrate(f'sqlite:///{path}')
    return path


@pytest.fixture(scope='session')
def postgres_for_workers(postgres_server: Server, migrated_postgres: str) -> str:  # noqa: F811
    """The name of a database that has all tables, also those that workers need."""
    _migrate(postgres_server.make(template=migrated_postgres, name='workers'))
    return 'workers'


@pytest.fixture
def worker_sqlite_url(sqlite_for_workers: Path, tmp_path: Path) -> str:
    """The DATABASE_URL of a fresh SQLite file for workers."""
    return f'sqlite:///{shutil.copy(sqlite_for_workers, tmp_path / "tom.sqlite3")}'


@pytest.fixture
def worker_postgres_url(postgres_server: Server, postgres_for_workers: str) -> Iterator[str]:  # noqa: F811
    """The DATABASE_URL of a fresh PostgreSQL database for workers."""
    url = postgres_server.make(template=postgres_for_workers)
    yield url
    postgres_server.drop(url)


@pytest.fixture(params=['sqlite', pytest.param('postgres', marks=pytest.mark.postgres)])
def worker_url(request: pytest.FixtureRequest) -> Any:
    """The DATABASE_URL of a fresh database for workers: the test runs on SQLite and on PostgreSQL."""
    return request.getfixturevalue(f'worker_{request.param}_url')
