"""The imagined observatory: what becomes of a request, and when that is known."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np

from tom_cadence.core.history import Outcome
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.windows import Window
from tom_cadence.simulation import nights
from tom_cadence.simulation.nights import DAY, Span
from tom_cadence.simulation.sky import SimulatedSky, Site, Survey, measure
from tom_followup.units import instant_of, mjd_of

TAKEN, BROKE, EXPIRED = 'imagined: observed', 'imagined: technical failure', 'imagined: window ended'
ANYWHERE = Site(name='', latitude=0, longitude=0)
"""The weather's place where no site is named."""


@dataclass(frozen=True, kw_only=True)
class RequestOutcome:
    """What becomes of a request; ``known`` is when the engine can see it. ``start``: when it was taken, or broke."""

    outcome: Outcome
    status: str
    known: datetime
    start: datetime | None = None
    end: datetime | None = None


class Observatory:
    """One observatory in one run; the same seed gives the same weather and the same luck for the n-th request."""

    def __init__(self, sky: SimulatedSky, seed: int, begun: datetime) -> None:
        """``begun``: its weather is drawn from there on."""
        self.sky, self.seed = sky, seed
        places = sky.sites or (ANYWHERE,)
        self.weathers = [
            (site, Weather(seed, site.name, sky.cloudy, sky.persistence, nights.night_number(begun, site.longitude)))
            for site in places
        ]

    def fate(self, number: int, window: Window, now: datetime, seconds: float) -> RequestOutcome:
        """What becomes of the ``number``-th request, made ``now``, for an exposure of so many seconds."""
        luck = np.random.default_rng([self.seed, number])
        breaks, turn, late, lateness = luck.random(), luck.exponential(), luck.random(), luck.random()
        delay = timedelta(hours=self.sky.report + (self.sky.late_by * lateness if late < self.sky.late else 0.0))
        start = self._begins(max(window.start, now), window.end, timedelta(hours=self.sky.delay * turn))
        if start is None:
            return RequestOutcome(outcome=Outcome.FAILED, status=EXPIRED, known=max(window.end, now) + delay)
        end = start + timedelta(seconds=seconds)
        broke = breaks < self.sky.failures
        return RequestOutcome(
            outcome=Outcome.FAILED if broke else Outcome.SUCCEEDED,
            status=BROKE if broke else TAKEN,
            known=end + delay,
            start=start,
            end=end,
        )

    def points(self, begun: datetime, until: datetime) -> Iterator[tuple[datetime, Photometry]]:
        """What the surveys measure, each point when it is known."""
        return survey_points(self.sky, self.seed, begun, until)

    def measured(self, number: int, middle: datetime) -> Photometry:
        """What the ``number``-th observation measures of the target."""
        return measured(self.sky, self.seed, number, middle)

    def _begins(self, start: datetime, end: datetime, wait: timedelta) -> datetime | None:
        """When it has its turn, after so much time in which it could be observed; None where the window ends before."""
        done = start
        for opens, closes in self.open_spans(start, end):
            opens = max(opens, done)
            if closes <= opens:
                continue
            if wait < closes - opens:
                return opens + wait
            wait -= closes - opens
            done = closes
        return None

    def open_spans(self, start: datetime, end: datetime) -> list[Span]:
        """When it can be observed anywhere: clear, at night, the target up; spans of several sites may overlap."""
        if start >= end:
            return []
        if not self.sky.sites and not self.sky.cloudy:
            return [(start, end)]
        spans = [span for site, weather in self.weathers for span in self._at(site, weather, start, end)]
        return sorted(spans)

    def _at(self, site: Site, weather: Weather, start: datetime, end: datetime) -> Iterator[Span]:
        for night in range(nights.night_number(start, site.longitude), nights.night_number(end, site.longitude) + 1):
            if weather.is_lost(night):
                continue
            for opens, closes in self._dark_and_up(site, night):
                opens, closes = max(opens, start), min(closes, end)
                if opens < closes:
                    yield opens, closes

    def _dark_and_up(self, site: Site, night: int) -> list[Span]:
        if not self.sky.sites:
            noon = nights.noon_before(night, site.longitude)
            return [(noon, noon + DAY)]
        span = nights.dark(site, night, self.sky.twilight)
        if span is None or self.sky.target is None:
            return [span] if span else []
        return nights.up(site, self.sky.target, self.sky.altitude, span)


CHUNK = 512


class Weather:
    """Which nights are lost.

    Two states; the share ``cloudy`` of nights is lost in the long run, and a night is like the one before with correlation
    ``persistence``: P(lost | lost) = f + r (1 - f), P(lost | clear) = f (1 - r). The same seed and place give the same nights,
    whoever asks, and in whatever order.
    """

    def __init__(self, seed: int, place: str, cloudy: float, persistence: float, first: int) -> None:
        """``first`` is the first night that can be asked for."""
        self.key, self.first = (seed, zlib.crc32(place.encode())), first
        self.cloudy, self.persistence = cloudy, persistence
        self._lost: list[bool] = []

    def is_lost(self, night: int) -> bool:
        """Whether nothing can be observed; nights before the first are clear."""
        place = night - self.first
        if place < 0 or not self.cloudy:
            return False
        while len(self._lost) <= place:
            self._extend()
        return self._lost[place]

    def _extend(self) -> None:
        draws = _draws(*self.key, len(self._lost) // CHUNK)
        for draw in draws:
            chance = self.cloudy
            if self._lost:
                chance *= 1 - self.persistence
                chance += self.persistence if self._lost[-1] else 0.0
            self._lost.append(bool(draw < chance))


@lru_cache(maxsize=256)
def _draws(seed: int, place: int, chunk: int) -> tuple[float, ...]:
    return tuple(np.random.default_rng([seed, place, chunk]).random(CHUNK).tolist())


OWN = 'imagined'
BEFORE = 30.0
"""Days for which the surveys have looked already when a simulation begins."""


def survey_points(sky: SimulatedSky, seed: int, begun: datetime, until: datetime) -> Iterator[tuple[datetime, Photometry]]:
    """(when it is known, the point) of every survey; those from before the beginning are known at once."""
    for survey in sky.surveys:
        points = _survey(sky, survey, seed, begun, until)
        for place, day in enumerate(points.time):
            yield instant_of(day) + timedelta(hours=survey.latency), points.only(slice(place, place + 1))


def _survey(sky: SimulatedSky, survey: Survey, seed: int, begun: datetime, until: datetime) -> Photometry:
    if sky.light is None:
        return Photometry()
    rng = np.random.default_rng([seed, zlib.crc32(f'{survey.name} {survey.band}'.encode())])
    days = np.arange(mjd_of(begun) - BEFORE, mjd_of(until), survey.every)
    days = days + rng.uniform(0, min(survey.every, 0.3), len(days))
    return measure(sky.light, days[rng.random(len(days)) >= survey.lost], survey.band, survey.depth, survey.name, rng)


def measured(sky: SimulatedSky, seed: int, number: int, middle: datetime) -> Photometry:
    """The point of the cadence's own ``number``-th observation."""
    if sky.light is None:
        return Photometry()
    rng = np.random.default_rng([seed, number, 1])
    return measure(sky.light, np.array([mjd_of(middle)]), sky.band, sky.depth, OWN, rng)


def joined(before: Photometry, more: Photometry) -> Photometry:
    """All of both, oldest first."""
    columns = (
        np.concatenate([getattr(before, name), getattr(more, name)])
        for name in ('time', 'band', 'magnitude', 'error', 'limit', 'flux', 'source')
    )
    return Photometry.of(*columns)
