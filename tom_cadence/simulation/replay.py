"""A real history lived through again by another strategy, with the same sky: what succeeded then succeeds, what failed fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tom_cadence.core.exposure import exposure_seconds
from tom_cadence.core.history import Attempt, History, Outcome
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.policy import Exposure
from tom_cadence.core.windows import Window
from tom_cadence.simulation.clock import MOST_NIGHTS, SimulationStart, simulate
from tom_cadence.simulation.observatory import RequestOutcome
from tom_cadence.simulation.results import SimulatedObservation, Timeline
from tom_cadence.simulation.sky import PERFECT, BadSky
from tom_followup.units import instant_of

THEN, ASSUMED = 'as observation {}', 'assumed, as observation {} at another time'
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What happened, and what another strategy would have done; ``assumed`` of its observations nothing real tells."""

    real: Timeline
    other: Timeline
    assumed: int


def replay(
    strategy: Any, parameters: Mapping[str, Any], history: History, now: datetime, exposure: Exposure = exposure_seconds
) -> Replay:
    """What ``strategy`` would have done from the same first request until ``now``; BadSky where no observation has ended.

    An imagined request succeeds where a real observation was taken in its window, at that time. It fails where the real ones
    that could have been taken in its window failed. Where there was none, it fares as the real one nearest in time, and is
    counted as assumed.
    """
    past = ReplayedHistory(history)
    first = min(past.attempts, key=lambda attempt: attempt.created)
    begun = min(first.created, now)
    waiting = replace(first, outcome=Outcome.WAITING, status='waiting', scheduled_start=None, scheduled_end=None)
    points = history.photometry.until(begun)
    beginning = SimulationStart(
        history=replace(History(), attempts=(waiting,), resubmit_cancelled=history.resubmit_cancelled, photometry=points),
        now=begun,
        exposure=exposure,
    )
    nights = min(max(-((begun - now) // DAY), 1), MOST_NIGHTS)
    other = simulate(strategy, parameters, PERFECT, 0, nights, beginning, past)
    other = replace(other, until=min(other.until, now))
    assumed = sum(each.status.startswith('assumed') for each in other.observations)
    return Replay(real=timeline_of_history(history, begun, now, exposure), other=other, assumed=assumed)


def timeline_of_history(history: History, begun: datetime, now: datetime, exposure: Exposure = exposure_seconds) -> Timeline:
    """A real history as the timeline it was."""
    observations = tuple(
        SimulatedObservation(
            number=number,
            asked=attempt.created,
            window=attempt.window,
            outcome=attempt.outcome,
            status=attempt.status,
            seconds=exposure(attempt.parameters) or 0.0,
            start=_taken(attempt)[0] if attempt.outcome is Outcome.SUCCEEDED else None,
            end=_taken(attempt)[1] if attempt.outcome is Outcome.SUCCEEDED else None,
            known=attempt.scheduled_end or attempt.window.end,
        )
        for number, attempt in enumerate(history.attempts, 1)
        if attempt.window is not None
    )
    return Timeline(begun=begun, until=now, observations=observations)


class ReplayedHistory:
    """The world of a replay: what the real observations tell."""

    def __init__(self, history: History) -> None:
        """BadSky where no observation with a readable window has ended."""
        self.history = history
        known = (Outcome.SUCCEEDED, Outcome.FAILED)
        self.attempts = [each for each in history.attempts if each.window is not None and each.outcome in known]
        if not self.attempts:
            raise BadSky('There is nothing to live through again: no observation of this cadence has ended.')

    def fate(self, number: int, window: Window, now: datetime, seconds: float) -> RequestOutcome:
        """What the real observations say of a request in this window."""
        earliest = max(window.start, now)
        taken = [each for each in self.attempts if each.outcome is Outcome.SUCCEEDED and earliest <= _taken(each)[0] < window.end]
        if taken:
            first = min(taken, key=lambda each: _taken(each)[0])
            start, end = _taken(first)
            status = THEN.format(first.observation_id)
            return RequestOutcome(outcome=Outcome.SUCCEEDED, status=status, known=end, start=start, end=end)
        there = [each for each in self.attempts if each.window and earliest < each.window.end and each.window.start < window.end]
        failed = [each for each in there if each.outcome is Outcome.FAILED]
        if failed:
            status = THEN.format(failed[0].observation_id)
            return RequestOutcome(outcome=Outcome.FAILED, status=status, known=max(window.end, now))
        nearest = min(self.attempts, key=lambda each: _distance(each, earliest, window.end))
        status = ASSUMED.format(nearest.observation_id)
        if nearest.outcome is Outcome.FAILED:
            return RequestOutcome(outcome=Outcome.FAILED, status=status, known=max(window.end, now))
        end = earliest + timedelta(seconds=seconds)
        return RequestOutcome(outcome=Outcome.SUCCEEDED, status=status, known=end, start=earliest, end=end)

    def points(self, begun: datetime, until: datetime) -> Iterator[tuple[datetime, Photometry]]:
        """The real points, each at its time: when it was published nobody noted."""
        later = self.history.photometry.since(begun).until(until)
        for place, day in enumerate(later.time):
            yield instant_of(day), later.only(slice(place, place + 1))

    def measured(self, number: int, middle: datetime) -> Photometry:
        """Nothing: the points that real observations brought are among the others."""
        return Photometry()


def _taken(attempt: Attempt) -> tuple[datetime, datetime]:
    """When it was observed; the start of its window where the facility does not say."""
    window = attempt.window
    if window is None:
        raise ValueError('An observation without a window has no place in time.')
    start = attempt.scheduled_start or window.start
    return start, max(attempt.scheduled_end or start, start)


def _distance(attempt: Attempt, start: datetime, end: datetime) -> timedelta:
    """How far its window is from this span; none where they overlap."""
    window = attempt.window
    if window is None:
        return timedelta.max
    return max(window.start - end, start - window.end, timedelta(0))
