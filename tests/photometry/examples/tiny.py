"""A small HTTP server on a port of its own, which answers what a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Asked:
    """One request: its method, path, parameters (of the query and the form) and headers."""

    method: str
    path: str
    given: Mapping[str, str]
    headers: Mapping[str, str]


Told = tuple[int, bytes]


@dataclass
class Tiny:
    """A running server; ``answer`` may be changed at any time. ``None`` breaks off the connection."""

    answer: Callable[[Asked], Told | None]
    url: str = ''
    log: list[Asked] = field(default_factory=list)


@contextmanager
def serve(answer: Callable[[Asked], Told | None]) -> Iterator[Tiny]:
    """Answer requests until the block ends."""
    tiny = Tiny(answer)

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get('Content-Length') or 0)).decode()
            split = urlsplit(self.path)
            given = dict(parse_qsl(split.query) + parse_qsl(body))
            asked = Asked(self.command, split.path, given, {name.lower(): value for name, value in self.headers.items()})
            tiny.log.append(asked)
            told = tiny.answer(asked)
            if told is None:
                self.close_connection = True
                return
            status, content = told
            self.send_response(status)
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = reply

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    tiny.url = f'http://127.0.0.1:{server.server_port}/api'
    try:
        yield tiny
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
