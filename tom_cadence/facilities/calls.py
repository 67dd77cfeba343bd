"""Facility calls in threads: bounded per facility, and never able to hold up the others or the end of the process.

Threads are daemons. A call that hangs although its requests have a deadline is given up: its place is freed, its outcome is
``Overdue``, and if it ends after all its result still comes back as a late one. What is urgent goes first: a question after
a state waits while there is something to send. A thread that ends a call takes the next one of its facility by itself, and
wakes the main thread for urgent answers; the others come in handfuls. The calls go on while the main thread is busy.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import requests
from django.db import connections

from tom_cadence.exceptions import Temporary
from tom_cadence.facilities.transport import Overdue, deadline, never_connected

GRACE = 2.0
HANDFUL = 8
LONG_ENOUGH = 1.0
"""Seconds after which answers that are no handful are taken all the same."""


class NotAsked(Exception):
    """The facility did not answer several calls before this one, so it was not asked again in this run."""


@dataclass(eq=False)
class Call:
    """One call: what it is for, and when it ended what came of it."""

    key: Hashable
    facility: str
    function: Callable[[], Any]
    timeout: float
    urgent: bool = True
    started: float = 0.0
    result: Any = None
    error: BaseException | None = None
    late: bool = False
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class Busy(Temporary):
    """The facility asks to be left alone for ``wait`` seconds; nothing of what was sent is booked."""

    def __init__(self, text: str, wait: float) -> None:
        """``wait`` is bounded by whoever makes this."""
        super().__init__(text)
        self.wait = wait


class Breaker:
    """Facilities that are not asked any more: after so often no answer in a row, or for as long as they ask to be left alone."""

    LIMIT = 3

    def __init__(self) -> None:
        """Nobody has struck yet."""
        self._strikes: Counter[str] = Counter()
        self._until: dict[str, float] = {}

    def hold(self, facility: str, error: BaseException | None) -> None:
        """Leave a facility alone for as long as it asks to be."""
        if isinstance(error, Busy):
            self._until[facility] = max(self._until.get(facility, 0.0), time.monotonic() + error.wait)

    def leave_alone(self, seconds: Mapping[str, float]) -> None:
        """Leave these facilities alone for so long, as they asked an earlier run to."""
        self._until |= {facility: time.monotonic() + wait for facility, wait in seconds.items()}

    def left_alone(self) -> dict[str, float]:
        """The facilities that asked to be left alone, and for how many more seconds."""
        left = {facility: until - time.monotonic() for facility, until in self._until.items()}
        return {facility: seconds for facility, seconds in left.items() if seconds > 0}

    def note(self, call: Call) -> None:
        """For ``Calls``, as each one ends: see ``hear``."""
        self.hear(call.facility, call.error)

    def hear(self, facility: str, error: BaseException | None) -> None:
        """Count a time-out; an answer of any kind wipes the slate."""
        self.hold(facility, error)
        if _is_silence(error):
            self._strikes[facility] += 1
        elif not any(isinstance(each, NotAsked) for each in (error, getattr(error, '__cause__', None))):
            self._strikes[facility] = 0

    def open(self, facility: str) -> bool:
        """Whether this facility is not asked any more."""
        return self._strikes[facility] >= self.LIMIT or time.monotonic() < self._until.get(facility, 0.0)

    def why(self, facility: str) -> str:
        """Why it is not asked, as a sentence."""
        if time.monotonic() < self._until.get(facility, 0.0):
            return f'{facility} asked to be left alone; it is asked again in a later run.'
        return f'{facility} did not answer before; it is asked again in the next run.'


def _is_silence(error: BaseException | None) -> bool:
    """Whether nobody answered, or only a gateway in front of the facility did."""
    for each in (error, getattr(error, '__cause__', None)):
        if isinstance(each, (Overdue, requests.exceptions.Timeout)) or (each is not None and never_connected(each)):
            return True
        if isinstance(each, requests.HTTPError) and each.response is not None and each.response.status_code in (502, 503, 504):
            return True
    return False


class Calls:
    """Start calls, and take them back in the order they end; all methods are for the thread that made it, but the pool's two."""

    def __init__(
        self, at_once: int, per_facility: int, breaker: Breaker | None = None, grace: float = GRACE, pool: ThreadPool | None = None
    ) -> None:
        """At most ``at_once`` calls run at a time, and at most ``per_facility`` of one facility, in the pool's threads."""
        self._at_once, self._per_facility, self._grace = max(1, at_once), max(1, per_facility), grace
        self._breaker = breaker or Breaker()
        self._pool = pool or ThreadPool()
        self._not_taken = 0
        self._urgent: Counter[str] = Counter()
        self._given_up: set[Call] = set()
        self._event: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._done: deque[Call] = deque()
        self._lock = threading.Lock()  # of the three below
        self._waiting: dict[str, tuple[deque[Call], deque[Call]]] = {}
        self._running: set[Call] = set()
        self._at_facility: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._not_taken

    @property
    def urgent(self) -> int:
        """How many urgent calls have not been taken back."""
        return self._urgent.total()

    @property
    def half(self) -> int:
        """Half of what one facility may be asked at a time, at least one."""
        return max(1, self._per_facility // 2)

    def room(self, facility: str) -> int:
        """How many urgent calls to this facility may be started: the others make room for them."""
        return max(0, min(self._at_once - self.urgent, self._per_facility - self._urgent[facility]))

    def start(self, key: Hashable, facility: str, function: Callable[[], Any], timeout: float, *, urgent: bool = True) -> None:
        """Run ``function`` in a thread as soon as there is room, for ``timeout`` seconds at most."""
        call = Call(key=key, facility=facility, function=function, timeout=timeout, urgent=urgent)
        self._not_taken += 1
        self._urgent[facility] += urgent
        with self._lock:
            self._waiting.setdefault(facility, (deque(), deque()))[not urgent].append(call)
        self._fill(facility)

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
        while urgent < most and self._done and (call := self.next_within(0)) is not None:
            found.append(call)
            urgent += call.urgent
        return found

    def next_within(self, seconds: float | None) -> Call | None:
        """The next call that ends or is overdue, or None where none does within so many seconds (it may be sooner)."""
        call = self._take(seconds)
        if call is not None:
            if not call.late:
                self._not_taken -= 1
                self._urgent[call.facility] -= call.urgent
            with self._lock:
                facilities = list(self._waiting)
            for facility in facilities:
                self._fill(facility)
        return call

    def leave(self, call: Call) -> Call | None:
        """For a thread of the pool: the call is over, its place is free; the call that the same thread runs next."""
        with self._lock:
            if call in self._running:
                self._running.discard(call)
                self._at_facility[call.facility] -= 1
                self._breaker.note(call)
            return self._next_of(call.facility)

    def done(self, call: Call) -> None:
        """For a thread of the pool: here is what came of it."""
        self._done.append(call)
        if call.urgent or len(self._done) >= HANDFUL or not self._running:
            self._event.put(None)

    def _take(self, seconds: float | None) -> Call | None:
        overdue = self._overdue()
        if overdue is not None:
            return overdue
        if not self._done:
            patience = min(LONG_ENOUGH if seconds is None else seconds, self._patience())
            with suppress(queue.Empty):
                self._event.get(timeout=max(0.0, patience))
        if not self._done:
            return self._overdue()
        call = self._done.popleft()
        if call in self._given_up:
            self._given_up.discard(call)
            call.late = True
        return call

    def _patience(self) -> float:
        with self._lock:
            ends = [call.started + call.timeout + self._grace for call in self._running]
        return min(ends) - time.monotonic() if ends else 0.1

    def _overdue(self) -> Call | None:
        if self._done:
            return None
        now = time.monotonic()
        with self._lock:
            call = next((call for call in self._running if now > call.started + call.timeout + self._grace), None)
            if call is None:
                return None
            self._running.discard(call)
            self._at_facility[call.facility] -= 1
            given_up = replace(call, error=Overdue(f'No reply within {call.timeout:g} s.'))
            self._breaker.note(given_up)
        self._given_up.add(call)
        return given_up

    def _fill(self, facility: str) -> None:
        while True:
            with self._lock:
                call = self._next_of(facility)
            if call is None:
                return
            self._pool.give(call, self)

    def _next_of(self, facility: str) -> Call | None:
        """The call of this facility that may start now, which is counted as running; the lock is held."""
        while facility in self._waiting and len(self._running) < self._at_once and self._at_facility[facility] < self._per_facility:
            urgent, others = self._waiting[facility]
            call = (urgent or others).popleft()
            if not urgent and not others:
                del self._waiting[facility]
            if not self._breaker.open(facility):
                call.started = time.monotonic()
                self._running.add(call)
                self._at_facility[facility] += 1
                return call
            call.error = NotAsked(self._breaker.why(facility))
            self.done(call)
        return None


class ThreadPool:
    """Daemon threads that run calls one after the other; one that hangs is left behind, and another takes its place."""

    IDLE = 5.0

    def __init__(self) -> None:
        """There is no thread yet."""
        self._inbox: queue.SimpleQueue[tuple[Call, Calls]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0

    def give(self, call: Call, calls: Calls) -> None:
        """Have the call run at once: by an idle thread, or by a new one."""
        with self._lock:
            needed = self._idle == 0
            self._idle -= not needed
        self._inbox.put((call, calls))
        if needed:
            threading.Thread(target=self._work, daemon=True, name='facility call').start()

    def _work(self) -> None:
        while True:
            try:
                call, calls = self._inbox.get(timeout=self.IDLE)
            except queue.Empty:
                with self._lock:
                    if self._idle > 0:
                        self._idle -= 1
                        return
                continue
            self._run_on(call, calls)

    def _run_on(self, call: Call, calls: Calls) -> None:
        following: Call | None = call
        while following is not None:
            call = following
            call.context.run(_run, call)
            following = calls.leave(call)
            if following is None:  # before the answer is seen: whoever sees it finds an idle thread
                with self._lock:
                    self._idle += 1
            calls.done(call)


def _run(call: Call) -> None:
    try:
        with deadline(call.timeout):
            call.result = call.function()
    except SystemExit as error:  # a site's code that calls sys.exit() ends its own call, and nobody's run
        call.error = RuntimeError(f'It called sys.exit({error.code!r}).')
    except BaseException as error:  # whatever a facility raises belongs to its own cadence
        call.error = error
    finally:
        with suppress(Exception):  # a database that is lost must not lose what the facility answered
            connections.close_all()
