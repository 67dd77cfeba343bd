"""A payload that does not move with the window is found before a cadence books the first night for ever."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from django import forms
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from tom_observations.models import DynamicCadence, ObservationTemplate

from tests.cadence.flows.test_apply_template import fill_in, press
from tests.cadence.pages.test_starting import RESUME, go
from tests.conftest import NIGHT
from tests.support import site
from tom_cadence import checks
from tom_cadence.core.windows import Window, read_instant
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import Refused
from tom_cadence.facilities import Gateway
from tom_cadence.facilities.movement import MOST_PARTS, Verdict, _parts, movement
from tom_cadence.models import ManagedCadence, Submission, TemplateOwnership
from tom_followup.units import mjd_of

WINDOW = Window(start=NIGHT + timedelta(hours=1), end=NIGHT + timedelta(hours=9))
STORED = {'observation_type': 'IMAGING', 'name': 'x', 'start': WINDOW.start.isoformat(), 'end': WINDOW.end.isoformat()}


def asks(*names: str) -> type[forms.Form]:
    """A form with these text fields, whatever else is filled in."""

    class Form(forms.Form):
        """As a site writes one."""

        def __init__(self, *args: Any, facility: Any = None, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

        def observation_payload(self) -> Any:
            return type(self).makes(self.cleaned_data)

        makes = staticmethod(lambda cleaned: {name: cleaned[name] for name in names})

    return type('Form', (Form,), {name: forms.CharField(required=False) for name in names})


def at(form: type[forms.Form], keywords: tuple[str, str] = ('start', 'end'), makes: Any = None) -> Gateway:
    """A facility with this form."""
    made = form if makes is None else type('Form', (form,), {'makes': staticmethod(makes)})
    members = {'name': 'Mine', 'get_form': lambda self, kind: made, 'get_start_end_keywords': lambda self: keywords}
    return Gateway('Mine', None, type('Mine', (), members))


SHAPES = {
    'text': lambda instant: instant.isoformat(),
    'text without seconds': lambda instant: f'{instant:%Y-%m-%d %H:%M}',
    'date alone': lambda instant: f'{instant:%Y-%m-%d}',
    'MJD': mjd_of,
    'a clock of Unix': lambda instant: instant.timestamp(),
    'date and time': lambda instant: {'date': f'{instant:%d/%m/%Y}', 'time': f'{instant:%H:%M}'},
    'XML': lambda instant: f'<When uid="{time.time_ns()}" start="{instant:%Y-%m-%dT%H:%M}"/>',
    'JSON': lambda instant: json.dumps({'at': instant.isoformat(), 'id': str(uuid.uuid4())}),
    'an instant': lambda instant: instant,
    'words': lambda instant: f'Please after {instant:%d %B, %H:%M} UT.',
}
_COUNTER = itertools.count()
NOISE = {
    'clock': time.time_ns,
    'random': uuid.uuid4,
    'counter': lambda: next(_COUNTER),
    'fixed': lambda: '2026-01-01T00:00',
    'none': dict,
}


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    noise=st.lists(st.sampled_from(sorted(NOISE)), max_size=3),
    keywords=st.lists(st.from_regex(r'[a-z]{1,8}(_[a-z]{1,8})?', fullmatch=True), min_size=2, max_size=2, unique=True),
    taken=st.booleans(),
)
def test_a_payload_moves_where_its_form_takes_the_window_and_stays_where_it_does_not(
    shape: str, noise: list[str], keywords: list[str], taken: bool
) -> None:
    start, end = keywords
    theirs = keywords if taken else [f'{name}_of_theirs' for name in keywords]
    stored = {'observation_type': '', **dict(zip(keywords, (STORED['start'], STORED['end']), strict=True))}
    stored |= dict(zip(theirs, (STORED['start'], STORED['end']), strict=True))

    def makes(cleaned: dict[str, Any]) -> Any:
        first, last = (SHAPES[shape](read_instant(cleaned[name])) for name in theirs)
        return {'requests': [{'windows': [first, last]}], **{name: NOISE[name]() for name in noise}}

    found = movement(at(asks(*theirs), (start, end), makes), stored, WINDOW)
    assert found.verdict is (Verdict.MOVES if taken else Verdict.STAYS), found.reason
    if not taken:
        assert all(word in found.reason for word in ('Mine', start, end, 'the first window every night'))


@pytest.mark.parametrize('stuck', ['start', 'end'])
def test_a_window_of_which_one_end_stays_is_refused(stuck: str) -> None:
    moving = 'end' if stuck == 'start' else 'start'
    gateway = at(asks(moving), makes=lambda cleaned: {moving: cleaned[moving], 'limits': {stuck: STORED[stuck]}})
    found = movement(gateway, STORED, WINDOW)
    assert found.verdict is Verdict.STAYS
    assert f'"limits.{stuck}" stays at 2026-11-21' in found.reason


def test_a_facility_that_takes_a_start_alone_moves() -> None:
    assert movement(at(asks('start')), STORED, WINDOW).verdict is Verdict.MOVES


@pytest.mark.parametrize('error', [ValueError('odd'), OSError('no line'), KeyError('x'), Refused('No.')])
def test_what_cannot_be_made_without_asking_is_said_and_not_refused(error: Exception) -> None:
    def fails(cleaned: Any) -> Any:
        raise error

    found = movement(at(asks('start', 'end'), makes=fails), STORED, WINDOW)
    assert found.verdict is Verdict.UNKNOWN
    assert 'could not be tried' in found.reason


class StuckForm(site.SiteForm):
    """Sends a night of its own, which its class tells nobody."""

    night = forms.CharField(required=False, initial='2026-11-21')

    def observation_payload(self) -> dict[str, Any]:
        """The same each night."""
        return {'name': self.cleaned_data['name'], 'night': self.cleaned_data['night']}


class Stuck(site.Good):
    """Its facility."""

    name = 'Stuck observatory'
    observation_forms = {'IMAGING': StuckForm}

    def get_form(self, observation_type: Any) -> Any:
        """One form."""
        return StuckForm


def clock() -> datetime:
    """The TOM's clock stands."""
    return NIGHT


