"""Brightness: follow a target while it is brighter (or fainter) than a magnitude, as often and as long as that asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from django import forms

from tom_cadence.core.decisions import Decision, Stop, Wait
from tom_cadence.core.history import History, Unit
from tom_cadence.core.parameters import choice, names, number, written
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.relaxation import exposures
from tom_cadence.core.windows import show
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies.base import OneAtATime, done, known_window, outcome_text
from tom_cadence.strategies.forms import CadenceParametersForm
from tom_followup.units import instant_of

EXAMPLE = 'up to 16: every 6 h, 30 s; up to 18: every 24 h, 120 s; fainter: every 2 days, 300 s'
_ROW = re.compile(
    r'(?:(?:up\s+)?to\s+(?P<to>-?\d+(?:\.\d+)?)(?:\s*mag)?|(?P<rest>fainter))\s*:\s*'
    r'every\s+(?P<every>\d+(?:\.\d+)?)\s*(?P<unit>min|h|hours?|d|days?)'
    r'(?:\s*,\s*(?P<seconds>\d+(?:\.\d+)?)\s*s)?\Z',
    re.IGNORECASE,
)
MOST_ROWS = 100
_HOURS = {'m': 1 / 60, 'h': 1.0, 'd': 24.0}


@dataclass(frozen=True, kw_only=True)
class BrightnessRow:
    """Down to this magnitude (inf for any): hours between observations, and seconds of exposure where they are to follow."""

    to: float
    every: float
    seconds: float | None = None


def read_table(text: Any) -> tuple[BrightnessRow, ...]:
    """The rows, brightest first; NeedsAttention names the one that cannot be read, and shows how to write it."""
    lines = [line.strip() for line in re.split(r'[;\n]', written('bright_table', text)) if line.strip()]
    if len(lines) > MOST_ROWS:
        raise NeedsAttention(f'bright_table: {len(lines)} rows; at most {MOST_ROWS} are possible.')
    rows = [_read(count, line) for count, line in enumerate(lines, 1)]
    for count, (brighter, fainter) in enumerate(pairwise(rows), 2):
        if fainter.to <= brighter.to:
            raise NeedsAttention(f'bright_table: row {count}, {lines[count - 1]!r}, is not fainter than the one before it.')
    return tuple(rows)


def _read(count: int, line: str) -> BrightnessRow:
    found = _ROW.match(line)
    if found is None:
        raise NeedsAttention(f'bright_table: row {count}, {line!r}, cannot be read. Write it like: {EXAMPLE}')
    every = float(found['every']) * _HOURS[found['unit'][0].lower()]
    seconds = float(found['seconds']) if found['seconds'] else None
    if not 0.01 <= every <= 24 * 3660:
        raise NeedsAttention(f'bright_table: row {count}, {line!r}: an interval of 0.01 h to ten years is expected.')
    if seconds is not None and not 0.01 <= seconds <= 86400:
        raise NeedsAttention(f'bright_table: row {count}, {line!r}: an exposure of 0.01 s to a day is expected.')
    return BrightnessRow(to=math.inf if found['rest'] else float(found['to']), every=every, seconds=seconds)


def row_for(rows: Sequence[BrightnessRow], magnitude: float) -> BrightnessRow | None:
    """The row that a magnitude falls into, or None where it is fainter than all."""
    return next((row for row in rows if magnitude <= row.to), None)


FOLLOW = {'brighter': 'brighter than', 'fainter': 'fainter than'}
LONGEST = 87600.0
"""Hours: ten years."""
WITHOUT = {'wait': 'wait for one', 'observe': 'go on at the interval above'}


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """Its own parameters: magnitudes, hours (``age``, ``every``), and the least ratio of signal to noise."""

    magnitude: float
    follow: str = 'brighter'
    stop: float | None = None
    bands: tuple[str, ...] = ()
    age: float = 72.0
    snr: float = 5.0
    table: tuple[BrightnessRow, ...] = ()
    every: float | None = None
    without: str = 'wait'

    def row(self, magnitude: float | None) -> BrightnessRow:
        """Interval and exposure for a magnitude, or for none that is known."""
        found = None if magnitude is None else row_for(self.table, magnitude)
        if found is not None:
            return found
        if self.every is None:
            what = 'a target without a point' if magnitude is None else f'magnitude {magnitude:.2f}'
            raise NeedsAttention(f'bright_table has no row for {what}, and cadence_frequency is empty.')
        return BrightnessRow(to=np.inf, every=self.every)


@dataclass(frozen=True, kw_only=True)
class Point:
    """The point that decides. ``limit``: the target is fainter than ``magnitude``."""

    magnitude: float
    limit: bool
    words: str


def read(raw: Mapping[str, Any]) -> Brightness:
    """The parameters as values; NeedsAttention names the first one that cannot be used, or that does not fit the others."""
    if raw.get('bright_magnitude') in (None, ''):
        raise NeedsAttention('bright_magnitude is missing: say down to which magnitude the target is followed.')
    optional = {name: raw[name] for name in ('bright_stop', 'cadence_frequency') if raw.get(name) not in (None, '')}
    frequency = optional.get('cadence_frequency')
    own = Brightness(
        magnitude=number('bright_magnitude', raw['bright_magnitude'], least=-30, most=40),
        follow=choice('bright_follow', raw.get('bright_follow') or 'brighter', tuple(FOLLOW)),
        stop=number('bright_stop', optional['bright_stop'], least=-30, most=40) if 'bright_stop' in optional else None,
        bands=names(raw.get('bright_bands')),
        age=number('bright_age', raw.get('bright_age') or 72, above=0, most=87600),
        snr=number('bright_snr', 5 if raw.get('bright_snr') in (None, '') else raw['bright_snr'], least=0, most=1000),
        table=read_table(raw.get('bright_table')),
        every=None if frequency is None else number('cadence_frequency', frequency, above=0, most=LONGEST),
        without=choice('bright_without', raw.get('bright_without') or 'wait', tuple(WITHOUT)),
    )
    _check(own)
    return own


def _check(own: Brightness) -> None:
    brighter = own.follow == 'brighter'
    if own.stop is not None and (own.stop < own.magnitude if brighter else own.stop > own.magnitude):
        side = 'fainter' if brighter else 'brighter'
        raise NeedsAttention(
            f'bright_stop is {own.stop:g}, so the cadence would end while the target is still followed: it must be {side} '
            f'than {own.magnitude:g}.'
        )
    deepest = own.magnitude if brighter else np.inf
    if own.every is None and row_for(own.table, deepest) is None:
        what = 'bright_table does not go down to every magnitude that is followed' if own.table else 'bright_table is empty'
        raise NeedsAttention(f'{what}: add a row, or give the interval (cadence_frequency).')
    if own.every is None and own.without == 'observe':
        raise NeedsAttention('bright_without is to go on without a point: give the interval (cadence_frequency).')


class BrightnessForm(CadenceParametersForm):
    """AB magnitudes with hours and exposure seconds for each, hours that a point may be old, and where the cadence ends."""

    own_fields = (
        'bright_follow',
        'bright_magnitude',
        'cadence_frequency',
        'bright_table',
        'bright_stop',
        'bright_bands',
        'bright_age',
        'bright_snr',
        'bright_without',
    )  # fmt: skip
    bright_follow = forms.ChoiceField(label='Follow while', choices=[(key, f'{text} a magnitude') for key, text in FOLLOW.items()])
    bright_magnitude = forms.FloatField(
        label='Magnitude', min_value=-30, max_value=40, help_text='As the points in the TOM have it (AB).'
    )
    cadence_frequency = forms.FloatField(
        required=False, min_value=0.01, label='Repeat every', help_text='Hours between observations, where the table says nothing.'
    )
    bright_table = forms.CharField(
        required=False,
        label='Interval and exposure by magnitude',
        widget=forms.Textarea(attrs={'rows': 3}),
        help_text=f'Seconds are set as the exposure time of each request. For example: {EXAMPLE}',
    )
    bright_stop = forms.FloatField(
        required=False, min_value=-30, max_value=40, label='End beyond', help_text='Magnitude at which the cadence ends for good.'
    )
    bright_bands = forms.CharField(
        required=False, label='Bands', help_text='As the points name them, for example: r, ZTF_r, o. All if empty.'
    )
    bright_age = forms.FloatField(
        required=False, min_value=0.1, initial=72, label='Points younger than', help_text='Hours; 72 if empty.'
    )
    bright_snr = forms.FloatField(
        required=False, min_value=0, initial=5, label='Signal to noise', help_text='Of a point that decides, at least; 5 if empty.'
    )
    bright_without = forms.ChoiceField(required=False, label='Without such a point', choices=list(WITHOUT.items()))

    def check(self, given: dict[str, Any]) -> None:
        """Refuse a table with gaps, and an end that comes before the target stops being followed."""
        read(given)


class BrightnessStrategy(OneAtATime):
    """Follow a target while it is bright enough, at an interval and exposure that follow its magnitude."""

    name = 'Brightness'
    rank = 30
    description = (
        'Observe while the target is brighter (or fainter) than a magnitude, judged by points from any source in the TOM. '
        'Interval and exposure time can follow the magnitude.'
    )
    form: ClassVar[type] = BrightnessForm
    needs_photometry = True

    def photometry_span(self) -> timedelta:
        """As old as a point may be that decides."""
        return timedelta(hours=read(self.given).age)

    def first(self, history: History, newest: Unit, now: datetime) -> Decision | None:
        """Whether the target is followed at all."""
        own = read(self.given)
        point = present(own, history.photometry, now)
        if point is None:
            if own.without == 'observe':
                return None
            bands = f' in {", ".join(own.bands)}' if own.bands else ''
            return Wait(reason=f'There is no point{bands} with S/N of {own.snr:g} younger than {own.age:g} h.')
        if own.stop is not None and _beyond(point, own.stop, own.follow):
            return Stop(reason=f'{point.words}: beyond {own.stop:g}, where this cadence ends.')
        if not _followed(point, own):
            return Wait(reason=f'{point.words}: observed only while {FOLLOW[own.follow]} {own.magnitude:g}.')
        return None

    def after(self, history: History, newest: Unit, now: datetime) -> Decision:
        """The next one, as soon as the present magnitude asks for it."""
        row, words = self._row(history, now)
        due = self.counted(done(newest)).start + timedelta(hours=row.every)
        return self.when_due(newest, due, now, f'{words}: every {row.every:g} h.', self._changes(newest, row))

    def again(self, history: History, newest: Unit, now: datetime) -> Decision:
        """The same again, with the exposure that the present magnitude asks for."""
        row, words = self._row(history, now)
        start = now + timedelta(hours=self.parameters.retry_backoff)
        window = known_window(newest.newest).starting(start)
        return self.ask(newest, window, f'{outcome_text(newest)}: asked for again. {words}.', self._changes(newest, row))

    def _row(self, history: History, now: datetime) -> tuple[BrightnessRow, str]:
        own = read(self.given)
        point = present(own, history.photometry, now)
        return own.row(None if point is None else point.magnitude), point.words if point else 'No point is young enough'

    @staticmethod
    def _changes(unit: Unit, row: BrightnessRow) -> dict[str, Any]:
        if row.seconds is None:
            return {}
        like = done(unit).parameters
        return {name: value for name, value in exposures(like, row.seconds) if like.get(name) != value}


def present(own: Brightness, photometry: Photometry, now: datetime) -> Point | None:
    """The newest point that says how bright the target is now: a detection, or a limit deep enough to decide."""
    points = photometry.until(now).since(now - timedelta(hours=own.age)).in_bands(own.bands)
    seen = points.detections(own.snr)
    deep = points.only(np.isnan(points.magnitude) & (points.limit >= own.magnitude))
    newest = max((part for part in (seen, deep) if len(part)), key=lambda part: float(part.time[-1]), default=None)
    if newest is None:
        return None
    limit = newest is deep
    magnitude = float(newest.limit[-1] if limit else newest.magnitude[-1])
    error = '' if limit or np.isnan(newest.error[-1]) else f' ± {newest.error[-1]:.2f}'
    source = f' ({newest.source[-1]})' if newest.source[-1] else ''
    words = f'{newest.band[-1]} {">" if limit else "="} {magnitude:.2f}{error} at {show(instant_of(newest.time[-1]))}{source}'
    return Point(magnitude=magnitude, limit=limit, words=words)


def _followed(point: Point, own: Brightness) -> bool:
    if own.follow == 'brighter':
        return point.magnitude <= own.magnitude and not point.limit
    return point.magnitude >= own.magnitude


def _beyond(point: Point, stop: float, follow: str) -> bool:
    return point.magnitude > stop if follow == 'brighter' else point.magnitude < stop and not point.limit
