"""Files that are read by us: uploaded ones, and stored ones that are read again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from tom_dataproducts.exceptions import InvalidFileFormatException
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tom_followup.retry import until_written
from tom_forced_phot import conf, registry
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.exceptions import BadFile, Refused
from tom_forced_phot.ingest import match, permissions, positions, sql
from tom_forced_phot.ingest.permissions import Watchers
from tom_forced_phot.ingest.point_rows import kinds, microseconds
from tom_forced_phot.ingest.store import Counts, ingest, take_turn
from tom_forced_phot.models import IngestedFile, PhotometryQuery

logger = logging.getLogger(__name__)
#: Rows compared at a time, and after how many judged exposures the kind of a file is clear.
WINDOW, ENOUGH = 1000, 300
#: No survey has as many filters; each of a target's is named in every question to the database about its points.
MOST_BANDS = 100
DECLARE = 'If that is not what it holds, delete it and upload it as the type for difference or for reduced images.'


def process(product: DataProduct, service: str, declared: str = '') -> Counts:
    """Read the product's stored file, whoever stored it, and ingest it as the answer of ``service`` in a transaction of its own.

    ``service``: its name; where it is empty, the one whose files have the product's type.
    ``declared``: what the person who brought it says that it holds. The host's InvalidFileFormatException, with a sentence for a
    person, where it is not such a file, or one of another position, or no row of it is a point.
    """
    query = PhotometryQuery.objects.filter(data_product=product).order_by('-pk').first()
    place = ''
    try:
        service = query.service if query else service or registry.of_type(product.data_product_type)
        table = read(product, service)
        if query is None:
            table, place = positions.at_target(table, product.target)
            if not len(table):
                raise BadFile(_nothing(table, place))
    except (BadFile, Refused) as error:
        raise InvalidFileFormatException(str(error)) from error

    def write() -> tuple[Counts, bool]:
        with transaction.atomic():
            take_turn(product.target_id, service)
            reduction, note, assumed = _reduction(product, service, table, query, declared)
            askers = [] if query is None else [*filter(None, [query.asked_by]), *query.followers.all()]
            counts = ingest(
                product,
                table,
                service=service,
                reduction=reduction,
                now=conf.utc_now(),
                watchers=Watchers(users=askers),
                note='; '.join(filter(None, (note, place))),
                assumed=assumed,
            )
            return counts, assumed

    counts, assumed = until_written(write, most=8)
    told = _told.get()
    if told is not None:
        told.append(f'{os.path.basename(product.data.name)}: {counts.message}{f" {DECLARE}" if assumed else ""}')
    return counts


_told: ContextVar[list[str] | None] = ContextVar('told', default=None)


@contextmanager
def accounts() -> Iterator[list[str]]:
    """A list to which each file that is processed meanwhile, in this thread, adds what became of its rows."""
    told: list[str] = []
    token = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(token)


def _nothing(table: Measurements, place: str) -> str:
    """Why no point came of a file."""
    if not table.rejected:
        return 'There is no row in it.'
    rows = max(table.rows, len(table.rejected))
    why = f'Left out: {table.rejected.sentence()}.'
    if place:
        return f'{place} {why}'
    return f'No point came of its {rows:,} {"row" if rows == 1 else "rows"}. {why}'


def read(product: DataProduct, service: str) -> Measurements:
    """The measurements in the product's stored file; BadFile where it is not readable."""
    limit = conf.get('RESULT_LIMIT')
    name = product.data.name
    try:
        with product.data.storage.open(name, 'rb') as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadFile(f'The file {name} cannot be read: {error.strerror or error}.') from error
    if len(content) > limit:
        raise BadFile(f'The file {name} is larger than {limit:,} bytes (TOM_FORCED_PHOT["RESULT_LIMIT"]).')
    found = registry.reading(service).read(content)
    bands = len(np.unique(found.band))
    if bands > MOST_BANDS:
        raise BadFile(f'This is not a result file of {service}: it has points in {bands:,} filters.')
    return found


def read_again(file: IngestedFile) -> Measurements | None:
    """The measurements of a file that was ingested before; None where it can be read no more."""
    try:
        return read(file.data_product, file.light_curve.service)
    except (BadFile, Refused, ImproperlyConfigured) as error:
        logger.warning('Data product %s cannot be read again: %s', file.data_product_id, error)
        return None


