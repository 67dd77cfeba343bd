"""A whole TOM of real processes: ``manage.py`` as cron starts it, a database that outlives them, an observatory over HTTP.

The test's own process serves the observatory and reads the same database through the ORM.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.conftest import NIGHT
from tests.support.cadences import SIMULATED, make
from tests.support.nursery import Child, is_possible, nursery

ROOT = Path(__file__).resolve().parent.parent.parent
MANAGE = ROOT / 'example_tom' / 'manage.py'
LONGEST = 150
LONG_AGO = datetime(2020, 1, 1, tzinfo=NIGHT.tzinfo)
OURS = ('DATABASE_URL', 'REDIS_URL', 'EXAMPLE_', 'DJANGO_', 'PYTEST_', 'COV_', 'TOM_')
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'
PAUSE_AT = """
import os, runpy, signal, sys, threading
from tom_followup import failpoints
wished, manage, *arguments = sys.argv[1:]
todo = [failpoints.CadencePoint(wished)]
def on_reach(point):
    if point in todo:
        todo.clear()
        # This very thread: a signal to the process may reach another one first, and this one would go on for a while.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
failpoints.on_reach = on_reach
sys.argv = [manage, *arguments]
sys.path.insert(0, os.path.dirname(manage))
runpy.run_path(manage, run_name='__main__')
"""


@dataclass
class Finished:
    """How a process ended and what it said."""

    status: int
    output: str

    @property
    def killed(self) -> bool:
        """Whether kill -9 ended it."""
        return self.status == -signal.SIGKILL


class Process:
    """One running process of the TOM."""

    def __init__(self, popen: subprocess.Popen[str] | Child) -> None:
        """Watch a process."""
        self.popen = popen

    def wait(self, seconds: float = LONGEST) -> Finished:
        """Wait until it ends; TimeoutExpired (and its death) if that takes too long."""
        try:
            output, _ = self.popen.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise
        return Finished(self.popen.returncode, output)

    def wait_until_frozen(self) -> None:
        """Wait until it was stopped (SIGSTOP)."""
        _, status = os.waitpid(self.popen.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self.popen.returncode = os.waitstatus_to_exitcode(status)
            raise AssertionError(f'It ended (status {self.popen.returncode}) before it came there: {self.wait().output}')

    def thaw(self) -> None:
        """Let it go on."""
        self.popen.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill it, if it runs, and close its output."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.communicate()
        elif self.popen.stdout is not None:
            self.popen.stdout.close()


def start(arguments: list[str], env: dict[str, str], prefix: Sequence[str] = (), *, cold: bool = False) -> Process:
    """``manage.py ARGUMENTS``; warm (see nursery.py), unless something is to run before it, or it is to start as cron starts it."""
    given = arguments if cold or arguments[0] == 'shell' else [*arguments, '--skip-checks']
    if not prefix and not cold and is_possible():
        return Process(nursery().start(given, env))
    command = [sys.executable, *prefix, str(MANAGE), *given]
    return Process(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=ROOT))


@dataclass
class Tom:
    """The example TOM on one database."""

    database: str
    observatory: Any
    folder: Path
    more_facilities: str = 'custom_code.observatory.PlainObservatoryFacility'
    settings: dict[str, Any] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        """What ``manage.py`` is told; nothing of the caller's own TOM."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        mine = {
            'PYTHONPATH': str(ROOT),
            'DATABASE_URL': self.database,
            'EXAMPLE_OBSERVATORY_URL': self.observatory.url,
            'EXAMPLE_TOM_CLOCK': str(self.folder / 'clock.json'),
            'EXAMPLE_TOM_MORE_FACILITIES': self.more_facilities,
            'EXAMPLE_TOM_CADENCE_SETTINGS': json.dumps(self.settings),
        }
        return {**kept, **mine, **more}

    def start(self, *arguments: str, crash_at: str = '', freeze_at: str = '', cold: bool = False, **more: str) -> Process:
        """Start ``manage.py runcadencestrategies``; it kills itself at ``crash_at`` (``point:passes before``), or freezes."""
        env = self.environment(**more, **({'EXAMPLE_TOM_CRASH_AT': crash_at} if crash_at else {}))
        given = ['runcadencestrategies', *arguments]
        prefix = ['-c', PAUSE_AT, freeze_at] if freeze_at else []
        self.processes.append(start(given, env, prefix, cold=cold))
        return self.processes[-1]

    def run(self, *arguments: str, crash_at: str = '', cold: bool = False, **more: str) -> Finished:
        """The same, to its end."""
        return self.start(*arguments, crash_at=crash_at, cold=cold, **more).wait()

    def run_here(self, instant: datetime) -> Any:
        """A run in the test's own process, which starts no interpreter."""
        from tom_cadence.engine.run import run_cadences

        self.set_now(instant)
        return run_cadences(now=instant)

    def run_until_quiet(self, instant: datetime, most: int = 8) -> int:
        """Run again, 11 minutes apart (more than SETTLE_TIME), until a run changes nothing; how many runs."""
        for number in range(1, most + 1):
            report = self.run_here(instant + timedelta(minutes=11) * (number - 1))
            if not any(line.changed or line.failed for line in report.lines) and not open_requests():
                return number
        raise AssertionError(f'Still not quiet after {most} runs: {[line.text for line in report.lines]}')

    def set_now(self, instant: datetime) -> None:
        """Let it be this instant, for the TOM's processes and for the observatory."""
        from custom_code import clock

        before = os.environ.get('EXAMPLE_TOM_CLOCK')
        os.environ['EXAMPLE_TOM_CLOCK'] = str(self.folder / 'clock.json')
        try:
            clock.set_now(instant)
        finally:
            if before is None:
                del os.environ['EXAMPLE_TOM_CLOCK']
            else:
                os.environ['EXAMPLE_TOM_CLOCK'] = before
        self.observatory.set_clock(instant)

    def end(self) -> None:
        """Let no process be left."""
        for process in self.processes:
            process.end()


