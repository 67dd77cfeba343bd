"""A light curve as a file: CSV, ECSV or VOTable, with units and what was done to it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from tom_followup.units import Floats, microseconds_of
from tom_forced_phot.lightcurve.columns import BAD, DETECTED, LIMIT, UNSOLVED
from tom_forced_phot.lightcurve.curve import Curve
from tom_forced_phot.lightcurve.times import bjd_tdb, jd

#: Format -> content type.
FORMATS = {'csv': 'text/csv; charset=utf-8', 'ecsv': 'text/x-ecsv; charset=utf-8', 'votable': 'application/x-votable+xml'}
#: Whole numbers up to this are exact as float64.
WHOLE = 2**53
ENDINGS = {'csv': 'csv', 'ecsv': 'ecsv', 'votable': 'vot'}
UNSAFE = re.compile(r'[^A-Za-z0-9_.-]')
KINDS = {DETECTED: 'detection', LIMIT: 'limit', BAD: 'bad day', UNSOLVED: 'no photometric solution'}
#: Name -> unit, description.
NUMBERS = {
    'mjd': ('d', 'Modified Julian date, UTC, as the source gives it: mid-exposure for points of this app'),
    'magnitude': ('mag', 'Magnitude of a detection, AB unless the unit of the source says otherwise'),
    'magnitude_error': ('mag', 'One sigma'),
    'limit': ('mag', 'Upper limit, where there is no detection'),
    'limit_sigmas': ('', 'How many times flux_error the limit is'),
    'flux': ('uJy', 'Flux; of a magnitude taken as AB where flux_measured is false'),
    'flux_error': ('uJy', 'One sigma'),
    'exposure_time': ('s', 'Exposure time; of a mean, all of its exposures'),
}


def table(curve: Curve, meta: Mapping[str, Any], place: tuple[float, float] | None = None) -> Table:
    """What is shown, a row a point in order of time. ``place``: RA and Dec (degrees) of a target that stands still."""
    shown = curve.shown
    found = Table(meta={**meta, 'comments': list(meta.get('comments', ()))})
    for name, (unit, text) in NUMBERS.items():
        if name == 'magnitude':
            found['utc'] = np.array(instants(shown.mjd), dtype='<U26')
        values = getattr(shown, name)
        found[name] = MaskedColumn(values, mask=~np.isfinite(values), unit=unit or None, description=text)
    found['utc'].description = 'The same as mjd, as a date'
    for name, unit, text, values in other_times(curve, place):
        found[name] = MaskedColumn(values, mask=~np.isfinite(values), unit=unit or None, description=text)
    if curve.dust is not None and curve.means is None:
        text = 'By which magnitude, limit and flux were corrected'
        found['extinction'] = MaskedColumn(shown.extinction, unit='mag', description=text)
    if curve.distance is not None:
        for name in ('magnitude', 'limit'):
            values = getattr(shown, name) - curve.modulus
            found[f'absolute_{name}'] = MaskedColumn(values, mask=~np.isfinite(values), unit='mag')
    found['flux_measured'] = shown.measured
    found['kind'] = [KINDS.get(kind, '') for kind in shown.kind.tolist()]
    for name in ('band', 'service', 'reduction'):
        values = np.array([getattr(series, name) for series in curve.series] or [''], dtype=np.str_)
        found[name] = values[shown.series]
    if curve.means is None:
        for name in ('telescope', 'instrument', 'unit'):
            found[name] = np.array([getattr(label, name) for label in curve.labels] or [''], dtype=np.str_)[shown.code]
        found['id'] = shown.ids
        if curve.groups:
            found['baseline'] = MaskedColumn(
                shown.baseline, mask=~np.isfinite(shown.baseline), unit='uJy', description='Subtracted from the flux'
            )
            found['baseline_epochs'] = shown.baseline_epochs
        for name, values in curve.quality.items():
            if is_said(values[shown.row]):
                found[unused(name, found.colnames)] = own_column(values[shown.row])
    else:
        found['points_averaged'] = shown.number
        found['points_clipped'] = shown.clipped
        found['x2'] = MaskedColumn(shown.x2, mask=~np.isfinite(shown.x2), description='Reduced chi squared of the mean')
        found['flags'] = shown.flags
        found['flags'].description = 'ATClean: 0x2000 few points, 0x800000 bad day'
    return found


def other_times(curve: Curve, place: tuple[float, float] | None) -> Iterator[tuple[str, str, str, Floats]]:
    """Name, unit, description and values of each other way to tell the time."""
    mjd = curve.shown.mjd
    yield 'jd', 'd', 'Julian date, UTC', jd(mjd)
    if place is not None:
        yield (
            'bjd_tdb',
            'd',
            "Julian date at the barycentre of the solar system, TDB, as seen from the Earth's centre",
            bjd_tdb(mjd, *place),
        )
    if curve.axis is not None and curve.axis.period is None:
        yield 'days', 'd', f'Days since MJD {curve.axis.zero:.10g}', curve.axis.of(mjd)
    elif curve.axis is not None:
        words = f'Phase of the period {curve.axis.period:.10g} d from MJD {curve.axis.zero:.10g}'
        yield 'phase', '', words, curve.axis.of(mjd)


def unused(name: str, taken: Sequence[str]) -> str:
    """The service's own name of a column; with ``own_`` before it where one of ours is called so."""
    return f'own_{name}' if name.lower() in {each.lower() for each in taken} else name


