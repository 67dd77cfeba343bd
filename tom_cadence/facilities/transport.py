"""What a facility class does on the line: how long it may take, and what of it may have arrived.

The toolkit's facilities call ``requests`` without a timeout, and a thread cannot be killed. So the deadline of the running
call is kept in a context variable, and one hook in the transport of ``requests`` turns what is left of it into the timeout
of each request. Outside a call it changes nothing. The app's other patch is ``interception``.

A timeout bounds each read, not the whole answer. Python tells an audit hook of every connection that is opened and of every
request that ``http.client`` writes, whichever library asked for it; with these the connections of a call that outlives its
deadline are shut down, and it is known whether anything but a question may have left.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NameResolutionError, NewConnectionError

AGAIN = 1.0
"""Seconds after which a call that goes on all the same is interrupted again."""
SLACK = 0.5
"""Seconds after the deadline for a timeout of the transport's own, which says more."""
QUESTIONS = ('GET', 'HEAD', 'OPTIONS')
_HARMLESS = (b'GET ', b'HEAD ', b'OPTIONS ', b'CONNECT ')
_ELSEWHERE = frozenset(
    {
        '_thread.start_new_thread',
        '_thread.start_joinable_thread',
        'subprocess.Popen',
        'os.fork',
        'os.forkpty',
        'os.exec',
        'os.spawn',
    }
    | {'os.posix_spawn', 'os.system', 'socket.sendto', 'socket.sendmsg'}
)
_HEARD = _ELSEWHERE | {'socket.connect', 'http.client.send'}
_hooked = '_tom_cadence_deadline_hook'
_bound: contextvars.ContextVar[BoundedCall | None] = contextvars.ContextVar('tom_cadence_bound', default=None)
_traffic: contextvars.ContextVar[Traffic | None] = contextvars.ContextVar('tom_cadence_traffic', default=None)


class Overdue(Exception):
    """The call did not end within its deadline."""


class DeadlineExceeded(requests.exceptions.ConnectTimeout):
    """The deadline had passed before this request was sent: nothing reached the facility."""


# --- what may have arrived ------------------------------------------------------------------------------------------


@dataclass(eq=False)
class HttpAttempt:
    """One request through the transport of ``requests``; ``left`` where the facility may have it."""

    method: str
    left: bool = False
    status: int | None = None
    retry_after: str = ''
    error: BaseException | None = None

    @property
    def is_question(self) -> bool:
        """Whether it only asked."""
        return self.method in QUESTIONS


@dataclass(eq=False)
class Traffic:
    """What left in one call, in order; ``unseen`` where something may have left by a way that cannot be watched."""

    attempts: list[HttpAttempt] = field(default_factory=list)
    unseen: bool = False
    current: HttpAttempt | None = None

    @property
    def orders(self) -> list[HttpAttempt]:
        """The attempts that the facility may have, and that were more than questions."""
        return [attempt for attempt in self.attempts if attempt.left and not attempt.is_question]

    @property
    def silent(self) -> bool:
        """Whether it is proven that the facility got no more than questions."""
        return not self.unseen and not self.orders

    def raised(self, error: BaseException) -> bool:
        """Whether this very error came out of one of the attempts that were watched."""
        return any(attempt.error is error for attempt in self.attempts)


_open: set[Traffic] = set()


@contextmanager
def watched() -> Iterator[Traffic]:
    """Watch what leaves inside the block."""
    traffic = Traffic()
    token = _traffic.set(traffic)
    _open.add(traffic)
    try:
        yield traffic
    finally:
        _open.discard(traffic)
        _traffic.reset(token)


def is_watched() -> bool:
    """Whether the running call is one of ours."""
    return _traffic.get() is not None


def never_connected(error: BaseException) -> bool:
    """Whether a transport's error says that there was no connection: no address, nobody listening, no time left."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    if not isinstance(error, requests.exceptions.ConnectionError) or isinstance(error, requests.exceptions.ReadTimeout):
        return False
    reason = getattr(error.args[0], 'reason', error.args[0]) if error.args else None
    return isinstance(reason, (NewConnectionError, NameResolutionError))


def without_connection(error: BaseException) -> bool:
    """Whether the name leads nowhere or nobody listens; a connection that took too long may be made the next time."""
    return never_connected(error) and not isinstance(error, requests.exceptions.Timeout)


def _attempt(request: requests.PreparedRequest, traffic: Traffic | None) -> HttpAttempt:
    attempt = HttpAttempt(method=str(request.method or '').upper())
    if traffic is not None:
        traffic.attempts.append(attempt)
        traffic.current = attempt
    return attempt


# --- how long it may take -------------------------------------------------------------------------------------------


@dataclass(eq=False)
class BoundedCall:
    """The end of a call, and the connections it opened: {descriptor: inode}."""

    seconds: float
    end: float
    outer: BoundedCall | None
    connections: dict[int, int] = field(default_factory=dict)
    shut: bool = False

    def note(self, descriptor: int) -> None:
        """Remember a connection of this call."""
        with suppress(OSError):
            self.connections[descriptor] = os.fstat(descriptor).st_ino
            if self.outer is not None:
                self.outer.note(descriptor)

    def shut_down(self) -> None:
        """End every connection that is still open, so that whoever reads from it wakes up."""
        for descriptor, inode in list(self.connections.items()):
            with suppress(OSError):
                copy = os.dup(descriptor)
                with socket.socket(fileno=copy) as line:
                    if os.fstat(copy).st_ino == inode:  # the number may belong to another file by now
                        self.shut = True  # before the reader wakes up
                        line.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """One daemon thread that ends the connections of calls that outlive their deadline."""

    def __init__(self) -> None:
        """It begins with the first call."""
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, BoundedCall]] = []
        self._number = itertools.count()
        self._watched: set[BoundedCall] = set()
        self._pid = 0

    def add(self, bound: BoundedCall, seconds: float) -> None:
        """Watch this call."""
        with self._changed:
            self._watched.add(bound)
            heapq.heappush(self._heap, (monotonic() + max(0.0, seconds) + SLACK, next(self._number), bound))
            if self._pid != os.getpid():  # threads do not survive a fork
                self._pid = os.getpid()
                threading.Thread(target=self._work, daemon=True, name='facility deadlines').start()
            elif self._heap[0][2] is bound:
                self._changed.notify()

    def remove(self, bound: BoundedCall) -> None:
        """The call is over."""
        with self._changed:
            self._watched.discard(bound)

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._heap and self._heap[0][2] not in self._watched:
                    heapq.heappop(self._heap)
                left = self._heap[0][0] - monotonic() if self._heap else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                _, number, bound = heapq.heappop(self._heap)
                bound.shut_down()
                heapq.heappush(self._heap, (monotonic() + AGAIN, number, bound))


_watchdog = Watchdog()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Give everything inside the block ``seconds`` in all; an outer deadline that is nearer stays in force.

    Raises Overdue where connections of the block had to be shut down, whatever the block made of it. What computes or
    sleeps without a connection is not interrupted.
    """
    outer, mine = _bound.get(), time.monotonic() + seconds
    bound = BoundedCall(seconds=seconds, end=mine if outer is None else min(mine, outer.end), outer=outer)
    token = _bound.set(bound)
    _watchdog.add(bound, bound.end - time.monotonic())
    try:
        yield
    except Exception as error:
        if bound.shut:
            raise Overdue(f'No reply within {seconds:g} s.') from error
        raise
    else:
        if bound.shut:
            raise Overdue(f'No reply within {seconds:g} s.')
    finally:
        _watchdog.remove(bound)
        _bound.reset(token)


