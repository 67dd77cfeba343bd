"""A simulation in words and rows: for a terminal, a table of a page, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from tom_cadence.simulation.timeline import Spread, Summary, Timeline
from tom_cadence.windows import show

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


def figures(found: Summary) -> list[tuple[str, str]]:
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
        rows.append(('Runs in which it ended', f'{found.ended} of {found.runs}' + _asking(found)))
    return rows


def _asking(found: Summary) -> str:
    return f', {found.attention} by asking for a person' if found.attention else ''


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
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows(timelines))
    return text.getvalue()


def as_dict(found: Summary) -> dict[str, Any]:
    """The figures for JSON: hours, and null where there is none."""
    return {name: _plain(value) for name, value in asdict(found).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _text(instant: datetime | None) -> str:
    return '' if instant is None else instant.astimezone(timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')
