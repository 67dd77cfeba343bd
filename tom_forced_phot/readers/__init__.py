"""What the services' files say: bytes in, :class:`~tom_forced_phot.core.photometry.Measurements` out, and nothing else."""

from __future__ import annotations

from tom_forced_phot.readers.atlas import read_atlas
from tom_forced_phot.readers.panstarrs import read_panstarrs
from tom_forced_phot.readers.ztf import PROCSTATUS, ZtfHeader, in_words, read_ztf, ztf_header

__all__ = ['PROCSTATUS', 'ZtfHeader', 'in_words', 'read_atlas', 'read_panstarrs', 'read_ztf', 'ztf_header']
