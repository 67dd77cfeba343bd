"""What users of 0.1.0 know is still there: settings, addresses, commands, checks, tables, blocks, and what their code imports.

``public_0_1_0.json`` was read from that release. Things are added to it, and nothing is taken away without a major version.
"""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands
from django.urls import resolve
from django.utils.module_loading import import_string

APPS = ('tom_cadence', 'tom_forced_phot')
KNOWN: dict[str, Any] = json.loads(Path(__file__).with_name('public_0_1_0.json').read_text())


def test_every_setting_is_still_read() -> None:
    for app in APPS:
        conf = import_module(f'{app}.conf')
        assert set(KNOWN['settings'][conf.NAME]) <= set(conf.SETTINGS)


def test_every_table_keeps_its_name() -> None:
    tables = {model._meta.db_table for app in APPS for model in apps.get_app_config(app).get_models()}
    assert set(KNOWN['tables']) <= tables


def test_every_check_keeps_its_id() -> None:
    assert set(KNOWN['checks']) <= {name for app in APPS for name in import_module(f'{app}.checks').IDS}


@pytest.mark.parametrize(('namespace', 'app'), [('cadences', 'tom_cadence'), ('photometry', 'tom_forced_phot')])
def test_every_address_keeps_its_name_and_path(namespace: str, app: str) -> None:
    now = {f'{pattern.name}: {pattern.pattern}' for pattern in import_module(f'{app}.urls').urlpatterns}
    assert set(KNOWN['urls'][namespace]) - now == set()


def test_every_address_of_the_host_that_was_answered_is_answered() -> None:
    for app in APPS:
        for path in KNOWN['host_urls'][app]:
            found = resolve('/' + re.sub(r'<int:\w+>', '1', re.sub(r'<str:\w+>', 'x', path)))
            answers = getattr(found.func, 'view_class', None) or getattr(found.func, 'cls', None) or found.func
            assert answers.__module__.startswith(app), path


def test_every_command_is_there() -> None:
    ours = {name for name, app in get_commands().items() if app in APPS}
    assert set(KNOWN['commands']) <= ours


def test_every_block_of_a_template_can_still_be_extended() -> None:
    for name, blocks in KNOWN['blocks'].items():
        text = next(
            (path / name).read_text()
            for path in (Path(apps.get_app_config(app).path, 'templates') for app in APPS)
            if (path / name).exists()
        )
        assert set(blocks) <= set(re.findall(r'{% block (\w+)', text)), name


@pytest.mark.parametrize('path', KNOWN['importable'])
def test_what_code_of_a_site_imports_can_still_be_imported(path: str) -> None:
    assert import_string(path) is not None
