"""The HTTP side of the simulated photometry services (see service.py and mishaps.py)."""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from simulators.line import Cut, Line, Listening
from simulators.mishaps import LOST, PLAIN, Mishap
from simulators.service import Answer, Request, Service, as_json, as_text

S = TypeVar('S', bound=Service)
POUR = 65536


def _page(text: str) -> Answer:
    body = f'<!DOCTYPE html>\n<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>\n'
    return as_text(200, body, 'text/html; charset=utf-8')


def plain(mishap: Mishap) -> Answer:
    """What a fault answers instead of the service."""
    kind = mishap.kind.removesuffix('-after')
    if kind == 'html':
        return _page(mishap.text or 'Down for maintenance')
    if kind == 'empty':
        return Answer(200)
    if kind == 'malformed':
        return Answer(200, b'{"url": "http')
    headers, text = {}, mishap.text or 'A rehearsed error.'
    if kind == '429':
        seconds = 30 if mishap.seconds is None else round(mishap.seconds)
        text = mishap.text or f'Request was throttled. Expected available in {seconds} second{"s" * (seconds != 1)}.'
        headers = {'Retry-After': str(seconds)}
    body = text if text.startswith(('{', '[')) else json.dumps({'detail': text})
    return Answer(int(kind), body.encode(), headers=headers)


class Handler(Line):
    """One connection, kept alive for many requests."""

    timeout = 120
    server: Server[Any]

    def do_GET(self) -> None:
        """Answer a GET."""
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        split, service = urlsplit(self.path), self.server.service
        headers = {name.lower(): value for name, value in self.headers.items()}
        host = headers.get('host') or f'{self.server.host}:{self.server.port}'
        query = parse_qs(split.query, keep_blank_values=True)
        home = f'http://{host}{service.prefix}'
        request = Request(self.command, unquote(split.path), query, headers, body, home, self.client_address[0])
        path = request.path.removeprefix(service.prefix)
        try:
            if path.startswith('/control/'):
                self._control(path.strip('/').partition('/')[2], request)
            else:
                self._answer(request, host)
        except (Cut, BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True

    def _control(self, name: str, request: Request) -> None:
        try:
            said = json.loads(request.body) if request.body else {key: values[-1] for key, values in request.query.items()}
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self._send(as_json(400, {'detail': 'JSON object expected.'}))
            return
        self._send(as_json(*self.server.service.control(name, said)))

    def _answer(self, request: Request, host: str) -> None:
        service = self.server.service
        if host not in self.server.hosts:
            service.stray(request, 'host')
        inside = request.path.startswith(service.prefix + '/')
        request.path = request.path.removeprefix(service.prefix)
        verb = service.verb(request) if inside else None
        if verb is None:
            service.stray(request, 'path')
            self._send(as_text(404, 'Not Found'))
            return
        status = 0
        service.begin(verb, request)
        try:
            mishap = service.mishaps.take(verb, service.about(verb, request))
            answer = service.work(verb, request, '') if mishap is None else self._spoilt(mishap, verb, request)
            status = answer.status
            self._deliver(answer, mishap)
        finally:
            service.end(verb, status)

    def _spoilt(self, mishap: Mishap, verb: str, request: Request) -> Answer:
        kind = mishap.kind
        service: Service = self.server.service
        if kind in PLAIN:
            return plain(mishap)
        if kind == 'reset-before':
            raise self.reset()
        if kind == 'redirect-foreign':
            return Answer(302, headers={'Location': mishap.origin.rstrip('/') + self.path})
        if kind == 'hang':
            self.hang(self.server.service.mishaps)
            raise self.reset()
        if kind == 'late':
            self.hang(self.server.service.mishaps, until_client_leaves=False)
        lost = kind in LOST or kind in ('reset-after', 'hang-after', 'late', 'cut')
        answer = service.work(verb, request, kind if lost else '')
        if kind in LOST:
            return plain(mishap)
        if kind == 'reset-after' or (kind == 'hang-after' and not self.hang(self.server.service.mishaps)):
            raise self.reset()
        return service.estranged(answer, request, mishap.origin) if kind == 'foreign-url' else answer

    def _deliver(self, answer: Answer, mishap: Mishap | None) -> None:
        kind = mishap.kind if mishap else ''
        if mishap and kind == 'slow':
            self._head(answer, len(answer.body))
            self._trickle(answer.body, 0.05 if mishap.seconds is None else mishap.seconds)
        elif kind == 'huge':
            self._head(answer, None)
            self._pour(answer.body or b' ' * POUR)
        elif kind == 'cut':
            self._head(answer, len(answer.body))
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.wfile.flush()
            raise Cut
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self._head(answer, len(answer.body))
        if self.command != 'HEAD':
            self.wfile.write(answer.body)
        self.wfile.flush()

    def _head(self, answer: Answer, length: int | None) -> None:
        self.send_response(answer.status)
        if answer.body or answer.status not in (204, 304):
            self.send_header('Content-Type', answer.kind)
        if length is None:
            self.send_header('Connection', 'close')
        elif answer.status not in (204, 304):
            self.send_header('Content-Length', str(length))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _trickle(self, body: bytes, seconds: float) -> None:
        gate = self.server.service.mishaps.gate()
        self.wfile.flush()
        for place in range(len(body)):
            if gate.wait(seconds):
                self.wfile.write(body[place:])
                break
            self.wfile.write(body[place : place + 1])
            self.wfile.flush()
        self.wfile.flush()

    def _pour(self, body: bytes) -> None:
        """Send a body again and again, until the client leaves or the fault is released."""
        gate, much = self.server.service.mishaps.gate(), body * (1 + POUR // len(body))
        while not gate.is_set():
            self.wfile.write(much)
        self.close_connection = True


class Server(Listening, Generic[S]):
    """A service on a port; a context manager that stops it. ``url`` is the base that a client is given."""

    service: S

    def __init__(self, service: S, address: tuple[str, int]) -> None:
        """Listen, and serve in a thread."""
        super().__init__(address, Handler)
        self.service = service
        self.host, self.port = address[0], int(self.server_address[1])
        self.hosts = {f'{name}:{self.port}' for name in (self.host, 'localhost', '127.0.0.1')}
        self.root = f'http://{self.host}:{self.port}'
        self.url = self.root + service.prefix
        self.begin(service.name)

    def release(self) -> None:
        """Let go what hangs."""
        self.service.release()


def serve(service: S, host: str = '127.0.0.1', port: int = 0) -> Server[S]:
    """Serve a service from a thread of this process (port 0: any free one)."""
    return Server(service, (host, port))
