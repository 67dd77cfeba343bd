"""What a run asks the database: so many statements for itself, and so many for each cadence; more of them are seen here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conftest import at
from tests.support.cadences import records, settle
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import CadenceRun

pytestmark = pytest.mark.django_db(transaction=True)


def statements(run: Callable[[], object]) -> Counter[str]:
    """How often which kind of statement was sent; what begins and ends transactions is no statement here."""
    with CaptureQueriesContext(connection) as seen:
        run()
    words = (query['sql'].split()[0] for query in seen)
    return Counter(word for word in words if word not in ('BEGIN', 'COMMIT', 'SAVEPOINT', 'RELEASE'))


def one_by_one(hours: float) -> None:
    run_cadences(now=at(hours), workers=1)


def test_an_idle_run_takes_as_many_statements_for_one_cadence_as_for_many(observatory: Any, make_cadence: Any) -> None:
    counts = []
    for number in (1, 4):
        for _ in range(number):
            make_cadence(book=observatory)
        one_by_one(1)
        one_by_one(1)
        counts.append(statements(lambda: one_by_one(1)))
    assert counts[0] == counts[1] == {'SELECT': 14, 'UPDATE': 2}


def test_each_due_cadence_takes_the_same_few_statements(observatory: Any, make_cadence: Any) -> None:
    counts = []
    for number in (1, 2, 3):  # the first also takes over, and finds none that waits
        for _ in range(number):
            cadence = make_cadence(book=observatory)
            settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
        counts.append(statements(lambda: one_by_one(4)))
        assert CadenceRun.objects.filter(decision='submit').count() == sum(range(number + 1))
    alone = {'SELECT': 8, 'UPDATE': 8, 'INSERT': 6}  # with one call at a time each is claimed, sent and recorded alone
    assert counts[2] - counts[1] == alone
