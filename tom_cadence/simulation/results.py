"""What came of a simulation: every decision and every observation, and figures over one run or many."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from tom_cadence.core.history import Outcome
from tom_cadence.core.photometry import EMPTY, Photometry
from tom_cadence.core.windows import Window, show
from tom_cadence.simulation.sky import SimulatedSky

HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A decision: ``wait``, ``submit`` or ``stop``; the same wait is one step, however often the engine looked."""

    at: datetime
    decision: str
    reason: str
    window: Window | None = None
    attention: bool = False


@dataclass(frozen=True, kw_only=True)
class SimulatedObservation:
    """One imagined observation: asked for at ``asked``, taken from ``start`` to ``end``, its state ``known`` later; all UTC.

    ``number`` counts the cadence's requests; ``seconds`` of exposure; times are None as long as they are not known.
    """

    number: int
    asked: datetime
    window: Window
    outcome: Outcome
    status: str
    seconds: float
    start: datetime | None = None
    end: datetime | None = None
    known: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """One imagined future, from ``begun`` to ``until``; ``ending`` is why the cadence ended before, if it did."""

    begun: datetime
    until: datetime
    steps: tuple[Step, ...] = ()
    observations: tuple[SimulatedObservation, ...] = ()
    ending: str = ''
    ended: datetime | None = None
    attention: bool = False
    photometry: Photometry = field(default_factory=lambda: EMPTY)

    @cached_property
    def done(self) -> tuple[SimulatedObservation, ...]:
        """The observations that succeeded, in the order in which they were taken."""
        found = [each for each in self.observations if each.outcome is Outcome.SUCCEEDED and each.start]
        return tuple(sorted(found, key=lambda each: (each.start, each.number)))

    @property
    def failed(self) -> int:
        """How many failed."""
        return sum(each.outcome is Outcome.FAILED for each in self.observations)

    @property
    def exposed(self) -> float:
        """Seconds of exposure of the observations that succeeded."""
        return sum(each.seconds for each in self.done)

    @cached_property
    def starts(self) -> tuple[datetime, ...]:
        """When the observations that succeeded began."""
        return tuple(each.start for each in self.done if each.start)

    @property
    def intervals(self) -> tuple[float, ...]:
        """Hours from the start of one observation to the start of the next."""
        return tuple((later - before) / HOUR for before, later in pairwise(self.starts))

    @property
    def first(self) -> float | None:
        """Hours to the start of the first one; None without one."""
        return (self.starts[0] - self.begun) / HOUR if self.starts else None

    @property
    def longest_gap(self) -> float:
        """Hours without an observation, at most: before the first, between two, or after the last until the cadence ended."""
        instants = [self.begun, *self.starts, min(filter(None, (self.ended, self.until)))]
        return max((later - before) / HOUR for before, later in pairwise(instants))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure over many runs: its median, and the values below which 5 % and 90 % and 95 % of them are; nan without any."""

    median: float
    low: float
    ninety: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of these values, joined by straight lines between two."""
        if not len(values):
            return cls(median=np.nan, low=np.nan, ninety=np.nan, high=np.nan)
        low, median, ninety, high = (float(value) for value in np.quantile(values, [0.05, 0.5, 0.9, 0.95]))
        return cls(median=median, low=low, ninety=ninety, high=high)


@dataclass(frozen=True, kw_only=True)
class SimulationSummary:
    """Many runs in figures: ``exposed`` in hours, ``interval``, ``gap`` and ``first`` in hours."""

    runs: int
    done: Spread
    failed: Spread
    exposed: Spread
    interval: Spread
    gap: Spread
    first: Spread
    without: int
    ended: int
    attention: int
    endings: Mapping[str, int]


def summary(timelines: Sequence[Timeline]) -> SimulationSummary:
    """The figures of these runs; intervals are those of all runs together, ``without`` counts runs without any success."""
    endings: dict[str, int] = {}
    for each in timelines:
        if each.ending:
            endings[each.ending] = endings.get(each.ending, 0) + 1
    return SimulationSummary(
        runs=len(timelines),
        done=Spread.of([len(each.done) for each in timelines]),
        failed=Spread.of([each.failed for each in timelines]),
        exposed=Spread.of([each.exposed / 3600 for each in timelines]),
        interval=Spread.of([hours for each in timelines for hours in each.intervals]),
        gap=Spread.of([each.longest_gap for each in timelines]),
        first=Spread.of([each.first for each in timelines if each.first is not None]),
        without=sum(each.first is None for each in timelines),
        ended=sum(bool(each.ending) for each in timelines),
        attention=sum(each.attention for each in timelines),
        endings=dict(sorted(endings.items(), key=lambda pair: -pair[1])),
    )


