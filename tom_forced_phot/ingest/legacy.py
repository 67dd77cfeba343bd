"""Points that the toolkit's own AtlasProcessor stored: start of exposure, no instrument, no flux, no reduction.

They say nothing of difference or reduced images; that is judged by comparing them with the file, for the light curve as a whole.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from tom_forced_phot.ingest import bulk
from tom_forced_phot.ingest.compare import agreement
from tom_forced_phot.ingest.rows import SECOND, Integers, microseconds, texts
from tom_forced_phot.ingest.stored import Stored
from tom_forced_phot.photometry import Measurements

SERVICE = 'ATLAS'


@dataclass(frozen=True)
class Legacy:
    """What is to become of the toolkit's points."""

    #: Row of the table -> ids of the points of its exposure, oldest first.
    of_row: dict[int, list[int]] = field(default_factory=dict)
    note: str = ''

    def among(self, rows: Integers) -> dict[int, list[int]]:
        """The same for some rows of the table, numbered from 0."""
        if not self.of_row:
            return {}
        return {number: self.of_row[row] for number, row in enumerate(rows.tolist()) if row in self.of_row}


def find(table: Measurements, curve: bulk.Curve, reduction: str) -> Legacy:
    """The toolkit's points of the exposures in the table; none where they are of the other kind of image."""
    if curve.service != SERVICE or not curve.bands:
        return Legacy()
    start = microseconds(table.mjd) - np.rint(table.exposure_time * SECOND / 2).astype(np.int64)
    stored = curve.around(start, [''])
    theirs = _toolkits(stored)
    if not len(theirs):
        return Legacy()
    rows, points = _pairs(table, start, stored, theirs)
    if not len(rows):
        return Legacy()
    agreeing, judged = agreement(table, rows, stored, points)
    if judged and 2 * agreeing <= judged:
        return Legacy(
            note=f'{len(set(rows.tolist()))} of these exposures have a point that the toolkit stored; '
            f'only {agreeing} of {judged} agree with the {reduction} photometry, so those points were left alone'
        )
    found: dict[int, list[int]] = defaultdict(list)
    for row, pk in zip(rows.tolist(), stored.ids[points].tolist(), strict=True):
        found[row].append(pk)
    return Legacy({row: sorted(pks) for row, pks in found.items()})


def _toolkits(stored: Stored) -> Integers:
    """The indices of the toolkit's points among those without a reduction."""
    columns = zip(stored.columns['telescope'], stored.columns['instrument'], stored.columns['value'], strict=True)
    good = [telescope == 'ATLAS' and not instrument and 'flux' not in json.loads(text) for telescope, instrument, text in columns]
    return np.flatnonzero(np.array(good, dtype=np.bool_))


def _pairs(table: Measurements, start: Integers, stored: Stored, theirs: Integers) -> tuple[Integers, Integers]:
    """(rows, points): each point with the row of its band that began at the same time, within a second."""
    times, bands = np.asarray(stored.columns['timestamp']), np.array(stored.columns['bandpass'], dtype=np.str_)
    ours = np.array(texts(table.band, 'bandpass'), dtype=np.str_)
    rows, points = [], []
    for band in np.unique(bands[theirs]):
        points_of_band = theirs[bands[theirs] == band]
        order = np.flatnonzero(ours == band)
        if len(order):
            order = order[np.argsort(start[order], kind='stable')]
            nearest = order[_nearest(start[order], times[points_of_band])]
            near = np.abs(start[nearest] - times[points_of_band]) <= SECOND
            rows.append(nearest[near])
            points.append(points_of_band[near])
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *rows]), np.concatenate([nothing, *points])


def _nearest(ordered: Integers, wanted: Integers) -> Integers:
    """The index in ``ordered`` of the value nearest to each wanted one."""
    after = np.clip(np.searchsorted(ordered, wanted), 0, len(ordered) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(ordered[before] - wanted) <= np.abs(ordered[after] - wanted), before, after)
