"""Whether a request may have arrived is judged by what left, not by the error that came last."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.support.sockets import Ledger, nobody
from tom_cadence.exceptions import CadenceError, Credentials, Refused, Temporary, Uncertain
from tom_cadence.facilities.calls import Busy
from tom_cadence.facilities.gateway import Gateway


class Site:
    """A facility class of a site: ``submit`` is what its author wrote."""

    name = 'Site'
    refusals: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self.work: Callable[[], Any] = lambda: None

    def set_user(self, user: Any) -> None:
        """Nothing to set."""

    def submit_observation(self, payload: Any) -> Any:
        return self.work()


class No(Exception):
    """How this site's class says that the portal refused."""


def outcome(work: Callable[[], Any], refusals: tuple[type[Exception], ...] = ()) -> CadenceError | None:
    gateway = Gateway('Site', None, Site)
    gateway.facility.work, gateway.facility.refusals = work, refusals
    try:
        gateway.submit({})
    except CadenceError as error:
        return error
    return None


@pytest.fixture(scope='module')
def shut() -> str:
    """An address where nobody listens."""
    return nobody()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    book = Ledger()
    yield book
    book.close()


# --- any sequence of attempts -----------------------------------------------------------------------------------------

STEP = st.tuples(st.sampled_from(['GET', 'POST', 'PUT', 'DELETE']), st.sampled_from(['shut', *Ledger.ANSWERS]), st.booleans())


def play(steps: list[tuple[str, str, bool]], ledger: Ledger, shut: str) -> Any:
    """A class that tries these requests one after the other; the last error of those that it does not swallow is its own."""
    with requests.Session() as session:
        session.trust_env = False
        for place, (method, answer, swallowed) in enumerate(steps):
            if answer != 'shut' and method != 'GET':
                ledger.answers[:] = [answer]
            try:
                reply = session.request(method, shut if answer == 'shut' else ledger.url, json={}, timeout=2, allow_redirects=False)
                if reply.status_code == 400:
                    raise No('the portal says no')
                reply.raise_for_status()
            except Exception:
                if not swallowed or place == len(steps) - 1:
                    raise
    raise ValueError('no identifier in the answer')


@pytest.mark.parametrize('documented', [(), (No,)])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=4))
def test_a_class_that_tries_again_is_never_told_that_nothing_arrived_when_it_did(
    documented: tuple[type[Exception], ...], steps: list[tuple[str, str, bool]], ledger: Ledger, shut: str
) -> None:
    booked, ordered = ledger.books, ledger.orders
    error = outcome(lambda: play(steps, ledger, shut), documented)
    assert error is not None
    if ledger.books > booked:
        assert isinstance(error, Uncertain), (steps, error)
    elif ledger.orders == ordered and all(answer == 'shut' for _, answer, _ in steps):
        assert isinstance(error, Temporary), (steps, error)


@pytest.mark.parametrize(
    ('steps', 'expected'),
    [
        ([('POST', 'shut', False)], Temporary),
        ([('GET', 'shut', False)], Temporary),
        ([('GET', 'booked', False), ('POST', 'shut', False)], Temporary),
        ([('POST', 'shut', True), ('POST', 'shut', False)], Temporary),
        ([('POST', 'lost', True), ('POST', 'shut', False)], Uncertain),
        ([('POST', 'error', True), ('GET', 'shut', False)], Uncertain),
        ([('POST', 'no', False)], Refused),
        ([('POST', 'lost', True), ('POST', 'no', False)], Uncertain),
        ([('POST', 'shut', True), ('POST', 'no', False)], Refused),
        ([('POST', 'who', False)], Credentials),
        ([('POST', 'lost', True), ('POST', 'who', False)], Uncertain),
        ([('POST', 'who', True), ('POST', 'no', False)], Refused),
        ([('POST', 'later', False)], Busy),
        ([('POST', 'later', True), ('POST', 'later', False)], Busy),
        ([('POST', 'lost', True), ('POST', 'later', False)], Uncertain),
        ([('POST', 'conflict', True), ('POST', 'shut', False)], Uncertain),
        ([('PUT', 'booked', True), ('POST', 'no', False)], Uncertain),
        ([('DELETE', 'moved', True), ('POST', 'shut', False)], Uncertain),
    ],
)
def test_the_error_that_comes_last_is_not_the_whole_story(
    steps: list[tuple[str, str, bool]], expected: type, ledger: Ledger, shut: str
) -> None:
    assert type(outcome(lambda: play(steps, ledger, shut), (No,))) is expected


# --- whichever library ------------------------------------------------------------------------------------------------


