"""What the stand-in of an observation portal offers, and what a request group must hold; a refusal in the portal's words.

After github.com/observatorycontrolsystem/observation-portal, requestgroups/serializers.py and requestgroups/cadence.py,
read in November 2026: errors are nested as Django REST framework nests them. A window's start may lie in the past, its
end may not; without a start it starts now. Codes and names of instruments are LCO's (developers.lco.global), fewer of them.
Not imitated: what is visible from the sites, checks of modes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from simulators.service import UTC, read_instant

Json: TypeAlias = dict[str, Any]
Window: TypeAlias = tuple[datetime, datetime]

NAME_LENGTH = 50
OVERUSE = 1.1  # a proposal may use so much of its time before a request is refused (settings.py)
REQUIRED = ['This field is required.']
BAD_TIME = ['Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|Z].']
NOT_VISIBLE = 'No visible requests within the windows.'
#: Refusals in other shapes than the serializers', as answers to ``validate`` or ``submit``.
REFUSALS: dict[str, tuple[int, Any]] = {
    'errors-text': (400, {'errors': NOT_VISIBLE}),
    'errors-list': (400, {'errors': [NOT_VISIBLE]}),
    'requests-text': (200, {'errors': {'requests': NOT_VISIBLE}}),
    'requests-list': (200, {'errors': {'requests': [NOT_VISIBLE]}}),
    'requests-nested-text': (200, {'errors': {'requests': [{}, {'windows': NOT_VISIBLE}]}}),
    'errors-text-200': (200, {'errors': NOT_VISIBLE}),
    'errors-list-200': (200, {'errors': [NOT_VISIBLE]}),
    'errors-number': (200, {'errors': {'ipp_value': 2.5}}),
    'detail': (400, {'detail': NOT_VISIBLE}),
    'list': (400, [NOT_VISIBLE]),
    'string': (400, NOT_VISIBLE),
    'null': (400, None),
    'plain-text': (400, 'no visible requests within cadence parameters'),
    'html-400': (400, '<!doctype html><html><body><h1>Bad Request (400)</h1></body></html>'),
    'nothing': (400, ''),
}


def _choices(*pairs: str, schedulable: bool = True) -> list[Json]:
    split = (pair.split('=') for pair in pairs)
    return [{'code': code, 'name': name, 'schedulable': schedulable, 'default': False} for code, name in split]


def _instrument(kind: str, name: str, types: list[Json], elements: Json, **modes: list[Json]) -> Json:
    return {
        'type': kind,
        'class': name[0] + 'm' + name[2],
        'name': name,
        'optical_elements': elements,
        'modes': {key: {'type': key, 'modes': each, 'default': each[0]['code']} for key, each in modes.items()},
        'default_acceptability_threshold': 90.0,
        'configuration_types': {each['code']: each for each in types},
        'default_configuration_type': types[0]['code'],
    }


_IMAGE = _choices('EXPOSE=Exposure', 'REPEAT_EXPOSE=Exposure Sequence')
_SPECTRUM = _choices('SPECTRUM=Spectrum', 'REPEAT_SPECTRUM=Spectrum Sequence', 'ARC=Arc', 'LAMP_FLAT=Lamp Flat')
_FILTERS = _choices('U=Bessell-U', 'B=Bessell-B', 'V=Bessell-V', 'up=SDSS-up', 'gp=SDSS-gp', 'rp=SDSS-rp', 'ip=SDSS-ip')
_BLOCKED = _choices('opaque=Opaque', schedulable=False)
_SLITS = _choices('slit_1.2as=1.2 arcsec slit', 'slit_1.6as=1.6 arcsec slit', 'slit_2.0as=2.0 arcsec slit')
_GUIDING = _choices('ON=On', 'OFF=Off')

INSTRUMENTS: dict[str, Json] = {
    '1M0-SCICAM-SINISTRO': _instrument(
        'IMAGE',
        '1.0 meter Sinistro',
        _IMAGE,
        {'filters': _FILTERS + _BLOCKED},
        guiding=_GUIDING,
        readout=_choices('full_frame=Sinistro Full Frame', 'central_2k_2x2=Sinistro Central 2k 2x2 Binned'),
    ),
    '0M4-SCICAM-SBIG': _instrument(
        'IMAGE',
        '0.4 meter SBIG',
        _IMAGE,
        {'filters': _FILTERS + _BLOCKED},
        guiding=_GUIDING,
        readout=_choices('sbig_default=SBIG Default', 'sbig_1x1=SBIG 1x1'),
    ),
    '2M0-FLOYDS-SCICAM': _instrument(
        'SPECTRA',
        '2.0 meter FLOYDS',
        _SPECTRUM,
        {'slits': _SLITS},
        guiding=_GUIDING,
        readout=_choices('default=Default'),
        acquisition=_choices('WCS=Software WCS', 'BRIGHTEST=Brightest', 'OFF=Off'),
        rotator=_choices('VFLOAT=Parallactic', 'SKY=Slit Position Angle'),
    ),
}


@dataclass
class Proposal:
    """A proposal. ``hours``: what is left in each semester (without one there is no bound); ``members``: None is everybody.

    One that is not ``current`` is shown as such in the profile, and has no time in any semester.
    """

    id: str
    current: bool = True
    hours: dict[str, float] = field(default_factory=dict)
    members: frozenset[str] | None = None

    def admits(self, user: str) -> bool:
        """Whether this user may ask for observations, and sees those of the others."""
        return self.members is None or user in self.members


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a request group is held against."""

    now: datetime
    user: str
    instruments: Mapping[str, Json]
    proposals: Mapping[str, Proposal]
    semesters: Mapping[str, Window]

    def semester(self, start: datetime, end: datetime) -> str | None:
        """The semester that holds a window; without semesters there are no bounds."""
        if not self.semesters:
            return ''
        return next((name for name, (first, last) in self.semesters.items() if first <= start and end <= last), None)


