"""Texts from outside: the portal's own words, one short line, and never a secret."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tom_cadence.facilities.ocs import field_at
from tom_cadence.facilities.reply_text import LONGEST, short_line, without_markup

KEY = st.text('abcdefghijkmnopqrstuvwxyzABCDEFGH0123456789_-+/=', min_size=8, max_size=60).filter(
    lambda key: any(c.isdigit() for c in key)
)
NAMES = 'token api_key apikey API-KEY X-Api-Key access_token auth_token client_secret password Passwd sessionid'
NAME = st.sampled_from(NAMES.split())
AROUND = st.sampled_from(['', 'HTTP 401 for ', 'b\'{"detail": "no"}\' ', 'Max retries exceeded with url: ', '(', '<p>'])
SHAPE = st.sampled_from(
    [
        'https://portal.example/api/?{name}={quoted}&limit=3',
        '/api/requests/?limit=3&{name}={quoted}',
        'https://vera:{quoted}@portal.example/api/',
        'https://{quoted}@portal.example/api/',
        'https://portal.example/#/{name}={quoted}',
        'Authorization: Token {key}',
        'Authorization: Bearer {key}',
        'authorization={key}',
        "{{'Authorization': 'Basic {key}'}}",
        '{{"Authorization": "Token {key}"}}',
        "('Authorization', 'Token {key}')",
        'Cookie: a=b; csrftoken={key}',
        '{name}: {key}',
        '{name}={key}',
        '{name} = "{key} and more"',
        "{{'{name}': '{key}'}}",
        '{{"{name}": "{key}"}}',
        '{{"nested": [{{"{name}": "{key}"}}]}}',
        '[["{name}", "{key}"]]',
        'b\'{{"{name}": "{key}"}}\'',
        '{{\\"{name}\\": \\"{key}\\"}}',
        '{name}=>{key}',
    ]
)


@given(SHAPE, NAME, KEY, AROUND, st.sampled_from(['', ' failed', '\n\nTraceback', ')', ' ' * 500 + 'x']))
def test_no_key_is_told_however_it_is_written(shape: str, name: str, key: str, before: str, after: str) -> None:
    told = short_line(before + shape.format(name=name, key=key, quoted=quote(key, safe='')) + after)
    assert key not in told
    assert quote(key, safe='') not in told
    assert len(told) <= LONGEST


@pytest.mark.parametrize('said', ['[["token", "a1b2c3d4"]]', '["X-Api-Key", "a1b2c3d4"]', '{"detail": ["password", ["a1b2c3d4"]]}'])
def test_a_name_and_its_value_in_a_list_are_no_two_messages(said: str) -> None:
    assert 'a1b2c3d4' not in short_line(said)


def test_messages_about_a_token_are_told() -> None:
    assert short_line('["The token is not valid.", "Ask for another one."]') == 'The token is not valid.; Ask for another one.'


@given(KEY, st.sampled_from(['/api/{key}/requests', 'user {key} is unknown', '"{key}"', 'https://portal.example/{key}']))
def test_the_sites_own_keys_are_known_wherever_they_stand(key: str, shape: str) -> None:
    from django.test import override_settings

    for found in ({'LCO': {'api_key': key}}, {'GEM': {'api_key': {'GS': key, 'GN': ''}}}, {'X': {'auth': ['vera', key]}}):
        with override_settings(FACILITIES=found):
            assert key not in short_line(shape.format(key=key))
            assert quote(key, safe='') not in short_line(shape.format(key=quote(key, safe='')))


WORDS = [
    (
        'b\'{"detail":"Request was throttled. Wait 86 s."}\'',
        'Request was throttled. Wait 86 s.',
    ),
    ('OCS: b\'{"detail":"Invalid token."}\'', 'OCS: Invalid token.'),
    ('b\'["No visible requests within the windows."]\'', 'No visible requests within the windows.'),
    ('b\'{"errors":"No visible requests."}\'', 'No visible requests.'),
    ('b\'{"errors":["No visible requests."]}\'', 'No visible requests.'),
    ('b\'{"errors":{"requests":"No visible requests."}}\'', 'No visible requests.'),
    ('b\'{"requests":[{"windows":[{"end":["Too late."]}]}]}\'', 'end: Too late.'),
    ("b'<html><head><style>p {}</style></head><h1>Server Error (500)</h1></html>'", 'Server Error (500)'),
    ('b"it\'s full"', "it's full"),
    ('The window is [too] short {really}.', 'The window is [too] short {really}.'),
    ('The token is invalid.', 'The token is invalid.'),
    ('proposal LCO2026B-001 has limit=3&offset=2', 'proposal LCO2026B-001 has limit=3&offset=2'),
    ('HTTP 404 for https://portal.example/api/requests/7/', 'HTTP 404 for https://portal.example/api/requests/7/'),
]


@pytest.mark.parametrize(('text', 'words'), WORDS)
def test_what_a_server_says_is_told_in_its_words(text: str, words: str) -> None:
    assert short_line(text) == words


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from(['{}', 'OCS: {}', "b'{}'"]))
def test_whatever_json_comes_is_one_short_line(body: Any, shape: str) -> None:
    told = short_line(shape.format(json.dumps(body)))
    assert len(told) <= LONGEST
    assert '\n' not in told


@given(st.binary(max_size=300))
def test_whatever_bytes_come_are_one_short_line(body: bytes) -> None:
    assert len(short_line(body)) <= LONGEST
    without_markup(str(body))


@pytest.mark.parametrize('piece', ['token', '/', 'a', '://', '://a@', '<script', "b'\\", '{', '[', 'key=', 'b"', '<', 'eyJ', 'f'])
def test_a_long_text_of_any_kind_costs_no_time(piece: str) -> None:
    import time

    began = time.process_time()
    short_line(piece * 100_000)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ('place', 'field'),
    [
        (('requests', 0, 'configurations', 1, 'instrument_configs', 0, 'exposure_time'), 'c_2_ic_1_exposure_time'),
        (('requests', 0, 'configurations', 0, 'instrument_configs', 1, 'optical_elements', 'filter'), 'c_1_ic_2_filter'),
        (('requests', 0, 'configurations', 0, 'instrument_configs', 0, 'mode'), 'c_1_ic_1_readout_mode'),
        (('requests', 0, 'configurations', 1, 'guiding_config', 'mode'), 'c_2_guide_mode'),
        (('requests', 0, 'configurations', 0, 'constraints', 'max_airmass'), 'c_1_max_airmass'),
        (('requests', 0, 'windows', 0, 'end'), 'end'),
        (('proposal', 0), 'proposal'),
        (('requests', 0, 'configurations', 4, 'instrument_configs', 0, 'exposure_time'), None),
        (('requests', 0, 'non_field_errors', 0), None),
        ((), None),
    ],
)
def test_what_the_portal_says_of_a_part_of_the_request_is_about_a_field_of_the_form(place: Any, field: str | None) -> None:
    fields = {
        *('c_2_ic_1_exposure_time', 'c_1_ic_1_exposure_time', 'c_1_ic_2_filter', 'c_1_ic_1_readout_mode', 'c_2_guide_mode'),
        *('c_1_max_airmass', 'end', 'proposal', 'name'),
    }
    assert field_at(place, fields) == field
