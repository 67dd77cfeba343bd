"""The toolkit's OCS and LCO forms, from the web page through many turns of cron: what the portal gets is what the record says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests
from tom_observations.facilities.lco import LCOFacility

from simulators.portal import Portal
from simulators.server import serve
from tests.support.cadences import records
from tests.support.sockets import nobody
from tests.support.webform import connect, start_cadence
from tom_cadence.core.windows import Window, read_window
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'
KINDS = [
    ('LCO', 'IMAGING', RESUME),
    ('LCO', 'IMAGING', RETRY),
    ('LCO', 'SPECTRA', RESUME),
    ('LCO', 'SPECTRA', RETRY),
    ('LCO', 'PHOTOMETRIC_SEQUENCE', RESUME),
    ('LCO', 'SPECTROSCOPIC_SEQUENCE', RESUME),
    ('OCS', 'ALL', RESUME),
    ('OCS', 'ALL', RETRY),
]
ZONES = ['UTC', 'Asia/Tokyo', 'America/Los_Angeles']
DAY = timedelta(days=1)


@pytest.fixture
def portal(settings: Any) -> Iterator[Portal]:
    """The stand-in portal; FACILITIES are connected by the test."""
    settings.FACILITIES = {}
    settings.TOM_FACILITY_CLASSES = []
    with serve(Portal()) as server:
        yield server.service


@pytest.fixture
def now() -> datetime:
    """The hour at which the user fills in the form: the real one, because the sequence forms take it."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def begin(client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, kind: Any, now: datetime, **given: Any) -> Any:
    """The user's part: log in, fill in the form, send it."""
    facility, observation_type, strategy = kind
    connect(settings, portal, facility)
    client.force_login(astronomer)
    whole = now.replace(second=0)
    window = None if 'SEQUENCE' in observation_type else (whole + timedelta(hours=1), whole + timedelta(hours=9))
    name = given.pop('name', 'SN follow-up')
    parameters = {'cadence_frequency': 24, **given}
    return start_cadence(client, target, facility, observation_type, strategy, parameters, window=window, name=name)


def turn(portal: Portal, when: datetime) -> list[Any]:
    """One turn of cron at that time; the lines of its report."""
    portal.set_clock(when, frozen=True)
    return run_cadences(now=when).lines


def window_of(record: Any) -> Window:
    return read_window(record.parameters['start'], record.parameters['end'])


def portal_window(portal: Portal) -> Window:
    start, end = portal.submissions[-1].windows[0]
    return Window(start=start, end=end)


def settle(portal: Portal, cadence: Any, outcome: str) -> Any:
    """Let the portal be done with the newest observation."""
    last = records(cadence)[-1]
    portal.set_state(last.observation_id, outcome)
    return last


