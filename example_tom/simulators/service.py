"""What the simulated photometry services share: clock, options, faults, counts, storage and ``/control/``.

A service is a subclass of ``Service``; ``wire.serve(service)`` puts it on a port. Control needs no login, takes and
gives JSON, and is found at ``{server.url}/control/...`` as well as at the root of the host:

``clock`` (GET; POST ``now`` ISO text, ``advance`` seconds, ``frozen`` true or false, ``real`` true)
``fault`` (GET; POST ``verb``, ``kind``, ``count``, ``match``, ``skip``, ``seconds``, ``text``, ``origin``; ``clear``)
``release`` (let go what hangs or trickles), ``log`` (GET, ``?since=id``), ``requests`` (GET), ``reset``
``options`` (GET; POST any of the service's options by name), ``source`` and ``file`` (see lightcurves.Sky)
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from simulators.lightcurves import Sky
from simulators.mishaps import Mishap, Mishaps
from simulators.sky import Clock, read_instant

MJD_OF_EPOCH = 40587.0
TIMES_KEPT = 2000


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


def mjd_of(instant: datetime) -> float:
    """The modified Julian date (UTC) of an aware instant."""
    return instant.timestamp() / 86400 + MJD_OF_EPOCH


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


@dataclass
class Accepted:
    """One accepted submission in the log; a list of positions is one entry a position."""

    entry: int
    id: int
    user: str
    ra: float | None
    dec: float | None
    begin: float | None
    end: float | None
    mode: str
    comment: str | None
    at: str
    post: int
    index: int = 0
    name: str | None = None
    lost: str = ''


class Service:
    """The base of a simulated service. Safe to use from many threads; ``lock`` guards all state."""

    name = 'service'
    prefix = ''
    verbs: tuple[str, ...] = ()

    def __init__(self, options: Any, storage: Path | None = None, seed: int = 0) -> None:
        """Open the storage in the folder ``storage`` (None: in memory)."""
        self.options = options
        self.clock = Clock()
        self.mishaps = Mishaps()
        self.lock = threading.RLock()
        self.shelf = Shelf(storage, self.name)
        self.sky = Sky(seed)
        self.accepted: list[Accepted] = [Accepted(**row) for row in self.shelf.rows('log')]
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

    def estranged(self, answer: Answer, request: Request, origin: str) -> Answer:
        """The answer with its addresses moved to another origin."""
        home = request.base.removesuffix(self.prefix)
        answer.body = answer.body.replace(home.encode(), origin.rstrip('/').encode())
        answer.headers = {name: value.replace(home, origin.rstrip('/')) for name, value in answer.headers.items()}
        return answer

    def begin(self, verb: str, request: Request) -> None:
        """Count a request and give it its number among those of its verb."""
        key = self.key(verb, request)
        with self.lock:
            self.requests[verb] += 1
            if key:
                seen = self.times.setdefault(key, [])
                seen.append([verb, self.clock.now().isoformat(), time.time()])
                del seen[:-TIMES_KEPT]
            request.number = self.requests[verb]

    def end(self, verb: str, status: int) -> None:
        """Count a reply; status 0 is a line cut without one."""
        with self.lock:
            self.replies[f'{verb} {status}'] += 1

    def stray(self, request: Request, why: str) -> None:
        """Note a request that should not have come here."""
        with self.lock:
            carried = sorted({name for name in ('authorization', 'cookie') if name in request.headers})
            host = request.headers.get('host', '')
            self.strays.append({'why': why, 'host': host, 'method': request.method, 'path': request.path, 'carried': carried})

    def accept(self, lost: str = '', **what: Any) -> Accepted:
        """Write an accepted submission into the log."""
        with self.lock:
            number, at = len(self.accepted) + 1, self.clock.now().isoformat()
            entry = Accepted(entry=number, at=at, lost=lost, **what)
            self.accepted.append(entry)
            self.shelf.put('log', number, entry)
            return entry

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Everything that was accepted, oldest first; equal jobs stay two entries."""
        with self.lock:
            return [asdict(each) for each in self.accepted if each.entry > since]

    def counts(self) -> dict[str, Any]:
        """Requests and replies by verb, the times of each task's requests, and requests that went astray."""
        with self.lock:
            return {
                'requests': dict(self.requests),
                'replies': dict(self.replies),
                'times': {key: list(seen) for key, seen in self.times.items()},
                'foreign': any(each['why'] == 'host' for each in self.strays),
                'strays': list(self.strays),
            }

    def fault(self, verb: str, kind: str, count: int = 1, match: str = '', **more: Any) -> None:
        """Commit a fault in the next ``count`` requests of a verb that contain ``match`` (see mishaps.py)."""
        if verb not in self.verbs:
            raise ValueError(f'unknown verb {verb!r}; known: {", ".join(self.verbs)}')
        self.mishaps.add(verb, Mishap(str(kind), count, match, **more))

    def release(self) -> None:
        """Let go the requests that hang now."""
        self.mishaps.release()

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
        known = {each.name for each in fields(self.options)}
        if set(changes) - known:
            raise ValueError(f'unknown option; known: {", ".join(sorted(known))}')
        with self.lock:
            for name, value in changes.items():
                setattr(self.options, name, value)

    def reset(self) -> None:
        """Forget everything but seed and options."""
        self.mishaps.clear()
        self.clock.reset()
        with self.lock:
            self.shelf.clear()
            self.sky.clear()
            for kept in (self.accepted, self.requests, self.replies, self.times, self.strays):
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
            'source': self.sky.set_source,
            'file': self.sky.set_file,
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
            self.mishaps.clear()
        if verb or kind:
            self.fault(verb, kind, **more)
        return self.mishaps.as_json()

    def _options(self, **changes: Any) -> Any:
        self.configure(**changes)
        return asdict(self.options)
