"""What is observed, in words: from payloads, from the forms of the toolkit's facilities, and from forms that nobody knows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tom_cadence.core.exposure import LONGEST, SENT_WORDS, before_sending, in_words, what_is_observed, what_was_sent

IMAGER = '1M0-SCICAM-SINISTRO'


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        (
            {'c_1_instrument_type': IMAGER, 'c_1_ic_1_filter': 'rp', 'c_1_ic_1_exposure_time': 30, 'c_1_ic_1_exposure_count': 2},
            f'{IMAGER}: rp 2 x 30 s',
        ),
        (
            {
                'c_1_instrument_type': IMAGER,
                'c_1_ic_1_filter': 'rp',
                'c_1_ic_1_exposure_time': '30',
                'c_1_ic_2_filter': 'gp',
                'c_1_ic_2_exposure_time': 60.0,
                'c_2_instrument_type': '2M0-FLOYDS-SCICAM',
                'c_2_ic_1_slit': 'slit_1.6as',
                'c_2_ic_1_exposure_time': 900,
                'c_3_ic_1_exposure_time': '',
            },
            f'{IMAGER}: rp 30 s, gp 60 s; 2M0-FLOYDS-SCICAM: slit_1.6as 900 s',
        ),
        (
            {'c_1_instrument_type': '2M0-SCICAM-MUSCAT', 'c_1_ic_1_exposure_time_g': 30, 'c_1_ic_1_exposure_time_r': 20},
            '2M0-SCICAM-MUSCAT: g 30 s, r 20 s',
        ),
        ({'instrument_type': IMAGER, 'gp': [60, 1, 1], 'rp': [30.0, 2, 1]}, f'{IMAGER}: gp 60 s, rp 2 x 30 s'),
        ({'filter': 'r', 'exposure_time': 60.0, 'exposure_count': 1, 'name': 'SN'}, 'r 60 s'),
        ({'bricks': 7, 'mortar': 'lime', 'target_id': 3, 'start': 'x'}, 'bricks 7, mortar lime'),
        ({'exposure_time': 60, SENT_WORDS: 'what was sent'}, 'what was sent'),
        ({}, ''),
        (None, ''),
    ],
)
def test_parameters_are_told_in_words(parameters: Any, words: str) -> None:
    assert what_is_observed(parameters) == words


def test_a_payload_counts_what_a_dither_repeats() -> None:
    part = {'exposure_time': 30, 'exposure_count': 1, 'optical_elements': {'filter': 'rp'}}
    payload = {'requests': [{'configurations': [{'instrument_type': IMAGER, 'instrument_configs': [part] * 5}]}]}
    assert what_was_sent(payload) == f'{IMAGER}: rp 5 x 30 s'
    part['extra_params'] = {'exposure_time_g': 10, 'exposure_time_r': 20}  # type: ignore[assignment]
    assert what_was_sent(payload) == f'{IMAGER}: g 5 x 10 s, r 5 x 20 s'


@given(st.recursive(st.none() | st.floats() | st.text(max_size=9), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_nonsense_is_no_error_and_short(payload: Any) -> None:
    assert len(what_is_observed(payload)) <= LONGEST + 1
    assert isinstance(what_was_sent(payload), str)
    assert what_was_sent({'requests': [payload]}) == '' or json.dumps(payload)


def test_what_was_sent_is_not_sent_again() -> None:
    assert before_sending({'filter': 'r', SENT_WORDS: 'x', 'exposure_seconds_sent': 3}) == {'filter': 'r'}


@pytest.mark.parametrize(('seconds', 'words'), [(90, '90 s'), (720, '12 min'), (12600, '3.5 h')])
def test_a_length_as_people_say_it(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
