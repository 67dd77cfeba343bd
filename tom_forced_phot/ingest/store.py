"""A table of measurements into a light curve: new points inserted, changed ones updated in place, equal ones left alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.db.models import Count, F, Max, QuerySet
from numpy.typing import NDArray
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.models import PersistentShare
from tom_targets.sharing import continuous_share_data

from tom_followup.failpoints import PhotometryPoint, reach
from tom_forced_phot import registry
from tom_forced_phot.core.photometry import Measurements, Rejections
from tom_forced_phot.ingest import assumptions, hidden, match, permissions, positions, sql
from tom_forced_phot.ingest.match import Legacy
from tom_forced_phot.ingest.permissions import Watchers
from tom_forced_phot.ingest.point_rows import FIELDS, Integers, PointRows, kinds, moments, points
from tom_forced_phot.ingest.sql import Stored, slices
from tom_forced_phot.models import IngestedFile, LightCurve

#: Rows handled at a time, so that memory stays bounded.
CHUNK = 10_000


@dataclass(frozen=True)
class Counts:
    """What became of the rows of a file.

    ``merged``: points of the toolkit that were removed because another point holds their exposure. ``held``: rows left out, or
    not updated, because a point of another source stands in their place (the host's unique constraints). ``preferred``: of those
    unchanged, points that were measured by a program that is preferred to that of the file.
    """

    rows: int = 0
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    merged: int = 0
    held: int = 0
    preferred: int = 0
    message: str = ''

    @property
    def changed(self) -> bool:
        """Whether the light curve is another one now."""
        return bool(self.new or self.updated or self.merged)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a file leaves as it is: points of a preferred ``program``, and ``columns`` that it does not have itself."""

    program: str
    columns: tuple[str, ...]


@dataclass
class Tally:
    """Counts in the making, and the points that the file names."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    merged: int = 0
    held: int = 0
    preferred: int = 0
    seen: list[Integers] = field(default_factory=list)
    #: Of points that hold an exposure once too often, and are removed: which one stays.
    became: dict[int, int] = field(default_factory=dict)


def ingest(
    product: DataProduct,
    table: Measurements,
    *,
    service: str,
    reduction: str,
    now: datetime,
    watchers: Watchers = Watchers(),  # noqa: B008 - it cannot be changed
    note: str = '',
    assumed: bool = False,
) -> Counts:
    """Store what the table holds as points of the product's target; ``note`` goes into the message.

    ``assumed``: nobody said that the file holds this ``reduction``; it is put right when a file of a known one holds the same.
    TransactionManagementError outside a transaction: points, file and account of it belong together.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError('ingest() must run inside a transaction.')
    curve = take_turn(product.target_id, service)
    table = sound(table, reduction)
    newest = _newest_point()
    if not assumed:
        note = '; '.join(filter(None, (note, assumptions.put_right(curve, product, table, reduction))))
    stored = sql.StoredCurve.of(product.target_id, service)
    table = unnamed_once(table, stored, reduction)
    found = match.find(table, stored, reduction)
    tally = _write(product, table, stored, reduction, found)
    reach(PhotometryPoint.POINTS_WRITTEN)
    permissions.grant(product, _made(product, newest), tally.seen, watchers)
    middle = positions.places(table).middle
    counts = _counts(table, tally, '; '.join(filter(None, (note, found.note, _apart(curve, product, middle)))), service)
    _keep_account(curve, product, reduction, counts, now, middle, assumed)
    if tally.new:
        after_commit(product, newest)
    return counts


def put_back(product: DataProduct, table: Measurements, service: str, reduction: str) -> None:
    """Store the points of the table once more, as another file had found them. In the caller's turn."""
    newest = _newest_point()
    curve = sql.StoredCurve.of(product.target_id, service)
    _write(product, unnamed_once(sound(table, reduction), curve, reduction), curve, reduction, Legacy())
    permissions.grant(product, _made(product, newest), (), Watchers())


def take_turn(target: int, service: str) -> LightCurve:
    """The light curve's row, locked until the transaction ends: it is written before anything is read."""
    mine = LightCurve.objects.filter(target_id=target, service=service)
    if not mine.update(version=F('version')):
        LightCurve.objects.bulk_create([LightCurve(target_id=target, service=service)], ignore_conflicts=True)
        mine.update(version=F('version'))
    return mine.get()


def sound(table: Measurements, reduction: str) -> Measurements:
    """The table as a reader should give it: every row with a time, every exposure once (the last one stays)."""
    lines = positions.numbered(table)
    table, lines = table.rejecting(~np.isfinite(table.mjd), 'no time', lines)
    last = {key: row for row, key in enumerate(zip(kinds(table, reduction), table.exposure.tolist(), strict=True))}
    if len(last) == len(table):
        return table
    repeated = np.ones(len(table), dtype=np.bool_)
    repeated[list(last.values())] = False
    return table.rejecting(repeated, 'a later row holds the same exposure', lines)[0]


def unnamed_once(table: Measurements, curve: sql.StoredCurve, reduction: str) -> Measurements:
    """The table without exposures that its file does not name, and that are stored under their own names."""
    there = match.named_already(table, curve, reduction)
    return table.rejecting(there, NAMED, positions.numbered(table))[0]


NAMED = 'the file does not name its exposure, which is here already under its own name'


def count_again(curve: LightCurve) -> dict[str, Any]:
    """What is true of the light curve: how many points, and the newest."""
    mine = PhotometryReducedDatum.objects.filter(target_id=curve.target_id, source_name=curve.service)
    if registry.kind_of(curve.service).toolkit_points:
        mine = mine.exclude(reduction_version='')  # the toolkit's own
    return mine.aggregate(points=Count('pk'), last_point=Max('timestamp'))


def _write(product: DataProduct, table: Measurements, curve: sql.StoredCurve, reduction: str, found: Legacy) -> Tally:
    """``found``: the toolkit's points."""
    tally = Tally()
    service = registry.kind_of(curve.service)
    worse = table.constants.get('program') not in (None, '', service.preferred_program)
    kept = Kept(program=service.preferred_program if worse else '', columns=service.occasional)
    times, by_hand = moments(table, reduction), hidden.hidden_in(curve.target, curve.service)
    order = np.argsort(table.mjd, kind='stable')
    for start in range(0, len(order), CHUNK):
        rows = order[start : start + CHUNK]
        some = points(table.only(rows), reduction, times[rows])
        _write_some(product, some, curve, found.among(rows), tally, kept)
    hidden.follow(by_hand, tally.became)
    return tally


def _write_some(
    product: DataProduct,
    some: PointRows,
    curve: sql.StoredCurve,
    old: dict[int, list[int]],
    tally: Tally,
    kept: Kept,
) -> None:
    times = np.asarray(some.columns['timestamp'])
    stored = curve.around(times, [str(name) for name in some.columns['reduction_version']])
    at = match.match(some, stored)
    there = np.flatnonzero(at != match.NOWHERE)
    tally.seen.append(stored.ids[at[there]])
    _update(some, there, stored, at[there], tally, kept)
    _upgrade(some, old, dict(zip(there.tolist(), stored.ids[at[there]].tolist(), strict=True)), tally)
    absent = np.array([row for row in np.flatnonzero(at == match.NOWHERE).tolist() if row not in old], dtype=np.int64)
    inserted = sql.insert(some.chosen(absent), target_id=product.target_id, data_product_id=product.pk, source_name=curve.service)
    tally.new += inserted
    tally.held += len(absent) - inserted


def _update(some: PointRows, rows: Integers, stored: Stored, at: Integers, tally: Tally, kept: Kept) -> None:
    """Write what differs, and only the columns in which anything does: the others' indexes need no work."""
    differs = match.changes(some, rows, stored, at, kept.columns)
    changed: NDArray[np.bool_] = np.logical_or.reduce(list(differs.values()))
    if kept.program:
        preferred = changed & match.measured_by(kept.program, stored, at)
        tally.preferred += int(preferred.sum())
        changed &= ~preferred
    fields = tuple(name for name, where in differs.items() if where.any())
    updated = sql.update(stored.ids[at[changed]], some.chosen(rows[changed], fields))
    tally.updated += updated
    tally.held += int(changed.sum()) - updated
    tally.unchanged += int((~changed).sum())


def _upgrade(some: PointRows, old: dict[int, list[int]], there: dict[int, int], tally: Tally) -> None:
    """Let the toolkit's point of an exposure become ours; remove those that are one too many."""
    rows = [row for row in old if row not in there]
    ids = np.array([old[row][0] for row in rows], dtype=np.int64)
    gone = [pk for row, pks in old.items() for pk in (pks if row in there else pks[1:])]
    tally.became |= {pk: there.get(row, pks[0]) for row, pks in old.items() for pk in pks}
    tally.merged += sql.delete(gone)
    updated = sql.update(ids, some.chosen(np.array(rows, dtype=np.int64), FIELDS))
    tally.updated += updated
    tally.held += len(ids) - updated
    tally.seen.append(ids)


def _made(product: DataProduct, newest: int) -> QuerySet[Any]:
    """The points that were inserted after ``newest`` was the newest."""
    return PhotometryReducedDatum.objects.filter(data_product_id=product.pk, pk__gt=newest)


def _newest_point() -> int:
    return PhotometryReducedDatum.objects.aggregate(newest=Max('pk'))['newest'] or 0


def _counts(table: Measurements, tally: Tally, note: str, service: str) -> Counts:
    rejected = len(table.rejected)
    counts = Counts(
        rows=max(table.rows, len(table) + rejected),
        new=tally.new,
        updated=tally.updated,
        unchanged=tally.unchanged,
        rejected=rejected,
        merged=tally.merged,
        held=tally.held,
        preferred=tally.preferred,
    )
    return replace(counts, message=sentence(counts, table.rejected, note, registry.kind_of(service).preferred_program))


def sentence(counts: Counts, rejected: Rejections, note: str, preferred: str) -> str:
    """One sentence that a person reads."""
    parts = [f'{counts.rows:,} {"row" if counts.rows == 1 else "rows"}: {counts.new:,} new']
    parts += [f'{getattr(counts, name):,} {name}' for name in ('updated', 'unchanged') if getattr(counts, name)]
    text = ', '.join(parts)
    if counts.merged:
        text += f'; {counts.merged:,} stored twice by the toolkit removed'
    if counts.held:
        text += f'; {counts.held:,} not stored, because an equal point of another source is there'
    if counts.preferred:
        text += f'; {counts.preferred:,} stay as the {preferred} service measured them'
    if rejected:
        text += f'; left out: {rejected.sentence()}'
    return f'{text}; {note}.' if note else f'{text}.'


def _apart(curve: LightCurve, product: DataProduct, middle: tuple[float, float] | None) -> str:
    """That other files of the light curve were measured elsewhere, if so; not for what moves."""
    target = curve.target
    if middle is None or target.type != 'SIDEREAL' or target.pm_ra or target.pm_dec:
        return ''
    others = curve.files.exclude(data_product=product).exclude(ra=None).values_list('ra', 'dec')
    away = [float(positions.separations(*middle, ra, dec)) for ra, dec in others if ra is not None and dec is not None]
    far = [arcsec for arcsec in away if arcsec > positions.APART]
    if not far:
        return ''
    files = 'another file' if len(far) == 1 else f'{len(far)} other files'
    return f'measured {positions.distance(max(far))} from the position of {files} of this light curve'


def _keep_account(
    curve: LightCurve,
    product: DataProduct,
    reduction: str,
    counts: Counts,
    now: datetime,
    middle: tuple[float, float] | None,
    assumed: bool,
) -> None:
    kept = {name: getattr(counts, name) for name in ('rows', 'new', 'updated', 'unchanged', 'rejected', 'message')}
    ra, dec = middle or (None, None)
    where = {'light_curve': curve, 'reduction': reduction, 'ingested': now, 'ra': ra, 'dec': dec, 'assumed': assumed}
    IngestedFile.objects.update_or_create(data_product=product, defaults={**kept, **where})
    if counts.changed:
        LightCurve.objects.filter(pk=curve.pk).update(version=F('version') + 1, **count_again(curve))


def make_product(target: Any, data_product_type: str, content: bytes, file_name: str, product_id: str, text: str) -> DataProduct:
    """A data product with its file, inside the caller's transaction.

    ``file_name`` is made by us and the same at each try: a file that a killed try left is removed before.
    """
    product = DataProduct(target=target, data_product_type=data_product_type, product_id=product_id, extra_data=text)
    remove_leftover(product, file_name)
    product.data.save(file_name, ContentFile(content), save=False)
    reach(PhotometryPoint.FILE_WRITTEN)
    product.save()
    return product


def remove_leftover(product: DataProduct, file_name: str) -> None:
    """Remove the file that ``product`` would get, if it exists and no data product has it."""
    data = DataProduct._meta.get_field('data')
    path = data.generate_filename(product, file_name)
    storage = product.data.storage
    if not DataProduct.objects.filter(data=path).exists() and storage.exists(path):
        storage.delete(path)


logger = logging.getLogger(__name__)


def after_commit(product: DataProduct, newest: int) -> None:
    """Share the product's points with ids above ``newest`` once they are committed; a failure is logged and harms nothing."""
    if PersistentShare.objects.filter(target_id=product.target_id).exists():
        transaction.on_commit(lambda: _share(product, newest), robust=True)


def _share(product: DataProduct, newest: int) -> None:
    mine = PhotometryReducedDatum.objects.filter(data_product_id=product.pk, pk__gt=newest)
    for ids in slices(list(mine.order_by('pk').values_list('pk', flat=True))):
        try:
            continuous_share_data(product.target, list(PhotometryReducedDatum.objects.filter(pk__in=ids)))
        except Exception as error:  # other people's servers and settings: whatever it is, the points are stored
            logger.warning('Points of data product %s could not be shared: %r', product.pk, error)
            return
