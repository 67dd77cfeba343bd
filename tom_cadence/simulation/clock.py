"""The virtual clock: from one event to the next, a strategy decides as in production, and the imagined world answers."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, Protocol

from tom_cadence.core.decisions import Decision, Stop, Submit, Wait
from tom_cadence.core.exposure import exposure_seconds
from tom_cadence.core.history import Attempt, History, Outcome, end_of_wait, with_end, with_photometry, with_request
from tom_cadence.core.parameters import clean
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.policy import Exposure, Limits, judge
from tom_cadence.core.visibility import Sky as Place
from tom_cadence.core.windows import Window
from tom_cadence.simulation.effort import Work, effort_of
from tom_cadence.simulation.observatory import Observatory, RequestOutcome, joined
from tom_cadence.simulation.results import SimulatedObservation, Step, Timeline
from tom_cadence.simulation.sky import BadSky, SimulatedSky

MOST_AT_ONCE = 20
"""Requests at one instant: the engine sends no more for a cadence in one run."""
MOST_NIGHTS = 4000
SECOND = timedelta(seconds=1)
PAUSE = timedelta(minutes=15)
"""Until a strategy is asked again that wanted to send more than MOST_AT_ONCE."""
WAITING = 'imagined: waiting'


class SimulatedWorld(Protocol):
    """Whatever says what becomes of a request: an imagined observatory, or a real history lived through again."""

    def fate(self, number: int, window: Window, now: datetime, seconds: float) -> RequestOutcome:
        """What becomes of the ``number``-th request."""
        ...

    def points(self, begun: datetime, until: datetime) -> Iterable[tuple[datetime, Photometry]]:
        """When points of the light curve come to be known that others measured, and the points."""
        ...

    def measured(self, number: int, middle: datetime) -> Photometry:
        """The points that the ``number``-th request brought."""
        ...


@dataclass(frozen=True, kw_only=True)
class SimulationStart:
    """Where a simulation begins: what was observed so far, the present, and the TOM's own rules.

    ``patience``: how long after its window an observation may stay unfinished (``OVERDUE_TIME``). ``constraints``: the sites and
    the target that decisions are moved by; where a simulated observation is really possible is said by the imagined ``Sky``.
    """

    history: History
    now: datetime
    start_lead: timedelta = timedelta(0)
    last_refusal: datetime | None = None
    patience: timedelta = timedelta(days=1)
    exposure: Exposure = exposure_seconds
    constraints: Place | None = None

    @classmethod
    def first(cls, window: Window, parameters: Mapping[str, Any] | None = None, **given: Any) -> SimulationStart:
        """A cadence begins with one first observation, asked for at the start of its window."""
        attempt = Attempt(
            record=1,
            observation_id='1',
            facility=str((parameters or {}).get('facility', '')),
            status=WAITING,
            outcome=Outcome.WAITING,
            created=window.start,
            window=window,
            parameters=dict(parameters or {}),
        )
        return cls(history=History(attempts=(attempt,)), now=window.start, **given)


def make(strategy: Any, parameters: Mapping[str, Any]) -> Any:
    """A strategy of this class for a cadence that does not exist; what is one already is left as it is."""
    return strategy(SimpleNamespace(cadence_parameters=dict(parameters))) if isinstance(strategy, type) else strategy


def simulate(
    strategy: Any,
    parameters: Mapping[str, Any],
    sky: SimulatedSky,
    seed: int,
    nights: int,
    beginning: SimulationStart,
    world: SimulatedWorld | None = None,
    work: Work | None = None,
) -> Timeline:
    """One imagined future of so many nights; the same arguments give the same future.

    ``strategy`` is a class or one made of it. BadSky for a seed or a number of nights that cannot be; NeedsAttention for
    parameters that cannot be used; TooMuchWork where it takes more than is left of ``work``.
    """
    if seed < 0:
        raise BadSky(f'The seed is {seed!r}; a whole number of at least 0 is expected.')
    if not 1 <= nights <= MOST_NIGHTS:
        raise BadSky(f'{nights!r} nights cannot be simulated; from 1 to {MOST_NIGHTS} can.')
    limits = Limits(
        parameters=clean(dict(parameters)),
        start_lead=beginning.start_lead,
        last_refusal=beginning.last_refusal,
        exposure=beginning.exposure,
        sky=beginning.constraints,
    )
    return _Run(make(strategy, parameters), limits, sky, seed, nights, beginning, world, work or Work()).timeline()


class _Run:
    """One run: the only thing here that changes."""

    def __init__(
        self,
        strategy: Any,
        limits: Limits,
        sky: SimulatedSky,
        seed: int,
        nights: int,
        beginning: SimulationStart,
        world: SimulatedWorld | None,
        work: Work,
    ) -> None:
        self.work = work
        self.strategy, self.limits, self.looks, self.beginning = strategy, limits, sky.looks, beginning
        self.now, self.history = beginning.now, beginning.history
        self.until = beginning.now + timedelta(days=nights)
        self.world: SimulatedWorld = Observatory(sky, seed, beginning.now) if world is None else world
        self.steps: list[Step] = []
        self.observations: dict[int, SimulatedObservation] = {}
        self.events: list[tuple[datetime, int, Callable[[], None]]] = []
        self.count, self.at_once, self.stop = 0, 0, Stop(reason=' ')
        self.looks_at_points = bool(getattr(strategy, 'needs_photometry', False))
        for attempt in beginning.history.waiting:
            self._imagine(attempt, self.now + SECOND)  # the first decision is about the present as it is
        if self.looks_at_points:
            for known, points in self.world.points(beginning.now, self.until):
                self._event(known, self._arrival(points))

    def timeline(self) -> Timeline:
        """Let time pass until it ends."""
        ended: datetime | None = None
        while self.now < self.until and ended is None:
            while self.events and self.events[0][0] <= self.now:
                heapq.heappop(self.events)[2]()
            decision = self._decide(self.now)
            self._note(decision)
            if isinstance(decision, Stop):
                ended, self.stop = self.now, decision
            elif isinstance(decision, Submit) and self.at_once < MOST_AT_ONCE:
                self._send(decision)
            else:
                self._wait(decision)
        return Timeline(
            begun=self.beginning.now,
            until=self.until,
            steps=tuple(self.steps),
            observations=tuple(self._known(each) for each in self.observations.values()),
            ending=self.stop.reason.strip(),
            ended=ended,
            attention=self.stop.kind == 'attention',
            photometry=self.history.photometry,
        )

    def _decide(self, now: datetime) -> Decision:
        self.work.count(effort_of(self.strategy, self.history))
        return judge(self.strategy, self.history, now, self.limits, self.beginning.patience)

    def _note(self, decision: Decision) -> None:
        word = type(decision).__name__.lower()
        last = self.steps[-1] if self.steps else None
        if word == 'wait' and last is not None and (last.decision, last.reason) == (word, decision.reason):
            return
        window = decision.window if isinstance(decision, Submit) else None
        attention = isinstance(decision, Stop) and decision.kind == 'attention'
        self.steps.append(Step(at=self.now, decision=word, reason=decision.reason, window=window, attention=attention))

    def _send(self, decision: Submit) -> None:
        """The observatory accepts it, and at once it is settled what will become of it."""
        self.at_once += 1
        name = str(len(self.history.attempts) + 1)
        self.history = with_request(self.history, decision, self.now, WAITING, name)
        self._imagine(self.history.attempts[-1], self.now)

    def _imagine(self, attempt: Attempt, earliest: datetime) -> None:
        if attempt.window is None:
            return  # nobody can say when; the strategy waits until it is overdue, or for ever
        self.count += 1
        seconds = self.beginning.exposure(attempt.parameters) or 0.0
        fate = self.world.fate(self.count, attempt.window, self.now, seconds)
        known = max(fate.known, earliest)
        self.observations[attempt.record] = SimulatedObservation(
            number=self.count,
            asked=attempt.created,
            window=attempt.window,
            outcome=fate.outcome,
            status=fate.status,
            seconds=seconds,
            start=fate.start,
            end=fate.end,
            known=known,
        )
        self._event(known, self._end(attempt.record, self.count, fate))

    def _event(self, at: datetime, happens: Callable[[], None]) -> None:
        heapq.heappush(self.events, (at, len(self.events) + 1000 * self.count, happens))

    def _end(self, record: int, number: int, fate: RequestOutcome) -> Callable[[], None]:
        def happens() -> None:
            self.history = with_end(self.history, record, fate.outcome, fate.status, fate.start, fate.end)
            if self.looks_at_points and fate.outcome is Outcome.SUCCEEDED and fate.start and fate.end:
                self._arrival(self.world.measured(number, fate.start + (fate.end - fate.start) / 2))()

        return happens

    def _arrival(self, points: Photometry) -> Callable[[], None]:
        def happens() -> None:
            self.history = with_photometry(self.history, joined(self.history.photometry, points))

        return happens

    def _wait(self, decision: Decision) -> None:
        """On to the next event, or to when a strategy that waits for a time has waited long enough."""
        self.at_once = 0
        soonest = min(self.events[0][0], self.until) if self.events else self.until
        if isinstance(decision, Submit):
            self.now = self._look(self.now + PAUSE)
            return
        over = end_of_wait(lambda now: isinstance(self._decide(now), Wait), self.now, soonest - SECOND, SECOND)
        self.now = self._look(over or soonest)

    def _look(self, instant: datetime) -> datetime:
        """The first run of the engine at or after an instant."""
        if not self.looks:
            return instant
        every = timedelta(minutes=self.looks)
        return self.beginning.now + -((self.beginning.now - instant) // every) * every

    def _known(self, observation: SimulatedObservation) -> SimulatedObservation:
        """What is to come after the end of the simulation is not told."""
        if observation.known is not None and observation.known <= self.until:
            return observation
        return replace(observation, outcome=Outcome.WAITING, status=WAITING, start=None, end=None, known=None)
