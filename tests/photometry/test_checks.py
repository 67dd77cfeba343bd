"""System checks of tom_forced_phot: each mistake in the settings has its id and a hint that says what to write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from tom_forced_phot import checks
from tom_forced_phot.models import PhotometryQuery, WorkerSign
from tom_forced_phot.services import BaseForcedPhotometryService, ForcedPhotometryService

Change = Callable[[Any, Any], None]
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)
OLD, NEW = 'tom_dataproducts.forced_photometry', 'tom_dataproducts.single_target_data_service'
ATLAS = 'tom_forced_phot.services.atlas.AtlasForcedPhotometryService'


def naive() -> datetime:
    return datetime.now()


def fixed() -> datetime:
    return NOW


class Lighthouse(ForcedPhotometryService):
    """A service of the site's own, with two credentials."""

    name = 'Lighthouse'
    default_url = 'https://lighthouse.example.org'
    credentials = {'user': 'LIGHTHOUSE_USER', 'password': 'LIGHTHOUSE_PASSWORD'}


class Namesake(ForcedPhotometryService):
    """Has the name of another."""

    name = 'ATLAS'
    default_url = 'https://fallingstar-data.com/forcedphot'


class Tutorial(BaseForcedPhotometryService):
    """As the toolkit's tutorial and its first ATLAS service have it: no argument, and ``super().__init__`` not called."""

    name = 'Tutorial'

    def __init__(self) -> None:
        super().__init__  # noqa: B018 - as it stands there
        self.success_message = 'Wait.'

    def query_service(self, query_parameters: Any) -> Any:
        return None


class Elsewhere:
    """A router that sends the queries to another database than the products."""

    def db_for_write(self, model: Any, **_: Any) -> str:
        return 'photometry' if model._meta.app_label == 'tom_forced_phot' else 'default'


def setting(name: str, value: Any) -> Change:
    return lambda settings, patch: setattr(settings, name, value)


def services(**entries: Any) -> Change:
    return setting('FORCED_PHOTOMETRY_SERVICES', entries)


def lighthouse(**entry: Any) -> Change:
    def change(settings: Any, patch: Any) -> None:
        for name in Lighthouse.credentials.values():
            patch.delenv(name, raising=False)
        account = {'user': 'vera', 'password': 'stars'}
        settings.FORCED_PHOTOMETRY_SERVICES = {'L': {'class': f'{__name__}.Lighthouse', **account, **entry}}

    return change


def without(name: str, key: str, value: Any = None) -> Change:
    """One key of a dictionary in the settings taken out, or changed."""

    def change(settings: Any, patch: Any) -> None:
        settings.FORCED_PHOTOMETRY_SERVICES = {'ATLAS': {'class': ATLAS, 'api_key': 'x'}}
        kept = {**getattr(settings, name), key: value}
        setattr(settings, name, {each: found for each, found in kept.items() if found is not None})

    return change


def workers(installed: bool, broker: bool) -> Change:
    def change(settings: Any, patch: Any) -> None:
        patch.setattr(checks, 'apps', SimpleNamespace(is_installed=lambda name: installed))
        if broker:
            settings.DRAMATIQ_BROKER = {}
        elif hasattr(settings, 'DRAMATIQ_BROKER'):
            del settings.DRAMATIQ_BROKER

    return change


