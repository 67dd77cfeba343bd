"""Deadlines: every request of a call gets what is left of its time, and requests outside a call are not touched."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.support.sockets import dripping, server
from tom_cadence.facilities import transport
from tom_cadence.facilities.transport import Overdue, deadline, install_transport_hook, remaining


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The timeouts that reach the real transport."""
    timeouts: list[Any] = []

    def send(self: Any, request: Any, stream: Any = False, timeout: Any = None, **more: Any) -> Any:
        timeouts.append(timeout)
        response = requests.Response()
        response.status_code, response.url = 200, request.url
        response._content = b''
        return response

    monkeypatch.setattr(HTTPAdapter, 'send', send)
    install_transport_hook()
    return timeouts


def ask(**given: Any) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.get('http://127.0.0.1:9/', **given)


def test_outside_a_call_nothing_is_changed(sent: list[Any]) -> None:
    ask()
    ask(timeout=7)
    assert sent == [None, 7]
    assert remaining() is None


@pytest.mark.parametrize(
    ('given', 'most'), [(None, 20), (100, 20), (3, 3), ((100, 100), (20, 20)), ((2, 100), (2, 20)), ((None, 5), (20, 5))]
)
def test_a_request_gets_no_more_than_what_is_left(sent: list[Any], given: Any, most: Any) -> None:
    with deadline(20):
        ask(timeout=given)
    assert sent[0] == pytest.approx(most, abs=1)


def test_the_second_request_of_a_call_gets_less_than_the_first(sent: list[Any]) -> None:
    with deadline(20):
        ask()
        ask()
    assert sent[1] < sent[0] <= 20


def test_a_timeout_given_by_position_is_shortened_too(sent: list[Any]) -> None:
    with deadline(5):
        HTTPAdapter().send(requests.Request('GET', 'http://127.0.0.1:9/').prepare(), False, 90)
    assert sent[0] == pytest.approx(5, abs=1)


def test_an_inner_deadline_never_gives_more_time(sent: list[Any]) -> None:
    with deadline(5), deadline(500):
        ask()
    with deadline(500), deadline(5):
        ask()
    assert sent == [pytest.approx(5, abs=1)] * 2


def test_nothing_is_sent_when_the_time_is_over(sent: list[Any]) -> None:
    with deadline(-1), pytest.raises(transport.DeadlineExceeded):
        ask()
    assert sent == []


def test_other_threads_keep_their_own_time(sent: list[Any]) -> None:
    with deadline(5):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert sent == [None]


def test_the_hook_is_installed_once(sent: list[Any]) -> None:
    before = HTTPAdapter.send
    install_transport_hook()
    assert HTTPAdapter.send is before


def test_a_facility_that_gives_no_timeout_does_not_hang() -> None:
    install_transport_hook()
    began = time.monotonic()
    with server(None) as url, deadline(0.2), pytest.raises(requests.ReadTimeout):
        requests.get(url)  # noqa: S113  # as the toolkit's facilities call it
    assert time.monotonic() - began < 5


HEADS = {
    'body': b'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n',
    'body of no length': b'HTTP/1.1 200 OK\r\n\r\n',
    'header': b'HTTP/1.1 200 OK\r\nX-Long: ',
    'status line': b'',
}


def by_requests(url: str) -> Any:
    return requests.post(url, timeout=3).text


def by_a_stream(url: str) -> Any:
    return list(requests.get(url, timeout=3, stream=True).iter_content(1))


def by_urllib(url: str) -> Any:
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=3).read()


def by_socket(url: str) -> Any:
    with socket.create_connection(('127.0.0.1', int(url.split(':')[-1].strip('/'))), 3) as line:
        line.sendall(b'GET / HTTP/1.1\r\n\r\n')
        while line.recv(1):
            pass


def by_retries(url: str) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        session.mount('http://', HTTPAdapter(max_retries=Retry(total=3, allowed_methods=None, backoff_factor=0)))
        return session.post(url, timeout=3).text


@pytest.mark.parametrize('way', [by_requests, by_a_stream, by_urllib, by_socket, by_retries], ids=lambda way: way.__name__)
@pytest.mark.parametrize('head', HEADS)
def test_an_answer_that_comes_byte_by_byte_ends_with_the_deadline(head: str, way: Any) -> None:
    install_transport_hook()
    began = time.monotonic()
    with dripping(HEADS[head]) as url, pytest.raises((Overdue, requests.RequestException)), deadline(0.2):
        way(url)
    assert time.monotonic() - began < 2.5


def test_what_an_answer_that_was_cut_by_the_deadline_held_is_not_believed() -> None:
    with dripping(HEADS['body of no length']) as url, pytest.raises(Overdue), deadline(0.2):
        by_urllib(url)


def test_after_the_deadline_no_library_sends_anything() -> None:
    install_transport_hook()
    for way in (by_urllib, by_socket):
        with server(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n') as url, deadline(-1), pytest.raises(OSError, match='was over'):
            way(url)


def test_a_connection_of_another_call_is_left_alone() -> None:
    with dripping() as slow, server(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok') as quick:
        with deadline(60), pytest.raises(Overdue), deadline(0.1):
            by_requests(slow)
        with deadline(60):
            assert by_requests(quick) == 'ok'