def write_instant(instant: datetime) -> str:
    """An instant as the portal writes it: UTC with a Z."""
    return instant.astimezone(UTC).isoformat().replace('+00:00', 'Z')


def _missing(item: Json, *names: str) -> Json:
    return {name: REQUIRED for name in names if item.get(name) is None}


def _each(items: Any, what: str, check: Callable[[Json], Json]) -> list[Any]:
    """The errors of a list of objects: one entry an object, or nothing when all are well."""
    if not isinstance(items, list) or not items:
        return [f'You must specify at least 1 {what}']
    errors = [check(item) if isinstance(item, dict) else {'non_field_errors': ['Invalid data.']} for item in items]
    return errors if any(errors) else []


def window_errors(window: Json, rules: Rules) -> Json:
    """What is wrong with one window."""
    times: dict[str, datetime] = {'start': rules.now}
    errors: Json = _missing(window, 'end')
    for key in ('start', 'end'):
        if window.get(key) is not None:
            try:
                times[key] = read_instant(str(window[key]))
            except (ValueError, OverflowError):
                errors[key] = BAD_TIME
    if 'end' in times and times['end'] < rules.now:
        errors['end'] = ['Window end time must be in the future']
    if errors:
        return errors
    if times['end'] <= times['start']:
        text = f"Window end '{times['end']}' cannot be earlier than window start '{times['start']}'"
        return {'non_field_errors': [text]}
    if rules.semester(times['start'], times['end']) is None:
        return {'non_field_errors': ['The observation window does not fit within any defined semester.']}
    return {}


def _exposure_errors(instrument: Json, config: Json) -> Json:
    errors: Json = _missing(config, 'exposure_time', 'exposure_count', 'optical_elements')
    texts = []
    for group, code in (config.get('optical_elements') or {}).items():
        known = instrument['optical_elements'].get(f'{group}s')
        if known is None:
            texts.append(f'optical_element of type {group} is not available on {instrument["name"]} instruments')
        elif code not in [item['code'] for item in known if item['schedulable']]:
            texts.append(f'optical element {code} of type {group} is not available')
    return errors or ({'non_field_errors': texts} if texts else {})


