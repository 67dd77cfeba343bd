"""The dates of a question: a quick choice or two dates, for one service and one target; and how they are said. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

from tom_forced_phot.dates import instant_of, mjd_of

LAST_DAYS = 30


class When(str, Enum):
    """The quick choices."""

    LAST = 'last'
    SINCE = 'since'
    ALL = 'all'
    RANGE = 'range'

    def __str__(self) -> str:
        return self.value


WORDS = {
    When.LAST: f'The last {LAST_DAYS} days',
    When.SINCE: 'Since the last point',
    When.ALL: 'All that the service has',
    When.RANGE: 'From … until …',
}


@dataclass(frozen=True, kw_only=True)
class Dates:
    """What a person chose; ``first`` and ``last`` (MJD) count with RANGE only."""

    when: When
    first: float | None = None
    last: float | None = None


@dataclass(frozen=True)
class Span:
    """From and until, as MJD; None is open."""

    first: float | None
    last: float | None


def span_of(dates: Dates, now: datetime, *, earliest: float, since: float | None) -> Span:
    """The dates for one target; ``since`` is where its newest point at this service says to begin (None: from the beginning).

    Days are whole, so that the same choice twice on a day is the same question. An open beginning is said as the service's
    first date, for a service may take it for something else (ATLAS: for the last 30 days).
    """
    beginning = earliest or None
    if dates.when is When.LAST:
        return Span(float(math.floor(mjd_of(now)) - LAST_DAYS), None)
    if dates.when is When.SINCE:
        return Span(beginning if since is None else since, None)
    if dates.when is When.ALL:
        return Span(beginning, None)
    if dates.first is None and dates.last is not None and dates.last <= earliest:
        return Span(None, dates.last)  # the service says that it has nothing so old
    return Span(beginning if dates.first is None else dates.first, dates.last)


def problems(dates: Dates) -> dict[str, str]:
    """What is wrong with two dates, by the field it stands beside."""
    if dates.when is not When.RANGE:
        return {}
    if dates.first is None and dates.last is None:
        return {'first': 'Write from when or until when; or choose one of the other periods.'}
    if dates.first is not None and dates.last is not None and dates.last <= dates.first:
        return {'last': 'The end must be later than the beginning.'}
    return {}


def date_words(mjd: float) -> str:
    """Both notations: ``2024-01-07 12:00 UTC (MJD 60316.5)``."""
    instant = instant_of(mjd).astimezone(timezone.utc)
    return f'{instant:%Y-%m-%d %H:%M} UTC (MJD {round(mjd, 5):.10g})'


def span_words(span: Span) -> str:
    """A span as a person reads it."""
    if span.first is None and span.last is None:
        return 'everything until now'
    if span.first is None:
        return f'everything until {date_words(span.last or 0.0)}'
    return f'from {date_words(span.first)} until {"now" if span.last is None else date_words(span.last)}'


def spans_words(spans: Iterable[Span], most: int = 5) -> list[str]:
    """Equal spans as one line with the number of targets, those of most targets first."""
    counted: dict[Span, int] = {}
    for span in spans:
        counted[span] = counted.get(span, 0) + 1
    if len(counted) == 1:
        return [span_words(next(iter(counted)))]
    lines = sorted(counted.items(), key=lambda item: (-item[1], item[0].first or 0.0))
    told = [f'{number} {"target" if number == 1 else "targets"}: {span_words(span)}' for span, number in lines[:most]]
    rest = sum(number for _, number in lines[most:])
    return [*told, f'{rest} more with other beginnings'] if rest else told
