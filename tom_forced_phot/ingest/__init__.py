"""Files into points. The only writer of light curves, ingested files, and the host's products and points of this app."""

from __future__ import annotations

from tom_forced_phot.ingest.files import accounts, follow_permission, process
from tom_forced_phot.ingest.permissions import Watchers
from tom_forced_phot.ingest.removal import before_deletion, follow_product
from tom_forced_phot.ingest.store import Counts, ingest, make_product, remove_leftover

__all__ = [
    'Counts',
    'Watchers',
    'accounts',
    'before_deletion',
    'follow_permission',
    'follow_product',
    'ingest',
    'make_product',
    'process',
    'remove_leftover',
]
