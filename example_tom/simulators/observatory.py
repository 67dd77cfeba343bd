"""A simulated observatory behind real HTTP: an own process with an own storage, or a server in a thread of a test.

As a process: ``python observatory.py --port 0 --storage DIR --seed 7`` prints ``{"port": ..., "url": ...}`` first.
In a test: ``with serve(Observatory(seed=7)) as server: server.url, server.observatory.fault('submit', '500-after')``.

API (header ``Authorization: Token ...``), and where each reply's shape comes from. "OCS" is a real observation portal
4.18.10, tried with tomtoolkit 3.1.0 (shared/demand-and-defects.md, end); the field names are this observatory's own.

``POST /api/observations/``
    books: 201 ``{"id", "name", "state", "created", ...}``. No idempotency key: the same POST twice makes two (OCS).
    A refusal is 400 with ``{"field": ["text"]}`` (OCS).
``POST /api/observations/validate/``
    answers 200 with ``{"errors": {...}}``, also when invalid (OCS).
``GET /api/observations/<id>/``
    ``state``, ``scheduled_start``, ``scheduled_end`` (null before it began; the toolkit's facility interface).
``GET /api/observations/?ids=1,2``
    many at once; unknown ids are left out (OCS: the list carries each request's id and state).
``GET /api/observations/?name=<contains>&created_after=<iso>&limit=&offset=``
    ``{"count", "next", "results"}``, newest first (OCS: ``name`` is a contains-filter).
``POST /api/observations/<id>/cancel/``
    the observation; one that is terminal already stays as it is.

A bad or missing token: 403, never 401. Unknown or not yours: 404. A time without an offset is UTC. Terminal is not
final: WINDOW_EXPIRED and FAILURE_LIMIT_REACHED can become COMPLETED, COMPLETED can go back to PENDING (all OCS).

Control, without a token, JSON in and out; each is a method or attribute of ``Observatory`` as well:
``/control/clock`` (GET; POST ``now``, ``frozen``, ``advance`` in seconds, ``real``), ``/control/sky`` (``clouds`` and
``failures`` 0..1, ``nights`` {date: clear|cloudy}), ``/control/state`` (``id``, ``state``: at once, any state),
``/control/plan`` (``state`` and ``id`` or ``count``: in its slot), ``/control/latency`` (``seconds``, ``verb``),
``/control/fault`` (``verb``, ``kind``, ``count``, ``match``, ``errors``; GET), ``/control/release``, ``/control/log``
(GET, ``?since=id``), ``/control/requests`` (GET), ``/control/reset``.
Verbs: submit, validate, status (single and ?ids=), list, cancel.

Faults: ``500-before`` ``503`` ``403`` ``404`` ``reset-before`` ``refuse`` (nothing booked); ``500-after``
``reset-after`` ``malformed-after`` (booked, reply lost); ``hang`` (never booked; no answer until released or the client
leaves, then the line is cut); ``hang-after`` (booked; answered when released); ``late`` (booked and answered only when
released, even if the client has left meanwhile); ``empty-ids`` (201 without an id, nothing booked); ``same-id`` (201
with the id of the newest booking, nothing booked).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

if __name__ == '__main__':  # run as a script: let the package be found
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from simulators.bookings import Book, Booking, errors_in
from simulators.faults import Fault, Faults
from simulators.sky import Clock, Sky, read_instant
from simulators.web import serve

VERBS = ('submit', 'validate', 'status', 'list', 'cancel')
TOKENS = {'example-token': 'tom', 'other-token': 'somebody else'}


class Observatory:
    """The observatory itself: its book, clock, sky, faults and log. Safe to use from many threads."""

    def __init__(self, storage: Path | None = None, seed: int = 0, tokens: Mapping[str, str] | None = None) -> None:
        """Open the book in the folder ``storage`` (None: in memory)."""
        self.clock = Clock()
        self.sky = Sky(seed=seed)
        self.faults = Faults()
        self.book = Book(storage, self.clock, self.sky)
        self.tokens = dict(TOKENS if tokens is None else tokens)
        self.latency: dict[str, float] = {}
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.lost: dict[int, str] = {}

    def begin(self, verb: str) -> None:
        """Count a request and let its latency pass."""
        with self._lock:
            self.requests[verb] += 1
            self.at_once[verb] += 1
            self.most_at_once[verb] = max(self.most_at_once[verb], self.at_once[verb])
        delay = self.latency.get(verb, self.latency.get('', 0.0))
        if delay:
            time.sleep(delay)

    def end(self, verb: str, status: int) -> None:
        """Count a reply; status 0 is a line cut without one."""
        with self._lock:
            self.at_once[verb] -= 1
            self.replies[f'{verb} {status}'] += 1

    def submit(self, asked: Mapping[str, Any], owner: str, lost: str = '') -> tuple[int, dict[str, Any]]:
        """Book or refuse; ``lost`` notes in the log that no good reply will follow."""
        errors = errors_in(asked, self.clock.now())
        if errors:
            return 400, errors
        booking = self.book.accept(asked, owner)
        if lost:
            self.lost[booking.id] = lost
        return 201, booking.as_reply()

    def advance(self, seconds: float = 0.0, *, hours: float = 0.0) -> datetime:
        """Let time pass; the new instant."""
        self.clock.advance(seconds + 3600 * hours)
        return self.clock.now()

    def set_clock(self, instant: datetime | str, *, frozen: bool = False) -> None:
        """Let it be this instant now."""
        self.clock.set(read_instant(instant) if isinstance(instant, str) else instant, frozen=frozen)

    def set_sky(self, clouds: float | None = None, failures: float | None = None, nights: Mapping[str, str] | None = None) -> None:
        """Change the probabilities of a cloudy night and of a failure, or fix nights by date."""
        self.sky.clouds = self.sky.clouds if clouds is None else clouds
        self.sky.failures = self.sky.failures if failures is None else failures
        self.sky.nights |= {date.fromisoformat(day): outcome for day, outcome in (nights or {}).items()}

    def set_state(self, key: str | int, state: str) -> Booking:
        """Give an observation a state at once, whatever it had (late changes too)."""
        return self.book.set_state(key, state)

    def plan(self, state: str, *, key: str | int | None = None, count: int = 1) -> None:
        """Fix the outcome in its slot of one observation, or of the next ``count``."""
        self.book.plan(state, key=key, count=count)

    def fault(self, verb: str, kind: str, count: int = 1, match: str = '', errors: dict[str, list[str]] | None = None) -> None:
        """Commit a fault in the next ``count`` requests of a verb whose name or id contains ``match``."""
        if verb not in VERBS:
            raise ValueError(f'unknown verb {verb!r}; known: {", ".join(VERBS)}')
        self.faults.add(verb, Fault(kind, count, match, **({'errors': errors} if errors else {})))

    def release(self) -> None:
        """Let go the requests that hang now."""
        self.faults.release()

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Every submission that was accepted, oldest first, with its state now.

        ``fields`` is all that was sent; ``beside`` are the bookings of the same target and filter that were still open
        when it was booked; ``lost`` is the fault that took its reply.
        """
        return [asdict(each) | {'lost': self.lost.get(each.id, '')} for each in self.book.everything(since)]

    def counts(self) -> dict[str, Any]:
        """How many requests of each verb came, how they were answered, and how many at once at most."""
        with self._lock:
            return {
                'requests': dict(self.requests),
                'replies': dict(self.replies),
                'most_at_once': dict(self.most_at_once),
            }

    def reset(self) -> None:
        """Forget everything but the seed: bookings, clock, sky, faults, latency, counts."""
        self.faults.clear()
        self.book.clear()
        self.clock.reset()
        self.sky.clouds = self.sky.failures = 0.0
        self.sky.nights.clear()
        with self._lock:
            for kept in (self.latency, self.requests, self.replies, self.most_at_once, self.lost):
                kept.clear()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description='A simulated observatory.')
    parser.add_argument('--host', default='127.0.0.1')
    parser.add_argument('--port', type=int, default=8900, help='0: any free one')
    parser.add_argument('--storage', type=Path, help='folder of its book; default: in memory')
    parser.add_argument('--seed', type=int, default=0, help='of weather and failures')
    parser.add_argument('--attached', action='store_true', help='stop when standard input ends')
    options = parser.parse_args()
    if options.storage:
        options.storage.mkdir(parents=True, exist_ok=True)
    server = serve(Observatory(options.storage, options.seed), options.host, options.port)
    sys.stdout.write(json.dumps({'port': server.port, 'url': server.url}) + '\n')
    sys.stdout.flush()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.attached:

        def follow() -> None:
            sys.stdin.read()
            stop.set()

        threading.Thread(target=follow, daemon=True).start()
    stop.wait()
    server.close()


if __name__ == '__main__':
    main()
