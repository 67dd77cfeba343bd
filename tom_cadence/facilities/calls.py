"""Facility calls in threads: bounded per facility, and never able to hold up the others or the end of the process.

Threads are daemons. A call that hangs although its requests have a deadline is given up: its place is freed, its outcome is
``Overdue``, and if it ends after all its result still comes back as a late one.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.db import connections

from tom_cadence.facilities.deadlines import deadline

GRACE = 2.0


class Overdue(Exception):
    """The call did not end within its deadline."""


@dataclass(eq=False)
class Call:
    """One call: what it is for, and when it ended what came of it."""

    key: Hashable
    lane: str
    function: Callable[[], Any]
    timeout: float
    started: float = 0.0
    result: Any = None
    error: BaseException | None = None
    late: bool = False


class Calls:
    """Start calls, and take them back in the order they end."""

    def __init__(self, at_once: int, per_lane: int, grace: float = GRACE) -> None:
        """At most ``at_once`` calls run at a time, and at most ``per_lane`` of one lane (a facility)."""
        self._at_once, self._per_lane, self._grace = max(1, at_once), max(1, per_lane), grace
        self._waiting: deque[Call] = deque()
        self._running: set[Call] = set()
        self._given_up: set[Call] = set()
        self._done: queue.SimpleQueue[Call] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    @property
    def full(self) -> bool:
        """Whether another call would have to wait."""
        return len(self) >= self._at_once

    def start(self, key: Hashable, lane: str, function: Callable[[], Any], timeout: float) -> None:
        """Run ``function`` in a thread as soon as there is room, for ``timeout`` seconds at most."""
        self._waiting.append(Call(key=key, lane=lane, function=function, timeout=timeout))
        self._fill()

    def ended(self) -> Iterator[Call]:
        """Calls as they end, until none is left; a call that is overdue comes back with the error Overdue."""
        while len(self):
            yield self.next()

    def next(self) -> Call:
        """The next call that ends or is overdue."""
        while True:
            call = self._take()
            if call is not None:
                self._running.discard(call)
                self._fill()
                return call

    def late(self) -> Iterator[Call]:
        """Calls that were given up and have ended since; does not wait."""
        while True:
            try:
                call = self._done.get_nowait()
            except queue.Empty:
                return
            if call in self._given_up:
                self._given_up.discard(call)
                call.late = True
                yield call
            else:
                self._done.put(call)
                return

    def _take(self) -> Call | None:
        overdue = self._overdue()
        if overdue is not None:
            return overdue
        try:
            call = self._done.get(timeout=max(0.0, self._patience()))
        except queue.Empty:
            return self._overdue()
        if call in self._given_up:
            self._given_up.discard(call)
            call.late = True
        return call

    def _patience(self) -> float:
        ends = [call.started + call.timeout + self._grace for call in self._running]
        return min(ends) - time.monotonic() if ends else 0.1

    def _overdue(self) -> Call | None:
        now = time.monotonic()
        for call in self._running:
            if now > call.started + call.timeout + self._grace and self._done.empty():
                self._running.discard(call)
                self._given_up.add(call)
                return replace(call, error=Overdue(f'No reply within {call.timeout:g} s.'))
        return None

    def _fill(self) -> None:
        for call in list(self._waiting):
            if len(self._running) >= self._at_once:
                return
            if sum(other.lane == call.lane for other in self._running) < self._per_lane:
                self._waiting.remove(call)
                call.started = time.monotonic()
                self._running.add(call)
                context = contextvars.copy_context()
                threading.Thread(target=context.run, args=(self._run, call), daemon=True, name='facility call').start()

    def _run(self, call: Call) -> None:
        try:
            with deadline(call.timeout):
                call.result = call.function()
        except BaseException as error:  # whatever a facility raises belongs to its own cadence
            call.error = error
        finally:
            connections.close_all()
            self._done.put(call)
