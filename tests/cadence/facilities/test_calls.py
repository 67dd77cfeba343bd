"""Calls in threads: bounded, in the order they end, and a call that hangs delays nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from tests.house.sources import ROOT
from tom_cadence.facilities.calls import Breaker, Call, Calls, NotAsked, Overdue, ThreadPool

LONG = 60.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened at the end, so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


def run(calls: Calls) -> dict[Any, Call]:
    return {call.key: call for call in calls.ended()}


def test_results_and_errors_come_back_with_their_key() -> None:
    calls = Calls(4, 4)
    calls.start('good', 'a', lambda: 42, LONG)
    calls.start('bad', 'a', lambda: 1 / 0, LONG)
    ended = run(calls)
    assert (ended['good'].result, ended['good'].error) == (42, None)
    assert isinstance(ended['bad'].error, ZeroDivisionError)
    assert len(calls) == 0


def test_no_calls_end_at_once() -> None:
    assert run(Calls(4, 4)) == {}


def test_a_call_that_hangs_is_given_up_and_delays_no_other(gate: threading.Event) -> None:
    calls = Calls(2, 2, grace=0)
    calls.start('hangs', 'a', gate.wait, 0.05)
    for number in range(20):
        calls.start(number, 'b', lambda: 'done', LONG)
    began = time.monotonic()
    ended = run(calls)
    assert time.monotonic() - began < 10
    assert isinstance(ended['hangs'].error, Overdue)
    assert [ended[number].result for number in range(20)] == ['done'] * 20


def test_a_facility_that_hangs_does_not_hold_up_its_own_later_calls(gate: threading.Event) -> None:
    calls = Calls(1, 1, grace=0)
    calls.start('hangs', 'a', gate.wait, 0.05)
    calls.start('later', 'a', lambda: 'done', LONG)
    assert run(calls)['later'].result == 'done'


def test_a_late_reply_comes_back_after_all(gate: threading.Event) -> None:
    calls = Calls(2, 2, grace=0)
    calls.start('late', 'a', lambda: gate.wait() and 'booked', 0.05)
    calls.start('other', 'b', lambda: gate.is_set(), LONG)
    while not isinstance((first := calls.next()).error, Overdue):
        pass
    assert first.key == 'late'
    gate.set()
    last = threading.Event()
    calls.start('last', 'c', last.wait, LONG)
    late = calls.next()
    last.set()
    assert (late.key, late.late, late.result) == ('late', True, 'booked')
    assert set(run(calls)) == {'last'}


def test_no_more_calls_at_once_than_allowed_to_one_facility(gate: threading.Event) -> None:
    running: list[int] = []
    entered = threading.Semaphore(0)

    def work() -> None:
        running.append(1)
        entered.release()
        gate.wait()

    calls = Calls(8, 2)
    for number in range(5):
        calls.start(number, 'a', work, LONG)
    calls.start('elsewhere', 'b', work, LONG)
    for _ in range(3):
        assert entered.acquire(timeout=10)
    assert len(running) == 3
    assert not calls.room('a')
    assert bool(calls.room('c')) is (len(calls) < 8)
    gate.set()
    assert len(run(calls)) == 6


def test_no_more_calls_at_once_than_allowed_in_all(gate: threading.Event) -> None:
    entered = threading.Semaphore(0)
    calls = Calls(2, 2)
    for facility in 'abc':
        calls.start(facility, facility, lambda: entered.release() or gate.wait(), LONG)
    assert entered.acquire(timeout=10)
    assert entered.acquire(timeout=10)
    assert not entered.acquire(blocking=False)
    assert not calls.room('d')
    gate.set()
    assert len(run(calls)) == 3


def test_a_facility_that_times_out_again_and_again_is_not_asked_any_more() -> None:
    asked: list[int] = []

    def slow() -> None:
        asked.append(1)
        raise requests.ReadTimeout

    calls = Calls(8, 1)
    for number in range(10):
        calls.start(number, 'slow', slow, LONG)
        calls.start(f'good {number}', 'good', lambda: 'done', LONG)
    ended = run(calls)
    assert len(asked) == Breaker.LIMIT
    assert sum(isinstance(call.error, NotAsked) for call in ended.values()) == 10 - Breaker.LIMIT
    assert all(ended[f'good {number}'].result == 'done' for number in range(10))


def test_an_answer_of_any_kind_wipes_the_slate() -> None:
    breaker = Breaker()
    timed_out = Call(key=1, facility='a', function=lambda: None, timeout=1, error=requests.ReadTimeout())
    refused = Call(key=2, facility='a', function=lambda: None, timeout=1, error=ValueError())
    for call in (timed_out, timed_out, refused, timed_out, timed_out):
        breaker.note(call)
    assert not breaker.open('a')
    breaker.note(timed_out)
    assert breaker.open('a')
    assert not breaker.open('b')


def test_a_timeout_behind_one_of_our_errors_counts() -> None:
    try:
        raise ValueError('ours') from requests.ReadTimeout()
    except ValueError as error:
        wrapped = error
    breaker = Breaker()
    for _ in range(Breaker.LIMIT):
        breaker.note(Call(key=1, facility='a', function=lambda: None, timeout=1, error=wrapped))
    assert breaker.open('a')


def test_who_was_not_asked_has_given_no_answer_and_a_look_up_counts_as_a_call() -> None:
    try:
        raise ValueError('ours') from NotAsked('not asked')
    except ValueError as error:
        not_asked = error
    breaker = Breaker()
    for error in (requests.ReadTimeout(), requests.ReadTimeout(), not_asked, NotAsked('not asked'), requests.ReadTimeout()):
        breaker.hear('a', error)
    assert breaker.open('a')
    breaker.hear('a', None)
    assert not breaker.open('a')


def test_a_connection_that_cannot_be_closed_loses_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise OSError('the database is lost')

    monkeypatch.setattr('tom_cadence.facilities.calls.connections', SimpleNamespace(close_all=lost))
    calls = Calls(1, 1)
    calls.start('x', 'a', lambda: 'booked', LONG)
    assert run(calls)['x'].result == 'booked'


def test_the_deadline_reaches_the_thread() -> None:
    from tom_cadence.facilities.transport import remaining

    calls = Calls(1, 1)
    calls.start('x', 'a', remaining, 7.0)
    assert run(calls)['x'].result == pytest.approx(7, abs=1)


def test_a_call_that_hangs_for_ever_does_not_keep_the_process_from_ending() -> None:
    code = (
        'import django, threading\n'
        'django.setup()\n'
        'from tom_cadence.facilities.calls import Calls\n'
        'calls = Calls(1, 1, grace=0)\n'
        'calls.start(1, "a", threading.Event().wait, 0.05)\n'
        'print(type(calls.next().error).__name__)\n'
    )
    environment = {**os.environ, 'PYTHONPATH': f'{ROOT}:{ROOT / "example_tom"}', 'DJANGO_SETTINGS_MODULE': 'mytom.settings'}
    ended = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=50, env=environment)
    assert (ended.returncode, ended.stdout.strip()) == (0, 'Overdue'), ended.stderr


def test_what_has_ended_meanwhile_is_taken_together_and_nothing_is_waited_for(gate: threading.Event) -> None:
    calls, done = Calls(9, 9), threading.Barrier(4)

    def quick() -> None:
        done.wait(LONG)

    for number in range(3):
        calls.start(number, 'a', quick, LONG)
    calls.start('slow', 'b', lambda: gate.wait(LONG), LONG)
    done.wait(LONG)
    taken: list[Call] = []
    while len(taken) < 3:
        few = calls.next_few(2)
        assert 1 <= len(few) <= 2
        taken += few
    assert {call.key for call in taken} == {0, 1, 2}
    assert len(calls) == 1


def test_what_is_urgent_goes_first_and_finds_room(gate: threading.Event) -> None:
    calls, order = Calls(1, 1), []
    calls.start('first', 'a', gate.wait, LONG, urgent=False)
    assert (calls.urgent, calls.room('a')) == (0, 1)
    calls.start('question', 'a', lambda: order.append('question'), LONG, urgent=False)
    calls.start('request', 'a', lambda: order.append('request'), LONG)
    assert (calls.urgent, calls.room('a'), len(calls)) == (1, 0, 3)
    gate.set()
    assert [call.key for call in calls.ended()] == ['first', 'request', 'question']
    assert order == ['request', 'question']
    assert (calls.urgent, calls.room('a')) == (0, 1)


def test_calls_go_on_while_nobody_takes_them() -> None:
    calls, last = Calls(1, 1), threading.Event()
    for number in range(5):
        calls.start(number, 'a', lambda: None, LONG)
    calls.start('last', 'a', last.set, LONG)
    assert last.wait(10)
    assert len(calls) == 6
    assert list(run(calls)) == [0, 1, 2, 3, 4, 'last']


def test_nobody_is_woken_for_a_few_answers_that_are_not_urgent(gate: threading.Event) -> None:
    calls, begin, reached = Calls(2, 1), threading.Event(), threading.Event()
    for number in range(3):
        calls.start(number, 'a', lambda: begin.wait(LONG), LONG, urgent=False)
    calls.start('hangs', 'a', lambda: reached.set() or gate.wait(LONG), LONG, urgent=False)
    begin.set()
    assert reached.wait(10)
    assert calls._event.empty()
    assert [calls.next().key for _ in range(3)] == [0, 1, 2]  # they are there all the same
    assert calls.next_within(0) is None
    calls.start('urgent', 'b', lambda: None, LONG)
    calls._event.get(timeout=10)
    assert calls.next().key == 'urgent'
    gate.set()
    assert calls.next().key == 'hangs'


def test_two_that_start_calls_share_the_threads(gate: threading.Event) -> None:
    pool, threads = ThreadPool(), set()
    for _ in range(3):
        calls = Calls(1, 1, pool=pool)
        calls.start('x', 'a', lambda: threads.add(threading.get_ident()), LONG)
        run(calls)
    assert len(threads) == 1
