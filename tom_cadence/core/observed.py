"""What is observed, in a few words: with what, in which light, how often and how long.

From the payload where it was kept when the observation was sent; else from the parameters, by the names that the forms of
the toolkit's facilities give their fields; a form of which no field is known is told in its own words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.exposure import SENT_WORDS
from tom_cadence.core.template_fields import parameter_lines

LONGEST, MOST_WORDS = 160, 4
_ELEMENT = re.compile(r'c_(?P<configuration>\d+)_ic_(?P<part>\d+)_(?P<name>filter|slit|grating|grism|fiber_?\w*|element)\Z')
_INSTRUMENTS = ('instrument_type', 'instrument', 'camera', 'detector')
_ELEMENTS = ('filter', 'filters', 'slit', 'grating', 'grism', 'band')
Exposure = tuple[str, float | None]
"""An optical element (or nothing) and seconds."""


def what_is_observed(parameters: Any) -> str:
    """An observation in words, empty where nothing is known of it."""
    given = parameters if isinstance(parameters, Mapping) else {}
    kept = given.get(SENT_WORDS)
    if isinstance(kept, str) and kept:
        return bounded_text(kept, LONGEST)
    found = _of_configurations(given) or _of_lists(given) or _of_plain(given)
    own = [f'{name.lower()} {value}' for name, value in parameter_lines(given) if name.lower() != 'name']
    return bounded_text(found or ', '.join(own[:MOST_WORDS]), LONGEST)


def what_was_sent(payload: Any) -> str:
    """A request group of the OCS family in words, as the first of its requests says; empty for any other payload."""
    try:
        configurations = payload['requests'][0]['configurations']
        by_instrument: dict[str, Counter[Exposure]] = {}
        for configuration in configurations:
            counted = by_instrument.setdefault(str(configuration['instrument_type']), Counter())
            for part in configuration['instrument_configs']:
                counted.update(_parts_of_payload(part))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return ''
    return '; '.join(_line(instrument, counted.items()) for instrument, counted in by_instrument.items())


def _parts_of_payload(part: Mapping[str, Any]) -> dict[Exposure, int]:
    """Exposures of one instrument configuration, each with its number; the channels of a camera by their own times."""
    number = int(part.get('exposure_count') or 1)
    elements = ', '.join(str(value) for value in (part.get('optical_elements') or {}).values() if value)
    extra = part.get('extra_params') or {}
    channels = {name.rpartition('_')[2]: _seconds(extra[name]) for name in sorted(extra) if name.startswith('exposure_time_')}
    if channels:
        return dict.fromkeys(channels.items(), number)
    return {(elements, _seconds(part.get('exposure_time'))): number}


def _of_configurations(given: Mapping[str, Any]) -> str:
    """Of the fields ``c_1_instrument_type``, ``c_1_ic_1_filter``, ``c_1_ic_1_exposure_time`` ... of the OCS family."""
    lines: dict[str, Counter[Exposure]] = {}
    for key, value in given.items():
        found = re.fullmatch(r'c_(\d+)_ic_(\d+)_exposure_time(?:_([griz]))?', str(key))
        seconds = _seconds(value) if found else None
        if found is None or not seconds:
            continue
        configuration, part, channel = found.groups()
        prefix = f'c_{configuration}_ic_{part}_'
        elements = [
            str(value) for name, value in given.items() if str(name).startswith(prefix) and _ELEMENT.match(str(name)) and value
        ]
        instrument = str(given.get(f'c_{configuration}_instrument_type') or '')
        number = _whole(given.get(f'c_{configuration}_ic_{part}_exposure_count'))
        lines.setdefault(instrument, Counter())[(channel or ', '.join(elements), seconds)] += number
    return '; '.join(_line(instrument, counted.items()) for instrument, counted in lines.items())


def _of_lists(given: Mapping[str, Any]) -> str:
    """Of LCO's photometric sequences: [time, count, block] a filter."""
    parts = [
        ((str(key), seconds), _whole(value[1]))
        for key, value in given.items()
        if isinstance(value, (list, tuple)) and len(value) == 3 and (seconds := _seconds(value[0]))
    ]
    return _line(_first(given, _INSTRUMENTS), parts) if parts else ''


def _of_plain(given: Mapping[str, Any]) -> str:
    seconds = _seconds(given.get('exposure_time'))
    element, instrument = _first(given, _ELEMENTS), _first(given, _INSTRUMENTS)
    if seconds is None and not element and not instrument:
        return ''
    return _line(instrument, [((element, seconds), _whole(given.get('exposure_count')))])


def _line(instrument: str, parts: Iterable[tuple[Exposure, int]]) -> str:
    exposures = ', '.join(_exposures(parts))
    return f'{instrument}: {exposures}' if instrument and exposures else instrument or exposures


def _exposures(parts: Iterable[tuple[Exposure, int]]) -> Iterator[str]:
    for (element, seconds), number in parts:
        time = '' if seconds is None else f'{number} x {seconds:g} s' if number > 1 else f'{seconds:g} s'
        text = ' '.join(part for part in (element, time) if part)
        if text:
            yield text


def _first(given: Mapping[str, Any], names: Iterable[str]) -> str:
    for name in names:
        value = given.get(name)
        if isinstance(value, (list, tuple)) and value:
            return ', '.join(map(str, value))
        if isinstance(value, str) and value:
            return value
    return ''


def _seconds(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < float('inf') else None


def _whole(value: Any) -> int:
    try:
        return max(1, min(int(float(value)), 10_000))
    except (TypeError, ValueError, OverflowError):
        return 1