def points_of(file: IngestedFile) -> list[int]:
    """The ids of the points that the file names, whichever product brought them."""
    table = read_again(file)
    if table is None or not len(table):
        return []
    times, versions = microseconds(table.mjd), kinds(table, file.reduction)
    stored = sql.StoredCurve.of(file.light_curve.target_id, file.light_curve.service).around(times, versions)
    known = match.identities(stored)
    return [int(stored.ids[known[key]]) for key in identities(table, file.reduction) if key in known]


def identities(table: Measurements, reduction: str) -> list[tuple[str, str]]:
    """(reduction, exposure) of each row."""
    return list(zip(kinds(table, reduction), map(str, table.exposure.tolist()), strict=True))


def _reduction(
    product: DataProduct, service: str, table: Measurements, query: PhotometryQuery | None, declared: str
) -> tuple[str, str, bool]:
    """Which kind of photometry the file holds, how we know where that is not certain, and whether it is assumed."""
    if query is not None and query.parameters.get('reduction'):
        return str(query.parameters['reduction']), '', False
    before = IngestedFile.objects.filter(data_product=product).first()
    if before is not None:
        return before.reduction, '', before.assumed
    if declared:
        return declared, f'brought as {declared} photometry', False
    kind = registry.kind_of(service)
    return (*_guess(product, service, table, kind.reductions), True) if len(kind.reductions) > 1 else (kind.reduction, '', False)


def _guess(product: DataProduct, service: str, table: Measurements, kinds: Sequence[str]) -> tuple[str, str]:
    """Which of several kinds of photometry a file holds that does not say it."""
    curve = sql.StoredCurve.of(product.target_id, service)
    shares = {kind: _agreeing(table, curve, kind) for kind in kinds}
    likely = max(shares, key=lambda kind: shares[kind] or 0)
    if (shares[likely] or 0) > 0.5:
        return likely, f'taken as {likely} photometry, because most points agree with those stored as such'
    usual, *others = kinds
    name = os.path.basename(product.data.name).lower()
    for kind in others:
        if kind in name:
            return kind, f'taken as {kind} photometry, because of the file name'
    known = [kind for kind, share in shares.items() if share is not None]
    if known == [usual]:
        # never over points that say something else
        return others[0], f'taken as {others[0]} photometry, because most points disagree with those stored as {usual}'
    return usual, f'taken as {usual} photometry'


def _agreeing(table: Measurements, curve: sql.StoredCurve, reduction: str) -> float | None:
    """The share of the table's exposures whose stored point of that kind agrees; None where none can be compared.

    A few hundred exposures tell: the table is gone through in windows of time, taken from all over it, until so many were judged.
    """
    order = np.argsort(table.mjd, kind='stable')
    starts = np.arange(0, len(order), WINDOW)
    agreeing = judged = 0
    for start in np.random.default_rng(0).permutation(starts).tolist():
        votes = _votes(table.only(order[start : start + WINDOW]), curve, reduction)
        agreeing, judged = agreeing + votes[0], judged + votes[1]
        if judged >= ENOUGH:
            break
    return agreeing / judged if judged else None


def _votes(table: Measurements, curve: sql.StoredCurve, reduction: str) -> tuple[int, int]:
    stored = curve.around(microseconds(table.mjd), [reduction])
    known = match.identities(stored)
    pairs = [(row, known[key]) for row, key in enumerate(identities(table, reduction)) if key in known]
    rows, at = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    if not pairs:
        rows, at = match.by_start(table, stored)
    return match.agreement(table, rows, stored, at)


def follow_permission(given: Any) -> None:
    """``given`` is guardian's row that lets a user or a group see a data product; nothing is done for products not ours."""
    if not permissions.needed() or not str(given.object_pk).isdecimal():
        return
    files = IngestedFile.objects.filter(data_product_id=int(given.object_pk)).select_related('light_curve', 'data_product')
    file = files.first()
    if file is None:
        return
    own = PhotometryReducedDatum.objects.filter(data_product_id=file.data_product_id).values_list('pk', flat=True)
    ids = set(own)
    if len(ids) < file.rows - file.rejected:
        ids.update(points_of(file))
    name = 'user_id' if hasattr(given, 'user_id') else 'group_id'
    permissions.assign(type(given), {name: getattr(given, name)}, PhotometryReducedDatum, sorted(ids))
