"""How long simulations take: 1,000 nights of one cadence, and the fan of a page (50 futures of 60 nights)."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNS = 5


def prepare() -> None:
    """Let Django be there: strategies have forms."""
    sys.path[:0] = [str(ROOT), str(ROOT / 'example_tom')]
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mytom.settings')
    import django

    django.setup()


def measure() -> None:
    """Print a table: median, fastest and slowest of RUNS, in seconds of wall time and of the processor."""
    from dataclasses import replace

    from tom_cadence.core.windows import Window
    from tom_cadence.simulation import PERFECT, USUAL, SimulationStart, Site, simulate
    from tom_cadence.strategies import ResumeCadenceAfterFailureStrategy, StagedStrategy

    begun = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
    beginning = SimulationStart.first(Window(start=begun, end=begun + timedelta(hours=12)), {'exposure_time': 60.0})
    daily: dict[str, Any] = {'cadence_frequency': 24, 'max_consecutive_failures': 10**6}
    site = replace(USUAL, sites=(Site(name='La Palma', latitude=28.76, longitude=-17.88, elevation=2396),), target=(210.8, 54.3))
    staged = {'staged_stages': 'every 6 h for 2 days, then every 24 h for 1000 days', 'max_consecutive_failures': 10**6}

    def nights(strategy: Any, given: Any, sky: Any, number: int = 1000, seed: int = 1) -> Callable[[], object]:
        return lambda: simulate(strategy, given, sky, seed, number, beginning)

    resume = ResumeCadenceAfterFailureStrategy
    show('1,000 nights, perfect', nights(resume, daily, PERFECT))
    show('1,000 nights, usual weather', nights(resume, daily, USUAL))
    show('1,000 nights, usual weather, staged', nights(StagedStrategy, staged, USUAL))
    show('1,000 nights at a site, its nights computed for the first time', nights(resume, daily, site), runs=1)
    show('1,000 nights at a site', nights(resume, daily, site))
    show('a fan: 50 runs of 60 nights', lambda: [nights(resume, daily, USUAL, 60, seed)() for seed in range(50)])


def show(name: str, function: Callable[[], object], runs: int = RUNS) -> None:
    """Measure one thing, and print its line."""
    walls, used = [], []
    for _ in range(runs):
        wall, processor = time.perf_counter(), time.process_time()
        function()
        walls.append(time.perf_counter() - wall)
        used.append(time.process_time() - processor)
    print(
        f'| {name:62} | {statistics.median(walls):5.2f} | {min(walls):5.2f} | {max(walls):5.2f} | {statistics.median(used):5.2f} |'
    )


if __name__ == '__main__':
    prepare()
    measure()
