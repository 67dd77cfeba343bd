"""Facility calls in threads: bounded per facility, and never able to hold up the others or the end of the process.

Threads are daemons. A call that hangs although its requests have a deadline is given up: its place is freed, its outcome is
``Overdue``, and if it ends after all its result still comes back as a late one.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import requests
from django.db import connections

from tom_cadence.facilities.deadlines import deadline

GRACE = 2.0


class Overdue(Exception):
    """The call did not end within its deadline."""


class NotAsked(Exception):
    """The facility did not answer several calls before this one, so it was not asked again in this run."""


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


class Breaker:
    """Facilities that stopped answering: after so many time-outs in a row the rest of a run does not ask them any more."""

    LIMIT = 3

    def __init__(self) -> None:
        """Nobody has struck yet."""
        self._strikes: Counter[str] = Counter()

    def note(self, call: Call) -> None:
        """Count a time-out; an answer of any kind wipes the slate."""
        if isinstance(call.error, (Overdue, requests.exceptions.Timeout)) or _is_timeout(call.error):
            self._strikes[call.lane] += 1
        elif not isinstance(call.error, NotAsked):
            self._strikes[call.lane] = 0

    def open(self, lane: str) -> bool:
        """Whether this facility is not asked any more."""
        return self._strikes[lane] >= self.LIMIT


def _is_timeout(error: BaseException | None) -> bool:
    return isinstance(getattr(error, '__cause__', None), requests.exceptions.Timeout)


class Calls:
    """Start calls, and take them back in the order they end."""

    def __init__(self, at_once: int, per_lane: int, breaker: Breaker | None = None, grace: float = GRACE) -> None:
        """At most ``at_once`` calls run at a time, and at most ``per_lane`` of one lane (a facility)."""
        self._breaker = breaker or Breaker()
        self._at_once, self._per_lane, self._grace = max(1, at_once), max(1, per_lane), grace
        self._waiting: deque[Call] = deque()
        self._running: set[Call] = set()
        self._given_up: set[Call] = set()
        self._done: queue.SimpleQueue[Call] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    def has_room(self, lane: str) -> bool:
        """Whether a call to this facility would start at once."""
        return len(self) < self._at_once and sum(call.lane == lane for call in self._running) < self._per_lane

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
                self._breaker.note(call)
                self._fill()
                return call

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
            if self._breaker.open(call.lane):
                self._waiting.remove(call)
                self._running.add(call)
                call.started, call.error = (
                    time.monotonic(),
                    NotAsked(f'{call.lane} did not answer before; it is asked again in the next run.'),
                )
                self._done.put(call)
            elif sum(other.lane == call.lane for other in self._running) < self._per_lane:
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
