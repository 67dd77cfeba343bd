"""When a target can be observed from the sites of a facility: plain values in, windows out."""

from tom_cadence.visibility.constraints import DARKNESS, Constraints
from tom_cadence.visibility.moving import Sky, observable
from tom_cadence.visibility.stretches import Site, Stretch, stretches

__all__ = ['DARKNESS', 'Constraints', 'Site', 'Sky', 'Stretch', 'observable', 'stretches']
