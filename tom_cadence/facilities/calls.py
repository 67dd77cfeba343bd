"""Facility calls in threads: bounded per facility, and never able to hold up the others or the end of the process.

Threads are daemons. A call that hangs although its requests have a deadline is given up: its place is freed, its outcome is
``Overdue``, and if it ends after all its result still comes back as a late one. What is urgent goes first: a question after
a state waits while there is something to send.
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
    urgent: bool = True
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

    def __init__(
        self, at_once: int, per_lane: int, breaker: Breaker | None = None, grace: float = GRACE, crew: Crew | None = None
    ) -> None:
        """At most ``at_once`` calls run at a time, and at most ``per_lane`` of one lane (a facility), in the crew's threads."""
        self._at_once, self._per_lane, self._grace = max(1, at_once), max(1, per_lane), grace
        self._breaker = breaker or Breaker()
        self._waiting: dict[str, tuple[deque[Call], deque[Call]]] = {}
        self._urgent: Counter[str] = Counter()
        self._running: set[Call] = set()
        self._in_lane: Counter[str] = Counter()
        self._given_up: set[Call] = set()
        self._done: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._crew = crew or Crew()

    def __len__(self) -> int:
        return sum(len(queue) for queues in self._waiting.values() for queue in queues) + len(self._running)

    @property
    def urgent(self) -> int:
        """How many urgent calls have not ended."""
        return self._urgent.total()

    @property
    def half(self) -> int:
        """Half of what one facility may be asked at a time, at least one."""
        return max(1, self._per_lane // 2)

    def room(self, lane: str) -> int:
        """How many urgent calls to this facility may be started: the others make room for them."""
        return max(0, min(self._at_once - self.urgent, self._per_lane - self._urgent[lane]))

    def start(self, key: Hashable, lane: str, function: Callable[[], Any], timeout: float, *, urgent: bool = True) -> None:
        """Run ``function`` in a thread as soon as there is room, for ``timeout`` seconds at most."""
        call = Call(key=key, lane=lane, function=function, timeout=timeout, urgent=urgent)
        self._urgent[lane] += urgent
        self._waiting.setdefault(lane, (deque(), deque()))[not urgent].append(call)
        self._fill(lane)

    def ended(self) -> Iterator[Call]:
        """Calls as they end, until none is left; a call that is overdue comes back with the error Overdue."""
        while len(self):
            yield self.next()

    def next(self) -> Call:
        """The next call that ends or is overdue."""
        while True:
            call = self.next_within(None)
            if call is not None:
                return call

    def next_few(self, most: int) -> list[Call]:
        """The next call that ends or is overdue, and those that have ended, too, by now: ``most`` urgent ones, and any others."""
        found = [self.next()]
        urgent = int(found[0].urgent)
        while urgent < most and not self._done.empty() and (call := self.next_within(0)) is not None:
            found.append(call)
            urgent += call.urgent
        return found

    def next_within(self, seconds: float | None) -> Call | None:
        """The next call that ends or is overdue, or None where none does within so many seconds."""
        call = self._take(seconds)
        if call is not None:
            self._leave(call)
            self._breaker.note(call)
            for lane in list(self._waiting):
                self._fill(lane)
        return call

    def _leave(self, call: Call) -> None:
        if call in self._running:
            self._running.discard(call)
            self._in_lane[call.lane] -= 1
            self._urgent[call.lane] -= call.urgent

    def _take(self, seconds: float | None) -> Call | None:
        overdue = self._overdue()
        if overdue is not None:
            return overdue
        try:
            patience = self._patience() if seconds is None else min(seconds, self._patience())
            call = self._done.get(timeout=max(0.0, patience))
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
        if not self._done.empty():
            return None
        now = time.monotonic()
        for call in self._running:
            if now > call.started + call.timeout + self._grace:
                self._leave(call)
                self._given_up.add(call)
                return replace(call, error=Overdue(f'No reply within {call.timeout:g} s.'))
        return None

    def _fill(self, lane: str) -> None:
        urgent, others = self._waiting[lane]
        while (urgent or others) and len(self._running) < self._at_once and self._in_lane[lane] < self._per_lane:
            call = (urgent or others).popleft()
            call.started = time.monotonic()
            self._running.add(call)
            self._in_lane[lane] += 1
            if self._breaker.open(lane):
                call.error = NotAsked(f'{lane} did not answer before; it is asked again in the next run.')
                self._done.put(call)
            else:
                self._crew.give(call, self._done)
        if not urgent and not others:
            del self._waiting[lane]


class Crew:
    """Daemon threads that run calls one after the other; one that hangs is left behind, and another takes its place."""

    IDLE = 5.0

    def __init__(self) -> None:
        """Nobody is hired yet."""
        self._inbox: queue.SimpleQueue[tuple[contextvars.Context, Call, queue.SimpleQueue[Call]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0

    def give(self, call: Call, done: queue.SimpleQueue[Call]) -> None:
        """Have the call run at once: by an idle thread, or by a new one; it comes back through ``done``."""
        with self._lock:
            hire = self._idle == 0
            self._idle -= not hire
        self._inbox.put((contextvars.copy_context(), call, done))
        if hire:
            threading.Thread(target=self._work, daemon=True, name='facility call').start()

    def _work(self) -> None:
        while True:
            try:
                context, call, done = self._inbox.get(timeout=self.IDLE)
            except queue.Empty:
                with self._lock:
                    if self._idle > 0:
                        self._idle -= 1
                        return
                continue
            context.run(_run, call)
            with self._lock:
                self._idle += 1
            done.put(call)


def _run(call: Call) -> None:
    try:
        with deadline(call.timeout):
            call.result = call.function()
    except BaseException as error:  # whatever a facility raises belongs to its own cadence
        call.error = error
    finally:
        connections.close_all()
