"""The simulated ATLAS server's tasks and the order in which they run, by the simulator's clock.

atlasserver 5cc8859, 2026-08 (services.md 1.4, 1.5): 16 slots, at most one running task per user, round robin between
users; a failed attempt without a definite error is run again; sweeps of what is old.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from simulators.service import Shelf

DAY = 86400.0
#: The keys of a task object before 2026 lack these (services.md 1.4: the recorded reply of 2022).
LATER_KEYS = ('callback_url', 'result_imagestack_url', 'userqueuedtasks_on_submit', 'waittime', 'runtime', 'attempt_count')
NULLS = ('previewimage_url', 'parent_task_id', 'parent_task_url')
IMAGE_NULLS = ('imagerequest_task_id', 'imagerequest_url', 'imagerequest_finished', 'result_imagestack_url', 'result_imagezip_url')


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

    def as_reply(self, base: str, *, queuepos: int | None, has_file: bool, old: bool = False) -> dict[str, Any]:
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
            'callback_url': self.callback_url,
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
