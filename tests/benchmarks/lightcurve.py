"""What a light curve of 1,000, 10,000 and 100,000 points costs server and browser, beside the host's page of the same target.

Server: what Django's test client waits for, with middleware, without network, DEBUG off, templates read once; bytes as they go over
the wire (ours compressed, the host's as it sends them). ``first`` is after a change, nothing kept; ``again`` is another look.
Browser: until the first frame with the points in it, in Chromium without a graphics card, from a development server.

Prints a JSON line for each figure and a table at the end. Every database gets a fresh file or server and a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'example_tom')]
AIMS = {'data, first': (0.5, 3_000_000), 'data, again': (0.5, 3_000_000), 'first drawing': (3.0, None)}
LONG = 5.0
SPY = """
addEventListener('DOMContentLoaded', () => new MutationObserver(() => {
  const plot = document.querySelector('.js-plotly-plot');
  if (!plot || window.spied) return;
  window.spied = true;
  plot.on('plotly_afterplot', () => requestAnimationFrame(() => requestAnimationFrame(() => {
    window.painted = window.painted || performance.now();
  })));
}).observe(document.body, {subtree: true, childList: true, attributes: true}));
"""


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--points', type=int, nargs='+', default=[1000, 10_000, 100_000])
    parser.add_argument('--database', nargs='+', choices=('sqlite', 'postgresql'), default=['sqlite', 'postgresql'])
    parser.add_argument('--runs', type=int, default=5, help='each figure is the median of so many (default 5)')
    parser.add_argument(
        '--no-host', action='store_true', help="without the host's page, which takes half a minute at 100,000 points"
    )
    parser.add_argument('--no-browser', action='store_true')
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def work(given: argparse.Namespace) -> None:
    """All figures of the database that the environment names."""
    from tests.benchmarks.pages import set_up

    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        os.environ['EXAMPLE_TOM_MEDIA'] = folder
        set_up()
        logging.disable(logging.CRITICAL)
        from django.contrib.auth.models import User
        from django.test import Client

        root, client = User.objects.create_superuser('root'), Client()
        client.force_login(root)
        targets = {number: target_of(number) for number in sorted(given.points)}
        for number, target in targets.items():
            look(client, target, number, given)
        if not given.no_browser:
            draw(client.cookies['sessionid'].value, targets, given.runs)


def target_of(number: int) -> int:
    """A target with so many points, stored as an upload would store them."""
    from django.core.files.base import ContentFile
    from tom_dataproducts.data_processor import run_data_processor
    from tom_dataproducts.models import DataProduct
    from tom_targets.models import Target

    from tests.benchmarks.ingest import atlas_file

    target = Target.objects.create(name=f'{number} points', type='SIDEREAL', ra=123.84754, dec=-38.98983, permissions='OPEN')
    product = DataProduct(
        target=target, data_product_type='atlas_photometry', data=ContentFile(atlas_file(number), name='atlas.txt')
    )
    product.save()
    run_data_processor(product)
    return int(target.pk)


def look(client: Any, target: int, number: int, given: argparse.Namespace) -> None:
    """Every part of the light curve, then the host's page."""
    from django.core.cache import cache

    here = f'/forced-photometry/light-curves/{target}/'
    parts: dict[str, tuple[str, Callable[[], object]]] = {
        'page': (here, int),
        'data, first': (f'{here}data.json', cache.clear),
        'data, again': (f'{here}data.json', int),
        # the plain one in between, because the last answer is kept
        'data, nightly stack': (f'{here}data.json?stack=weighted', lambda: client.get(f'{here}data.json')),
        'data, quality cut, first': (f'{here}data.json?atlas=atlas', cache.clear),
        'table of points': (f'{here}points/', int),
        'ECSV': (f'{here}download/ecsv/', int),
    }
    for name, (address, before) in parts.items():
        say(measure(client, address, name, number, before, given.runs))
    reply = client.get(f'{here}data.json')
    say(measure(client, f'{here}data.json', 'data, not modified', number, int, given.runs, {'If-None-Match': reply['ETag']}))
    if not given.no_host:
        say(measure(client, f'/targets/{target}/', "the host's target page", number, int, given.runs))


