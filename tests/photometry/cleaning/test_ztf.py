"""The baseline, the scale of the errors and the reference flux of ZTF light curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.published import sample
from tom_forced_phot.cleaning import CUTS, absolute, judge, quiet_epochs, recipe, rescale, subtract_baseline
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.readers import read_ztf

PEAK = 59000.0
ZERO_POINT = 26.25


def light_curve(counts: Any, mjd: Any, error: Any = 10.0, zero_point: Any = ZERO_POINT, **columns: Any) -> Measurements:
    """Points of these counts (DN), as the reader gives them."""
    number = len(counts)

    def column(value: Any) -> Any:
        return np.full(number, value) if np.isscalar(value) else np.asarray(value)

    defaults = {
        'field': 796, 'ccdid': 10, 'qid': 3, 'rfid': 796120139, 'refjdstart': 2458200.5, 'refjdend': 2458300.5,
        'forcediffimchisq': 1.0, 'infobitssci': 0, 'scisigpix': 10.0,
        'sciinpseeing': 2.1, 'dnearestrefsrc': 0.3, 'nearestrefmag': 19.0, 'nearestrefmagunc': 0.02, 'nearestrefsharp': 0.01,
    }  # fmt: skip
    factor = 10 ** (0.4 * (23.9 - column(zero_point)))
    nothing = np.full(number, np.nan)
    made = Measurements(
        mjd=np.asarray(mjd, dtype=np.float64),
        band=column(columns.pop('band', 'ZTF_r')),
        flux=np.asarray(counts, dtype=np.float64) * factor,
        flux_error=column(error) * factor,
        magnitude=nothing,
        magnitude_error=nothing,
        limit=nothing,
        exposure=np.array([f'e{n}' for n in range(number)], dtype=np.str_),
        exposure_time=column(30.0),
        telescope='P48',
        instrument=column(columns.pop('instrument', 'ZTF 0796 c10 q3')),
        columns={name: column(value) for name, value in {**defaults, 'zpdiff': zero_point, **columns}.items()},
        rows=number,
    )
    return judge(made, 3, 5)


def counts_of(measured: Measurements) -> Any:
    return measured.flux / 10 ** (0.4 * (23.9 - measured.columns['zpdiff']))


NIGHTS = np.concatenate([PEAK - 200 + np.arange(40), PEAK + np.arange(10)])
NOISE = np.tile([-10.0, 10.0, 0.0, 5.0, -5.0], 10)


def test_a_baseline_is_subtracted_in_counts_whatever_the_zero_points() -> None:
    zero_point = ZERO_POINT + 0.1 * np.sin(np.arange(50))
    measured = light_curve(NOISE + 70, NIGHTS, zero_point=zero_point)
    found = subtract_baseline(measured, quiet_epochs(measured, PEAK))
    assert counts_of(found) == pytest.approx(NOISE)
    assert found.columns['baseline'] == pytest.approx(np.full(50, 70.0))
    assert found.columns['baseline_epochs'].tolist() == [40] * 50
    assert counts_of(measured) == pytest.approx(NOISE + 70)
    assert found.flux_error.tolist() == measured.flux_error.tolist()
    assert np.isfinite(found.limit).all()


@pytest.mark.parametrize('column', ['instrument', 'refjdstart', 'refjdend', 'band'])
def test_each_group_has_a_baseline_of_its_own(column: str) -> None:
    other = np.arange(100) % 2
    named = {'band': ['ZTF_g', 'ZTF_r'], 'instrument': ['ZTF 0796 c10 q3', 'ZTF 0796 c10 q4']}
    values = np.array(named[column])[other] if column in named else other
    measured = light_curve(np.repeat(NOISE, 2) + np.where(other, 70, -30), np.repeat(NIGHTS, 2), **{column: values})
    found = subtract_baseline(measured, quiet_epochs(measured, PEAK))
    assert counts_of(found) == pytest.approx(np.repeat(NOISE, 2))
    assert sorted(set(found.columns['baseline'].round(6).tolist())) == [-30, 70]


def test_one_reference_image_under_two_numbers_has_one_baseline() -> None:
    numbers = np.where(np.arange(50) % 2, 506120111, 1000506130111)
    measured = light_curve(NOISE + 70, NIGHTS, rfid=numbers, refjdstart=2458323.943912 + 1e-7 * (np.arange(50) % 2))
    found = subtract_baseline(measured, quiet_epochs(measured, PEAK))
    assert found.columns['baseline'] == pytest.approx(np.full(50, 70.0))
    assert found.columns['baseline_epochs'].tolist() == [40] * 50


def test_references_without_dates_are_one_group_of_their_own() -> None:
    dates = np.where(np.arange(100) % 2, np.nan, 2458300.5)
    measured = light_curve(np.repeat(NOISE, 2) + np.where(np.isnan(dates), 70, -30), np.repeat(NIGHTS, 2), refjdend=dates)
    assert counts_of(subtract_baseline(measured, quiet_epochs(measured, PEAK))) == pytest.approx(np.repeat(NOISE, 2))


def test_too_few_quiet_epochs_are_no_baseline() -> None:
    measured = light_curve(NOISE[:29] + 70, NIGHTS[:29])
    quiet = np.ones(29, dtype=np.bool_)
    for found in (subtract_baseline(measured, quiet), rescale(measured, quiet)):
        assert found.flux.tolist() == measured.flux.tolist()
        assert found.flux_error.tolist() == measured.flux_error.tolist()
    assert np.isnan(subtract_baseline(measured, quiet).columns['baseline']).all()
    assert rescale(measured, quiet).columns['error_scale'].tolist() == [1.0] * 29
    assert np.isfinite(subtract_baseline(measured, quiet, least=25).columns['baseline']).all()


def test_the_nights_before_are_taken_if_they_are_enough_else_those_long_after() -> None:
    before, during, after = PEAK - 200 + np.arange(40), PEAK + np.arange(-99, 500, 30), PEAK + 501 + np.arange(35)
    nights = np.concatenate([before, during, after])
    whole = light_curve(np.zeros(len(nights)), nights)
    assert quiet_epochs(whole, PEAK).tolist() == (nights < PEAK - 100).tolist()
    few = whole.only(np.arange(20, len(nights)))
    assert quiet_epochs(few, PEAK).tolist() == (few.mjd > PEAK + 500).tolist()


def test_errors_are_rescaled_by_chi_squared_and_then_by_their_scatter() -> None:
    random = np.random.default_rng(4)
    nights = PEAK - 5000 + np.arange(4000)
    measured = light_curve(random.normal(0, 30, 4000), nights, error=10.0, forcediffimchisq=4.0)
    found = rescale(measured, np.ones(4000, dtype=np.bool_))
    assert found.columns['error_scale'][0] == pytest.approx(3, rel=0.05)
    assert np.std(found.flux / found.flux_error) == pytest.approx(1, rel=0.05)
    good = light_curve(random.normal(0, 10, 4000), nights)
    assert rescale(good, np.ones(4000, dtype=np.bool_)).columns['error_scale'][0] == pytest.approx(1, rel=0.05)


def test_detections_and_limits_by_the_thresholds_of_the_guide() -> None:
    found = judge(light_curve([30.1, 30.0, -100.0], [1.0, 2.0, 3.0]), 3, 5)
    assert np.isfinite(found.magnitude).tolist() == [True, False, False]
    assert found.magnitude[0] == pytest.approx(ZERO_POINT - 2.5 * np.log10(30.1))
    assert found.limit[1:] == pytest.approx(ZERO_POINT - 2.5 * np.log10(50))
    assert np.isfinite(judge(found, 2.5, 5).magnitude).tolist() == [True, True, False]


BROKEN = [float('nan'), float('inf'), -float('inf'), 0.0]


@given(st.lists(st.tuples(st.floats(), st.one_of(st.floats(), st.sampled_from(BROKEN))), min_size=1))
def test_a_point_is_judged_only_by_a_finite_flux_and_a_positive_finite_error(rows: list[Any]) -> None:
    flux, error = (np.array(column) for column in zip(*rows, strict=True))
    found = judge(Measurements(**{**vars(light_curve(flux, flux, error=error)), 'flux': flux, 'flux_error': error}), 3, 5)
    sound = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    for column in (found.magnitude, found.magnitude_error, found.limit):
        assert np.isnan(column[~sound]).all()
        assert not np.isinf(column).any()
    assert not (np.isfinite(found.magnitude) & np.isfinite(found.limit)).any()


def test_the_flux_of_the_reference_is_added_for_a_variable_star() -> None:
    magnitudes = np.array([19.0, 19.0, 19.0, 19.0, np.nan])
    measured = light_curve(
        [100.0] * 5, np.arange(5), dnearestrefsrc=[0.3, 1.2, 0.3, -99999.0, np.nan], nearestrefsharp=[0.1, 0.1, 0.9, 0.1, 0.1],
        nearestrefmag=magnitudes,
    )  # fmt: skip
    found = absolute(measured)
    assert found.exposure.tolist() == ['e0']
    reference = 10 ** (0.4 * (ZERO_POINT - 19.0))
    assert counts_of(found)[0] == pytest.approx(100 + reference)
    assert found.magnitude[0] == pytest.approx(ZERO_POINT - 2.5 * np.log10(100 + reference))
    error = np.hypot(10, 0.02 * reference / 1.0857)
    assert found.flux_error[0] / found.flux[0] == pytest.approx(error / (100 + reference), rel=1e-4)
    assert len(absolute(measured, nearest=2, sharp=1)) == 3


@pytest.mark.parametrize(
    ('column', 'good', 'bad'), [('infobitssci', 2**25 - 1, 2**25), ('scisigpix', 25, 25.1), ('sciinpseeing', 4, 4.1)]
)
def test_the_recommended_cut(column: str, good: float, bad: float) -> None:
    measured = light_curve([1.0, 1.0], [1.0, 2.0], **{column: [good, bad]})
    assert CUTS['ztf'](measured).keep.tolist() == [True, False]
    strict = CUTS['ztf_strict'](measured).keep.tolist()
    assert strict == [column != 'infobitssci', False]


def test_a_missing_column_is_named() -> None:
    measured = light_curve([1.0], [1.0])
    lacking = Measurements(**{**vars(measured), 'columns': {name: c for name, c in measured.columns.items() if name != 'refjdend'}})
    with pytest.raises(ValueError, match='do not have the column refjdend'):
        quiet_epochs(lacking, PEAK)


def test_the_whole_recipe_finds_the_transient_and_leaves_the_measurements_alone() -> None:
    counts = NOISE + 70 + np.where(NIGHTS >= PEAK, 400, 0)
    measured = light_curve(counts, NIGHTS, scisigpix=np.where(np.arange(50) == 45, 99.0, 10.0))
    before = measured.flux.tolist()
    found = recipe(measured, PEAK)
    assert len(found) == 49
    assert np.flatnonzero(np.isfinite(found.magnitude)).tolist() == list(range(40, 49))
    assert counts_of(found)[40:].mean() == pytest.approx(400, abs=5)
    assert measured.flux.tolist() == before


@pytest.mark.parametrize('name', ['forcedphotometry_req00381127_lc.txt', 'forcedphotometry_req00381131_lc.txt'])
def test_the_recipe_on_published_files(name: str) -> None:
    measured = read_ztf(sample(f'ztf/{name}'))
    found = recipe(measured, 59500.0)
    corrected = np.isfinite(found.columns['baseline'])
    assert set(found.exposure.tolist()) <= set(measured.exposure.tolist())
    assert (found.columns['baseline_epochs'][corrected] >= 30).all()
    assert (np.isfinite(found.magnitude) ^ np.isfinite(found.limit)).all()


def test_the_published_fluxes_of_at2022tsd() -> None:
    """Ho et al. 2023, Nature 623, 927, and their repository: the file of the service, and the table made of it.

    The table takes 3631 Jy for 0 mag, and has two decimals; ours is 10^(0.4 x 23.9) uJy, smaller by 0.006 %.
    """
    measured = read_ztf(sample('ztf/ipac_forced_phot_lc_full_survey.txt'))
    table = [line.split() for line in sample('ztf/full_lc.txt').decode().splitlines() if 'ZTF' in line]
    found = subtract_baseline(measured, quiet_epochs(measured, 59829.97))
    start = found.mjd - found.exposure_time / 2 / 86400
    worst = []
    for row in table:
        mjd, band, flux = float(row[1]), row[3], float(row[4])
        near = np.flatnonzero((np.abs(start - mjd) < 2e-5) & (found.band == f'ZTF_{band}'))
        worst.append(np.abs(found.flux[near] - flux).min() if len(near) else np.inf)
    assert len(table) == 82
    assert max(worst) < 0.01


@given(st.lists(st.tuples(st.floats(-500, 500), st.integers(0, 2)), min_size=1, max_size=60), st.randoms())
def test_the_order_of_the_points_does_not_matter(rows: list[Any], random: Any) -> None:
    counts, fields = (np.array(column) for column in zip(*rows, strict=True))
    measured = light_curve(counts, PEAK - 1000 + np.arange(len(rows)), field=fields)
    order = np.array(random.sample(range(len(rows)), len(rows)))
    found, again = recipe(measured, PEAK, least=5), recipe(measured.only(order), PEAK, least=5)
    assert again.flux == pytest.approx(found.flux[order], abs=1e-9)
    assert again.flux_error == pytest.approx(found.flux_error[order])
    assert again.exposure.tolist() == found.exposure[order].tolist()
