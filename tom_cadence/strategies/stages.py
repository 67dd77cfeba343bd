"""Stages of a cadence as astronomers write them: ``every 6 h for 2 days, then daily for 10 days``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tom_cadence.exceptions import NeedsAttention
from tom_cadence.parameters import written

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
