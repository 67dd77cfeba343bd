"""What it costs to store an ATLAS file as points: ours, the toolkit's AtlasProcessor, and a floor, in the same run.

The floor is the least that any program must do: split the lines, convert the numbers, write the same rows with the same JSON in one
executemany (SQLite) or COPY (PostgreSQL) into a table with the same constraints and indexes, without looking at what is there.

Prints a JSON line for each figure and a table at the end. Every database gets a fresh file or server and a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'example_tom')]
HEADER = '###MJD m dm uJy duJy F err chi/N RA Dec x y maj min phi apfit mag5sig Sky Obs'
START = datetime(1858, 11, 17, tzinfo=timezone.utc)
SMALL = 30
AIMS = {'first': 3.0, 'again': 1.5, 'toolkit': 15.0, 'memory': 300.0}


def atlas_file(rows: int, seed: int = 1, changed: int = 0) -> bytes:
    """A result file of so many exposures over ten years; ``changed`` of them with another flux than without it."""
    draw = random.Random(seed)
    lines = [HEADER]
    for row in range(rows):
        mjd = 57300 + 3650 * row / rows
        flux, error = draw.randint(-300, 3000), draw.randint(20, 200)
        flux += 1000 if row < changed else 0
        band, site = draw.choice('oc'), f'0{row % 4 + 1}'
        magnitude = math.copysign(23.9 - 2.5 * math.log10(max(abs(flux), 1)), flux)
        lines.append(
            f'{mjd:.6f}  {magnitude:.3f}  {1.0857 * error / max(abs(flux), 1):.3f} {flux:5d} {error:4d} {band} 0 '
            f'{draw.uniform(0.5, 9):6.2f} 123.84754 -38.98983 {draw.uniform(0, 10560):8.2f} {draw.uniform(0, 10560):8.2f} '
            f'{draw.uniform(2, 4):.2f} {draw.uniform(2, 4):.2f} {draw.uniform(-90, 90):5.1f} {draw.uniform(-0.6, -0.2):.3f} '
            f'{draw.uniform(17, 20):.2f} {draw.uniform(18, 22):.2f} {site}a{int(mjd)}o{row:06d}{band}'
        )
    return '\n'.join([*lines, '']).encode()


class Bench:
    """One database."""

    def __init__(self, given: argparse.Namespace) -> None:
        """Make a target."""
        from django.contrib.auth.models import User
        from tom_targets.models import Target

        self.given = given
        self.number = 0
        User.objects.get_or_create(username='vera')
        self.target = Target.objects.create(name='Benchmark', type='SIDEREAL', ra=123.84754, dec=-38.98983, permissions='OPEN')
        self._floor_table()

    def product(self, content: bytes, kind: str) -> Any:
        """A data product with this file, as the host's upload page leaves it."""
        from django.core.files.base import ContentFile
        from tom_dataproducts.models import DataProduct

        self.number += 1
        product = DataProduct(target=self.target, data_product_type=kind, product_id=f'bench {self.number}')
        product.data.save(f'bench_{self.number}.txt', ContentFile(content), save=False)
        product.save()
        return product

    def empty(self) -> None:
        """Forget all points."""
        from django.db import connection
        from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

        from tom_forced_phot.models import IngestedFile, LightCurve

        IngestedFile.objects.all()._raw_delete('default')
        LightCurve.objects.all()._raw_delete('default')
        PhotometryReducedDatum.objects.all()._raw_delete('default')
        DataProduct.objects.all()._raw_delete('default')
        with connection.cursor() as cursor:
            cursor.execute('DELETE FROM floor')
            cursor.execute('ANALYZE' if connection.vendor == 'sqlite' else 'VACUUM ANALYZE')

    def timed(self, name: str, who: str, rows: int, run: Callable[[], object]) -> None:
        """Run once and print the wall time."""
        gc.collect()
        began = time.perf_counter()
        run()
        say({'name': name, 'who': who, 'rows': rows, 'wall': round(time.perf_counter() - began, 4), 'database': database_name()})

    def measure(self, rows: int) -> None:
        """Every figure for one size, once."""
        from tom_dataproducts.data_processor import run_data_processor

        content, other = atlas_file(rows), atlas_file(rows, changed=rows // 10)
        small = b'\n'.join([HEADER.encode(), *content.split(b'\n')[-SMALL - 1 :]])
        self.empty()
        self.timed('first', 'floor', rows, lambda: self.floor(content))
        self.empty()
        for name, given in (('first', content), ('again', content), ('a tenth changed', other), (f'{SMALL} rows of it', small)):
            product = self.product(given, 'atlas_photometry')
            self.timed(name, 'ours', rows, lambda product=product: run_data_processor(product))
        self._check(rows)

    def toolkit(self, rows: int) -> None:
        """The toolkit's own processor on the same file."""
        from django.conf import settings
        from django.test.utils import override_settings
        from tom_dataproducts.data_processor import run_data_processor

        theirs = {**settings.DATA_PROCESSORS, 'atlas_photometry': 'tom_dataproducts.processors.atlas_processor.AtlasProcessor'}
        self.empty()
        with override_settings(DATA_PROCESSORS=theirs):
            for name in ('first', 'again'):
                product = self.product(atlas_file(rows), 'atlas_photometry')
                self.timed(name, 'toolkit', rows, lambda product=product: run_data_processor(product))

    def memory(self, rows: int) -> None:
        """The largest resident set of this process, which does nothing else."""
        from tom_dataproducts.data_processor import run_data_processor

        self.empty()
        made = subprocess.run(
            [sys.executable, __file__, '--rows', str(rows), '--inside', 'file'], stdout=subprocess.PIPE, check=True
        )
        product = self.product(made.stdout, 'atlas_photometry')
        del made
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        run_data_processor(product)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        say({'name': 'memory', 'who': 'ours', 'rows': rows, 'wall': round(peak, 1)})
        say({'name': 'memory above Django', 'who': 'ours', 'rows': rows, 'wall': round(peak - before, 1)})

    def _check(self, rows: int) -> None:
        from tom_dataproducts.models import PhotometryReducedDatum

        found = PhotometryReducedDatum.objects.count()
        if found != rows:
            raise RuntimeError(f'{found} points of {rows} exposures')

    def _floor_table(self) -> None:
        from django.db import connection
        from tom_dataproducts.models import PhotometryReducedDatum

        table = PhotometryReducedDatum._meta.db_table
        with connection.cursor() as cursor:
            if connection.vendor == 'sqlite':
                cursor.execute('SELECT sql FROM sqlite_master WHERE tbl_name = %s AND sql IS NOT NULL ORDER BY type DESC', [table])
                for number, (statement,) in enumerate(cursor.fetchall()):
                    renamed = statement.replace(table, 'floor', 1) if number == 0 else rename_index(statement, table, number)
                    cursor.execute(renamed)
                return
            cursor.execute(f'CREATE TABLE floor (LIKE {table} INCLUDING ALL)')
            cursor.execute(
                'ALTER TABLE floor ADD FOREIGN KEY (target_id) REFERENCES tom_targets_basetarget DEFERRABLE INITIALLY DEFERRED'
            )
            cursor.execute(
                'ALTER TABLE floor ADD FOREIGN KEY (data_product_id) REFERENCES tom_dataproducts_dataproduct '
                'DEFERRABLE INITIALLY DEFERRED'
            )

    def floor(self, content: bytes) -> None:
        """The least that any program must do."""
        from django.db import connection, transaction

        names = (
            'target_id, data_product_id, timestamp, value, telescope, instrument, source_name, source_location, '
            'reduction_version, brightness, brightness_error, "limit", unit, bandpass, exposure_time'
        )
        with transaction.atomic(), connection.cursor() as cursor:
            rows = plain_rows(content, self.target.pk, None)
            if connection.vendor == 'sqlite':
                marks = ', '.join(['%s'] * 15)
                cursor.executemany(f'INSERT INTO floor ({names}) VALUES ({marks})', list(rows))  # noqa: S608
                return
            with cursor.copy(f'COPY floor ({names}) FROM STDIN') as copy:
                for row in rows:
                    copy.write('\t'.join([r'\N' if cell is None else str(cell) for cell in row]) + '\n')


def rename_index(statement: str, table: str, number: int) -> str:
    """The statement that makes the same index on the other table."""
    unique = 'UNIQUE ' if 'UNIQUE' in statement.split('ON')[0] else ''
    return f'CREATE {unique}INDEX floor_{number} ON floor {statement[statement.index("(") :]}'


def plain_rows(content: bytes, target: int, product: int | None) -> Iterator[tuple[Any, ...]]:
    """The rows of a file that is known to be sound."""
    lines = content.decode().split('\n')
    names = lines[0].lstrip('#').split()
    for line in lines[1:-1]:
        cells = line.split()
        mjd, flux, error = float(cells[0]) + 15 / 86400, float(cells[3]), float(cells[4])
        seen = flux > 3 * error
        value = {name: cell if name in ('F', 'Obs') else number(cell) for name, cell in zip(names, cells, strict=True)}
        value.update(flux=flux, flux_error=error, flux_unit='uJy', exposure=cells[-1], time='start of exposure', time_scale='UTC')
        magnitude, magnitude_error = (float(cells[1]), float(cells[2])) if seen else (None, None)
        limit = None if seen else 23.9 - 2.5 * math.log10(3 * error)
        instant = (START + timedelta(days=mjd)).isoformat(' ')
        yield (
            target, product, instant, json.dumps(value), 'ATLAS', cells[-1][:3], 'ATLAS', '', 'difference',
            magnitude, magnitude_error, limit, 'AB mag', cells[5], 30.0,
        )  # fmt: skip


def number(text: str) -> int | float:
    """A number as it stands there."""
    return float(text) if '.' in text else int(text)


def say(figure: dict[str, Any]) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(figure) + '\n')
    sys.stdout.flush()


