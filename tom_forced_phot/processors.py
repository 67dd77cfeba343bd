"""The host's DATA_PROCESSORS for our services' files: an uploaded file ends in the same points as a query.

The host inserts what a processor returns, without updating anything; so these do all themselves and return nothing.
"""

from __future__ import annotations

from typing import Any

from tom_dataproducts.data_processor import DataProcessor

from tom_forced_phot import ingest


class ForcedPhotometryProcessor(DataProcessor):
    """Processes the files of one service: of the one whose data products have the file's type, or that a subclass names."""

    service = ''
    #: What its files hold, where people say so by the type that they upload them as.
    reduction = ''

    def data_type_override(self) -> str:
        """The host's type of datum."""
        return 'photometry'

    def process_data(self, data_product: Any) -> list[Any]:
        """Ingest the file; the host's InvalidFileFormatException where it is none of this service."""
        ingest.process(data_product, self.service, self.reduction)
        return []


class AtlasProcessor(ForcedPhotometryProcessor):
    """Files of the ATLAS forced photometry server."""

    service = 'ATLAS'


class AtlasDifferenceProcessor(AtlasProcessor):
    """The same, measured on difference images."""

    reduction = 'difference'


class AtlasReducedProcessor(AtlasProcessor):
    """The same, measured on reduced images."""

    reduction = 'reduced'


class PanstarrsProcessor(ForcedPhotometryProcessor):
    """Catalogue rows of Pan-STARRS DR2 from MAST."""

    service = 'PanSTARRS'


class ZtfProcessor(ForcedPhotometryProcessor):
    """Files of the ZTF forced photometry service."""

    service = 'ZTF'
