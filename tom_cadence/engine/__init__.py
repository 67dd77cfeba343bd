"""Look in bulk, decide, claim, decide again, act: one run of the cadences."""

from tom_cadence.engine.report import Line, Report
from tom_cadence.engine.run import run_cadences, run_one

__all__ = ['Line', 'Report', 'run_cadences', 'run_one']
