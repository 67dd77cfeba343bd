"""Dates in either notation, in one field. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from tests.support.instants import mjds
from tom_followup.dates import EARLIEST, LATEST, OutOfYears, normalised, read_date, read_instant
from tom_followup.units import instant_of, mjd_of
from tom_forced_phot.services.base import DatesForm

GOOD = {
    '60316.5': 60316.5,
    ' 60316 ': 60316.0,
    '2460317.0': 60316.5,
    '2024-01-07': 60316.0,
    '2024-01-07 12:00': 60316.5,
    '2024-01-07T12:00:00Z': 60316.5,
    '2024-01-07 12:00:00 UTC': 60316.5,
    '2024-01-07T12:00:00+09:00': 60316.125,
    '2024/01/07': 60316.0,
    '20240107': 60316.0,
    '2024/1/7 12:00': 60316.5,
    '2024.01.07': 60316.0,
    '7 January 2024 12:00': 60316.5,
    'Sun, 07 Jan 2024 12:00:00 GMT': 60316.5,
    '2024-01-07T12:00:00.0000000Z': 60316.5,
    '2024-01-07 21:00 +0900': 60316.5,
    '25/12/2024': 60669.0,
    'MJD 60316.5': 60316.5,
    'JD2460317': 60316.5,
}


@pytest.mark.parametrize(('text', 'mjd'), GOOD.items())
def test_both_notations_are_read(text: str, mjd: float) -> None:
    assert read_date(text) == pytest.approx(mjd, abs=1e-9)


@pytest.mark.parametrize('text', ['', 'yesterday', '30', '-5', 'nan', 'inf', '1e400', '2024-13-01', '99999999', '60316,5'])
def test_anything_else_says_what_may_be_written(text: str) -> None:
    with pytest.raises(ValueError, match=r'60316\.5'):
        read_date(text)


@given(day=st.integers(1, 12), month=st.integers(1, 12), mark=st.sampled_from('/-. '), clock=st.sampled_from(['', ' 03:25']))
def test_day_and_month_that_could_be_either_are_refused_in_words(day: int, month: int, mark: str, clock: str) -> None:
    text = f'{day:02}{mark}{month:02}{mark}2024{clock}'
    if day == month:
        assert read_instant(text).date() == date(2024, month, day)
        return
    with pytest.raises(ValueError, match='may be more than one date') as error:
        read_instant(text)
    assert 'a UTC date such as 2024-01-07 03:25' in str(error.value)


HALF = ['2024-13-01', '2024-02-30', '2024/13/01', 'Jan 2024', '03:25', 'Monday', '2024-01-07 24:01', '2024-01-07+09:00']


@pytest.mark.parametrize('text', HALF)
def test_nothing_is_made_up(text: str) -> None:
    with pytest.raises(ValueError, match='is no date'):
        read_instant(text)


@pytest.mark.parametrize('zone', ['PST', 'IST', 'CET'])
def test_an_abbreviated_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match=f'{zone}.*not known'):
        read_instant(f'2024-01-07 03:25 {zone}')


@pytest.mark.parametrize('text', ['1899-12-31', '2200-01-02', '15019', '124594', '2415019.9', '0001-01-01T00:00+14:00', '2024'])
def test_years_in_which_nothing_is_observed_are_refused(text: str) -> None:
    with pytest.raises(OutOfYears, match='not between 1900 and 2200'):
        read_instant(text)


@given(st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None)))
def test_what_is_said_beside_the_field_is_read_as_the_same(moment: datetime) -> None:
    moment = moment.replace(second=0, microsecond=0, tzinfo=timezone.utc)
    calendar, _, mjd = normalised(moment).partition(', ')
    assert read_instant(calendar) == moment
    assert abs(read_instant(mjd) - moment) < timedelta(seconds=1)


@given(mjds(41500, 61500))
def test_days_and_instants_agree_with_astropy(mjd: float) -> None:
    assert Time(instant_of(mjd)).mjd == pytest.approx(mjd, abs=1e-9)
    assert mjd_of(instant_of(mjd)) == pytest.approx(mjd, abs=1e-10)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match='time zone'):
        mjd_of(datetime(2024, 1, 7))


@pytest.mark.parametrize('zone', ['UTC', 'Asia/Tokyo', 'America/Los_Angeles'])
def test_a_date_means_utc_whatever_the_time_zone_of_the_server(settings: object, zone: str) -> None:
    settings.TIME_ZONE = zone  # type: ignore[attr-defined]
    form = DatesForm({'service': 'ATLAS', 'target_id': 1, 'min_date': '2024-01-07', 'max_date': '60320'})
    assert form.is_valid(), form.errors
    assert (form.cleaned_data['min_date'], form.cleaned_data['max_date']) == (60316.0, 60320.0)


def test_the_end_must_be_later() -> None:
    form = DatesForm({'service': 'ATLAS', 'target_id': 1, 'min_date': '60320', 'max_date': '2024-01-07'})
    assert form.errors == {'max_date': ['The end must be later than the beginning.']}


def test_an_instant_is_aware_utc() -> None:
    assert instant_of(60316.5) == datetime(2024, 1, 7, 12, tzinfo=timezone.utc)
    assert instant_of(60316.5).utcoffset() == timedelta(0)
