"""The migrations, run from the first to the last: all other tests start from a copy of what they once left behind."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import Server, connected, migrate


def everything(url: str, blocker: Any) -> dict[str, Any]:
    """Tables with their columns and constraints, and the rows that migrating leaves behind."""
    from django.db import connection

    found: dict[str, Any] = {}
    with connected(url, blocker), connection.cursor() as cursor:
        inspect = connection.introspection
        for table in sorted(inspect.table_names(cursor)):
            cursor.execute(f'SELECT * FROM {connection.ops.quote_name(table)}')  # noqa: S608 (a table of ours)
            rows = sorted(map(lasting, cursor.fetchall()))
            columns = [(part.name, part.type_code, part.null_ok) for part in inspect.get_table_description(cursor, table)]
            found[table] = (rows, columns, sorted(inspect.get_constraints(cursor, table).items()))
    return found


def lasting(row: tuple[Any, ...]) -> str:
    """Without what is another one each time: the present, a token, a key, a password that nobody can log in with."""
    drawn = re.compile(r'!\w{40}|[0-9a-f]{40,}')
    return repr([value for value in row if not isinstance(value, datetime) and not drawn.fullmatch(str(value))])


LATER = pytest.mark.prove(why='the same on another database, where migrating takes twice as long')


@pytest.fixture(params=['sqlite', pytest.param('postgres', marks=[pytest.mark.postgres, LATER])])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == 'sqlite':
        yield f'sqlite:///{tmp_path / "empty.sqlite3"}'
        return
    server: Server = request.getfixturevalue('postgres_server')
    url = server.make()
    yield url
    server.drop(url)


def test_migrating_an_empty_database_gives_what_all_tests_start_from(
    empty_url: str, request: pytest.FixtureRequest, django_db_blocker: Any
) -> None:
    kept = request.getfixturevalue('sqlite_url' if empty_url.startswith('sqlite') else 'postgres_url')
    migrate(empty_url, django_db_blocker)
    migrated, copied = everything(empty_url, django_db_blocker), everything(kept, django_db_blocker)
    assert len(migrated) > 50
    assert 'tom_cadence_managedcadence' in migrated
    for table in sorted(migrated.keys() | copied.keys()):
        assert migrated.get(table) == copied.get(table), f'{table}: make clean, then try again'
