"""Staged: often at first, then more and more rarely, for supernovae, gamma-ray bursts and kilonovae."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms

from tom_cadence.decisions import Decision, Stop
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.history import History, Outcome, Unit
from tom_cadence.parameters import choice, date_time
from tom_cadence.strategies.advance import known_window
from tom_cadence.strategies.forms import CadenceParametersForm
from tom_cadence.strategies.oneatatime import OneAtATime, done, fate
from tom_cadence.strategies.stages import EXAMPLE, Stage, end_of, in_words, next_start, read_stages

FROM = {'first_success': 'the first success', 'date': 'a date'}


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Its own parameters: the stages, and the date (aware UTC) they count from; None for the first success."""

    stages: tuple[Stage, ...]
    begin: datetime | None = None


def read(raw: Mapping[str, Any]) -> Staged:
    """The parameters as values; NeedsAttention names the first one that cannot be used."""
    stages = read_stages(raw.get('staged_stages'))
    counts_from = choice('staged_from', raw.get('staged_from') or 'first_success', tuple(FROM))
    date = raw.get('staged_date')
    if counts_from == 'date' and date in (None, ''):
        raise NeedsAttention('staged_date is missing: say which date the stages count from, or count them from the first success.')
    if counts_from == 'first_success' and date not in (None, ''):
        raise NeedsAttention('staged_date is given, but the stages count from the first success: choose one of the two.')
    return Staged(stages=stages, begin=date_time('staged_date', date) if counts_from == 'date' else None)


class StagedForm(CadenceParametersForm):
    """The parameters of Staged."""

    own_fields = ('staged_stages', 'staged_from', 'staged_date')
    staged_stages = forms.CharField(
        label='Stages',
        widget=forms.Textarea(attrs={'rows': 2}),
        help_text=f'Intervals and how long they are kept, in h, days or weeks. For example: {EXAMPLE}',
    )
    staged_from = forms.ChoiceField(required=False, label='The stages count from', choices=list(FROM.items()))
    staged_date = forms.CharField(
        required=False, label='Date', help_text='UTC, for example that of the explosion: 2026-12-24 18:00.'
    )
    cadence_frequency = forms.FloatField(required=False, min_value=0.01, widget=forms.HiddenInput())

    def clean_staged_stages(self) -> str:
        """The stages in the form in which they are kept."""
        text: str = self.cleaned_data['staged_stages']
        try:
            return in_words(read_stages(text))
        except NeedsAttention as error:
            words = str(error).removeprefix('staged_stages: ')
            raise forms.ValidationError(words[:1].upper() + words[1:]) from error

    def check(self, given: dict[str, Any]) -> None:
        """Refuse a date that is missing, or one too many."""
        read(given)


class StagedStrategy(OneAtATime):
    """Follow a list of stages, each with its interval."""

    name = 'Staged'
    description = (
        'Often at first, then more and more rarely: a list of stages, each with its interval. '
        'They count from the first success, or from a date. A failed observation is asked for again as soon as possible.'
    )
    form: ClassVar[type] = StagedForm
    needs_parameters = False

    def after(self, history: History, newest: Unit, now: datetime) -> Decision:
        """The next window as the stages say, or the end."""
        own, last = read(self.given), self.counted(done(newest))
        following = next_start(own.stages, self._begin(own, history), last.start)
        if following is None:
            return Stop(reason=f'All stages are over: {in_words(own.stages)}.')
        due, stage = following
        reason = f'{fate(newest)}. Stage {stage + 1} of {len(own.stages)}: {own.stages[stage].in_words()}.'
        return self.ask(newest, known_window(done(newest)).starting(due).not_before(now), reason)

    def again(self, history: History, newest: Unit, now: datetime) -> Decision:
        """The same again, unless the last stage has ended meanwhile."""
        own = read(self.given)
        if own.begin is not None or history.count(Outcome.SUCCEEDED):
            end = end_of(own.stages, self._begin(own, history))
            if end is not None and now + timedelta(hours=self.parameters.retry_backoff) >= end:
                return Stop(reason=f'{fate(newest)}, and all stages are over: {in_words(own.stages)}.')
        return super().again(history, newest, now)

    def _begin(self, own: Staged, history: History) -> datetime:
        if own.begin is not None:
            return own.begin
        first = next(unit for unit in history.units if unit.outcome is Outcome.SUCCEEDED)
        return self.counted(done(first)).start
