"""The line to a client, for every simulated server: kept alive, cut, or left hanging; and the server in a thread of its own."""

from __future__ import annotations

import select
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from simulators.gate import Queues

L = TypeVar('L', bound='Listening')


class Cut(Exception):
    """The line is cut; nothing (more) is answered."""


class Line(BaseHTTPRequestHandler):
    """One connection, kept alive for many requests."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet; /control/requests counts."""

    def reset(self) -> Cut:
        """Cut the line the hard way (RST)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.connection.close()
        return Cut()

    def hang(self, faults: Queues[Any], *, until_client_leaves: bool = True) -> bool:
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


class Listening(ThreadingHTTPServer):
    """A server on a port; a context manager that stops it."""

    daemon_threads = True
    request_queue_size = 1024

    def begin(self, name: str) -> None:
        """Serve in a thread."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=name, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let go what hangs."""
        raise NotImplementedError

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no error of ours."""

    def close(self) -> None:
        """Stop listening and let go what hangs; what is served keeps its state."""
        self.release()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def __enter__(self: L) -> L:
        """Be used in a with statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.close()
