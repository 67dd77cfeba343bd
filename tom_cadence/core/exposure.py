"""What an observation is observed with, and for how long: from its stored parameters, or from what was really sent.

The forms of the OCS family say less than what the portal does: patterns, repeats and several configurations multiply what
one field says (``tom_observations/facilities/ocs.py`` 1100-1370 and ``lco.py`` 655-690 of tomtoolkit 3.1.0).

In words: of the payload where it was kept when the observation was sent; else of the parameters, by the names that the forms of the
toolkit's facilities give their fields; a form of which no field is known is told in its own words.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.template_fields import parameter_lines

#: What was really sent, as counted from the payload; kept with the record's parameters.
SENT = 'exposure_seconds_sent'
#: The same in words, as ``what_was_sent`` reads the payload.
SENT_WORDS = 'observed_with_sent'
_CONFIGURATION = re.compile(r'c_(?P<configuration>\d+)_ic_(?P<part>\d+)_exposure_time(?:_[griz])?\Z')
_MOST_POINTS = 10_000


def exposure_seconds(parameters: Mapping[str, Any]) -> float | None:
    """Seconds of exposure in all; None where nothing can be read.

    Reads what was sent where that was counted. Else ``exposure_time``/``exposure_count``, the ``c_1_ic_1_…`` fields of the
    OCS forms with their dither and mosaic patterns and repeats, the channels of one camera as one time (the longest), and
    the lists [time, count, block] that the LCO photometric sequence form stores per filter.
    """
    sent = _number(parameters.get(SENT))
    if sent is not None:
        return sent
    plain = _product(parameters.get('exposure_time'), parameters.get('exposure_count'))
    lists = [_times(value[0], value[1]) for value in parameters.values() if isinstance(value, (list, tuple)) and len(value) == 3]
    configurations = _configurations(parameters)
    known = [part for part in (plain, *lists, *configurations) if part is not None]
    if not known:
        return None
    points = _points(parameters) if len(configurations) <= 1 else 1.0
    return sum(known) * (_number(parameters.get('configuration_repeats')) or 1) * points


def in_words(seconds: float) -> str:
    """A length of exposure as people say it: ``90 s``, ``12 min``, ``3.5 h``."""
    if seconds < 300:
        return f'{seconds:.4g} s'
    return f'{seconds / 60:.3g} min' if seconds < 5400 else f'{seconds / 3600:.3g} h'


def before_sending(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an observation that is to be sent anew: what the one before took is not what this one takes."""
    return {key: value for key, value in parameters.items() if key not in (SENT, SENT_WORDS)}


def exposure_of_payload(payload: Any) -> float | None:
    """Seconds of exposure of one request of an OCS request group, its patterns expanded; None for any other payload.

    A group of several requests has several records of one kind each, so that the longest is what a record asks for.
    """
    requests = payload.get('requests') if isinstance(payload, Mapping) else None
    if not isinstance(requests, (list, tuple)) or not requests:
        return None
    found = [_of_request(request) for request in requests]
    known = [seconds for seconds in found if seconds is not None]
    return max(known) if len(known) == len(found) else None


def _of_request(request: Any) -> float | None:
    try:
        seconds = [_of_configuration(configuration) for configuration in request['configurations']]
        return sum(seconds) * (_number(request.get('configuration_repeats')) or 1)
    except (AttributeError, KeyError, TypeError):
        return None


def _of_configuration(configuration: Mapping[str, Any]) -> float:
    parts = [_product(part['exposure_time'], part.get('exposure_count')) for part in configuration['instrument_configs']]
    if None in parts:
        raise TypeError('an exposure without a time')
    once = sum(part for part in parts if part is not None)
    return max(once, _number(configuration.get('repeat_duration')) or 0)


def _configurations(parameters: Mapping[Any, Any]) -> list[float | None]:
    """Seconds of each configuration that has a time; a sequence goes on for as long as it is to be repeated."""
    longest: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, value in parameters.items():
        match = _CONFIGURATION.match(str(key))
        time = _number(value) if match else None
        if match and time:
            parts = longest[match['configuration']]
            parts[match['part']] = max(time, parts.get(match['part'], 0.0))
    found: list[float | None] = []
    for configuration, parts in longest.items():
        once = 0.0
        for part, time in parts.items():
            count = _number(parameters.get(f'c_{configuration}_ic_{part}_exposure_count'))
            once += time if count is None else time * count
        found.append(max(once, _number(parameters.get(f'c_{configuration}_repeat_duration')) or 0))
    return found


def _points(parameters: Mapping[str, Any]) -> float:
    """How often a pattern repeats one configuration. The portal is asked for a dither only where its spacing is given."""
    dither = _pattern(parameters, 'dither') if _number(parameters.get('dither_point_spacing')) else 1.0
    return dither * _pattern(parameters, 'mosaic')


def _pattern(parameters: Mapping[str, Any], name: str) -> float:
    kind = parameters.get(f'{name}_pattern')
    if kind == 'grid':
        points = (_number(parameters.get(f'{name}_num_rows')) or 1) * (_number(parameters.get(f'{name}_num_columns')) or 1)
    elif kind in ('line', 'spiral'):
        points = _number(parameters.get(f'{name}_num_points')) or 1
    else:
        return 1.0
    return min(max(points, 1.0), _MOST_POINTS)


def _product(time: Any, count: Any) -> float | None:
    return _times(time, 1 if count in (None, '') else count)


def _times(time: Any, count: Any) -> float | None:
    seconds, number = _number(time), _number(count)
    return None if seconds is None or number is None else seconds * number


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


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
