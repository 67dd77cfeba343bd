"""Connections that can be cut off after a time in all: headers that trickle in keep every other time limit.

Part of ``http``: nothing else uses it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_running = threading.local()


class _Noted:
    """Says which connection this thread's request goes through."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """As ever."""
        _running.connection = self
        return super().request(*args, **kwargs)  # type: ignore[misc]


class _Plain(_Noted, HTTPConnection):
    pass


class _Encrypted(_Noted, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


class BoundedAdapter(HTTPAdapter):
    """The transport of ``requests`` over such connections."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use our pools."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {'http': _PlainPool, 'https': _EncryptedPool}


@contextmanager
def cut_off(seconds: float) -> Iterator[None]:
    """Shut the connection of the request that runs inside the block, if it lasts longer than that."""
    _running.connection = None
    place = _running.__dict__  # this thread's own, for the timer's thread

    def shut() -> None:
        used = getattr(place.get('connection'), 'sock', None)
        if used is not None:
            with suppress(OSError):
                used.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
