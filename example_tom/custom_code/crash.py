"""A rehearsed crash: the process kills itself at a named point, as a power cut would.

Only this TOM honours ``EXAMPLE_TOM_CRASH_AT=<point>[:<how often it is passed before>]``; the names are in
``tom_cadence.points.Point``.
"""

from __future__ import annotations

import itertools
import os
import signal

from tom_cadence import points


def arrange(wish: str) -> None:
    """Kill this process (SIGKILL: nothing is tidied up) at the wished point."""
    name, _, passed = wish.partition(':')
    wished = points.Point(name)
    passes = itertools.count()

    def on_reach(point: points.Point) -> None:
        if point is wished and next(passes) >= int(passed or 0):
            os.kill(os.getpid(), signal.SIGKILL)

    points.on_reach = on_reach
