"""The audit against a portal: what is not in a list is asked for before it is called missing, and every line says whose it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.core.management import call_command

from simulators.portal import Portal
from simulators.server import serve
from tests.support.cadences import records
from tests.support.webform import connect, start_cadence
from tom_cadence.engine.health import audit
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import Booking, Submission

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def portal(settings: Any) -> Iterator[Portal]:
    settings.FACILITIES = {}
    settings.TOM_FACILITY_CLASSES = []
    with serve(Portal()) as server:
        yield server.service


@pytest.fixture
def now() -> datetime:
    return datetime.now(timezone.utc).replace(second=0, microsecond=0)


@pytest.fixture
def cadence(client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, now: datetime) -> Any:
    """A cadence of two observations: the first by the host's form, the second by the engine."""
    connect(settings, portal, 'LCO')
    client.force_login(astronomer)
    window = (now + timedelta(hours=1), now + timedelta(hours=9))
    made = start_cadence(
        client, target, 'LCO', 'IMAGING', 'ResumeCadenceAfterFailureStrategy', {'cadence_frequency': 24}, window=window
    )
    portal.set_state(records(made)[0].observation_id, 'WINDOW_EXPIRED')
    run_cadences(now=now + timedelta(hours=10))
    return made


def test_a_list_that_fails_says_nothing_about_bookings(portal: Portal, cadence: Any, now: datetime) -> None:
    for answer in ((502, '<h1>Bad Gateway</h1>'), (403, {'detail': 'Invalid token.'}), (500, '<h1>Server Error</h1>')):
        portal.reply('list', *answer)
        found = audit(now)
        assert not found.ok
        assert not found.without_booking
        assert not found.not_asked
        assert 'LCO' in found.not_listed[0]


def test_what_a_cut_list_does_not_show_is_asked_for_singly(portal: Portal, cadence: Any, now: datetime, monkeypatch: Any) -> None:
    monkeypatch.setattr('tom_cadence.facilities.ocs.PAGE', 1)
    monkeypatch.setattr('tom_cadence.facilities.ocs.MOST_PAGES', 1)
    found = audit(now)
    assert found.ok
    assert not found.without_booking
    assert 'cut after 1' in found.cut[0]


def test_a_suspect_that_nobody_could_ask_for_is_not_called_missing(portal: Portal, cadence: Any, now: datetime) -> None:
    portal.reply('list', 200, {'count': 0, 'next': None, 'previous': None, 'results': []})
    portal.reply('request', 502, '<h1>Bad Gateway</h1>', times=9)
    found = audit(now)
    assert not found.ok
    assert not found.without_booking
    assert [each.id for each in found.not_asked] == [record.observation_id for record in records(cadence)]


def test_a_booking_that_is_gone_is_named_with_what_to_do(portal: Portal, cadence: Any, now: datetime, capsys: Any) -> None:
    gone = records(cadence)[1].observation_id
    portal.forget(portal.submissions[-1].group_id)
    found = audit(now)
    assert [(each.id, each.cadence, each.target) for each in found.without_booking] == [(gone, cadence.pk, 'SN 2011fe')]
    with pytest.raises(SystemExit):
        call_command('runcadencestrategies', '--audit')
    assert f'LCO {gone}, cadence {cadence.pk} (SN 2011fe): it does not exist at LCO' in capsys.readouterr().out


def test_bookings_by_hand_and_records_without_a_mark_are_named_and_no_fault(
    portal: Portal, cadence: Any, now: datetime, capsys: Any
) -> None:
    group = portal.book({**copy.deepcopy(portal.submissions[0].payload), 'name': 'one more, by hand'})
    other = copy.deepcopy(portal.submissions[0].payload)
    other['requests'][0]['configurations'][0]['target']['name'] = 'a colleague'
    other['name'] = "a colleague's"
    portal.book(other)
    Booking.objects.filter(submission__origin='form').update(submission=None)  # as if made before this app sent what the form asks
    Submission.objects.filter(origin='form').delete()
    found = audit(now)
    assert found.ok
    assert [(each.id, each.target) for each in found.by_hand] == [(str(group['requests'][0]['id']), 'SN 2011fe')]
    assert [each.id for each in found.without_mark] == [records(cadence)[0].observation_id]
    call_command('runcadencestrategies', '--audit', '--json')
    told = json.loads(capsys.readouterr().out)
    assert told['ok']
    assert told['by_hand'][0]['name'] == 'one more, by hand'
