"""Which points are new, which stand there already, and what of those is different now."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import SECONDS_A_DAY, Floats
from tom_forced_phot import registry
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.ingest import sql
from tom_forced_phot.ingest.point_rows import FIELDS, SECOND, Column, Integers, PointRows, finite, microseconds, take, texts
from tom_forced_phot.ingest.sql import Stored

NOWHERE = -1
SAME_MAGNITUDE, SIGMAS, SAME_LIMIT = 0.05, 3.0, 0.5


def match(points: PointRows, stored: Stored) -> Integers:
    """For each point the index of the stored one of the same reduction and exposure, or -1.

    Where nothing changed the texts of ``value`` are equal, and the exposure is in them; only the others are parsed.
    """
    found = np.full(len(points), NOWHERE, dtype=np.int64)
    if not len(stored):
        return found
    reductions, values = points.columns['reduction_version'], points.columns['value']
    by_text = {key: number for number, key in enumerate(_keys(stored.columns['reduction_version'], stored.columns['value']))}
    found[:] = [by_text.get(key, NOWHERE) for key in _keys(reductions, values)]
    missing = np.flatnonzero(found == NOWHERE)
    if len(missing):
        known = identities(stored, skip=set(found.tolist()))
        wanted = _keys(take(reductions, missing), take(points.exposure, missing))
        found[missing] = [known.get(key, NOWHERE) for key in wanted]
    return found


def identities(stored: Stored, skip: set[int] | None = None) -> dict[tuple[str, str], int]:
    """(reduction, exposure) of the stored points -> their indices."""
    skip = skip or set()
    found = {}
    for number, (reduction, text) in enumerate(_keys(stored.columns['reduction_version'], stored.columns['value'])):
        if number not in skip:
            exposure = exposure_of(text)
            if exposure is not None:
                found[reduction, exposure] = number
    return found


def exposure_of(text: str) -> str | None:
    """The exposure that a point's ``value`` names, if it is one of ours."""
    value = json.loads(text)
    found = value.get('exposure') if isinstance(value, dict) and 'flux' in value else None
    return found if isinstance(found, str) else None


def changes(
    points: PointRows, rows: Integers, stored: Stored, at: Integers, occasional: Sequence[str] = ()
) -> dict[str, NDArray[np.bool_]]:
    """For each field, which of the points ``rows`` differ from the stored ones ``at``; ``occasional``: see ``same_meaning``."""
    return {
        name: _different(name, take(points.columns[name], rows), take(stored.columns[name], at), occasional)
        for name in FIELDS
    }  # fmt: skip


def _different(name: str, ours: Column, theirs: Column, occasional: Sequence[str]) -> NDArray[np.bool_]:
    if isinstance(ours, list):
        unequal = [left != right for left, right in zip(ours, theirs, strict=True)]
        if name == 'value' and any(unequal):
            pairs = zip(unequal, ours, theirs, strict=True)
            unequal = [texts_differ and not same_meaning(left, right, occasional) for texts_differ, left, right in pairs]
        return np.array(unequal, dtype=np.bool_)
    theirs = np.asarray(theirs)
    if ours.dtype.kind == 'f':
        return ~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))
    return np.asarray(ours != theirs)


def measured_by(program: str, stored: Stored, at: Integers) -> NDArray[np.bool_]:
    """Which of the stored points ``at`` name this program."""
    said = f'"program": {json.dumps(program)}'
    return np.array([said in text for text in take(stored.columns['value'], at)], dtype=np.bool_)


def agreement(table: Measurements, rows: Integers, stored: Stored, at: Integers) -> tuple[int, int]:
    """Of the exposures ``rows``: how many agree with a stored point ``at``, and how many say something that can be compared.

    Magnitudes agree within 0.05 or three of the larger error (a re-reduction moves them by so much), limits within 0.5.
    """

    def theirs(name: str) -> Floats:
        return finite(np.asarray(take(stored.columns[name], at)))

    magnitude, limit = table.magnitude[rows], table.limit[rows]
    error = np.fmax(np.nan_to_num(table.magnitude_error[rows]), np.nan_to_num(theirs('brightness_error')))
    agree = np.abs(magnitude - theirs('brightness')) <= np.maximum(SAME_MAGNITUDE, SIGMAS * error)
    agree |= np.abs(limit - theirs('limit')) <= SAME_LIMIT
    says = (np.isfinite(magnitude) | np.isfinite(limit)) & (np.isfinite(theirs('brightness')) | np.isfinite(theirs('limit')))
    return len(set(rows[agree & says].tolist())), len(set(rows[says].tolist()))


def same_meaning(left: str, right: str, occasional: Sequence[str] = ()) -> bool:
    """Whether our JSON text says what theirs does; databases print numbers in their own ways.

    A file that was saved again without its comments does not say which version of the program made it: that is no difference. Nor
    is it that a file has none of the ``occasional`` columns, which tell nothing of the exposure itself.
    """
    ours, theirs = json.loads(left), json.loads(right)
    if isinstance(theirs, dict):
        for name in ('program_version', *occasional):
            if name not in ours:
                theirs.pop(name, None)
    return _same(ours, theirs)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(member, right[key]) for key, member in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, float) or isinstance(right, float):
        # PostgreSQL prints 3.1e+25 as a whole number
        return isinstance(left, (int, float)) and isinstance(right, (int, float)) and float(left) == float(right)
    return bool(left == right)


def _keys(first: Sequence[Any] | Column, second: Sequence[Any] | Column) -> Any:
    return zip(first, second, strict=True)


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


