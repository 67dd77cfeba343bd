"""What every simulated server rehearses faults with: a queue a verb, each fault with a count, and a gate where requests hang."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict
from typing import Any, Generic, Protocol, TypeVar


class Wish(Protocol):
    """A fault that is wished for: its kind, and for how many requests (-1: for ever)."""

    kind: str
    count: int

    def strikes(self, text: str) -> bool:
        """Whether a request with this text meets it."""


W = TypeVar('W', bound=Wish)


class Queues(Generic[W]):
    """The queues, safe to use from many threads, and the gate at which hanging requests wait."""

    def __init__(self) -> None:
        """Start without faults."""
        self._lock = threading.Lock()
        self._queues: dict[str, list[W]] = {}
        self._gate = threading.Event()
        self.committed: Counter[str] = Counter()
        self.waiting = 0

    def add(self, verb: str, wish: W) -> None:
        """Queue a fault for a verb."""
        with self._lock:
            self._queues.setdefault(verb, []).append(wish)

    def take(self, verb: str, text: str) -> W | None:
        """The fault that this request meets, counted down."""
        if not self._queues.get(verb):
            return None
        with self._lock:
            for wish in self._queues[verb]:
                if not wish.strikes(text):
                    continue
                if wish.count > 0:
                    wish.count -= 1
                    if not wish.count:
                        self._queues[verb].remove(wish)
                self.committed[f'{verb} {wish.kind}'] += 1
                return wish
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
            queued = {verb: [asdict(each) for each in wishes] for verb, wishes in self._queues.items() if wishes}  # type: ignore[call-overload]
            return {'queued': queued, 'committed': dict(self.committed), 'waiting': self.waiting}
