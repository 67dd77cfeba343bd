"""What is measured in one database; runs in a process of its own, which prints a JSON line for each figure."""

from __future__ import annotations

import argparse
import logging

import django
from django.conf import settings
from django.core.management import call_command

LATENCY = 0.05


def set_up() -> None:
    """Django, the tables, and the benchmark's facilities."""
    django.setup()
    logging.disable(logging.CRITICAL)
    settings.DEBUG = False
    settings.TOM_FACILITY_CLASSES = [
        'tests.benchmarks.facility.BenchmarkFacility',
        'tests.benchmarks.facility.BulkBenchmarkFacility',
    ]
    settings.TOM_CADENCE = {'NOTIFY_BY_MAIL': False}
    call_command('migrate', verbosity=0, interactive=False)


def work(options: argparse.Namespace) -> None:
    """All figures of one database."""
    set_up()
    if 'many' in options.parts:
        _many(options)
        call_command('flush', verbosity=0, interactive=False)
    if 'growth' in options.parts:
        _growth(options)


def _many(options: argparse.Namespace) -> None:
    """Many cadences at a facility that takes its time."""
    from tests.benchmarks import facility
    from tests.benchmarks.measure import measure, ours, toolkit
    from tests.benchmarks.tom import Tom
    from tom_cadence.models import ManagedCadence

    tom, number, runs = Tom(options.cadences), options.cadences, options.runs
    run, some = ours(options.workers), options.toolkit
    run()  # everything is taken over, and finished observations are asked for again

    measure('idle', 'ours', run, cadences=number, runs=runs, due=False, latency=LATENCY)
    measure('due', 'ours', run, cadences=number, runs=runs, due=True, latency=LATENCY, before=tom.set_back)
    tom.set_back()

    tom.activate(some)
    for name in ('idle', 'due'):
        measure(name, 'toolkit', toolkit, cadences=some, runs=runs, due=name == 'due', latency=LATENCY, before=tom.set_back)
    tom.set_back()

    def forget() -> None:
        ManagedCadence.objects.update(late_check=None)

    again = ours(options.workers, tom.activate(number)[:some])
    measure('idle, finished ones asked again', 'ours', again, cadences=some, runs=runs, due=False, latency=LATENCY, before=forget)
    tom.use(facility.BULK)
    run()
    measure('idle, statuses in bulk', 'ours', run, cadences=number, runs=runs, due=False, latency=LATENCY)
    measure('due, statuses in bulk', 'ours', run, cadences=number, runs=runs, due=True, latency=LATENCY, before=tom.set_back)


def _growth(options: argparse.Namespace) -> None:
    """The same cadences in a small TOM and in a large one; the facility answers at once."""
    from tests.benchmarks.measure import measure, ours, toolkit
    from tests.benchmarks.tom import RECORDS, Tom

    number, some = options.small // RECORDS, min(options.toolkit, options.small // RECORDS)
    tom, run = Tom(number), ours(options.workers)
    for records in (options.small, options.large):
        tom.grow(records)
        run()
        size = f'{records:,} records'
        runs = 3 * options.runs  # short ones
        measure(f'idle, {size}', 'ours', run, cadences=number, runs=runs, due=False)
        measure(f'due, {size}', 'ours', run, cadences=number, runs=runs, due=True, before=tom.set_back)
        tom.set_back()
        tom.activate(some)
        measure(f'idle, {size}', 'toolkit', toolkit, cadences=some, runs=options.runs, due=False)
        measure(f'due, {size}', 'toolkit', toolkit, cadences=some, runs=options.runs, due=True, before=tom.set_back)
        tom.set_back()
        tom.activate(number)
