"""Plugins that exist, as they are installed, their network replaced: what they would send moves with the window."""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import responses
import tom_targets.base_models
import tom_targets.models
from django.core.cache import cache
from django.test import Client
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

from tests.cadence.pages.test_starting import RESUME, go
from tests.conftest import NIGHT
from tests.support.cadences import records
from tests.support.needs import missing
from tom_cadence.core.windows import Window, read_window, show
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import Refused, Uncertain
from tom_cadence.facilities import Facilities, Gateway
from tom_cadence.facilities.marks import sought
from tom_cadence.facilities.movement import Verdict, movement
from tom_cadence.models import ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
NIGHTS = [Window(start=NIGHT + timedelta(days=n, hours=12), end=NIGHT + timedelta(days=n, hours=20)) for n in range(3)]
_now = [NIGHT]


def clock() -> datetime:
    """The TOM's clock, moved by the tests."""
    return _now[0]


def plugin(module: str) -> Any:
    """The module of an installed plugin."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # theirs
            return importlib.import_module(module)
    except ImportError:
        missing(module.partition('.')[0])


@pytest.fixture(autouse=True)
def tonight(settings: Any) -> Iterator[None]:
    """The TOM's clock stands; a test moves it."""
    _now[0] = NIGHT
    settings.TOM_CADENCE = {'CLOCK': 'tests.cadence.facilities.test_plugins.clock'}
    yield
    _now[0] = NIGHT


