"""The simulated ATLAS server's tasks: what a submission must hold, and the order in which tasks run, by the server's clock.

After atlasserver 06e7865 and 5cc8859 (2026): its serializers say what is wrong in four shapes: ``{"field": ["text"]}``
(Django REST framework's own and object rules), ``{"ra": {"ra": "text"}}`` (rules of one field), ``{"non_field_errors":
"text"}`` (too many tasks), and ``{"radeclist": "Error on line 8: text"}``, which names the first bad line only. It has 16
slots, at most one running task per user, round robin between users; a failed attempt without a definite error is run
again; old tasks are swept away.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from simulators.photometry import DAY
from simulators.service import Shelf

TRUE = ('t', 'y', 'yes', 'true', 'on', '1')
FALSE = ('f', 'n', 'no', 'false', 'off', '0', '')
NUMBERS = ('ra', 'dec', 'mjd_min', 'mjd_max', 'radec_epoch_year', 'propermotion_ra', 'propermotion_dec')
FINITE = ('ra', 'dec', 'propermotion_ra', 'propermotion_dec')
LINES = 100
LONGEST_CALLBACK = 500
BAD_NAME = 'Invalid mpc_name. May not contain quotes or semicolons'
SEXAGESIMAL = re.compile(r'(?P<sign>[+-]?)(?P<first>\d\d?)\D+(?P<minutes>[0-5]\d)\D+(?P<seconds>[0-6]?\d(\.\d*)?)s?\s*')
#: The keys of a task object before 2026 lack these (a recorded reply of 2022).
LATER_KEYS = ('callback_url', 'result_imagestack_url', 'userqueuedtasks_on_submit', 'waittime', 'runtime', 'attempt_count')
NULLS = ('previewimage_url', 'parent_task_id', 'parent_task_url')
IMAGE_NULLS = ('imagerequest_task_id', 'imagerequest_url', 'imagerequest_finished', 'result_imagestack_url', 'result_imagezip_url')


class Wrong(Exception):
    """The submission is wrong; ``errors`` is the body of the 400."""

    def __init__(self, errors: Any) -> None:
        """Hold the body."""
        super().__init__(errors)
        self.errors = errors


def _number(value: Any) -> float | None:
    if value is None or value == '':
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Wrong(['A valid number is required.'])
    try:
        return float(value)
    except ValueError:
        raise Wrong(['A valid number is required.']) from None


def _boolean(value: Any) -> bool:
    text = str(value).lower()
    if text not in TRUE + FALSE:
        raise Wrong(['Must be a valid boolean.'])
    return text in TRUE


def _finite(name: str, value: float | None) -> float | None:
    if value is None or math.isfinite(value):
        return value
    kind = 'either None or a finite' if name.startswith('mjd') else 'a finite'
    raise Wrong({name: f'{name} must be {kind} floating-point number.'})


def _text(name: str, value: Any, longest: int = 300) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise Wrong(['Not a valid string.'])
    text = str(value).strip()
    if len(text) > longest:
        raise Wrong([f'Ensure this field has no more than {longest} characters.'])
    if name == 'mpc_name' and set(text) & set('\'";'):
        raise Wrong({name: BAD_NAME})
    if name == 'callback_url' and (wrong := callback_error(text)):
        raise Wrong({name: wrong})
    return text or None


def clean(asked: dict[str, Any], mjd_now: float) -> dict[str, Any]:
    """The fields of one task, or ``Wrong``."""
    errors: dict[str, Any] = {}
    values: dict[str, Any] = {}
    readers: dict[str, Any] = dict.fromkeys(NUMBERS, _read_number)
    readers |= dict.fromkeys(('mpc_name', 'comment', 'callback_url'), _text)
    readers |= {name: lambda _, value: _boolean(value) for name in ('use_reduced', 'send_email')}
    for name, read in readers.items():
        if name not in asked:
            continue
        try:
            values[name] = read(name, asked[name])
        except Wrong as wrong:
            errors[name] = wrong.errors
    if asked.get('request_type', 'FP') not in ('FP', 'IMGZIP', 'SSOSTACK'):
        errors['request_type'] = [f'"{asked["request_type"]}" is not a valid choice.']
    if errors:
        raise Wrong(errors)
    _check_type(asked.get('request_type', 'FP'))
    _check_target(values)
    _check_dates(values, mjd_now)
    return values


def _read_number(name: str, value: Any) -> float | None:
    return _finite(name, _number(value))


def _check_type(kind: str) -> None:
    if kind == 'IMGZIP':
        text = 'IMGZIP tasks cannot be created here. Ask for the images of a finished forced photometry task'
        raise Wrong({'non_field_errors': [f'{text} by POSTing to /queue/<id>/requestimages/.']})
    if kind == 'SSOSTACK':
        raise Wrong({'non_field_errors': ['Image stack requests are not enabled for this account.']})


def _check_target(values: dict[str, Any]) -> None:
    ra, dec = values.get('ra'), values.get('dec')
    if values.get('mpc_name'):
        if ra is not None or dec is not None:
            raise Wrong({'mpc_name': ['mpc_name was given but RA and Dec were not empty.']})
    elif ra is None and dec is None:
        raise Wrong({'non_field_errors': ['Either an mpc_name or (ra, dec) must be specified.']})
    elif dec is None:
        raise Wrong({'dec': ['ra was set but dec is missing.']})
    elif ra is None:
        raise Wrong({'ra': ['dec was set but ra is missing.']})


def _check_dates(values: dict[str, Any], mjd_now: float) -> None:
    values.setdefault('mjd_min', round(mjd_now - 30, 5))
    begin, end = values['mjd_min'], values.get('mjd_max')
    if end is None:
        return
    if end <= 0:
        raise Wrong({'mjd_max': ['mjd_max must be a positive MJD.']})
    if begin is not None and not end > begin:
        raise Wrong({'mjd_max': [f'mjd_max must be greater than mjd_min ({begin} was applied).']})


def callback_error(url: str) -> str:
    """Why a callback goes nowhere (webhooks.py); whether a name resolves to a public address is not looked up."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f'callback_url has an invalid port: {error}'
    if len(url) > LONGEST_CALLBACK:
        return f'callback_url must be at most {LONGEST_CALLBACK} characters'
    if parts.scheme != 'https':
        return 'callback_url must use https'
    if not parts.hostname:
        return 'callback_url must include a hostname'
    if parts.username or parts.password:
        return 'callback_url must not contain credentials'
    try:
        public = parts.hostname != 'localhost' and ipaddress.ip_address(parts.hostname).is_global
    except ValueError:
        public = port != 0 and parts.hostname != 'localhost'
    return '' if public else 'callback_url must resolve to a public address'


