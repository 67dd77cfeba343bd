"""Runs as if each were a process of its own: it can die or freeze at a named point while another one runs.

What a run does at a point is decided by the process it belongs to; the threads of its facility calls belong to it too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, connections

from tests.conftest import NIGHT
from tom_cadence.engine.report import Report
from tom_cadence.engine.run import run_cadences
from tom_cadence.facilities import Calls
from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint

PATIENCE = 60


class Killed(BaseException):
    """The process was killed; nothing but its transaction is tidied up."""


@dataclass(eq=False)
class Process:
    """A running ``runcadencestrategies``; at ``point``, passed so many times before, ``happening`` happens to it."""

    point: CadencePoint | None = None
    passes: int = 0
    happening: Callable[[], None] = lambda: None
    deadly: bool = False
    dead: bool = False
    happened: bool = False
    calls: int = 0
    lock: threading.Condition = field(default_factory=threading.Condition)

    def reach(self, point: CadencePoint) -> None:
        """What it does at a point."""
        with self.lock:
            if self.dead:
                raise Killed
            if point is not self.point or self.happened:
                return
            if self.passes:
                self.passes -= 1
                return
            self.happened = True
            self.dead = self.deadly
        if self.deadly:
            raise Killed
        if not connection.in_atomic_block:  # inside a transaction nobody else can write (SQLite), so nothing can happen
            self.happening()

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a facility call in a thread of this process: a dead process begins none, one on its way arrives."""
        with self.lock:
            if self.dead:
                raise Killed
            self.calls += 1
        try:
            return function()
        finally:
            with self.lock:
                self.calls -= 1
                self.lock.notify_all()

    def wait_for_calls(self) -> None:
        """Wait until what it had sent has arrived."""
        with self.lock:
            assert self.lock.wait_for(lambda: not self.calls, PATIENCE), 'a facility call hangs'


_process: ContextVar[Process | None] = ContextVar('process', default=None)


def _on_reach(point: CadencePoint) -> None:
    process = _process.get()
    if process is not None:
        process.reach(point)


class Time:
    """The TOM's clock, and the clocks of its processes: they go on while a process is frozen."""

    now: datetime = NIGHT
    frozen: float = 0.0

    @classmethod
    def time(cls) -> float:
        """For ``time.time``."""
        return time.time() + cls.frozen

    @classmethod
    def monotonic(cls) -> float:
        """For ``time.monotonic``."""
        return time.monotonic() + cls.frozen

    @classmethod
    def freeze(cls, seconds: float) -> None:
        """Let time pass for a process that does not notice."""
        cls.frozen += seconds
        cls.now += timedelta(seconds=seconds)


def clock() -> datetime:
    """For ``TOM_CADENCE['CLOCK']``."""
    return Time.now


def arrange(monkeypatch: Any) -> None:
    """Let runs in this process be such processes."""
    start = Calls.start

    def counted(self: Calls, key: Any, facility: str, function: Callable[[], Any], timeout: float, **more: Any) -> None:
        process = _process.get()
        start(self, key, facility, function if process is None else lambda: process.call(function), timeout, **more)

    monkeypatch.setattr(Calls, 'start', counted)
    monkeypatch.setattr('tom_cadence.engine.send.time', Time)
    monkeypatch.setattr('tom_followup.clock.monotonic_seconds', Time.monotonic)
    monkeypatch.setattr('tom_cadence.facilities.transport.time', Time)
    monkeypatch.setattr(failpoints, 'on_reach', _on_reach)


def run(process: Process, workers: int) -> Report | None:
    """One run by this process; None where it died."""
    token = _process.set(process)
    try:
        return run_cadences(workers=workers)
    except Killed:
        process.dead = True
        process.wait_for_calls()
        return None
    finally:
        _process.reset(token)


def elsewhere(function: Callable[[], Any]) -> Any:
    """Do something with a database connection of its own, as another process would; its error is raised here."""
    outcome: list[Any] = [None, None]

    def work() -> None:
        try:
            outcome[0] = function()
        except BaseException as error:
            outcome[1] = error
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
