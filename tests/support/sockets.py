"""Servers that misbehave in one way each, on real sockets of 127.0.0.1."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

import requests

from tom_cadence.facilities.transport import Traffic, install_transport_hook, watched

install_transport_hook()
REFUSAL = b'HTTP/1.1 %d No\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}'


@contextmanager
def server(reply: bytes | None) -> Iterator[str]:
    """Answers each request with ``reply``; None never answers, an empty one cuts the line (RST)."""
    listening = socket.create_server(('127.0.0.1', 0))
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            try:
                line, _ = listening.accept()
            except OSError:
                return
            with line:
                line.recv(65536)
                if reply is None:
                    done.wait(10)
                elif reply:
                    line.sendall(reply)
                else:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{listening.getsockname()[1]}/'
    finally:
        done.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(('127.0.0.1', 0)) as once:
        return f'http://127.0.0.1:{once.getsockname()[1]}/'


@lru_cache
def call_of(kind: str) -> tuple[Exception, Traffic]:
    """What ``requests`` raises for a POST that fails in this way, and what left."""
    replies = {
        'reset': b'',
        'read timeout': None,
        'cut reply': b'HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"id"',
        'not HTTP': b'SSH-2.0-nonsense\r\n\r\n',
        'not JSON': b'HTTP/1.1 201 Created\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy',
        'HTTP 503, later': b'HTTP/1.1 503 No\r\nContent-Length: 2\r\nRetry-After: 40\r\nConnection: close\r\n\r\n{}',
        **{f'HTTP {code}': REFUSAL % code for code in (400, 401, 403, 404, 409, 429, 500, 502, 503)},
    }
    with watched() as traffic:
        try:
            if kind in replies:
                with server(replies[kind]) as url:
                    _post(url)
            else:
                _post({'refused': nobody(), 'DNS': 'http://nowhere.invalid/', 'no scheme': 'localhost', 'bad URL': 'http://'}[kind])
        except (requests.RequestException, ValueError) as error:
            traffic.unseen = False  # the server's own thread
            return error, traffic
    raise AssertionError(f'{kind} raised nothing')


def _post(url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(url, json={'name': 'SN'}, timeout=0.3)
        response.raise_for_status()
        response.json()


@contextmanager
def dripping(head: bytes = b'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n', every: float = 0.05) -> Iterator[str]:
    """Answers at once with ``head``, and then with one byte every so often, for as long as anybody reads."""
    listening = socket.create_server(('127.0.0.1', 0))
    done = threading.Event()

    def drip(line: socket.socket) -> None:
        with line:
            try:
                line.recv(65536)
                line.sendall(head)
                while not done.wait(every):
                    line.sendall(b'x')
            except OSError:
                return

    def work() -> None:
        while not done.is_set():
            try:
                line, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(line,), daemon=True).start()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{listening.getsockname()[1]}/'
    finally:
        done.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


class Ledger:
    """A portal of one book: ``books`` counts the orders that arrived whole; how each is answered is queued by the test."""

    ANSWERS = {
        'booked': b'HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}',
        'moved': b'HTTP/1.1 307 Elsewhere\r\nLocation: /other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
        'later': b'HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
        'error': REFUSAL % 500,
        'no': REFUSAL % 400,
        'who': REFUSAL % 403,
        'conflict': REFUSAL % 409,
        'lost': b'',
    }
    BOOKS = frozenset(['booked', 'error', 'conflict', 'lost', 'gone'])
    """Answers that a portal may give although it booked."""

    def __init__(self) -> None:
        self.books = self.orders = 0
        self.answers: list[str] = []
        self._listening = socket.create_server(('127.0.0.1', 0))
        self.port = self._listening.getsockname()[1]
        self.url = f'http://127.0.0.1:{self.port}/'
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            with line:
                line.settimeout(5)
                asked = line.recv(65536)
                if asked.startswith(b'GET'):
                    line.sendall(REFUSAL % 200)
                    continue
                answer = self.answers.pop(0) if self.answers else 'booked'
                self.orders += bool(asked)
                self.books += answer in self.BOOKS and bool(asked)
                if answer == 'gone':  # booked, and from now on nobody listens
                    self._listening.close()
                if self.ANSWERS.get(answer):
                    line.sendall(self.ANSWERS[answer])
                else:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
