"""``make world SEED=7`` tells the history of one month, ``make world SEEDS=500`` lives through many."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.world.month import Month

World = Callable[..., Month]
CHUNK = 5
ONE, MANY, FILE, DAYS = (os.environ.get(name, '') for name in ('WORLD_SEED', 'WORLD_SEEDS', 'WORLD_HISTORY', 'WORLD_DAYS'))


@pytest.mark.skipif(not ONE, reason='make world SEED=7')
def test_the_month_that_was_asked_for(world: World) -> None:
    month = world(int(ONE), days=float(DAYS or 30))
    try:
        month.live()
    finally:
        if FILE:
            Path(FILE).write_text(month.text)
        else:
            sys.stdout.write(f'\n{month.text}\n')


@pytest.mark.skipif(not MANY, reason='make world SEEDS=500')
@pytest.mark.parametrize('first', range(1, int(MANY or 0) + 1, CHUNK))
def test_as_many_months_as_were_asked_for(world: World, first: int) -> None:
    for seed in range(first, min(first + CHUNK, int(MANY) + 1)):
        world(seed).live()