@pytest.fixture
def telescope(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The Liverpool Telescope's node agent: what it got to book, and how it answers."""
    lt = plugin('tom_lt.lt')
    settings.TOM_FACILITY_CLASSES = ['tom_lt.lt.LTFacility']
    there = SimpleNamespace(got=[], mode='confirm')

    def handle(payload: Any) -> str:
        if not isinstance(payload, str):  # the plugin's own check hands over a tree
            return '<RTML mode="offer"/>'
        there.got.append(payload)
        number = re.search(r'uid="(\d+)"', payload)
        assert number is not None
        return f'<RTML mode="{there.mode}" uid="{number[1]}"/>'

    client = SimpleNamespace(service=SimpleNamespace(handle_rtml=handle))
    monkeypatch.setattr(lt, 'Client', lambda **_: client)
    monkeypatch.setattr(lt, 'LT_SETTINGS', {**lt.LT_SETTINGS, 'DEBUG': False, 'LT_HOST': 'lt.example', 'LT_PORT': 1})
    monkeypatch.setattr(lt.LTObservationForm.base_fields['project'], 'choices', [('PL1', 'A proposal')])
    for each in lt.LTFacility.observation_forms.values():
        monkeypatch.setattr(each.base_fields['project'], 'choices', [('PL1', 'A proposal')])
    return there


def lt_parameters(target: Any, kind: str, window: Window) -> dict[str, Any]:
    """What the plugin's form stores where the host's own page filled it in."""
    times = {
        'startdate': f'{window.start:%Y-%m-%d}',
        'starttime': f'{window.start:%H:%M}',
        'enddate': f'{window.end:%Y-%m-%d}',
        'endtime': f'{window.end:%H:%M}',
    }
    common = {'facility': 'LT', 'target_id': target.pk, 'observation_type': kind, 'project': 'PL1', 'photometric': 'light'}
    limits = {'max_airmass': 2.0, 'max_seeing': 1.5, 'max_skybri': 1.0}
    filters = 'URGIZBV', ('Halpha6566', 'Halpha6634', 'Halpha6705', 'Halpha6755', 'Halpha6822')
    ioo = {f'exp_{what}_{name}': value for name in (*filters[0], *filters[1]) for what, value in (('time', 120.0), ('count', 0))}
    kinds = {
        'IOO': {**ioo, 'exp_count_R': 2, 'exp_time_R': 60.0, 'exp_count_G': 1, 'binning': '2x2'},
        'IOI': {'exp_time': 30.0, 'exp_count': 5},
        'SPRAT': {'exp_time': 300.0, 'exp_count': 2, 'grating': 'red'},
        'FRODO': {
            **{'exp_time_blue': 100.0, 'exp_count_blue': 2, 'res_blue': 'low'},
            **{'exp_time_red': 50.0, 'exp_count_red': 2, 'res_red': 'high'},
        },
    }
    return {**common, **limits, **times, **kinds[kind]}


def sent_windows(payload: str) -> set[tuple[str, str]]:
    """The windows in a request to the Liverpool Telescope."""
    ends = [re.findall(rf'<DateTime{end} system="UT" value="([^"]+)"', payload) for end in ('Start', 'End')]
    return set(zip(*ends, strict=True))


def in_rtml(window: Window) -> tuple[str, str]:
    """As the plugin writes a window."""
    return f'{window.start:%Y-%m-%dT%H:%M}:00+00:00', f'{window.end:%Y-%m-%dT%H:%M}:00+00:00'


@pytest.mark.parametrize('kind', ['IOO', 'IOI', 'SPRAT', 'FRODO'])
def test_what_the_liverpool_telescope_is_sent_moves_with_the_window(
    telescope: Any, astronomer: Any, target: Any, kind: str
) -> None:
    gateway = Facilities().gateway('LT', astronomer)
    stored = lt_parameters(target, kind, NIGHTS[0])
    assert gateway.window(stored) == NIGHTS[0]
    assert movement(gateway, stored, NIGHTS[0]).verdict is Verdict.MOVES
    for night in NIGHTS:
        prepared = gateway.prepare(stored, night, {}, lambda data: data)
        assert sent_windows(prepared.payload) == {in_rtml(night)}
        assert prepared.window == gateway.window(prepared.parameters) == night
        stored = prepared.parameters
    seconds = {'IOO': 240, 'IOI': 150, 'SPRAT': 600, 'FRODO': 200}
    assert stored['exposure_seconds_sent'] == seconds[kind]


def test_a_window_within_a_minute_begins_no_earlier_and_is_recorded_as_it_was_sent(
    telescope: Any, astronomer: Any, target: Any
) -> None:
    gateway = Facilities().gateway('LT', astronomer)
    odd = Window(start=NIGHT + timedelta(seconds=61), end=NIGHT + timedelta(hours=2, seconds=1))
    prepared = gateway.prepare(lt_parameters(target, 'IOI', NIGHTS[0]), odd, {}, lambda data: data)
    whole = Window(start=NIGHT + timedelta(minutes=2), end=NIGHT + timedelta(hours=2, minutes=1))
    assert sent_windows(prepared.payload) == {in_rtml(whole)}
    assert prepared.window == gateway.window(prepared.parameters) == whole


def test_without_its_adapter_the_liverpool_telescope_would_get_the_first_window_for_ever(
    telescope: Any, astronomer: Any, target: Any, settings: Any
) -> None:
    settings.TOM_CADENCE = {'FACILITY_ADAPTERS': {'tom_lt.lt.LTFacility': 'tom_cadence.facilities.Adapter'}}
    found = movement(Facilities().gateway('LT', astronomer), lt_parameters(target, 'IOI', NIGHTS[0]), NIGHTS[0])
    assert found.verdict is Verdict.STAYS
    assert 'the first window every night' in found.reason


def test_two_requests_of_one_second_have_numbers_of_their_own(telescope: Any, astronomer: Any, target: Any) -> None:
    gateway = Facilities().gateway('LT', astronomer)
    prepared = gateway.prepare(lt_parameters(target, 'IOI', NIGHTS[0]), NIGHTS[0], {}, lambda data: data)
    numbers = {tuple(gateway.submit(gateway.mark(prepared.payload, token))) for token in ('~aaaaaaaa', '~bbbbbbbb', '~aaaaaaaa')}
    assert len(numbers) == 2


def test_a_rejection_of_the_liverpool_telescope_is_a_refusal(telescope: Any, astronomer: Any, target: Any) -> None:
    gateway = Facilities().gateway('LT', astronomer)
    prepared = gateway.prepare(lt_parameters(target, 'IOI', NIGHTS[0]), NIGHTS[0], {}, lambda data: data)
    telescope.mode = 'reject'
    with pytest.raises(Refused, match='Liverpool Telescope rejects'):
        gateway.submit(prepared.payload)


def test_three_nights_at_the_liverpool_telescope(client: Client, telescope: Any, astronomer: Any, target: Any) -> None:
    client.force_login(astronomer)
    page = go(client, f'target={target.pk}&what=LT|IOI&strategy={RESUME}')
    assert 'Start of the first window' not in page.text, 'its own form asks for it'
    first, asked = NIGHTS[0], lt_parameters(target, 'IOI', NIGHTS[0])
    typed = {name: str(asked[name]) for name in ('startdate', 'starttime', 'enddate', 'endtime', 'project')}
    seen = page.preview(**typed)
    assert f'First window, sent when you start it {show(first.start)}' in seen.text, seen.text
    assert telescope.got == []
    seen.press('Start')
    cadence = DynamicCadence.objects.get()
    for night in NIGHTS[:2]:
        newest = records(cadence)[-1]
        client.post(f'/cadences/observations/{newest.pk}/observed/', {'state': newest.status})  # it cannot be asked
        _now[0] = night.end + timedelta(hours=1)
        assert [line.decision for line in run_cadences(now=_now[0]).lines] == ['submit']
    assert [sent_windows(payload) for payload in telescope.got] == [{in_rtml(night)} for night in NIGHTS]
    assert len(records(cadence)) == len({record.observation_id for record in records(cadence)}) == 3
    assert Submission.objects.filter(state='accepted').count() == 3


def test_a_cadence_of_the_host_s_own_page_goes_on_at_the_liverpool_telescope(telescope: Any, astronomer: Any, target: Any) -> None:
    group = ObservationGroup.objects.create(name='x')
    group.observation_records.add(
        ObservationRecord.objects.create(
            target=target,
            user=astronomer,
            facility='LT',
            parameters=lt_parameters(target, 'FRODO', NIGHTS[0]),
            observation_id='1',
            status='COMPLETED',
        )
    )
    cadence = DynamicCadence.objects.create(
        observation_group=group, cadence_strategy=RESUME, cadence_parameters={'cadence_frequency': 24}, active=True
    )
    for night in NIGHTS[:2]:
        _now[0] = night.end + timedelta(hours=1)
        [line] = run_cadences(now=_now[0]).lines
        assert line.decision == 'submit', line.reason
        ObservationRecord.objects.filter(pk=records(cadence)[-1].pk).update(status='COMPLETED')
    assert [sent_windows(payload) for payload in telescope.got] == [{in_rtml(night)} for night in NIGHTS[1:]]


@pytest.fixture
def swift(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Swift's API: what was sent to be booked (not to be checked), and how it answers."""
    module = plugin('tom_swift.swift')
    settings.TOM_FACILITY_CLASSES = ['tom_swift.swift.SwiftFacility']
    settings.FACILITIES = {'SWIFT': {'SWIFT_USERNAME': 'vera', 'SWIFT_SHARED_SECRET': 'stars-and-more'}}
    there = SimpleNamespace(got=[], status='Accepted', errors=[], number=100)

    def submit(self: Any, *_: Any, **__: Any) -> bool:
        self.status.status, self.status.errors = 'Accepted', []
        if not self.validate_only:
            there.got.append(dict(self.too_api_dict['api_data']))
            there.number += 1
            self.status.too_id = there.number
            self.status.status, self.status.errors = there.status, list(there.errors)
        return self.status.status == 'Accepted'

    api = plugin('swifttools.swift_too.api_common').TOOAPI_Baseclass
    monkeypatch.setattr(api, 'submit', lambda *_, **__: False)  # a facility object alone asks for a list of requests
    monkeypatch.setattr(type(module.SwiftAPI().too), 'submit', submit)
    return there


def swift_parameters(target: Any, window: Window | None = None) -> dict[str, Any]:
    """What the plugin's form stores."""
    given: dict[str, Any] = {
        **{'facility': 'Swift', 'target_id': target.pk, 'observation_type': 'OBSERVATION'},
        **{'target_classification_choices': 'Supernova', 'instrument': 'XRT', 'urgency': '3', 'obs_type': 'Light Curve'},
        **{'immediate_objective': 'Follow the decline.', 'science_just': 'A long story.', 'exposure': 1500.0},
        **{'exp_time_just': 'Enough counts.', 'num_of_visits': 1, 'monitoring_freq': 1, 'monitoring_units': 'day'},
        **{'xrt_mode': 7, 'uvot_mode_choices': str(0x9999), 'poserr': 0.0, 'optical_filter': 'u'},
        **{'grb_detector_choices': 'Swift/BAT', 'debug': False},
    }
    return given if window is None else {**given, 'start': window.start.isoformat(), 'end': window.end.isoformat()}


def test_swift_is_told_the_window_of_each_night_in_words(swift: Any, astronomer: Any, target: Any) -> None:
    gateway = Facilities().gateway('Swift', astronomer)
    stored = swift_parameters(target, NIGHTS[0])
    assert movement(gateway, stored, NIGHTS[0]).verdict is Verdict.MOVES
    for night in NIGHTS:
        prepared = gateway.prepare(stored, night, {}, lambda data: data)
        gateway.submit(gateway.mark(prepared.payload, '~abcdefgh'))
        stored = prepared.parameters
        assert (prepared.window, stored['exposure_seconds_sent']) == (night, 1500)
    words = 'Follow the decline. (Please observe between {} and {}.)'
    assert [sent['immediate_objective'] for sent in swift.got] == [words.format(show(n.start), show(n.end)) for n in NIGHTS]


def test_a_request_to_swift_that_books_nothing_is_not_sent(swift: Any, astronomer: Any, target: Any) -> None:
    gateway = Facilities().gateway('Swift', astronomer)
    with pytest.raises(Refused, match='Debug is ticked'):
        gateway.prepare({**swift_parameters(target, NIGHTS[0]), 'debug': True}, NIGHTS[0], {}, lambda data: data)


@pytest.mark.parametrize('strategy', ['', RESUME])
def test_the_host_s_form_says_that_a_request_to_swift_with_debug_books_nothing(
    client: Client, swift: Any, astronomer: Any, target: Any, strategy: str
) -> None:
    client.force_login(astronomer)
    posted = {**swift_parameters(target, NIGHTS[0]), 'debug': 'on', 'cadence_strategy': strategy, 'cadence_frequency': 24}
    reply = client.post(f'/observations/Swift/create/?target_id={target.pk}', posted)
    said = reply.content.decode()
    assert 'Nothing was sent. Debug is ticked: Swift would check the request, answer with a number, and book nothing.' in said
    assert (ObservationRecord.objects.count(), DynamicCadence.objects.count(), swift.got) == (0, 0, [])
    del posted['debug'], posted['cadence_strategy']
    reply = client.post(f'/observations/Swift/create/?target_id={target.pk}', posted)
    assert (ObservationRecord.objects.count(), len(swift.got)) == (1, 1), reply.content.decode()


@pytest.mark.parametrize(
    ('status', 'errors', 'expected'),
    [
        ('Rejected', ['No such proposal.'], Refused),
        ('Rejected', ['Failed to queue job.'], Uncertain),
        ('Queued', ['Queued job timed out.'], Uncertain),
        ('Unknown', [], Uncertain),
    ],
)
def test_what_swift_answers_is_what_is_said(
    swift: Any, astronomer: Any, target: Any, status: str, errors: list[str], expected: type[Exception]
) -> None:
    gateway = Facilities().gateway('Swift', astronomer)
    prepared = gateway.prepare(swift_parameters(target, NIGHTS[0]), NIGHTS[0], {}, lambda data: data)
    swift.status, swift.errors = status, errors
    with pytest.raises(expected):
        gateway.submit(prepared.payload)


def test_two_requests_to_swift_at_the_same_time_do_not_mix(swift: Any, astronomer: Any, target: Any) -> None:
    gateway = Facilities().gateway('Swift', astronomer)
    gateway.submit(gateway.prepare(swift_parameters(target, NIGHTS[0]), NIGHTS[0], {}, lambda data: data).payload)
    assert gateway.facility.swift_api.too.too_id is None, 'the object that others use, too, was not filled in'


def test_three_nights_at_swift(client: Client, swift: Any, astronomer: Any, target: Any) -> None:
    client.force_login(astronomer)
    page = go(client, f'target={target.pk}&what=Swift|Swift TOO Observation&strategy={RESUME}')
    assert 'Start of the first window' in page.text
    typed = {name: str(value) for name, value in swift_parameters(target).items() if name in ('urgency', 'obs_type', 'exposure')}
    window = {'cadence_window-start': f'{NIGHTS[0].start:%Y-%m-%dT%H:%M}', 'cadence_window-end': f'{NIGHTS[0].end:%Y-%m-%dT%H:%M}'}
    texts = {'exp_time_just': 'Enough counts.', 'science_just': 'A long story.', 'immediate_objective': 'Follow the decline.'}
    chosen = {'target_classification_choices': 'Supernova', 'instrument': 'XRT', 'xrt_mode': '7', 'uvot_mode_choices': str(0x9999)}
    refused = page.preview(**typed, **texts, **window, **chosen)
    assert 'Debug is ticked' in refused.text
    form = page.form('Preview')
    form.find(attrs={'name': 'debug'}).decompose()
    page.preview(**typed, **texts, **window, **chosen).press('Start')
    assert ManagedCadence.objects.get().state == 'active'
    cadence = DynamicCadence.objects.get()
    for night in NIGHTS[:2]:
        newest = records(cadence)[-1]
        client.post(f'/cadences/observations/{newest.pk}/observed/', {'state': newest.status})
        _now[0] = night.end + timedelta(hours=1)
        assert [line.decision for line in run_cadences(now=_now[0]).lines] == ['submit']
    assert [show(night.start) in sent['immediate_objective'] for night, sent in zip(NIGHTS, swift.got, strict=True)] == [True] * 3


def test_eso_is_refused_in_words(astronomer: Any) -> None:
    class ESOFacility:
        """Known by the path of its class."""

        name = 'ESO'

        def set_user(self, user: Any) -> None:
            self.user = user

    ESOFacility.__module__, ESOFacility.__qualname__ = 'tom_eso.eso', 'ESOFacility'
    found = movement(Gateway('ESO', astronomer, ESOFacility), {}, NIGHTS[0])
    assert (found.verdict, 'P2' in found.reason) == (Verdict.STAYS, True)


INSTRUMENT = {
    'name': 'MONET/S',
    'type': 'IMAGE',
    'class': '1m2',
    'optical_elements': {'filters': [{'code': 'R', 'name': 'R'}]},
    'modes': {'readout': {'modes': [{'code': 'fast', 'name': 'Fast'}]}},
}


@pytest.fixture
def monet(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The portal of the IAG, behind ``requests``: what it got to book, and how it answers."""
    for name in ('REQUIRED_NON_SIDEREAL_FIELDS', 'REQUIRED_NON_SIDEREAL_FIELDS_PER_SCHEME'):  # moved in tomtoolkit 3
        monkeypatch.setattr(tom_targets.models, name, getattr(tom_targets.base_models, name, ()), raising=False)
    module = plugin('tom_iag.iag')
    settings.TOM_FACILITY_CLASSES = ['tom_iag.iag.IAGFacility']
    cache.delete('monet_instruments')
    portal = module.PORTAL_URL
    there = SimpleNamespace(got=[], module=module, replies={'validate/': (200, {'errors': {}}), '': (201, None)})

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        status, body = there.replies['validate/' if request.url.endswith('validate/') else '']
        if body is None:
            there.got.append(json.loads(request.body))
            body = {'id': 1, 'requests': [{'id': 500 + len(there.got)}]}
        return status, {}, json.dumps(body)

    def listing(request: Any) -> tuple[int, dict[str, str], str]:
        found = [
            {'id': n, 'name': each['name'], 'created': '2026-11-21T00:00:00Z', 'requests': [{'id': 500 + n, 'state': 'PENDING'}]}
            for n, each in enumerate(there.got, 1)
            if request.params['name'] in each['name']
        ]
        return 200, {}, json.dumps({'results': found, 'next': None})

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        kinds = ('1M2 MONETS QHY163M', '1M2 SBIG8300', '0M5 IAG50CM SBIG6303E')
        mock.get(f'{portal}/api/instruments/', json=dict.fromkeys(kinds, INSTRUMENT))
        mock.get(f'{portal}/api/profile/', json={'proposals': [{'id': 'P', 'title': 'Ours', 'current': True}]})
        mock.add_callback('POST', f'{portal}/api/requestgroups/validate/', callback=answer)
        mock.add_callback('POST', f'{portal}/api/requestgroups/', callback=answer)
        mock.add_callback('GET', f'{portal}/api/requestgroups/', callback=listing)
        yield there
    cache.delete('monet_instruments')


def iag_parameters(target: Any, window: Window) -> dict[str, Any]:
    """What the plugin's form stores."""
    return {
        **{'facility': 'IAG', 'target_id': target.pk, 'observation_type': 'MONET_SOUTH_IMAGING', 'name': 'SN x', 'proposal': 'P'},
        **{'ipp_value': 1.05, 'observation_mode': 'NORMAL', 'instrument_type': '1M2 MONETS QHY163M', 'filter': 'R'},
        **{'exposure_count': 3, 'exposure_time': 20.0, 'max_airmass': 2.0, 'readout_mode': 'fast'},
        **{'acquisition': 'ON', 'guiding': 'OFF', 'start': window.start.isoformat(), 'end': window.end.isoformat()},
    }


def test_the_iag_telescopes_move_and_a_lost_reply_is_found(monet: Any, astronomer: Any, target: Any) -> None:
    gateway = Facilities().gateway('IAG', astronomer)
    stored = iag_parameters(target, NIGHTS[0])
    assert movement(gateway, stored, NIGHTS[0]).verdict is Verdict.MOVES
    assert gateway.can_look_up
    for night in NIGHTS:
        prepared = gateway.prepare(stored, night, {}, lambda data: data)
        token = f'~mark{night.start:%d}aa'
        assert gateway.find(sought(token, NIGHT, prepared.payload)) == []
        booked = gateway.submit(gateway.mark(prepared.payload, token))
        assert gateway.find(sought(token, NIGHT, prepared.payload)) == booked
        [window] = monet.got[-1]['requests'][0]['windows']
        assert read_window(window['start'], window['end']) == night
        stored = prepared.parameters
        assert stored['exposure_seconds_sent'] == 60
