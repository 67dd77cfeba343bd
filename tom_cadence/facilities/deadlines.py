"""A deadline for every request a facility class makes.

The toolkit's facilities call ``requests`` without a timeout, and a thread cannot be killed. So the deadline of the running
call is kept in a context variable, and one hook in the transport of ``requests`` turns what is left of it into the timeout
of each request. It is the only patch this app makes; outside a call it changes nothing.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

_deadline: contextvars.ContextVar[float | None] = contextvars.ContextVar('tom_cadence_deadline', default=None)
_parts: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar('tom_cadence_parts', default=None)
_hooked = '_tom_cadence_deadline_hook'


class DeadlineExceeded(requests.exceptions.ConnectTimeout):
    """The deadline had passed before this request was sent: nothing reached the facility."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Give everything sent inside the block ``seconds`` in all; an outer deadline that is nearer stays in force."""
    mine = time.monotonic() + seconds
    outer = _deadline.get()
    token = _deadline.set(mine if outer is None else min(mine, outer))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float | None:
    """Seconds left of the running call, or None outside one."""
    end = _deadline.get()
    return None if end is None else end - time.monotonic()


@contextmanager
def accepted_parts() -> Iterator[list[str]]:
    """The requests inside the block that changed something at the facility, as far as its answers say.

    A facility class may send several requests to book one observation: where a later one is refused, or does not arrive,
    the earlier ones are booked all the same.
    """
    parts: list[str] = []
    token = _parts.set(parts)
    try:
        yield parts
    finally:
        _parts.reset(token)


def _noted(request: requests.PreparedRequest, response: requests.Response) -> requests.Response:
    parts = _parts.get()
    if parts is not None and request.method not in ('GET', 'HEAD', 'OPTIONS') and response.status_code < 400:
        parts.append(str(request.method))
    return response


def install_transport_hook() -> None:
    """Make the transport of ``requests`` honour the deadline; a second call does nothing."""
    original = HTTPAdapter.send
    if getattr(original, _hooked, False):
        return

    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        left = remaining()
        if left is None:
            return _noted(request, original(self, request, *args, **kwargs))
        if left <= 0:
            raise DeadlineExceeded('The time for this call was over before the request was sent.', request=request)
        arguments = list(args)
        if len(arguments) > 1:
            arguments[1] = _shorter(arguments[1], left)
        else:
            kwargs['timeout'] = _shorter(kwargs.get('timeout'), left)
        return _noted(request, original(self, request, *arguments, **kwargs))

    setattr(send, _hooked, True)
    HTTPAdapter.send = send  # type: ignore[method-assign]


def _shorter(timeout: Any, left: float) -> Any:
    if timeout is None:
        return left
    if isinstance(timeout, tuple):
        return tuple(left if part is None else min(part, left) for part in timeout)
    return min(timeout, left) if isinstance(timeout, (int, float)) else timeout