def split(text: Any) -> list[dict[str, Any]]:
    """The targets of a ``radeclist``: lines of "ra,dec", "ra dec" (decimal or sexagesimal) or "mpc NAME" (misc.py).

    The first bad line is named, counting empty ones. A declination of 90.0 is refused.
    """
    if not isinstance(text, str):
        raise Wrong({'radeclist': ['Not a valid string.']})
    lines = text.split('\n')
    if len(lines) > LINES:
        raise Wrong({'radeclist': f'Number of lines ({len(lines)}) is above the limit of {LINES}'})
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if line[:4] in ('mpc_', 'MPC_', 'mpc ', 'MPC '):
            name = line[4:].strip()
            if not name or set(name) & set('\'";'):
                raise Wrong({'radeclist': f'Error on line {number}: {BAD_NAME if name else "MPC name is blank"}'})
            found.append({'mpc_name': name})
            continue
        words = line.split()
        parts = line.split(',') if ',' in line else [' '.join(words[:3]), ' '.join(words[3:])] if len(words) == 6 else words
        if not parts:
            continue
        if len(parts) < 2:
            what = 'Could not find two columns. Separate RA and Dec by a comma or a space.'
            raise Wrong({'radeclist': f'Error on line {number}: {what}'})
        try:
            found.append({'ra': _angle('ra', parts[0].strip()), 'dec': _angle('dec', parts[1].strip())})
        except ValueError as error:
            raise Wrong({'radeclist': f'Error on line {number}: {error}'}) from None
    return found