# (id, what is wrong, a word of the message, a word of the hint)
MISTAKES: list[tuple[str, Change, str, str]] = [
    ('E001', setting('TOM_FORCED_PHOT', ['CLOCK']), 'not a dictionary', 'TOM_FORCED_PHOT = {'),
    ('E001', setting('TOM_FORCED_PHOT', None), 'not a dictionary', 'TOM_FORCED_PHOT = {'),
    ('E002', setting('TOM_FORCED_PHOT', {'READ_TIMEOUT': '60'}), "['READ_TIMEOUT'] is '60'", 'For example 60'),
    ('E002', setting('TOM_FORCED_PHOT', {'READ_TIMEOUT': 0}), '0', 'silent in the middle'),
    ('E002', setting('TOM_FORCED_PHOT', {'CLAIM_TIME': None}), 'None', '900'),
    ('E002', setting('TOM_FORCED_PHOT', {'CLAIM_TIME': True}), 'True', '900'),
    ('E002', setting('TOM_FORCED_PHOT', {'OVERLAP_DAYS': float('nan')}), 'nan', '14'),
    ('E002', setting('TOM_FORCED_PHOT', {'OVERLAP_DAYS': float('inf')}), 'inf', '14'),
    ('E002', setting('TOM_FORCED_PHOT', {'SWEEP': 2.5}), 'SWEEP', '20'),
    ('E002', setting('TOM_FORCED_PHOT', {'RESULT_LIMIT': 10}), 'RESULT_LIMIT', '200000000'),
    ('E003', setting('TOM_FORCED_PHOT', {'CLOCK': 'no.such.clock'}), 'CLOCK', 'aware datetime'),
    ('E003', setting('TOM_FORCED_PHOT', {'CLOCK': f'{__name__}.naive'}), 'time zone', 'aware datetime'),
    ('E004', setting('FORCED_PHOTOMETRY_SERVICES', [ATLAS]), 'is list', "{'ATLAS': {'class'"),
    ('E004', services(ATLAS=ATLAS), "['ATLAS'] has no 'class'", "{'ATLAS': {'class'"),
    ('E004', services(ATLAS={'api_key': 'x'}), "['ATLAS'] has no 'class'", "{'ATLAS': {'class'"),
    ('E005', services(ATLAS={'class': 'no.such.Service'}), "'no.such.Service' cannot be imported", 'dotted path'),
    ('E005', services(ATLAS={'class': 'datetime.datetime'}), "'datetime.datetime' is not a subclass", 'dotted path'),
    ('E005', services(A={'class': f'{OLD}.atlas.AtlasForcedPhotometryService'}), 'cannot be imported', f"Write '{ATLAS}'"),
    (
        'E005',
        services(A={'class': f'{NEW}.atlas.AtlasForcedPhotometryService'}),
        'is not a subclass of tom_for',
        f"Write '{ATLAS}'",
    ),
    (
        'E005',
        services(P={'class': f'{NEW}.panstarrs_service.panstarrs.PanstarrsSingleTargetDataService'}),
        'is not a subclass of tom_forced_phot.services.ForcedPhotometryService',
        "Write 'tom_forced_phot.services.panstarrs.PanstarrsForcedPhotometryService'",
    ),
    ('E006', lighthouse(url='lighthouse.example.org'), "['L']['url'] is 'lighthouse.example.org'", 'https://lighthouse'),
    (
        'E007',
        without('DATA_PRODUCT_TYPES', 'atlas_photometry'),
        "'atlas_photometry', which DATA_PRODUCT_TYPES",
        "'ATLAS photometry'",
    ),
    ('E008', setting('DATABASE_ROUTERS', [f'{__name__}.Elsewhere']), 'no transaction spans', 'Route tom_forced_phot'),
    ('E009', setting('USE_TZ', False), 'USE_TZ is off', 'USE_TZ = True'),
    ('W001', setting('TOM_FORCED_PHOT', {'READTIMEOUT': 60}), "no key 'READTIMEOUT'", 'READ_TIMEOUT'),
    ('W002', lighthouse(user='', password=''), 'has no user and password', 'LIGHTHOUSE_USER and LIGHTHOUSE_PASSWORD'),
    ('W003', without('DATA_PROCESSORS', 'atlas_photometry'), "lacks 'atlas_photometry'", 'AtlasProcessor'),
    ('W003', without('DATA_PROCESSORS', 'atlas_photometry', 'no.such.Processor'), "'no.such.Processor'", 'dotted path'),
    (
        'W004',
        setting('SINGLE_TARGET_DATA_SERVICES', {}),
        'ignore FORCED_PHOTOMETRY_SERVICES',
        'Take SINGLE_TARGET_DATA_SERVICES out',
    ),
    (
        'W005',
        services(A={'class': ATLAS, 'api_key': 'x'}, B={'class': f'{__name__}.Namesake'}),
        "'A' and 'B' in FORCED_PHOTOMETRY_SERVICES are both services called 'ATLAS'",
        'its own name',
    ),
    ('W006', workers(installed=True, broker=False), 'without DRAMATIQ_BROKER', 'RedisBroker'),
    ('W007', workers(installed=False, broker=True), 'not in INSTALLED_APPS', "Add 'django_dramatiq'"),
    ('W010', lighthouse(url='http://lighthouse.example.org'), 'credentials go out readable', 'https'),
]


