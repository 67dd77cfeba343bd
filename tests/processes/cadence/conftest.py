"""A TOM of real processes on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Tom, tom


@pytest.fixture
def tom_on_both(database_url: str, tmp_path: Path, settings: Any, django_db_blocker: Any) -> Iterator[Tom]:
    """A TOM; the test runs on SQLite and on PostgreSQL."""
    with tom(database_url, tmp_path, settings, django_db_blocker) as given:
        yield given


@pytest.fixture
def tom_on_sqlite(sqlite_url: str, tmp_path: Path, settings: Any, django_db_blocker: Any) -> Iterator[Tom]:
    """A TOM on SQLite."""
    with tom(sqlite_url, tmp_path, settings, django_db_blocker) as given:
        yield given


@pytest.fixture
def tom_on_postgres(postgres_url: str, tmp_path: Path, settings: Any, django_db_blocker: Any) -> Iterator[Tom]:
    """A TOM on PostgreSQL."""
    with tom(postgres_url, tmp_path, settings, django_db_blocker) as given:
        yield given
