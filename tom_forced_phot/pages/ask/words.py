"""The dates of a question: a quick choice or two dates, for one service and one target; and how they are said. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

from tom_followup.units import instant_of, mjd_of

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
class DateSpan:
    """From and until, as MJD; None is open."""

    first: float | None
    last: float | None


def span_of(dates: Dates, now: datetime, *, earliest: float, since: float | None) -> DateSpan:
    """The dates for one target; ``since`` is where its newest point at this service says to begin (None: from the beginning).

    Days are whole, so that the same choice twice on a day is the same question. An open beginning is said as the service's
    first date, for a service may take it for something else, such as the last 30 days.
    """
    beginning = earliest or None
    if dates.when is When.LAST:
        return DateSpan(float(math.floor(mjd_of(now)) - LAST_DAYS), None)
    if dates.when is When.SINCE:
        return DateSpan(beginning if since is None else since, None)
    if dates.when is When.ALL:
        return DateSpan(beginning, None)
    if dates.first is None and dates.last is not None and dates.last <= earliest:
        return DateSpan(None, dates.last)  # the service says that it has nothing so old
    return DateSpan(beginning if dates.first is None else dates.first, dates.last)


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


def span_words(span: DateSpan) -> str:
    """A span as a person reads it."""
    if span.first is None and span.last is None:
        return 'everything until now'
    if span.first is None:
        return f'everything until {date_words(span.last or 0.0)}'
    return f'from {date_words(span.first)} until {"now" if span.last is None else date_words(span.last)}'


def spans_words(spans: Iterable[DateSpan], most: int = 5) -> list[str]:
    """Equal spans as one line with the number of targets, those of most targets first."""
    counted: dict[DateSpan, int] = {}
    for span in spans:
        counted[span] = counted.get(span, 0) + 1
    if len(counted) == 1:
        return [span_words(next(iter(counted)))]
    lines = sorted(counted.items(), key=lambda item: (-item[1], item[0].first or 0.0))
    told = [f'{number} {"target" if number == 1 else "targets"}: {span_words(span)}' for span, number in lines[:most]]
    rest = sum(number for _, number in lines[most:])
    return [*told, f'{rest} more with other beginnings'] if rest else told


WHOLE_SKY = -90.0
#: So many reasons are written out in a message; all of them are on the page before.
SHOWN = 3
UNITS = (('day', 86400.0), ('hour', 3600.0), ('minute', 60.0))


def count(number: int, one: str, many: str = '') -> str:
    """``1 target``, ``25 targets``."""
    return f'{number} {one if number == 1 else many or one + "s"}'


def length(seconds: float) -> str:
    """``4 minutes``, ``3 hours``, ``7 days``."""
    for unit, size in UNITS:
        if seconds >= 1.95 * size or (unit == 'minute' and seconds >= 0.95 * size):
            return count(round(seconds / size), unit)
    return 'less than a minute'


def limits(*, southern_limit: float, earliest: float, moving: bool, batch_size: int) -> list[str]:
    """What a service can be asked."""
    sky = 'The whole sky' if southern_limit <= WHOLE_SKY else f'North of declination {southern_limit:g}°'
    since = [f'since {instant_of(earliest):%Y-%m-%d}'] if earliest else []
    size = f'up to {count(batch_size, "position")} a request' if batch_size > 1 else 'one position a request'
    return [sky, *since, 'fixed and moving targets' if moving else 'fixed positions only', size]


def notes_for(notes: str | None, *, dated: bool) -> str:
    """A service's own notes, without what they say about dates that are left out: the asking page always says the first date."""
    sentences = (notes or '').replace('. ', '.\n').splitlines()
    return ' '.join(each for each in sentences if not (dated and each.startswith('Without ') and 'date' in each))


def wait_words(usual: float | None, answered: int, patience: float, open_now: int) -> str:
    """How long it is likely to take."""
    waiting = f' {count(open_now, "question is", "questions are")} open there now.' if open_now else ''
    if usual is None:
        return f'Nothing is known yet about how long answers take; one is waited for up to {length(patience)}.{waiting}'
    return f'Usually {length(usual)}: the median of the last {count(answered, "answer")}.{waiting}'


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of asking one service."""

    service: str
    asked: int = 0
    followed: int = 0
    already: int = 0
    #: Name of the target, and why.
    declined: Sequence[tuple[str, str]] = ()


def outcome_words(outcomes: Sequence[Outcome]) -> str:
    """What is said after asking."""
    said = []
    for words, name in (
        ('Asked', 'asked'),
        ('Joined questions that were open already, whose answers are yours too', 'followed'),
        ('Answered since you looked, so not asked again', 'already'),
    ):
        parts = [f'{each.service} about {count(getattr(each, name), "target")}' for each in outcomes if getattr(each, name)]
        if parts:
            said.append(f'{words}: {", ".join(parts)}.')
    refused = [f'{name} at {each.service}: {reason}' for each in outcomes for name, reason in each.declined]
    if refused:
        more = f' And {len(refused) - SHOWN} more.' if len(refused) > SHOWN else ''
        said.append(f'Not asked: {" ".join(refused[:SHOWN])}{more}')
    return ' '.join(said)
