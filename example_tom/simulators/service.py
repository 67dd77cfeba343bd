"""What every simulated service has: clock, options, faults, latency, counts, storage and ``/control/``.

A service is a subclass of ``Service``; ``server.serve(service)`` puts it on a port. Control needs no login, takes and
gives JSON, and is found at ``{server.url}/control/...`` as well as at the root of the host:

``clock`` (GET; POST ``now`` ISO text, ``advance`` seconds, ``frozen`` true or false, ``real`` true)
``fault`` (GET; POST ``verb``, ``kind``, ``count``, ``match``, ``skip``, ``seconds``, ``text``, ``origin``; ``clear``)
``release`` (let go what hangs or trickles), ``latency`` (``seconds``, ``verb``: empty for all), ``log`` (GET,
``?since=id``), ``requests`` (GET), ``reset``, ``options`` (GET; POST any of the service's options by name)
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from simulators.faults import KINDS, Fault, FaultQueues

UTC = timezone.utc
TIMES_KEPT = 2000


class Clock:
    """Real time until it is set; then it goes on from there, or stands still if it is frozen."""

    def __init__(self) -> None:
        """Start as the real clock."""
        self.offset = timedelta()
        self.frozen_at: datetime | None = None

    def now(self) -> datetime:
        """The service's instant, aware UTC."""
        return self.frozen_at or datetime.now(UTC) + self.offset

    def set(self, instant: datetime, *, frozen: bool = False) -> None:
        """Let it be ``instant`` now."""
        self.offset = instant - datetime.now(UTC)
        self.frozen_at = instant if frozen else None

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.set(self.now() + timedelta(seconds=seconds), frozen=self.frozen_at is not None)

    def reset(self) -> None:
        """Be the real clock again."""
        self.offset, self.frozen_at = timedelta(), None


