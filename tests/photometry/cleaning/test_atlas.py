"""Published cuts, the rolling clip and the stacks of a night."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy.stats import mad_std, sigma_clip
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.published import sample
from tom_forced_phot.cleaning import CUTS, Cut, Rule, plain, weighted
from tom_forced_phot.cleaning.stack import clip, rolling_clip
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.readers import read_atlas

QUALITY = {
    'duJy': 30, 'err': 0, 'x': 5000.0, 'y': 5000.0, 'maj': 2.5, 'min': 2.1,
    'apfit': -0.45, 'mag5sig': 19.3, 'Sky': 20.5, 'chi/N': 1.2,
}  # fmt: skip


def points(flux: Any, mjd: Any = None, error: Any = 10.0, band: Any = 'o', **columns: Any) -> Measurements:
    """Points of these fluxes, one a day where no times are given."""
    flux = np.array(flux, dtype=np.float64)
    number = len(flux)
    nothing = np.full(number, np.nan)
    return Measurements(
        mjd=60000.5 + np.arange(number) if mjd is None else np.array(mjd, dtype=np.float64),
        band=np.array([band] * number if isinstance(band, str) else band, dtype=np.str_),
        flux=flux,
        flux_error=np.full(number, error, dtype=np.float64) if np.isscalar(error) else np.array(error, dtype=np.float64),
        magnitude=nothing,
        magnitude_error=nothing,
        limit=nothing,
        exposure=np.array([f'e{n}' for n in range(number)], dtype=np.str_),
        exposure_time=np.full(number, 30.0),
        telescope='ATLAS',
        instrument=np.full(number, '01a'),
        columns={name: np.array(values) for name, values in columns.items()},
    )


def of_quality(**changed: Any) -> Measurements:
    return points([100.0], **{name: [changed.get(name.replace('/', '_'), value)] for name, value in QUALITY.items()})


@pytest.mark.parametrize(('name', 'passing'), [('job211831_ASASSN-21qj', 917), ('tom_base_test_atlas_fp_NGC1566', 32)])
def test_as_many_rows_as_published_pass_the_official_cut(name: str, passing: int) -> None:
    verdict = CUTS['atlas'](read_atlas(sample(f'atlas/{name}.txt')))
    assert np.count_nonzero(verdict.keep) == passing


@pytest.mark.parametrize(
    ('cut', 'column', 'good', 'bad'),
    [
        ('atlas', 'duJy', 9999, 10000),
        ('atlas', 'err', 0, 1),
        ('atlas', 'x', 100.01, 100),
        ('atlas', 'y', 10459.9, 10460),
        ('atlas', 'maj', 4.99, 5),
        ('atlas', 'min', 1.61, 1.6),
        ('atlas', 'apfit', -0.11, -0.1),
        ('atlas', 'mag5sig', 17.01, 17),
        ('atlas', 'Sky', 17.01, 17),
        ('plot_atlas_fp', 'duJy', 4000, 4001),
        ('plot_atlas_fp', 'chi/N', 100, 100.1),
        ('atclean', 'duJy', 160, 161),
        ('atclean', 'chi/N', 10, 10.1),
    ],
)
def test_the_bounds_of_each_rule(cut: str, column: str, good: float, bad: float) -> None:
    key = column.replace('/', '_')
    assert CUTS[cut](of_quality(**{key: good})).keep.tolist() == [True]
    verdict = CUTS[cut](of_quality(**{key: bad}))
    assert verdict.keep.tolist() == [False]
    assert column in verdict.reason(0)
    assert sum(verdict.counts().values()) == 1


def test_the_flags_of_atclean() -> None:
    both = of_quality(duJy=200, chi_N=20)
    assert CUTS['atclean'](both).flags.tolist() == [0x3]
    assert CUTS['atclean'](both).reason(0) == 'chi/N is not at most 10; duJy is not at most 160'


def test_a_frame_without_photometric_solution_is_told_from_a_shallow_one() -> None:
    assert 'mag5sig is not at least 10' not in CUTS['atlas'](of_quality(mag5sig=14.0)).reason(0)
    assert 'mag5sig is not at least 10' in CUTS['atlas'](of_quality(mag5sig=-2.67)).reason(0)


def test_stored_values_are_judged_like_those_of_a_file() -> None:
    stored = replace(of_quality(), columns={name: np.array([value], dtype=object) for name, value in QUALITY.items()})
    assert CUTS['atlas'](stored).keep.tolist() == [True]
    unknown = replace(stored, columns={**stored.columns, 'Sky': np.array([None], dtype=object)})
    assert CUTS['atlas'](unknown).reason(0) == 'Sky is not above 17'


def test_a_missing_column_is_named() -> None:
    lacking = points([1.0], duJy=[5])
    with pytest.raises(
        ValueError, match=r'^The cut of plot_atlas_fp needs the column chi/N, which these measurements do not have\.$'
    ):
        CUTS['plot_atlas_fp'](lacking)
    with pytest.raises(ValueError, match='The column duJy of these measurements does not hold numbers'):
        Cut('x', 'y', (Rule('duJy', 1, high=2),))(points([1.0], duJy=['many']))


def reference(flux: list[float]) -> list[bool]:
    """The rolling clip with astropy, window by window."""

    def marks(values: list[float]) -> list[bool]:
        return list(sigma_clip(values, sigma=3, maxiters=7, cenfunc='median', stdfunc=mad_std).mask)

    if len(flux) < 5:
        return [False] * len(flux)
    if len(flux) <= 11:
        return marks(flux)
    windows = [marks(flux[start : start + 11]) for start in range(len(flux) - 10)]
    return windows[0][:5] + [window[5] for window in windows] + windows[-1][6:]


fluxes = st.lists(st.integers(-50, 50).map(lambda value: float(value**3)), max_size=30)


@given(fluxes)
@example([1.0, 2.0, 1.0, 2.0, 1000.0])
@example([0.0] * 10 + [5.0])
@example([0.0, 0.0, 343.0, -343.0, -343.0, -1000.0])
def test_the_clip_is_that_of_plot_atlas_fp(flux: list[float]) -> None:
    assert rolling_clip(np.array(flux)).tolist() == reference(flux)


def test_an_outlier_is_clipped_in_its_own_band_only_whatever_the_order() -> None:
    flux = [*(100 + 3 * np.sin(np.arange(20))), 5000, *(5000 + 3 * np.cos(np.arange(20)))]
    measured = points(flux, mjd=[*range(21), *range(20)], band=['o'] * 21 + ['c'] * 20)
    assert np.flatnonzero(clip(measured)).tolist() == [20]
    mixed = np.random.default_rng(1).permutation(41)
    assert clip(measured.only(mixed)).tolist() == clip(measured)[mixed].tolist()


@given(fluxes, st.randoms())
def test_clipping_never_adds_and_does_not_depend_on_the_order(flux: list[float], random: Any) -> None:
    measured = points(flux)
    marked = clip(measured)
    assert len(measured.only(~marked)) + np.count_nonzero(marked) == len(measured)
    order = random.sample(range(len(flux)), len(flux))
    assert clip(measured.only(np.array(order, dtype=np.intp))).tolist() == marked[np.array(order, dtype=np.intp)].tolist()


def test_what_is_no_number_is_marked_and_does_not_spread() -> None:
    flux = [1.0, 2.0, np.nan, 1.5, 1.2, 1.7, 2.2, 1.1, 1.3, 1.9, 1.4, 1.6, 1.8]
    assert np.flatnonzero(rolling_clip(np.array(flux))).tolist() == [2]


@pytest.mark.parametrize('window', [4, 10, 3])
def test_a_window_is_odd(window: int) -> None:
    with pytest.raises(ValueError, match='odd number of points'):
        rolling_clip(np.zeros(20), window=window)


def test_the_plain_stack() -> None:
    measured = points([10, 20, 40, 7], mjd=[60000.1, 60000.3, 60000.2, 60001.5], error=[3, 4, 12, 5], band=['o', 'o', 'o', 'c'])
    found = plain(measured)
    assert (found.band.tolist(), found.columns['n'].tolist()) == (['o', 'c'], [3, 1])
    assert found.flux.tolist() == pytest.approx([70 / 3, 7])
    assert found.mjd.tolist() == pytest.approx([60000.2, 60001.5])
    assert found.flux_error.tolist() == pytest.approx([13 / 3, 5])
    assert found.exposure.tolist() == ['stack o 60000', 'stack c 60001']
    assert found.exposure_time.tolist() == [90, 30]
    assert found.magnitude[0] == pytest.approx(23.9 - 2.5 * np.log10(70 / 3))
    assert found.limit[1] == pytest.approx(23.9 - 2.5 * np.log10(15))
    assert measured.flux.tolist() == [10, 20, 40, 7]


def test_bins_of_another_length() -> None:
    assert len(plain(points([1, 2, 3, 4]), days=10)) == 1
    assert len(plain(points([1, 2, 3, 4], mjd=[0.1, 0.2, 0.3, 0.4]), days=0.25)) == 2
    with pytest.raises(ValueError, match='has to be longer than nothing'):
        plain(points([1]), days=0)


def test_the_weighted_stack_by_hand() -> None:
    found = weighted(points([10, 20], mjd=[60000.1, 60000.2], error=[3, 6]))
    assert found.flux[0] == pytest.approx((10 / 9 + 20 / 36) / (1 / 9 + 1 / 36))
    assert found.flux_error[0] == pytest.approx((1 / 9 + 1 / 36) ** -0.5)
    assert found.mjd[0] == pytest.approx(60000.12)
    assert found.columns['x2'][0] == pytest.approx(((10 - 12) / 3) ** 2 + ((20 - 12) / 6) ** 2)
    assert found.columns['flags'].tolist() == [0x2000]


def test_the_weighted_stack_clips_an_outlier() -> None:
    found = weighted(points([100, 104, 98, 1000], mjd=[60000.1] * 4))
    assert (found.columns['n'].tolist(), found.columns['clipped'].tolist(), found.columns['flags'].tolist()) == ([3], [1], [0])
    assert found.flux[0] == pytest.approx(302 / 3)


def test_a_bad_day_is_flagged_and_one_without_agreement_counted() -> None:
    scattered = weighted(points([100, 104, 900, 1000], mjd=[60000.1] * 4, error=[200, 10, 10, 10]))
    assert scattered.columns['flags'].tolist() == [0x800000]
    apart = weighted(points([0, 1000], mjd=[60000.1] * 2))
    assert len(apart) == 0
    assert dict(apart.rejected.counts) == {'the measurements of a bin do not agree': 1}


def test_points_of_one_flux_keep_their_error() -> None:
    assert weighted(points([5, 5, 5, 5], mjd=[60000.1] * 4)).flux_error.tolist() == [5]


def test_points_without_a_flux_are_left_out_and_counted() -> None:
    for stack in (plain, weighted):
        found = stack(points([5, np.nan, 5], mjd=[60000.1] * 3, error=[1, 1, np.nan]))
        assert found.columns['n'].tolist() == [1]
        assert dict(found.rejected.counts) == {'the point has no flux': 2}
        assert len(stack(points([]))) == 0


nights = st.lists(
    st.tuples(st.floats(60000, 60004), st.floats(-1e6, 1e6), st.floats(0.1, 1e4), st.sampled_from('co')), min_size=1, max_size=25
)


@given(nights, st.sampled_from([plain, weighted]), st.randoms())
def test_a_mean_lies_among_its_points_and_does_not_depend_on_their_order(rows: list[Any], stack: Any, random: Any) -> None:
    mjd, flux, error, band = (list(column) for column in zip(*rows, strict=True))
    measured = points(flux, mjd, error, band)
    found = stack(measured)
    for row in range(len(found)):
        _, name, night = found.exposure[row].split()
        members = (np.floor(measured.mjd) == int(night)) & (measured.band == name)
        for mean, values in ((found.flux[row], measured.flux[members]), (found.mjd[row], measured.mjd[members])):
            assert values.min() - 1e-6 <= mean <= values.max() + 1e-6
        assert found.flux_error[row] <= measured.flux_error[members].max() * (1 + 1e-12)
    order = np.array(random.sample(range(len(rows)), len(rows)))
    again = stack(measured.only(order))
    for name in ('mjd', 'flux', 'flux_error', 'magnitude', 'limit'):
        assert np.array_equal(getattr(again, name), getattr(found, name), equal_nan=True)


def test_clipping_takes_time_linear_in_the_points_however_many_series_there_are() -> None:
    many = points([1.0] * 50_000)
    began = time.process_time()
    assert not clip(replace(many, band=np.arange(len(many)))).any()
    assert time.process_time() - began < 10
