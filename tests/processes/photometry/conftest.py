"""A TOM of real processes that asks a simulated ATLAS server, on real databases, with real brokers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

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
