"""A strategy against a virtual clock and an imagined sky: pure, without a database.

``sky`` says what is imagined, ``light`` how bright the target is, ``nights`` and ``weather`` when it can be observed,
``observatory`` what becomes of a request, ``clock`` lets time pass, ``timeline`` is what came of it, ``replay`` lives a real
history through again, ``figure`` draws.
"""

from tom_cadence.simulation.clock import Beginning, simulate
from tom_cadence.simulation.sky import PERFECT, USUAL, BadSky, Site, Sky, Survey
from tom_cadence.simulation.timeline import Summary, Timeline, summary

__all__ = ['PERFECT', 'USUAL', 'BadSky', 'Beginning', 'Site', 'Sky', 'Summary', 'Survey', 'Timeline', 'simulate', 'summary']
