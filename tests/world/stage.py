"""Processes of a world: threads of which one runs at a time, and none but the one that the scheduler named.

A process gives way where it passes a named point, where it talks to a facility, and now and then at a statement; never inside a
transaction, where on SQLite nobody else could write. At any of these it may be killed: it unwinds as its transaction is rolled
back, and neither the database nor the network hears anything of it any more.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from django.db import OperationalError, connection, connections

from tests.world.clocks import Clock, teach

PATIENCE = 120
"""Real seconds after which a process that does not give way hangs."""


class Killed(BaseException):
    """The process was killed."""


@dataclass(eq=False)
class Host:
    """A computer, and how wrong its clock is."""

    name: str
    skew: timedelta = timedelta(0)


@dataclass(eq=False)
class Process:
    """Something that runs: a turn of cron, or one web request.

    ``spoilt``: whether something may happen to it; ``faults``: how many of its statements failed.
    """

    name: str
    host: Host
    work: Callable[[], Any]
    spoilt: bool
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    dead: bool = False
    over: bool = False
    faults: int = 0
    error: BaseException | None = None


@dataclass(frozen=True, kw_only=True)
class Odds:
    """How likely it is, at each step of a process, that it is killed, that a statement fails, that it gives way, that all stand
    still, that somebody joins."""

    kill: float = 0.008
    statement: float = 0.002
    way: float = 0.02
    still: float = 0.004
    join: float = 0.02


class Worker(threading.Thread):
    """A thread with a database connection of its own, in which one process after the other runs."""

    def __init__(self, stage: Stage) -> None:
        """It begins to wait for its first process."""
        super().__init__(daemon=True, name='world')
        self.stage, self.inbox = stage, queue.SimpleQueue[Process | None]()
        self.start()

    def run(self) -> None:
        """Run what comes, and hand the baton back after each."""
        connection.execute_wrappers.append(self.stage.statement)
        while (process := self.inbox.get()) is not None:
            process.go.acquire()
            self.stage.here.process = process
            try:
                process.work()
            except Killed:
                pass
            except BaseException as error:
                process.error = error
            self.stage.here.process = None
            if process.dead or process.faults:
                connections.close_all()
            process.over = True
            self.stage.idle.append(self)
            self.stage.baton.release()
        connections.close_all()
        self.stage.baton.release()


class Stage:
    """The baton, and who has it."""

    def __init__(self, random: Random, clock: Clock, odds: Odds, say: Callable[[str, str], None]) -> None:
        """Nobody is there yet; ``claim`` watches statements that claim cadences."""
        self.random, self.clock, self.odds, self.say = random, clock, odds, say
        self.baton = threading.Semaphore(0)
        self.here: Any = threading.local()
        self.idle: list[Worker] = []
        self.alive: list[Process] = []
        self.claim: Callable[[Callable[[], Any]], Any] = lambda take: take()

    @property
    def process(self) -> Process | None:
        """The process that this thread is."""
        return getattr(self.here, 'process', None)

    def skew(self) -> timedelta:
        """How wrong the clock of this thread's host is."""
        return self.process.host.skew if self.process else timedelta(0)

    def begin(self, process: Process) -> None:
        """One more process, which waits for its first turn."""
        worker = self.idle.pop() if self.idle else Worker(self)
        worker.inbox.put(process)
        self.alive.append(process)

    def turn(self, process: Process) -> None:
        """Let it go on until it gives way or ends."""
        process.go.release()
        assert self.baton.acquire(timeout=PATIENCE), f'{process.name} hangs'
        if process.over:
            self.alive.remove(process)

    def close(self) -> None:
        """End all threads, and their connections."""
        for process in list(self.alive):
            process.dead = True
            self.turn(process)
        for worker in self.idle:
            worker.inbox.put(None)
            assert self.baton.acquire(timeout=PATIENCE)
            worker.join(PATIENCE)

    def point(self, where: str) -> None:
        """The process passes a point: it may be killed here, and others may go on before it does."""
        process = self.process
        if process is None:
            return
        self.still_there()
        self.say(process.name, where)
        if process.spoilt and self.random.random() < self.odds.kill:
            self.kill(process, where)
        if not connection.in_atomic_block:
            self.give_way()

    def give_way(self) -> None:
        """Hand the baton back, and wait for it."""
        process = self.process
        if process is None:
            return
        self.baton.release()
        assert process.go.acquire(timeout=PATIENCE), f'{process.name} is never asked again'
        self.still_there()

    def still_there(self) -> None:
        """A dead process does nothing more."""
        if self.process is not None and self.process.dead:
            raise Killed

    def kill(self, process: Process, where: str) -> None:
        """The process is no more."""
        self.say(process.name, f'is killed at {where}')
        process.dead = True
        raise Killed

    def wait(self, seconds: float) -> None:
        """The process waits for the database; in place of ``time.sleep``."""
        self.clock.seconds += seconds
        if not connection.in_atomic_block:
            self.give_way()

    def statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        """One statement of a process: the database may be busy or ill, and others may go on before."""
        process = self.process
        if process is None:
            return execute(sql, params, many, context)
        self.still_there()
        if process.spoilt:
            drawn = self.random.random()
            if drawn < self.odds.statement:
                self._fail(process, sql)
            elif drawn < 1.5 * self.odds.statement:
                self.kill(process, _named(sql))
            elif drawn < 1.5 * self.odds.statement + self.odds.way and not connection.in_atomic_block:
                self.give_way()
        if 'claim_number' in sql and sql.startswith('UPDATE'):
            return self.claim(lambda: execute(sql, params, many, context))
        return execute(sql, params, many, context)

    def _fail(self, process: Process, sql: str) -> None:
        text = self.random.choice(['database is locked', 'disk I/O error'])
        process.faults += 1
        self.say(process.name, f'{text}: {_named(sql)}')
        raise OperationalError(text)


def _named(sql: str) -> str:
    """A statement without what is another text in each process: of a savepoint its first word."""
    words = sql.split()[:3]
    return words[0] if words[0] in ('SAVEPOINT', 'RELEASE', 'ROLLBACK') else ' '.join(words)


def know_the_time(stage: Stage) -> Callable[..., None]:
    """For the signal ``connection_created``: every connection tells the world's time."""

    def created(connection: Any, **_: Any) -> None:
        teach(connection.connection, stage.clock)

    return created
