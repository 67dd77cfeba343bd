"""How much exposure time stored parameters ask for."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tom_cadence.core.exposure import before_sending, exposure_of_payload, exposure_seconds


@pytest.mark.parametrize(
    ('parameters', 'seconds'),
    [
        ({'exposure_time': 60.0, 'exposure_count': 2}, 120),
        ({'exposure_time': '60', 'exposure_count': '3'}, 180),
        ({'exposure_time': 60}, 60),
        ({'exposure_time': 60, 'exposure_count': ''}, 60),
        ({'exposure_time': 60, 'exposure_count': 0}, 0),
        ({'c_1_ic_1_exposure_time': 30, 'c_1_ic_1_exposure_count': 2}, 60),
        (
            {
                'c_1_ic_1_exposure_time': 30,
                'c_1_ic_1_exposure_count': 2,
                'c_1_ic_2_exposure_time': 10,
                'c_2_ic_1_exposure_time': 5,
                'c_2_ic_1_exposure_count': 4,
                'c_3_ic_1_exposure_time': '',
            },
            90,
        ),
        ({'c_1_ic_1_exposure_time': 30, 'configuration_repeats': 3}, 90),
        (  # a five-point dither of one configuration, twice
            {
                'c_1_ic_1_exposure_time': 300,
                'c_1_ic_1_exposure_count': 1,
                'dither_pattern': 'line',
                'dither_num_points': 5,
                'dither_point_spacing': 2.0,
                'configuration_repeats': 2,
            },
            3000,
        ),
        ({'c_1_ic_1_exposure_time': 10, 'dither_pattern': 'line', 'dither_num_points': 5, 'dither_point_spacing': ''}, 10),
        ({'c_1_ic_1_exposure_time': 10, 'mosaic_pattern': 'grid', 'mosaic_num_rows': 2, 'mosaic_num_columns': '3'}, 60),
        (
            {'c_1_ic_1_exposure_time': 10, 'c_2_ic_1_exposure_time': 20, 'mosaic_pattern': 'line', 'mosaic_num_points': 4},
            30,
        ),
        ({'c_1_ic_1_exposure_time': 30, 'c_1_ic_1_exposure_count': 2, 'c_1_repeat_duration': 3600}, 3600),
        (
            {f'c_1_ic_1_exposure_time_{band}': time for band, time in zip('griz', (30, 60, 20, 10), strict=True)}
            | {'c_1_ic_1_exposure_count': 3},
            180,
        ),
        ({'exposure_time': 60, 'exposure_seconds_sent': 1500.0}, 1500),
        ({'U': [30, 2, 1], 'B': [None, None, None], 'V': ['20', '1', '1']}, 80),
        ({'exposure_time': '60', 'filters': ['r', 'g', 'i']}, 60),
    ],
)
def test_time_times_count_over_everything(parameters: dict[str, Any], seconds: float) -> None:
    assert exposure_seconds(parameters) == seconds


@pytest.mark.parametrize(
    'parameters',
    [
        {},
        {'name': 'SN'},
        {'exposure_time': None},
        {'exposure_time': 'long'},
        {'exposure_time': math.nan},
        {'exposure_time': math.inf},
        {'exposure_time': -5},
        {'exposure_time': 60, 'exposure_count': 'few'},
    ],
)
def test_what_cannot_be_read_is_unknown_not_nought(parameters: dict[str, Any]) -> None:
    assert exposure_seconds(parameters) is None


def test_what_was_sent_is_counted_with_its_patterns_expanded() -> None:
    part = {'exposure_time': 300.0, 'exposure_count': 1}
    one = {'configurations': [{'instrument_configs': [part] * 5}], 'configuration_repeats': 2}
    assert exposure_of_payload({'requests': [one]}) == 3000
    assert exposure_of_payload({'requests': [one, one]}) == 3000
    sequence = {'configurations': [{'instrument_configs': [part], 'repeat_duration': 7200}] * 2}
    assert exposure_of_payload({'requests': [sequence]}) == 14400


@pytest.mark.parametrize('payload', [None, {}, [], {'requests': []}, {'requests': [{}]}, {'params': {'exposure_time': 3}}, 'x'])
def test_a_payload_of_another_kind_says_nothing(payload: Any) -> None:
    assert exposure_of_payload(payload) is None


def test_the_next_observation_is_not_counted_by_what_the_one_before_took() -> None:
    assert exposure_seconds(before_sending({'exposure_time': 60, 'exposure_seconds_sent': 1500.0})) == 60
