"""Where services of 0.1.0 found what reads replies; it stands in ``protocol`` now."""

from tom_forced_phot.services.protocol import check, json_of

__all__ = ['check', 'json_of']
