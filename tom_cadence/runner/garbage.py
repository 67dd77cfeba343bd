"""Python looks for unreachable cycles every few hundred objects; a run makes many objects and hardly a cycle."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = (50_000, 20, 100)


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Look for garbage more rarely inside the block: it was a fifteenth of the time of a cadence that is due (2026-11-21).

    Only in the main thread, where cron's command runs: the threads of a worker would undo each other's settings.
    """
    before = gc.get_threshold()
    if threading.current_thread() is not threading.main_thread() or not 0 < before[0] < RARELY[0]:
        yield
        return
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
