"""Dates in either notation, in one field. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from astropy.time import Time
from hypothesis import given

from tests.support.instants import mjds
from tom_followup.dates import read_date
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
}


@pytest.mark.parametrize(('text', 'mjd'), GOOD.items())
def test_both_notations_are_read(text: str, mjd: float) -> None:
    assert read_date(text) == pytest.approx(mjd, abs=1e-9)


@pytest.mark.parametrize('text', ['', 'yesterday', '30', '-5', 'nan', 'inf', '1e400', '2024-13-01', '99999999', '60316,5'])
def test_anything_else_says_what_may_be_written(text: str) -> None:
    with pytest.raises(ValueError, match=r'60316\.5'):
        read_date(text)


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
