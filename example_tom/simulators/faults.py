"""Faults that a simulated server commits on demand: a queue a verb, each with a count."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

#: Where the fault strikes: the work was not done, or it was done and only the reply suffers.
BEFORE = ('500-before', '503', '403', '404', 'reset-before', 'refuse', 'empty-ids', 'same-id', 'hang', 'late')
AFTER = ('500-after', 'reset-after', 'malformed-after', 'hang-after')


@dataclass
class Fault:
    """One wish: commit ``kind`` for the next ``count`` requests whose text contains ``match``."""

    kind: str
    count: int = 1
    match: str = ''
    errors: dict[str, list[str]] = field(default_factory=lambda: {'non_field_errors': ['Not visible in this window.']})

    def __post_init__(self) -> None:
        """Refuse a kind that no server commits."""
        if self.kind not in BEFORE + AFTER:
            raise ValueError(f'unknown fault {self.kind!r}; known: {", ".join(BEFORE + AFTER)}')


class Faults:
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
                if fault.match in text:
                    fault.count -= 1
                    if fault.count <= 0:
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
            queued = {verb: [asdict(fault) for fault in faults] for verb, faults in self._queues.items() if faults}
            return {'queued': queued, 'committed': dict(self.committed), 'waiting': self.waiting}
