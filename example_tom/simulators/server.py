"""A simulated service on a port of this machine: real HTTP, connections kept alive, cut, or left hanging (see faults.py)."""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from simulators.faults import LOST, PLAIN, Fault, FaultQueues
from simulators.service import Answer, Request, Service, as_json, as_text

S = TypeVar('S', bound=Service)
POUR = 65536


class Cut(Exception):
    """The line is cut; nothing (more) is answered."""


def _page(text: str) -> Answer:
    body = f'<!DOCTYPE html>\n<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>\n'
    return as_text(200, body, 'text/html; charset=utf-8')


def plain(fault: Fault) -> Answer:
    """What a fault answers instead of the service."""
    kind = fault.kind.removesuffix('-after')
    if kind == 'html':
        return _page(fault.text or 'Down for maintenance')
    if kind == 'empty':
        return Answer(200)
    if kind == 'malformed':
        return Answer(200, b'{"url": "http')
    headers, text = {}, fault.text or 'A rehearsed error.'
    if kind == '429':
        seconds = 30 if fault.seconds is None else round(fault.seconds)
        text = fault.text or f'Request was throttled. Expected available in {seconds} second{"s" * (seconds != 1)}.'
        headers = {'Retry-After': str(seconds)}
    elif kind == '503' and fault.seconds is not None:
        headers = {'Retry-After': str(round(fault.seconds))}
    body = text if text.startswith(('{', '[')) else json.dumps({'detail': text})
    return Answer(int(kind), body.encode(), headers=headers)


class Connection(BaseHTTPRequestHandler):
    """One connection, kept alive for many requests."""

    timeout = 120
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: Server[Any]

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet; /control/requests counts."""

    def do_GET(self) -> None:
        """Answer a GET."""
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def reset(self) -> Cut:
        """Cut the line the hard way (RST)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.connection.close()
        return Cut()

    def hang(self, faults: FaultQueues, *, until_client_leaves: bool = True) -> bool:
        """Hang until released (True), or until the client has left (False)."""
        gate = faults.gate()
        faults.enter(1)
        try:
            while not gate.wait(0.02):
                heard = until_client_leaves and select.select([self.connection], [], [], 0)[0]
                if heard and not self.connection.recv(1, socket.MSG_PEEK):
                    return False
            return True
        except OSError:
            return False
        finally:
            faults.enter(-1)

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
            fault = service.faults.take(verb, service.about(verb, request))
            answer = service.work(verb, request, '') if fault is None else self._spoilt(fault, verb, request)
            status = answer.status
            self._deliver(answer, fault)
        finally:
            service.end(verb, status)

    def _spoilt(self, fault: Fault, verb: str, request: Request) -> Answer:
        kind = fault.kind
        service: Service = self.server.service
        if kind in PLAIN:
            return plain(fault)
        if kind in service.kinds:
            return service.commit(fault, verb, request)
        if kind == 'reset':
            raise self.reset()
        if kind == 'redirect-foreign':
            return Answer(302, headers={'Location': fault.origin.rstrip('/') + self.path})
        if kind == 'hang':
            self.hang(service.faults)
            raise self.reset()
        if kind == 'late':
            self.hang(service.faults, until_client_leaves=False)
        lost = kind in LOST or kind in ('reset-after', 'hang-after', 'late', 'cut')
        answer = service.work(verb, request, kind if lost else '')
        if kind in LOST:
            return plain(fault)
        if kind == 'reset-after' or (kind == 'hang-after' and not self.hang(service.faults)):
            raise self.reset()
        return service.estranged(answer, request, fault.origin) if kind == 'foreign-url' else answer

    def _deliver(self, answer: Answer, fault: Fault | None) -> None:
        kind = fault.kind if fault else ''
        if fault and kind == 'slow':
            self._head(answer, len(answer.body))
            self._trickle(answer.body, 0.05 if fault.seconds is None else fault.seconds)
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
        gate = self.server.service.faults.gate()
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
        gate, much = self.server.service.faults.gate(), body * (1 + POUR // len(body))
        while not gate.is_set():
            self.wfile.write(much)
        self.close_connection = True


class Server(ThreadingHTTPServer, Generic[S]):
    """A service on a port; a context manager that stops it. ``url`` is the base that a client is given."""

    daemon_threads = True
    request_queue_size = 1024
    service: S

    def __init__(self, service: S, address: tuple[str, int]) -> None:
        """Listen, and serve in a thread."""
        super().__init__(address, Connection)
        self.service = service
        self.host, self.port = address[0], int(self.server_address[1])
        self.hosts = {f'{name}:{self.port}' for name in (self.host, 'localhost', '127.0.0.1')}
        self.root = f'http://{self.host}:{self.port}'
        self.url = service.url = self.root + service.prefix
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=service.name, daemon=True)
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no error of ours."""

    def close(self) -> None:
        """Stop listening and let go what hangs; what is served keeps its state."""
        self.service.release()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def __enter__(self) -> Server[S]:
        """Be used in a with statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.close()


def serve(service: S, host: str = '127.0.0.1', port: int = 0) -> Server[S]:
    """Serve a service from a thread of this process (port 0: any free one)."""
    return Server(service, (host, port))
