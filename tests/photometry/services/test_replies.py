"""Which error a reply is, and one readable sentence out of any error body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.published import sample
from tom_forced_phot.exceptions import (
    Credentials,
    ForcedPhotometryError,
    Refused,
    Temporary,
    Throttled,
    Uncertain,
    UnexpectedReply,
)
from tom_forced_phot.services.protocol import SHOWN, Reply, Request, beginning, check, json_of, readable, sentence, wait_of

ASKING, CHANGING = Request('GET', 'queue/'), Request('POST', 'queue/', changes=True)


def said(body: Any, status: int = 400, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Reply(status, content, headers)


@pytest.mark.parametrize(
    ('status', 'asking', 'changing'),
    [
        (400, Refused, Refused),
        (401, Credentials, Credentials),
        (403, Credentials, Credentials),
        (404, Refused, Refused),
        (408, Temporary, Uncertain),
        (409, Refused, Refused),
        (429, Throttled, Throttled),
        (500, Temporary, Uncertain),
        (502, Temporary, Uncertain),
        (503, Temporary, Uncertain),
        (301, UnexpectedReply, UnexpectedReply),
        (304, UnexpectedReply, UnexpectedReply),
    ],
)
def test_what_a_status_means(status: int, asking: type[Exception], changing: type[Exception]) -> None:
    for request, error in ((ASKING, asking), (CHANGING, changing)):
        with pytest.raises(ForcedPhotometryError) as caught:
            check(said('no', status), request, 'X')
        assert type(caught.value) is error
        assert str(caught.value).startswith('X ')


@pytest.mark.parametrize('status', [200, 201, 204])
def test_a_success_is_given_back(status: int) -> None:
    reply = said('', status)
    assert check(reply, CHANGING, 'X') is reply


@pytest.mark.parametrize(
    ('body', 'expected'),
    [
        ({'detail': 'Invalid token.'}, 'Invalid token.'),
        ({'non_field_errors': ['Either (ra, dec) must be specified.']}, 'Either (ra, dec) must be specified.'),
        ({'non_field_errors': 'ERROR: You have too many queued tasks (500).'}, 'ERROR: You have too many queued tasks (500).'),
        ({'ra': ['A valid number is required.']}, 'ra: A valid number is required.'),
        ({'ra': {'ra': 'ra must be a finite floating-point number.'}}, 'ra: ra must be a finite floating-point number.'),
        ({'mjd_max': 'too small'}, 'mjd_max: too small.'),
        ({'a': ['one.'], 'b': ['two.']}, 'a: one. b: two.'),
        ([{}, {'dec': ['no']}], 'dec: no.'),
        (['no', 'no'], 'no.'),
        ('"a plain text"', 'a plain text.'),
        ('plain text', 'plain text'),
        ('', 'no explanation.'),
        ('null', 'no explanation.'),
        ({'ra': None, 'dec': ''}, 'no explanation.'),
        ('<html><head><title>401</title></head><body><h1>No\n entry &amp; no exit</h1></body></html>', 'No entry & no exit'),
        ('<html><head><title>404 Not Found</title></head></html>', '404 Not Found'),
        ('<script>alert(1)</script><p>Down</p>', 'Down'),
        (b'\xff\xfe', '��'),
    ],
)
def test_any_error_body_becomes_a_sentence(body: Any, expected: str) -> None:
    assert sentence(said(body)) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON | st.binary())
def test_no_body_is_too_strange_for_a_short_sentence(body: Any) -> None:
    reply = said(body)
    assert 0 < len(sentence(reply)) <= SHOWN
    assert 0 < len(beginning(reply)) <= 12 * SHOWN
    assert isinstance(readable(reply.text), str)


def test_brackets_without_end_are_no_json() -> None:
    deep = '[' * 200_000
    assert sentence(said(deep)).startswith('[[[')
    with pytest.raises(UnexpectedReply, match='no JSON'):
        json_of(said(deep, 200), 'X')


def test_what_is_no_json_is_shown() -> None:
    with pytest.raises(UnexpectedReply, match=r"X answered 200 with something that is no JSON: '<html>oh'"):
        json_of(said('<html>oh', 200), 'X')
    with pytest.raises(UnexpectedReply, match='an empty body'):
        json_of(said('', 200), 'X')


@pytest.mark.parametrize(
    ('headers', 'body', 'seconds'),
    [
        ({'retry-after': '42'}, '', 42),
        ({'retry-after': '0'}, '', 1),
        ({'retry-after': '-5'}, '', 1),
        ({'retry-after': '1e9'}, '', 3600),
        ({'retry-after': 'nan'}, '', 60),
        ({'retry-after': 'Sat, 21 Nov 2026 08:01:30 GMT', 'date': 'Sat, 21 Nov 2026 08:00:00 GMT'}, '', 90),
        ({'retry-after': 'Sat, 21 Nov 2026 08:01:30 GMT'}, '', 60),
        ({'retry-after': 'soon'}, 'available in 7 seconds', 7),
        # Django REST framework's text has no plural for one, and may speak of minutes
        ({}, {'detail': 'Request was throttled. Expected available in 1 second.'}, 1),
        ({}, {'detail': 'Request was throttled. Expected available in 42 seconds.'}, 42),
        ({}, {'detail': 'Expected available in 2 minutes.'}, 120),
        ({}, {'non_field_errors': 'Too many image requests.'}, 60),
    ],
)
def test_how_long_a_429_asks_to_wait(headers: dict[str, str], body: Any, seconds: float) -> None:
    reply = said(body, 429, **headers)
    assert wait_of(reply) == seconds
    with pytest.raises(Throttled) as caught:
        check(reply, CHANGING, 'X')
    assert caught.value.seconds == seconds


def test_a_recorded_page_is_readable() -> None:
    text = readable(sample('replies/zfps_requestForcedPhotometry_200.html').decode())
    assert text == 'ra dec jdstart jdend email 123.450000 67.890000 2460024.378186 2460084.378186 user@example.com'


def test_a_recorded_reply_is_json() -> None:
    reply = Reply(201, sample('replies/atlas_post_queue_201_skyportal_2022.json'))
    assert json_of(check(reply, CHANGING, 'ATLAS'), 'ATLAS')['id'] == 152047