def database_name() -> str:
    """The database and its version."""
    from tests.benchmarks.measure import database_name as name

    return name()


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--rows', type=int, nargs='+', default=[1000, 10_000, 100_000])
    parser.add_argument('--database', nargs='+', choices=('sqlite', 'postgresql'), default=['sqlite', 'postgresql'])
    parser.add_argument('--runs', type=int, default=5, help='each figure is the median of so many (default 5)')
    parser.add_argument('--toolkit-runs', type=int, default=1, help='the same for the toolkit, which takes minutes (default 1)')
    parser.add_argument('--inside', choices=('time', 'memory', 'file', 'tables'), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def work(given: argparse.Namespace) -> None:
    """Measure on the database that the environment names."""
    if given.inside == 'file':
        sys.stdout.buffer.write(atlas_file(given.rows[0]))
        return
    import django

    django.setup()
    from django.conf import settings

    if given.inside == 'tables':
        from django.core.management import call_command

        call_command('migrate', verbosity=0, interactive=False)
        return
    with tempfile.TemporaryDirectory(prefix='bench-files-') as folder:
        settings.MEDIA_ROOT, settings.DEBUG = folder, False
        bench = Bench(given)
        for rows in given.rows:
            if given.inside == 'memory':
                bench.memory(rows)
                continue
            for _ in range(given.runs):
                bench.measure(rows)
            for _ in range(given.toolkit_runs):
                bench.toolkit(rows)


def measured(kind: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure in processes of their own, and pass their lines on."""
    from tests.benchmarks.run import database

    jobs = [('time', given.rows), *(('memory', [rows]) for rows in given.rows)]
    figures = []
    for what, sizes in jobs:
        with database(kind) as url:
            environment = {**os.environ, 'DATABASE_URL': url, 'DJANGO_SETTINGS_MODULE': 'mytom.settings', 'REDIS_URL': ''}
            numbers = ['--rows', *map(str, sizes), '--runs', str(given.runs), '--toolkit-runs', str(given.toolkit_runs)]
            command = [sys.executable, __file__, *numbers, '--inside']
            subprocess.run([*command, 'tables'], check=True, env=environment)
            done = subprocess.Popen([*command, what], stdout=subprocess.PIPE, text=True, env=environment)
            assert done.stdout is not None
            for line in done.stdout:
                print(line, end='', flush=True)
                figures.append(json.loads(line))
            if done.wait():
                raise SystemExit(done.returncode)
    return figures


def table(figures: list[dict[str, Any]]) -> str:
    """Rows in Markdown: seconds (medians), ratios to the floor and to the toolkit, memory in MB."""
    found: dict[tuple[int, str, str], list[float]] = {}
    for figure in figures:
        found.setdefault((figure['rows'], figure['name'], figure['who']), []).append(figure['wall'])
    median = {key: statistics.median(walls) for key, walls in found.items()}
    lines = ['| rows | figure | ours | floor | x floor | toolkit | toolkit / ours | aim |', '|---|---|---|---|---|---|---|---|']
    for (rows, name, who), wall in median.items():
        if who == 'ours':
            lines.append(line(rows, name, wall, median.get((rows, 'first', 'floor')), median.get((rows, name, 'toolkit'))))
    return '\n'.join(lines)


def line(rows: int, name: str, wall: float, floor: float | None, toolkit: float | None) -> str:
    """One row of the table."""
    if name.startswith('memory'):
        aim = verdict(wall <= AIMS[name], f'{AIMS[name]:g} MB') if name in AIMS else ''
        return f'| {rows:,} | peak {name}, MB | {wall:.0f} | | | | | {aim} |'
    below, above = (wall / floor if floor else math.nan), (toolkit / wall if toolkit else math.nan)
    aims = []
    if name in AIMS:
        aims.append(verdict(below <= AIMS[name], f'{AIMS[name]:g} x floor'))
    if name == 'first' and toolkit:
        aims.append(verdict(above >= AIMS['toolkit'], '15 x toolkit'))
    cells = [
        f'{floor:.3f}' if floor else '',
        f'{below:.2f}',
        f'{toolkit:.2f}' if toolkit else '',
        f'{above:.1f}' if toolkit else '',
    ]
    return f'| {rows:,} | {name}, s | {wall:.3f} | {" | ".join(cells)} | {", ".join(aims)} |'


def verdict(met: bool, aim: str) -> str:
    """The aim and whether it was met."""
    return f'{aim} ({"met" if met else "MISSED"})'


def main() -> None:
    """Measure and print."""
    given = options()
    if given.inside:
        work(given)
        return
    for kind in given.database:
        figures = measured(kind, given)
        print(f'\n{figures[0]["database"]}, {os.cpu_count()} cores, Python {platform.python_version()},', end=' ')
        print(f'medians of {given.runs} runs\n')
        print(table(figures), end='\n\n')


if __name__ == '__main__':
    main()
