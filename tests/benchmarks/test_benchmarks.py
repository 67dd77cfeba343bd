"""Every benchmark runs to its end: one that no longer does is found before somebody wants to measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.compare import key_of, measured, row

HERE = Path(__file__).parent
SMALLEST = {
    'run': '--cadences 4 --toolkit 2 --small 100 --large 200 --runs 1 --database sqlite',
    'ingest': '--rows 100 --runs 1 --database sqlite',
    'pages': '--cadences 6 --runs 1 --database sqlite',
    'queries': '--queries 60 --runs 1 --database sqlite',
    'lightcurve': '--points 100 --runs 1 --database sqlite --no-browser',
}


@pytest.mark.prove(why='each fills a database of its own in a process of its own: 15 to 45 s')
@pytest.mark.parametrize('script', SMALLEST)
def test_a_benchmark_ends_with_a_table(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / f'{script}.py'), *SMALLEST[script].split()], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]
    assert [line for line in lines if measured(line) is not None], done.stdout
    assert '| ' in done.stdout


def test_a_figure_that_takes_a_tenth_more_than_in_the_last_release_is_marked() -> None:
    figure = {'name': 'idle', 'who': 'ours', 'cadences': 100, 'cpu': 0.55, 'wall': 3.0, 'statements': 2.0}
    key = key_of('run', figure)
    assert key == ('run', 'idle', 'ours', '100')
    assert '1.10 **worse**' in str(row(key, [figure], [{**figure, 'cpu': 0.5}]))
    assert 'worse' not in str(row(key, [figure], [{**figure, 'cpu': 0.55, 'wall': 1.0}])), 'processor time goes before wall time'
    assert row(key, [figure], []) is None
