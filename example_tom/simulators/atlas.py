"""A simulated ATLAS forced photometry server over real HTTP (atlasserver 5cc8859, 2026-08).

In a test: ``with serve_atlas(AtlasServer(seed=7, seconds_per_task=60)) as server:`` then ``server.url`` (the base that
a client is given, with ``/forcedphot``) and ``server.service`` (this ``AtlasServer``). Any field of ``AtlasOptions``
may be given to the constructor, changed with ``configure(name=value)`` or posted to ``/control/options``.

Users: ``USERS`` (name to password) with ``token_of(name)``; ``service.token`` is the first user's.
Verbs of faults and counts: auth, submit, list, status, result, delete, positions, other.
Control: see service.py, and ``/control/task`` (``id``; ``error``, ``lost``, or ``failures``, ``seconds``; without these:
finish it now), ``/control/outcome`` (``ra``, ``dec``, ``error`` of positions; ``No data returned`` if left out; or
``lost``: finished, but no file and no error text), ``/control/callbacks`` (GET: what was sent to callback addresses).

Its limits are the real ones: a sliding window of 60 writes and 600 reads in any minute and account, 429s not counted;
500 tasks of an account that have not begun, counted after the lines were read; 100 lines. Time is the server's own clock
(``service.clock``, ``set_clock``, ``advance``): nothing in it sleeps, and tasks end when the clock says so and the server
is next asked, or by ``settle()``.

Callbacks: a task with ``callback_url`` that has ended is told of once, in ``callbacks``, as the real server would POST it
(webhooks.py); ``on_callback`` is called with address and payload, for a test that delivers it to a TOM. Nothing leaves
this machine.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from simulators.accounts import WRITES, Accounts, Refused, token_of, unauthorized
from simulators.atlas_files import atlas_columns, atlas_frame, write_atlas
from simulators.atlas_tasks import Queue, Task, Wrong, clean, split, stamp
from simulators.lightcurves import near, uniform
from simulators.photometry import DAY, MJD_OF_EPOCH, PhotometryService
from simulators.server import Server, serve
from simulators.service import Answer, Request, as_json, as_text, fields_of

__all__ = ['USERS', 'AtlasOptions', 'AtlasServer', 'serve_atlas', 'token_of']

USERS = {'tom': 'look-up', 'jerry': 'look-down'}
NO_DATA = 'No data returned'
PAGE, LARGEST = 6, 100
#: Names of moving objects that are found: (433), or packed designations such as K22W01O, 00433 and A0433.
DESIGNATION = re.compile(r'\(\d+\)|[I-K]\d\d[A-Z]\w\d[A-Z]|[A-Za-z\d]\d{4}|[CPDXAI][I-K]\d\d[A-Z]\w\d\w')


@dataclass
class AtlasOptions:
    """What can be set; the defaults are the real server's where they are known."""

    seconds_per_task: float = 60.0
    start_delay: float = 0.0
    held: bool = False  # nothing starts
    slots: int = 16
    writes_per_minute: int | None = 60
    reads_per_minute: int | None = 600
    most_queued: int = 500
    days: float = 31.0
    archived_days: float = 7.0
    file_days: float | None = None  # the file goes before the task does
    no_data: list[list[float]] = field(default_factory=list)
    old_keys: bool = False
    html_default: bool = False  # before 2026 a request without Accept was given HTML
    pa_deg: bool = False
    last_newline: bool = True
    revision: int = 0
    first_id: int = 1
    strict_names: bool = False  # moving objects are found by (number) or packed designation only