def configuration_errors(configuration: Json, instruments: Mapping[str, Json]) -> Json:
    """What is wrong with one configuration."""
    names = ('type', 'instrument_type', 'target', 'constraints', 'instrument_configs')
    errors: Json = _missing(configuration, *names, 'acquisition_config', 'guiding_config')
    if errors:
        return errors
    if configuration['instrument_type'] not in instruments:
        return {'instrument_type': [f'Invalid instrument type {configuration["instrument_type"]}.']}
    instrument = instruments[configuration['instrument_type']]
    if missing := _missing(configuration['target'], 'name', 'type'):
        errors['target'] = missing
    exposures = _each(configuration['instrument_configs'], 'instrument config', lambda c: _exposure_errors(instrument, c))
    if exposures:
        errors['instrument_configs'] = exposures
    if configuration['type'] not in instrument['configuration_types']:
        errors['type'] = [f'configuration type {configuration["type"]} is not valid for {instrument["name"]}']
    return errors


def request_errors(request: Json, rules: Rules) -> Json:
    """``location`` is required; a cadence must have been expanded by ``/cadence/`` before."""
    errors: Json = _missing(request, 'location')
    if request.get('cadence'):
        errors['cadence'] = ['Please use the cadence endpoint to expand your cadence request']
    lists: dict[str, tuple[str, Callable[[Json], Json]]] = {
        'configurations': ('configuration', lambda item: configuration_errors(item, rules.instruments)),
        'windows': ('window', lambda item: window_errors(item, rules)),
    }
    for key, (what, check) in lists.items():
        if found := _each(request.get(key), what, check):
            errors[key] = found
    if not errors and len({rules.semester(*window_of(each, rules.now)) for each in request['windows']}) > 1:
        errors['windows'] = ['The observation windows must all be in the same semester']
    return errors


def group_errors(payload: Json, rules: Rules) -> Json:
    """What is wrong with a request group; empty if it would be accepted."""
    errors: Json = _missing(payload, 'name', 'proposal', 'ipp_value', 'operator', 'observation_type', 'requests')
    name = payload.get('name')
    if name is not None and not str(name).strip():
        errors['name'] = ['Please provide a name.']
    elif len(str(name)) > NAME_LENGTH:
        errors['name'] = [f'Ensure this field has no more than {NAME_LENGTH} characters.']
    if 'proposal' not in errors and payload['proposal'] not in rules.proposals:
        errors['proposal'] = [f'Invalid pk "{payload["proposal"]}" - object does not exist.']
    if 'requests' not in errors:
        found = _each(payload['requests'], 'request', lambda item: request_errors(item, rules))
        errors |= {'requests': found} if found else {}
    text = '' if errors else _whole_group_error(payload, rules)
    return {'non_field_errors': [text]} if text else errors


def _whole_group_error(payload: Json, rules: Rules) -> str:
    proposal = rules.proposals[payload['proposal']]
    if not proposal.admits(rules.user):
        return 'You do not belong to the proposal you are trying to submit'
    single = payload['operator'] == 'SINGLE'
    if single and len(payload['requests']) > 1:
        return "'Single' type requestgroups must have exactly one child request."
    if not single and len(payload['requests']) == 1:
        return f"'{str(payload['operator']).title()}' type requestgroups must have more than one child request."
    if not proposal.current:
        return "You do not have sufficient time allocated on the instrument you're requesting for this proposal."
    durations = [duration_of(request) for request in payload['requests']]
    for request in payload['requests']:
        semester = rules.semester(*window_of(request['windows'][0], rules.now)) or ''
        left = proposal.hours.get(semester)
        if left is None:
            continue
        instrument = request['configurations'][0]['instrument_type']
        if left <= 0:
            place = f'in semester {semester} on {instrument} instruments'
            return f'Proposal {proposal.id} does not have any time left allocated {place}'
        if left * OVERUSE < max(durations) / 3600:  # of several requests the longest counts (get_total_duration_dict)
            return f'Proposal {proposal.id} does not have enough time allocated in semester {semester}'
    return ''


def window_of(window: Json, now: datetime) -> Window:
    """Start and end of a window that was found to be right."""
    return (read_instant(str(window['start'])) if window.get('start') is not None else now), read_instant(str(window['end']))


