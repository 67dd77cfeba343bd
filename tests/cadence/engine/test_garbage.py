"""A run looks for garbage rarely, and leaves Python as it found it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tom_cadence.engine.run import RARELY, collected_rarely


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Whatever a test does, the others have Python's own thresholds."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_garbage_is_collected_rarely_inside_the_block_also_where_it_fails() -> None:
    gc.set_threshold(700, 10, 10)
    with suppress(ZeroDivisionError), collected_rarely():
        assert gc.get_threshold() == RARELY
        raise ZeroDivisionError
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize('own', [(0, 10, 10), (1_000_000, 5, 5)], ids=['switched off', 'rarer still'])
def test_a_site_that_chose_otherwise_is_left_alone(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with collected_rarely():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_threads_of_a_worker_leave_the_setting_of_the_process_alone() -> None:
    gc.set_threshold(700, 10, 10)
    seen: list[tuple[int, int, int]] = []

    def work() -> None:
        with collected_rarely():
            seen.append(gc.get_threshold())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(700, 10, 10)]
