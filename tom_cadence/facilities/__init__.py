"""The only room that talks to facility classes: their quirks, deadlines, look-ups and errors."""

from tom_cadence.facilities.adapters import Adapter
from tom_cadence.facilities.calls import Calls
from tom_cadence.facilities.gateway import Facilities, Gateway, Listing, Prepared, Status

__all__ = ['Adapter', 'Calls', 'Facilities', 'Gateway', 'Listing', 'Prepared', 'Status']