def counts(timelines: Sequence[Timeline], instants: Sequence[datetime], quantiles: Sequence[float]) -> np.ndarray:
    """How many observations were done by each instant: one row for each of the ``quantiles`` over the runs."""
    places = np.array([instant.timestamp() for instant in instants])
    starts = [np.array([start.timestamp() for start in each.starts]) for each in timelines]
    table = np.array([np.searchsorted(mine, places, side='right') for mine in starts])
    return np.asarray(np.quantile(table, quantiles, axis=0))


COLUMNS = (
    'run',
    'number',
    'asked_utc',
    'window_start_utc',
    'window_end_utc',
    'outcome',
    'status',
    'observed_start_utc',
    'observed_end_utc',
    'known_utc',
    'exposure_s',
)


def figures(found: SimulationSummary) -> list[tuple[str, str]]:
    """(what, the figure) of many runs, in words; one run has no spread."""
    one = found.runs == 1
    rows = [
        ('Observations done', _spread(found.done, one, '.0f', '')),
        ('Failed or expired', _spread(found.failed, one, '.0f', '')),
        ('Exposure time of those done', _spread(found.exposed, one, '.2f', ' h')),
        ('Interval achieved', f'{hours(found.interval.median)} (median), {hours(found.interval.ninety)} (90 % are shorter)'),
        ('Longest gap', f'{hours(found.gap.median)}{"" if one else f" (median), {hours(found.gap.ninety)} (90 % are shorter)"}'),
        ('Until the first one', hours(found.first.median) + ('' if one else ' (median)')),
    ]
    if math.isnan(found.interval.median):
        rows[3] = ('Interval achieved', 'unknown: fewer than two observations')
    if found.without:
        rows.append(('Runs without any', f'{found.without} of {found.runs}'))
    if found.ended:
        asking = f', {found.attention} by asking for a person' if found.attention else ''
        rows.append(('Runs in which it ended', f'{found.ended} of {found.runs}{asking}'))
    return rows


def share_going_on(found: SimulationSummary, sky: SimulatedSky, nights: int) -> str:
    """How many of these runs did not come to a standstill, in a sentence or two; what ended as it was meant to did not."""
    planned = found.ended - found.attention
    good = found.runs - found.attention
    said = (
        f'With {sky.cloudy:.0%} of nights lost, {good} of {found.runs} simulated cadences were still running after {nights} nights'
        f'{" or had ended as planned" if planned else ""}'
    ).replace('%', ' %')
    return f'{said}; {found.attention} had stopped and asked for a person.' if found.attention else f'{said}.'


def _spread(values: Spread, one: bool, form: str, unit: str) -> str:
    if one:
        return f'{values.median:{form}}{unit}'
    return f'{values.median:{form}}{unit} (median), {values.low:{form}} to {values.high:{form}}{unit} in nine of ten runs'


def hours(value: float) -> str:
    """Hours, or days where there are many; never a nan."""
    if math.isnan(value):
        return 'never'
    if value < 1:
        return f'{60 * value:.1f} min'
    return f'{value:.2f} h' if value < 72 else f'{value / 24:.2f} days'


def lines(timeline: Timeline) -> Iterator[str]:
    """One run, decision by decision."""
    for step in timeline.steps:
        window = f' Window {show(step.window.start)} to {show(step.window.end)}.' if step.window else ''
        yield f'{show(step.at)}  {step.decision:6}  {step.reason}{window}'


def rows(timelines: Sequence[Timeline]) -> Iterator[dict[str, Any]]:
    """Every observation of every run as a row of a table; runs count from 1."""
    for run, timeline in enumerate(timelines, 1):
        for each in timeline.observations:
            values = (
                run,
                each.number,
                _text(each.asked),
                _text(each.window.start),
                _text(each.window.end),
                each.outcome.value,
                each.status,
                _text(each.start),
                _text(each.end),
                _text(each.known),
                each.seconds,
            )
            yield dict(zip(COLUMNS, values, strict=True))


def as_csv(timelines: Sequence[Timeline]) -> str:
    """One line an observation, as ``rows`` has them, with a head of the names of COLUMNS."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows(timelines))
    return text.getvalue()


def as_dict(found: SimulationSummary) -> dict[str, Any]:
    """The figures for JSON: hours, and null where there is none."""
    return {name: _plain(value) for name, value in asdict(found).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _text(instant: datetime | None) -> str:
    return '' if instant is None else instant.astimezone(timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')
