"""Servers that misbehave in one way each, on real sockets of 127.0.0.1."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import requests

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
def error_of(kind: str) -> Exception:
    """What ``requests`` raises for a POST that fails in this way."""
    replies = {
        'reset': b'',
        'read timeout': None,
        'cut reply': b'HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"id"',
        'not HTTP': b'SSH-2.0-nonsense\r\n\r\n',
        'not JSON': b'HTTP/1.1 201 Created\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy',
        **{f'HTTP {code}': REFUSAL % code for code in (400, 401, 403, 404, 409, 429, 500, 502, 503)},
    }
    try:
        if kind in replies:
            with server(replies[kind]) as url:
                _post(url)
        else:
            _post({'refused': nobody(), 'DNS': 'http://nowhere.invalid/', 'no scheme': 'localhost', 'bad URL': 'http://'}[kind])
    except (requests.RequestException, ValueError) as error:
        return error
    raise AssertionError(f'{kind} raised nothing')


def _post(url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(url, json={'name': 'SN'}, timeout=0.3)
        response.raise_for_status()
        response.json()
