"""Faults that a simulated server commits on demand: a queue a verb, each fault with a count, and a gate where requests hang.

Kinds. Nothing is done: ``500`` ``503`` ``401`` ``403`` ``404`` ``429`` (Retry-After ``seconds``, body ``text``) ``html``
(200 with an HTML page, ``text`` inside) ``empty`` (200, no body) ``malformed`` (200, broken JSON) ``reset`` (RST)
``hang`` (no answer until released or the client leaves, then the line is cut) ``redirect-foreign`` (302 to ``origin``).
``text`` is the ``detail`` of an error, or its whole body if it is JSON; ``seconds`` is also the Retry-After of a 503.
Who wants to say so may write ``-before`` behind these.
The work is done and its reply lost: ``500-after`` ``503-after`` ``429-after`` ``html-after`` ``empty-after``
``malformed-after`` ``reset-after`` ``hang-after`` (answered when released, if the client still waits) ``late`` (done and
answered only when released, even if the client has left meanwhile).
The work is done and the reply comes, but oddly: ``foreign-url`` (every own address in it moved to ``origin``) ``slow``
(a byte each ``seconds``) ``huge`` (a body without end) ``cut`` (half of the body, then the line is cut).
A service may have kinds of its own.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

PLAIN = ('500', '503', '401', '403', '404', '429', 'html', 'empty', 'malformed')
BEFORE = (*PLAIN, 'reset', 'hang', 'redirect-foreign')
LOST = ('500-after', '503-after', '429-after', 'html-after', 'empty-after', 'malformed-after')
AFTER = (*LOST, 'reset-after', 'hang-after', 'late')
ODD = ('foreign-url', 'slow', 'huge', 'cut')
KINDS = BEFORE + AFTER + ODD


@dataclass
class Fault:
    """One wish: let ``skip`` fitting requests pass, then commit ``kind`` for the next ``count`` (-1: for ever)."""

    kind: str
    count: int = 1
    match: str = ''
    skip: int = 0
    seconds: float | None = None
    text: str | None = None
    origin: str = 'http://evil.example'

    def __post_init__(self) -> None:
        """Take ``500-before`` for ``500``."""
        self.kind = self.kind.removesuffix('-before')

    def strikes(self, text: str) -> bool:
        """Whether this request meets the fault; a fitting one that is let pass is counted."""
        if self.match not in text:
            return False
        self.skip -= 1
        return self.skip < 0


class FaultQueues:
    """The queues, safe to use from many threads, and the gate at which hanging requests wait."""

    def __init__(self) -> None:
        """Start without faults."""
        self._lock = threading.Lock()
        self._queues: dict[str, list[Fault]] = {}
        self._gate = threading.Event()
        self.committed: Counter[str] = Counter()
        self.waiting = 0

    def add(self, verb: str, fault: Fault) -> None:
        """Queue a fault for a verb."""
        with self._lock:
            self._queues.setdefault(verb, []).append(fault)

    def take(self, verb: str, text: str) -> Fault | None:
        """The fault that this request meets, counted down."""
        if not self._queues.get(verb):
            return None
        with self._lock:
            for fault in self._queues[verb]:
                if not fault.strikes(text):
                    continue
                if fault.count > 0:
                    fault.count -= 1
                    if not fault.count:
                        self._queues[verb].remove(fault)
                self.committed[f'{verb} {fault.kind}'] += 1
                return fault
        return None

    def clear(self) -> None:
        """Forget what is queued and let go what waits."""
        with self._lock:
            self._queues.clear()
            self.committed.clear()
        self.release()

    def release(self) -> None:
        """Let go every request that waits now; later ones wait again."""
        with self._lock:
            gate, self._gate = self._gate, threading.Event()
        gate.set()

    def gate(self) -> threading.Event:
        """What a request that must hang waits for."""
        with self._lock:
            return self._gate

    def enter(self, step: int) -> None:
        """Count a request that begins (1) or ends (-1) to hang."""
        with self._lock:
            self.waiting += step

    def as_json(self) -> dict[str, Any]:
        """What is queued, what was committed, how many requests hang."""
        with self._lock:
            queued = {verb: [asdict(each) for each in faults] for verb, faults in self._queues.items() if faults}
            return {'queued': queued, 'committed': dict(self.committed), 'waiting': self.waiting}
