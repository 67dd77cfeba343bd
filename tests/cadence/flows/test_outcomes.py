"""What became of an observation whose facility cannot be asked: one button on the page, or a word at a terminal."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord
from tom_targets.models import Target

from tests.conftest import NIGHT, at
from tests.support.cadences import parameters, records
from tom_cadence.engine.run import run_cadences
from tom_cadence.facilities import Facilities
from tom_cadence.models import CadenceRun, ManagedCadence, Notice

pytestmark = pytest.mark.django_db(transaction=True)
MANUAL = 'tom_observations.facilities.manual.ExampleManualFacility'


@pytest.fixture
def cadence(settings: Any, observatory: Any, astronomer: Any, target: Any) -> Any:
    """One observation at a manual facility, in a window of the first night."""
    settings.TOM_FACILITY_CLASSES = [MANUAL]
    group = ObservationGroup.objects.create(name='by hand')
    asked = parameters(target, NIGHT) | {'facility': 'Example', 'observation_id': '', 'name': 'x'}
    record = ObservationRecord.objects.create(
        target=target, user=astronomer, facility='Example', parameters=asked, observation_id='tonight', status=''
    )
    group.observation_records.add(record)
    return DynamicCadence.objects.create(
        observation_group=group,
        cadence_strategy='ResumeCadenceAfterFailureStrategy',
        cadence_parameters={'cadence_frequency': 24},
        active=True,
    )


def say(client: Client, page: str, label: str) -> Any:
    """Press a button of a page, as it was shown there."""
    text = client.get(page).content.decode()
    [form] = [each for each in re.findall(r'<form.*?</form>', text, re.S) if f'>{label}<' in each]
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form))
    action = re.search(r'action="([^"]+)"', form)
    assert action is not None
    return client.post(action[1], fields, follow=True)


@pytest.mark.parametrize(
    ('label', 'state', 'goes_on'),
    [
        ('Observed', 'Completed', 'tonight succeeded'),
        ('Failed', 'FAILED', 'tonight failed (FAILED)'),
        ('Not observed', 'EXPIRED', 'tonight failed (EXPIRED)'),
    ],
)
def test_one_button_on_the_cadences_page_says_what_became_of_it_and_the_cadence_goes_on(
    client: Client, cadence: Any, astronomer: Any, label: str, state: str, goes_on: str
) -> None:
    client.force_login(astronomer)
    run_cadences(now=at(5))
    page = f'/cadences/{ManagedCadence.objects.get().pk}/'
    assert 'Example cannot be asked what became of an observation.' in client.get(page).content.decode()
    shown = say(client, page, label).content.decode()
    assert f'Observation tonight: {label.lower()}. The cadence goes on from that at its next run.' in shown
    assert f'vera said of observation tonight: {label.lower()}.' in shown
    [record] = records(cadence)
    assert (record.status, record.terminal or state != 'Completed') == (state, True)
    assert 'What became of observation tonight' not in client.get(page).content.decode(), 'nothing is left to be said'
    [line] = run_cadences(now=at(30)).lines
    assert goes_on in line.reason


def test_the_owner_is_told_once_when_the_window_is_over_and_nobody_has_said_anything(cadence: Any, astronomer: Any) -> None:
    for hours in (5, 30, 31, 60):
        [line] = run_cadences(now=at(hours)).lines
        assert line.decision == 'wait'
    assert line.reason.startswith('The window of observation tonight is over, and Example cannot be asked what became of it')
    [notice] = Notice.objects.filter(user=astronomer)
    assert 'waits for your word' in notice.text


def test_what_was_said_wrongly_is_put_right_on_the_page_of_the_observation(client: Client, cadence: Any, astronomer: Any) -> None:
    client.force_login(astronomer)
    run_cadences(now=at(5))
    [record] = records(cadence)
    page = f'/observations/{record.pk}/'
    say(client, page, 'Failed')
    assert 'somebody has said <strong>FAILED</strong>' in client.get(page).content.decode()
    old = client.post(f'/cadences/observations/{record.pk}/not-observed/', {'state': ''}, follow=True).content.decode()
    assert 'Observation tonight is FAILED by now: look again.' in old
    assert 'Observation tonight: observed.' in say(client, page, 'Observed').content.decode()
    assert records(cadence)[0].status == 'Completed'


def test_whoever_may_only_look_has_no_buttons_and_changes_nothing(client: Client, cadence: Any, target: Any) -> None:
    run_cadences(now=at(5))
    Target.objects.filter(pk=target.pk).update(permissions='PUBLIC')
    [record] = records(cadence)
    client.force_login(get_user_model().objects.create_user('guest'))
    assert '>Observed<' not in client.get(f'/observations/{record.pk}/').content.decode()
    client.post(f'/cadences/observations/{record.pk}/observed/', {'state': ''})
    assert client.get(f'/cadences/observations/{record.pk}/observed/').status_code == 405
    assert records(cadence)[0].status == ''


def test_it_is_said_at_a_terminal_too(cadence: Any) -> None:
    run_cadences(now=at(5))
    out = StringIO()
    call_command('steercadence', 'not-observed', str(cadence.pk), 'tonight', stdout=out)
    assert 'Observation tonight: not observed.' in out.getvalue()
    assert CadenceRun.objects.filter(reason='Somebody at a terminal said of observation tonight: not observed.').exists()
    with pytest.raises(CommandError, match='has no observation other'):
        call_command('steercadence', 'observed', str(cadence.pk), 'other')


def test_a_facility_that_can_be_asked_says_it_itself(client: Client, observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    cadence = make_cadence(book=observatory)
    client.force_login(astronomer)
    [record] = records(cadence)
    assert 'What became of it?' not in client.get(f'/observations/{record.pk}/').content.decode()
    said = client.post(f'/cadences/observations/{record.pk}/observed/', {'state': record.status}, follow=True)
    assert 'says itself what became of an observation: nothing was changed' in said.content.decode()


@pytest.mark.parametrize(
    ('dotted', 'name', 'states'),
    [
        ('tom_observations.facilities.gemini.GEMFacility', 'GEM', ['COMPLETED', 'FAILED', 'EXPIRED']),
        (MANUAL, 'Example', ['Completed', 'FAILED', 'EXPIRED']),
    ],
)
def test_the_words_of_the_class_are_used_where_it_has_them(settings: Any, dotted: str, name: str, states: list[str]) -> None:
    settings.TOM_FACILITY_CLASSES = [dotted]
    gateway = Facilities().gateway(name, None)
    assert list(gateway.states_by_hand.values()) == states
    assert [gateway.outcome(state).value for state in states] == ['succeeded', 'failed', 'failed']