def remaining() -> float | None:
    """Seconds left of the running call, or None outside one."""
    bound = _bound.get()
    return None if bound is None else bound.end - time.monotonic()


# --- the two places where it is seen --------------------------------------------------------------------------------


def install_transport_hook() -> None:
    """Make the transport of ``requests`` honour the deadline, and listen to connections; a second call does nothing."""
    original = HTTPAdapter.send
    if getattr(original, _hooked, False):
        return

    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        left, traffic = remaining(), _traffic.get()
        around = traffic.current if traffic is not None else None
        attempt = _attempt(request, traffic)
        try:
            if left is not None:
                if left <= 0:
                    raise DeadlineExceeded('The time for this call was over before the request was sent.', request=request)
                args, kwargs = _shortened(args, kwargs, left)
            response = original(self, request, *args, **kwargs)
        except BaseException as error:
            attempt.error = error
            attempt.left = attempt.left or not never_connected(error)
            raise
        finally:
            if traffic is not None:
                traffic.current = around
        attempt.left, attempt.status = True, response.status_code
        attempt.retry_after = str(response.headers.get('Retry-After', ''))
        return response

    setattr(send, _hooked, True)
    HTTPAdapter.send = send  # type: ignore[method-assign]
    if not _listening:
        sys.addaudithook(_audit_hook)
        _listening.append(True)


_listening: list[bool] = []


def _audit_hook(event: str, args: tuple[Any, ...], heard: frozenset[str] = _HEARD) -> None:
    """Python's word that something happens in this thread. An error here ends it: after the deadline nothing is sent."""
    if event not in heard:
        return
    traffic, bound = _traffic.get(), _bound.get()
    if traffic is None and bound is None:
        _audit_other_threads(event, args)
        return
    if bound is not None and event in ('http.client.send', 'socket.connect') and bound.end <= time.monotonic():
        raise TimeoutError('The time for this call was over before anything was sent.')
    with suppress(Exception):
        if event == 'http.client.send':
            _written(args[0], args[1], traffic, bound)
        elif event == 'socket.connect':
            if bound is not None:
                bound.note(args[0].fileno())
            if traffic is not None and traffic.current is None and not isinstance(args[1], (str, bytes)):
                traffic.unseen = True  # a local socket, of a database for example, leads to no facility
        elif traffic is not None and event in _ELSEWHERE and traffic.current is None:
            traffic.unseen = True


def _audit_other_threads(event: str, args: tuple[Any, ...]) -> None:
    """Something left in a thread that belongs to none of our calls: a class may have started it, so no call is silent."""
    if _open and event in ('socket.connect', 'http.client.send'):
        local = event == 'socket.connect' and isinstance(args[1], (str, bytes))
        for traffic in () if local else list(_open):
            traffic.unseen = True


def _written(connection: Any, data: Any, traffic: Traffic | None, bound: BoundedCall | None) -> None:
    if bound is not None and connection.sock is not None:
        bound.note(connection.sock.fileno())
    if traffic is None or (isinstance(data, (bytes, bytearray)) and bytes(data[:8]).startswith(_HARMLESS)):
        return
    if traffic.current is None:
        traffic.unseen = True
    else:
        traffic.current.left = True


def _shortened(args: tuple[Any, ...], kwargs: dict[str, Any], left: float) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if len(args) > 1:
        return (args[0], _shorter(args[1], left), *args[2:]), kwargs
    return args, {**kwargs, 'timeout': _shorter(kwargs.get('timeout'), left)}


def _shorter(timeout: Any, left: float) -> Any:
    if timeout is None:
        return left
    if isinstance(timeout, tuple):
        return tuple(left if part is None else min(part, left) for part in timeout)
    return min(timeout, left) if isinstance(timeout, (int, float)) else timeout
