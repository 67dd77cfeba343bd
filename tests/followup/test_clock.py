"""One clock for all hosts: what happens where the database cannot be asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection

from tom_followup import clock


def test_where_the_database_fails_for_a_moment_its_time_goes_on(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.reset()
    said, here = clock.database_now(), clock.monotonic_seconds()

    def fails() -> Any:
        raise DatabaseError('database is locked')

    with monkeypatch.context() as patch:
        patch.setattr(connection, 'cursor', fails)
        patch.setattr(clock, 'monotonic_seconds', lambda: here + 60)
        later = clock.database_now()
    clock.reset()
    assert timedelta(seconds=59) < later - said < timedelta(seconds=62)
