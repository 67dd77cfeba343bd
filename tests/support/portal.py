"""A stand-in of an OCS/LCO observation portal, over real HTTP on 127.0.0.1. It shares no code with any client.

Where each behaviour comes from (github.com/observatorycontrolsystem/observation-portal, read in November 2026):

- routes, the verbs of a request group, what ``validate`` and ``cadence`` answer: requestgroups/viewsets.py,
  requestgroups/cadence.py, and the examples in common/doc_examples.py;
- what a request group must hold, and the words of a refusal (HTTP 400, nested as Django REST framework nests them):
  requestgroups/serializers.py. A window's start may lie in the past, its end may not; without a start it starts now;
- the list's filters: requestgroups/filters.py (``name`` contains, ignoring case; ``created_after`` is >=,
  ``created_before`` <=, ``modified_after`` >= of any of its requests; a value that cannot be read is a 400). Newest
  first, LimitOffsetPagination with 10 a page, times without an offset are UTC: settings.py;
- states: common/state_changes.py (a group can be cancelled only while PENDING) and, for what may still happen to a
  finished request, the last section of demand-and-defects.md (terminal is not final);
- ``/api/instruments/``: requestgroups/views.py; codes and names are LCO's (developers.lco.global), fewer of them;
- 403 for a wrong or missing token, never 401, and 404 for anything unknown: tried against a real portal (4.18.10).
  There is no idempotency key: the same POST twice makes two request groups.

Not imitated: visibility from the sites, checks of modes, time allocations, throttling, semesters, other users.
"""

from __future__ import annotations

import copy
import json
import re
import socket
import struct
import sys
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

Json: TypeAlias = dict[str, Any]
Query: TypeAlias = dict[str, list[str]]
Window: TypeAlias = tuple[datetime, datetime]