@pytest.fixture
def stuck(settings: Any, astronomer: Any, client: Client) -> None:
    """A TOM with that facility."""
    settings.TOM_FACILITY_CLASSES = ['tests.cadence.facilities.test_movement.Stuck']
    settings.TOM_CADENCE = {'CLOCK': 'tests.cadence.facilities.test_movement.clock'}
    client.force_login(astronomer)


@pytest.mark.django_db
def test_the_page_that_starts_a_cadence_refuses_in_words(stuck: None, client: Client, target: Any) -> None:
    page = go(client, f'target={target.pk}&what=Stuck observatory|IMAGING&strategy={RESUME}')
    seen = page.preview(**{'start': '2026-11-21T12:00', 'end': '2026-11-21T20:00'})
    assert 'does not move with the window' in seen.text
    assert 'get_start_end_keywords' in seen.text
    assert not ManagedCadence.objects.exists()
    assert not Submission.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize('strategy', [RESUME, ''])
def test_a_template_is_not_applied_with_a_cadence_that_would_not_move(
    stuck: None, client: Client, astronomer: Any, target: Any, strategy: str
) -> None:
    template = ObservationTemplate.objects.create(name='Night', facility='Stuck observatory', parameters={'night': '2026-11-21'})
    TemplateOwnership.objects.create(template=template, owner=astronomer, observation_type='IMAGING')
    given = {'for-strategy': strategy, 'cadence-cadence_frequency': '24'} if strategy else {}
    asked = {'name': 'x', 'night': '2026-11-21', 'start': STORED['start'], 'end': STORED['end']}
    application = fill_in(client, template, [target], **asked, **given)
    press(client, application, 'check')
    task = application.tasks.get()
    expected = ('invalid', True) if strategy else ('ready', False)
    assert (task.state, 'does not move with the window' in task.message) == expected, task.message


@pytest.mark.django_db(transaction=True)
def test_a_check_finds_active_cadences_that_do_not_move(stuck: None, make_cadence: Any) -> None:
    make_cadence(facility='Stuck observatory')
    [found] = checks.payloads_check(databases=['default'])
    assert (found.id, 'does not move with the window' in found.msg) == ('tom_cadence.W008', True)
    DynamicCadence.objects.update(active=False)
    assert checks.payloads_check(databases=['default']) == []
    assert checks.payloads_check() == []


