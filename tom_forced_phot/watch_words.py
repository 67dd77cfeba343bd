"""What was asked, and how it goes, in words with units. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from tom_forced_phot.dates import instant_of

#: What a service of the tutorial's kind may keep among its parameters, and nobody is to read.
SECRET = re.compile(r'key|token|pass|secret|mail|user|auth|login|credential', re.IGNORECASE)
DATES = {'mjd_min': 'From', 'mjd_max': 'Until'}
LABELS = {
    'reduction': 'Photometry',
    'release': 'Release',
    'radius': 'Search radius',
    'min_detections': 'Detections',
    'tables': 'Tables',
}
REDUCTIONS = {'difference': 'on difference images', 'reduced': 'on reduced images (no template is subtracted)'}
LONGEST = 160


def asked(parameters: Mapping[str, Any], labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """What was asked: name and value for people. ``labels`` are those of the service's own form."""
    found = [(label, date(parameters[key])) for key, label in DATES.items() if parameters.get(key) is not None]
    if not found and 'radius' not in parameters:
        found = [('Dates', 'all that the service measures when no date is given')]
    others = (key for key in parameters if key not in DATES and not SECRET.search(key))
    return found + [(_label(key, labels), text) for key in others if (text := _value(key, parameters[key]))]


def date(mjd: float) -> str:
    """``2026-10-30 00:00 UTC (MJD 61343)``."""
    instant = instant_of(float(mjd)).astimezone(timezone.utc)
    return f'{instant:%Y-%m-%d %H:%M} UTC (MJD {float(mjd):.5f}'.rstrip('0').rstrip('.') + ')'


def _label(key: str, labels: Mapping[str, str]) -> str:
    return LABELS.get(key) or labels.get(key) or key.replace('_', ' ').capitalize()


def _value(key: str, value: Any) -> str:
    if value is None or value == '' or value == [] or isinstance(value, Mapping):
        return ''
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, (list, tuple)):
        return ', '.join(str(each).replace('_', ' ') for each in value)
    return {
        'reduction': lambda: REDUCTIONS.get(str(value), str(value).replace('_', ' ')),
        'radius': lambda: f'{float(value):g} arcsec',
        'release': lambda: str(value).upper(),
        'min_detections': lambda: f'at least {value}',
    }.get(key, lambda: str(value))()


def position(ra: float | None, dec: float | None, name: str) -> str:
    """Where it looked."""
    if ra is None or dec is None:
        return f'{name}, by its name at the Minor Planet Center'
    return f'RA {ra:.5f}°, Dec {dec:+.5f}°'


def shortened(text: str, longest: int = LONGEST) -> str:
    """At the end of a word."""
    return text if len(text) <= longest else f'{text[:longest].rpartition(" ")[0].rstrip(",;:")} …'


def ahead(number: int | None, most: int) -> str:
    """How many go out before it."""
    if number is None:
        return f'More than {most:,} are sent before it'
    return 'Next to be sent' if number == 0 else f'{number:,} {"is" if number == 1 else "are"} sent before it'


def progress(ended: int, failed: int, number: int) -> str:
    """``3 of 25 done, 1 failed``: what a screen reader says."""
    return f'{ended:,} of {number:,} done' + (f', {failed:,} failed' if failed else '')


def took(asked_at: datetime, closed: datetime) -> float:
    """Seconds from the question to the end."""
    return max(0.0, (closed - asked_at).total_seconds())
