"""What is asked before it is asked: dates, numbers of requests, words. No database."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from tom_forced_phot.pages.ask.preview import count_requests, is_same, recovered, usual_wait
from tom_forced_phot.pages.ask.words import (
    Dates,
    DateSpan,
    Outcome,
    When,
    length,
    limits,
    notes_for,
    outcome_words,
    problems,
    span_of,
    span_words,
    spans_words,
    wait_words,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)  # MJD 61365.33
RANGE = Dates(when=When.RANGE, first=61000.0, last=61100.5)


@pytest.mark.parametrize(
    ('dates', 'earliest', 'since', 'span'),
    [
        (Dates(when=When.LAST), 57200.0, None, DateSpan(61335.0, None)),
        (Dates(when=When.ALL), 57200.0, None, DateSpan(57200.0, None)),
        (Dates(when=When.ALL), 0.0, None, DateSpan(None, None)),
        (Dates(when=When.SINCE), 57200.0, None, DateSpan(57200.0, None)),
        (Dates(when=When.SINCE), 57200.0, 61340.0, DateSpan(61340.0, None)),
        (RANGE, 57200.0, 61340.0, DateSpan(61000.0, 61100.5)),
        (Dates(when=When.RANGE, last=61100.0), 57200.0, None, DateSpan(57200.0, 61100.0)),
        (Dates(when=When.RANGE, first=61100.0), 57200.0, None, DateSpan(61100.0, None)),
        (Dates(when=When.RANGE, last=57000.0), 57200.0, None, DateSpan(None, 57000.0)),
        # what is typed counts only where its period is chosen
        (Dates(when=When.LAST, first=1.0, last=2.0), 57200.0, 3.0, DateSpan(61335.0, None)),
    ],
)
def test_each_choice_becomes_two_dates(dates: Dates, earliest: float, since: float | None, span: DateSpan) -> None:
    assert span_of(dates, NOW, earliest=earliest, since=since) == span


def test_the_same_choice_twice_on_a_day_is_the_same_question() -> None:
    later = NOW.replace(hour=23, minute=59)
    assert span_of(Dates(when=When.LAST), NOW, earliest=0, since=None) == span_of(
        Dates(when=When.LAST), later, earliest=0, since=None
    )


@pytest.mark.parametrize(
    ('dates', 'field'),
    [
        (Dates(when=When.RANGE), 'first'),
        (Dates(when=When.RANGE, first=2.0, last=1.0), 'last'),
        (Dates(when=When.RANGE, first=2.0, last=2.0), 'last'),
        (RANGE, None),
        (Dates(when=When.ALL, first=2.0, last=1.0), None),
    ],
)
def test_what_is_wrong_with_dates_is_said_beside_the_field(dates: Dates, field: str | None) -> None:
    assert list(problems(dates)) == ([field] if field else [])


def test_dates_are_said_in_both_notations() -> None:
    assert span_words(DateSpan(60316.5, None)) == 'from 2024-01-07 12:00 UTC (MJD 60316.5) until now'
    assert span_words(DateSpan(60316.0, 60317.25)) == (
        'from 2024-01-07 00:00 UTC (MJD 60316) until 2024-01-08 06:00 UTC (MJD 60317.25)'
    )
    assert span_words(DateSpan(None, None)) == 'everything until now'
    assert span_words(DateSpan(None, 60317.25)) == 'everything until 2024-01-08 06:00 UTC (MJD 60317.25)'


def test_different_dates_of_targets_are_counted() -> None:
    spans = [DateSpan(61340.0, None)] * 2 + [DateSpan(57200.0, None)]
    first, second = spans_words(spans)
    assert first.startswith('2 targets: from 2026-10-27')
    assert second.startswith('1 target: from 2015-06-27')
    many = spans_words([DateSpan(60000.0 + 10 * each, None) for each in range(9)])
    assert (len(many), many[-1]) == (6, '4 more with other beginnings')
    assert spans_words([DateSpan(None, None)] * 3) == ['everything until now']


@pytest.mark.parametrize(
    ('groups', 'size', 'number'),
    [
        ([], 100, 0),
        (['a'] * 25, 100, 1),
        (['a'] * 100, 100, 1),
        (['a'] * 101, 100, 2),
        (['a'] * 25, 1, 25),
        ([''] * 3 + ['a'] * 25 + ['b'], 100, 5),
    ],
)
def test_requests_are_counted_as_the_engine_sends_them(groups: list[str], size: int, number: int) -> None:
    assert count_requests([(group, 1) for group in groups], size) == number


def test_requests_with_control_light_curves_hold_fewer_targets() -> None:
    assert count_requests([('a', 9)] * 11, 100) == 1
    assert count_requests([('a', 9)] * 12, 100) == 2


def test_questions_are_compared_but_for_what_moves() -> None:
    assert is_same({'a': 1, 'mjd_min': 3}, {'a': 1, 'mjd_min': 4}, ('mjd_min',))
    assert not is_same({'a': 1, 'mjd_min': 3}, {'a': 1, 'mjd_min': 4})
    assert not is_same({'a': 1}, {'a': 1, 'mjd_max': 4}, ('mjd_min',))


def made(given: dict[str, Any]) -> dict[str, Any]:
    tables = ['detection', *(name for name in ('mean', 'forced') if given[name])]
    return {'radius': given['radius'], 'kind': 'reduced' if given['flag'] else 'difference', 'tables': tables}


@pytest.mark.parametrize('flag', [False, True])
@pytest.mark.parametrize('mean', [False, True])
@pytest.mark.parametrize('forced', [False, True])
def test_ticks_of_an_earlier_question_are_found_again(flag: bool, mean: bool, forced: bool) -> None:
    given = {'radius': 3.0, 'flag': flag, 'mean': mean, 'forced': forced}
    known = {'radius': 2.0, 'flag': None, 'mean': None, 'forced': None}
    assert recovered(made(given), known, ('flag', 'mean', 'forced'), made) == given


def test_a_services_limits_are_words() -> None:
    assert limits(southern_limit=-90.0, earliest=57200.0, moving=True, batch_size=100) == [
        'The whole sky',
        'since 2015-06-27',
        'fixed and moving targets',
        'up to 100 positions a request',
    ]
    assert limits(southern_limit=-31.0, earliest=0.0, moving=False, batch_size=1) == [
        'North of declination -31°',
        'fixed positions only',
        'one position a request',
    ]


def test_notes_that_do_not_hold_on_this_page_are_left_out() -> None:
    notes = 'It is slow. Without dates it measures everything since 2018-03-17. Mind the gap.'
    assert notes_for(notes, dated=True) == 'It is slow. Mind the gap.'
    assert notes_for(notes, dated=False) == notes
    assert notes_for(None, dated=True) == ''


def test_the_likely_wait_is_the_median_or_says_that_it_is_not_known() -> None:
    assert usual_wait([]) is None
    assert usual_wait([60.0, 600.0, 120.0]) == 120.0
    assert wait_words(720.0, 20, 1.0, 0) == 'Usually 12 minutes: the median of the last 20 answers.'
    assert wait_words(None, 0, 7 * 86400.0, 1) == (
        'Nothing is known yet about how long answers take; one is waited for up to 7 days. 1 question is open there now.'
    )
    assert [length(each) for each in (3.0, 59.0, 7300.0, 172800.0)] == ['less than a minute', '1 minute', '2 hours', '2 days']


def test_what_became_of_asking_is_said_once_and_shortly() -> None:
    declined = [(f'T{each}', 'It is too far south.') for each in range(5)]
    said = outcome_words(
        [
            Outcome(service='ATLAS', asked=25),
            Outcome(service='ZTF', asked=1, followed=2, declined=declined),
            Outcome(service='PS', already=3),
        ]
    )
    assert said.startswith('Asked: ATLAS about 25 targets, ZTF about 1 target.')
    assert 'whose answers are yours too: ZTF about 2 targets.' in said
    assert 'not asked again: PS about 3 targets.' in said
    assert 'Not asked: T0 at ZTF: It is too far south.' in said
    assert said.endswith('And 2 more.')
    assert 'T3' not in said