def _angle(name: str, text: str) -> float:
    """Degrees from decimal degrees, or from hours (ra) or degrees (dec), minutes and seconds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if (0 <= value <= 360) if name == 'ra' else (-90 < value < 90):
        return value
    found = SEXAGESIMAL.fullmatch(text)
    first = int(found['first']) if found else 99
    if found is None or first > (23 if name == 'ra' else 89) or (name == 'ra' and found['sign'] == '-'):
        problem = f'could not convert {name} to decimal degrees, could not parse sexegesimal input'
        raise ValueError(f'{problem}. Original value was `{text}`')
    size = first + int(found['minutes']) / 60 + float(found['seconds']) / 3600
    return (-size if found['sign'] == '-' else size) * (15 if name == 'ra' else 1)


@dataclass
class Task:
    """One task. Times are Unix seconds; ``failures`` is how many of its attempts will still fail without an error."""

    id: int
    user: str
    user_id: int
    submitted: float
    ra: float | None = None
    dec: float | None = None
    mpc_name: str | None = None
    mjd_min: float | None = None
    mjd_max: float | None = None
    radec_epoch_year: float | None = None
    propermotion_ra: float | None = None
    propermotion_dec: float | None = None
    use_reduced: bool = False
    send_email: bool = True
    comment: str | None = None
    callback_url: str | None = None
    request_type: str = 'FP'
    queued_on_submit: int = 0
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    attempts: int = 0
    failures: int = 0
    seconds: float | None = None
    archived: bool = False
    revision: int = 0
    lost: bool = False  # it ended with data, but the file is gone: no result_url, and no error either
    called_back: bool = False

    def as_reply(self, base: str, *, queuepos: int | None, has_file: bool, owner: bool = True, old: bool = False) -> dict[str, Any]:
        """The task object, in the order of the serializer's fields."""
        shown = bool(self.finished and not self.error and has_file)
        names = ('mpc_name', 'ra', 'dec', 'mjd_min', 'mjd_max', 'radec_epoch_year', 'propermotion_ra', 'propermotion_dec')
        reply: dict[str, Any] = {
            'url': f'{base}/queue/{self.id}/',
            'id': self.id,
            'user_id': self.user_id,
            'username': self.user,
            'timestamp': stamp(self.submitted),
            **{name: getattr(self, name) for name in (*names, 'use_reduced')},
            'finished': self.finished is not None,
            'result_url': f'{base}/static/results/job{self.id:05d}.txt' if shown else None,
            'comment': self.comment,
            'send_email': self.send_email,
            'callback_url': self.callback_url if owner else None,
            'starttimestamp': stamp(self.started),
            'finishtimestamp': stamp(self.finished),
            'error_msg': self.error,
            **dict.fromkeys(NULLS),
            'request_type': self.request_type,
            'pdfplot_url': f'{base}/queue/{self.id}/plot.pdf' if shown else None,
            'queuepos': queuepos,
            **dict.fromkeys(IMAGE_NULLS),
            'userqueuedtasks_on_submit': self.queued_on_submit,
            'waittime': None if self.started is None else round(self.started - self.submitted, 1),
            'runtime': None if self.finished is None or self.started is None else round(self.finished - self.started, 1),
            'attempt_count': self.attempts,
        }
        return {name: value for name, value in reply.items() if not (old and name in LATER_KEYS)}


def stamp(seconds: float | None) -> str | None:
    """ISO 8601 in whole seconds with +00:00."""
    return None if seconds is None else datetime.fromtimestamp(int(seconds), timezone.utc).isoformat()