PAGE_SIZE = 10
NAME_LENGTH = 50
STATES = ('PENDING', 'COMPLETED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'CANCELED')
#: What becomes of a request's scheduled observations when the request ends in this state.
BLOCK_STATES = {'WINDOW_EXPIRED': 'NOT_ATTEMPTED', 'FAILURE_LIMIT_REACHED': 'FAILED', 'CANCELED': 'CANCELED'}
#: What :meth:`Portal.fail` takes. "after": the portal did what was asked, only its answer is lost.
FAULTS = ('403', '503', '500-before', 'reset-before', '500-after', 'reset-after', 'malformed-after', 'hang-after')
VERBS = {
    'profile': ('GET', r'/api/profile'),
    'instruments': ('GET', r'/api/instruments'),
    'list': ('GET', r'/api/requestgroups'),
    'submit': ('POST', r'/api/requestgroups'),
    'validate': ('POST', r'/api/requestgroups/validate'),
    'cadence': ('POST', r'/api/requestgroups/cadence'),
    'group': ('GET', r'/api/requestgroups/(\d+)'),
    'cancel': ('POST', r'/api/requestgroups/(\d+)/cancel'),
    'request': ('GET', r'/api/requests/(\d+)'),
    'observations': ('GET', r'/api/requests/(\d+)/observations'),
}
REQUIRED = ['This field is required.']
BAD_TIME = ['Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|Z].']


# --- what can be observed with -------------------------------------------------------------------------------------


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


# --- what a request group must hold (errors as Django REST framework writes them) ----------------------------------


def read_time(value: object) -> datetime:
    """An instant as the portal reads it: UTC unless the text says otherwise. ValueError if it is none."""
    instant = datetime.fromisoformat(str(value).replace('Z', '+00:00'))
    return instant.replace(tzinfo=timezone.utc) if instant.tzinfo is None else instant.astimezone(timezone.utc)


def write_time(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).isoformat().replace('+00:00', 'Z')


def _missing(item: Json, *names: str) -> Json:
    return {name: REQUIRED for name in names if item.get(name) is None}


def _each(items: Any, what: str, check: Callable[[Json], Json]) -> list[Any]:
    """The errors of a list of objects: one entry an object, or nothing when all are well."""
    if not isinstance(items, list) or not items:
        return [f'You must specify at least 1 {what}']
    errors = [check(item) if isinstance(item, dict) else {'non_field_errors': ['Invalid data.']} for item in items]
    return errors if any(errors) else []


def window_errors(window: Json, now: datetime) -> Json:
    times: dict[str, datetime] = {'start': now}
    errors: Json = _missing(window, 'end')
    for key in ('start', 'end'):
        if window.get(key) is not None:
            try:
                times[key] = read_time(window[key])
            except ValueError:
                errors[key] = BAD_TIME
    if 'end' in times and times['end'] < now:
        errors['end'] = ['Window end time must be in the future']
    if not errors and times['end'] <= times['start']:
        text = f"Window end '{times['end']}' cannot be earlier than window start '{times['start']}'"
        return {'non_field_errors': [text]}
    return errors


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


def configuration_errors(configuration: Json, instruments: dict[str, Json]) -> Json:
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


def request_errors(request: Json, now: datetime, instruments: dict[str, Json]) -> Json:
    """``location`` is required; a cadence must have been expanded by ``/cadence/`` before."""
    errors: Json = _missing(request, 'location')
    if request.get('cadence'):
        errors['cadence'] = ['Please use the cadence endpoint to expand your cadence request']
    lists = {
        'configurations': ('configuration', lambda item: configuration_errors(item, instruments)),
        'windows': ('window', lambda item: window_errors(item, now)),
    }
    for key, (what, check) in lists.items():
        if found := _each(request.get(key), what, check):
            errors[key] = found
    return errors


def group_errors(payload: Json, now: datetime, instruments: dict[str, Json], proposals: Iterable[str]) -> Json:
    errors: Json = _missing(payload, 'name', 'proposal', 'ipp_value', 'operator', 'observation_type', 'requests')
    name = payload.get('name')
    if name is not None and not str(name).strip():
        errors['name'] = ['Please provide a name.']
    elif len(str(name)) > NAME_LENGTH:
        errors['name'] = [f'Ensure this field has no more than {NAME_LENGTH} characters.']
    if 'proposal' not in errors and payload['proposal'] not in proposals:
        errors['proposal'] = [f'Invalid pk "{payload["proposal"]}" - object does not exist.']
    if 'requests' not in errors:
        found = _each(payload['requests'], 'request', lambda item: request_errors(item, now, instruments))
        errors |= {'requests': found} if found else {}
    if not errors and payload['operator'] == 'SINGLE' and len(payload['requests']) > 1:
        return {'non_field_errors': ["'Single' type requestgroups must have exactly one child request."]}
    return errors


def duration_of(request: Json) -> float:
    configs = [config for each in request['configurations'] for config in each['instrument_configs']]
    return 90.0 + sum(float(config['exposure_time']) * int(config['exposure_count']) for config in configs)


# --- the portal -----------------------------------------------------------------------------------------------------


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


@dataclass(frozen=True)
class Submission:
    """A request group that the portal accepted, as it arrived. ``windows`` are those of all its requests, in order."""

    group_id: int
    request_ids: tuple[int, ...]
    name: str
    created: datetime
    windows: tuple[Window, ...]
    payload: Json


class Portal:
    """``with Portal() as portal: ... portal.url ...``; everything below may be read and changed while it serves.

    ``submissions``: the accepted request groups; ``counts``: requests by verb (see VERBS), refused and failed ones too;
    ``asked``: each request's verb and query, in order;
    ``clock``: an aware datetime or a callable returning one; ``instruments``: what it offers (see :meth:`offer`).
    """

    def __init__(
        self,
        token: str = 'portal-token',
        proposals: Iterable[str] = ('TOM2026B-001',),
        clock: datetime | Callable[[], datetime] | None = None,
    ) -> None:
        self.token = token
        self.proposals = tuple(proposals)
        self.clock = clock
        self.instruments = dict(INSTRUMENTS)
        self.submissions: list[Submission] = []
        self.counts: Counter[str] = Counter()
        self.faults: defaultdict[str, deque[str]] = defaultdict(deque)
        self.replies: defaultdict[str, deque[tuple[int, Any, Json]]] = defaultdict(deque)
        self.asked: list[tuple[str, Query]] = []
        self.lock = threading.RLock()
        self.released = threading.Event()
        self._groups: dict[int, Json] = {}
        self._blocks: dict[int, list[Json]] = {}
        self._server = _Server(('127.0.0.1', 0), _Handler)
        self._server.portal = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name='portal', daemon=True)

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self._server.server_address[1]}'

    def __enter__(self) -> Portal:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # what a test does to it

    def now(self) -> datetime:
        now = self.clock() if callable(self.clock) else self.clock
        return (now or datetime.now(timezone.utc)).astimezone(timezone.utc)

    def offer(self, *codes: str) -> None:
        """Offer these instruments only. The OCS form sends every kind of optical element there is at the portal with
        every instrument, so that one works only where all instruments have the same kinds."""
        self.instruments = {code: INSTRUMENTS[code] for code in codes}

    def fail(self, verb: str, *faults: str) -> None:
        """Queue faults for the next requests of that verb, one each."""
        if verb not in VERBS or not set(faults) <= set(FAULTS):
            raise ValueError(f'unknown verb or fault: {verb} {faults}')
        self.faults[verb].extend(faults)

    def reply(self, verb: str, status: int, body: Any, headers: Json | None = None, times: int = 1) -> None:
        """Answer the next requests of that verb with this, and do nothing else."""
        if verb not in VERBS:
            raise ValueError(f'unknown verb: {verb}')
        self.replies[verb].extend([(status, body, headers or {})] * times)

    def request_ids(self) -> list[int]:
        return sorted(self._blocks)

    def state(self, request_id: int | str) -> str:
        return str(self._request(int(request_id))['state'])

    def set_state(self, request_id: int | str, state: str, observed: Window | None = None) -> None:
        """Move a request to any state from any state. COMPLETED comes with an observation, by default as soon as its
        window opened; back to PENDING (bad data) takes that observation's success away."""
        if state not in STATES:
            raise ValueError(f'unknown state {state}')
        with self.lock:
            request = self._request(int(request_id))
            request['state'], request['modified'] = state, write_time(self.now())
            blocks = self._blocks[request['id']]
            for block in blocks:
                if block['state'] in ('PENDING', 'COMPLETED'):
                    block['state'] = BLOCK_STATES.get(state, 'FAILED')
            if state == 'COMPLETED':
                start = read_time(request['windows'][0]['start'])
                span = observed or (start, start + timedelta(seconds=request['duration']))
                blocks.append(self._block(request, 'COMPLETED', span))
            self._aggregate(self._group_of(request['id']))

    def settle_all(self, state: str) -> list[int]:
        """Move every PENDING request to that state; their ids."""
        with self.lock:
            pending = [pk for pk in self.request_ids() if self.state(pk) == 'PENDING']
            for pk in pending:
                self.set_state(pk, state)
        return pending

    def schedule(self, request_id: int | str, start: datetime, end: datetime) -> None:
        """Put a PENDING observation of the request into the telescope's schedule."""
        with self.lock:
            request = self._request(int(request_id))
            self._blocks[request['id']].append(self._block(request, 'PENDING', (start, end)))

    # its memory

    def _block(self, request: Json, state: str, span: Window) -> Json:
        number = 1 + sum(map(len, self._blocks.values()))
        place = {'site': 'lsc', 'enclosure': 'doma', 'telescope': '1m0a', 'priority': 10, 'configuration_statuses': []}
        times = {'start': write_time(span[0]), 'end': write_time(span[1]), 'created': write_time(self.now())}
        return {'id': 9000 + number, 'request': request['id'], 'state': state} | times | place

    def _group_of(self, request_id: int) -> Json:
        for group in self._groups.values():
            if request_id in [request['id'] for request in group['requests']]:
                return group
        raise Refusal(404, {'detail': 'Not found.'})

    def _request(self, request_id: int) -> Json:
        requests: list[Json] = self._group_of(request_id)['requests']
        return next(request for request in requests if request['id'] == request_id)

    @staticmethod
    def _aggregate(group: Json) -> None:
        states = {request['state'] for request in group['requests']}
        many = ('PENDING', 'COMPLETED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'CANCELED')
        single = ('WINDOW_EXPIRED', 'PENDING', 'COMPLETED', 'FAILURE_LIMIT_REACHED', 'CANCELED')
        group['state'] = next(state for state in (many if group['operator'] == 'MANY' else single) if state in states)

    # what it answers

    def handle(self, verb: str, args: tuple[str, ...], query: Query, body: bytes) -> tuple[int, Any]:
        with self.lock:
            try:
                if verb == 'list':
                    return 200, self._list(query)
                if VERBS[verb][0] == 'POST' and not args:
                    answer: tuple[int, Any] = getattr(self, f'_{verb}')(_read(body))
                    return answer
                return 200, copy.deepcopy(getattr(self, f'_{verb}')(*map(int, args)))
            except Refusal as refusal:
                return refusal.status, refusal.body

    def _check(self, payload: Json) -> Json:
        return group_errors(payload, self.now(), self.instruments, self.proposals)

    def _profile(self) -> Json:
        proposals = [{'id': pk, 'title': f'Proposal {pk}', 'current': True} for pk in self.proposals]
        return {'username': 'observer', 'proposals': [*proposals, {'id': 'OLD', 'title': 'Over', 'current': False}]}

    def _instruments(self) -> Json:
        return self.instruments

    def _submit(self, payload: Json) -> tuple[int, Json]:
        if errors := self._check(payload):
            raise Refusal(400, errors)
        now = self.now()
        group, windows = copy.deepcopy(payload), []
        stamps = {'state': 'PENDING', 'created': write_time(now), 'modified': write_time(now)}
        group |= {'id': 500 + len(self._groups), 'submitter': 'observer'} | stamps
        for number, request in enumerate(group['requests'], start=70000 + len(self._blocks)):
            request |= {'id': number, 'duration': duration_of(request), 'acceptability_threshold': 90.0} | stamps
            for window in request['windows']:
                span = (read_time(window.get('start') or write_time(now)), read_time(window['end']))
                window |= {'start': write_time(span[0]), 'end': write_time(span[1])}
                windows.append(span)
        ids = tuple(request['id'] for request in group['requests'])
        self._groups[group['id']] = group
        self._blocks |= {pk: [] for pk in ids}
        self.submissions.append(Submission(group['id'], ids, group['name'], now, tuple(windows), payload))
        return 201, copy.deepcopy(group)

    def _validate(self, payload: Json) -> tuple[int, Json]:
        if errors := self._check(payload):
            return 200, {'request_durations': {}, 'errors': errors}
        requests = [{'duration': duration_of(each), 'largest_interval': 36000.0} for each in payload['requests']]
        durations = {'requests': requests, 'duration': sum(each['duration'] for each in requests)}
        return 200, {'request_durations': durations, 'errors': {}}

    def _cadence(self, payload: Json) -> tuple[int, Json]:
        template = dict(payload['requests'][0])
        cadence = template.pop('cadence', None) or {}
        if errors := _missing(cadence, 'start', 'period', 'jitter') or window_errors(cadence, self.now()):
            raise Refusal(400, {'requests': [{'cadence': errors}]})
        spans = [span for span in expand(cadence) if span[1] > self.now()]
        if not spans:
            raise Refusal(400, {'errors': 'No visible requests within cadence window parameters'})
        windows = [{'start': write_time(start), 'end': write_time(end)} for start, end in spans]
        expanded = payload | {'requests': [template | {'windows': [window]} for window in windows]}
        expanded |= {'operator': 'MANY'} if len(windows) > 1 else {}
        if errors := self._check(expanded):
            raise Refusal(400, errors)
        return 200, expanded

    def _list(self, query: Query) -> Json:
        found = [group for group in reversed(self._groups.values()) if matches(group, query)]
        given = {key: int(query[key][0]) for key in ('limit', 'offset') if query.get(key, [''])[0].isdigit()}
        limit, offset = given.get('limit') or PAGE_SIZE, given.get('offset', 0)

        def page(wanted: bool, there: int) -> str | None:
            asked = query | {'limit': [str(limit)], 'offset': [str(max(there, 0))]}
            return f'{self.url}/api/requestgroups/?{urlencode(asked, doseq=True)}' if wanted else None

        links = {
            'next': page(offset + limit < len(found), offset + limit),
            'previous': page(offset > 0, offset - limit),
        }
        return {'count': len(found)} | links | {'results': copy.deepcopy(found[offset : offset + limit])}

    def _group(self, group_id: int) -> Json:
        if group_id not in self._groups:
            raise Refusal(404, {'detail': 'Not found.'})
        return self._groups[group_id]

    def _cancel(self, group_id: int) -> Json:
        group = self._group(group_id)
        if group['state'] not in ('PENDING', 'CANCELED'):
            text = f'Cannot transition from request state {group["state"]} to CANCELED for {group["name"]}'
            raise Refusal(400, {'errors': [text]})
        for request in group['requests']:
            if request['state'] == 'PENDING':
                self.set_state(request['id'], 'CANCELED')
        group['state'] = 'CANCELED'
        return group

    def _observations(self, request_id: int) -> list[Json]:
        return self._blocks[self._request(request_id)['id']]


def _read(body: bytes) -> Json:
    def refuse(constant: str) -> None:
        raise ValueError(f'Out of range float values are not JSON compliant: {constant}')

    try:
        payload = json.loads(body, parse_constant=refuse)
    except ValueError as error:
        raise Refusal(400, {'detail': f'JSON parse error - {error}'}) from error
    if not isinstance(payload, dict):
        raise Refusal(400, {'non_field_errors': ['Invalid data. Expected a dictionary.']})
    return payload


def expand(cadence: Json) -> Iterator[Window]:
    """The windows of a cadence: ``jitter`` hours long, one each ``period`` hours, cut at its start and end."""
    start, end = read_time(cadence['start']), read_time(cadence['end'])
    half, middle = timedelta(hours=cadence['jitter'] / 2), start
    while middle < end:
        yield max(middle - half, start), min(middle + half, end)
        middle += timedelta(hours=cadence['period'])


def matches(group: Json, query: Query) -> bool:
    """Whether the list's filters keep a request group. Unknown filters are ignored, as the portal does."""
    given = {key: values[0] for key, values in query.items() if values[0]}
    try:
        after, before = (read_time(given[key]) if key in given else None for key in ('created_after', 'created_before'))
        modified_after = read_time(given['modified_after']) if 'modified_after' in given else None
        wanted = int(given['request_id']) if 'request_id' in given else None
    except ValueError as error:
        raise Refusal(400, {'created_after': ['Enter a valid date/time.'], 'request_id': ['Enter a number.']}) from error
    created = read_time(group['created'])
    return (
        given.get('name', '').lower() in group['name'].lower()
        and (after is None or created >= after)
        and (before is None or created <= before)
        and (modified_after is None or any(read_time(request['modified']) >= modified_after for request in group['requests']))
        and ('state' not in given or group['state'] in query['state'])
        and (wanted is None or wanted in [request['id'] for request in group['requests']])
    )


def _route(method: str, path: str) -> tuple[str, tuple[str, ...]]:
    """The verb of a request, and the number in its path. With or without the slash at the end."""
    for verb, (known, pattern) in VERBS.items():
        if known == method and (found := re.fullmatch(pattern, path.rstrip('/'))):
            return verb, found.groups()
    return '', ()


# --- HTTP -----------------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    portal: Portal

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or was sent away, is nothing to report."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        portal, parts = self.server.portal, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        verb, args = _route(self.command, parts.path)
        if not verb:
            return self._reply(404, {'detail': 'Not found.'})
        with portal.lock:
            portal.counts[verb] += 1
            portal.asked.append((verb, parse_qs(parts.query)))
            fault = portal.faults[verb].popleft() if portal.faults[verb] else ''
            reply = portal.replies[verb].popleft() if portal.replies[verb] else None
        if fault == '403' or self.headers.get('Authorization') != f'Token {portal.token}':
            return self._reply(403, {'detail': 'Invalid token.'})
        if reply is not None:
            return self._reply(*reply)
        if fault == 'reset-before':
            self._reset()
        if fault in ('503', '500-before'):
            return self._reply(int(fault[:3]), '<h1>Server Error</h1>')
        self._answer(fault, *portal.handle(verb, args, parse_qs(parts.query), body))

    def _answer(self, fault: str, status: int, body: Any) -> None:
        if fault == 'hang-after':
            self.server.portal.released.wait()
        elif fault == 'reset-after':
            self._reset()
        elif fault == '500-after':
            self._reply(500, '<h1>Server Error</h1>')
        else:
            self._reply(status, json.dumps(body)[:40] if fault == 'malformed-after' else body)

    def _reply(self, status: int, body: Any, headers: Json | None = None) -> None:
        """A string goes out as it is."""
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'text/html' if isinstance(body, str) else 'application/json')
        self.send_header('Content-Length', str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def _reset(self) -> None:
        """Break the connection so that the client gets a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        for stream in (self.rfile, self.wfile, self.connection):
            stream.close()
        raise ConnectionResetError

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""
