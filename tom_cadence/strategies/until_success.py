"""Until success: one observation is wanted; ask until it was taken, or until a period has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms

from tom_cadence.core.decisions import Decision, Stop
from tom_cadence.core.history import History, Unit
from tom_cadence.core.parameters import choice, number
from tom_cadence.core.windows import show
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies.base import OneAtATime, known_window, outcome_text
from tom_cadence.strategies.forms import CadenceParametersForm

MODES = {'success': 'until it succeeds', 'period': 'until it succeeds or a period ends'}


@dataclass(frozen=True, kw_only=True)
class UntilSuccess:
    """Its own parameters: the mode, and the length of the period in days, counted from the start of the first window."""

    mode: str = 'success'
    days: float | None = None


def read(raw: Mapping[str, Any]) -> UntilSuccess:
    """The parameters as values; NeedsAttention names the first one that cannot be used."""
    mode = choice('until_mode', raw.get('until_mode') or 'success', tuple(MODES))
    days = None if raw.get('until_days') in (None, '') else number('until_days', raw['until_days'], above=0, most=3660)
    if mode == 'period' and days is None:
        raise NeedsAttention('until_days is missing: say how long the period is.')
    if mode == 'success' and days is not None:
        raise NeedsAttention(f'until_days is given, but the cadence asks {MODES["success"]}: choose the other, or leave it empty.')
    return UntilSuccess(mode=mode, days=days)


class UntilSuccessForm(CadenceParametersForm):
    """Days in which one success is wanted, and hours between tries."""

    own_fields = ('until_mode', 'until_days', 'cadence_frequency')
    until_mode = forms.ChoiceField(label='Ask', choices=list(MODES.items()))
    until_days = forms.FloatField(
        required=False, min_value=0.01, label='Length of the period', help_text='Days from the start of the first window.'
    )
    cadence_frequency = forms.FloatField(
        required=False,
        min_value=0.01,
        label='Try again every',
        help_text='Hours from the start of one window to the start of the next; as soon as possible if empty.',
    )

    def check(self, given: dict[str, Any]) -> None:
        """Refuse a period without its length, and a length without a period."""
        read(given)


class UntilSuccessStrategy(OneAtATime):
    """Ask for one observation until it succeeds."""

    name = 'Until success'
    rank = 10
    description = (
        'One observation is wanted: it is asked for until one succeeds, and then the cadence ends. '
        'Or it gives up when a period has ended.'
    )
    form: ClassVar[type] = UntilSuccessForm
    needs_parameters = False

    def after(self, history: History, newest: Unit, now: datetime) -> Decision:
        """Nothing follows a success."""
        return Stop(reason=f'{outcome_text(newest)}: that is all that was wanted.')

    def skip(self, history: History, newest: Unit, now: datetime) -> Decision:
        """One is still wanted: the same again at the next interval, or without one after the window that was cancelled."""
        return self._try(history, newest, max(now, known_window(newest.newest).end))

    def again(self, history: History, newest: Unit, now: datetime) -> Decision:
        """The same again, unless the period ends before its window would start."""
        return self._try(history, newest, now + timedelta(hours=self.parameters.retry_backoff))

    def _try(self, history: History, newest: Unit, start: datetime) -> Decision:
        own = read(self.given)
        parameters, window = self.parameters, known_window(newest.newest)
        if parameters.cadence_frequency is not None:
            start = max(start, window.start + timedelta(hours=parameters.cadence_frequency))
        if own.days is not None:
            end = known_window(history.attempts[0]).start + timedelta(days=own.days)
            if start >= end:
                return Stop(
                    reason=f'{outcome_text(newest)}, and the period of {own.days:g} days ended at {show(end)} without a success.'
                )
        return self.ask(newest, window.starting(start), f'{outcome_text(newest)}: asked for again, {MODES[own.mode]}.')
