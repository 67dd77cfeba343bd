"""Decline-following: the faster a target changes, the more often it is observed, so that the light curve is sampled evenly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import numpy as np
from django import forms

from tom_cadence.core.decisions import Decision
from tom_cadence.core.history import History, Unit
from tom_cadence.core.parameters import names, number, whole
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.windows import show
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies.base import OneAtATime, done
from tom_cadence.strategies.forms import CadenceParametersForm
from tom_followup.units import instant_of

LEAST_POINTS, MOST_POINTS = 3, 200
"""A slope over all pairs of the most takes 20,000 of them."""
DEFAULTS: dict[str, float] = {
    'decline_step': 0.2,
    'decline_points': 8,
    'decline_age': 30,
    'decline_snr': 5,
    'decline_least': 6,
    'decline_most': 240,
}


@dataclass(frozen=True, kw_only=True)
class Decline:
    """Its own parameters: magnitudes between observations, hours (``least``, ``most``, ``every``), days (``age``)."""

    step: float
    points: int
    age: float
    snr: float
    least: float
    most: float
    every: float
    bands: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Slope:
    """How fast a target changes (magnitudes a day, positive where it fades), and from which points that is known."""

    rate: float
    points: Photometry

    def in_words(self) -> str:
        """For example ``It fades by 0.12 mag a day (the last 8 points, r and g, to 2026-11-20 03:10 UTC)``."""
        bands = ' and '.join(dict.fromkeys(self.points.band.tolist()))
        how = (
            'does not change'
            if self.rate == 0
            else f'{"fades" if self.rate > 0 else "brightens"} by {abs(self.rate):.3g} mag a day'
        )
        last = show(instant_of(self.points.time[-1]))
        return f'It {how} (the last {len(self.points)} points, {bands}, to {last})'


def read(raw: Mapping[str, Any]) -> Decline:
    """The parameters as values; NeedsAttention names the first one that cannot be used, or that does not fit the others."""
    given = {name: default if raw.get(name) in (None, '') else raw[name] for name, default in DEFAULTS.items()}
    if raw.get('cadence_frequency') in (None, ''):
        raise NeedsAttention('cadence_frequency is missing: say how often to observe until there are enough points.')
    own = Decline(
        step=number('decline_step', given['decline_step'], above=0, most=5),
        points=whole('decline_points', given['decline_points'], LEAST_POINTS, MOST_POINTS),
        age=number('decline_age', given['decline_age'], above=0, most=3660),
        snr=number('decline_snr', given['decline_snr'], least=0, most=1000),
        least=number('decline_least', given['decline_least'], above=0, most=87600),
        most=number('decline_most', given['decline_most'], above=0, most=87600),
        every=number('cadence_frequency', raw['cadence_frequency'], above=0, most=87600),
        bands=names(raw.get('decline_bands')),
    )
    if own.most < own.least:
        raise NeedsAttention(f'decline_most is {own.most:g} h, which is shorter than the shortest interval, {own.least:g} h.')
    if not own.least <= own.every <= own.most:
        raise NeedsAttention(f'cadence_frequency is {own.every:g} h; it must be between {own.least:g} h and {own.most:g} h.')
    return own


class DeclineFollowingForm(CadenceParametersForm):
    """Magnitudes from one observation to the next, hours between which the interval stays, days of points for the slope."""

    own_fields = (
        'decline_step',
        'cadence_frequency',
        'decline_least',
        'decline_most',
        'decline_bands',
        'decline_points',
        'decline_age',
        'decline_snr',
    )  # fmt: skip
    decline_step = forms.FloatField(
        min_value=0.01, max_value=5, initial=0.2, label='Observe every', help_text='Magnitudes that the target has changed by.'
    )
    cadence_frequency = forms.FloatField(
        min_value=0.01, label='At first every', help_text=f'Hours, until there are {LEAST_POINTS} points to tell a slope from.'
    )
    decline_least = forms.FloatField(
        required=False, min_value=0.01, initial=6, label='Shortest interval', help_text='Hours; 6 if empty.'
    )
    decline_most = forms.FloatField(
        required=False, min_value=0.01, initial=240, label='Longest interval', help_text='Hours; 240 if empty.'
    )
    decline_bands = forms.CharField(
        required=False, label='Bands', help_text='As the points name them, for example: r, ZTF_r, o. All if empty.'
    )
    decline_points = forms.IntegerField(
        required=False,
        min_value=LEAST_POINTS,
        max_value=MOST_POINTS,
        initial=8,
        label='Points for the slope',
        help_text='The newest ones; 8 if empty.',
    )
    decline_age = forms.FloatField(
        required=False, min_value=0.1, initial=30, label='Points younger than', help_text='Days; 30 if empty.'
    )
    decline_snr = forms.FloatField(
        required=False, min_value=0, initial=5, label='Signal to noise', help_text='Of each point, at least; 5 if empty.'
    )

    def check(self, given: dict[str, Any]) -> None:
        """Refuse intervals that contradict each other."""
        read(given)


class DeclineFollowingStrategy(OneAtATime):
    """Observe each time the target has changed by so many magnitudes."""

    name = 'Decline-following'
    rank = 40
    description = (
        'The interval follows the light curve: often while the target changes fast, rarely when it has become slow, '
        'so that it is sampled every so many tenths of a magnitude.'
    )
    form: ClassVar[type] = DeclineFollowingForm
    needs_photometry = True
    needs_parameters = False

    def photometry_span(self) -> timedelta:
        """As old as a point of the slope may be."""
        return timedelta(days=read(self.given).age)

    def after(self, history: History, newest: Unit, now: datetime) -> Decision:
        """The next one when the target has changed enough."""
        own = read(self.given)
        found = slope(own, history.photometry, now)
        hours = own.every if found is None else interval(own, found.rate)
        words = f'{found.in_words()}' if found else 'There are too few points to tell a slope from'
        due = self.counted(done(newest)).start + timedelta(hours=hours)
        return self.when_due(newest, due, now, f'{words}: every {hours:.3g} h.')


def interval(own: Decline, rate: float) -> float:
    """Hours in which a target that changes by ``rate`` magnitudes a day changes by one step, within the bounds."""
    hours = own.most if rate == 0 else 24 * own.step / abs(rate)
    return float(min(max(hours, own.least), own.most))


def slope(own: Decline, photometry: Photometry, now: datetime) -> Slope | None:
    """The slope of the newest points; None where there are too few, or all of a band at one time."""
    points = photometry.until(now).since(now - timedelta(days=own.age)).in_bands(own.bands).detections(own.snr)
    points = points.only(slice(-own.points, None))
    if len(points) < LEAST_POINTS:
        return None
    rate = pooled_slope(points)
    return None if rate is None else Slope(rate=rate, points=points)


def pooled_slope(points: Photometry) -> float | None:
    """The median slope over all pairs of points of one band, magnitudes a day; None without a pair.

    Theil 1950 (Indagationes Mathematicae 12, 85) and Sen 1968 (JASA 63, 1379). Pairs of two bands are left out, because the
    colour would be taken for a slope; with one band it is scipy.stats.theilslopes.
    """
    first, second = np.triu_indices(len(points), k=1)
    days = points.time[second] - points.time[first]
    use = (points.band[first] == points.band[second]) & (days > 0)
    if not use.any():
        return None
    return float(np.median((points.magnitude[second] - points.magnitude[first])[use] / days[use]))
