"""Whenever the database is lost, the run ends in words and with exit status 1; later runs go on, and each is booked once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support import site
from tests.support.databases import connected
from tests.support.stage import Stage, furnished
from tom_cadence.models import ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
LONGEST = 130
"""More statements than a run of five cadences has."""


@pytest.fixture
def stage(settings: Any) -> Iterator[None]:
    with furnished(settings):
        settings.TOM_CADENCE = {**settings.TOM_CADENCE, 'SETTLE_TIME': 60}
        yield


class Losing:
    """So many statements pass, and then the server is gone."""

    comes_back = False

    def __init__(self, statements: int) -> None:
        self.left = statements

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise OperationalError('server closed the connection unexpectedly, token=hush4711')
        return execute(sql, params, many, context)


class Ending(Losing):
    """So many statements pass, and then a real server ends this connection once; what is tried again finds it back."""

    comes_back = True

    def __init__(self, statements: int, url: str) -> None:
        super().__init__(statements)
        self.url = url

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        self.left -= 1
        if self.left == -1:
            pid = connection.connection.info.backend_pid
            with psycopg.connect(self.url, autocommit=True) as other:
                other.execute('SELECT pg_terminate_backend(%s, 10000)', (pid,))
        return execute(sql, params, many, context)


def lost_after(losing: Losing) -> None:
    """A run loses the database; what it held is free again when claims have ended, and cron goes on."""
    scene = Stage(site.Remembering, 'ResumeCadenceAfterFailureStrategy')
    with connection.execute_wrapper(losing):
        report = scene.run()
    said = any('The database was lost' in problem for problem in report.problems)
    assert said == report.failed
    assert said or losing.left >= 0 or losing.comes_back
    if not said:
        assert [scene.booked(name) for name in ('good 0', 'good 1', 'victim', 'good 2', 'good 3')] == [1] * 5
    assert not any('hush4711' in problem for problem in report.problems)
    for hours in (6, 6.5, 7):
        ManagedCadence.objects.update(claim_expires=None, claim_holder='')
        scene.run(hours)
    for name, cadence in [(f'good {number}', good) for number, good in enumerate(scene.good)] + [('victim', scene.victim)]:
        managed = ManagedCadence.objects.get(cadence=cadence)
        assert scene.booked(name) == 1
        if managed.state != 'attention':  # of what cannot be asked, a person says whether it was booked
            assert cadence.observation_group.observation_records.count() == 2
        else:
            assert (name[:4], Submission.objects.get(managed=managed).state) == ('good', 'uncertain')
            assert 'Say whether it is there' in managed.reason


few = settings(max_examples=min(100, settings().max_examples // 5), suppress_health_check=list(HealthCheck))


@few
@given(statements=st.integers(0, LONGEST))
@example(statements=0)
def test_a_database_that_is_lost_ends_the_run_in_words_and_the_next_one_goes_on(
    stage: None, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    losing = Losing(statements)
    known = connections['default']
    monkeypatch.setattr(known, 'is_usable', lambda: losing.left >= 0 or not known.execute_wrappers)
    lost_after(losing)


@pytest.mark.postgres
@pytest.mark.prove(why='a PostgreSQL server ends the connection after each number of statements')
@pytest.mark.parametrize('statements', range(0, LONGEST, 5))
def test_a_connection_that_a_server_ends_does_so_too(
    stage: None, statements: int, postgres_url: str, django_db_blocker: Any
) -> None:
    with connected(postgres_url, django_db_blocker):
        lost_after(Ending(statements, postgres_url))


def test_the_command_says_so_and_exits_with_status_1(stage: None, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    Stage(site.Good, 'ResumeCadenceAfterFailureStrategy')
    with connection.execute_wrapper(Losing(0)), pytest.raises(CommandError, match='The database does not answer') as caught:
        call_command('runcadencestrategies')
    assert 'hush4711' not in str(caught.value)
    losing = Losing(20)
    monkeypatch.setattr(connections['default'], 'is_usable', lambda: losing.left >= 0)
    with connection.execute_wrapper(losing), pytest.raises(SystemExit) as ended:
        call_command('runcadencestrategies')
    assert ended.value.code == 1
    assert 'The database was lost, so the run ended early' in capsys.readouterr().out
