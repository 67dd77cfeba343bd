"""Texts from outside: no secret that a word before it betrays, short, and as every database can hold them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tom_forced_phot.core.redaction import LONGEST, clean, plain

SECRET = 'a1b2c3d4e5f6a7b8c9d0'


@pytest.mark.parametrize(
    'text',
    [
        f'404 Client Error for url: https://portal.example/api?token={SECRET}&x=1',
        f'https://portal.example/api?x=1&api_key={SECRET}',
        f'https://portal.example/api?apikey={SECRET} failed',
        f'https://x/cgi?email=a@b.c&userpass={SECRET}',
        f'https://vera:{SECRET}@portal.example/api',
        f'Authorization: Token {SECRET}',
        f"{{'Authorization': 'Bearer {SECRET}'}}",
        f'{{"authorization": "Basic {SECRET}"}}',
        f'header was Token {SECRET}',
        f'{{"password": "{SECRET}"}}',
        f'?auth_token={SECRET}',
        f'AUTHORIZATION={SECRET}',
    ],
)
def test_a_secret_after_a_word_that_names_it_is_not_shown(text: str) -> None:
    assert SECRET not in clean(text)


@pytest.mark.parametrize('text', ['ATLAS refused it (400): mpc_name: Invalid.', 'The key point: no data.', 'Token is missing.'])
def test_plain_words_stay(text: str) -> None:
    assert clean(text) == text


@given(st.text(max_size=3000))
def test_any_text_can_be_kept(text: str) -> None:
    kept = clean(text)
    assert len(kept) <= LONGEST
    assert '\0' not in kept
    kept.encode()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=30,
)


@given(VALUES)
def test_anything_that_a_service_says_becomes_json_that_any_database_takes(value: Any) -> None:
    text = json.dumps(plain(value), allow_nan=False)
    assert '\\u0000' not in text
    assert json.loads(text) == plain(value)


@pytest.mark.parametrize(
    'text', ['token=' * 400_000, 'authorization:' * 200_000, '"password":"' * 200_000, 'http://' + 'a' * 2_000_000]
)
def test_a_long_text_costs_no_time(text: str) -> None:
    began = time.monotonic()
    clean(text)
    assert time.monotonic() - began < 2