CHECK_OF: dict[str, Callable[[], list[Any]]] = {
    **dict.fromkeys(['E001', 'E002', 'E003', 'E009', 'W001'], checks.settings_check),
    **dict.fromkeys(['E004', 'E005', 'E006', 'E007', 'W002', 'W003', 'W005', 'W010'], checks.services_check),
    'E008': checks.database_router_check,
    'W004': checks.host_check,
    **dict.fromkeys(['W006', 'W007'], checks.workers_check),
}


def found(databases: list[str] | None = None) -> list[Any]:
    every = run_checks(databases=databases)
    return [message for message in every if (message.id or '').startswith('tom_forced_phot.')]


@pytest.mark.parametrize(('number', 'change', 'word', 'advice'), MISTAKES)
def test_each_mistake_has_an_id_and_a_hint(
    settings: Any, monkeypatch: Any, number: str, change: Change, word: str, advice: str
) -> None:
    change(settings, monkeypatch)
    messages = [message for message in CHECK_OF[number]() if message.id == f'tom_forced_phot.{number}']
    assert len(messages) == 1
    assert word in messages[0].msg
    assert advice in messages[0].hint
    assert messages[0].is_serious() is number.startswith('E')


@pytest.mark.django_db
def test_tables_that_are_not_there_are_said_with_the_command_that_makes_them(monkeypatch: Any) -> None:
    monkeypatch.setattr(connection.introspection, 'table_names', lambda *_: [])
    (message,) = checks.database_check(['default'])
    assert message.id == 'tom_forced_phot.W008'
    assert message.hint == 'manage.py migrate tom_forced_phot'


@pytest.fixture
def overdue(settings: Any, target: Any) -> PhotometryQuery:
    """A query nobody came back to for an hour."""
    settings.TOM_FORCED_PHOT = {'CLOCK': f'{__name__}.fixed'}
    before = NOW - timedelta(hours=1)
    return PhotometryQuery.objects.create(service='ATLAS', target=target, question='x', created=before, next_step=before)


def test_open_queries_that_nobody_works_on_are_a_warning(overdue: Any) -> None:
    (message,) = checks.database_check(['default'])
    assert message.id == 'tom_forced_phot.W009'
    assert message.msg == 'One open query is overdue: nothing was ever at work.'
    assert 'runforcedphotometry' in message.hint
    assert 'rundramatiq' in message.hint
    WorkerSign.objects.create(kind='command', seen=NOW - timedelta(hours=2))
    (message,) = checks.database_check(['default'])
    assert message.msg == 'One open query is overdue: nothing has been at work since 2026-11-21 06:00 UTC.'


def test_where_somebody_was_at_work_lately_nothing_is_said(overdue: Any, settings: Any) -> None:
    WorkerSign.objects.create(kind='worker', seen=NOW - timedelta(minutes=40))
    assert checks.database_check(['default']) == []
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'EXPECTED_INTERVAL': 600}
    assert [message.id for message in checks.database_check(['default'])] == ['tom_forced_phot.W009']


def test_a_query_that_has_ended_is_not_overdue(overdue: Any) -> None:
    PhotometryQuery.objects.update(state='done')
    assert checks.database_check(['default']) == []


