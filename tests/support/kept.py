"""Databases that are migrated once and kept from run to run, for as long as nothing changes that shaped them.

Migrating takes some seconds, and a run of the tests needs a dozen migrated databases in several processes. Where the migrations
themselves are tested, they are run from the first to the last.
"""

from __future__ import annotations

import fcntl
import hashlib
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
FEW = 4


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """A hash of what the tables and the rows of a migrated database come from: migrations, models, apps and settings."""
    digest = hashlib.sha256()
    parts = [django.VERSION, sys.version_info[:2], sqlite3.sqlite_version, settings.INSTALLED_APPS, version('django-dramatiq')]
    digest.update(repr(parts).encode())
    files = [ROOT / 'example_tom' / 'mytom' / 'settings.py', ROOT / 'tests' / 'support' / 'databases.py', Path(__file__)]
    for app in apps.get_app_configs():
        folder = Path(app.path)
        shaping = [*folder.glob('apps.py'), *folder.glob('models.py'), *folder.glob('models/*.py'), *folder.glob('migrations/*.py')]
        files += sorted(shaping)
    for file in files:
        digest.update(f'\0{file.name}\0'.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:20]


def kept(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A file of a folder, made if it is not there; one process makes it while the others wait.

    ``make`` is given the path at which to make it. Of each name only the few that were used last are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem, _, ending = name.partition('.')
    path = folder / f'{stem}-{fingerprint()}.{ending}'
    with (folder / f'{stem}.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            half = folder / f'{stem}.half'
            for each in folder.glob(f'{half.name}*'):
                each.unlink()
            make(half)
            half.rename(path)
        path.touch()
        for each in sorted(folder.glob(f'{stem}-*'), key=lambda each: each.stat().st_mtime)[:-FEW]:
            each.unlink()
    return path


def fill(creation: Any, path: Path) -> str:
    """Make Django's test database as a copy of a kept one; its name. ``creation`` is the connection's, an SQLite one."""
    connection = creation.connection
    name: str = creation._create_test_db(verbosity=0, autoclobber=True, keepdb=False)
    connection.close()
    settings.DATABASES[connection.alias]['NAME'] = name
    connection.settings_dict['NAME'] = name
    connection.ensure_connection()
    with closing(sqlite3.connect(path)) as source:
        source.backup(connection.connection)
    return name
