"""When a target can be observed from the sites of a facility: plain values in, windows out."""

from tom_cadence.visibility.constraints import DARKNESS, Constraints
from tom_cadence.visibility.moving import Sky, observable
from tom_cadence.visibility.stretches import Site, Stretch, earth_as_it_is, stretches

__all__ = ['DARKNESS', 'Constraints', 'Site', 'Sky', 'Stretch', 'earth_as_it_is', 'observable', 'stretches']