def duration_of(request: Json) -> float:
    """How many seconds the telescope needs, overheads included: repeats, and every exposure of an expanded pattern."""
    seconds = 0.0
    for each in request['configurations']:
        exposures = sum(float(config['exposure_time']) * int(config['exposure_count']) for config in each['instrument_configs'])
        repeat = each.get('repeat_duration') if str(each['type']).startswith('REPEAT') else None
        seconds += exposures if repeat is None else float(repeat)
    return 90.0 + seconds * int(request.get('configuration_repeats') or 1)


def expand_cadence(cadence: Json) -> Iterator[Window]:
    """The windows of a cadence: ``jitter`` hours long, one each ``period`` hours, cut at its start and end."""
    start, end = read_instant(str(cadence['start'])), read_instant(str(cadence['end']))
    half, middle = timedelta(hours=cadence['jitter'] / 2), start
    while middle < end:
        yield max(middle - half, start), min(middle + half, end)
        middle += timedelta(hours=cadence['period'])


def pattern_errors(payload: Json, subject: str, spacing: str) -> Json:
    """What is wrong with a dither or mosaic pattern; ``subject`` and ``spacing`` are names of required fields."""
    errors = _missing(payload, subject, 'pattern', spacing)
    known = ('line', 'grid', 'spiral') if subject == 'configuration' else ('line', 'grid')
    if 'pattern' not in errors and payload['pattern'] not in known:
        return errors | {'pattern': [f'"{payload["pattern"]}" is not a valid choice.']}
    if not errors:
        errors |= _missing(payload, *(('num_rows', 'num_columns') if payload['pattern'] == 'grid' else ('num_points',)))
    return errors


def expand_dither(payload: Json) -> Json:
    """The configuration with its exposures once at each point of the pattern, offsets in arcseconds."""
    configuration: Json = dict(payload['configuration'])
    configuration['instrument_configs'] = [
        each | {'extra_params': (each.get('extra_params') or {}) | {'offset_ra': round(east, 3), 'offset_dec': round(north, 3)}}
        for east, north in pattern(payload, float(payload['point_spacing']), float(payload.get('line_spacing') or 0))
        for each in configuration['instrument_configs']
    ]
    return configuration


def expand_mosaic(payload: Json) -> Json:
    """The request with its first configuration once at each point of the pattern, a target each.

    Fields of 26 arcmin, whatever the instrument, so that the spacing follows from the overlap.
    """
    first = payload['request']['configurations'][0]
    overlap = float(payload['point_overlap_percent'])
    spacing, lines = (1560 * (1 - each / 100) for each in (overlap, float(payload.get('line_overlap_percent') or overlap)))
    expanded = []
    for east, north in pattern(payload, spacing, lines):
        declination = first['target']['dec'] + north / 3600
        place = {'ra': first['target']['ra'] + east / 3600 / math.cos(math.radians(declination)), 'dec': declination}
        recipe = (first.get('extra_params') or {}) | {'obs_recipe': 'Mosaic'}
        expanded.append(first | {'target': first['target'] | place, 'extra_params': recipe})
    return payload['request'] | {'configurations': expanded}


def pattern(payload: Json, spacing: float, lines: float) -> list[tuple[float, float]]:
    """The points of a pattern as offsets east and north; a line runs along ``orientation``, a grid goes to and fro."""
    kind, turn = payload['pattern'], math.radians(float(payload.get('orientation') or 0))
    if kind == 'spiral':
        turns = [math.sqrt(number) for number in range(int(payload['num_points']))]
        return [(spacing * each * math.sin(2 * math.pi * each), spacing * each * math.cos(2 * math.pi * each)) for each in turns]
    if kind == 'line':
        points = [(0.0, spacing * number) for number in range(int(payload['num_points']))]
    else:
        rows, across = range(int(payload['num_rows'])), range(int(payload['num_columns']))
        points = [
            ((lines or spacing) * column, spacing * row) for column in across for row in (reversed(rows) if column % 2 else rows)
        ]
    middle = [(points[0][axis] + points[-1][axis]) / 2 if kind == 'line' else max(p[axis] for p in points) / 2 for axis in (0, 1)]
    shift = middle if payload.get('center') else [0.0, 0.0]
    moved = [(east - shift[0], north - shift[1]) for east, north in points]
    return [
        (east * math.cos(turn) - north * math.sin(turn), east * math.sin(turn) + north * math.cos(turn)) for east, north in moved
    ]