def test_the_database_is_left_alone_unless_it_is_named(overdue: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert checks.database_check() == []


@pytest.mark.django_db
@pytest.mark.parametrize('wrong', [{'CLOCK': 'no.such.clock'}, {'EXPECTED_INTERVAL': '15 minutes'}, ['CLOCK']])
def test_a_wrong_setting_is_reported_once_and_does_not_break_the_check_of_the_database(settings: Any, wrong: Any) -> None:
    settings.TOM_FORCED_PHOT = wrong
    assert checks.database_check(['default']) == []
    with pytest.raises(SystemCheckError, match=r'tom_forced_phot\.E00[123]'):
        call_command('check', '--database', 'default')


def test_every_id_is_tried_here() -> None:
    tried = {f'tom_forced_phot.{number}' for number, *_ in MISTAKES}
    assert tried | {'tom_forced_phot.W008', 'tom_forced_phot.W009'} == set(checks.IDS)


def test_one_bad_service_does_not_hide_what_is_wrong_with_the_next(settings: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv('ATLAS_FORCED_PHOTOMETRY_API_KEY', raising=False)
    settings.FORCED_PHOTOMETRY_SERVICES = {'GONE': {'class': 'no.such.Service'}, 'ATLAS': {'class': ATLAS}}
    assert [message.id for message in checks.services_check()] == ['tom_forced_phot.E005', 'tom_forced_phot.W002']


def test_a_credential_in_the_environment_is_as_good_as_one_in_the_settings(settings: Any, monkeypatch: Any) -> None:
    settings.FORCED_PHOTOMETRY_SERVICES = {'ATLAS': {'class': ATLAS, 'api_key': 'your atlas account api token'}}
    monkeypatch.delenv('ATLAS_FORCED_PHOTOMETRY_API_KEY', raising=False)
    assert [message.id for message in checks.services_check()] == ['tom_forced_phot.W002']
    monkeypatch.setenv('ATLAS_FORCED_PHOTOMETRY_API_KEY', 'a-token')
    assert checks.services_check() == []


def test_a_service_as_the_tutorial_writes_it_needs_no_address_and_no_argument(settings: Any) -> None:
    settings.FORCED_PHOTOMETRY_SERVICES = {'T': {'class': f'{__name__}.Tutorial'}}
    settings.DATA_PROCESSORS = {'photometry': 'tom_dataproducts.processors.photometry_processor.PhotometryProcessor'}
    assert checks.services_check() == []


def test_an_address_on_this_machine_needs_no_encryption(settings: Any, monkeypatch: Any) -> None:
    for address in ('http://127.0.0.1:8910', 'http://localhost:8910/forcedphot', 'http://[::1]:8910'):
        lighthouse(url=address)(settings, monkeypatch)
        assert checks.services_check() == []


@pytest.mark.parametrize('address', ['http://localhost.example.org', 'http://127.0.0.1.example.org/x'])
def test_a_name_that_only_begins_like_this_machine_does(settings: Any, monkeypatch: Any, address: str) -> None:
    lighthouse(url=address)(settings, monkeypatch)
    assert [message.id for message in checks.services_check()] == ['tom_forced_phot.W010']


def test_a_service_that_cannot_be_made_is_named(settings: Any) -> None:
    settings.FORCED_PHOTOMETRY_SERVICES = {'B': {'class': f'{__name__}.Broken'}}
    (message,) = checks.services_check()
    assert message.id == 'tom_forced_phot.E005'
    assert 'no lamp' in message.msg


class Broken(ForcedPhotometryService):
    """Fails before it is there."""

    name = 'Broken'

    def __init__(self, config: Any = None) -> None:
        raise RuntimeError('no lamp')


@pytest.mark.django_db
def test_the_example_tom_has_nothing_but_its_missing_credentials_to_complain_about(monkeypatch: Any) -> None:
    assert {message.id for message in found(['default'])} <= {'tom_forced_phot.W002'}
