"""Whatever happens in a month: every booking has its cause, nothing is silent, everybody is served, every state has a way out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.kept import ROOT
from tests.world.month import Month

pytestmark = pytest.mark.slow
World = Callable[..., Month]
SEEDS, PROVED, CHUNK = 20, 60, 5
#: Seeds that found a defect, and which. The world has changed since, but they stay.
SEEDS_THAT_FAILED: dict[int, str] = {
    1: "a run in which a strategy's own run() asked for something did not count as a look at its cadence",
    4: "a strategy's own run() that ended badly left its request on its way for ever, so that no button led out",
    8: 'one statement failed while a notice was written, and the owner was not told that the cadence had stopped',
    31: "what a strategy's own run() had recorded was not read while the database was busy, and a person asked for it again",
}


@pytest.mark.parametrize('seed', range(1, SEEDS + 1))
def test_a_month_leaves_no_booking_without_a_cause_nobody_unserved_and_no_state_without_a_way_out(world: World, seed: int) -> None:
    assert world(seed).live().history


@pytest.mark.prove(why='forty months more, of three seconds each')
@pytest.mark.parametrize('first', range(SEEDS + 1, PROVED + 1, CHUNK))
def test_more_months(world: World, first: int) -> None:
    for seed in range(first, first + CHUNK):
        world(seed).live()


@pytest.mark.prove(why='months that once found a defect, beyond those of every test')
@pytest.mark.parametrize('seed', [seed for seed in SEEDS_THAT_FAILED if seed > PROVED])
def test_a_month_that_once_failed(world: World, seed: int) -> None:
    world(seed).live()


def test_a_seed_has_one_history_to_the_letter(world: World, tmp_path: Path) -> None:
    """In another process, with other hashes."""
    told = tmp_path / 'history'
    asked = {'WORLD_SEED': '3', 'WORLD_DAYS': '8', 'WORLD_HISTORY': str(told), 'PYTHONHASHSEED': '4711'}
    environment = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST_')}
    command = [sys.executable, '-m', 'pytest', '-q', str(ROOT / 'tests' / 'world' / 'test_replay.py')]
    subprocess.run(command, env=environment | asked, cwd=ROOT, timeout=300, check=True, stdout=subprocess.DEVNULL)
    assert world(3, days=8).live().text.splitlines() == told.read_text().splitlines()
