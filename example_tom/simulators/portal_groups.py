"""The request groups that a stand-in of an observation portal has accepted: their states, the list's filters, and doubles."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from simulators.accounts import Refused
from simulators.portal_requests import Json, Window, window_of
from simulators.service import Request, as_json, read_instant

USER = 'observer'
PAGE_SIZE = 10
STATES = ('PENDING', 'COMPLETED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'CANCELED')
#: What becomes of a request's scheduled observations when the request ends in this state.
BLOCK_STATES = {'WINDOW_EXPIRED': 'NOT_ATTEMPTED', 'FAILURE_LIMIT_REACHED': 'FAILED', 'CANCELED': 'CANCELED'}


@dataclass(frozen=True)
class PortalSubmission:
    """A request group that the portal accepted, as it arrived. ``windows`` are those of all its requests, in order.

    ``lost`` is the fault that took the reply.
    """

    group_id: int
    request_ids: tuple[int, ...]
    name: str
    created: datetime
    windows: tuple[Window, ...]
    payload: Json
    user: str = USER
    lost: str = ''


def aggregate(group: Json) -> None:
    """Give a group the state that follows from its requests'."""
    states = {request['state'] for request in group['requests']}
    many = ('PENDING', 'COMPLETED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'CANCELED')
    single = ('WINDOW_EXPIRED', 'PENDING', 'COMPLETED', 'FAILURE_LIMIT_REACHED', 'CANCELED')
    group['state'] = next(state for state in (many if group['operator'] == 'MANY' else single) if state in states)


def list_filter(request: Request) -> Callable[[Json], bool]:
    """Which request groups the query keeps, after requestgroups/filters.py; Refused (400) if a value cannot be read."""
    errors: Json = {}
    times: dict[str, datetime] = {}
    for name in ('created_after', 'created_before', 'modified_after', 'modified_before'):
        try:
            times |= {name: read_instant(request.get(name))} if request.get(name) else {}
        except ValueError:
            errors[name] = ['Enter a valid date/time.']
    for name in ('state', 'exclude_state'):
        wrong = [each for each in request.query.get(name, []) if each and each not in STATES]
        if wrong:
            errors[name] = [f'Select a valid choice. {wrong[0]} is not one of the available choices.']
    if request.get('request_id') and not request.get('request_id').isdigit():
        errors['request_id'] = ['Enter a number.']
    if errors:
        raise Refused(as_json(400, errors))

    def within(name: str, instants: Iterable[str]) -> bool:
        first, last = (times.get(f'{name}_{side}') for side in ('after', 'before'))
        if first is None and last is None:
            return True
        read = [datetime.fromisoformat(each.replace('Z', '+00:00')) for each in instants]
        fits_first = first is None or any(each >= first for each in read)
        return fits_first and (last is None or any(each <= last for each in read))

    def keeps(group: Json) -> bool:
        return (
            request.get('name').lower() in group['name'].lower()
            and request.get('user').lower() in group['submitter'].lower()
            and request.get('proposal') in ('', group['proposal'])
            and (not request.get('state') or group['state'] in request.query['state'])
            and group['state'] not in request.query.get('exclude_state', [])
            and request.get('request_id') in ('', *(str(each['id']) for each in group['requests']))
            and within('created', [group['created']])
            and within('modified', (each['modified'] for each in group['requests']))
        )

    return keeps


def schedule_filter(request: Request) -> Callable[[Json], bool]:
    """Which blocks of the schedule the query keeps, after observations/filters.py; ``state`` several times is any of them."""
    times: dict[str, datetime] = {}
    for name in ('end_after', 'modified_after'):
        try:
            times |= {name: read_instant(request.get(name))} if request.get(name) else {}
        except ValueError as error:
            raise Refused(as_json(400, {name: ['Enter a valid date/time.']})) from error
    states = request.query.get('state', [])
    return lambda block: (
        (not states or block['state'] in states)
        and all(read_instant(block[name.removesuffix('_after')]) >= instant for name, instant in times.items())
    )


def paged(request: Request, found: list[Json], shown: Callable[[Json], Json]) -> Json:
    """One page of a list, as LimitOffsetPagination has it."""
    given = {key: int(request.get(key)) for key in ('limit', 'offset') if request.get(key).isdigit()}
    limit, offset = given.get('limit') or PAGE_SIZE, given.get('offset', 0)

    def page(wanted: bool, there: int) -> str | None:
        asked = request.query | {'limit': [str(limit)], 'offset': [str(max(there, 0))]}
        return f'{request.base}{request.path}?{urlencode(asked, doseq=True)}' if wanted else None

    links = {'next': page(offset + limit < len(found), offset + limit), 'previous': page(offset > 0, offset - limit)}
    return {'count': len(found)} | links | {'results': [shown(each) for each in found[offset : offset + limit]]}


def colleagues_group(name: str, proposal: str, instrument: str, window: Json) -> Json:
    """What somebody else asked for."""
    configuration = {
        'type': 'EXPOSE',
        'instrument_type': instrument,
        'target': {'name': 'RR Lyrae', 'type': 'ICRS', 'ra': 291.4, 'dec': 42.8},
        'constraints': {'max_airmass': 1.6, 'min_lunar_distance': 30.0, 'max_lunar_phase': 1.0},
        'instrument_configs': [
            {'exposure_time': 30, 'exposure_count': 2, 'mode': 'full_frame', 'optical_elements': {'filter': 'rp'}}
        ],
        'acquisition_config': {'mode': 'OFF', 'exposure_time': None, 'extra_params': {}},
        'guiding_config': {'mode': 'ON', 'optional': True, 'optical_elements': {}, 'exposure_time': None, 'extra_params': {}},
    }
    request = {'location': {'telescope_class': '1m0'}, 'configurations': [configuration], 'windows': [window]}
    common = {'name': name, 'proposal': proposal, 'ipp_value': 1.05, 'operator': 'SINGLE', 'observation_type': 'NORMAL'}
    return common | {'requests': [request]}


def doubles_of(submissions: Iterable[PortalSubmission], request_of: Callable[[int], Json]) -> list[int]:
    """The requests that ask again for what an earlier one asks for, in a window that overlaps; see ``Portal.doubles``."""
    found: list[int] = []
    before: list[tuple[str, list[Window]]] = []
    for each in submissions:
        for number in each.request_ids:
            request = request_of(number)
            if request['state'] not in ('PENDING', 'COMPLETED'):
                continue
            what = _what(request, each.payload['proposal'])
            spans = [window_of(window, each.created) for window in request['windows']]
            if any(what == other and _overlap(spans, taken) for other, taken in before):
                found.append(number)
            before.append((what, spans))
    return found


def _what(request: Mapping[str, Any], proposal: str) -> str:
    parts = [
        [each['target'], each['instrument_type'], each['type'], each['instrument_configs']] for each in request['configurations']
    ]
    return json.dumps([proposal, parts], sort_keys=True, default=str)


def _overlap(some: list[Window], others: list[Window]) -> bool:
    return any(one[0] < two[1] and two[0] < one[1] for one in some for two in others)
