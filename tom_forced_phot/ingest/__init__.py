"""Files into points. The only writer of light curves, ingested files, and the host's products and points of this app."""

from __future__ import annotations

from tom_forced_phot.ingest.files import process
from tom_forced_phot.ingest.followers import follow_permission
from tom_forced_phot.ingest.permissions import Watchers
from tom_forced_phot.ingest.products import make_product, remove_leftover
from tom_forced_phot.ingest.removal import before_deletion
from tom_forced_phot.ingest.store import Counts, ingest

__all__ = [
    'Counts',
    'Watchers',
    'before_deletion',
    'follow_permission',
    'ingest',
    'make_product',
    'process',
    'remove_leftover',
]