#: What a reader calls an exposure that its file does not name: its start and its filter; and how exactly files print a start.
MADE = re.compile(r'\d{5}\.\d{6}.{0,100}')
SAME_START = SECOND // 10


def is_made(exposure: Any) -> bool:
    """Whether a reader made the name of an exposure."""
    return isinstance(exposure, str) and MADE.fullmatch(exposure) is not None


def made_names(table: Measurements) -> list[str]:
    """What a reader would have called these exposures, had their file not named them."""
    start = table.mjd - table.exposure_time / 2 / SECONDS_A_DAY
    return [f'{mjd:.6f}{band}' for mjd, band in zip(start.tolist(), table.band.tolist(), strict=True)]


def by_start(table: Measurements, stored: Stored) -> tuple[Integers, Integers]:
    """(rows, points) of one exposure, for a file that names none."""
    if not all(map(is_made, table.exposure.tolist())):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing
    return _pairs(table, microseconds(table.mjd), stored, np.arange(len(stored)), SAME_START)


def named_already(table: Measurements, curve: sql.StoredCurve, reduction: str) -> NDArray[np.bool_]:
    """The rows of a file that names no exposures whose exposures are stored under their own names."""
    found = np.zeros(len(table), dtype=np.bool_)
    # a file that names its exposures names their telescope units, too
    nameless = np.flatnonzero(np.asarray(table.instrument == ''))
    nameless = nameless[[is_made(name) for name in table.exposure[nameless].tolist()]] if len(nameless) else nameless
    if len(nameless):
        some = table.only(nameless)
        stored = curve.around(microseconds(some.mjd), [reduction])
        known = np.flatnonzero([name is not None and not is_made(name) for name in map(exposure_of, stored.columns['value'])])
        rows, _ = _pairs(some, microseconds(some.mjd), stored, known, SAME_START)
        found[nameless[rows]] = True
    return found


def find(table: Measurements, curve: sql.StoredCurve, reduction: str) -> Legacy:
    """The points of the exposures in the table that are stored without the exposures' own names.

    Those of the toolkit, if they are of this kind of image, and those of an uploaded file that names no exposures.
    """
    found = _of_toolkit(table, curve, reduction)
    for row, pks in _of_nameless(table, curve, reduction).items():
        found.of_row[row] = sorted({*found.of_row.get(row, ()), *pks})
    return found


def _of_nameless(table: Measurements, curve: sql.StoredCurve, reduction: str) -> dict[int, list[int]]:
    if not registry.kind_of(curve.service).toolkit_points or not curve.bands:
        return {}
    mine = sql.Model.objects.filter(target_id=curve.target, source_name=curve.service, reduction_version=reduction, instrument='')
    named = np.flatnonzero(np.asarray(table.instrument != ''))
    if not len(named) or not mine.exists():
        return {}
    some = table.only(named)
    stored = curve.around(microseconds(some.mjd), [reduction])
    nameless = np.flatnonzero([is_made(name) for name in map(exposure_of, stored.columns['value'])])
    rows, points = _pairs(some, microseconds(some.mjd), stored, nameless, SAME_START)
    found: dict[int, list[int]] = defaultdict(list)
    for row, pk in zip(named[rows].tolist(), stored.ids[points].tolist(), strict=True):
        found[row].append(pk)
    return found


def _of_toolkit(table: Measurements, curve: sql.StoredCurve, reduction: str) -> Legacy:
    """The toolkit's points of the exposures in the table; none where they are of the other kind of image."""
    if not registry.kind_of(curve.service).toolkit_points or not curve.bands:
        return Legacy()
    start = microseconds(table.mjd) - np.rint(table.exposure_time * SECOND / 2).astype(np.int64)
    stored = curve.around(start, [''])
    theirs = _toolkits(stored, table.telescope)
    if not len(theirs):
        return Legacy()
    rows, points = _pairs(table, start, stored, theirs, SECOND)
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


def _toolkits(stored: Stored, telescope: str) -> Integers:
    """The indices of the toolkit's points among those without a reduction."""
    columns = zip(stored.columns['telescope'], stored.columns['instrument'], stored.columns['value'], strict=True)
    good = [where == telescope and not instrument and 'flux' not in json.loads(text) for where, instrument, text in columns]
    return np.flatnonzero(np.array(good, dtype=np.bool_))


def _pairs(table: Measurements, start: Integers, stored: Stored, theirs: Integers, within: int) -> tuple[Integers, Integers]:
    """(rows, points): each point with the row of its band that began at the same time, ``within`` so many microseconds."""
    times, bands = np.asarray(stored.columns['timestamp']), np.array(stored.columns['bandpass'], dtype=np.str_)
    ours = np.array(texts(table.band, 'bandpass'), dtype=np.str_)
    rows, points = [], []
    for band in np.unique(bands[theirs]):
        points_of_band = theirs[bands[theirs] == band]
        order = np.flatnonzero(ours == band)
        if len(order):
            order = order[np.argsort(start[order], kind='stable')]
            nearest = order[_nearest(start[order], times[points_of_band])]
            near = np.abs(start[nearest] - times[points_of_band]) <= within
            rows.append(nearest[near])
            points.append(points_of_band[near])
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *rows]), np.concatenate([nothing, *points])


def _nearest(ordered: Integers, wanted: Integers) -> Integers:
    """The index in ``ordered`` of the value nearest to each wanted one."""
    after = np.clip(np.searchsorted(ordered, wanted), 0, len(ordered) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(ordered[before] - wanted) <= np.abs(ordered[after] - wanted), before, after)
