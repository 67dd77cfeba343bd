"""How much exposure time stored parameters ask for."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tom_cadence.core.exposure import exposure_seconds


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
