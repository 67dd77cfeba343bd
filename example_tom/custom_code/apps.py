"""The app of this TOM's own code, and its rehearsed crash: the process kills itself at a named point, as a power cut would.

Only this TOM honours ``EXAMPLE_TOM_CRASH_AT=<point>[:<how often it is passed before>]``; the names are in
``tom_followup.failpoints.CadencePoint``, and with ``phot:`` before them in ``tom_followup.failpoints.PhotometryPoint``.
"""

from __future__ import annotations

import itertools
import os
import signal
from typing import Any

from django.apps import AppConfig

from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint, PhotometryPoint

PHOTOMETRY = 'phot:'


class CustomCodeConfig(AppConfig):
    """Code that belongs to this TOM only."""

    name = 'custom_code'
    verbose_name = 'This TOM'
    default_auto_field = 'django.db.models.AutoField'

    def ready(self) -> None:
        """Let pages do without the internet; switch on the rehearsed crash where the demo asks for one."""
        from astropy.utils import iers

        # Without this the toolkit's visibility plots fail as soon as astropy's own table of the Earth's rotation is a month old and
        # no newer one can be fetched (seen 2026-11-22). An old table puts a rise or a set off by less than a second.
        iers.conf.auto_max_age = None
        if os.environ.get('EXAMPLE_TOM_CRASH_AT'):
            crash_at(os.environ['EXAMPLE_TOM_CRASH_AT'])


def crash_at(wish: str) -> None:
    """Kill this process (SIGKILL: nothing is tidied up) at the wished point."""
    points: Any = PhotometryPoint if wish.startswith(PHOTOMETRY) else CadencePoint
    name, _, passed = wish.removeprefix(PHOTOMETRY).partition(':')
    wished = points(name)
    passes = itertools.count()

    def on_reach(point: Any) -> None:
        if point is wished and next(passes) >= int(passed or 0):
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.on_reach = on_reach
