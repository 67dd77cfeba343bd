"""The only place that talks to services over HTTP: bounded in time and size, within one origin, without showing a secret.

What goes wrong comes out as an error whose class says what to do: a request that cannot have arrived is ``Temporary``; one that
may have, and changes something there, is ``Uncertain``.
"""

from __future__ import annotations

import json
import logging
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from html import escape
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote, quote_plus, urljoin, urlsplit

import requests
import urllib3
from django.db import connection
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from tom_forced_phot import conf
from tom_forced_phot.core import redaction
from tom_forced_phot.exceptions import Refused, Temporary, Uncertain, UnexpectedReply
from tom_forced_phot.services.protocol import Reply, Request, Secrets

logger = logging.getLogger(__name__)


class WithoutQueries(logging.Filter):
    """Cuts the query out of addresses that urllib3 logs: an account may stand in it (some services take one in a GET)."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, with its text cut."""
        record.msg, record.args = re.sub(r'\?[^\s)\'"]*', '?...', record.getMessage()), ()
        return True


for _name in ('urllib3.connection', 'urllib3.connectionpool'):
    logging.getLogger(_name).addFilter(WithoutQueries())
AGENT = 'tom-followup (https://pypi.org/project/tom-followup)'
CHUNK = 65_536
REDIRECTS = 5
#: Seconds: with less than this, a call is not begun.
LEAST_LEFT = 0.2
#: And so many are there for the first, at the least.
LEAST_TIME = 2.0
#: Bytes: no status page, list or error is longer; only results may be.
LONGEST_REPLY = 32_000_000
_local = threading.local()


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Until when (``time.monotonic()``) one call may last, and how many bytes its reply may have."""

    end: float
    longest: int


class NoNetrc(requests.auth.AuthBase):
    """Adds nothing; keeps ``requests`` from putting a password of ~/.netrc in the place of our own header."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Leave it as it is."""
        return request


def session() -> requests.Session:
    """One session a thread: they are not made to be shared."""
    if not hasattr(_local, 'session'):
        made = requests.Session()
        made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # a login of one user must not stick to the next
        made.headers.update({'User-Agent': AGENT, 'Accept': 'application/json, text/*;q=0.9, */*;q=0.5'})
        for scheme in ('http://', 'https://'):
            made.mount(scheme, BoundedAdapter(pool_connections=8, pool_maxsize=8, max_retries=0))
        _local.session = made
    return _local.session


def send(request: Request, base: str, secrets: Secrets) -> Reply:
    """Send it to the service at ``base``, and give back the whole reply, whatever its status."""
    longest = conf.get('RESULT_LIMIT') if request.brings_result else min(LONGEST_REPLY, conf.get('RESULT_LIMIT'))
    try:
        return _send(request, base, secrets, longest)
    except (Temporary, Uncertain, Refused, UnexpectedReply) as error:
        raise type(error)(redacted(redaction.words(error), secrets)) from None


@contextmanager
def time_limit(seconds: float) -> Iterator[Callable[[], float]]:
    """No call inside the block lasts longer than what is left of so many seconds; what is given says how many are.

    With less than two there are two: enough for a first step at a service that answers.
    """
    end = min(time.monotonic() + max(seconds, LEAST_TIME), getattr(_local, 'end', math.inf))
    before, _local.end = getattr(_local, 'end', math.inf), end
    try:
        yield lambda: end - time.monotonic()
    finally:
        _local.end = before


def within(seconds: float, work: Callable[[], object]) -> float | None:
    """Wait for ``work`` in a thread of its own, for so long at the most; how many seconds are left, or None where it goes on.

    For what cannot be told to hurry: code of the site, a mail server. What it raises in time is raised here.
    """
    began = time.monotonic()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # given to who waits, if anybody still does
            raised.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run, name='bounded work', daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if raised:
        raise raised[0]
    return None if thread.is_alive() else max(0.0, seconds - (time.monotonic() - began))


def spellings(secret: str) -> set[str]:
    """A secret as it may stand in an address (twice encoded in an address of an address), a page, JSON or the repr of an error."""
    plain = {secret, secret.strip()}
    quoted = {spell(text) for text in plain for spell in (quote, quote_plus, partial(quote, safe=''), escape)}
    quoted |= {quote(text, safe='') for text in quoted}
    quoted |= {repr(text)[1:-1] for text in plain} | {json.dumps(text)[1:-1] for text in plain}
    return {text for text in plain | quoted if len(text) > 3}


def hidden(secrets: Secrets) -> frozenset[str]:
    """Every secret in every spelling."""
    return frozenset(text for secret in secrets.texts() for text in spellings(secret))


def redacted(text: str, secrets: Secrets) -> str:
    """``text`` without any secret, and as a database can hold it."""
    return redaction.storable(redaction.without(text, hidden(secrets)))


def redacted_message(error: BaseException, secrets: Secrets) -> str:
    """What an error says, for a row, a page or a log: without secrets, and short."""
    return redaction.clean(redacted(redaction.words(error), secrets))


def origin(address: str) -> tuple[str, str, int]:
    """Scheme, host and port; UnexpectedReply for an address that has none of them."""
    try:
        split = urlsplit(address)
        port = split.port or {'https': 443, 'http': 80}.get(split.scheme, 0)
    except ValueError:
        raise UnexpectedReply(f'{shown(address)!r} is no address.') from None
    return split.scheme, (split.hostname or '').lower(), port


def address_of(path: str, base: str) -> str:
    """The whole address of ``path`` below ``base``; UnexpectedReply where it leads to another origin."""
    if not base:
        raise Refused("No address is configured for this service: set its 'url'.")
    found = path if '://' in path else urljoin(base.rstrip('/') + '/', path)
    if origin(found) != origin(base):
        raise UnexpectedReply(f'The service names the address {shown(found)!r}, which is not at {base}: it is not fetched.')
    if '@' in urlsplit(found).netloc:
        raise UnexpectedReply('The service names an address with a user name in it: it is not fetched.')
    return found


