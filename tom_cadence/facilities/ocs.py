"""Quirks of observation portals of the OCS family (LCO, SOAR, ...), as tomtoolkit 3.1.0 talks to them.

Facts are from ``tom_observations/facilities/ocs.py`` and ``lco.py`` of 3.1.0, and from a running portal (4.18.10):
no idempotency key; ``GET /api/requestgroups/?name=<text>`` finds request groups whose name contains the
text; each result lists its requests with ``id`` and ``state``. Names may have 50 characters.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from tom_cadence.windows import UTC, Window, read_instant

NAME_LENGTH = 50
PAGE = 200
MOST_PAGES = 20
#: The one strategy that the sequence forms offer (lco.py 816-819 and 893-897 of 3.1.0).
OFFERED = 'ResumeCadenceAfterFailureStrategy'


def is_ocs(facility: Any) -> bool:
    """Whether this facility talks to an observation portal of the OCS family."""
    from tom_observations.facilities.ocs import OCSFacility

    return isinstance(facility, OCSFacility)


def is_sequence(form_class: type) -> bool:
    """Whether this is one of LCO's sequence forms, whose window ends one cadence_frequency after its start."""
    from tom_observations.facilities.lco import LCOPhotometricSequenceForm, LCOSpectroscopicSequenceForm

    return issubclass(form_class, (LCOPhotometricSequenceForm, LCOSpectroscopicSequenceForm))


def adapt(form_class: type, data: dict[str, Any], keywords: tuple[str, str], window: Window) -> tuple[type, dict[str, Any]]:
    """A form class and data by which an LCO sequence form accepts a window.

    Its start is a split date field behind one hidden input, which accepts no text at all; left empty, the form takes the
    local time of now (lco.py 824-896, 1056-1072 of 3.1.0). So the start is left empty and answered by ``clean_start``; the form
    itself sets its end one cadence_frequency later. It knows one strategy besides none; any other is no business of the portal.
    """
    if not is_sequence(form_class):
        return form_class, data
    start = window.start.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S')

    def clean_start(self: Any) -> str:
        return start

    given = type(f'Windowed{form_class.__name__}', (form_class,), {'clean_start': clean_start})
    left_out = {*keywords, *([] if data.get('cadence_strategy') == OFFERED else ['cadence_strategy'])}
    return given, {key: value for key, value in data.items() if key not in left_out}


def many_in_one_call(parameters: Mapping[str, Any]) -> bool:
    """Whether these parameters became several requests of one request group (the form's own static cadence)."""
    return bool(parameters.get('period')) and parameters.get('jitter') not in (None, '')


def mark(payload: Any, token: str) -> Any:
    """A copy of the request group with the token at the end of its name, cut to fit."""
    marked = copy.deepcopy(payload)
    name = str(marked.get('name') or '')[: NAME_LENGTH - len(token) - 1].rstrip()
    marked['name'] = f'{name} {token}'.strip()
    return marked


def find(facility: Any, token: str) -> list[str]:
    """Ids of the requests in request groups whose name carries the token, whenever they were made: tokens are unique."""
    groups = _request_groups(facility, {'name': token})
    return [str(request['id']) for group in groups if token in str(group.get('name')) for request in group['requests']]


def states(facility: Any, ids: Iterable[str], created_after: datetime) -> dict[str, str]:
    """States of many requests from the portal's list of request groups; ids it does not list are left out."""
    wanted = set(ids)
    found: dict[str, str] = {}
    for group in _request_groups(facility, {'created_after': _iso(created_after)}):
        found.update((str(r['id']), r['state']) for r in group['requests'] if str(r['id']) in wanted)
        if len(found) == len(wanted):
            break
    return found


def listing(facility: Any, created_after: datetime) -> list[dict[str, Any]]:
    """Every request the portal lists: id, name, state, created."""
    return [
        {
            'id': str(request['id']),
            'name': group.get('name', ''),
            'state': request['state'],
            'created': read_instant(group['created']),
        }
        for group in _request_groups(facility, {'created_after': _iso(created_after)})
        for request in group['requests']
    ]


def _request_groups(facility: Any, query: dict[str, str]) -> Iterable[dict[str, Any]]:
    """Pages are asked for by offset: nothing is fetched from an address that a reply names."""
    from tom_observations.facilities.ocs import make_request

    url = urljoin(facility.facility_settings.get_setting('portal_url'), '/api/requestgroups/')
    for page in range(MOST_PAGES):
        params = {**query, 'limit': str(PAGE), 'offset': str(page * PAGE)}
        reply = make_request('GET', url, params=params, headers=facility._portal_headers()).json()
        yield from reply['results']
        if not reply.get('next'):
            return


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S')
