"""Observing windows: aware, with a length that is kept, never in the past.

A window is written the way the facility's stored parameters wrote theirs (naive stays naive, a date stays a date). A text
without an offset is UTC: that is how observation portals read it, whatever the TOM's TIME_ZONE.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from tom_cadence.core.bounds import OutOfBounds, hours_long, short_repr, utc, within_years
from tom_cadence.exceptions import BadWindow
from tom_followup import dates

UTC = timezone.utc
_DATE_ONLY = re.compile(r'\d{4}-\d{2}-\d{2}\Z')
_NUMBER = re.compile(r'(?P<days>\d+)(\.\d*)?')
_CLOCK = re.compile(r'[T ]\d{2}:\d{2}(?P<seconds>:\d{2}(?P<fraction>\.\d+)?)?')
_OFFSET = re.compile(r'(Z|[+-]\d{2}:?\d{2})\Z')


@dataclass(frozen=True, kw_only=True, order=True)
class Window:
    """A span in which an observation may be taken; both ends are aware UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuse windows that are naive, reversed, or outside the years of observations: BadWindow. Both ends become UTC."""
        for name in ('start', 'end'):
            moment = getattr(self, name)
            if getattr(moment, 'tzinfo', None) is None:
                raise BadWindow('The observing window has no time zone.')
            if moment.tzinfo is not UTC or not within_years(moment):
                try:
                    object.__setattr__(self, name, utc(moment))
                except OutOfBounds as error:
                    raise BadWindow(f'The {name} of the observing window is {short_repr(moment)}: {error}.') from error
        if self.end <= self.start:
            raise BadWindow(f'The observing window ends ({show(self.end)}) before it starts ({show(self.start)}).')

    @property
    def length(self) -> timedelta:
        """How long the window is open."""
        return self.end - self.start

    def starting(self, start: datetime) -> Window:
        """The same length from another start."""
        return Window(start=start, end=start + self.length)

    def starting_for(self, length: timedelta) -> Window:
        """The same start, open for so long."""
        return Window(start=self.start, end=self.start + length)

    def not_before(self, earliest: datetime) -> Window:
        """This window, moved as a whole to ``earliest`` if it would start before it."""
        return self if self.start >= earliest else self.starting(earliest)

    def later_by(self, hours: float) -> Window:
        """The same length, ``hours`` later."""
        return self.starting(self.start + timedelta(hours=hours))


def show(instant: datetime) -> str:
    """An instant as people read it: ``2026-11-21 03:41 UTC``."""
    return instant.astimezone(UTC).strftime('%Y-%m-%d %H:%M UTC')


def read_instant(value: Any) -> datetime:
    """An aware UTC instant from what a form stored: a text (ISO, MJD, JD), or a date and a time in a list; naive means UTC.

    Raises BadWindow when there is nothing, nothing readable, or a year in which nothing is observed.
    """
    if isinstance(value, (list, tuple)) and len(value) <= 2 and all(part is None or isinstance(part, str) for part in value):
        value = ' '.join(part for part in value if part)
    if not isinstance(value, (str, date)) or (isinstance(value, str) and not value.strip()):
        raise BadWindow('The observing window is missing.')
    try:
        return dates.read_instant(value) if isinstance(value, str) else utc(value)
    except (OutOfBounds, dates.OutOfYears) as error:
        raise BadWindow(f'{short_repr(value)} is outside the years that can be observed: {error}') from error
    except ValueError as error:
        raise BadWindow(str(error)) from error


def read_window(start: Any, end: Any) -> Window:
    """The window between two stored texts; BadWindow says which of them cannot be used and why."""
    ends = []
    for name, value in (('start', start), ('end', end)):
        try:
            ends.append(read_instant(value))
        except BadWindow as error:
            raise BadWindow(f'The {name} of the observing window cannot be read: {error}') from error
    return Window(start=ends[0], end=ends[1])


def window_in(parameters: Any, keywords: tuple[str, str]) -> Window:
    """The window in stored parameters, by the facility's names of its ends; the only place where one is read from them.

    Split fields are two halves, numbered or called date and time (``startdate``, ``starttime``: the Liverpool Telescope's); the
    toolkit's Gemini stores a start and a duration in hours. Raises BadWindow.
    """
    given = parameters if isinstance(parameters, Mapping) else {}
    start, end = (_stored(given, keyword) for keyword in keywords)
    hours = given.get(keywords[0].replace('start', 'duration')) if 'window' in keywords[0] else None
    if end in (None, '') and hours not in (None, ''):
        return read_window(start, read_instant(start) + _hours(hours))
    return read_window(start, end)


def window_or_none(parameters: Any, keywords: tuple[str, str]) -> Window | None:
    """The same; None where there is none that can be read."""
    try:
        return window_in(parameters, keywords)
    except BadWindow:
        return None


def _stored(parameters: Mapping[str, Any], keyword: str) -> Any:
    value = parameters.get(keyword)
    for day, clock in halves(keyword) if value in (None, '', []) else ():
        if day in parameters:
            return [parameters[day], parameters.get(clock)]
    return value


def halves(keyword: str) -> tuple[tuple[str, str], ...]:
    """The names under which one end of a window may be stored in two parts, a date and a time."""
    return (f'{keyword}_0', f'{keyword}_1'), (f'{keyword}date', f'{keyword}time')


def _hours(value: Any) -> timedelta:
    try:
        return hours_long(float(value))
    except (OutOfBounds, TypeError, ValueError) as error:
        raise BadWindow(f'The length of the observing window cannot be read: {short_repr(value)}.') from error


def write_instant(instant: datetime, like: Any) -> str:
    """``instant`` as text in the shape of ``like``, never earlier than ``instant`` (rounded up to what the shape can say).

    Without a usable sample the text is ISO with an offset.
    """
    sample = like.strip() if isinstance(like, str) else ''
    if (days := _NUMBER.fullmatch(sample)) and len(days['days']) < 8:  # an MJD or a JD, which eight digits are not
        mjd = math.ceil(dates.mjd_of(instant) * 1e5) / 1e5
        return f'{mjd + (dates.JD_OF_MJD_0 if float(sample) > 2_400_000 else 0):.5f}'
    if _DATE_ONLY.match(sample):
        return _ceil(instant.astimezone(UTC), timedelta(days=1)).date().isoformat()
    clock = _CLOCK.search(sample)
    step = timedelta(minutes=1) if clock and not clock['seconds'] else timedelta(seconds=1)
    rounded = _ceil(instant.astimezone(UTC), step)
    separator = ' ' if clock and clock[0][0] == ' ' else 'T'
    text = rounded.isoformat(separator, 'minutes' if step.seconds == 60 else 'seconds')
    if sample and not _OFFSET.search(sample):
        return text.removesuffix('+00:00')
    return text.replace('+00:00', 'Z') if sample.endswith('Z') else text


def _ceil(instant: datetime, step: timedelta) -> datetime:
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return datetime(1970, 1, 1, tzinfo=UTC) + math.ceil(since / step) * step
