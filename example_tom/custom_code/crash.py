"""A rehearsed crash: the process kills itself at a named point, as a power cut would.

Only this TOM honours ``EXAMPLE_TOM_CRASH_AT=<point>[:<how often it is passed before>]``; the names are in
``tom_cadence.points.Point``, and with ``phot:`` before them in ``tom_forced_phot.points.Point``.
"""

from __future__ import annotations

import itertools
import os
import signal
from typing import Any

import tom_cadence.points
import tom_forced_phot.points

PHOTOMETRY = 'phot:'


def arrange(wish: str) -> None:
    """Kill this process (SIGKILL: nothing is tidied up) at the wished point."""
    points: Any = tom_forced_phot.points if wish.startswith(PHOTOMETRY) else tom_cadence.points
    name, _, passed = wish.removeprefix(PHOTOMETRY).partition(':')
    wished = points.Point(name)
    passes = itertools.count()

    def on_reach(point: Any) -> None:
        if point is wished and next(passes) >= int(passed or 0):
            os.kill(os.getpid(), signal.SIGKILL)

    points.on_reach = on_reach
