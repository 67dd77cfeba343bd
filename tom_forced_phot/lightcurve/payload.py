"""A light curve as the browser gets it: columns of whole numbers, each with its scale, the points in blocks of one series.

A number is ``(offset + value) * scale``, where a column with ``delta`` holds differences; ``none`` stands for no number. Times are
good to 0.1 s, magnitudes to 0.0001, fluxes to a hundredth of the smallest error. Files have the numbers as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import Floats
from tom_forced_phot.lightcurve.bands import colour, symbol
from tom_forced_phot.lightcurve.columns import BAD, DETECTED, LIMIT, Points, Series
from tom_forced_phot.lightcurve.curve import Curve

DAY, MAGNITUDE = 1e-6, 1e-4
FINEST, COARSEST = 1e-9, 1e15
WHOLE = 2.0**53


def payload(curve: Curve, symbols: Mapping[str, str]) -> dict[str, Any]:
    """Everything that is drawn; ``symbols``: those that services name for themselves."""
    return {
        'series': [described(series, symbols) for series in curve.series],
        'points': blocks(curve.points, len(curve.series), curve.modulus),
        'means': None if curve.means is None else blocks(curve.means, len(curve.series), curve.modulus),
        'axis': None if curve.axis is None else {'zero': curve.axis.zero, 'period': curve.axis.period},
        'modulus': curve.modulus,
    }


def described(series: Series, symbols: Mapping[str, str]) -> dict[str, str]:
    """A series, and how it is drawn; words and look are chosen here, colours by the style sheet."""
    return {
        'key': series.key,
        'words': series.words,
        'service': series.service,
        'band': series.band,
        'reduction': series.reduction,
        'colour': colour(series.band),
        'symbol': symbol(series.service, symbols),
        'open': 'open' if is_open(series) else '',
    }


def is_open(series: Series) -> bool:
    """Whether its symbols are hollow: what was not measured on difference images, where both kinds are usual."""
    return series.reduction not in ('', 'difference', 'detection')


def blocks(points: Points, series: int, modulus: float) -> dict[str, Any]:
    """The points in blocks of one series, each in order of time; ``counts`` says how many are in each block.

    ``modulus`` is subtracted from magnitudes.
    """
    points = points.only(np.argsort(points.series, kind='stable'))
    scale = flux_scale(points.flux, points.flux_error)
    kind = points.kind
    shown = np.where(np.isfinite(points.magnitude), points.magnitude, points.limit)
    return {
        'counts': np.bincount(points.series, minlength=series).tolist(),
        'id': whole(points.ids),
        'mjd': column(points.mjd, DAY, delta=True),
        'flux': column(points.flux, scale),
        'flux_error': column(points.flux_error, scale),
        'magnitude': column(shown - modulus, MAGNITUDE),
        'magnitude_error': column(points.magnitude_error, MAGNITUDE),
        'kind': kind.tolist(),
        'number': points.number.tolist() if points.number.max(initial=1) > 1 else None,
        'measured': points.measured.astype(int).tolist() if not points.measured.all() else None,
    }


def flux_scale(flux: Floats, error: Floats) -> float:
    """A power of ten, about a hundredth of the smallest error; never so fine that a flux is no exact number any more."""
    errors = error[np.isfinite(error) & (error > 0)]
    sizes = np.abs(flux[np.isfinite(flux)])
    smallest = float(errors.min()) if len(errors) else float(sizes.max(initial=1.0)) * 1e-4
    least = max(float(sizes.max(initial=0.0)), float(errors.max(initial=0.0))) * FINEST
    return float(10.0 ** np.floor(np.log10(min(max(smallest / 100, least, 1e-12), COARSEST))))


def whole(numbers: NDArray[np.int64]) -> dict[str, Any]:
    """Whole numbers as their differences."""
    return {'scale': 1, 'delta': True, 'none': None, 'values': np.diff(numbers, prepend=0).tolist()}


def column(numbers: Floats, scale: float, *, delta: bool = False) -> dict[str, Any]:
    """Numbers as multiples of a scale; what is no exact whole number of them in a browser is no number."""
    good = np.abs(numbers) < WHOLE * scale
    steps = np.rint(np.where(good, numbers, 0.0) / scale).astype(np.int64)
    if good.all():
        return {'scale': scale, 'delta': delta, 'none': None, 'values': (np.diff(steps, prepend=0) if delta else steps).tolist()}
    none = int(steps.min()) - 1
    return {'scale': scale, 'delta': False, 'none': none, 'values': np.where(good, steps, none).tolist()}


def counted(curve: Curve, symbols: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A line for each series: how many of what, and the newest point; hidden ones with nothing."""
    shown, number = curve.shown, len(curve.series)
    kind = shown.kind
    seen, limits, bad = (np.bincount(shown.series[kind == value], minlength=number) for value in (DETECTED, LIMIT, BAD))
    totals = np.bincount(shown.series, minlength=number)
    newest = np.full(number, -1, dtype=np.int64)
    newest[shown.series] = np.arange(len(shown))  # in order of time, so that the newest stays
    for place, series in enumerate(curve.series):
        row = int(newest[place])
        yield {
            **described(series, symbols),
            'number': int(totals[place]),
            'detections': int(seen[place]),
            'limits': int(limits[place]),
            'bad': int(bad[place]),
            'last': None if row < 0 else float(shown.mjd[row]),
            'row': row,
        }
