"""What our pages cost the server: the list of cadences and the page of one, in TOMs of 100, 1,000 and 10,000 cadences.

All cadences have twenty observations; for the second case five of them, which stand on the first page of the list, have a thousand.
Two people look: a superuser, and an astronomer who owns a tenth of the cadences; her group may see two of three private targets.
A time is what Django's test client waits for: with middleware, without network, templates read once as where DEBUG is off.

Prints a JSON line for each figure and a table at the end. Every database gets a fresh file or server and a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'example_tom')]
FEW, MANY, LONG = 20, 1000, 5
OVERVIEW = 'overview'
AIM = 0.5
AIM_AT = 10_000


@dataclass(kw_only=True)
class Figure:
    """One page of one person in one TOM: the median, and every run."""

    page: str
    who: str
    cadences: int
    records: int
    seconds: float = 0.0
    cpu: float = 0.0
    statements: int = 0
    in_database: float = 0.0
    kilobytes: int = 0
    runs: list[float] = field(default_factory=list)
    load: float = 0.0
    database: str = ''
    cores: int = field(default_factory=lambda: os.cpu_count() or 0)


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--cadences', type=int, nargs='+', default=[100, 1000, 10_000])
    parser.add_argument('--database', nargs='+', choices=('sqlite', 'postgresql'), default=['sqlite', 'postgresql'])
    parser.add_argument('--runs', type=int, default=5, help='each figure is the median of so many (default 5)')
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def set_up() -> None:
    """Django as it runs in earnest: no DEBUG, templates read once; the benchmark's facility, which answers in this process."""
    from django.conf import settings

    logging.disable(logging.CRITICAL)
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = ['testserver']
    settings.TOM_FACILITY_CLASSES = ['tests.benchmarks.facility.BenchmarkFacility']
    settings.TOM_CADENCE = {'NOTIFY_BY_MAIL': False}
    import django
    from django.core.management import call_command

    django.setup()
    call_command('migrate', verbosity=0, interactive=False)


def work(given: argparse.Namespace) -> None:
    """All figures of the database that the environment names."""
    set_up()
    from tests.benchmarks.many_cadences import ManyCadences

    tom = ManyCadences()
    for cadences in sorted(given.cadences):
        tom.grow(cadences)
        _look(tom, cadences, FEW, tom.one, given.runs)
        with tom.long_ones(LONG, MANY) as one:
            _look(tom, cadences, MANY, one, given.runs)


def _look(tom: Any, cadences: int, records: int, one: int, runs: int) -> None:
    """Every page, by everybody."""
    from django.test import Client

    pages = {
        OVERVIEW: '/cadences/',
        'overview, searched': '/cadences/?query=Target+0001',
        'overview, by target, last page': f'/cadences/?sort=-target&page={max(1, cadences // 25)}',
        'overview, only the table': '/cadences/',
        'cadence': f'/cadences/{one}/',
        'cadence, all unfolded': f'/cadences/{one}/?observations=all&decisions=all',
        'its history as CSV': f'/cadences/{one}/history.csv',
    }
    for who, user in tom.people.items():
        client = Client()
        client.force_login(user)
        for page, address in pages.items():
            headers = {'HX-Request': 'true'} if 'only the table' in page else {}
            say(measure(client, address, headers, Figure(page=page, who=who, cadences=cadences, records=records), runs))


def measure(client: Any, address: str, headers: dict[str, str], figure: Figure, runs: int) -> Figure:
    """Fetch it once to warm up, then so many times, then once more to count."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from tests.benchmarks.measure import database_name

    cpus = []
    for run in range(runs + 1):
        gc.collect()
        cpu, began = time.process_time(), time.perf_counter()
        response = client.get(address, headers=headers)
        passed = time.perf_counter() - began
        cpus += [time.process_time() - cpu] if run else []
        if response.status_code != 200:
            raise RuntimeError(f'{address} answered {response.status_code}')
        figure.runs += [round(passed, 4)] if run else []
    with CaptureQueriesContext(connection) as asked:
        client.get(address, headers=headers)
    figure.seconds, figure.cpu = round(statistics.median(figure.runs), 4), round(statistics.median(cpus), 4)
    figure.load = round(os.getloadavg()[0], 1)
    figure.statements, figure.in_database = len(asked), round(sum(float(query['time']) for query in asked), 3)
    figure.kilobytes, figure.database = round(len(response.content) / 1024), database_name()
    return figure


def say(figure: Figure) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(asdict(figure)) + '\n')
    sys.stdout.flush()


def measured(kind: str, arguments: list[str]) -> list[dict[str, Any]]:
    """Measure in a process of its own, and pass its lines on."""
    from tests.benchmarks.run import database

    figures = []
    with database(kind) as url:
        environment = {**os.environ, 'DATABASE_URL': url, 'DJANGO_SETTINGS_MODULE': 'mytom.settings', 'REDIS_URL': ''}
        command = [sys.executable, __file__, *arguments, '--inside']
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end='', flush=True)
                figures.append(json.loads(line))
        if process.returncode:
            raise SystemExit(process.returncode)
    return figures


def table(figures: list[dict[str, Any]]) -> str:
    """A row for each page, person and length of a cadence; in its cells seconds and statements at each number of cadences."""
    sizes = sorted({figure['cadences'] for figure in figures})
    rows: dict[tuple[str, str, int], dict[int, dict[str, Any]]] = {}
    for figure in figures:
        rows.setdefault((figure['page'], figure['who'], figure['records']), {})[figure['cadences']] = figure
    heads = ['page', 'who', 'records each', *(f'{size:,} cadences: s (statements)' for size in sizes), 'kB', 'aim']
    lines = [f'| {" | ".join(heads)} |', '|---' * len(heads) + '|']
    for (page, who, records), found in rows.items():
        cells = [f'{found[size]["seconds"]:.3f} ({found[size]["statements"]})' if size in found else '-' for size in sizes]
        kilobytes = max(figure['kilobytes'] for figure in found.values())
        lines.append(f'| {" | ".join([page, who, f"{records:,}", *cells, str(kilobytes), aim(page, found)])} |')
    return '\n'.join(lines)


def aim(page: str, found: dict[int, dict[str, Any]]) -> str:
    """Whether the list met its aims: under half a second at 10,000 cadences, and as many statements as at the smallest."""
    if not page.startswith(OVERVIEW):
        return '-'
    verdicts = []
    if AIM_AT in found:
        verdicts.append(f'{AIM} s ({"met" if found[AIM_AT]["seconds"] < AIM else "MISSED"})')
    if len(found) > 1:
        constant = len({figure['statements'] for figure in found.values()}) == 1
        verdicts.append(f'constant ({"met" if constant else "MISSED"})')
    return ', '.join(verdicts) or '-'


def main() -> None:
    """Measure and print."""
    given = options()
    if given.inside:
        work(given)
        return
    for kind in given.database:
        figures = measured(kind, sys.argv[1:])
        print()
        print(f'{figures[0]["database"]}, {os.cpu_count()} cores, Python {platform.python_version()},', end=' ')
        print(f'medians of {given.runs} runs; {MANY:,} records: {LONG} of the cadences, on the first page of the list\n')
        print(table(figures), end='\n\n')


if __name__ == '__main__':
    main()