def read_instant(value: object) -> datetime:
    """An aware instant from ISO text; without an offset it is UTC (as at a real portal). ValueError if it is none."""
    if not isinstance(value, str):
        raise ValueError('not a text')
    text = value.strip()
    instant = datetime.fromisoformat(text[:-1] + '+00:00' if text.endswith('Z') else text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


@dataclass
class Request:
    """One request as a service sees it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    base: str
    peer: str = ''
    number: int = 0

    def get(self, name: str, default: str = '') -> str:
        """The last value of a query parameter."""
        return self.query.get(name, [default])[-1]


@dataclass
class Answer:
    """What a service answers."""

    status: int = 200
    body: bytes = b''
    kind: str = 'application/json'
    headers: dict[str, str] = field(default_factory=dict)


def as_json(status: int, reply: Any, **headers: str) -> Answer:
    """A JSON answer, written without blanks as Django REST framework does."""
    named = {name.replace('_', '-'): value for name, value in headers.items()}
    return Answer(status, json.dumps(reply, separators=(',', ':')).encode(), headers=named)


def as_text(status: int, text: str | bytes, kind: str = 'text/plain; charset=utf-8') -> Answer:
    """A text or HTML answer."""
    return Answer(status, text if isinstance(text, bytes) else text.encode(), kind)


def fields_of(request: Request) -> dict[str, Any]:
    """The fields of a form or of a JSON object; ValueError says what else it was."""
    if 'json' not in request.headers.get('content-type', ''):
        form = parse_qs(request.body.decode('utf-8', 'replace'), keep_blank_values=True)
        return {name: values[-1] for name, values in form.items()}
    said = json.loads(request.body or b'{}')
    if not isinstance(said, dict):
        raise TypeError(type(said).__name__)
    return said


class Shelf:
    """JSON rows by number in an SQLite file, or nowhere; the caller holds the service's lock."""

    def __init__(self, storage: Path | None, name: str) -> None:
        """Open the file in the folder ``storage``."""
        self._file = None
        if storage is not None:
            self._file = sqlite3.connect(storage / f'{name}.sqlite3', check_same_thread=False, isolation_level=None)
            self._ask('PRAGMA journal_mode=WAL')
            self._ask('PRAGMA synchronous=OFF')
            self._ask('CREATE TABLE IF NOT EXISTS rows (shelf TEXT, id INTEGER, data TEXT, PRIMARY KEY (shelf, id))')

    def _ask(self, text: str, *values: Any) -> list[Any]:
        return [] if self._file is None else self._file.execute(text, values).fetchall()

    def put(self, shelf: str, key: int, row: Any) -> None:
        """Write one row."""
        if self._file is not None:
            self._ask('INSERT OR REPLACE INTO rows VALUES (?, ?, ?)', shelf, key, json.dumps(asdict(row)))

    def drop(self, shelf: str, key: int) -> None:
        """Remove one row."""
        self._ask('DELETE FROM rows WHERE shelf = ? AND id = ?', shelf, key)

    def rows(self, shelf: str) -> Iterator[dict[str, Any]]:
        """All rows, by number."""
        for (data,) in self._ask('SELECT data FROM rows WHERE shelf = ? ORDER BY id', shelf):
            yield json.loads(data)

    def clear(self) -> None:
        """Forget everything."""
        self._ask('DELETE FROM rows')

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class Service:
    """The base of a simulated service. Safe to use from many threads; ``lock`` guards all state."""

    name = 'service'
    prefix = ''
    verbs: tuple[str, ...] = ()
    url = ''  # the base that a client is given, once it is served
    kinds: tuple[str, ...] = ()  # faults of its own, beyond those of faults.py

    def __init__(self, options: Any = None, storage: Path | None = None, seed: int = 0) -> None:
        """Open the storage in the folder ``storage`` (None: in memory)."""
        self.options = options
        self.clock = Clock()
        self.faults = FaultQueues()
        self.seed = seed
        self.lock = threading.RLock()
        self.shelf = Shelf(storage, self.name)
        self.latency: dict[str, float] = {}  # seconds by verb; '' is for all others
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()
        self.times: dict[str, list[list[Any]]] = {}
        self.strays: list[dict[str, Any]] = []

    def verb(self, request: Request) -> str | None:
        """What a request is about; None: no address of this service."""
        raise NotImplementedError

    def about(self, verb: str, request: Request) -> str:
        """The text in which a fault's ``match`` is looked for."""
        body = request.body.decode('utf-8', 'replace')
        body = body if 'json' in request.headers.get('content-type', '') else unquote_plus(body)
        return f'{request.path} {request.query} {body}'

    def key(self, verb: str, request: Request) -> str:
        """Which task's clockwork of requests this one belongs to; empty: none."""
        return ''

    def work(self, verb: str, request: Request, lost: str) -> Answer:
        """Do what is asked; ``lost`` names the fault that will take the answer."""
        raise NotImplementedError

    def commit(self, fault: Fault, verb: str, request: Request) -> Answer:
        """The answer of a fault of the service's own ``kinds``."""
        raise NotImplementedError

    def estranged(self, answer: Answer, request: Request, origin: str) -> Answer:
        """The answer with its addresses moved to another origin."""
        home = request.base.removesuffix(self.prefix)
        answer.body = answer.body.replace(home.encode(), origin.rstrip('/').encode())
        answer.headers = {name: value.replace(home, origin.rstrip('/')) for name, value in answer.headers.items()}
        return answer

    def begin(self, verb: str, request: Request) -> None:
        """Count a request, give it its number among those of its verb, and let its latency pass."""
        key = self.key(verb, request)
        with self.lock:
            self.requests[verb] += 1
            self.at_once[verb] += 1
            self.most_at_once[verb] = max(self.most_at_once[verb], self.at_once[verb])
            if key:
                seen = self.times.setdefault(key, [])
                seen.append([verb, self.clock.now().isoformat(), time.time()])
                del seen[:-TIMES_KEPT]
            request.number = self.requests[verb]
            delay = self.latency.get(verb, self.latency.get('', 0.0))
        if delay:
            time.sleep(delay)

    def end(self, verb: str, status: int) -> None:
        """Count a reply; status 0 is a line cut without one."""
        with self.lock:
            self.at_once[verb] -= 1
            self.replies[f'{verb} {status}'] += 1

    def stray(self, request: Request, why: str) -> None:
        """Note a request that should not have come here."""
        with self.lock:
            carried = sorted({name for name in ('authorization', 'cookie') if name in request.headers})
            host = request.headers.get('host', '')
            self.strays.append({'why': why, 'host': host, 'method': request.method, 'path': request.path, 'carried': carried})

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Everything that was accepted after the entry ``since``, oldest first: what a test may believe."""
        raise NotImplementedError

    def counts(self) -> dict[str, Any]:
        """Requests and replies by verb, how many came at once at most, when each task was asked for, and what went astray."""
        with self.lock:
            return {
                'requests': dict(self.requests),
                'replies': dict(self.replies),
                'most_at_once': dict(self.most_at_once),
                'times': {key: list(seen) for key, seen in self.times.items()},
                'foreign': any(each['why'] == 'host' for each in self.strays),
                'strays': list(self.strays),
            }

    def fault(self, verb: str, kind: str, count: int = 1, match: str = '', **more: Any) -> None:
        """Commit a fault in the next ``count`` requests of a verb that contain ``match`` (see faults.py)."""
        if verb not in self.verbs:
            raise ValueError(f'unknown verb {verb!r}; known: {", ".join(self.verbs)}')
        fault = Fault(str(kind), count, match, **more)
        if fault.kind not in KINDS + self.kinds:
            raise ValueError(f'unknown fault {kind!r}; known: {", ".join(KINDS + self.kinds)}')
        self.faults.add(verb, fault)

    def release(self) -> None:
        """Let go the requests that hang now."""
        self.faults.release()

    def set_clock(self, instant: datetime | str, *, frozen: bool = False) -> None:
        """Let it be this instant now."""
        self.clock.set(read_instant(instant) if isinstance(instant, str) else instant, frozen=frozen)

    def advance(self, seconds: float = 0.0, *, hours: float = 0.0, days: float = 0.0) -> datetime:
        """Let time pass; the new instant."""
        with self.lock:
            self.clock.advance(seconds + timedelta(hours=hours, days=days).total_seconds())
            return self.clock.now()

    def configure(self, **changes: Any) -> None:
        """Change options by name."""
        known = {each.name for each in fields(self.options)} if self.options else set()
        if set(changes) - known:
            raise ValueError(f'unknown option; known: {", ".join(sorted(known))}')
        with self.lock:
            for name, value in changes.items():
                setattr(self.options, name, value)

    def set_latency(self, seconds: float, verb: str = '') -> None:
        """Let each request of a verb (empty: every request) take so long."""
        self.latency[verb] = float(seconds)

    def reset(self) -> None:
        """Forget everything but seed and options."""
        self.faults.clear()
        self.clock.reset()
        with self.lock:
            self.shelf.clear()
            for kept in (self.latency, self.requests, self.replies, self.most_at_once, self.times, self.strays):
                kept.clear()

    def close(self) -> None:
        """Close the storage."""
        with self.lock:
            self.shelf.close()

    def deeds(self) -> dict[str, Callable[..., Any]]:
        """What ``/control/<name>`` does with the fields it was sent."""
        return {
            'clock': self._clock,
            'fault': self._fault,
            'release': self.release,
            'log': lambda since=0: self.log(int(since)),
            'requests': self.counts,
            'reset': self.reset,
            'options': self._options,
            'latency': self.set_latency,
        }

    def control(self, name: str, said: dict[str, Any]) -> tuple[int, Any]:
        """Answer a request to ``/control/<name>``."""
        deeds = self.deeds()
        if name not in deeds:
            return 404, {'detail': f'Known: {", ".join(deeds)}'}
        try:
            done = deeds[name](**said)
        except (KeyError, TypeError, ValueError) as error:
            return 400, {'detail': repr(error)}
        return 200, {'now': self.clock.now().isoformat()} if done is None else done

    def _clock(self, now: str = '', advance: float = 0.0, frozen: bool | None = None, real: bool = False) -> None:
        if real:
            self.clock.reset()
        stands = self.clock.frozen_at is not None if frozen is None else frozen
        if now or frozen is not None:
            self.clock.set(read_instant(now) if now else self.clock.now(), frozen=stands)
        if advance:
            self.advance(float(advance))

    def _fault(self, verb: str = '', kind: str = '', clear: bool = False, **more: Any) -> Any:
        if clear:
            self.faults.clear()
        if verb or kind:
            self.fault(verb, kind, **more)
        return self.faults.as_json()

    def _options(self, **changes: Any) -> Any:
        self.configure(**changes)
        return asdict(self.options) if self.options else {}
