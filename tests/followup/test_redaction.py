"""No key, token or password is kept or shown, however a text from outside writes it: through the doors of both apps."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tom_cadence.core import bounds
from tom_cadence.facilities.reply_text import short_line
from tom_followup.redaction import SECRET_NAME, redact
from tom_forced_phot.core import redaction as photometry

DOORS: dict[str, Callable[[str], str]] = {
    'a facility': short_line,
    'rows, forms and strategies': bounds.bounded_text,
    'a photometry service': photometry.clean,
    'both': redact,
}
NAMES = [
    'token',
    'api_key',
    'apikey',
    'API-KEY',
    'X-Api-Key',
    'access_token',
    'AccessToken',
    'password',
    'Passwd',
    'pass_phrase',
    'pwd',
    'secret',
    'client_secret',
    'auth_token',
    'authorization',
    'session_id',
    'sessionid',
    'csrftoken',
    'private_key',
    'userpass',
    'signature',
    'credential',
]
SHAPES = (
    '{name}={key}',
    '?{name}={key}&limit=3',
    'https://portal.example/x?limit=3&{name}={quoted}',
    '{name}%3D{quoted}',
    'next=%2Fapi%3F{name}%3D{quoted}%26x',
    '{name}: {key}',
    '{name} => {key}',
    '{name} = "{key}"',
    '"{name}": "{key}"',
    "'{name}': '{key}'",
    '{{"a": 1, "{name}": "{key}"}}',
    '{{\\"{name}\\": \\"{key}\\"}}',
    "('{name}', '{key}')",
    '["{name}", "{key}"]',
    "b'{name}={key}'",
    'b\'{{"{name}":"{key}"}}\'',
    '<{name}>{key}</{name}>',
)
HEADERS = (
    'Authorization: Token {key}',
    'AUTHORIZATION: BEARER {key}',
    "{{'Authorization': 'Token {key}'}}",
    "{{'Authorization': b'Token {key}'}}",
    "('Authorization', 'Basic {key}')",
    'Cookie: sessionid={key}; csrftoken={key}',
    'Set-Cookie: sessionid={key}; Path=/',
    'https://vera:{quoted}@portal.example/api',
    'postgres://tom:{quoted}@database/tom',
    'https%3A%2F%2Fvera%3A{quoted}%40portal.example%2Fapi',
    'key={key}',
    '{{"key": "{key}"}}',
    'the password is {key}',
    'Bearer {key}',
)
KEY = st.text('abcdefghijkmnopqrstuvwxyzABCDEFGH0123456789_-', min_size=8, max_size=60).filter(
    lambda key: any(c.isdigit() for c in key) and any(c.isalpha() for c in key)
)
AROUND = st.sampled_from([('', ''), ('It failed: ', ' (try later)'), ('HTTP 401 for ', '\n\nTraceback'), ('<p>', '</p>')])


@pytest.mark.parametrize('door', DOORS)
@given(st.sampled_from(SHAPES + HEADERS), st.sampled_from(NAMES), KEY, AROUND, st.sampled_from([str, str.upper]))
def test_no_secret_comes_through(
    door: str, shape: str, name: str, key: str, around: tuple[str, str], written: Callable[[str], str]
) -> None:
    text = shape.format(name=written(name), key=key, quoted=quote(key, safe=''))
    told = DOORS[door](f'{around[0]}{text}{around[1]}')
    assert key not in told
    assert quote(key, safe='') not in told


@pytest.mark.parametrize(
    'text',
    [
        'ATLAS refused it (400): mpc_name: Invalid.',
        'The key point: no data.',
        'Token is missing.',
        'The token is not valid.',
        'filter: r, exposure time: 60 s',
        'Too faint for this telescope at 2026-11-21 08:00 UTC.',
        'Proposal 2026A-012 is over; ask for a new one by e-mail.',
    ],
)
@pytest.mark.parametrize('door', DOORS)
def test_plain_words_are_told_as_they_are(door: str, text: str) -> None:
    assert DOORS[door](text) == text


@pytest.mark.parametrize('name', [*NAMES, 'key', 'X-Auth-Token', 'Cookie'])
def test_a_field_of_that_name_is_known_for_a_secret(name: str) -> None:
    assert SECRET_NAME.search(name)


@pytest.mark.parametrize('name', ['filter', 'keyword', 'passband', 'author', 'significance', 'monkey'])
def test_other_fields_are_not(name: str) -> None:
    assert not SECRET_NAME.search(name)


@pytest.mark.parametrize(
    'piece',
    [
        'token',
        'token=',
        'key ',
        "'",
        '"token": "',
        '://',
        '%3a%2f%2f',
        '<token>',
        'a',
        ' is ',
        '/?',
        '%40',
        '\\"',
    ],
)
def test_any_text_is_looked_through_in_a_time_that_grows_with_its_length(piece: str) -> None:
    began = time.thread_time()
    redact(piece * (20_000 // len(piece)))
    assert time.thread_time() - began < 2