@pytest.mark.parametrize('zone', ZONES)
@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: '-'.join(kind))
def test_five_turns_of_cron_book_what_the_records_say(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime, kind: Any, zone: str
) -> None:
    settings.TIME_ZONE = zone
    cadence = begin(client, settings, portal, astronomer, target, kind, now)
    first = portal_window(portal)
    when = now
    outcomes = ['WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'COMPLETED', 'COMPLETED', 'WINDOW_EXPIRED']
    if kind[2] == RETRY:
        outcomes = ['WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'WINDOW_EXPIRED', 'WINDOW_EXPIRED']
    for number, outcome in enumerate(outcomes):
        last = settle(portal, cadence, outcome)
        when = window_of(last).end + timedelta(minutes=7)
        lines = turn(portal, when)
        assert [line.decision for line in lines] == ['submit'], lines
        assert len(portal.submissions) == number + 2
        new = records(cadence)[-1]
        assert window_of(new) == portal_window(portal)
        expected = window_of(last).start + DAY if outcome == 'COMPLETED' or kind[2] == RETRY else when
        assert window_of(new).start == max(expected, when)
        assert window_of(new).length == first.length
        assert new.user == astronomer
        assert turn(portal, when)[0].decision == 'wait'
        assert len(portal.submissions) == number + 2
    assert Submission.objects.filter(state='accepted', origin='cadence').count() == len(outcomes)
    assert ManagedCadence.objects.get().state == 'active'


@pytest.mark.parametrize('kind', [KINDS[0], KINDS[1], KINDS[4], KINDS[6]], ids=lambda kind: '-'.join(kind))
def test_a_user_who_cancels_is_not_asked_again(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime, kind: Any
) -> None:
    cadence = begin(client, settings, portal, astronomer, target, kind, now)
    settle(portal, cadence, 'CANCELED')
    assert [line.decision for line in turn(portal, now + DAY)] == ['stop']
    assert turn(portal, now + 2 * DAY) == []
    assert len(portal.submissions) == 1
    assert 'cancelled' in ManagedCadence.objects.get().reason


@pytest.mark.parametrize('permissions_only', [True, False])
@pytest.mark.parametrize('kind', [KINDS[0], KINDS[5], KINDS[7]], ids=lambda kind: '-'.join(kind))
def test_the_owner_sees_what_the_cadence_booked(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime, kind: Any, permissions_only: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = permissions_only
    cadence = begin(client, settings, portal, astronomer, target, kind, now)
    settle(portal, cadence, 'WINDOW_EXPIRED')
    turn(portal, now + 3 * DAY)
    new = records(cadence)[-1]
    assert len(records(cadence)) == 2
    assert new.user == astronomer
    if not permissions_only:
        assert astronomer.has_perm('tom_observations.view_observationrecord', new)


@pytest.mark.parametrize('fault', ['500-after', 'reset-after', 'malformed-after'])
@pytest.mark.parametrize('facility', ['LCO', 'OCS'])
def test_a_lost_reply_is_found_again_at_the_portal(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime, facility: str, fault: str
) -> None:
    kind = (facility, 'IMAGING' if facility == 'LCO' else 'ALL', RESUME)
    cadence = begin(client, settings, portal, astronomer, target, kind, now)
    settle(portal, cadence, 'WINDOW_EXPIRED')
    portal.fault('submit', fault)
    for hours in (24, 24.2, 24.5):
        turn(portal, now + timedelta(hours=hours))
    assert len(portal.submissions) == 2
    assert records(cadence)[-1].observation_id == str(portal.submissions[-1].request_ids[0])
    assert len(portal.submissions[-1].name) <= 50
    assert window_of(records(cadence)[-1]) == portal_window(portal)


@pytest.mark.parametrize('fault', ['500-before', 'reset-before'])
def test_what_never_arrived_is_sent_once_after_it_was_looked_up_twice(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime, fault: str
) -> None:
    cadence = begin(client, settings, portal, astronomer, target, KINDS[0], now)
    settle(portal, cadence, 'WINDOW_EXPIRED')
    portal.fault('submit', fault)
    turn(portal, now + timedelta(hours=24))
    turn(portal, now + timedelta(hours=24, minutes=5))
    assert len(portal.submissions) == 1
    turn(portal, now + timedelta(hours=24, minutes=30))
    assert len(portal.submissions) == 2
    assert len(records(cadence)) == 2


def test_a_bad_token_pauses_the_cadences_of_that_facility_together(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime
) -> None:
    for each in 'abc':
        begin(client, settings, portal, astronomer, target, KINDS[0], now, name=f'SN {each}')
    settings.FACILITIES = {'LCO': {**settings.FACILITIES['LCO'], 'api_key': 'wrong'}}
    turn(portal, now + DAY)
    assert {row.state for row in ManagedCadence.objects.all()} == {'attention'}
    assert len({row.reason for row in ManagedCadence.objects.all()}) == 1
    assert 'wrong' not in ManagedCadence.objects.first().reason
    assert len(portal.submissions) == 3


REFUSALS = {
    'a text': (200, {'errors': 'No visible requests within the windows.'}),
    'a list': (200, {'errors': ['No visible requests within the windows.']}),
    'a list alone': (200, ['No visible requests within the windows.']),
    'a text for requests': (200, {'errors': {'requests': 'No visible requests within the windows.'}}),
    'nested': (200, {'errors': {'requests': [[{'windows': [{'non_field_errors': ['No visible requests within the windows.']}]}]]}}),
    'HTTP 400, text': (400, {'errors': 'No visible requests within the windows.'}),
    'HTTP 400, list': (400, {'errors': ['No visible requests within the windows.']}),
    'HTTP 400, a page': (400, '<html><body><h1>No visible requests within the windows.</h1></body></html>'),
    'HTTP 400, no JSON': (400, 'No visible requests within the windows.'),
}


@pytest.mark.parametrize(('refusal', 'kind'), [*((refusal, KINDS[0]) for refusal in REFUSALS), ('a text', KINDS[6])])
def test_what_the_portal_says_against_an_observation_is_told_in_its_words(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime, kind: Any, refusal: str
) -> None:
    cadence = begin(client, settings, portal, astronomer, target, kind, now)
    settle(portal, cadence, 'WINDOW_EXPIRED')
    portal.reply('validate', *REFUSALS[refusal])
    [line] = turn(portal, now + DAY)
    assert 'No visible requests within the windows.' in line.reason
    assert line.reason.startswith(kind[0])
    assert not [sign for sign in ("b'", '{', '[', '<', 'items', 'form of') if sign in line.reason]
    assert len(portal.submissions) == 1


@pytest.mark.parametrize('refusal', ['a text', 'a list alone', 'HTTP 400, no JSON'])
def test_the_hosts_own_form_shows_them_too(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime, refusal: str
) -> None:
    begin(client, settings, portal, astronomer, target, KINDS[0], now)
    portal.reply('validate', *REFUSALS[refusal])
    with pytest.raises(AssertionError, match='No visible requests within the windows'):
        begin(client, settings, portal, astronomer, target, KINDS[0], now)
    assert len(portal.submissions) == 1


@pytest.mark.parametrize('answer', [(429, {'detail': 'Request was throttled.'})])
def test_a_portal_that_asks_to_be_left_alone_is_asked_once_and_nothing_is_in_doubt(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime, answer: Any
) -> None:
    cadences = [begin(client, settings, portal, astronomer, target, KINDS[0], now, name=f'SN {each}') for each in 'abc']
    for cadence in cadences:
        settle(portal, cadence, 'WINDOW_EXPIRED')
    settings.TOM_CADENCE = {'FACILITY_CALLS': 1}
    portal.reply('submit', *answer, {'Retry-After': 3600}, times=9)
    before = portal.requests['submit']
    lines = turn(portal, now + DAY)
    assert portal.requests['submit'] == before + 1
    assert all(line.failed and 'left alone' in line.reason for line in lines), lines
    assert not Submission.objects.filter(state__in=Submission.OPEN).exists()
    assert {row.state for row in ManagedCadence.objects.all()} == {'active'}
    portal.answers.clear()
    asked = sum(portal.requests.values())
    assert all('left alone' in line.reason for line in turn(portal, now + DAY + timedelta(minutes=5)))
    assert sum(portal.requests.values()) == asked, 'a run five minutes later asked although the hour was not over'
    assert [line.decision for line in turn(portal, now + DAY + timedelta(minutes=61))] == ['submit'] * 3
    assert len(portal.submissions) == 6


class StubbornLCOFacility(LCOFacility):
    """A site's class that tries again where nobody listens any more: the error that comes last hides the first try."""

    name = 'LCO'

    def submit_observation(self, observation_payload: Any) -> Any:
        """Try twice."""
        try:
            return super().submit_observation(observation_payload)
        except requests.ConnectionError:
            return requests.post(nobody(), json=observation_payload, timeout=5).json()


def test_a_class_that_tries_again_books_once(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime
) -> None:
    cadence = begin(client, settings, portal, astronomer, target, KINDS[0], now)
    settings.TOM_FACILITY_CLASSES = ['tests.cadence.facilities.test_portals.StubbornLCOFacility']
    settle(portal, cadence, 'WINDOW_EXPIRED')
    portal.fault('submit', 'reset-after')
    for hours in (24, 24.2, 24.5):
        turn(portal, now + timedelta(hours=hours))
    assert len(portal.submissions) == 2
    assert records(cadence)[-1].observation_id == str(portal.submissions[-1].request_ids[0])