def is_said(values: NDArray[Any]) -> bool:
    """Whether anything stands in a column: control light curves, for example, have not every target."""
    return bool((values != '').any() if values.dtype.kind == 'U' else np.isfinite(values).any())


def own_column(values: NDArray[Any]) -> Any:
    """A column of the services' own as it stands in a file: texts, whole numbers where all are, else numbers."""
    if values.dtype.kind == 'U':
        return values
    good = np.isfinite(values)
    if good.all() and (np.abs(values) < WHOLE).all() and (values == np.rint(values)).all():
        return values.astype(np.int64)
    return MaskedColumn(values, mask=~good)


def instants(mjd: Any) -> list[str]:
    """Dates of MJD in UTC, to the millisecond."""
    return [str(moment) for moment in (microseconds_of(mjd) // 1000).astype('datetime64[ms]')]


def write(found: Table, kind: str) -> bytes:
    """The table in one of FORMATS."""
    if kind == 'votable':
        return _votable(found)
    out = io.StringIO()
    if kind == 'ecsv':
        # astropy knows the head; for the rows it takes a hundred times as long
        found[:0].write(out, format='ascii.ecsv', delimiter=',')
    else:
        out.write(''.join(f'# {line}\n' for line in _head(found)))
        out.write(','.join(found.colnames) + '\n')
    csv.writer(out, lineterminator='\n').writerows(zip(*(_texts(found[name]) for name in found.colnames), strict=True))
    return out.getvalue().encode()


def _texts(column: Any, nothing: Any = '') -> list[Any]:
    """The values as they stand in a file, every digit of them; nothing where there is none."""
    if not isinstance(column, MaskedColumn):
        return list(column.tolist())
    missing = np.asarray(column.mask).tolist()
    return [nothing if none else value for value, none in zip(np.asarray(column).tolist(), missing, strict=True)]


def _head(found: Table) -> list[str]:
    """What a CSV cannot say in its columns."""
    units = ', '.join(f'{name} {column.unit}' for name, column in found.columns.items() if column.unit)
    lines = [f'{key}: {value}' for key, value in found.meta.items() if key != 'comments']
    return [' '.join(line.split()) for line in (*lines, f'units: {units}', *found.meta['comments'])]


def _votable(found: Table) -> bytes:
    """Head and columns by astropy, and the rows as its first one looks: a thousand times as fast. Missing numbers are NaN."""
    plain = Table(meta={})
    for name, column in found[:1].columns.items():
        known = UNSAFE.sub('_', name)  # an id of XML; the name itself follows
        plain[known] = column.filled(np.nan) if isinstance(column, MaskedColumn) else column
        plain[known].unit, plain[known].description = column.unit, column.description
    document = from_table(plain)
    for field, name in zip(document.get_first_table().fields, found.colnames, strict=True):
        field.name = name
    document.description = '\n'.join(_head(found))
    out = io.BytesIO()
    document.to_xml(out, tabledata_format='tabledata')
    head, begin, rest = out.getvalue().decode().partition('<TABLEDATA>')
    if not begin:
        return out.getvalue()
    tail = rest.partition('</TABLEDATA>')[2]
    cells = zip(*(map(_cell, _texts(found[name], 'NaN')) for name in found.colnames), strict=True)
    rows = ''.join(f'<TR><TD>{"</TD><TD>".join(row)}</TD></TR>\n' for row in cells)
    return f'{head}<TABLEDATA>\n{rows}</TABLEDATA>{tail}'.encode()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return '1' if value else '0'  # astropy makes it a bit
    return escape(value) if isinstance(value, str) else repr(value)
