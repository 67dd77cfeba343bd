"""Days, phases, periods, Julian dates; dust and distance: without a database."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.cosmology import Planck18
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.photometry.lightcurve.test_curve import ATLAS, LCO, SYMBOLS, filed, measured, parsed, points, unsolved
from tests.support.payloads import numbers_of
from tom_forced_phot.lightcurve import export, times
from tom_forced_phot.lightcurve.bands import Dust, relative
from tom_forced_phot.lightcurve.curve import evaluate
from tom_forced_phot.lightcurve.options import Distance, Options
from tom_forced_phot.lightcurve.payload import payload
from tom_forced_phot.lightcurve.times import MOST_FREQUENCIES, Axis, Search, bjd_tdb, find_period, jd

ODD = ('Q', *LCO[1:])
MJD = np.array([55197.0, 57754.123456, 60310.987654321])


@given(st.floats(40000, 70000), st.floats(0.01, 1000), st.floats(40000, 70000))
def test_a_phase_is_from_0_to_below_1_and_the_same_after_a_period(mjd: float, period: float, zero: float) -> None:
    axis = Axis(zero=zero, period=period)
    phase, later = (float(axis.of(np.array([moment]))[0]) for moment in (mjd, mjd + period))
    assert 0 <= phase < 1
    assert min(abs(phase - later), 1 - abs(phase - later)) < 1e-6
    assert Axis(zero=zero).of(np.array([mjd]))[0] == mjd - zero


@pytest.mark.parametrize(('ra', 'dec'), [(0.0, 0.0), (83.63, 22.01), (270.0, -66.5), (150.0, 89.9)])
def test_the_barycentric_date_is_that_of_astropy(ra: float, dec: float) -> None:
    centre = EarthLocation.from_geocentric(0, 0, 0, unit=units.m)
    time = Time(MJD, format='mjd', scale='utc', location=centre)
    there = time.tdb + time.light_travel_time(SkyCoord(ra, dec, unit=units.deg), 'barycentric')
    assert np.abs(bjd_tdb(MJD, ra, dec) - there.jd).max() * 86400 < 0.001
    assert jd(MJD).tolist() == (MJD + 2400000.5).tolist()


def test_many_points_get_the_barycentric_date_of_each_to_a_microsecond() -> None:
    some = np.sort(np.random.default_rng(7).uniform(58000, 58400, 2000))
    together, singly = bjd_tdb(some, 83.63, 22.01), np.concatenate([bjd_tdb(part, 83.63, 22.01) for part in np.split(some, 200)])
    assert np.abs(together - singly).max() * 86400 < 1e-4, 'a double of a Julian date is good to 40 us'
    assert bjd_tdb(some[:0], 83.63, 22.01).tolist() == []
    near = 58200 + np.linspace(0, 0.1, 200)
    assert np.ptp(bjd_tdb(near, 83.63, 22.01) - near) < 1e-4, 'many points of one night are not spread over years of knots'


def test_the_earth_is_computed_once_for_all_targets_and_not_for_points_all_over_the_centuries(monkeypatch: Any) -> None:
    counted: list[int] = []
    earth = times._earth
    monkeypatch.setattr(times, '_earth', lambda tt: counted.append(len(tt)) or earth(tt))
    times._block.cache_clear()
    some = np.sort(np.random.default_rng(7).uniform(58000, 58400, 2000))
    bjd_tdb(some, 83.63, 22.01)
    first = sum(counted)
    bjd_tdb(some, 10.0, -22.01)
    assert (first, sum(counted)) == (4 * 73, 4 * 73)
    bjd_tdb(np.linspace(0, 1e6, 2000), 10.0, -22.01)
    assert sum(counted) == 4 * 73 + 2000


def test_a_date_far_ahead_has_a_barycentric_date_too() -> None:
    assert np.isfinite(bjd_tdb(np.array([80000.0]), 10, 20)).all()


def variable(period: float, number: int = 200, seed: int = 3) -> Any:
    random = np.random.default_rng(seed)
    mjd = np.sort(random.uniform(59000, 59300, number))
    return mjd, 500 + 100 * np.sin(2 * np.pi * mjd / period) + random.normal(0, 10, number), np.full(number, 10.0)


@pytest.mark.parametrize('period', [0.0567, 0.5678, 7.31, 83.0])
def test_the_period_of_a_variable_star_is_found(period: float) -> None:
    found = find_period(*variable(period), Search())
    assert found is not None
    assert found.period == pytest.approx(period, rel=0.01 * period**0.5 / 10 + 1e-3)
    assert found.false_alarm < 1e-6
    assert found.points == 200


def test_noise_is_no_period() -> None:
    mjd, _, error = variable(1.0)
    found = find_period(mjd, np.random.default_rng(4).normal(500, 10, len(mjd)), error, Search(shortest=1.0))
    assert found is not None
    assert found.false_alarm > 0.01


def test_a_search_has_bounds_and_says_where_it_began() -> None:
    random = np.random.default_rng(1)
    mjd = np.sort(random.uniform(50000, 60000, 8000))
    found = find_period(mjd, random.normal(500, 10, 8000), np.full(8000, 10.0), Search(shortest=0.001))
    assert found is not None
    assert found.points == 5000
    assert (1 / found.shortest) / (1 / (5 * np.ptp(mjd))) <= MOST_FREQUENCIES + 100
    assert f'{found.shortest:.4g} d on' in found.words('ATLAS o')


@pytest.mark.parametrize('flux', [[1.0] * 50, [np.nan] * 50, list(range(9)), []])
def test_where_nothing_varies_there_is_no_period(flux: list[float]) -> None:
    number = len(flux)
    assert find_period(59000 + np.arange(number, dtype=float), np.array(flux, dtype=float), np.full(number, 1.0), Search()) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(50000, 60000), st.floats(-1e90, 1e90), st.floats(0, 1e90)), max_size=30))
def test_absurd_numbers_break_no_search(rows: list[Any]) -> None:
    mjd, flux, error = (np.array([row[place] for row in rows], dtype=float) for place in range(3))
    find_period(mjd, flux, np.where(error < 1e-90, 0, error), Search(shortest=10.0))


def test_a_found_period_folds_the_curve_and_is_said() -> None:
    mjd, flux, error = variable(0.5678)
    rows = [measured(float(value), float(spread), mjd=float(when)) for when, value, spread in zip(mjd, flux, error, strict=True)]
    curve = evaluate(points(*rows, unsolved(1e10, 1.0, mjd=59001.0)), Options(search=Search(), since=59000.0))
    assert curve.axis is not None
    assert curve.axis.period == pytest.approx(0.5678, abs=1e-3)
    assert 'Lomb-Scargle' in curve.notes[0]
    assert payload(curve, SYMBOLS)['axis'] == {'zero': 59000.0, 'period': curve.axis.period}
    for kind in export.FORMATS:
        phases = np.asarray(parsed(filed(curve, kind), kind)['phase'], dtype=float)
        assert phases == pytest.approx(curve.axis.of(curve.shown.mjd))
    nothing = evaluate(points(measured(1), measured(2)), Options(search=Search()))
    assert nothing.axis is None
    assert 'No period can be found in ATLAS o difference' in nothing.notes[0]


def test_days_since_a_date_stand_in_files() -> None:
    curve = evaluate(points(measured(1, mjd=60001.5), measured(2, mjd=59998.0)), Options(since=60000.0))
    for kind in export.FORMATS:
        assert np.asarray(parsed(filed(curve, kind), kind)['days'], dtype=float).tolist() == [-2.0, 1.5]


def test_julian_dates_stand_in_every_file_and_the_barycentre_where_the_target_stands_still() -> None:
    curve = evaluate(points(measured(1, mjd=60001.5)), Options())
    for kind in export.FORMATS:
        found = parsed(export.write(export.table(curve, {}, (83.63, 22.01)), kind), kind)
        assert float(found['jd'][0]) == 2460002.0
        assert float(found['bjd_tdb'][0]) == pytest.approx(float(bjd_tdb(np.array([60001.5]), 83.63, 22.01)[0]), abs=1e-9)
    assert 'bjd_tdb' not in export.table(curve, {}).colnames


@pytest.mark.parametrize(
    ('inverse', 'ratio'),
    [(2.78, 1.569), (2.27, 1.337), (1.82, 1.000), (1.43, 0.751), (1.11, 0.479), (0.80, 0.282), (0.63, 0.190), (0.46, 0.114)],
)
def test_the_law_of_cardelli_is_that_of_its_table(inverse: float, ratio: float) -> None:
    """Table 3 of the paper, R_V = 3.1, at the inverse micrometres of its UBVRIJHK; the fit is as near to it as that."""
    assert relative(1 / inverse, 'ccm89', 3.1) == pytest.approx(ratio, abs=0.02)
    assert relative(1 / inverse, 'odonnell94', 3.1) == pytest.approx(ratio, abs=0.06)


def test_dust_dims_magnitudes_limits_and_fluxes_alike_and_detections_stay_detections() -> None:
    stored = points(measured(500, magnitude=17.15, magnitude_error=0.02), measured(5, limit=20.21), measured(6, label=ODD))
    plain, curve = evaluate(stored, Options()), evaluate(stored, Options(dust=Dust(ebv=0.3)))
    by = Dust(ebv=0.3).of('o')
    assert 0.6 < by < 0.9
    assert curve.points.magnitude[0] == pytest.approx(17.15 - by)
    assert curve.points.limit[1] == pytest.approx(20.21 - by)
    assert curve.points.flux[:2] == pytest.approx(plain.points.flux[:2] * 10 ** (0.4 * by))
    assert curve.points.snr == pytest.approx(plain.points.snr[:2])
    assert curve.left_out == {'no wavelength is known of the band of LCO Q: no extinction': 1}
    found = parsed(filed(curve, 'ecsv'), 'ecsv')
    assert np.asarray(found['extinction']).tolist() == pytest.approx([by, by])
    assert 'E(B-V) = 0.3' in next(Options(dust=Dust(ebv=0.3)).words())


def test_absolute_magnitudes_of_a_redshift_and_of_a_distance() -> None:
    stored = points(measured(500, magnitude=17.15, magnitude_error=0.02), measured(5, limit=20.21))
    far = Distance(redshift=0.05)
    assert far.modulus == pytest.approx(Planck18.distmod(0.05).value)
    assert Distance(mpc=1e-5).modulus == pytest.approx(0)
    curve = evaluate(stored, Options(distance=far))
    sent = payload(curve, SYMBOLS)
    assert numbers_of(sent['points']['magnitude']) == pytest.approx([17.15 - far.modulus, 20.21 - far.modulus], abs=1e-4)
    assert sent['modulus'] == far.modulus
    assert curve.points.flux.tolist() == [500, 5]
    found = parsed(filed(curve, 'votable'), 'votable')
    assert float(found['absolute_magnitude'][0]) == pytest.approx(17.15 - far.modulus)
    assert float(found['magnitude'][0]) == 17.15
    assert 'without K correction' in next(Options(distance=far).words())


def test_every_band_of_the_shipped_services_has_a_wavelength() -> None:
    for band in ('c', 'o', 'w', 'g', 'r', 'i', 'z', 'y', 'ZTF_g', 'ZTF_r', 'ZTF_i', 'B', 'V'):
        assert np.isfinite(Dust(ebv=0.1).of(band))
    assert np.isnan(Dust(ebv=0.1).of('F200W'))
    assert ATLAS[0] == 'o'