class AtlasServer(PhotometryService):
    """The server: users, queue, results."""

    name = 'atlas'
    prefix = '/forcedphot'
    verbs = ('auth', 'submit', 'list', 'status', 'result', 'delete', 'positions', 'other')
    options: AtlasOptions

    def __init__(self, storage: Path | None = None, seed: int = 0, users: dict[str, str] | None = None, **options: Any) -> None:
        """Open the storage in a folder (None: in memory)."""
        super().__init__(AtlasOptions(**options), storage, seed)
        self.set_users(USERS if users is None else users)
        self.queue = Queue(self.shelf, self.judge)
        self.errors: list[tuple[float, float, str | None]] = []
        self.callbacks: list[dict[str, Any]] = []
        self.on_callback: Callable[[str, dict[str, Any]], None] | None = None

    def set_users(self, users: dict[str, str]) -> None:
        """Know these users (name to password) only."""
        self.accounts = Accounts(self.seconds, users)

    @property
    def token(self) -> str:
        """The first user's."""
        return self.accounts.token

    @property
    def seen(self) -> Counter[str]:
        """Requests by verb and user."""
        return self.accounts.seen

    def verb(self, request: Request) -> str | None:
        """What a request is about."""
        path, method = request.path, request.method
        if path == '/api-token-auth/':
            return 'auth'
        if re.fullmatch(r'/static/results/job\d+\.txt|/queue/\d+/data\.txt', path):
            return 'result'
        if path == '/queuepositions.json':
            return 'positions'
        if path in ('/queue/', '/queue'):
            return 'submit' if method == 'POST' else 'list'
        if re.fullmatch(r'/queue/\d+/?', path):
            return {'GET': 'status', 'HEAD': 'status', 'DELETE': 'delete'}.get(method, 'other')
        return None

    def key(self, verb: str, request: Request) -> str:
        """The number of the task that is asked for."""
        found = re.search(r'(\d+)', request.path)
        return str(int(found[1])) if found else ''

    def about(self, verb: str, request: Request) -> str:
        """The request, and the comment of the task that it is about."""
        task = self.queue.tasks.get(int(self.key(verb, request) or 0))
        return f'{super().about(verb, request)} {task.comment if task else ""}'

    def work(self, verb: str, request: Request, lost: str) -> Answer:
        """Do what is asked."""
        with self.lock:
            self.accounts.note(verb, request)
            try:
                self.settle()
                if not request.path.endswith(('/', '.txt', '.json')):
                    return Answer(301, headers={'Location': f'{request.base}{request.path}/'})
                if verb == 'auth':
                    return self.accounts.login(_said(request))
                if verb == 'result' and request.path.startswith('/static/'):
                    return self._file(request)
                user = self.accounts.user(request)
                self._permit(verb, request, user)
                deeds: dict[str, Callable[[], Answer]] = {
                    'submit': lambda: self._submit(request, str(user), lost),
                    'list': lambda: self._list(request, str(user)),
                    'status': lambda: self._status(request, user),
                    'result': lambda: self._file(request),
                    'delete': lambda: self._delete(request, str(user)),
                    'positions': lambda: self._positions(str(user)),
                    'other': lambda: as_json(405, {'detail': f'Method "{request.method}" not allowed.'}),
                }
                return deeds[verb]()
            except Refused as refused:
                return refused.answer

    def settle(self) -> None:
        """Let tasks run and old ones go, until now."""
        now, set_to = self.seconds(), self.options
        self.queue.settle(now, seconds=set_to.seconds_per_task, delay=set_to.start_delay, slots=set_to.slots, held=set_to.held)
        self._call_back()
        self.queue.sweep(now, set_to.days, set_to.archived_days)

    def _call_back(self) -> None:
        for task in self.queue.tasks.values():
            if task.finished is None or task.called_back or not task.callback_url:
                continue
            task.called_back = True
            self.queue.keep(task)
            told = {
                'task_id': task.id,
                'task_url': f'{self.url}/queue/{task.id}/',
                'request_type': task.request_type,
                'finishtimestamp': stamp(task.finished),
                'error_msg': task.error,
                'success': not task.error,
            }
            self.callbacks.append({'url': task.callback_url, 'payload': told})
            if self.on_callback:
                self.on_callback(task.callback_url, told)

    def _permit(self, verb: str, request: Request, user: str | None) -> None:
        text = 'Authentication credentials were not provided.'
        if user is None and request.method in WRITES:
            raise Refused(unauthorized(text))
        if user is None and verb in ('list', 'positions'):
            raise Refused(as_json(403, {'detail': text}))
        self.accounts.limit(request, user, self.options.reads_per_minute, self.options.writes_per_minute)

    def _submit(self, request: Request, user: str, lost: str) -> Answer:
        said = _said(request)
        many = bool(said.get('radeclist'))
        try:
            wanted = self._wanted(said, many)
        except Wrong as wrong:
            return as_json(400, wrong.errors)
        queued = self.queue.unstarted(user)
        if queued + len(wanted) > self.options.most_queued:
            # a plain text, not a list (views.py of the server)
            counts = f'{queued} queued + {len(wanted)} requested > {self.options.most_queued}'
            return as_json(400, {'non_field_errors': f'ERROR: You have too many queued tasks ({counts}).'})
        tasks = [self._accept(values, user, queued, place, request, lost) for place, values in enumerate(wanted)]
        replies = [task.as_reply(request.base, queuepos=None, has_file=False, old=self.options.old_keys) for task in tasks]
        return as_json(201, replies) if many else as_json(201, replies[0], Location=replies[0]['url'])

    def _wanted(self, said: dict[str, Any], many: bool) -> list[dict[str, Any]]:
        mjd = self.seconds() / DAY + MJD_OF_EPOCH
        if not many:
            return [clean(said, mjd)]
        common = {name: value for name, value in said.items() if name not in ('radeclist', 'ra', 'dec', 'mpc_name')}
        targets = split(said['radeclist'])
        if said.get('ra') and said.get('dec'):
            targets.insert(0, {'ra': said['ra'], 'dec': said['dec']})
        return [clean(common | target, mjd) for target in targets]

    def _accept(self, values: dict[str, Any], user: str, queued: int, place: int, request: Request, lost: str) -> Task:
        key, user_id = max(self.queue.next_id, self.options.first_id), 200 + list(self.accounts.users).index(user)
        task = Task(key, user, user_id, self.seconds(), queued_on_submit=queued + place, **values)
        self.queue.add(task)
        mode = 'reduced' if task.use_reduced else 'difference'
        where = {'ra': task.ra, 'dec': task.dec, 'begin': task.mjd_min, 'end': task.mjd_max, 'mode': mode}
        self.accept(lost, id=key, user=user, name=task.mpc_name, comment=task.comment, index=place, post=request.number, **where)
        return task

    def _task(self, request: Request) -> Task:
        task = self.queue.tasks.get(int(self.key('', request)))
        if task is None:
            raise Refused(as_json(404, {'detail': 'No Task matches the given query.'}))
        if task.archived:
            raise Refused(as_text(404, 'Page not found'))
        return task

    def shown(self, task: Task, base: str, user: str | None) -> dict[str, Any]:
        """A task object as it is now; who does not own it does not see its callback."""
        place = self.queue.positions().get(task.id)
        has_file, owner = self._has_file(task), user == task.user
        return task.as_reply(base, queuepos=place, has_file=has_file, owner=owner, old=self.options.old_keys)

    def _status(self, request: Request, user: str | None) -> Answer:
        task = self._task(request)
        accepts = request.headers.get('accept', '')
        if 'text/html' in accepts or (self.options.html_default and 'json' not in accepts):
            return as_text(200, f'<html><body>Task {task.id}</body></html>', 'text/html; charset=utf-8')
        answer = as_json(200, self.shown(task, request.base, user), Vary='Accept, Cookie')
        tag = f'"{hashlib.blake2b(answer.body, digest_size=16).hexdigest()}"'
        if request.headers.get('if-none-match') == tag:
            return Answer(304, headers={'ETag': tag})
        answer.headers['ETag'] = tag
        return answer

    def _delete(self, request: Request, user: str) -> Answer:
        task = self._task(request)
        if task.user != user:
            return as_json(403, {'detail': 'You must be the owner of this object.'})
        self.queue.remove(task)
        return Answer(204)

    def _list(self, request: Request, user: str) -> Answer:
        """One page of a user's tasks, newest first unless ``?ordering=`` says else."""
        try:
            key, backwards = _read_cursor(request.get('cursor'))
        except (ValueError, KeyError):
            return as_json(404, {'detail': 'Invalid cursor'})
        size = request.get('pagesize')
        size_asked = min(int(size), LARGEST) if size.isdigit() and int(size) else PAGE
        newest_first = request.get('ordering', '-timestamp').startswith('-')
        tasks = [task for task in self.queue.tasks.values() if task.user == user and not task.archived]
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
            'results': [self.shown(task, request.base, user) for task in page],
        }
        return as_json(200, reply, Vary='Accept, Cookie')

    def _positions(self, user: str) -> Answer:
        """``queuepositions.json``: the places of a user's unfinished tasks."""
        places = self.queue.positions()
        mine = {str(key): place for key, place in places.items() if self.queue.tasks[key].user == user}
        kinds = {key: self.queue.tasks[int(key)].request_type for key in mine}
        return as_json(200, {'queuepositions': mine, 'queuedtypes': kinds, 'queueoffset': 0})

    def _has_file(self, task: Task) -> bool:
        if task.finished is None or task.error or task.archived or task.lost:
            return False
        kept = self.options.file_days
        return kept is None or self.seconds() - task.finished <= DAY * kept

    def _file(self, request: Request) -> Answer:
        task = self.queue.tasks.get(int(self.key('', request)))
        if task is None or not self._has_file(task):
            return as_text(404, '<html><head><title>404 Not Found</title></head></html>', 'text/html; charset=iso-8859-1')
        return as_text(200, self.result(task), 'text/plain')

    def place(self, task: Task) -> tuple[float, float]:
        """Where a task looks; a moving object has a place of its own in this sky."""
        if task.ra is not None and task.dec is not None:
            return task.ra, task.dec
        chances = uniform(self.sky.key(str(task.mpc_name), 0, 0), [1, 2], 1)
        return round(360 * float(chances[0]), 5), round(80 * float(chances[1]) - 40, 5)

    def _range(self, task: Task) -> tuple[float, float]:
        begun = (task.started or task.submitted) / DAY + MJD_OF_EPOCH
        end = begun if task.mjd_max is None else min(begun, task.mjd_max)
        return (0.0 if task.mjd_min is None else task.mjd_min), end

    def result(self, task: Task) -> bytes:
        """The result file: what was exposed until the task began."""
        ra, dec = self.place(task)
        given = self.sky.file(ra, dec)
        if given is not None:
            return given
        (begin, end), set_to = self._range(task), self.options
        frame = atlas_frame(self.sky, ra, dec, begin, end)
        columns = atlas_columns(self.sky, ra, dec, frame, reduced=task.use_reduced, revision=task.revision)
        return write_atlas(columns, pa_deg=set_to.pa_deg, last_newline=set_to.last_newline)

    def judge(self, task: Task) -> str | None:
        """The final error of a task that ends."""
        task.revision = self.options.revision
        ra, dec = self.place(task)
        if task.mpc_name and self.options.strict_names and not DESIGNATION.fullmatch(task.mpc_name):
            return f'Object {task.mpc_name} not found'  # the real words are the tool's own, and not known
        for one, two, error in self.errors:
            if near(one, two, ra, dec):
                task.lost = error is None
                return error
        if dec < -89 or any(near(one, two, ra, dec) for one, two in self.options.no_data):
            return NO_DATA
        if self.sky.file(ra, dec) is not None:
            return None
        return None if len(atlas_frame(self.sky, ra, dec, *self._range(task)).number) else NO_DATA

    def set_outcome(self, ra: float, dec: float, error: str = NO_DATA, *, lost: bool = False) -> None:
        """Let every task of a position end with an error, or ``lost``: finished without a file and without a word."""
        with self.lock:
            self.errors.insert(0, (ra, dec, None if lost else error))

    def set_task(
        self, id: int, error: str | None = None, failures: int | None = None, seconds: float | None = None, *, lost: bool = False
    ) -> dict[str, Any]:
        """End a task now (with data, with ``error``, or ``lost``), or let attempts fail, or let it take ``seconds``."""
        with self.lock:
            self.settle()
            task = self.queue.tasks[int(id)]
            if failures is not None or seconds is not None:
                task.failures, task.seconds = failures or task.failures, seconds
                self.queue.keep(task)
            else:
                task.started = task.started or self.seconds()
                self.queue.finish(task, self.seconds(), error or self.judge(task))
                task.lost = task.lost or lost
                self.queue.keep(task)
                self._call_back()
            return self.shown(task, self.prefix, task.user)

    def reset(self) -> None:
        """Forget everything but seed and options."""
        super().reset()
        with self.lock:
            self.errors.clear()
            self.callbacks.clear()
            self.accounts.throttle.clear()
            self.queue = Queue(self.shelf, self.judge)

    def deeds(self) -> dict[str, Callable[..., Any]]:
        """What ``/control/`` can do here."""
        return super().deeds() | {'task': self.set_task, 'outcome': self.set_outcome, 'callbacks': lambda: self.callbacks}


def _said(request: Request) -> dict[str, Any]:
    """The fields of a request; Refused in Django REST framework's words if its body is no form and no JSON object."""
    try:
        return fields_of(request)
    except ValueError as error:
        raise Refused(as_json(400, {'detail': f'JSON parse error - {error}'})) from None
    except TypeError as error:
        raise Refused(as_json(400, {'non_field_errors': [f'Invalid data. Expected a dictionary, but got {error}.']})) from None


def _cursor(key: int, backwards: bool) -> str:
    """An opaque cursor as Django REST framework writes it."""
    return base64.b64encode(urlencode({'r': 1, 'p': key} if backwards else {'p': key}).encode()).decode()


def _read_cursor(cursor: str) -> tuple[int | None, bool]:
    if not cursor:
        return None, False
    said = parse_qs(base64.b64decode(cursor).decode())
    return int(said['p'][0]), 'r' in said


def serve_atlas(atlas: AtlasServer | None = None, host: str = '127.0.0.1', port: int = 0) -> Server[AtlasServer]:
    """Serve it from a thread of this process; a context manager with ``url`` and ``service``."""
    return serve(atlas or AtlasServer(), host, port)
