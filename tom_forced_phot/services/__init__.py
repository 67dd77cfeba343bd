"""Forced photometry services: one a file, and the base of them all."""

from tom_forced_phot.services.base import (
    BaseForcedPhotometryService,
    ForcedPhotometryService,
    ForcedPhotometryServiceException,
)
from tom_forced_phot.services.forms import BaseForcedPhotometryQueryForm, DateField, DatesForm

__all__ = [
    'BaseForcedPhotometryQueryForm',
    'BaseForcedPhotometryService',
    'DateField',
    'DatesForm',
    'ForcedPhotometryService',
    'ForcedPhotometryServiceException',
]
