"""Forced photometry services: one a file, and the base of them all."""

from tom_forced_phot.services.base import (
    BaseForcedPhotometryQueryForm,
    BaseForcedPhotometryService,
    DateField,
    DatesForm,
    ForcedPhotometryService,
    ForcedPhotometryServiceException,
)

__all__ = [
    'BaseForcedPhotometryQueryForm',
    'BaseForcedPhotometryService',
    'DateField',
    'DatesForm',
    'ForcedPhotometryService',
    'ForcedPhotometryServiceException',
]
