"""What this TOM reads from the environment: the database and where packaged browser files are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def sqlite(path: str | Path, test_path: str | None = None) -> dict[str, Any]:
    """An SQLite database that several processes can write to.

    IMMEDIATE takes the write lock when a transaction begins (a deferred one that finds the database changed fails at
    once, whatever the timeout); WAL lets readers go on meanwhile; the others wait up to 30 s for their turn.
    """
    return {
        'ENGINE': 'django.db.backends.sqlite3',
        'NAME': str(path),
        'OPTIONS': {
            'transaction_mode': 'IMMEDIATE',
            'timeout': 30,
            'init_command': 'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;',
        },
        'TEST': {'NAME': test_path},
    }


def database(url: str) -> dict[str, Any]:
    """The DATABASES entry for ``postgresql://user:password@host:port/name?option=value`` or ``sqlite:///path``.

    A socket's directory goes into the query: ``postgresql://user@/name?host=/run/postgresql``.
    """
    parts = urlsplit(url)
    name = unquote(parts.path[1:])
    if parts.scheme == 'sqlite' and name:
        return sqlite(name)
    if parts.scheme not in ('postgres', 'postgresql'):
        raise ImproperlyConfigured(f'DATABASE_URL must start with postgresql:// or sqlite:///, not {parts.scheme}://')
    options = dict(parse_qsl(parts.query))
    return {
        'ENGINE': 'django.db.backends.postgresql',
        'NAME': name,
        'USER': unquote(parts.username or ''),
        'PASSWORD': unquote(parts.password or ''),
        'HOST': options.pop('host', unquote(parts.hostname or '')),
        'PORT': options.pop('port', str(parts.port or '')),
        'OPTIONS': options,
    }


def static_files_of(package: str, folder: str = 'static') -> str:
    """The folder of browser files in an installed package, without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImproperlyConfigured(f'{package} is missing: install the "example" extra, its files are in the pages.')
    return str(Path(spec.submodule_search_locations[0]) / folder)
