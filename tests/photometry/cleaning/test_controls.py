"""Control light curves: where they lie, what they say of an exposure, and how large errors are."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from tests.photometry.cleaning.test_atlas import points
from tom_forced_phot.cleaning import CUTS
from tom_forced_phot.cleaning.controls import COLUMNS, clipped_deviation, extra_noise, positions, with_controls
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.readers import read_atlas
from tom_forced_phot.readers.atlas import pack, read_controls
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

HEADER = '###MJD m dm uJy duJy F err chi/N RA Dec x y maj min phi apfit mag5sig Sky Obs'


def curve(flux: Any, error: float = 20.0, chi: Any = 1.0, **given: Any) -> Measurements:
    """A light curve of exposures e0, e1, ..."""
    number = len(flux)
    columns = {'duJy': np.full(number, error), 'chi/N': np.broadcast_to(np.asarray(chi, dtype=np.float64), (number,)).copy()}
    return points(flux, error=error, **{name: column.tolist() for name, column in columns.items()}, **given)


def eight(*levels: Any) -> list[Measurements]:
    """Eight controls of as many exposures as levels, each with these fluxes."""
    return [curve([level if np.isscalar(level) else level[number] for level in levels]) for number in range(8)]


SCATTER = [-30.0, -20.0, -10.0, -5.0, 5.0, 10.0, 20.0, 30.0]


@given(st.floats(0, 360), st.floats(-85, 85))
def test_eight_positions_are_on_a_circle_of_17_arcsec(ra: float, dec: float) -> None:
    found = positions(ra, dec)
    there = SkyCoord([place[0] for place in found], [place[1] for place in found], unit=units.deg)
    distances = there.separation(SkyCoord(ra, dec, unit=units.deg)).arcsec
    assert len(found) == 8
    assert distances == pytest.approx(np.full(8, 17.0), abs=0.02)
    assert all(0 <= place[0] < 360 for place in found)


def test_controls_without_the_columns_of_the_cut_say_nothing() -> None:
    whole = eight(SCATTER)
    text = np.full(len(whole[0]), 'good')
    lacking = [replace(each, columns={'duJy': each.columns['duJy']}) for each in whole]
    worded = [replace(each, columns={**each.columns, 'chi/N': text}) for each in whole]
    for odd in (lacking, worded):
        assert np.isnan(with_controls(curve([500.0]), odd).columns['c2_flags']).all()


def test_a_file_with_a_band_a_row_costs_no_look_at_all_of_it_for_each() -> None:
    many = curve([500.0] * 20_000)
    many = replace(many, band=np.array([f'f{row}' for row in range(len(many))]))
    assert np.isnan(with_controls(many, [many] * 8).columns['c2_flags']).all()


def test_quiet_controls_flag_nothing_and_bad_ones_the_exposure() -> None:
    bright = [level + 200 for level in SCATTER]
    wild = [-400.0, 400.0, -300.0, 300.0, -200.0, 200.0, 10.0, -10.0]
    one_off = [*SCATTER[:7], 300.0]
    quiet = [SCATTER] * 40  # so that the scatter of the controls is that of their errors
    columns = with_controls(curve([500.0] * 44), eight(SCATTER, bright, wild, one_off, *quiet)).columns
    found = {name: columns[name][:4] for name in COLUMNS}
    assert found['c2_flags'].astype(int).tolist()[:2] == [0, 0x400000 | 0x200]
    assert int(found['c2_flags'][2]) & 0x400  # more than two clipped
    assert int(found['c2_flags'][2]) & 0x400000
    assert int(found['c2_flags'][3]) == 0x80000  # one clipped: questionable, not bad
    assert found['c2_Ngood'].tolist()[0] == 8
    assert found['c2_mean'][1] == pytest.approx(200)
    assert found['c2_mean_err'][1] == pytest.approx(20 / np.sqrt(8))
    assert found['c2_X2norm'][0] == pytest.approx(sum(level**2 for level in SCATTER) / 400 / 7)


def test_a_negative_mean_has_no_flag_of_its_own_as_in_the_public_program() -> None:
    found = with_controls(curve([500.0]), eight([level - 200 for level in SCATTER])).columns
    assert found['c2_flags'].tolist() == [0]


def test_too_few_good_controls_are_no_proof() -> None:
    found = with_controls(curve([500.0]), eight(SCATTER)[:3]).columns
    assert int(found['c2_flags'][0]) == 0x400000 | 0x800
    poor = [curve([5.0], chi=11.0) for _ in range(8)]  # fail the static cut
    assert int(with_controls(curve([500.0]), poor).columns['c2_flags'][0]) == 0x400000 | 0x800


def test_measurements_of_other_exposures_and_bands_say_nothing() -> None:
    elsewhere = [curve([900.0], band='c') for _ in range(8)]
    assert np.isnan(with_controls(curve([500.0]), elsewhere).columns['c2_flags']).all()
    later = [control.only(np.array([1])) for control in eight(SCATTER, [level + 900 for level in SCATTER])]
    found = with_controls(curve([500.0]), later).columns
    assert found['c2_Ngood'].tolist() == [0]


def test_errors_grow_by_the_scatter_of_the_controls_beyond_their_errors() -> None:
    random = np.random.default_rng(7)
    wide = [curve(random.normal(0, 50, 400), error=30.0) for _ in range(8)]
    assert extra_noise(wide) == pytest.approx(40, rel=0.1)
    found = with_controls(curve([500.0] * 400, error=30.0), wide).columns
    assert found['duJy_new'][0] == pytest.approx(50, rel=0.07)
    honest = [curve(random.normal(0, 30, 400), error=30.0) for _ in range(8)]
    assert extra_noise(honest) == 0


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=40))
def test_the_clipped_deviation_by_hand(values: list[float]) -> None:
    """Step by step as the public program: about the median and without bias first, about the mean then."""
    data = np.array(values)
    used = np.ones(len(data), dtype=bool)
    from scipy.special import gammaln

    number = len(data)
    c4 = np.sqrt(2 / (number - 1)) * np.exp(gammaln(number / 2) - gammaln((number - 1) / 2))
    centre, deviation = np.median(data), np.sqrt(np.sum((data - np.median(data)) ** 2) / (number - 1)) / c4
    for _ in range(9):
        if deviation == 0:
            break
        now = np.abs(data - centre) <= 3 * deviation
        done, used = (now == used).all(), now
        if used.sum() < 2:
            deviation = np.nan
            break
        centre, deviation = np.mean(data[used]), np.std(data[used], ddof=1)
        if done:
            break
    assert clipped_deviation(data) == pytest.approx(deviation, rel=1e-3, nan_ok=True)


def row(number: int, flux: float, error: float = 20.0) -> str:
    return (
        f'{60000 + number:.6f} 17.000 0.100 {flux:.0f} {error:.0f} o 0 1.02 123.84 -38.98 1666.50 4612.12 2.32 2.21 -22.2 '
        f'-0.420 18.66 20.50 02a{60000 + number}o0100c'
    )


def file(*fluxes: float) -> bytes:
    return '\n'.join([HEADER, *(row(number, flux) for number, flux in enumerate(fluxes)), '']).encode()


def test_a_file_with_controls_is_read_as_before_and_tells_more() -> None:
    target, controls = file(500, 510), [file(level, level + 200) for level in SCATTER]
    whole = pack(target, controls)
    assert whole.startswith(target.rstrip(b'\n'))
    plain, told = read_atlas(whole), AtlasForcedPhotometryService({}).read(whole)
    assert plain.flux.tolist() == read_atlas(target).flux.tolist() == told.flux.tolist() == [500, 510]
    assert plain.rejected.counts == {}
    assert len(read_controls(whole)) == 8
    assert read_controls(target) == []
    assert told.columns['c2_flags'].astype(int).tolist() == [0, 0x400200]
    assert set(COLUMNS) <= set(told.columns)
    assert not set(COLUMNS) & set(AtlasForcedPhotometryService({}).read(target).columns)
    assert CUTS['atclean_controls'](told).keep.tolist() == [True, False]
    assert 'control light curves are bad' in CUTS['atclean_controls'](told).reason(1)


@given(st.binary(max_size=300))
def test_whatever_stands_behind_the_mark_it_is_read_or_refused(body: bytes) -> None:
    with suppress(BadFile):
        read_controls(b'#c1 ' + body)