def shown(address: str) -> str:
    """An address without what may stand in it of an account: its query, its fragment, a user name."""
    return address.partition('?')[0].partition('#')[0].rpartition('@')[2][:200]


def _send(request: Request, base: str, secrets: Secrets, longest: int) -> Reply:
    limit = getattr(_local, 'end', math.inf)
    if limit - time.monotonic() < LEAST_LEFT:
        raise Temporary(f'There is no time left to ask {_host(base)} now: it is asked in the background.')
    end = min(time.monotonic() + conf.get('CALL_TIMEOUT'), limit)
    address, method = address_of(request.path, base), request.method
    query, form = list(request.query), list(request.form)
    if request.signed:
        (form if method == 'POST' else query).extend(secrets.parameters.items())
    for _ in range(REDIRECTS + 1):
        try:
            reply = _exchange(method, address, query, form, secrets, Bounds(end=end, longest=longest))
        except requests.exceptions.RequestException as error:
            raise _failure(error, request, base) from None
        target = reply.headers.get('location')
        if reply.status not in (301, 302, 303, 307, 308) or not target or request.changes:
            return _not_moved(reply, request, base)
        address, query = address_of(urljoin(address, target), base), []
    raise UnexpectedReply(f'{_host(base)} redirects more than {REDIRECTS} times.')


def _not_moved(reply: Reply, request: Request, base: str) -> Reply:
    """A change that is answered by a redirect was not made: the address in the settings is not the right one."""
    if request.changes and 300 <= reply.status < 400:
        where = shown(reply.headers.get('location', 'nowhere'))
        raise Refused(f'{_host(base)} wants to be asked at {where!r}: correct the address in the settings.')
    return reply


def _exchange(
    method: str,
    address: str,
    query: list[tuple[str, str]],
    form: list[tuple[str, str]],
    secrets: Secrets,
    bounds: Bounds,
) -> Reply:
    left = max(0.05, bounds.end - time.monotonic())
    timeouts = (min(conf.get('CONNECT_TIMEOUT'), left), min(conf.get('READ_TIMEOUT'), left))
    with (
        cut_off(left),
        session().request(
            method,
            address,
            params=query or None,
            data=form or None,
            headers=dict(secrets.headers),
            auth=secrets.basic or NoNetrc(),
            timeout=timeouts,
            allow_redirects=False,
            stream=True,
        ) as response,
    ):
        content = _read(response, bounds)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, content, headers, address, tuple(hidden(secrets)))


def _read(response: requests.Response, bounds: Bounds) -> bytes:
    parts, size = [], 0
    for chunk in _chunks(response):
        parts.append(chunk)
        size += len(chunk)
        if size > bounds.longest:
            raise UnexpectedReply(f'{_host(response.url)} sent more than {bounds.longest} bytes: it is not read further.')
        if time.monotonic() > bounds.end:
            raise requests.exceptions.ReadTimeout('the whole reply took too long')
    return b''.join(parts)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """What has arrived, as it arrives: a server that sends a byte a second must not hold us past the deadline."""
    if not hasattr(response.raw, 'read1'):  # urllib3 before 2.1
        yield from response.iter_content(256)
        return
    try:
        while chunk := response.raw.read1(CHUNK, decode_content=True):
            yield chunk
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from None
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(error) from None


def _failure(error: requests.exceptions.RequestException, request: Request, base: str) -> Exception:
    host = _host(base)
    if isinstance(error, requests.exceptions.InvalidHeader):
        return Refused(f'A credential for {host} holds a character that cannot be sent: correct it in the settings.')
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema)):
        return Refused(f'{base!r} is no address: correct it in the settings.')
    if _never_sent(error):
        return Temporary(f'{host} cannot be reached: {_reason(error)}.')
    if isinstance(error, requests.exceptions.Timeout):
        what = f'{host} did not answer in time'
    else:
        what = f'{host} broke off the connection ({_reason(error)})'
    if request.changes:
        return Uncertain(f'{what}; it may have accepted the request all the same.')
    return Temporary(f'{what}.')


def _never_sent(error: requests.exceptions.RequestException) -> bool:
    """DNS, refused connections, TLS: nothing of the request arrived."""
    if isinstance(error, (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError)):
        return True
    text = repr(error)
    if isinstance(error, requests.exceptions.SSLError):
        # another error of TLS may come with the reply, when the whole request has arrived
        return 'CERTIFICATE_VERIFY_FAILED' in text or 'HANDSHAKE' in text.upper()
    return any(name in text for name in ('NewConnectionError', 'NameResolutionError', 'ConnectionRefusedError'))


def _reason(error: BaseException) -> str:
    """The innermost cause, in its own words."""
    while (inner := error.__cause__ or error.__context__ or _reason_attribute(error)) is not None and inner is not error:
        error = inner
    return str(error).rpartition(': ')[2] or type(error).__name__


def _reason_attribute(error: BaseException) -> BaseException | None:
    inner = getattr(error, 'reason', None)
    return inner if isinstance(inner, BaseException) else None


def _host(address: str) -> str:
    return urlsplit(address).hostname or address


def log_call(service: str, request: Request, reply: Reply, ids: Mapping[str, object]) -> None:
    """One line a call, without parameters."""
    logger.info(
        '%s %s: %s',
        service,
        request.method,
        reply.status,
        extra={'event': 'service_call', 'status': reply.status, **ids},
    )


_running = threading.local()


class _Noted:
    """Says which connection this thread's request goes through."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """As ``HTTPConnection`` does, after noting itself for this thread."""
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