def measure(
    client: Any, address: str, name: str, number: int, before: Callable[[], object], runs: int, more: dict[str, str] | None = None
) -> dict[str, Any]:
    """Fetch it so many times, what takes long only once, and once more to count statements."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    headers = {'Accept-Encoding': 'gzip', **(more or {})}
    times, cpus = [], []
    while len(times) < runs and sum(times) < runs * LONG:
        before()
        gc.collect()
        cpu, began = time.process_time(), time.perf_counter()
        response = client.get(address, headers=headers)
        times.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu)
        if response.status_code not in (200, 304):
            raise RuntimeError(f'{address} answered {response.status_code}')
    statements = 0
    if times[-1] < LONG:
        before()
        with CaptureQueriesContext(connection) as asked:
            client.get(address, headers=headers)
        statements = len(asked)
    return figure(name, number, times, cpus, len(response.content), statements)


def figure(name: str, number: int, times: list[float], cpus: list[float], size: int, statements: int) -> dict[str, Any]:
    """One line."""
    from tests.benchmarks.measure import database_name

    return {
        'part': name,
        'points': number,
        'seconds': round(statistics.median(times), 4),
        'cpu': round(statistics.median(cpus), 4) if cpus else None,
        'bytes': size,
        'statements': statements,
        'runs': [round(each, 4) for each in times],
        'load': round(os.getloadavg()[0], 1),
        'database': database_name(),
    }


@contextmanager
def served() -> Iterator[str]:
    """A development server on the database of this process."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        str(ROOT / 'example_tom' / 'manage.py'),
        'runserver',
        '--noreload',
        '--skip-checks',
        f'127.0.0.1:{port}',
    ]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                socket.create_connection(('127.0.0.1', port)).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f'http://127.0.0.1:{port}'
    finally:
        process.terminate()
        process.wait()


def draw(session: str, targets: dict[int, int], runs: int) -> None:
    """The first drawing in Chromium."""
    from selenium.webdriver.support.ui import WebDriverWait

    from tests.browser.chromium import launch

    window = launch()
    if window is None:
        return
    with served() as url:
        window.get(f'{url}/static/tom_common/css/main.css')
        window.add_cookie({'name': 'sessionid', 'value': session})
        window.execute_cdp_cmd('Page.addScriptToEvaluateOnNewDocument', {'source': SPY})
        for number, target in targets.items():
            times = []
            for run in range(runs + 1):
                window.get(f'{url}/forced-photometry/light-curves/{target}/')
                painted = WebDriverWait(window, 60, 0.05).until(lambda driver: driver.execute_script('return window.painted'))
                times += [painted / 1000] if run else []  # the first fetches the scripts
            say(figure('first drawing', number, times, [], 0, 0))
    window.quit()


def say(line: dict[str, Any]) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(line) + '\n')
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
    """A row a part: seconds (processor seconds) and kilobytes at each number of points, statements, aim at the largest."""
    sizes = sorted({each['points'] for each in figures})
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for each in figures:
        rows.setdefault(each['part'], {})[each['points']] = each
    heads = ['part', *(f'{size:,} points: s (processor), kB' for size in sizes), 'statements', 'aim']
    lines = [f'| {" | ".join(heads)} |', '|---' * len(heads) + '|']
    for part, found in rows.items():
        statements = '/'.join(dict.fromkeys(str(found[size]['statements'] or '-') for size in sizes if size in found))
        lines.append(f'| {part} | {" | ".join(cell(found.get(size)) for size in sizes)} | {statements} | {verdict(part, found)} |')
    return '\n'.join(lines)


def cell(found: dict[str, Any] | None) -> str:
    """One figure."""
    if found is None:
        return '-'
    cpu = '' if found['cpu'] is None else f' ({found["cpu"]:.2f})'
    return f'{found["seconds"]:.2f}{cpu}' + (f', {found["bytes"] / 1000:,.0f}' if found['bytes'] else '')


def verdict(part: str, found: dict[int, dict[str, Any]]) -> str:
    """Whether the aims were met at the largest number of points."""
    if part not in AIMS:
        return '-'
    seconds, size = AIMS[part]
    worst = found[max(found)]
    said = [f'{seconds} s ({"met" if worst["seconds"] <= seconds else "MISSED"})']
    said += [f'{size / 1e6:g} MB ({"met" if worst["bytes"] <= size else "MISSED"})'] if size else []
    return ', '.join(said)


def main() -> None:
    """Measure and print."""
    given = options()
    if given.inside:
        work(given)
        return
    for kind in given.database:
        figures = measured(kind, sys.argv[1:])
        loads = sorted(each['load'] for each in figures)
        print(f'\n{figures[0]["database"]}, {os.cpu_count()} cores, load {loads[0]} to {loads[-1]},', end=' ')
        print(f'Python {platform.python_version()}, medians of up to {given.runs} runs\n')
        print(table(figures), end='\n\n')


if __name__ == '__main__':
    main()
