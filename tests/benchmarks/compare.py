"""``make compare``: the benchmarks of this tree and of the last release, one after the other in turns, and the ratios.

Both trees run their own benchmarks on the same machine in the same minutes, so that what else the machine does falls on both.
Compared are the medians over the turns of processor time where a figure has it, else of wall time, and SQL statements. A ratio
above 1.05 is marked.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LAST_RELEASE = '0da7c05'
"""The commit of 0.1.0."""
WORSE = 1.05
SCRIPTS: dict[str, tuple[str, ...]] = {
    'run': ('--quick', '--runs', '3'),
    'ingest': ('--rows', '10000', '--runs', '2', '--toolkit-runs', '0'),
    'pages': ('--cadences', '100', '--runs', '5'),
    'queries': ('--queries', '1000', '--runs', '5'),
    'lightcurve': ('--points', '10000', '--runs', '5'),
}
IDENTITY = ('database', 'name', 'part', 'page', 'who', 'cadences', 'records', 'rows', 'points', 'latency')
MEASURES = ('cpu', 'wall', 'seconds')
Key = tuple[str, ...]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog='make compare', description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--release', default=LAST_RELEASE, help=f'a git revision (default {LAST_RELEASE}, which is 0.1.0)')
    parser.add_argument('--scripts', nargs='+', choices=tuple(SCRIPTS), default=list(SCRIPTS))
    parser.add_argument('--database', choices=('sqlite', 'postgresql'), default='sqlite')
    parser.add_argument('--turns', type=int, default=3, help='how often each tree runs each benchmark (default 3)')
    return parser.parse_args(arguments)


def unpack(revision: str, folder: Path) -> Path:
    """The tree of that revision."""
    archive = subprocess.run(['git', '-C', str(ROOT), 'archive', revision], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter='data')
    return folder


def figures(tree: Path, script: str, arguments: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The JSON lines of one benchmark, run from its own tree."""
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(tree), str(tree / 'example_tom')])}
    command = [sys.executable, str(tree / 'tests' / 'benchmarks' / f'{script}.py'), *arguments]
    done = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        if line.startswith('{'):
            yield json.loads(line)


def key_of(script: str, figure: Mapping[str, Any]) -> Key:
    """What was measured, whichever tree measured it."""
    return (script, *(str(figure[name]) for name in IDENTITY if figure.get(name)))


def measured(figure: Mapping[str, Any]) -> float | None:
    """Processor time where it was taken, else wall time."""
    return next((float(figure[name]) for name in MEASURES if figure.get(name)), None)


def row(key: Key, ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> str | None:
    """A line of the table; None where one of the trees did not measure this."""
    here, there = ([value for figure in found if (value := measured(figure)) is not None] for found in (ours, theirs))
    if not here or not there:
        return None
    now, before = statistics.median(here), statistics.median(there)
    ratio = now / before
    statements = ' | '.join(str(found[-1].get('statements', '-')) for found in (ours, theirs))
    mark = ' **worse**' if ratio > WORSE else ''
    return f'| {", ".join(key)} | {now:.4g} | {before:.4g} | {ratio:.2f}{mark} | {statements} |'


def main() -> None:
    """Measure in turns and print."""
    given = options()
    found: dict[Key, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    with tempfile.TemporaryDirectory(prefix='release-') as folder:
        trees = (ROOT, unpack(given.release, Path(folder)))
        for turn in range(given.turns):
            for script in given.scripts:
                for number in (0, 1) if turn % 2 == 0 else (1, 0):
                    for figure in figures(trees[number], script, (*SCRIPTS[script], '--database', given.database)):
                        if figure.get('who') not in ('toolkit', 'floor'):
                            found[key_of(script, figure)][number].append(figure)
                print(f'turn {turn + 1} of {given.turns}: {script}, load {os.getloadavg()[0]:.1f}', file=sys.stderr, flush=True)
    print(f'\n{os.cpu_count()} cores, Python {platform.python_version()}, {given.turns} turns, release {given.release}\n')
    print('| figure | now | release | ratio | statements now | statements of the release |\n|---|---|---|---|---|---|')
    for key, (ours, theirs) in found.items():
        line = row(key, ours, theirs)
        if line is not None:
            print(line)


if __name__ == '__main__':
    main()
