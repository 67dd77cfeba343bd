"""Staged: often at first, then more and more rarely, for supernovae, gamma-ray bursts and kilonovae."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms

from tom_cadence.core.decisions import Decision, Stop
from tom_cadence.core.history import History, Outcome, Unit
from tom_cadence.core.parameters import choice, date_time, written
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies.base import OneAtATime, done, known_window, outcome_text
from tom_cadence.strategies.forms import CadenceParametersForm

EXAMPLE = 'every 6 h for 2 days, then daily for 10 days, then every 3 days for 60 days'
_HOURS = {'min': 1 / 60, 'minute': 1 / 60, 'minutes': 1 / 60, 'h': 1, 'hr': 1, 'hrs': 1, 'hour': 1, 'hours': 1}
_HOURS |= {'d': 24, 'day': 24, 'days': 24, 'night': 24, 'nights': 24, 'w': 168, 'week': 168, 'weeks': 168}
_WORDS = {'hourly': 1.0, 'daily': 24.0, 'nightly': 24.0, 'weekly': 168.0}
_SPAN = rf'(?P<{{0}}>\d+(?:\.\d+)?|\.\d+)?\s*(?P<{{0}}_unit>{"|".join(sorted(_HOURS, key=len, reverse=True))})'
_STAGE = re.compile(
    rf'(?:(?P<word>{"|".join(_WORDS)})|(?:every\s+)?{_SPAN.format("every")})'
    rf'(?:\s+for\s+{_SPAN.format("length")}|\s+(?P<ever>for\s+ever|forever|without\s+end))?\Z',
    re.IGNORECASE,
)
_BETWEEN = re.compile(r'\s*(?:,|;|\n)\s*(?:then\s+)?|\s+then\s+', re.IGNORECASE)
MOST_STAGES = 50
LONGEST = 24.0 * 3660


@dataclass(frozen=True, kw_only=True)
class Stage:
    """An observation every so many hours, for so many hours; without end where that is None."""

    every: float
    length: float | None = None

    def in_words(self) -> str:
        """For example ``every 6 h for 2 days``."""
        return f'every {_span(self.every)}' + ('' if self.length is None else f' for {_span(self.length)}')


def _span(hours: float) -> str:
    if hours >= 48 and hours % 24 == 0:
        return f'{hours / 24:g} days'
    return f'{hours:.10g} h'


def in_words(stages: Sequence[Stage]) -> str:
    """The stages as they are kept: reading it again gives the same."""
    return ', then '.join(stage.in_words() for stage in stages)


def read_stages(text: Any) -> tuple[Stage, ...]:
    """The stages in order; NeedsAttention names the one that cannot be read or cannot work, and shows how to write it."""
    parts = [part for part in _BETWEEN.split(written('staged_stages', text).strip().rstrip('.;,')) if part]
    if len(parts) > MOST_STAGES:
        raise NeedsAttention(f'staged_stages: {len(parts)} stages; at most {MOST_STAGES} are possible.')
    if not parts:
        raise NeedsAttention(f'staged_stages is missing. Write it like: {EXAMPLE}')
    stages = tuple(_read(number, part) for number, part in enumerate(parts, 1))
    for number, stage in enumerate(stages[:-1], 1):
        if stage.length is None:
            raise NeedsAttention(f'staged_stages: stage {number}, {parts[number - 1]!r}, never ends, but another one follows it.')
    if sum(stage.length or 0 for stage in stages) > LONGEST:
        raise NeedsAttention('staged_stages: together the stages take more than ten years.')
    return stages


def _read(number: int, text: str) -> Stage:
    found = _STAGE.match(text)
    if found is None:
        raise NeedsAttention(f'staged_stages: stage {number}, {text!r}, cannot be read. Write it like: {EXAMPLE}')
    every = _WORDS[found['word'].lower()] if found['word'] else _hours(found['every'], found['every_unit'])
    length = _hours(found['length'], found['length_unit']) if found['length_unit'] else None
    if not 0.01 <= every <= LONGEST:
        raise NeedsAttention(f'staged_stages: stage {number}, {text!r}: an interval of 0.01 h to ten years is expected.')
    if length is not None and length < every:
        raise NeedsAttention(f'staged_stages: stage {number}, {text!r}, is over before its second observation.')
    return Stage(every=every, length=length)


def _hours(count: str | None, unit: str) -> float:
    return (float(count) if count else 1.0) * _HOURS[unit.lower()]


def end_of(stages: Sequence[Stage], begin: datetime) -> datetime | None:
    """When the last stage is over, or None where it never is."""
    lengths = [stage.length for stage in stages]
    return None if None in lengths else begin + timedelta(hours=sum(length for length in lengths if length is not None))


def next_start(stages: Sequence[Stage], begin: datetime, last: datetime) -> tuple[datetime, int] | None:
    """When the observation after the one at ``last`` starts, and in which stage (from 0); None where all stages are over.

    Within a stage the interval counts from the last observation. A stage starts with its first observation, but two
    observations are never closer together than the shorter interval of the two stages that meet.
    """
    if last < begin:
        return begin, 0
    start = begin
    for index, stage in enumerate(stages):
        end = None if stage.length is None else start + timedelta(hours=stage.length)
        if end is None or last < end:
            return _from(stages, index, end, last)
        start = end
    return None


def _from(stages: Sequence[Stage], index: int, end: datetime | None, last: datetime) -> tuple[datetime, int] | None:
    interval = stages[index].every
    due = last + timedelta(hours=interval)
    while end is not None and due >= end:
        index += 1
        if index == len(stages):
            return None
        stage = stages[index]
        interval = min(interval, stage.every)
        due = max(end, last + timedelta(hours=interval))
        end = None if stage.length is None else end + timedelta(hours=stage.length)
    return due, index


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
    """Intervals and how long each is kept, as text, and what they count from."""

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
    rank = 20
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
        reason = f'{outcome_text(newest)}. Stage {stage + 1} of {len(own.stages)}: {own.stages[stage].in_words()}.'
        return self.ask(newest, known_window(done(newest)).starting(due).not_before(now), reason)

    def skip(self, history: History, newest: Unit, now: datetime) -> Decision:
        """The next window of the stages; before their first success, which begins them, the first interval later."""
        own = read(self.given)
        if own.begin is not None or history.count(Outcome.SUCCEEDED):
            return self.after(history, newest, now)
        window = known_window(newest.newest)
        start = max(now, window.end, window.start + timedelta(hours=own.stages[0].every))
        return self.ask(newest, window.starting(start), f'{outcome_text(newest)}, and is skipped: {own.stages[0].in_words()}.')

    def again(self, history: History, newest: Unit, now: datetime) -> Decision:
        """The same again, unless the last stage has ended meanwhile."""
        own = read(self.given)
        if own.begin is not None or history.count(Outcome.SUCCEEDED):
            end = end_of(own.stages, self._begin(own, history))
            if end is not None and now + timedelta(hours=self.parameters.retry_backoff) >= end:
                return Stop(reason=f'{outcome_text(newest)}, and all stages are over: {in_words(own.stages)}.')
        return super().again(history, newest, now)

    def _begin(self, own: Staged, history: History) -> datetime:
        if own.begin is not None:
            return own.begin
        first = next(unit for unit in history.units if unit.outcome is Outcome.SUCCEEDED)
        return self.counted(done(first)).start
