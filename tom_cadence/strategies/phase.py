"""Phase coverage: periodic targets are observed where the phase curve has its largest gap, until every phase is covered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import numpy as np
from django import forms
from numpy.typing import NDArray

from tom_cadence.core.bounds import short_repr
from tom_cadence.core.decisions import Decision, Stop
from tom_cadence.core.history import Attempt, History, Outcome, Unit
from tom_cadence.core.parameters import choice, names, number, whole
from tom_cadence.core.windows import Window
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies.base import OneAtATime, done, known_window, outcome_text
from tom_cadence.strategies.forms import CadenceParametersForm
from tom_followup.dates import read_date
from tom_followup.fields import MjdField
from tom_followup.units import instant_of, mjd_of

COUNTED = {'own': 'observations of this cadence', 'photometry': 'points in the TOM, from any source'}
HORIZON, NEAR = 10.0, 3.0
"""Days ahead that windows are looked for, and within which the largest gap comes before the next one in time."""
EDGE = 0.02
"""The part of a bin that a window keeps off each of its edges."""
MOST, MOST_BINS, MOST_POINTS = 300, 200, 1000
SHORTEST = timedelta(minutes=2)
LATEST_EPOCH = 100_000
"""MJD."""


@dataclass(frozen=True, kw_only=True)
class Ephemeris:
    """Its own parameters: ``epoch`` is the MJD (UTC) of phase 0, ``period`` days; each of ``bins`` is to have ``points``."""

    epoch: float
    period: float
    bins: int = 20
    points: int = 1
    counted: str = 'own'
    bands: tuple[str, ...] = ()

    def phase(self, day: NDArray[np.float64]) -> NDArray[np.float64]:
        """Phases from 0 to below 1 of these MJD."""
        return np.mod((day - self.epoch) / self.period, 1.0) % 1.0

    @property
    def width(self) -> float:
        """Days that a bin takes."""
        return self.period / self.bins


def read(raw: Mapping[str, Any]) -> Ephemeris:
    """The parameters as values; NeedsAttention names the first one that cannot be used, or that does not fit the others."""
    for name, what in (('phase_epoch', 'when phase 0 is'), ('phase_period', 'the period in days')):
        if raw.get(name) in (None, ''):
            raise NeedsAttention(f'{name} is missing: say {what}.')
    own = Ephemeris(
        epoch=number('phase_epoch', _epoch(raw['phase_epoch']), least=0, most=LATEST_EPOCH),
        period=number('phase_period', raw['phase_period'], above=0, most=3660),
        bins=whole('phase_bins', 20 if raw.get('phase_bins') in (None, '') else raw['phase_bins'], 2, MOST_BINS),
        points=whole('phase_points', 1 if raw.get('phase_points') in (None, '') else raw['phase_points'], 1, MOST_POINTS),
        counted=choice('phase_counted', raw.get('phase_counted') or 'own', tuple(COUNTED)),
        bands=names(raw.get('phase_bands')),
    )
    if timedelta(days=own.width) < SHORTEST:
        least = own.width * 1440
        raise NeedsAttention(
            f'phase_bins is {own.bins}: a bin of this period would take {least:.2g} minutes; at least 2 are needed.'
        )
    if own.bands and own.counted == 'own':
        raise NeedsAttention(f'phase_bands is given, but only {COUNTED["own"]} are counted: leave it empty, or count all points.')
    return own


def _epoch(given: Any) -> Any:
    """The MJD of an epoch that is written as a date; a number, and what is no date, as it is."""
    try:
        return read_epoch(given) if isinstance(given, str) else given
    except ValueError as error:
        raise NeedsAttention(f'phase_epoch is {short_repr(given)}; an MJD, a JD or a UTC date is expected. {error}') from error


def read_epoch(text: str) -> float:
    """The MJD of an epoch as people write it; a plain number up to 100,000 is one already, also of a time before 1900."""
    try:
        plain = float(text)
    except ValueError:
        plain = -1.0
    return plain if 0 <= plain <= LATEST_EPOCH else read_date(text)


class EpochField(MjdField):
    """An epoch; its cleaned value is an MJD (float), and it is shown with all its digits."""

    def read(self, text: str) -> float:
        """As ``read_epoch`` does."""
        return read_epoch(text)

    def prepare_value(self, value: Any) -> Any:
        """A number stays a number: as a date it would lose digits, and a phase adds them up over many cycles."""
        return value if isinstance(value, (int, float)) else super().prepare_value(value)


class PhaseCoverageForm(CadenceParametersForm):
    """Epoch (MJD, UTC) and period (days), how many bins, and how many points each of them wants."""

    own_fields = ('phase_epoch', 'phase_period', 'phase_bins', 'phase_points', 'phase_counted', 'phase_bands')
    phase_epoch = EpochField(
        label='Epoch',
        help_text='When phase 0 is, UTC: an MJD such as 60316.5, a JD such as 2460317.0, or a date such as 2024-01-07 12:00.',
    )
    phase_period = forms.FloatField(min_value=0.0001, max_value=3660, label='Period', help_text='Days.')
    phase_bins = forms.IntegerField(
        required=False,
        min_value=2,
        max_value=MOST_BINS,
        initial=20,
        label='Phase bins',
        help_text='20 if empty. A window is one bin long.',
    )
    phase_points = forms.IntegerField(
        required=False, min_value=1, max_value=MOST_POINTS, initial=1, label='Points in each bin', help_text='1 if empty.'
    )
    phase_counted = forms.ChoiceField(required=False, label='Counted are', choices=list(COUNTED.items()))
    phase_bands = forms.CharField(
        required=False, label='Bands', help_text='Of the points that are counted, as they name them: r, ZTF_r, o. All if empty.'
    )
    cadence_frequency = forms.FloatField(required=False, min_value=0.01, widget=forms.HiddenInput())

    def check(self, given: dict[str, Any]) -> None:
        """Refuse bins that are too short, and bands where no photometry is read."""
        read(given)


class PhaseCoverageStrategy(OneAtATime):
    """Observe the phases that are missing, the largest gap first."""

    name = 'Phase coverage'
    rank = 50
    description = (
        'For periodic targets: each window lies where the largest gap in phase is, given epoch and period. '
        'The cadence ends when every phase bin has its points.'
    )
    form: ClassVar[type] = PhaseCoverageForm
    needs_photometry = True
    needs_parameters = False

    def photometry_span(self) -> timedelta | None:
        """Nothing where only own observations count."""
        return None if read(self.given).counted == 'photometry' else timedelta(0)

    def effort(self, history: History) -> int:
        """Each bin is compared with every point, and with every passage of the target until the horizon."""
        own = read(self.given)
        passages = 1 + int(max(HORIZON, 1.1 * own.period) / own.period)
        return own.bins * (passages + len(history.photometry) // 100) // 8

    def first(self, history: History, newest: Unit, now: datetime) -> Decision:
        """The next window, whatever became of the last one: its phase has passed."""
        own = read(self.given)
        phases = own.phase(_days(own, history, now))
        counts = np.bincount((phases * own.bins).astype(int) % own.bins, minlength=own.bins)
        missing = np.flatnonzero(counts < own.points)
        if not len(missing):
            points = f'{own.points} point{"s" * (own.points > 1)}'
            return Stop(reason=f'All {own.bins} phase bins have their {points}.')
        earliest = now if newest.outcome is Outcome.SUCCEEDED else now + timedelta(hours=self.parameters.retry_backoff)
        if newest.outcome is Outcome.CANCELLED and history.skips_cancelled:  # its window is not wanted, even if it is to come
            earliest = max(earliest, known_window(newest.newest).end)
        windows = candidates(own, missing, counts, phases, earliest)
        wanted = own.phase(np.array([mjd_of(windows[0].end)]))[0] - 0.5 / own.bins
        reason = f'{outcome_text(newest)}. {len(missing)} of {own.bins} phase bins are missing; next is phase {wanted % 1:.2f}.'
        return self.ask(newest, windows[0], reason, alternatives=tuple(windows[1:]))


def _days(own: Ephemeris, history: History, now: datetime) -> NDArray[np.float64]:
    """When the target was observed, MJD: own observations, or points and the own observations since the newest of them."""
    ours = [_middle(done(unit)) for unit in history.units if unit.outcome is Outcome.SUCCEEDED]
    days = np.array([mjd_of(moment) for moment in ours if moment is not None], dtype=np.float64)
    if own.counted == 'own':
        return days
    points = history.photometry.until(now).in_bands(own.bands).detections()
    if not len(points):
        return days
    return np.concatenate((points.time, days[days > points.time[-1]]))


def _middle(attempt: Attempt) -> datetime | None:
    """When it was observed: the middle of the real observation, or of the window where that is not known."""
    start, end = attempt.scheduled_start, attempt.scheduled_end
    if start is not None:
        return start if end is None or end < start else start + (end - start) / 2
    return attempt.window.start + attempt.window.length / 2 if attempt.window else None


def candidates(
    own: Ephemeris, missing: NDArray[np.intp], counts: NDArray[np.intp], phases: NDArray[np.float64], now: datetime
) -> list[Window]:
    """Windows on the bins that are missing points, best first: soon, few points, far in phase from every point, early."""
    found = []
    for index in missing.tolist():
        distance = _distance((index + 0.5) / own.bins, phases)
        for window in _passages(own, index, now):
            block = int((window.start - now) / timedelta(days=NEAR))
            found.append((block, int(counts[index]), -round(distance, 6), window.start, window))
    return [window for *_, window in sorted(found, key=lambda each: each[:4])[:MOST]]


def _distance(phase: float, phases: NDArray[np.float64]) -> float:
    """How far the nearest point is, in phase, around the circle; 0.5 where there is none."""
    apart = np.abs(phases - phase)
    return float(np.minimum(apart, 1 - apart).min()) if len(phases) else 0.5


def _passages(own: Ephemeris, index: int, now: datetime) -> Iterator[Window]:
    """When the target passes through a bin: at least once, and what is left of a passage that lasts is one too.

    A window keeps off the edges of its bin, so that seconds that a facility rounds off do not move it into the next.
    """
    cycle = math.floor((mjd_of(now) - own.epoch) / own.period - index / own.bins)
    length, last = timedelta(days=own.width), now + timedelta(days=max(HORIZON, 1.1 * own.period))
    while True:
        start = instant_of(own.epoch + (cycle + index / own.bins) * own.period) + EDGE * length
        end = start + (1 - 2 * EDGE) * length
        cycle += 1
        if start > last:
            return
        if start >= now:
            yield Window(start=start, end=end)
        elif start + length / 2 > now:
            yield Window(start=now, end=end)
