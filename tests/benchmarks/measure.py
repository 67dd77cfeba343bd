"""One measurement: wall time, processor time and SQL statements of a run, several times, and their medians."""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from django.core.management import call_command
from django.db import connection
from django.db.models.signals import m2m_changed, post_save
from django.test.utils import override_settings

from tests.benchmarks.facility import Sky
from tom_cadence import signals
from tom_cadence.engine.run import run_cadences

TOOLKIT = [
    'tom_observations.cadences.retry_failed_observations.RetryFailedObservationsStrategy',
    'tom_observations.cadences.resume_cadence_after_failure.ResumeCadenceAfterFailureStrategy',
]


@dataclass(kw_only=True)
class Figure:
    """What one kind of run costs; per cadence, but for ``wall`` (seconds of the whole run)."""

    name: str
    who: str
    cadences: int
    latency: float
    statements: float = 0.0
    transactions: float = 0.0
    cpu: float = 0.0
    wall: float = 0.0
    calls: int = 0
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    database: str = ''
    cores: int = field(default_factory=lambda: os.cpu_count() or 0)

    @property
    def wall_each(self) -> float:
        """Milliseconds a cadence."""
        return 1000 * self.wall / self.cadences


class Counter:
    """Counts what is sent to the database."""

    def __init__(self) -> None:
        """From nothing."""
        self.statements = self.transactions = 0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        """Count one statement and let it through."""
        self.statements += 1
        return execute(*arguments)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count statements (savepoints too) and, separately, transactions, each of which is a BEGIN and a COMMIT besides."""
        commit = connection._commit

        def committed() -> Any:
            self.transactions += 1
            return commit()

        connection._commit = committed
        try:
            with connection.execute_wrapper(self):
                yield
        finally:
            del connection._commit


def ours(workers: int, pks: list[int] | None = None) -> Callable[[], None]:
    """This app's run."""

    def run() -> None:
        report = run_cadences(pks=pks, workers=workers)
        if report.failed or any(line.decision == 'busy' for line in report.lines):
            raise RuntimeError(next(line.text for line in report.lines if line.failed or line.decision == 'busy'))

    return run


def toolkit() -> None:
    """The toolkit's own command, with its own strategies, and without this app listening."""
    from tom_observations.management.commands.runcadencestrategies import Command
    from tom_observations.models import DynamicCadence, ObservationGroup

    through = ObservationGroup.observation_records.through
    m2m_changed.disconnect(sender=through, dispatch_uid='tom_cadence.group_changed')
    post_save.disconnect(sender=DynamicCadence, dispatch_uid='tom_cadence.saved')
    try:
        with override_settings(TOM_CADENCE_STRATEGIES=TOOLKIT):
            call_command(Command(), stdout=open(os.devnull, 'w'))  # noqa: SIM115
    finally:
        signals.connect()


def measure(
    name: str,
    who: str,
    run: Callable[[], None],
    *,
    cadences: int,
    runs: int,
    due: bool,
    latency: float = 0.0,
    before: Callable[[], object] = lambda: None,
) -> Figure:
    """Run it so many times, each from the same state; the medians."""
    figure = Figure(name=name, who=who, cadences=cadences, latency=latency)
    statements, transactions = [], []
    for _ in range(runs):
        before()
        Sky.finished, Sky.latency, Sky.calls = due, latency, 0
        counter = Counter()
        gc.collect()
        with counter.counting():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            figure.walls.append(round(time.perf_counter() - wall, 4))
            figure.cpus.append(round(1000 * (time.process_time() - cpu) / cadences, 4))
        statements.append(counter.statements / cadences)
        transactions.append(counter.transactions / cadences)
        figure.calls = Sky.calls
        Sky.finished, Sky.latency = False, 0.0
    figure.cpu, figure.wall = statistics.median(figure.cpus), statistics.median(figure.walls)
    figure.statements = round(statistics.median(statements), 4)
    figure.transactions = round(statistics.median(transactions), 4)
    figure.database = database_name()
    sys.stdout.write(json.dumps(asdict(figure)) + '\n')
    sys.stdout.flush()
    return figure


def database_name() -> str:
    """The database and its version."""
    with connection.cursor() as cursor:
        if connection.vendor == 'sqlite':
            cursor.execute('SELECT sqlite_version()')
            return f'SQLite {cursor.fetchone()[0]}'
        cursor.execute('SHOW server_version')
        return f'PostgreSQL {cursor.fetchone()[0].split()[0]}'