@contextmanager
def tom(database: str, folder: Path, settings: Any, blocker: Any) -> Iterator[Tom]:
    """A TOM on ``database``, at NIGHT, with its observatory; this process's ORM and engine work on the same."""
    from simulators.observatory import Observatory
    from simulators.server import serve
    from tests.support.databases import connected

    with serve(Observatory(seed=1)) as server, connected(database, blocker):
        server.service.url = server.url
        given = Tom(database, server.service, folder)
        portal = {'portal_url': server.url, 'api_key': 'example-token'}
        settings.FACILITIES = {'Simulated observatory': portal, 'Plain observatory': portal}
        settings.TOM_FACILITY_CLASSES = [
            'custom_code.observatory.SimulatedObservatoryFacility',
            'custom_code.observatory.PlainObservatoryFacility',
        ]
        settings.TOM_CADENCE = {'FACILITY_TIMEOUT': 2, 'CLAIM_TIME': 5, 'NOTIFY_BY_MAIL': False}
        given.set_now(NIGHT)
        try:
            yield given
        finally:
            given.end()


def owner() -> Any:
    """The astronomer whose cadences they are."""
    from django.contrib.auth.models import User

    return User.objects.get_or_create(username='vera', defaults={'email': 'vera@example.org'})[0]


def seed(
    observatory: Any, number: int, state: str = 'COMPLETED', strategy: str = RESUME, facility: str = SIMULATED, name: str = 'SN'
) -> list[Any]:
    """Cadences begun at NIGHT, each with a target of its own and one observation that the observatory is done with."""
    from tom_targets.models import Target

    observatory.set_clock(NIGHT)
    made = []
    for _ in range(number):
        target = Target.objects.create(
            name=f'{name} {Target.objects.count() + 1}', type='SIDEREAL', ra=210.7, dec=54.2, permissions='OPEN'
        )
        cadence = make(owner(), target, strategy=strategy, facility=facility, book=observatory)
        observatory.set_state(cadence.observation_group.observation_records.get().observation_id, state)
        made.append(cadence)
    return made


def expire_claims() -> int:
    """Let the time of every claim pass, as it does after its holder's death; how many there were."""
    from tom_cadence.models import ManagedCadence

    return ManagedCadence.objects.exclude(claim_expires=None).update(claim_expires=LONG_AGO)


def open_requests() -> int:
    """How many requests of active cadences nobody knows the fate of."""
    from tom_cadence.models import Submission

    return Submission.objects.filter(state__in=Submission.OPEN, managed__cadence__active=True).count()


def check_booked_once(observatory: Any, cadences: list[Any], before: int) -> int:
    """Each of these cadences got exactly one new booking, which has exactly one record, in that cadence's group.

    ``before`` is how many bookings the observatory had; the number of new ones is returned.
    """
    from tom_observations.models import ObservationRecord

    from tom_cadence.models import Submission

    log = observatory.log(before)
    booked = Counter(entry['target'] for entry in log)
    assert booked == {_target(cadence): 1 for cadence in cadences}, booked
    recorded = Counter(ObservationRecord.objects.values_list('observation_id', flat=True))
    assert [recorded[str(entry['id'])] for entry in log] == [1] * len(log), 'each booking has one record'
    owners = {str(entry['id']): entry['target'] for entry in log}
    for cadence in cadences:
        new = [r for r in cadence.observation_group.observation_records.order_by('pk') if int(r.observation_id) > before]
        assert [owners[record.observation_id] for record in new] == [_target(cadence)]
        assert [record.user.username for record in new] == ['vera']
    accepted = Submission.objects.filter(state=Submission.State.ACCEPTED, managed__cadence__in=cadences)
    assert Counter(accepted.values_list('cause', flat=True)).most_common(1)[0][1] == 1, 'one accepted request for each cause'
    return len(log)


def _target(cadence: Any) -> str:
    return str(cadence.observation_group.observation_records.earliest('pk').target.name)
