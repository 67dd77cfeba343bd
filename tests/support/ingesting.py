"""What the tests of ingestion share: small ATLAS files, a TOM on both databases, and what is stored."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from tests.support.databases import connected
from tom_forced_phot import ingest as ingesting
from tom_forced_phot.readers import read_atlas

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)
HEADER = '###MJD m dm uJy duJy F err chi/N RA Dec x y maj min phi apfit mag5sig Sky Obs'
FIRST = 60000.25


def row(number: int, flux: float = 500, error: float = 20, band: str = 'o', sky: float = 20.5) -> str:
    """One exposure; its number names it and gives its time."""
    magnitude = math.copysign(23.9 - 2.5 * math.log10(abs(flux) or 1), flux)
    mjd = FIRST + number / 100
    return (
        f'{mjd:.6f} {magnitude:.3f} {abs(1.0857 * error / (flux or 1)):.3f} {flux:.0f} {error:.0f} {band} 0 1.02 210.774 54.274 '
        f'1666.50 4612.12 2.32 2.21 -22.2 -0.420 18.66 {sky} 02a{int(mjd)}{band}{number:05d}c'
    )


def atlas(*rows: str) -> bytes:
    """A file of these lines."""
    return '\n'.join([HEADER, *rows, '']).encode()


def exposures(first: int, last: int, **given: Any) -> bytes:
    """A file of the exposures with these numbers, without the last."""
    return atlas(*(row(number, **given) for number in range(first, last)))


def make_target(name: str = 'SN 2011fe', permissions: str = 'OPEN') -> Any:
    """A supernova."""
    from tom_targets.models import Target

    return Target.objects.create(name=name, type='SIDEREAL', ra=210.774, dec=54.274, permissions=permissions)


class Answers:
    """Answers of a service that the engine brings, one after the other."""

    def __init__(self, target: Any) -> None:
        """For one target."""
        self.target = target
        self.number = 0

    def bring(self, content: bytes, reduction: str = 'difference', **given: Any) -> tuple[Any, ingesting.Counts]:
        """The product and the counts of one answer."""
        self.number += 1
        name = f'atlas_{self.target.pk}_{self.number}'
        with transaction.atomic():
            product = ingesting.make_product(self.target, 'atlas_photometry', content, f'{name}.txt', name, 'asked')
            counts = ingesting.ingest(product, read_atlas(content), service='ATLAS', reduction=reduction, now=NOW, **given)
        return product, counts


def upload(target: Any, content: bytes, name: str = 'mine.txt') -> Any:
    """A product as the host's upload page makes it, not processed yet."""
    from django.core.files.base import ContentFile
    from tom_dataproducts.models import DataProduct

    product = DataProduct(target=target, data_product_type='atlas_photometry', data=ContentFile(content, name=name))
    product.save()
    return product


def stored(target: Any) -> list[Any]:
    """The target's points by time."""
    from tom_dataproducts.models import PhotometryReducedDatum

    return list(PhotometryReducedDatum.objects.filter(target_id=target.pk).order_by('timestamp', 'reduction_version', 'pk'))


def numbers(target: Any) -> list[tuple[Any, ...]]:
    """What a person would compare of the points, whoever brought them and whenever."""
    return [
        (p.timestamp, p.bandpass, p.brightness, p.limit, p.telescope, p.instrument, p.source_name, p.reduction_version, p.value)
        for p in stored(target)
    ]


@pytest.fixture
def files(tmp_path: Path, settings: Any) -> Path:
    """Where the products' files are."""
    settings.MEDIA_ROOT = str(tmp_path / 'files')
    return tmp_path / 'files'


@pytest.fixture
def on_both(database_url: str, files: Path, django_db_blocker: Any) -> Iterator[str]:
    """The test runs on SQLite and on PostgreSQL, with real transactions."""
    with connected(database_url, django_db_blocker):
        yield database_url
