"""A light curve in words and tables: how many points of what, the newest one, what was left out, and a single point's fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np

from tom_followup.units import instant_of
from tom_forced_phot.lightcurve.baseline import ReferenceGroup
from tom_forced_phot.lightcurve.columns import BAD, DETECTED, LIMIT, UNSOLVED, Points
from tom_forced_phot.lightcurve.curve import Curve

NAMES = {
    'timestamp': 'Time (UTC)',
    'brightness': 'Magnitude',
    'brightness_error': 'Its error',
    'limit': 'Limit',
    'unit': 'Unit',
    'bandpass': 'Band',
    'exposure_time': 'Exposure time (s)',
    'telescope': 'Telescope',
    'instrument': 'Instrument',
    'source_name': 'Source',
    'reduction_version': 'Kind of photometry',
    'flux': 'Flux (µJy)',
    'flux_error': 'Error of the flux (µJy)',
}
LONGEST = 200


def summary_of(curve: Curve, counted: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The text beside the plot."""
    shown = curve.shown
    kinds = np.bincount(shown.kind, minlength=5)
    series = [
        {**each, 'last_words': brightness(shown, each['row'], curve.modulus), 'last': _date(each['last'])} for each in counted
    ]
    newest = max((each for each in series if each['last']), key=lambda each: each['row'], default=None)
    return {
        'series': series,
        'number': len(shown),
        'stored': curve.stored,
        'detections': int(kinds[DETECTED]),
        'limits': int(kinds[LIMIT]),
        'bad': int(kinds[BAD]),
        'unsolved': int(kinds[UNSOLVED]),
        'neither': int(len(shown) - kinds[[DETECTED, LIMIT, BAD, UNSOLVED]].sum()),
        'newest': newest,
        'means': curve.means is not None,
        'behind': len(curve.points),
        'removed': curve.stored - len(curve.points),
        'left_out': [(words, number) for words, number in curve.left_out.items() if number],
        'notes': list(curve.notes),
        'dust': '' if curve.dust is None else curve.dust.words(),
        'distance': '' if curve.distance is None else curve.distance.words(),
        'groups': [(group.words, baseline_words(group)) for group in curve.groups],
        'derived': bool(len(shown)) and not bool(shown.measured.all()),
    }


def comments(curve: Curve) -> Iterator[str]:
    """The same for the head of a file: what was left out and why, what could not be judged, each baseline."""
    yield from curve.notes
    for words, number in curve.left_out.items():
        if number:
            yield f'left out: {number} ({words})'
    for group in curve.groups:
        yield f'{group.words}: {baseline_words(group)}'


def baseline_words(group: ReferenceGroup) -> str:
    """The baseline of a group, and of how many epochs it was taken."""
    if not np.isfinite(group.level):
        return f'no baseline: {group.epochs} quiet epochs are too few; {group.points} points'
    return f'{group.level:.2f} DN ({group.microjansky:.3f} µJy), the median of {group.epochs} epochs; {group.points} points'


def _date(mjd: float | None) -> datetime | None:
    return None if mjd is None else instant_of(mjd)


def brightness(points: Points, row: int, modulus: float = 0.0) -> str:
    """A point's magnitude or limit with sensible digits, absolute where the distance modulus is given."""
    if row < 0:
        return ''
    if np.isfinite(points.magnitude[row]):
        return with_error(float(points.magnitude[row]) - modulus, float(points.magnitude_error[row]), least=2, most=3)
    if np.isfinite(points.limit[row]):
        return f'> {points.limit[row] - modulus:.2f}'
    return ''


def with_error(value: float, error: float, *, least: int = 0, most: int = 6) -> str:
    """``17.90 ± 0.05``: as many digits as two of the error say, between the two numbers of decimals."""
    if not np.isfinite(value):
        return ''
    if not (np.isfinite(error) and error > 0):
        return f'{value:.{min(max(2, least), most)}f}'
    digits = int(np.clip(1 - np.floor(np.log10(error)), least, most))
    return f'{value:.{digits}f} ± {error:.{digits}f}'


def fields_of(own: Mapping[str, Any], value: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All fields of one point for people: the host's by their names, then what the source said, by its own."""
    shown = {name: plain(given) for name, given in own.items()}
    found = [(NAMES[name], text) for name, text in shown.items() if text]
    found += [(NAMES[name], plain(value[name])) for name in ('flux', 'flux_error') if name in value]
    return [*found, *_others(value)]


def _others(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, given in value.items():
        if name not in ('flux', 'flux_error', 'flux_unit'):
            yield str(name), plain(given) or 'none'


def plain(given: Any) -> str:
    """A value as a person reads it."""
    if given is None:
        return ''
    if isinstance(given, datetime):
        return given.astimezone(timezone.utc).strftime('%Y-%m-%d %H:%M:%S.%f')[:-3] + ' UTC'
    if isinstance(given, float):
        return f'{given:.8g}'
    text = given if isinstance(given, str) else json.dumps(given)
    return text if len(text) <= LONGEST else f'{text[:LONGEST]}…'
