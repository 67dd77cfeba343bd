"""A database that is busy costs a query no try, and the log no traceback."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from tests.photometry.conftest import MINUTE, Hands
from tests.support.asking import ask, ended, fresh
from tom_forced_phot import queries
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize('error', ['database is locked', 'database table is locked', 'deadlock detected'])
def test_a_query_whose_steps_find_the_database_busy_waits_and_is_answered(
    atlas: Any, clock: Hands, target: Any, monkeypatch: Any, caplog: Any, error: str
) -> None:
    query = ask(target, clock)

    def busy(_: Any) -> bool:
        raise OperationalError(error)

    with monkeypatch.context() as away:
        away.setattr(AtlasForcedPhotometryService, 'does_all_itself', busy)
        for _ in range(30):
            queries.run(clock)
            clock.move(MINUTE)
    waiting = fresh(query)
    assert (waiting.state, waiting.attempts, waiting.claim_until) == ('queued', 0, None)
    assert waiting.message == "This TOM's database was busy."
    assert any(getattr(each, 'event', '') == 'database_busy' for each in caplog.records)
    assert not any(each.exc_info for each in caplog.records)
    ended(clock)
    assert fresh(query).state == 'done'
