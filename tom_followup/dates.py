"""Dates as people and observatories write them, read in one place for both apps: ISO 8601 first, then MJD or JD.

All are UTC, and so is a calendar date without an offset, whatever the TOM's TIME_ZONE. What can be read in two ways is not read.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone

from dateutil import parser as date_parser

from tom_followup.units import JD_OF_MJD_0, instant_of, mjd_of

__all__ = ['EARLIEST', 'JD_OF_MJD_0', 'LATEST', 'OutOfYears', 'instant_of', 'mjd_of', 'normalised', 'read_date', 'read_instant']

UTC = timezone.utc
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LONGEST = 100
WRITE = 'write an MJD such as 60316.5, or a UTC date such as 2024-01-07 03:25'
_NUMBER = re.compile(r'(?P<kind>M?JD)?\s*(?P<value>[+-]?\d+(\.\d*)?([eE][+-]?\d+)?)', re.ASCII | re.IGNORECASE)
_YEAR_FIRST = re.compile(
    r'(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})(?P<rest>\D.*)?', re.ASCII | re.DOTALL
)
_ISO = re.compile(r'(\d{4}-\d\d-\d\d|\d{8})([Tt ].*)?', re.ASCII | re.DOTALL)
_ENDS_IN_UTC = re.compile(r'\s*(UTC|UT|GMT)\Z', re.IGNORECASE)


class OutOfYears(ValueError):
    """A date in a year in which nothing is observed."""


def read_date(text: str) -> float:
    """The MJD of a date; ValueError with a sentence that says what may be written. A number keeps all its digits."""
    number = _number(text.strip())
    return mjd_of(read_instant(text)) if number is None else number


def read_instant(text: str) -> datetime:
    """The instant (aware, UTC) that a text says: ``2024-01-07 03:25``, ISO 8601, ``60316.5``, ``JD 2460317.0``.

    ValueError with a sentence that says what may be written; OutOfYears before 1900 and after 2200.
    """
    text = text.strip()
    found = _iso(text)  # first, because programs write it, and a run reads very many of them
    if found is None:
        number = _number(text)
        found = _calendar(text) if number is None else instant_of(number)
    try:
        found = found.replace(tzinfo=UTC) if found.utcoffset() is None else found.astimezone(UTC)
    except OverflowError:
        raise _out_of_years(text) from None
    if not EARLIEST <= found <= LATEST:
        raise _out_of_years(text)
    return found


def normalised(instant: datetime) -> str:
    """What was read, to be said beside the field: ``2024-01-07 03:25 UTC, MJD 60316.14236``."""
    utc = instant.astimezone(UTC)
    seconds = '%Y-%m-%d %H:%M:%S' if utc.second or utc.microsecond else '%Y-%m-%d %H:%M'
    return f'{utc.strftime(seconds)} UTC, MJD {mjd_of(utc):.5f}'


def _out_of_years(text: str) -> OutOfYears:
    return OutOfYears(f'{_short(text)} is not between {EARLIEST.year} and {LATEST.year}: {WRITE}.')


def _number(text: str) -> float | None:
    """MJD of a number; None for anything else. Eight digits are a date: no MJD and no JD has so many before the point."""
    match = _NUMBER.fullmatch(text) if len(text) <= LONGEST else None
    if match is None or re.fullmatch(r'\d{8}', text):
        return None
    value = float(match['value'])
    kind = (match['kind'] or ('JD' if value > 2_400_000 else 'MJD')).upper()
    mjd = value - JD_OF_MJD_0 if kind == 'JD' else value
    if not (math.isfinite(mjd) and mjd_of(EARLIEST) <= mjd <= mjd_of(LATEST)):
        raise _out_of_years(text)
    return mjd


def _calendar(text: str) -> datetime:
    if not text or len(text) > LONGEST:
        raise ValueError(f'{_short(text)} is no date: {WRITE}.')
    plain = _ENDS_IN_UTC.sub('', text)
    year_first = _YEAR_FIRST.fullmatch(plain)
    if year_first is not None:
        plain = f'{year_first["year"]}-{int(year_first["month"]):02}-{int(year_first["day"]):02}{year_first["rest"] or ""}'
    found = _iso(plain)
    if found is not None:
        return found
    if year_first is not None:
        try:
            date.fromisoformat(plain[:10])  # dateutil would take a 13th month for a day
        except ValueError:
            raise ValueError(f'{_short(text)} is no date: {WRITE}.') from None
        return _whole(plain, text)
    ways = {_reads(plain, dayfirst=day, yearfirst=year) for day in (False, True) for year in (False, True)} - {None}
    if len(ways) > 1:
        raise ValueError(f'{_short(text)} may be more than one date (day or month first?): {WRITE}.')
    return _whole(plain, text)


def _iso(text: str) -> datetime | None:
    if len(text) <= LONGEST and _ISO.fullmatch(
        text
    ):  # Python takes any character between date and time, the sign of an offset, too
        with suppress(ValueError):  # Python 3.10 reads fewer shapes than portals write
            return datetime.fromisoformat(text[:-1] + '+00:00' if text.endswith(('Z', 'z')) else text)
    return None


def _reads(text: str, dayfirst: bool = False, yearfirst: bool = False, default: datetime = datetime(1, 1, 1)) -> datetime | None:
    """As dateutil reads it. Odd texts make it raise more than it documents."""
    try:
        return date_parser.parse(text, default=default, dayfirst=dayfirst, yearfirst=yearfirst, tzinfos=_offset)
    except UnknownZone:
        raise
    except Exception:
        return None


class UnknownZone(ValueError):
    """An abbreviated time zone."""


def _whole(plain: str, text: str) -> datetime:
    """A date that names year, month and day; what a text leaves out is not made up."""
    found, other = (_reads(plain, default=default) for default in (datetime(1, 1, 1), datetime(4, 2, 2)))
    if found is None or other is None or found.date() != other.date():
        raise ValueError(f'{_short(text)} is no date: {WRITE}.')
    return found


def _offset(name: str | None, seconds: int | None) -> timezone | None:
    """Abbreviations of time zones are not unique (IST, CST), so they are refused; dateutil would take them for UTC."""
    if name is None and seconds is None:
        return None
    if seconds is None:
        raise UnknownZone(f'The time zone {_short(str(name))} is not known: write UTC, or an offset as in +02:00.')
    return timezone(timedelta(seconds=seconds))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f'{text[:40]}…')