def _by_urllib3_retries(ledger: Ledger, shut: str) -> None:
    """A session that lets urllib3 try again, as is usual: lost, then nobody listens any more."""
    ledger.answers[:] = ['gone']
    with requests.Session() as session:
        session.trust_env = False
        session.mount('http://', HTTPAdapter(max_retries=Retry(total=2, allowed_methods=None, backoff_factor=0)))
        session.post(ledger.url, json={}, timeout=2)


class CustomAdapter(HTTPAdapter):
    """An adapter with a ``send`` of its own, which never comes to that of requests."""

    def send(self, request: Any, *args: Any, **more: Any) -> Any:
        with urllib3.PoolManager(retries=False) as pool:
            pool.request(request.method, request.url, body=b'{}', timeout=2)
        raise requests.exceptions.ConnectTimeout('gave up', request=request)


def _by_adapter(ledger: Ledger, shut: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.mount('http://', CustomAdapter())
        session.post(ledger.url)


def _by_http_client(ledger: Ledger, shut: str) -> None:
    connection = http.client.HTTPConnection('127.0.0.1', ledger.port, timeout=2)
    connection.request('POST', '/', b'{}')
    connection.getresponse().read()
    requests.get(shut, timeout=2)


def _by_urllib(ledger: Ledger, shut: str) -> None:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ledger.url, b'{}', 2).read()
    requests.post(shut, timeout=2)


def _by_socket(ledger: Ledger, shut: str) -> None:
    with socket.create_connection(('127.0.0.1', ledger.port), 2) as line:
        line.sendall(b'POST / HTTP/1.1\r\n\r\n')
        line.recv(100)
    requests.post(shut, timeout=2)


def _by_a_thread(ledger: Ledger, shut: str) -> None:
    thread = threading.Thread(target=lambda: requests.post(ledger.url, timeout=2))
    thread.start()
    thread.join()
    requests.post(shut, timeout=2)


def _by_a_program(ledger: Ledger, shut: str) -> None:
    code = f'import urllib.request as u; u.build_opener(u.ProxyHandler({{}})).open({ledger.url!r}, b"{{}}", 5).read()'
    subprocess.run([sys.executable, '-c', code], check=True)
    requests.post(shut, timeout=2)


def _by_another_name(ledger: Ledger, shut: str) -> None:
    try:
        requests.post(ledger.url, timeout=2)
    finally:
        raise requests.exceptions.ConnectTimeout('the class says so')


def _by_a_redirect(ledger: Ledger, shut: str) -> None:
    ledger.answers[:] = ['moved', 'lost']
    requests.post(ledger.url, json={}, timeout=2)


def _by_a_stream(ledger: Ledger, shut: str) -> None:
    ledger.answers[:] = ['lost']
    requests.post(ledger.url, data=(part for part in (b'{', b'}')), timeout=2, stream=True)


def _by_a_reused_connection(ledger: Ledger, shut: str) -> None:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ledger.url, json.dumps({}).encode(), 2).read()
    raise requests.exceptions.InvalidURL('http://')


WAYS = [
    _by_adapter,
    _by_a_program,
    _by_http_client,
    _by_urllib,
    _by_socket,
    _by_a_thread,
    _by_another_name,
    _by_a_redirect,
    _by_a_stream,
]
WAYS += [_by_a_program, _by_a_reused_connection, _by_urllib3_retries]


@pytest.mark.parametrize('way', WAYS, ids=lambda way: way.__name__)
def test_a_booking_by_whatever_way_is_never_taken_for_nothing(
    way: Callable[[Ledger, str], None], ledger: Ledger, shut: str
) -> None:
    error = outcome(lambda: way(ledger, shut))
    assert ledger.books == 1
    assert isinstance(error, Uncertain)


def test_an_error_of_the_transport_that_nobody_saw_proves_nothing() -> None:
    def work() -> None:
        raise requests.exceptions.ConnectTimeout('somewhere else')

    assert isinstance(outcome(work), Uncertain)


def test_a_class_that_says_temporary_itself_is_believed_only_where_nothing_left(ledger: Ledger, shut: str) -> None:
    def work(url: str) -> None:
        try:
            requests.post(url, timeout=2)
        finally:
            raise Temporary('the class says so')

    ledger.answers[:] = ['lost']
    assert isinstance(outcome(lambda: work(ledger.url)), Uncertain)
    assert isinstance(outcome(lambda: work(shut)), Temporary)


def test_the_wait_that_a_portal_asks_for_is_kept_with_the_error(ledger: Ledger, shut: str) -> None:
    error = outcome(lambda: play([('POST', 'later', False)], ledger, shut))
    assert isinstance(error, Busy)
    assert error.wait == 3
