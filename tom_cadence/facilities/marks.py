"""Where the mark of a request stands at a portal of the OCS family, and how a request is found there again.

A name of a request group has 50 characters, and becomes GROUPID in the header of each of its files; ``?name=`` finds the groups
whose name contains a text. A request has a note of 255 characters (``observation_note``), which the list shows, and cannot be asked
for. So the mark stands after the name; in the note instead where it does not fit, since no word of the astronomer's is cut, or
where a site wants names without it (``CLEAN_NAMES``). Then the list is asked for the name, and what it shows is compared.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tom_cadence import conf
from tom_cadence.core.windows import Window, read_instant, read_window
from tom_cadence.exceptions import BadWindow, NeedsAttention
from tom_cadence.facilities import ocs

NAME_LENGTH, NOTE_LENGTH = 50, 255
NOTE = 'observation_note'
LOOK_BACK = timedelta(days=30)
"""How far apart a portal's clock and ours may be."""
SOONER = timedelta(minutes=5)
"""How much earlier than its intent a request without a mark may seem to have been made, the portal's clock taken into account."""
_MARK = re.compile(r'~[a-z2-7]{8}(?:[a-z2-7]{2})?\b')


@dataclass(frozen=True, kw_only=True)
class Sought:
    """A request that may be at the portal: its mark, the name it was given, its window, and when it was written down.

    ``thorough``: its reply was lost, so that every place is looked at where a mark may have been put before settings changed.
    """

    token: str
    created: datetime
    name: str = ''
    window: Window | None = None
    thorough: bool = False


def sought(token: str, created: datetime, asked: Any, window: Window | None = None, thorough: bool = False) -> Sought:
    """From what was asked for: a form's parameters, or the payload, marked or not."""
    given = asked if isinstance(asked, Mapping) else {}
    name = str(given.get('name') or '').removesuffix(token).strip()
    return Sought(token=token, created=created, name=name, window=window or next(_windows(given), None), thorough=thorough)


def mark(payload: Any, token: str) -> Any:
    """A copy of the request group with the token in it; as it is where there is no room for it."""
    marked = copy.deepcopy(payload)
    name = str(marked.get('name') or '').strip()
    if not in_note(name, token):
        marked['name'] = f'{name} {token}'.strip()
        return marked
    for request in marked.get('requests') or ():
        note = f'{request.get(NOTE) or ""} {token}'.strip()
        if len(note) <= NOTE_LENGTH:
            request[NOTE] = note
    return marked


def in_note(name: str, token: str) -> bool:
    """Whether the mark stands in the note."""
    return bool(conf.get('CLEAN_NAMES')) or len(f'{name} {token}'.strip()) > NAME_LENGTH


def find(facility: Any, what: Sought) -> list[str]:
    """Ids of what the portal has of this request; NeedsAttention where it could be more than one."""
    noted = bool(what.name) and in_note(what.name, what.token)
    if not noted or what.thorough:
        groups = [group for group, _ in _groups(facility, {'name': what.token}) if what.token in str(group.get('name'))]
        if groups or not what.name or not (noted or what.thorough):
            return _ids(groups)
    query = {'name': what.name[:NAME_LENGTH], 'created_after': ocs.iso(what.created - LOOK_BACK)}
    listed = list(_groups(facility, query))
    carrying = [group for group, _ in listed if any(what.token in text for text in _texts(group))]
    if carrying or not noted:
        return _ids(carrying)
    alike = [group for group, ahead in listed if _is_alike(group, what, ahead)]
    if len(alike) > 1:
        numbers = ', '.join(str(group.get('id')) for group in alike)
        raise NeedsAttention(f'Several request groups have the name, the window and about the time of the request: {numbers}.')
    return _ids(alike)


def _groups(facility: Any, query: dict[str, str]) -> Iterator[tuple[Mapping[str, Any], timedelta]]:
    """What the portal lists, each with how far the portal's clock is ahead of ours."""
    for number in range(ocs.MOST_PAGES):
        response = ocs.ask_groups(facility, query, number)
        reply = response.json()
        yield from ((group, ocs.ahead(response)) for group in reply['results'])
        if not reply.get('next'):
            return


def _ids(groups: list[Mapping[str, Any]]) -> list[str]:
    return [str(request['id']) for group in groups for request in group['requests']]


def _texts(group: Mapping[str, Any]) -> list[str]:
    return [str(group.get('name') or ''), *(str(request.get(NOTE) or '') for request in group['requests'])]


def _is_alike(group: Mapping[str, Any], what: Sought, ahead: timedelta) -> bool:
    """A group without any mark, of the same name and window, and made since: of a portal that keeps no notes."""
    if str(group.get('name')) != what.name or any(_MARK.search(text) for text in _texts(group)) or what.window is None:
        return False
    made = read_instant(group['created']) - ahead >= what.created - SOONER
    return made and any(abs(found.start - what.window.start) < timedelta(seconds=1) for found in _windows(group))


def _windows(group: Mapping[str, Any]) -> Iterator[Window]:
    """The windows of a request group, or of its payload."""
    requests = group.get('requests')
    for request in requests if isinstance(requests, (list, tuple)) else ():
        for window in request.get('windows') or ():
            try:
                yield read_window(window.get('start'), window.get('end'))
            except BadWindow:
                continue
