"""A light curve as a file: CSV, ECSV or VOTable, with units and what was done to it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from astropy.io.votable import from_table
from astropy.table import Column, MaskedColumn, Table
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
#: What a cell of a CSV cannot hold but in quotation marks.
SPECIAL = re.compile('[,"\\r\\n]')
#: What XML cannot hold, in whatever writing.
NOT_XML = re.compile(r'[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')
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
            found['utc'] = np.datetime_as_string((microseconds_of(shown.mjd) // 1000).astype('datetime64[ms]'))
        values = getattr(shown, name)
        found[name] = numbers(values, unit, text)
    found['utc'].description = 'The same as mjd, as a date'
    for name, unit, text, values in other_times(curve, place):
        found[name] = numbers(values, unit, text)
    if curve.dust is not None and curve.means is None:
        text = 'Subtracted from magnitude and limit; flux and flux_error are larger by 10^(0.4 extinction), baseline is not'
        found['extinction'] = numbers(shown.extinction, 'mag', text)
    if curve.distance is not None:
        for name in ('magnitude', 'limit'):
            values = getattr(shown, name) - curve.modulus
            found[f'absolute_{name}'] = numbers(values, 'mag')
    found['flux_measured'] = shown.measured
    found['kind'] = np.array([KINDS.get(kind, '') for kind in range(UNSOLVED + 1)])[shown.kind]
    for name in ('band', 'service', 'reduction'):
        values = np.array([getattr(series, name) for series in curve.series] or [''], dtype=np.str_)
        found[name] = values[shown.series]
    if curve.means is None:
        for name in ('telescope', 'instrument', 'unit'):
            found[name] = np.array([getattr(label, name) for label in curve.labels] or [''], dtype=np.str_)[shown.code]
        found['id'] = shown.ids
        if curve.groups:
            found['baseline'] = numbers(shown.baseline, 'uJy', 'Subtracted from the flux, before any correction for extinction')
            found['baseline_epochs'] = shown.baseline_epochs
        for name, values in curve.quality.items():
            if is_said(values[shown.row]):
                called = unused(name, found.colnames)
                found[called] = own_column(values[shown.row])
                found[called].description = 'As the service gave it, without any correction'
    else:
        found['points_averaged'] = shown.number
        found['points_clipped'] = shown.clipped
        found['x2'] = numbers(shown.x2, '', 'Reduced chi squared of the mean')
        found['flags'] = shown.flags
        found['flags'].description = 'ATClean: 0x2000 few points, 0x800000 bad day'
    return found


def numbers(values: Floats, unit: str = '', text: str = '') -> Column:
    """A column of numbers, masked where one is missing."""
    missing = ~np.isfinite(values)
    made = MaskedColumn(values, mask=missing) if missing.any() else Column(values)
    made.unit, made.description = unit or None, text or None
    return made


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
    return numbers(values)


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
    out.writelines(f'{",".join(row)}\n' for row in _cells(found, _quoted, ''))
    return out.getvalue().encode()


def _cells(found: Table, said: Callable[[Any], str], nothing: str) -> Iterator[tuple[str, ...]]:
    """The cells of each row as texts."""
    return zip(*(_texts(found[name], said, nothing) for name in found.colnames), strict=True)


def _texts(column: Any, said: Callable[[Any], str], nothing: str) -> list[str]:
    """The values as they stand in a file, every digit of them; what many rows have in common is written once."""
    missing = np.asarray(column.mask) if isinstance(column, MaskedColumn) else np.zeros(0, dtype=np.bool_)
    values = np.where(missing, 0, np.asarray(column)) if missing.any() else np.asarray(column)
    cells = values.tolist()
    distinct = set(cells)
    if 2 * len(distinct) < len(cells):
        known = {value: said(value) for value in distinct}
        texts = list(map(known.__getitem__, cells))
    else:
        texts = list(map(repr if values.dtype.kind in 'if' else said, cells))
    for row in np.flatnonzero(missing).tolist():
        texts[row] = nothing
    return texts


def _quoted(value: Any) -> str:
    """As a cell of a CSV."""
    if not isinstance(value, str):
        return repr(value)
    return '"' + value.replace('"', '""') + '"' if SPECIAL.search(value) else value


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
    rows = ''.join(f'<TR><TD>{"</TD><TD>".join(row)}</TD></TR>\n' for row in _cells(found, _cell, 'NaN'))
    return f'{head}<TABLEDATA>\n{rows}</TABLEDATA>{tail}'.encode()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return '1' if value else '0'  # astropy makes it a bit
    return escape(NOT_XML.sub('\ufffd', value)) if isinstance(value, str) else repr(value)
