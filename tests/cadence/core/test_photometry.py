"""Photometry as columns: sorted, cut by time, band and quality; and out of rows of any unit."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.samples import HOUR, NOON, cadence, history
from tom_cadence.core.history import History
from tom_cadence.core.photometry import EMPTY, Photometry
from tom_cadence.core.policy import ask_strategy
from tom_cadence.engine.context import columns
from tom_cadence.strategies import BrightnessStrategy, DeclineFollowingStrategy, FillGapsStrategy, PhaseCoverageStrategy
from tom_followup.units import instant_of, mjd_of

SEEN = Photometry.of(
    [3.0, 1.0, 2.0, np.nan], ['r', 'g', 'r', 'i'], [17.0, None, 16.0, 15.0], [0.1, None, 0.3, 0.1], [None, 19.5, None, None]
)  # fmt: skip


def test_mjd_is_that_of_the_standard() -> None:
    assert mjd_of(datetime(2000, 1, 1, 12, tzinfo=timezone.utc)) == 51544.5
    assert instant_of(51544.5) == datetime(2000, 1, 1, 12, tzinfo=timezone.utc)
    assert abs(instant_of(mjd_of(NOON + HOUR / 7)) - (NOON + HOUR / 7)) < timedelta(milliseconds=1)


def test_points_are_sorted_and_those_without_a_time_left_out() -> None:
    assert SEEN.time.tolist() == [1, 2, 3]
    assert SEEN.band.tolist() == ['g', 'r', 'r']
    assert SEEN.limit.tolist()[0] == 19.5
    assert np.isnan(SEEN.magnitude[0])
    assert SEEN.source.tolist() == ['', '', '']


def test_they_are_cut_by_time_band_and_quality() -> None:
    assert SEEN.until(instant_of(2.0)).time.tolist() == [1, 2]
    assert SEEN.since(instant_of(2.0)).time.tolist() == [2, 3]
    assert SEEN.in_bands(['r']).time.tolist() == [2, 3]
    assert SEEN.in_bands([]) is SEEN
    assert SEEN.detections().time.tolist() == [2, 3]
    assert SEEN.detections(5).time.tolist() == [3]  # 1.0857 / 0.3 = 3.6


def test_a_point_without_an_error_has_no_ratio_to_be_judged_by() -> None:
    bare = Photometry.of([1.0], 'r', [17.0])
    assert len(bare.detections()) == 1
    assert len(bare.detections(1)) == 0


def test_equal_columns_are_equal_and_histories_compare() -> None:
    assert Photometry.of([1.0], 'r', [None]) == Photometry.of([1.0], 'r', [None])
    assert Photometry.of([1.0], 'r', [17.0]) != Photometry.of([1.0], 'r', [18.0])
    assert History() == History(photometry=Photometry())
    assert History().photometry is EMPTY
    assert SEEN != 'r'


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match='different length'):
        Photometry(time=np.array([1.0]))


def test_magnitudes_janskys_and_limits_become_one_kind_of_column() -> None:
    found = columns(
        [
            (NOON, 'o', 17.5, 0.1, None, 'AB mag', 'ATLAS', '', '363.1'),
            (NOON + HOUR, 'r', None, None, 20.1, '', '', 'LCO 1m', None),
            (NOON + 2 * HOUR, 'g', 3631.0, 36.31, None, 'Jy', 'X', '', None),
            (NOON + 3 * HOUR, 'g', 100.0, 10.0, None, 'uJy', 'X', '', 'many'),
            (NOON + 4 * HOUR, 'g', -5.0, 1.0, None, 'mJy', 'X', '', None),
        ]
    )
    assert found.magnitude[[0, 2, 3]] == pytest.approx([17.5, 0.0, 18.9], abs=1e-3)
    assert np.isnan(found.magnitude[[1, 4]]).all()
    assert found.error[[0, 2, 3]] == pytest.approx([0.1, 0.010857, 0.10857], abs=1e-5)
    assert found.limit[1] == 20.1
    assert found.flux.tolist()[0] == 363.1
    assert found.flux[[2, 3, 4]] == pytest.approx([3.631e9, 100.0, -5000.0])
    assert found.source.tolist()[:2] == ['ATLAS', 'LCO 1m']


def row(magnitude: float | None, limit: float | None = None, unit: str = '', error: float | None = 0.1) -> tuple[Any, ...]:
    return (NOON, 'r', magnitude, error, limit, unit, 'X', '', None)


@pytest.mark.parametrize('limit', [99.99, 99.0, 999.0, -99.0, 1e308, 40.0, 32.5])
def test_a_limit_that_no_telescope_measures_is_left_out_and_named(limit: float) -> None:
    found = columns([row(None, limit), row(18.0)])
    assert found.magnitude.tolist() == [18.0]
    assert found.left_out == f'1 point is left out, because no telescope measures that: limit {limit:g} (1).'


def test_a_magnitude_in_an_unknown_unit_is_none_and_is_named() -> None:
    found = columns([row(18.0, unit='counts'), row(17.0, unit='counts'), row(99.99), row(18.5, unit='Mag'), row(18.6, unit='vega')])
    assert found.magnitude.tolist() == [18.5, 18.6]
    assert found.left_out == "3 points are left out, because no telescope measures that: unit 'counts' (2), magnitude 99.99 (1)."
    assert found.until(NOON).left_out == found.left_out


def test_99_in_the_place_of_a_magnitude_beside_a_real_limit_is_that_limit() -> None:
    found = columns([row(99.99, 20.5)])
    assert np.isnan(found.magnitude[0])
    assert (found.limit.tolist(), found.left_out) == ([20.5], '')


def test_an_error_that_is_none_makes_no_detection() -> None:
    found = columns([row(18.0, error=99.99), row(18.0, error=-1.0), row(18.0, error=0.0), row(18.0, error=0.1)])
    assert len(found.detections(5)) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 18.0, 99.99, -99.0, 0.0, 1e308, -1e308, float('inf')]),
            st.sampled_from([None, 20.5, 99.99, 1e308, float('-inf')]),
            st.sampled_from(['', 'mag', 'AB', 'uJy', 'Jy', 'counts', 'adu', 'W/m2', 'ü']),
            st.sampled_from([None, 0.1, 0.0, 99.99, -1.0]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_the_points_say_only_what_can_be_measured_is_read(points: Any) -> None:
    found = columns([row(*point) for point in points])
    for column in (found.magnitude, found.limit):
        assert ((column > -27) & (column < 32) | np.isnan(column)).all()
    assert len(found) <= len(points)


@pytest.mark.parametrize('strategy', [BrightnessStrategy, DeclineFollowingStrategy, FillGapsStrategy, PhaseCoverageStrategy])
def test_no_strategy_decides_on_a_limit_of_99_and_each_names_it(strategy: Any) -> None:
    own = {
        'bright_magnitude': 19,
        'bright_stop': 21,
        'phase_epoch': 60000,
        'phase_period': 1.0,
        'phase_counted': 'photometry',
        'cadence_frequency': 24,
    }
    without = history('succeeded', photometry=columns([row(18.0)]))
    with_it = history('succeeded', photometry=columns([row(18.0), (NOON + HOUR, *row(None, 99.99)[1:])]))
    later = NOON + 2 * HOUR
    plain, named = (ask_strategy(strategy(cadence(**own)), past, later) for past in (without, with_it))
    assert type(plain) is type(named)
    assert named.reason == f'{plain.reason} {with_it.photometry.left_out}'