class Queue:
    """All tasks and who runs when; the caller holds the service's lock."""

    def __init__(self, shelf: Shelf, judge: Callable[[Task], str | None]) -> None:
        """Read the tasks of the shelf; ``judge`` gives the final error of a task that ends (None: it has data)."""
        self.shelf, self.judge = shelf, judge
        self.tasks = {task.id: task for task in (Task(**row) for row in shelf.rows('tasks'))}
        self.next_id = max(self.tasks, default=0) + 1
        self.waiting: dict[str, deque[int]] = {}
        self.running: dict[str, int] = {}
        self.last_start: dict[str, float] = {}
        self.free_at = max((task.finished or 0.0 for task in self.tasks.values()), default=0.0)
        self._positions: dict[int, int] | None = None
        for task in self.tasks.values():
            if task.finished is None and not task.archived:
                self._line(task.user).append(task.id)

    def _line(self, user: str) -> deque[int]:
        return self.waiting.setdefault(user, deque())

    def add(self, task: Task) -> None:
        """Put a task at the end of its user's line."""
        self.tasks[task.id] = task
        self.next_id = max(self.next_id, task.id + 1)
        self._line(task.user).append(task.id)
        self.keep(task)

    def keep(self, task: Task) -> None:
        """Write a task that changed."""
        self._positions = None
        self.shelf.put('tasks', task.id, task)

    def unstarted(self, user: str) -> int:
        """How many tasks of a user have not begun."""
        return len(self._line(user))

    def settle(self, now: float, *, seconds: float, delay: float, slots: int, held: bool) -> None:
        """Let happen what happened until now, in the order of time."""
        if held:
            self.free_at = max(self.free_at, now)  # what was held back starts when it is let go
        while True:
            ends = [(self._end(self.tasks[key], seconds), key) for key in self.running.values()]
            end = min(ends, default=(float('inf'), 0))
            start = min(self._starts(delay, slots, held), default=(float('inf'), 0.0, ''))
            if min(end[0], start[0]) > now:
                return
            if end[0] <= start[0]:
                self._finish(self.tasks[end[1]], end[0])
            else:
                self._start(start[2], start[0])

    def _end(self, task: Task, seconds: float) -> float:
        return (task.started or 0.0) + (seconds if task.seconds is None else task.seconds)

    def _starts(self, delay: float, slots: int, held: bool) -> Iterator[tuple[float, float, str]]:
        if held or len(self.running) >= slots:
            return
        for user, line in self.waiting.items():
            if line and user not in self.running:
                ready = max(self.tasks[line[0]].submitted + delay, self.free_at)
                yield ready, self.last_start.get(user, 0.0), user

    def _start(self, user: str, at: float) -> None:
        task = self.tasks[self._line(user).popleft()]
        self.running[user], self.last_start[user] = task.id, at
        task.started, task.attempts = at, task.attempts + 1
        self.keep(task)

    def _finish(self, task: Task, at: float) -> None:
        del self.running[task.user]
        self.free_at = at
        if task.failures > 0:
            task.failures -= 1
            self._line(task.user).appendleft(task.id)
        else:
            task.finished, task.error = at, self.judge(task)
        self.keep(task)

    def finish(self, task: Task, at: float, error: str | None) -> None:
        """End a task by hand."""
        self._leave(task)
        task.started = at if task.started is None else task.started
        task.finished, task.error = at, error
        self.keep(task)

    def _leave(self, task: Task) -> None:
        if self.running.get(task.user) == task.id:
            del self.running[task.user]
        elif task.id in self._line(task.user):
            self._line(task.user).remove(task.id)

    def remove(self, task: Task) -> None:
        """Delete: a finished task is archived, an unfinished one is cancelled and gone."""
        if task.finished is not None:
            task.archived = True
            self.keep(task)
            return
        self._leave(task)
        self.forget(task)

    def forget(self, task: Task) -> None:
        """Delete for good."""
        self._positions = None
        del self.tasks[task.id]
        self.shelf.drop('tasks', task.id)

    def sweep(self, now: float, days: float, archived_days: float) -> None:
        """Delete finished tasks that are too old; tasks are numbered and end nearly in that order."""
        for task in list(self.tasks.values()):
            if task.finished is None:
                continue
            if now - task.finished > DAY * (archived_days if task.archived else days):
                self.forget(task)

    def positions(self) -> dict[int, int]:
        """The place of every unfinished task: those that run first, then one of each user in turn."""
        if self._positions is None:
            order = list(self.running.values())
            lines = [list(line) for line in self.waiting.values() if line]
            for turn in range(max(map(len, lines), default=0)):
                order += [line[turn] for line in lines if turn < len(line)]
            self._positions = {key: place for place, key in enumerate(order)}
        return self._positions
