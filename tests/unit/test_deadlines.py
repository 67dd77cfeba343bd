"""Deadlines: every request of a call gets what is left of its time, and requests outside a call are not touched."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.unit.sockets import server
from tom_cadence.facilities import deadlines
from tom_cadence.facilities.deadlines import deadline, install_transport_hook, remaining


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
    with deadline(-1), pytest.raises(deadlines.DeadlineExceeded):
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
