"""System checks: each mistake has its id and a hint, the example TOM has none, and a bad path speaks before Django's own check."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from tests.support import oddities
from tests.support.proofs import some
from tom_cadence import checks, conf, registry
from tom_cadence.models import ManagedCadence

ROOT = Path(__file__).parents[2]
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'
OURS = [f'tom_cadence.strategies.{RETRY}', f'tom_cadence.strategies.{RESUME}']
TOOLKIT = list(registry.TOOLKIT)
Change = Callable[[Any, Any], None]


def naive() -> datetime:
    return datetime.now()


def fixed() -> datetime:
    return datetime(2026, 11, 21, tzinfo=timezone.utc)


def nothing() -> None:
    return None


class Elsewhere:
    """A router that sends the journal to another database than the records."""

    def db_for_write(self, model: Any, **_: Any) -> str:
        return 'journal' if model._meta.app_label == 'tom_cadence' else 'default'


def setting(name: str, value: Any) -> Change:
    return lambda settings, patch: setattr(settings, name, value)


def sqlite_options(**options: Any) -> Change:
    def change(settings: Any, patch: Any) -> None:
        patch.setitem(connections['default'].settings_dict, 'OPTIONS', options)

    return change


def apps_with_ours_last(settings: Any, patch: Any) -> None:
    patch.setattr(checks, 'get_commands', lambda: {'runcadencestrategies': 'tom_observations'})


# (id, what is wrong, a word of the message or hint)
MISTAKES: list[tuple[str, Change, str]] = [
    ('E001', setting('TOM_CADENCE', ['SETTLE_TIME']), 'TOM_CADENCE = {'),
    ('E001', setting('TOM_CADENCE', None), 'not a dictionary'),
    ('E002', setting('TOM_CADENCE', {'SETTLE_TIME': '600'}), 'SETTLE_TIME'),
    ('E002', setting('TOM_CADENCE', {'SETTLE_TIME': -1}), '-1'),
    ('E002', setting('TOM_CADENCE', {'SETTLE_TIME': None}), 'None'),
    ('E002', setting('TOM_CADENCE', {'SETTLE_TIME': True}), 'True'),
    ('E002', setting('TOM_CADENCE', {'SETTLE_TIME': float('nan')}), 'nan'),
    ('E002', setting('TOM_CADENCE', {'SETTLE_TIME': float('inf')}), 'inf'),
    ('E002', setting('TOM_CADENCE', {'BATCH_SIZE': 0}), 'BATCH_SIZE'),
    ('E002', setting('TOM_CADENCE', {'FACILITY_TIMEOUT': 0}), 'FACILITY_TIMEOUT'),
    ('E002', setting('TOM_CADENCE', {'FACILITY_CALLS': 2.5}), 'FACILITY_CALLS'),
    ('E002', setting('TOM_CADENCE', {'RESUBMIT_CANCELLED': 'no'}), 'RESUBMIT_CANCELLED'),
    ('E002', setting('TOM_CADENCE', {'CANCELLED_STATES': 'CANCELED'}), 'CANCELLED_STATES'),
    ('E003', setting('TOM_CADENCE', {'CLOCK': 'no.such.clock'}), 'CLOCK'),
    ('E003', setting('TOM_CADENCE', {'CLOCK': f'{__name__}.naive'}), 'time zone'),
    ('E003', setting('TOM_CADENCE', {'CLOCK': f'{__name__}.nothing'}), 'CLOCK'),
    ('E004', setting('USE_TZ', False), 'USE_TZ = True'),
    ('E005', setting('DATABASE_ROUTERS', [f'{__name__}.Elsewhere']), 'Route tom_cadence'),
    ('W001', setting('TOM_CADENCE', {'SETTLETIME': 600}), 'SETTLETIME'),
    ('W002', setting('TOM_CADENCE_STRATEGIES', [OURS[0], f'{oddities.HERE}.{RETRY}']), RETRY),
    ('W003', apps_with_ours_last, 'runcadences'),
    ('W004', sqlite_options(timeout=30), 'IMMEDIATE'),
    ('W004', sqlite_options(transaction_mode='IMMEDIATE', timeout=5), 'timeout'),
    ('W004', sqlite_options(transaction_mode='IMMEDIATE'), 'timeout'),
    ('W005', setting('TOM_CADENCE_STRATEGIES', TOOLKIT), OURS[0]),
]


CHECK_OF = {
    **dict.fromkeys(['E001', 'E002', 'E003', 'W001'], checks.settings_check),
    **dict.fromkeys(['W002', 'W005'], checks.strategies_check),
    'E004': checks.time_zone_check,
    'E005': checks.database_router_check,
    'W003': checks.command_check,
    'W004': checks.sqlite_check,
}


def found(databases: list[str] | None = None) -> list[Any]:
    every = run_checks(databases=databases)
    return [message for message in every if (message.id or '').startswith('tom_cadence.')]


@pytest.mark.parametrize(('number', 'change', 'word'), MISTAKES)
def test_each_mistake_has_an_id_and_a_hint(settings: Any, monkeypatch: Any, number: str, change: Change, word: str) -> None:
    change(settings, monkeypatch)
    messages = [message for message in CHECK_OF[number]() if message.id == f'tom_cadence.{number}']
    assert len(messages) == 1
    assert messages[0].hint
    assert word in messages[0].msg + messages[0].hint
    assert messages[0].is_serious() is number.startswith('E')


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(('number', 'change'), [('W006', {'strategy': 'GoneStrategy'}), ('W007', {'facility': 'Gone observatory'})])
def test_an_active_cadence_that_names_what_is_gone_is_a_warning(make_cadence: Any, number: str, change: dict[str, str]) -> None:
    cadence = make_cadence(**change)
    ManagedCadence.objects.update(facility=change.get('facility', 'Simulated observatory'))
    (message,) = found(['default'])
    assert message.id == f'tom_cadence.{number}'
    assert next(iter(change.values())) in message.msg
    assert str(cadence.pk) in message.msg
    assert 'attention' in message.hint
    assert found() == []
    cadence.active = False
    cadence.save()
    assert found(['default']) == []


def test_every_id_is_tried_here() -> None:
    tried = {f'tom_cadence.{number}' for number, _, _ in MISTAKES}
    tried |= {f'tom_cadence.{each}' for each in ('W006', 'W007', 'W008', 'I001')}
    assert tried == set(checks.IDS)


@pytest.mark.django_db
def test_the_example_tom_has_nothing_to_complain_about() -> None:
    assert found(['default']) == []


@pytest.mark.parametrize('value', ['SETTLE_TIME', 'FACILITY_TIMEOUT', 'CLAIM_TIME'])
def test_a_good_setting_is_not_complained_about(settings: Any, value: str) -> None:
    settings.TOM_CADENCE = {value: 60, 'CLOCK': f'{__name__}.fixed', 'CANCELLED_STATES': ['GONE']}
    assert checks.settings_check() == []
    assert conf.utc_now() == fixed()


def test_the_toolkit_s_classes_are_replaced_unless_switched_off(settings: Any) -> None:
    settings.TOM_CADENCE_STRATEGIES = TOOLKIT
    assert {each.__module__.split('.')[0] for each in registry.strategies().values()} == {'tom_cadence'}
    settings.TOM_CADENCE = {'REPLACE_TOOLKIT_STRATEGIES': False}
    assert {each.__module__.split('.')[0] for each in registry.strategies().values()} == {'tom_observations'}
    assert checks.strategies_check() == []


def test_without_the_setting_ours_are_used_and_nothing_is_said(settings: Any) -> None:
    if hasattr(settings, 'TOM_CADENCE_STRATEGIES'):
        del settings.TOM_CADENCE_STRATEGIES
    assert registry.strategies() == {name: registry.import_string(path) for name, path in registry.OURS.items()}
    assert checks.strategies_check() == []


def test_of_two_strategies_with_one_name_the_later_wins(settings: Any) -> None:
    settings.TOM_CADENCE_STRATEGIES = [*OURS, f'{oddities.HERE}.{RETRY}']
    assert registry.strategy_class(RETRY) is getattr(oddities, RETRY)


@pytest.mark.parametrize('value', ['tom_cadence.strategies.X', None, 5, {'a': 1}, [None], [5]])
def test_a_setting_that_is_no_list_of_paths_is_named(settings: Any, value: Any) -> None:
    settings.TOM_CADENCE_STRATEGIES = value
    with pytest.raises(ImproperlyConfigured, match='TOM_CADENCE_STRATEGIES'):
        registry.validate_paths()


BAD_PATHS = {
    f'tom_observations.cadence.{RETRY}': OURS[0],
    f'tom_observations.cadence.{RESUME}': OURS[1],
    f'tom_observations.cadences.{RESUME}': OURS[1],
    'no.such.module.Strategy': 'no.such',
    'tom_cadence.strategies.Gone': 'Gone',
    'Strategy': 'Strategy',
}


@pytest.mark.parametrize('path', BAD_PATHS)
def test_a_bad_path_is_named_with_what_to_write_instead(settings: Any, path: str) -> None:
    settings.TOM_CADENCE_STRATEGIES = [path]
    with pytest.raises(ImproperlyConfigured, match='TOM_CADENCE_STRATEGIES') as said:
        registry.validate_paths()
    assert repr(path) in str(said.value)
    assert BAD_PATHS[path] in str(said.value)


LATER = pytest.mark.prove(why='a whole TOM starts for each of them')


@pytest.mark.slow
@pytest.mark.parametrize('path', some(BAD_PATHS, list(BAD_PATHS)[:1], LATER))
def test_a_tom_with_a_bad_path_says_so_when_it_starts(tmp_path: Path, path: str) -> None:
    (tmp_path / 'badly_set.py').write_text(f'from mytom.settings import *\nTOM_CADENCE_STRATEGIES = [{path!r}]\n')
    environment = {
        **os.environ,
        'DJANGO_SETTINGS_MODULE': 'badly_set',
        'PYTHONPATH': f'{tmp_path}:{ROOT}:{django_settings.BASE_DIR}',
    }
    command = [sys.executable, '-m', 'django', 'check']
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert 'ImproperlyConfigured' in last
    assert 'TOM_CADENCE_STRATEGIES' in last
    assert repr(path) in last
    assert BAD_PATHS[path] in last