class Curious(site.Good):
    """Its form asks the facility."""

    name = 'Curious observatory'

    def get_form(self, observation_type: Any) -> Any:
        """Not without an answer."""
        requests.get('http://127.0.0.1:9/instruments', timeout=1)
        return site.SiteForm


@pytest.mark.django_db(transaction=True)
def test_a_check_asks_no_facility_and_says_what_it_could_not_try(stuck: None, make_cadence: Any, settings: Any) -> None:
    settings.TOM_FACILITY_CLASSES = [f'{site.HERE}.Good', 'tests.cadence.facilities.test_movement.Curious']
    make_cadence(facility='Good observatory')
    assert checks.payloads_check(databases=['default']) == []
    make_cadence(facility='Curious observatory')
    [found] = checks.payloads_check(databases=['default'])
    assert (found.id, 'before the request was sent' in found.msg or 'could not be tried' in found.msg) == ('tom_cadence.I001', True)


class Fickle(site.Good):
    """Its form says what it sends only where it is really sent."""

    name = 'Fickle observatory'

    def get_form(self, observation_type: Any) -> Any:
        """One whose payload needs what is_valid() left behind."""

        class Form(site.SiteForm):
            def is_valid(self) -> bool:
                self.checked = super().is_valid()
                return self.checked

            def observation_payload(self) -> dict[str, Any]:
                assert self.checked
                return super().observation_payload()

        return Form


@pytest.mark.django_db
def test_what_could_not_be_tried_is_said_in_the_preview_and_can_be_started(
    stuck: None, client: Client, target: Any, settings: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = ['tests.cadence.facilities.test_movement.Fickle']
    page = go(client, f'target={target.pk}&what=Fickle observatory|IMAGING&strategy={RESUME}')
    seen = page.preview(start='2026-11-21T12:00', end='2026-11-21T20:00')
    assert 'Whether what Fickle observatory is sent moves with the window could not be tried' in seen.text
    assert seen.html.find('button', string='Start') is not None or 'Start' in seen.text


@pytest.mark.django_db(transaction=True)
def test_a_cadence_that_was_taken_over_stops_before_it_books_the_first_window_again(stuck: None, make_cadence: Any) -> None:
    before = len(site.Good.booked)
    cadence = make_cadence(facility='Stuck observatory', status='COMPLETED')
    site.Good.states['1'] = 'COMPLETED'
    [line] = run_cadences(now=NIGHT + timedelta(hours=5)).lines
    assert 'does not move with the window' in line.reason
    managed = ManagedCadence.objects.get(cadence=cadence)
    assert (managed.state, managed.host.active) == ('attention', False)
    assert len(site.Good.booked) == before
    assert not Submission.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_cadence_that_moves_is_compared_once_a_run_and_goes_on(
    stuck: None, make_cadence: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TOM_FACILITY_CLASSES = [f'{site.HERE}.Good']
    made: list[Any] = []
    monkeypatch.setattr(Gateway, 'draft', lambda self, *given, draft=Gateway.draft: made.append(self) or draft(self, *given))
    for number in ('7001', '7002', '7003'):
        make_cadence(facility='Good observatory', status='COMPLETED', observation_id=number)
        site.Good.states[number] = 'COMPLETED'
    assert [line.decision for line in run_cadences(now=NIGHT + timedelta(hours=5)).lines] == ['submit'] * 3
    assert len(made) == 3, 'one comparison of three drafts'


def test_objects_of_a_plugin_that_know_each_other_are_compared_in_time() -> None:
    class Known:
        """Knows all others."""

    nodes = [Known() for _ in range(12)]
    for node in nodes:
        vars(node).update({f'other {number}': each for number, each in enumerate(nodes)}, name='x')
    begun = time.monotonic()
    found = set(itertools.islice(_parts(nodes[0]), MOST_PARTS))
    assert 'x' in {text for _, text in found}
    assert time.monotonic() - begun < 10
