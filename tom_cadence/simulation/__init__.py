"""A strategy against a virtual clock and an imagined sky: pure, without a database.

``sky`` says what is imagined, ``light`` how bright the target is, ``nights`` and ``weather`` when it can be observed,
``observatory`` what becomes of a request, ``clock`` lets time pass, ``timeline`` is what came of it, ``replay`` lives a real
history through again, ``figure`` draws.
"""

from tom_cadence.simulation.clock import SimulationStart, simulate
from tom_cadence.simulation.results import SimulationSummary, Timeline, summary
from tom_cadence.simulation.sky import PERFECT, USUAL, BadSky, SimulatedSky, Site, Survey

__all__ = [
    'PERFECT',
    'USUAL',
    'BadSky',
    'SimulatedSky',
    'SimulationStart',
    'SimulationSummary',
    'Site',
    'Survey',
    'Timeline',
    'simulate',
    'summary',
]
