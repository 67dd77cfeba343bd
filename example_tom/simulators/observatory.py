"""A simulated observatory over real HTTP.

In a test: ``with serve(Observatory(seed=7)) as server: server.url, server.service.fault('submit', '500-after')``.

API (header ``Authorization: Token ...``), and where each reply's shape comes from. "OCS" is a real observation portal
4.18.10, tried with tomtoolkit 3.1.0; the field names are this observatory's own.

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

Control: see service.py, and ``/control/sky`` (``clouds`` and ``failures`` 0..1, ``nights`` {date: clear|cloudy}),
``/control/state`` (``id``, ``state``: at once, any state), ``/control/plan`` (``state`` and ``id`` or ``count``: in its
slot); each is a method of ``Observatory`` as well. Verbs: submit, validate, status (single and ?ids=), list, cancel.

Faults: those of faults.py, and ``refuse`` (400 with ``errors``, nothing booked), ``empty-ids`` (201 without an id, nothing
booked), ``same-id`` (201 with the id of the newest booking, nothing booked).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from simulators.bookings import Book, Booking, Weather, errors_in
from simulators.faults import Fault
from simulators.service import Answer, Request, Service, as_json, read_instant

API = '/api/observations/'
TOKENS = {'example-token': 'tom', 'other-token': 'somebody else'}
REFUSAL = {'non_field_errors': ['Not visible in this window.']}


class Observatory(Service):
    """The observatory itself: its book, weather and log. ``tokens`` are those of its users."""

    name = 'observatory'
    verbs = ('submit', 'validate', 'status', 'list', 'cancel')
    kinds = ('refuse', 'empty-ids', 'same-id')

    def __init__(self, storage: Path | None = None, seed: int = 0, tokens: Mapping[str, str] | None = None) -> None:
        """Open the book in the folder ``storage`` (None: in memory)."""
        super().__init__(None, None, seed)
        self.weather = Weather(seed=seed)
        self.book = Book(storage, self.clock, self.weather)
        self.tokens = dict(TOKENS if tokens is None else tokens)
        self.lost: dict[int, str] = {}

    def verb(self, request: Request) -> str | None:
        """What a request is about."""
        if not request.path.startswith(API):
            return None
        rest = request.path[len(API) :].strip('/')
        if request.method == 'POST':
            if rest in ('', 'validate'):
                return rest or 'submit'
            return 'cancel' if rest.endswith('/cancel') else None
        return 'list' if not rest and 'ids' not in request.query else 'status'

    def about(self, verb: str, request: Request) -> str:
        """The name that is sent or asked for, else the ids."""
        said = _object(request)
        return str((said or {}).get('name') or request.get('name') or request.get('ids') or request.path)

    def work(self, verb: str, request: Request, lost: str) -> Answer:
        """Do what is asked."""
        owner = self.tokens.get(request.headers.get('authorization', '').removeprefix('Token '))
        if owner is None:
            return as_json(403, {'detail': 'Invalid token.'})
        said = _object(request)
        if said is None:
            return as_json(400, {'non_field_errors': ['JSON object expected.']})
        if verb == 'submit':
            return as_json(*self.submit(said, owner, lost))
        if verb == 'validate':
            return as_json(200, {'errors': errors_in(said, self.clock.now())})
        key = request.path[len(API) :].split('/')[0]
        if not key:
            return self._many(request, owner)
        found = self.book.cancel(key, owner) if verb == 'cancel' else self.book.get(key, owner)
        return as_json(200, found.as_reply()) if found else as_json(404, {'detail': 'Not found.'})

    def commit(self, fault: Fault, verb: str, request: Request) -> Answer:
        """Refuse, or answer a submission oddly."""
        if fault.kind == 'refuse':
            return as_json(400, json.loads(fault.text) if fault.text else REFUSAL)
        newest = self.book.everything()[-1:]
        return as_json(201, newest[0].as_reply() if newest and fault.kind == 'same-id' else {'id': None, 'state': 'PENDING'})

    def _many(self, request: Request, owner: str) -> Answer:
        if 'ids' in request.query:
            wanted = (self.book.get(key, owner) for key in request.get('ids').split(','))
            found = [each.as_reply() for each in wanted if each]
            return as_json(200, {'count': len(found), 'next': None, 'results': found})
        try:
            text = request.get('created_after')
            after = read_instant(text.replace(' ', '+')).timestamp() if text else None
            limit = max(1, min(int(request.get('limit', '100')), 1000))
            offset = max(0, int(request.get('offset', '0')))
        except ValueError:
            return as_json(400, {'created_after': ['Enter a valid date/time.']})
        name = request.get('name')

        def fits(each: Booking) -> bool:
            return name in each.name and (after is None or each.timestamp > after)

        count, page = self.book.find(owner, fits, offset, limit)
        asked = {key: values[-1] for key, values in request.query.items()}
        later = urlencode(asked | {'limit': limit, 'offset': offset + limit})
        following = f'{request.base}{API}?{later}' if offset + limit < count else None
        return as_json(200, {'count': count, 'next': following, 'results': [each.as_reply() for each in page]})

    def submit(self, asked: Mapping[str, Any], owner: str, lost: str = '') -> tuple[int, dict[str, Any]]:
        """Book or refuse; ``lost`` notes in the log that no good reply will follow."""
        errors = errors_in(asked, self.clock.now())
        if errors:
            return 400, errors
        booking = self.book.accept(asked, owner)
        if lost:
            self.lost[booking.id] = lost
        return 201, booking.as_reply()

    def set_sky(self, clouds: float | None = None, failures: float | None = None, nights: Mapping[str, str] | None = None) -> None:
        """Change the probabilities of a cloudy night and of a failure, or fix nights by date."""
        self.weather.clouds = self.weather.clouds if clouds is None else clouds
        self.weather.failures = self.weather.failures if failures is None else failures
        self.weather.nights |= {date.fromisoformat(day): outcome for day, outcome in (nights or {}).items()}

    def set_state(self, key: str | int, state: str) -> Booking:
        """Give an observation a state at once, whatever it had (late changes too)."""
        return self.book.set_state(key, state)

    def plan(self, state: str, *, key: str | int | None = None, count: int = 1) -> None:
        """Fix the outcome in its slot of one observation, or of the next ``count``."""
        self.book.plan(state, key=key, count=count)

    def fault(
        self, verb: str, kind: str, count: int = 1, match: str = '', errors: dict[str, list[str]] | None = None, **more: Any
    ) -> None:
        """Commit a fault in the next ``count`` requests of a verb whose name or id contains ``match``."""
        super().fault(verb, kind, count, match, **more, **({'text': json.dumps(errors)} if errors else {}))

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Every submission that was accepted, oldest first, with its state now.

        ``fields`` is all that was sent; ``beside`` are the bookings of the same target and filter that were still open
        when it was booked; ``lost`` is the fault that took its reply.
        """
        return [asdict(each) | {'lost': self.lost.get(each.id, '')} for each in self.book.everything(since)]

    def reset(self) -> None:
        """Forget everything but the seed: bookings, clock, weather, faults, latency, counts."""
        super().reset()
        self.book.clear()
        self.weather.clouds = self.weather.failures = 0.0
        self.weather.nights.clear()
        self.lost.clear()

    def close(self) -> None:
        """Close the storage."""
        super().close()
        self.book.close()

    def deeds(self) -> dict[str, Callable[..., Any]]:
        """What ``/control/`` can do here."""

        def set_state(id: int, state: str) -> dict[str, Any]:
            return asdict(self.set_state(id, state))

        def plan(state: str, id: int | None = None, count: int = 1) -> None:
            self.plan(state, key=id, count=count)

        return super().deeds() | {'sky': self.set_sky, 'state': set_state, 'plan': plan}


def _object(request: Request) -> dict[str, Any] | None:
    """The JSON object of a body, empty if there is no body; None if it is something else."""
    try:
        said = json.loads(request.body) if request.body else {}
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
