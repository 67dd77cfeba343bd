"""The HTTP side of the simulated observatory (see observatory.py for the API)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from simulators.bookings import Booking, errors_in
from simulators.faults import Fault
from simulators.line import Cut, Line, Listening
from simulators.sky import read_instant

if TYPE_CHECKING:
    from simulators.observatory import Observatory

Reply = tuple[int, Any]
API = '/api/observations/'
PLAIN_ERRORS = {'500-before': 500, '503': 503, '404': 404}


class Handler(Line):
    """One connection, kept alive for many requests."""

    server: Server
    split: Any
    query: dict[str, str]
    body: Any

    def do_GET(self) -> None:
        """Answer a GET."""
        self._handle()

    def do_POST(self) -> None:
        """Answer a POST."""
        self._handle()

    def _handle(self) -> None:
        raw = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        self.split = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(self.split.query).items()}
        try:
            self.body = json.loads(raw) if raw else {}
        except ValueError:
            self.body = None
        try:
            if self.split.path.startswith('/control/'):
                self._send(*self._control(self.split.path.strip('/').partition('/')[2]))
            else:
                self._answer()
        except Cut:
            self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, status: int, reply: Any) -> None:
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> None:
        verb = self._verb()
        if verb is None:
            self._send(404, {'detail': 'Not found.'})
            return
        observatory = self.server.observatory
        observatory.begin(verb)
        status = 0
        try:
            status, reply = self._api(verb)
            self._send(status, reply)
            self.wfile.flush()
        finally:
            observatory.end(verb, status)

    def _verb(self) -> str | None:
        path = self.split.path
        if not path.startswith(API):
            return None
        rest = path[len(API) :].strip('/')
        if self.command == 'POST':
            if rest in ('', 'validate'):
                return rest or 'submit'
            return 'cancel' if rest.endswith('/cancel') else None
        return 'list' if not rest and 'ids' not in self.query else 'status'

    def _api(self, verb: str) -> Reply:
        observatory = self.server.observatory
        owner = observatory.tokens.get((self.headers.get('Authorization') or '').removeprefix('Token '))
        if owner is None:
            return 403, {'detail': 'Invalid token.'}
        if not isinstance(self.body, dict):
            return 400, {'non_field_errors': ['JSON object expected.']}
        about = self.body.get('name') or self.query.get('name') or self.query.get('ids') or self.split.path
        fault = observatory.faults.take(verb, str(about))
        if fault is None:
            return self._work(verb, owner)
        return self._faulty(fault, verb, owner)

    def _faulty(self, fault: Fault, verb: str, owner: str) -> Reply:
        kind = fault.kind
        if kind in PLAIN_ERRORS:
            return PLAIN_ERRORS[kind], {'detail': 'A rehearsed error.'}
        if kind == '403':
            return 403, {'detail': 'Invalid token.'}
        if kind == 'refuse':
            return 400, fault.errors
        if kind in ('empty-ids', 'same-id'):
            newest = self.server.observatory.book.everything()[-1:]
            return 201, newest[0].as_reply() if newest and kind == 'same-id' else {'id': None, 'state': 'PENDING'}
        if kind == 'reset-before':
            raise self.reset()
        if kind == 'hang':
            self.hang(self.server.observatory.faults)
            raise self.reset()
        if kind == 'late':
            self.hang(self.server.observatory.faults, until_client_leaves=False)
            return self._work(verb, owner, lost=kind)
        status, reply = self._work(verb, owner, lost=kind)
        if kind == 'reset-after':
            raise self.reset()
        if kind == 'malformed-after':
            return status, json.dumps(reply).encode()[:-9]
        if kind == 'hang-after':
            if not self.hang(self.server.observatory.faults):
                raise self.reset()
            return status, reply
        return 500, {'detail': 'A rehearsed error.'}

    def _work(self, verb: str, owner: str, lost: str = '') -> Reply:
        observatory = self.server.observatory
        if verb == 'submit':
            return observatory.submit(self.body, owner, lost)
        if verb == 'validate':
            return 200, {'errors': errors_in(self.body, observatory.clock.now())}
        if not self.split.path[len(API) :].strip('/'):
            return self._many(owner)
        key = self.split.path[len(API) :].split('/')[0]
        found = observatory.book.cancel(key, owner) if verb == 'cancel' else observatory.book.get(key, owner)
        return (200, found.as_reply()) if found else (404, {'detail': 'Not found.'})

    def _many(self, owner: str) -> Reply:
        book = self.server.observatory.book
        if 'ids' in self.query:
            wanted = (book.get(key, owner) for key in self.query['ids'].split(','))
            found = [each.as_reply() for each in wanted if each]
            return 200, {'count': len(found), 'next': None, 'results': found}
        try:
            text = self.query.get('created_after')
            after = read_instant(text.replace(' ', '+')).timestamp() if text else None
            limit = max(1, min(int(self.query.get('limit', 100)), 1000))
            offset = max(0, int(self.query.get('offset', 0)))
        except ValueError:
            return 400, {'created_after': ['Enter a valid date/time.']}
        name = self.query.get('name', '')

        def fits(each: Booking) -> bool:
            return name in each.name and (after is None or each.timestamp > after)

        count, page = book.find(owner, fits, offset, limit)
        later = urlencode(self.query | {'limit': limit, 'offset': offset + limit})
        following = f'{self.server.url}{API}?{later}' if offset + limit < count else None
        return 200, {'count': count, 'next': following, 'results': [each.as_reply() for each in page]}

    def _control(self, name: str) -> Reply:
        observatory, said = self.server.observatory, self.body if isinstance(self.body, dict) else {}
        deeds: dict[str, Callable[[], Any]] = {
            'clock': lambda: _set_clock(observatory, said),
            'sky': lambda: observatory.set_sky(**said),
            'state': lambda: asdict(observatory.set_state(said['id'], said['state'])),
            'plan': lambda: observatory.plan(said['state'], key=said.get('id'), count=said.get('count', 1)),
            'latency': lambda: observatory.latency.update({said.get('verb', ''): float(said['seconds'])}),
            'fault': lambda: observatory.fault(**said) if said else None,
            'release': observatory.release,
            'log': lambda: observatory.log(int(self.query.get('since', 0))),
            'requests': observatory.counts,
            'reset': observatory.reset,
        }
        if name not in deeds:
            return 404, {'detail': f'Known: {", ".join(deeds)}'}
        try:
            done = deeds[name]()
        except (KeyError, TypeError, ValueError) as error:
            return 400, {'detail': repr(error)}
        if name == 'fault':
            return 200, observatory.faults.as_json()
        return 200, {'now': observatory.clock.now().isoformat()} if done is None else done


def _set_clock(observatory: Observatory, said: dict[str, Any]) -> None:
    if said.get('real'):
        observatory.clock.reset()
    if 'now' in said:
        observatory.set_clock(said['now'], frozen=bool(said.get('frozen')))
    if 'advance' in said:
        observatory.advance(float(said['advance']))


class Server(Listening):
    """An observatory on a port; a context manager that stops it."""

    def __init__(self, observatory: Observatory, address: tuple[str, int]) -> None:
        """Listen, and serve in a thread."""
        super().__init__(address, Handler)
        self.observatory = observatory
        self.port = int(self.server_address[1])
        self.url = f'http://{address[0]}:{self.port}'
        self.begin('observatory')

    def release(self) -> None:
        """Let go what hangs."""
        self.observatory.release()


def serve(observatory: Observatory, host: str = '127.0.0.1', port: int = 0) -> Server:
    """Serve an observatory from a thread of this process (port 0: any free one)."""
    return Server(observatory, (host, port))
