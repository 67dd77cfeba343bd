"""The table: exception x stage x facility -> what happens next. The exceptions are real ones, from real sockets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured, ValidationError
from tom_common.exceptions import ImproperCredentialsException
from tom_observations.facilities.lco import LCOFacility
from tom_observations.facilities.ocs import OCSFacility

from tests.support.sockets import call_of
from tom_cadence.core.bounds import redact
from tom_cadence.exceptions import Credentials, LostClaim, NeedsAttention, Refused, Temporary, Uncertain
from tom_cadence.facilities.calls import Busy, NotAsked
from tom_cadence.facilities.errors import CallStage, classify, documented_refusals, never_arrived, readable
from tom_cadence.facilities.transport import (
    DeadlineExceeded,
    HttpAttempt,
    Overdue,
    Traffic,
    deadline,
    install_transport_hook,
    never_connected,
    watched,
)

PLAIN = SimpleNamespace(name='Plain')
REFUSING = SimpleNamespace(name='Refusing', refusals=(ValidationError, KeyError))
FACILITIES = {'plain': PLAIN, 'refusing': REFUSING, 'OCS': OCSFacility(), 'LCO': LCOFacility()}

# What a POST meets on the wire -> (while sending, while asking for a state)
WIRE = {
    'refused': (Temporary, Temporary),
    'DNS': (Temporary, Temporary),
    'no scheme': (Temporary, Temporary),
    'bad URL': (Temporary, Temporary),
    'reset': (Uncertain, Temporary),
    'read timeout': (Uncertain, Temporary),
    'cut reply': (Uncertain, Temporary),
    'not HTTP': (Uncertain, Temporary),
    'not JSON': (Uncertain, Temporary),
    'HTTP 400': (Uncertain, Temporary),
    'HTTP 401': (Credentials, Credentials),
    'HTTP 403': (Credentials, Credentials),
    'HTTP 404': (Uncertain, Temporary),
    'HTTP 409': (Uncertain, Temporary),
    'HTTP 429': (Busy, Busy),
    'HTTP 500': (Uncertain, Temporary),
    'HTTP 502': (Uncertain, Temporary),
    'HTTP 503': (Uncertain, Temporary),
    'HTTP 503, later': (Busy, Busy),
}


@pytest.mark.parametrize('facility', FACILITIES)
@pytest.mark.parametrize('kind', WIRE)
def test_what_happens_on_the_wire(kind: str, facility: str) -> None:
    error, traffic = call_of(kind)
    sending, asking = WIRE[kind]
    assert type(classify(error, CallStage.SEND, FACILITIES[facility], traffic)) is sending
    assert type(classify(error, CallStage.STATUS, FACILITIES[facility])) is asking
    assert type(classify(error, CallStage.LOOK_UP, FACILITIES[facility])) is asking
    if asking in (Temporary, Busy) and isinstance(error, requests.RequestException):
        assert type(classify(error, CallStage.PREPARE, FACILITIES[facility])) is asking


RAISED = [
    # error, facility, while sending, while filling in the form, while asking
    (ValidationError('no'), 'plain', Uncertain, Refused, Temporary),
    (ValidationError('no'), 'refusing', Refused, Refused, Temporary),
    (ValidationError('no'), 'OCS', Refused, Refused, Temporary),
    (ValidationError('no'), 'LCO', Refused, Refused, Temporary),
    (KeyError('requests'), 'refusing', Refused, Refused, Temporary),
    (KeyError('requests'), 'OCS', Uncertain, Refused, Temporary),
    (ImproperCredentialsException('LCO: key'), 'plain', Credentials, Credentials, Credentials),
    (ImproperlyConfigured('no key'), 'plain', Credentials, Credentials, Credentials),
    (NotImplementedError('by mail only'), 'plain', NeedsAttention, Refused, Temporary),
    (ValueError('not JSON'), 'LCO', Uncertain, Refused, Temporary),
    (AttributeError('x'), 'plain', Uncertain, Refused, Temporary),
    (TimeoutError('slow'), 'plain', Uncertain, Temporary, Temporary),
    (ConnectionResetError('reset'), 'plain', Uncertain, Temporary, Temporary),
    (ConnectionRefusedError('nobody?'), 'plain', Uncertain, Temporary, Temporary),
    (Overdue('30 s'), 'plain', Uncertain, Temporary, Temporary),
    (NotAsked('not asked'), 'plain', Temporary, Temporary, Temporary),
    (requests.ConnectionError('reset by peer'), 'plain', Uncertain, Temporary, Temporary),
    (requests.ConnectTimeout('no answer to SYN'), 'plain', Temporary, Temporary, Temporary),
    (DeadlineExceeded('over'), 'plain', Temporary, Temporary, Temporary),
    (requests.exceptions.ChunkedEncodingError('cut'), 'plain', Uncertain, Temporary, Temporary),
    (requests.exceptions.SSLError('self-signed'), 'plain', Uncertain, Temporary, Temporary),
    (requests.exceptions.ProxyError('proxy'), 'plain', Uncertain, Temporary, Temporary),
    (requests.exceptions.TooManyRedirects('31'), 'plain', Uncertain, Temporary, Temporary),
]


def alone(error: Exception) -> Traffic:
    """A call of one POST that ended in this error; errors that no transport raises came before any request."""
    if not isinstance(error, requests.RequestException):
        return Traffic()
    return Traffic(attempts=[HttpAttempt(method='POST', left=not never_connected(error), error=error)])


@pytest.mark.parametrize(('error', 'facility', 'sending', 'preparing', 'asking'), RAISED, ids=repr)
def test_what_a_facility_class_raises(error: Exception, facility: str, sending: type, preparing: type, asking: type) -> None:
    given = FACILITIES[facility]
    assert type(classify(error, CallStage.SEND, given, alone(error))) is sending
    assert type(classify(error, CallStage.STATUS, given)) is asking
    assert type(classify(error, CallStage.LOOK_UP, given)) is asking
    if not isinstance(error, NotAsked):
        assert type(classify(error, CallStage.PREPARE, given)) is preparing


@pytest.mark.parametrize('stage', CallStage)
def test_our_own_errors_keep_their_class(stage: CallStage) -> None:
    for error in (Temporary('a'), Refused('b'), Uncertain('c'), Credentials('d'), NeedsAttention('e'), LostClaim('f')):
        assert classify(error, stage, PLAIN) is error


@pytest.mark.parametrize('error', [KeyError('x'), ValueError(), RuntimeError('')])
def test_the_text_names_the_facility_and_is_never_empty(error: Exception) -> None:
    for stage in CallStage:
        text = str(classify(error, stage, PLAIN))
        assert 'Plain' in text
        assert not text.rstrip().endswith(':')


def test_who_documents_its_refusals() -> None:
    assert documented_refusals(PLAIN) == ()
    assert documented_refusals(REFUSING) == (ValidationError, KeyError)
    assert documented_refusals(FACILITIES['LCO']) == (ValidationError,)
    assert documented_refusals(SimpleNamespace(refusals=())) == ()


def test_a_subclass_of_ocs_may_say_that_it_documents_nothing() -> None:
    class Vague(OCSFacility):
        refusals = ()

    assert type(classify(ValidationError('no'), CallStage.SEND, Vague(), Traffic())) is Uncertain


def test_a_call_whose_time_was_over_never_arrived() -> None:
    install_transport_hook()
    with watched() as traffic, deadline(-1), pytest.raises(DeadlineExceeded) as caught:
        requests.post('http://127.0.0.1:9/', timeout=1)
    assert never_arrived(caught.value, traffic)


SECRETS = [
    ('Authorization: Token 0a1b2c3d4e', '0a1b2c3d4e'),
    ("{'Authorization': 'Token 0a1b2c3d4e'}", '0a1b2c3d4e'),
    ('{"authorization": "Bearer 0a1b2c3d4e"}', '0a1b2c3d4e'),
    ('Authorization: Basic 0a1b2c3d4e', '0a1b2c3d4e'),
    ('GET /api?api_key=0a1b2c3d4e&limit=3', '0a1b2c3d4e'),
    ('GET /api?token=0a1b2c3d4e', '0a1b2c3d4e'),
    ("{'api_key': '0a1b2c3d4e'}", '0a1b2c3d4e'),
    ("{'apikey': '0a1b2c3d4e'}", '0a1b2c3d4e'),
    ("{'api-key': '0a1b2c3d4e'}", '0a1b2c3d4e'),
    ('X-API-KEY: 0a1b2c3d4e', '0a1b2c3d4e'),
    ("password='0a1b2c3d4e'", '0a1b2c3d4e'),
    ('GET /api?access_token=0a1b2c3d4e', '0a1b2c3d4e'),
    ("{'auth_token': '0a1b2c3d4e'}", '0a1b2c3d4e'),
    ("{'client_secret': '0a1b2c3d4e'}", '0a1b2c3d4e'),
    ('http://vera:0a1b2c3d4e@portal.example/api', '0a1b2c3d4e'),
]


@pytest.mark.parametrize(('text', 'secret'), SECRETS, ids=[text for text, _ in SECRETS])
def test_no_secret_is_written_down(text: str, secret: str) -> None:
    assert secret not in redact(f'401 for {text}')
    assert secret not in str(classify(RuntimeError(f'401 for {text}'), CallStage.SEND, PLAIN, Traffic()))


@pytest.mark.parametrize(
    'text', ['The window is too short.', 'limit=3&offset=2', 'proposal LCO2026B-001', 'HTTP 403 for http://portal.example/api/']
)
def test_what_is_no_secret_is_kept(text: str) -> None:
    assert redact(text) == text


def test_a_long_text_of_many_lines_becomes_one_short_line() -> None:
    text = readable(RuntimeError('<html>\n  <body>\n' + 'x' * 9000))
    assert '\n' not in text
    assert len(text) <= 500


ON_A_PAGE = {
    'HTTP 500': 'HTTP 500 (No)',
    'refused': 'nobody answers at 127.0.0.1',
    'DNS': 'nobody answers at nowhere.invalid',
    'reset': 'the connection broke off',
    'read timeout': 'no answer came in time',
    'cut reply': 'the connection broke off',
    'not JSON': 'its answer is not JSON',
}


@pytest.mark.parametrize('kind', WIRE)
def test_no_address_and_no_object_of_a_client_is_told(kind: str) -> None:
    for stage in (CallStage.SEND, CallStage.STATUS):
        error, traffic = call_of(kind)
        text = str(classify(error, stage, PLAIN, traffic))
        assert ON_A_PAGE.get(kind, '') in text
        for raw in ('http://127', 'url', 'HTTPConnection', '0x', 'Errno', 'line 1 column'):
            assert raw not in text


def test_what_follows_the_question_mark_of_an_address_is_not_told() -> None:
    said = 'GET https://portal.example/api/?id=7&name=SN failed'
    assert redact(said) == 'GET https://portal.example/api/ failed'


def test_a_facility_that_names_itself_is_named_once() -> None:
    assert (
        str(classify(ValidationError('OCS: too late'), CallStage.SEND, FACILITIES['OCS'], Traffic()))
        == 'OCS refused the observation: too late'
    )


def test_all_messages_of_a_refusal_are_kept() -> None:
    assert readable(ValidationError({'start': ['too late'], 'end': ['too early']})) == 'too late; too early'


def test_an_error_without_text_is_named_by_its_kind() -> None:
    assert readable(KeyError()) == 'KeyError'


def redirected(code: int) -> Any:
    response = requests.Response()
    response.status_code = code
    return requests.HTTPError('x', response=response)


@pytest.mark.parametrize(('code', 'is_credentials'), [(401, True), (403, True), (400, False), (404, False), (500, False)])
def test_which_replies_mean_credentials(code: int, is_credentials: bool) -> None:
    traffic = Traffic(attempts=[HttpAttempt(method='POST', left=True, status=code)])
    assert isinstance(classify(redirected(code), CallStage.SEND, PLAIN, traffic), Credentials) is is_credentials


@pytest.mark.parametrize(
    ('status', 'sending', 'preparing'),
    [
        (400, Refused, Refused),
        (401, Credentials, Credentials),
        (403, Credentials, Credentials),
        (404, Uncertain, Temporary),
        (429, Temporary, Temporary),
        (None, Uncertain, Credentials),
    ],
)
def test_a_class_that_calls_every_refusal_one_of_credentials_is_judged_by_the_answer(
    status: int | None, sending: type[Exception], preparing: type[Exception]
) -> None:
    error = ImproperCredentialsException("IAG: b'no'")
    answer = HttpAttempt(method='POST', left=True, status=status)
    facility = SimpleNamespace(name='IAG')
    assert isinstance(classify(error, CallStage.SEND, facility, Traffic(attempts=[answer])), sending)
    assert isinstance(classify(error, CallStage.PREPARE, facility, Traffic(attempts=[answer])), preparing)
