"""Windows: aware, of constant length, never in the past, written in the shape the facility stored."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.support.samples import HOUR, NOON, window
from tom_cadence.core.windows import Window, read_instant, read_window, show, window_in, write_instant
from tom_cadence.exceptions import BadWindow

TOKYO = timezone(9 * HOUR)
STAMP = datetime(2026, 11, 21, 3, 41, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    'stored',
    [
        '2026-11-21T03:41',
        '2026-11-21T03:41:00',
        '2026-11-21 03:41:00',
        '2026-11-21T03:41:00Z',
        '2026-11-21T03:41:00.000000+00:00',
        '2026-11-21T12:41:00+09:00',
        '2026-11-20T19:41:00-08:00',
        '2026-11-20T19:41:00-0800',
        '  2026-11-21T03:41  ',
        'Nov 21 2026 03:41',
        ['2026-11-21', '03:41:00'],
        ('2026-11-21', '03:41'),
        STAMP,
        STAMP.astimezone(TOKYO),
        STAMP.replace(tzinfo=None),
    ],
)
def test_an_instant_is_read_as_utc_unless_it_says_otherwise(stored: Any) -> None:
    found = read_instant(stored)
    assert found == STAMP
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize('stored', ['2026-11-21', ['2026-11-21', ''], ['2026-11-21', None], date(2026, 11, 21)])
def test_a_date_is_its_first_instant(stored: Any) -> None:
    assert read_instant(stored) == datetime(2026, 11, 21, tzinfo=timezone.utc)


@pytest.mark.parametrize('stored', [None, '', '   ', [], ['', ''], 7, 7.5, True, {'start': 1}])
def test_nothing_is_missing_and_says_so(stored: Any) -> None:
    with pytest.raises(BadWindow, match='missing'):
        read_instant(stored)


@pytest.mark.parametrize('stored', ['soon', 'nan', 'NaN', '2026-13-40', '99999999999999', '2026-11-21T99:00'])
def test_an_unreadable_text_is_named(stored: str) -> None:
    with pytest.raises(BadWindow, match=stored):
        read_instant(stored)


def test_the_end_of_time_is_no_crash() -> None:
    with pytest.raises(BadWindow, match='outside the years'):
        read_instant('0001-01-01T00:00:00+14:00')


def test_the_unreadable_end_is_said_to_be_the_end() -> None:
    with pytest.raises(BadWindow, match='The end of the observing window cannot be read'):
        read_window('2026-11-21T03:41', 'never')
    with pytest.raises(BadWindow, match='The start of the observing window cannot be read'):
        read_window(None, '2026-11-21T03:41')


@pytest.mark.parametrize('start', ['03:41', '0099-01-01', 'Monday'])
def test_a_time_without_a_date_is_no_window(start: str) -> None:
    with pytest.raises(BadWindow):
        read_window(start, '2026-11-21T03:41')


@pytest.mark.parametrize('hours', [0, -1])
def test_a_reversed_or_empty_window_is_refused(hours: int) -> None:
    with pytest.raises(BadWindow, match='before it starts'):
        window(0, hours)


def test_a_window_without_a_time_zone_is_refused() -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(BadWindow, match='no time zone'):
        Window(start=naive, end=naive + HOUR)


def test_a_moved_window_keeps_its_length() -> None:
    moved = window(-4, 4).later_by(24)
    assert (moved.start, moved.length) == (NOON + 20 * HOUR, 4 * HOUR)


@pytest.mark.parametrize(('start', 'expected'), [(-4, 0), (-0.001, 0), (0, 0), (3, 3)])
def test_a_window_never_starts_in_the_past(start: float, expected: float) -> None:
    moved = window(start, 4).not_before(NOON)
    assert moved.start == NOON + expected * HOUR
    assert moved.length == 4 * HOUR


@pytest.mark.parametrize(
    ('like', 'written'),
    [
        ('2026-11-20T03:41', '2026-11-21T03:41'),
        ('2026-11-20T03:41:00', '2026-11-21T03:41:00'),
        ('2026-11-20 03:41:00', '2026-11-21 03:41:00'),
        ('2026-11-20 03:41', '2026-11-21 03:41'),
        ('2026-11-20T03:41:00Z', '2026-11-21T03:41:00Z'),
        ('2026-11-20T03:41:00+00:00', '2026-11-21T03:41:00+00:00'),
        ('2026-11-20T12:41:00+09:00', '2026-11-21T03:41:00+00:00'),
        ('', '2026-11-21T03:41:00+00:00'),
        (None, '2026-11-21T03:41:00+00:00'),
        (['2026-11-20', '03:41'], '2026-11-21T03:41:00+00:00'),
    ],
)
def test_an_instant_is_written_in_the_shape_the_facility_stored(like: Any, written: str) -> None:
    assert write_instant(STAMP, like) == written
    assert read_instant(written) == STAMP


@pytest.mark.parametrize('like', ['61364.15', '2461364.65'])
def test_a_window_of_days_stays_one(like: str) -> None:
    written = write_instant(STAMP, like)
    assert abs(read_instant(written) - STAMP) < timedelta(seconds=1)
    assert len(written.partition('.')[0]) == len(like.partition('.')[0])


LIKE = ['2026-11-20T03:41', '2026-11-20T03:41:00', '2026-11-20T03:41:00Z', '2026-11-20', '61364.15', '2461364.65', '', None]


@pytest.mark.parametrize('like', LIKE)
@pytest.mark.parametrize('instant', [STAMP, STAMP + timedelta(microseconds=1), STAMP + timedelta(seconds=59.5)])
def test_rounding_to_a_coarser_shape_never_goes_into_the_past(instant: datetime, like: Any) -> None:
    assert read_instant(write_instant(instant, like)) >= instant


def test_a_date_stays_a_date() -> None:
    assert write_instant(datetime(2026, 11, 22, tzinfo=timezone.utc), '2026-11-20') == '2026-11-22'


def test_people_read_utc() -> None:
    assert show(STAMP.astimezone(TOKYO)) == '2026-11-21 03:41 UTC'


READ = [
    (('start', 'end'), {'start': '2026-11-20T08:00', 'end': '2026-11-20T12:00'}),
    (
        ('start', 'end'),
        {'start_0': '2026-11-20', 'start_1': '08:00', 'end_0': '2026-11-20', 'end_1': '12:00', 'start': '', 'end': None},
    ),
    (('begin', 'finish'), {'begin': '2026-11-20T08:00Z', 'finish': '2026-11-20T12:00Z', 'start': 'no', 'end': 'no'}),
    (('window_start', 'window_end'), {'window_start': '2026-11-20 08:00', 'window_duration': 4}),  # the toolkit's Gemini
    (('window_start', 'window_end'), {'window_start': '2026-11-20 08:00', 'window_duration': '4', 'window_end': ''}),
]


@pytest.mark.parametrize(('keywords', 'parameters'), READ)
def test_a_window_is_read_from_stored_parameters_by_the_facilitys_names(
    keywords: tuple[str, str], parameters: dict[str, object]
) -> None:
    found = window_in(parameters, keywords)
    assert (show(found.start), show(found.end)) == ('2026-11-20 08:00 UTC', '2026-11-20 12:00 UTC')


@pytest.mark.parametrize(
    'parameters',
    [None, [], {}, {'window_start': '2026-11-20 08:00'}, {'window_start': 'x', 'window_duration': 4}]
    + [{'window_start': '2026-11-20 08:00', 'window_duration': hours} for hours in ('x', -1, 0, float('nan'), 1e9, [])],
)
def test_what_is_no_window_is_refused_in_words(parameters: object) -> None:
    with pytest.raises(BadWindow):
        window_in(parameters, ('window_start', 'window_end'))
