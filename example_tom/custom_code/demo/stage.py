"""What the demo plays on: a folder made afresh, the simulated services, the TOM's environment, and the tables it prints."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

BASE = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get('EXAMPLE_TOM_DEMO_FOLDER') or BASE / 'var' / 'demo')
INNER = 'EXAMPLE_TOM_DEMO'
ZTF_USER = ('tom@example.org', 'look-up')
Row = tuple[str, ...]
PROBLEMS = ('Problem', 'Failed', '! ')


def make_folder() -> None:
    """Start from nothing, so that every demo is the same."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)


def environment(observatory_url: str, forced: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The environment of the demo's TOM: its own database, clock, observatory and services, whatever the caller's are."""
    kept = {name: value for name, value in os.environ.items() if name not in ('DATABASE_URL', 'REDIS_URL', 'RABBITMQ_URL')}
    return kept | {
        INNER: '1',
        'NO_PROXY': '127.0.0.1',  # all it talks to is on this machine
        'no_proxy': '127.0.0.1',
        'EXAMPLE_TOM_DATABASE': str(FOLDER / 'db.sqlite3'),
        'EXAMPLE_TOM_MEDIA': str(FOLDER / 'data'),
        'EXAMPLE_TOM_CLOCK': str(FOLDER / 'clock.json'),
        'EXAMPLE_OBSERVATORY_URL': observatory_url,
        'ATLAS_FORCED_PHOTOMETRY_URL': forced['atlas']['url'],
        'ATLAS_FORCED_PHOTOMETRY_API_KEY': forced['atlas']['token'],
        'ZTF_FORCED_PHOTOMETRY_URL': forced['zfps']['url'],
        'ZTF_FORCED_PHOTOMETRY_EMAIL': ZTF_USER[0],
        'ZTF_FORCED_PHOTOMETRY_USERPASS': ZTF_USER[1],
        'MAST_PANSTARRS_URL': forced['mast']['url'],
        'MAST_API_TOKEN': '',
        # Who asks in the web form does not wait for a service: cron carries on.
        'EXAMPLE_TOM_PHOT_SETTINGS': json.dumps({'SYNCHRONOUS_TIME': 10}),
        'EXAMPLE_TOM_LOG_LEVEL': os.environ.get('EXAMPLE_TOM_LOG_LEVEL', 'CRITICAL'),
        'PYTHONUNBUFFERED': '1',
    }


def manage(*arguments: str, env: dict[str, str] | None = None, quiet: bool = False) -> subprocess.Popen[bytes]:
    """Start ``manage.py`` as an own process, in the environment ``env`` (default: this process's)."""
    command = [sys.executable, str(BASE / 'manage.py'), *arguments]
    return subprocess.Popen(command, cwd=BASE, env=env, stdout=subprocess.DEVNULL if quiet else None)


def wait(process: subprocess.Popen[bytes], timeout: float | None = None) -> int | None:
    """The exit status of a process of ours; None if we were interrupted or told to stop, and took it with us."""
    try:
        return process.wait(timeout)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        process.terminate()
        process.wait()
        return None


def stop_like_interrupted() -> None:
    """Let a polite kill do what Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def port_answers(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(('127.0.0.1', port)) == 0


@contextmanager
def observatory(seed: int) -> Iterator[str]:
    """Run the simulated observatory; its URL. It ends with this block, and with this process whatever happens."""
    with _simulators('--observatory', '0', '--seed', str(seed), '--storage', str(FOLDER)) as told:
        yield told['observatory']['url']


@contextmanager
def photometry(seed: int) -> Iterator[dict[str, dict[str, Any]]]:
    """Run the simulated photometry services likewise; by name where each is, and ATLAS' token."""
    served = ('--atlas', '0', '--zfps', '0', '--mast', '0', '--zfps-options', json.dumps({'wait': 2400}))
    with _simulators(*served, '--seed', str(seed), '--storage', str(FOLDER / 'services')) as told:
        yield told


@contextmanager
def _simulators(*arguments: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, str(BASE / 'simulators'), *arguments, '--attached']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait()


class Control:
    """The observatory, or a photometry service, as its operators see it: clock, weather, faults and its own log."""

    def __init__(self, url: str) -> None:
        """Speak to the one at ``url``."""
        self.url = url

    def tell(self, name: str, **said: Any) -> Any:
        """Tell it something."""
        return self._json(requests.post(f'{self.url}/control/{name}', json=said, timeout=10))

    def ask(self, name: str, **query: Any) -> Any:
        """Ask it something."""
        return self._json(requests.get(f'{self.url}/control/{name}', params=query, timeout=10))

    @staticmethod
    def _json(response: requests.Response) -> Any:
        response.raise_for_status()
        return response.json()

    def set_now(self, instant: datetime) -> None:
        """Set its clock."""
        self.tell('clock', now=instant.isoformat())

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """What it accepted after the entry ``since``."""
        log: list[dict[str, Any]] = self.ask('log', since=since)
        return log


@dataclass(frozen=True)
class Table:
    """One line for what happened, long reasons folded within their column.

    Names and widths of the columns; the last ``numbers`` of them are set to the right.
    """

    names: Row
    widths: Sequence[int]
    numbers: int = 0

    def head(self) -> Iterator[str]:
        """The head of the table."""
        yield from self.lines(self.names)
        yield '  '.join('-' * width for width in self.widths)

    def lines(self, cells: Iterable[str]) -> Iterator[str]:
        """A row as lines of text."""
        columns = [textwrap.wrap(cell, width) or [''] for cell, width in zip(cells, self.widths, strict=True)]
        for index in range(max(map(len, columns))):
            parts = [column[index] if index < len(column) else '' for column in columns]
            yield '  '.join(map(self._set, parts, range(len(parts)))).rstrip()

    def _set(self, text: str, column: int) -> str:
        width = self.widths[column]
        return text.rjust(width) if column >= len(self.widths) - self.numbers else text.ljust(width)


NIGHTS = Table(('night', 'UTC', 'target', 'what was decided, and why', 'what the observatory booked'), (8, 12, 16, 62, 30))
PHOTOMETRY = Table(
    ('UTC', 'service', 'target', 'what became of the query', 'rows', 'new', 'unchanged', 'rejected', 'requests'),
    (12, 9, 14, 54, 4, 4, 9, 8, 8),
    numbers=5,
)
