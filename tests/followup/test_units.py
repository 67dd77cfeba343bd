"""Times and fluxes between the units of the field."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone

import numpy as np
import pytest
from astropy import units
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from tests.support.instants import days_with_a_leap_second, mjds
from tom_followup.units import (
    flux_error_of,
    flux_factor,
    flux_of,
    instant_of,
    is_ab,
    limit_of,
    magnitude_error_of,
    magnitude_of,
    microjansky_of,
    microseconds_of,
    mjd_of,
    mjd_of_microseconds,
)


@given(mjds(41317, 61000))
def test_an_mjd_is_the_same_instant_as_in_astropy_and_comes_back(mjd: float) -> None:
    assert mjd_of(instant_of(mjd)) == pytest.approx(mjd, abs=1e-11)
    assert abs((Time(mjd, format='mjd', scale='utc').datetime - instant_of(mjd).replace(tzinfo=None)).total_seconds()) < 1e-4
    micros = microseconds_of(np.array([mjd]))
    assert abs(mjd_of_microseconds(micros)[0] - mjd) < 1e-11
    assert abs(instant_of(mjd).timestamp() * 1e6 - micros[0]) < 2


@pytest.mark.parametrize('day', sorted(days_with_a_leap_second()))
def test_on_a_day_with_a_leap_second_it_is_never_a_second_away_from_astropys(day: int) -> None:
    for mjd in (day, day + 0.5, day + 1 - 1e-6, day + 1):
        away = Time(mjd, format='mjd', scale='utc').unix - instant_of(mjd).timestamp()
        assert abs(away) <= 1, mjd


def test_a_naive_time_has_no_mjd() -> None:
    assert mjd_of(datetime(1970, 1, 1, tzinfo=timezone.utc)) == 40587.0
    with pytest.raises(ValueError, match='without a time zone'):
        mjd_of(datetime(1970, 1, 1))


@pytest.mark.parametrize('unit', ['nJy', 'uJy', 'mJy', 'Jy', 'MJy'])
def test_a_unit_of_flux_is_that_of_astropy(unit: str) -> None:
    assert flux_factor(f' {unit} ') == pytest.approx(units.Unit(unit).to('uJy'))


@pytest.mark.parametrize('unit', ['', 'mag', 'Vega mag', 'erg', 'counts'])
def test_what_is_no_flux_has_no_factor(unit: str) -> None:
    assert np.isnan(flux_factor(unit))
    assert is_ab(unit) == (unit in ('', 'mag'))


@given(st.floats(-10, 40), st.floats(1e-4, 1.0))
def test_a_magnitude_and_its_flux_are_one_another(magnitude: float, error: float) -> None:
    flux = flux_of(np.array([magnitude]))
    assert magnitude_of(flux)[0] == pytest.approx(magnitude, abs=1e-9)
    assert magnitude_error_of(flux, flux_error_of(flux, np.array([error])))[0] == pytest.approx(error)
    assert (flux[0] * units.uJy).to(units.ABmag).value == pytest.approx(magnitude, abs=2e-5)  # 23.9 is 3630.78 Jy, and not 3631


def test_the_zero_point_is_23_9_and_not_3631_jansky() -> None:
    assert flux_of(np.array([0.0]))[0] == pytest.approx(3630.780548e6)
    assert microjansky_of(np.array([100.0]), np.array([26.25]))[0] == pytest.approx(100 * 10 ** (0.4 * (23.9 - 26.25)))


@pytest.mark.parametrize('number', [0.0, -1.0, np.inf, -np.inf, np.nan])
def test_what_is_not_positive_and_finite_has_neither_magnitude_nor_limit(number: float) -> None:
    assert np.isnan(magnitude_of(np.array([number]))).all()
    assert np.isnan(limit_of(np.array([number]), 3)).all()


def test_units_need_no_settings_and_no_django() -> None:
    code = "import sys, tom_followup.units; print(*sorted(name for name in sys.modules if name.startswith(('django', 'tom_'))))"
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
    assert found == ['tom_followup', 'tom_followup.units']
