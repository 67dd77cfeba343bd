"""A month of one TOM: who comes when, drawn from one seed; its history is a list of lines."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from tom_targets.models import Target

from simulators.observatory import Observatory
from tests.support.cadences import PLAIN, SIMULATED, make
from tests.world.clocks import Clock
from tests.world.ledger import Broken, Ledger
from tests.world.line import LATE, Line
from tests.world.people import People
from tests.world.site import RETRYING, all_is_well
from tests.world.stage import Host, Odds, Process, Stage
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence, Submission
from tom_followup import clock as database_clock

RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'
HOUR, DAY = 3600.0, 86400.0
#: Strategy, facility and owner of the cadences with which a month begins, of which each seed has some.
CASTS = (
    (RESUME, SIMULATED, 'vera'),
    (RETRY, SIMULATED, 'jo'),
    (RESUME, PLAIN, 'vera'),
    (RESUME, RETRYING, 'jo'),
    ('Moody', SIMULATED, 'vera'),
    ('Tutorial', SIMULATED, 'jo'),
)
AT_ONCE = 4
ROUNDS, LINES = 6, 20
CLAIMS_END = 180.0
"""Seconds after which the claims of the dead have ended."""
State = ManagedCadence.State


@dataclass(order=True)
class Event:
    """Something that begins at a time of the world."""

    at: float
    number: int
    name: str = field(compare=False)
    do: Callable[[], None] = field(compare=False)


class Month:
    """Everything of one seed."""

    def __init__(self, seed: int, clock: Clock, observatory: Observatory, sessions: dict[str, str], days: float = 30) -> None:
        """A TOM with some cadences, an observatory, two hosts with wrong clocks."""
        self.seed, self.random = seed, Random(seed)
        self.clock, self.observatory, self.end = clock, observatory, days * DAY
        self.history: list[str] = []
        self.events: list[Event] = []
        self.counted = 0
        self.stage = Stage(self.random, clock, Odds(), self.say)
        self.line = Line(self.stage, observatory, self.after)
        self.hosts = [Host(name, timedelta(hours=self.random.choice([-2, 0, 2, 26]))) for name in ('alpha', 'beta')]
        self.web = Host('web', timedelta(hours=self.random.choice([-2, 0, 2])))
        self.calm = True
        self.ledger = Ledger(self)
        self.people = People(self, sessions)
        self.mailed: set[str] = set()
        self.quiet: tuple[Any, Any] | None = None
        self.saved: sqlite3.Connection | None = None
        self.saved_at = clock.now
        self.saved_deleted: set[str] = set()
        self.stage.claim = self.ledger.taken
        all_is_well()

    def say(self, who: str, what: str) -> None:
        """One line of the history."""
        self.history.append(f'{self.clock.now:%m-%d %H:%M:%S} {who}: {what}')

    def after(self, seconds: float, name: str, do: Callable[[], None]) -> None:
        """Do something so much later."""
        self.counted += 1
        heapq.heappush(self.events, Event(self.clock.seconds + seconds, self.counted, name, do))

    def open(self) -> None:
        """The first evening."""
        draw = self.random
        self.observatory.weather.seed = draw.randrange(1000)
        self.observatory.set_sky(clouds=draw.choice([0.1, 0.3]), failures=draw.choice([0.0, 0.1]))
        self._tell_the_time()
        for number, (strategy, facility, owner) in enumerate(draw.sample(CASTS, draw.randint(3, 4))):
            self.start(strategy, facility, owner, number)
        for host in self.hosts:
            self.after(draw.uniform(0, 6 * HOUR), f'cron of {host.name}', partial(self.cron, host))
        self.after(draw.uniform(10, 30) * HOUR, 'somebody', self.people.come)

    def start(self, strategy: str, facility: str, owner: str, number: int) -> None:
        """One cadence with its first observation, as the host's form leaves it."""
        cadence = make(
            User.objects.get(username=owner),
            Target.objects.order_by('pk')[number],
            strategy=strategy,
            facility=facility,
            book=self.observatory,
            start=self.clock.now,
            hours=self.random.choice([5, 8]),
            cadence_frequency=self.random.choice([72, 120]),
        )
        self.say('world', f'cadence {cadence.pk}: {strategy} at {facility}, of {owner}')

    def _tell_the_time(self) -> None:
        self.observatory.set_clock(self.clock.now, frozen=True)

    def live(self) -> Month:
        """Until the month is over, and people have put right what they can; Broken where something does not hold."""
        try:
            self.open()
            while self.clock.seconds < self.end or self.stage.alive:
                self.step()
            self.last_day()
        except Broken as error:
            last = '\n'.join(self.history[-LINES:])
            raise Broken(f'{error}\n`make world SEED={self.seed}` shows how it came to that; the last lines:\n{last}') from error
        return self

    @property
    def text(self) -> str:
        """The whole history."""
        return '\n'.join(self.history)

    def step(self) -> None:
        """The next event where nobody is there; else one of those who are goes on, or somebody joins them."""
        alive, draw = self.stage.alive, self.random
        if not alive:
            self._next()
            return
        if not self.calm:
            if len(alive) < AT_ONCE and draw.random() < self.stage.odds.join:
                self._next(early=True)
            if draw.random() < self.stage.odds.still:
                minutes = draw.choice([1, 3, 12, 50, 200])
                self.clock.seconds += 60 * minutes
                self.say('world', f'everything stands still for {minutes} min')
            else:
                self.clock.seconds += draw.uniform(0, 0.5)
            self._arrivals()
        self._turn(draw.choice(alive) if len(alive) > 1 else alive[0])

    def _turn(self, process: Process) -> None:
        self.stage.turn(process)
        if isinstance(process.error, Broken):
            raise process.error
        if process.over and process.error is not None:
            self.say(process.name, f'ends with {type(process.error).__name__}: {process.error}')
            if not process.faults:
                raise Broken(f'{process.name} ends with {process.error!r}') from process.error
        if self.ledger.seen:
            self.ledger.demand(False, self.ledger.seen)
        if not self.stage.alive:
            self._check()

    def _check(self) -> None:
        """Nobody is there: what must hold is looked at."""
        if self.quiet is not None or not self.calm:
            self.ledger.check()
        if self.quiet is not None and self.calm:
            self.ledger.check_run(*self.quiet)
        self.quiet = None

    def _arrivals(self) -> None:
        self._tell_the_time()
        while self.events and self.events[0].at <= self.clock.seconds and len(self.stage.alive) < AT_ONCE:
            heapq.heappop(self.events).do()

    def _next(self, *, early: bool = False) -> None:
        if early and self.events[0].at > self.clock.seconds + HOUR:
            return
        event = heapq.heappop(self.events)
        if not self.stage.alive:
            self._become(calm=self.random.random() < 0.5, at=event.at)
        self._tell_the_time()
        event.do()

    def _become(self, *, calm: bool, at: float) -> None:
        """What begins now is spoilt, or it is not: then the dead are forgotten, and the line is good."""
        self.calm = calm
        self.clock.seconds = max(self.clock.seconds + (CLAIMS_END if calm else 0), at)
        self.line.bad = 0.0 if calm else self.random.choice([0.05, 0.15, 0.4])
        if calm and self.line.down_until > self.clock.seconds:
            self.calm = False

    def save(self) -> None:
        """A backup."""
        self.saved = sqlite3.connect(':memory:')
        connection.ensure_connection()
        connection.connection.backup(self.saved)
        self.saved_at, self.saved_deleted = self.clock.now, set(self.ledger.deleted)
        self.say('admin', 'saves the database')

    def restore(self) -> None:
        """The backup takes the place of the database, when nobody is there."""
        if self.saved is None or self.stage.alive:
            self.after(60, 'restore', self.restore)
            return
        self.ledger.forget(self.saved_at)
        self.ledger.deleted |= self.saved_deleted  # what was recorded again since is deleted again
        self.saved.backup(connection.connection)
        self.saved.close()
        self.saved = None
        self.say('admin', 'brings the saved database back')

    def last_day(self) -> None:
        """Nothing happens any more: cron comes, people do what the pages offer, until every cadence goes on or was ended."""
        all_is_well()
        self.line.down_until, self.end = 0.0, self.clock.seconds + 10 * DAY
        User.objects.update(is_active=True)
        Target.objects.update(permissions='OPEN')
        for _ in range(ROUNDS):
            self._settle()
            left = list(
                ManagedCadence.objects.filter(state=State.ATTENTION)
                .exclude(cadence=None)
                .select_related('cadence', 'owner')
                .order_by('pk')
            )
            doubts = list(
                Submission.objects.filter(managed=None, state=Submission.State.UNCERTAIN).select_related('target').order_by('pk')
            )
            if not left and not doubts:
                break
            for managed in left:
                self._offered(managed)
                self._become(calm=True, at=0)
                self.people.attend('admin', managed)
                self._all_go()
            for request in doubts:
                self._become(calm=True, at=0)
                self.people.answer('admin', request)
                self._all_go()
        for managed in ManagedCadence.objects.exclude(cadence=None).select_related('cadence', 'owner').order_by('pk'):
            self._offered(managed)
        stuck = ManagedCadence.objects.filter(state=State.ATTENTION).exclude(cadence=None)
        self.ledger.demand(not stuck, f'no way out: {[(managed.pk, managed.reason) for managed in stuck]}')
        self._settle()
        self.ledger.check_end()

    def _offered(self, managed: ManagedCadence) -> None:
        found = self.people.buttons(managed)
        wanted = {State.ACTIVE: {'pause', 'end', 'run-now'}, State.PAUSED: {'resume', 'end'}, State.FINISHED: {'resume'}}
        ways = wanted.get(
            managed.state, {'resume', 'booked', 'send-again', 'record-again', 'ask-anew', 'send-first', 'resume-facility'}
        )
        offered = bool(found & ways) if managed.state == State.ATTENTION else ways <= found
        self.ledger.demand(offered, f'cadence {managed.pk}: no button leads out of {managed.state}: {sorted(found)}')

    def _settle(self) -> None:
        """What is on its way arrives, and cron comes often enough that nothing has to be looked up any more."""
        for hours in (0.25, 0.25, 7):
            self.clock.seconds += hours * HOUR
            while self.events and self.events[0].at <= self.clock.seconds:
                event = heapq.heappop(self.events)
                if event.name == LATE:
                    event.do()
            self._become(calm=True, at=0)
            self._tell_the_time()
            self.begin_run(self.hosts[0])
            self._all_go()

    def _all_go(self) -> None:
        while self.stage.alive:
            self._turn(self.stage.alive[0])

    def cron(self, host: Host) -> None:
        """A turn of cron of a host; the next one comes some hours later."""
        self.begin_run(host)
        self.after(self.random.uniform(10, 48) * HOUR, f'cron of {host.name}', partial(self.cron, host))

    def begin_run(self, host: Host) -> None:
        """One run."""
        process = Process(f'cron of {host.name}', host, lambda: self._run(process), spoilt=not self.calm)
        self.stage.begin(process)

    def _run(self, process: Process) -> None:
        database_clock.reset()
        begun = self.clock.now
        report = run_cadences()
        for line in report.lines:
            self.say(process.name, f'cadence {line.cadence}: {line.decision}: {line.reason}')
        for problem in report.problems:
            self.say(process.name, problem)
        self.ledger.check_report(report, process.faults)
        self.quiet = (begun, report)
