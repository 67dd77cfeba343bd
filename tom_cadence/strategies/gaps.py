"""Fill the gaps: observe only what nobody else has seen, neither a telescope of one's own nor a survey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import numpy as np
from django import forms

from tom_cadence.core.decisions import Decision, PhotometryRequest, Wait
from tom_cadence.core.history import History, Outcome, PhotometryAnswer, Unit
from tom_cadence.core.parameters import names, number, written
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.windows import show
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies.base import OneAtATime, done, known_window
from tom_cadence.strategies.forms import CadenceParametersForm
from tom_followup.units import instant_of

BACK = timedelta(days=7)
"""How far before the gap a service is asked from, at least: late nights and re-reductions."""


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Its own parameters: hours without a point (``gap``), in these bands; whom to ask first, and for how many hours to wait."""

    gap: float
    bands: tuple[str, ...] = ()
    snr: float = 0.0
    ask: str = ''
    patience: float = 6.0


def read(raw: Mapping[str, Any]) -> Gaps:
    """The parameters as values; NeedsAttention names the first one that cannot be used, or that does not fit the others."""
    if raw.get('cadence_frequency') in (None, ''):
        raise NeedsAttention('cadence_frequency is missing: say for how long the target may go without a point.')
    ask = written('gap_ask', raw.get('gap_ask'), 50).strip()
    patience = raw.get('gap_patience')
    own = Gaps(
        gap=number('cadence_frequency', raw['cadence_frequency'], above=0, most=87600),
        bands=names(raw.get('gap_bands')),
        snr=number('gap_snr', 0 if raw.get('gap_snr') in (None, '') else raw['gap_snr'], least=0, most=1000),
        ask=ask,
        patience=number('gap_patience', 6 if patience in (None, '') else patience, above=0, most=720),
    )
    if ask and own.patience >= own.gap:
        raise NeedsAttention(
            f'gap_patience is {own.patience:g} h, as long as the gap itself ({own.gap:g} h): the answer would always come too late.'
        )
    return own


class FillGapsForm(CadenceParametersForm):
    """Hours without a point before one is asked for, what counts as a point, and which service is asked first."""

    own_fields = ('cadence_frequency', 'gap_bands', 'gap_snr', 'gap_ask', 'gap_patience')
    cadence_frequency = forms.FloatField(
        min_value=0.01, label='No gap longer than', help_text='Hours. An observation is asked for when nobody has a younger point.'
    )
    gap_bands = forms.CharField(
        required=False, label='Bands', help_text='In which a point counts, as the points name them: r, ZTF_r, o. All if empty.'
    )
    gap_snr = forms.FloatField(
        required=False,
        min_value=0,
        label='Signal to noise',
        help_text='Of a point that counts. Upper limits count too if empty or 0.',
    )
    gap_ask = forms.CharField(
        required=False,
        max_length=50,
        label='Ask first',
        help_text='A photometry service of this TOM, for example ATLAS, that is asked for a fresh look before an observation is.',
    )
    gap_patience = forms.FloatField(
        required=False, min_value=0.1, initial=6, label='Wait for its answer', help_text='Hours at the most; 6 if empty.'
    )

    def check(self, given: dict[str, Any]) -> None:
        """Refuse to wait for an answer for longer than the gap may be."""
        read({**given, 'gap_patience': given.get('gap_patience') if given.get('gap_ask') else None})


class FillGapsStrategy(OneAtATime):
    """Observe when nobody has a point of the last so many hours."""

    name = 'Fill the gaps'
    rank = 60
    description = (
        'Observe only if nobody, your own telescope or a survey, has a point of the last so many hours. '
        'A photometry service can be asked for a fresh look first.'
    )
    form: ClassVar[type] = FillGapsForm
    needs_photometry = True
    needs_parameters = False

    def photometry_span(self) -> timedelta:
        """As old as a point may be that leaves no gap."""
        return timedelta(hours=self._own().gap)

    def asks_service(self) -> str:
        """The service that is asked first."""
        return self._own().ask

    def _own(self) -> Gaps:
        given = self.given
        return read({**given, 'gap_patience': given.get('gap_patience') if given.get('gap_ask') else None})

    def first(self, history: History, newest: Unit, now: datetime) -> Decision:
        """Whether there is a gap; whom to ask; and what to observe."""
        own = self._own()
        gap, points = timedelta(hours=own.gap), counted(own, history.photometry, now)
        ours = self._own_last(history)
        seen = instant_of(points.time[-1]) if len(points) else None
        last = max((moment for moment in (ours, seen) if moment is not None), default=None)
        if last is not None and now < last + gap:
            words = _point(points) if last == seen else f'An observation of this cadence at {show(last)}'
            return Wait(reason=f'{words}: there is no gap before {show(last + gap)}.')
        wait, answer = self._look(own, history, max(now - gap, last + gap if last is not None else now - gap), now)
        if wait is not None:
            return wait
        bands = f' in {", ".join(own.bands)}' if own.bands else ''
        start = now + timedelta(hours=self.parameters.retry_backoff if newest.outcome is not Outcome.SUCCEEDED else 0)
        window = known_window(done(newest)).starting(start)
        return self.ask(newest, window, f'Nobody has a point{bands} younger than {own.gap:g} h{answer}.')

    def _own_last(self, history: History) -> datetime | None:
        """The start of the newest observation that succeeded, or is skipped: its points may be on their way, or are not wanted."""
        starts = [
            attempt.scheduled_start or known_window(attempt).start
            for unit in history.units
            if unit.outcome is Outcome.SUCCEEDED or (unit.outcome is Outcome.CANCELLED and history.skips_cancelled)
            for attempt in [done(unit)]
        ]
        return max(starts, default=None)

    @staticmethod
    def _look(own: Gaps, history: History, since: datetime, now: datetime) -> tuple[Wait | None, str]:
        """A wait for the service, or (None and) what it said; ``since`` is from when its answer counts as fresh."""
        if not own.ask:
            return None, ''
        looks = [look for look in history.looks if look.service == own.ask and look.asked >= since]
        if not looks:
            # from a midnight on, so that the same question stays the same all day
            midnight = (now - timedelta(hours=own.gap) - BACK).replace(hour=0, minute=0, second=0, microsecond=0)
            wish = PhotometryRequest(service=own.ask, since=midnight)
            return Wait(reason=f'There is a gap of {own.gap:g} h. {own.ask} is asked for a fresh look first.', wish=wish), ''
        look: PhotometryAnswer = looks[-1]
        if look.ended is None and now < look.asked + timedelta(hours=own.patience):
            until = show(look.asked + timedelta(hours=own.patience))
            return Wait(
                reason=f'{own.ask} was asked for a fresh look at {show(look.asked)}; its answer is waited for until {until}.'
            ), ''
        if look.ended is None:
            return None, f', and {own.ask} has not answered in {own.patience:g} h'
        return None, f', and {own.ask} could not be asked: {look.problem.rstrip(".")}' if look.problem else f', nor has {own.ask}'


def counted(own: Gaps, photometry: Photometry, now: datetime) -> Photometry:
    """The points that leave no gap."""
    points = photometry.until(now).in_bands(own.bands)
    return points.detections(own.snr) if own.snr else points.only(np.isfinite(points.magnitude) | np.isfinite(points.limit))


def _point(points: Photometry) -> str:
    source = f' ({points.source[-1]})' if points.source[-1] else ''
    return f'A point in {points.band[-1]} at {show(instant_of(points.time[-1]))}{source}'
