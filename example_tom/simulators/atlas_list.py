"""The simulated ATLAS server's lists: cursor pagination and queue positions (atlasserver 5cc8859, 2026-08)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from simulators.service import Answer, Request, as_json

if TYPE_CHECKING:
    from simulators.atlas import AtlasServer

PAGE, LARGEST = 6, 100


def _cursor(key: int, backwards: bool) -> str:
    """An opaque cursor as Django REST framework writes it."""
    return base64.b64encode(urlencode({'r': 1, 'p': key} if backwards else {'p': key}).encode()).decode()


def _read(cursor: str) -> tuple[int | None, bool]:
    if not cursor:
        return None, False
    said = parse_qs(base64.b64decode(cursor).decode())
    return int(said['p'][0]), 'r' in said


def listing(atlas: AtlasServer, request: Request, user: str) -> Answer:
    """One page of a user's tasks, newest first unless ``?ordering=`` says else."""
    try:
        key, backwards = _read(request.get('cursor'))
    except (ValueError, KeyError):
        return as_json(404, {'detail': 'Invalid cursor'})
    size = request.get('pagesize')
    size_asked = min(int(size), LARGEST) if size.isdigit() and int(size) else PAGE
    newest_first = request.get('ordering', '-timestamp').startswith('-')
    tasks = [task for task in atlas.queue.tasks.values() if task.user == user and not task.archived]
    if request.get('started') in ('true', 'false'):
        tasks = [task for task in tasks if (task.started is not None) == (request.get('started') == 'true')]
    tasks.sort(key=lambda task: task.id, reverse=newest_first)
    keys = [task.id for task in tasks]
    if key is None:
        begin = 0
    else:
        passed = sum((each >= key) if newest_first else (each <= key) for each in keys)
        # a cursor names the task beside the page: pages stay in place while new tasks arrive
        begin = max(0, passed - (key in keys) - size_asked) if backwards else passed
    page = tasks[begin : begin + size_asked]

    def link(place: int, back: bool) -> str | None:
        asked: dict[str, Any] = {name: values[-1] for name, values in request.query.items()}
        return f'{request.base}/queue/?{urlencode(asked | {"cursor": _cursor(keys[place], back)})}'

    reply = {
        'next': link(begin + len(page) - 1, False) if begin + len(page) < len(tasks) else None,
        'previous': link(begin, True) if page and begin else None,
        'pagefirsttaskposition': begin,
        'taskcount': len(tasks),
        'results': [atlas.shown(task, request.base) for task in page],
    }
    return as_json(200, reply, Vary='Accept, Cookie')


def positions(atlas: AtlasServer, user: str) -> Answer:
    """``queuepositions.json``: the places of a user's unfinished tasks."""
    places = atlas.queue.positions()
    mine = {str(key): place for key, place in places.items() if atlas.queue.tasks[key].user == user}
    kinds = {key: atlas.queue.tasks[int(key)].request_type for key in mine}
    return as_json(200, {'queuepositions': mine, 'queuedtypes': kinds, 'queueoffset': 0})
