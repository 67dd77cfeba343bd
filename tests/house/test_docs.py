"""The documentation says what the code says."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.house.sources import ROOT
from tom_cadence import checks, conf
from tom_cadence.core.parameters import OWN_FIELDS
from tom_forced_phot import checks as phot_checks
from tom_forced_phot import conf as phot_conf
from tom_forced_phot.cleaning import CUTS
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.services import ForcedPhotometryService
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService
from tom_forced_phot.services.panstarrs import PanstarrsForcedPhotometryService
from tom_forced_phot.services.ztf import ZtfForcedPhotometryService

DOCS = ROOT / 'docs'
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob('*.md') if '_build' not in path.parts)
TEXTS = [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')] + [DOCS / page for page in PAGES]
SETTINGS = {'TOM_CADENCE': conf.SETTINGS, 'TOM_FORCED_PHOT': phot_conf.SETTINGS}
EACH_SETTING = [(app, name) for app, known in SETTINGS.items() for name in known]
SERVICES: dict[str, type[ForcedPhotometryService]] = {
    'atlas': AtlasForcedPhotometryService,
    'ztf': ZtfForcedPhotometryService,
    'panstarrs': PanstarrsForcedPhotometryService,
}
#: Names of the toolkit's pages, and of a TOM that stands for the reader's.
NOT_OURS = re.compile(r'[EWI]\d{3}')


def rows(page: str, heading: str = '') -> dict[str, str]:
    """First cell (a name in backticks) -> the whole line, of all tables of a page, or of what is below a heading."""
    text = (DOCS / page).read_text()
    if heading:
        text = text.partition(f'\n## {heading}\n')[2].partition('\n## ')[0]
    return dict(re.findall(r'^\| `([^`]+)` \|(.*)$', text, flags=re.MULTILINE))


def cells(page: str) -> dict[str, str]:
    """First cell -> second cell, of all tables of a page."""
    return dict(re.findall(r'^\| ([^|]+) \| ([^|]+) \|$', (DOCS / page).read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize('app', SETTINGS)
def test_the_settings_page_lists_every_setting_and_no_other(app: str) -> None:
    assert {name for name in rows('settings.md', f'`{app}`') if name.isupper()} == set(SETTINGS[app])


@pytest.mark.parametrize(('app', 'name'), EACH_SETTING)
def test_the_settings_page_gives_the_default(app: str, name: str) -> None:
    default = SETTINGS[app][name].default
    shown = ', '.join(default) if isinstance(default, tuple) else str(default)
    assert shown.replace("'", '') in re.sub("[`'()\\[\\]]", '', rows('settings.md', f'`{app}`')[name])


@pytest.mark.parametrize('name', phot_conf.SETTINGS)
def test_the_settings_page_says_what_the_setting_says_itself(name: str) -> None:
    shown = re.sub(r'\[([^\]]+)\]\([^)]+\)', r'\1', rows('settings.md', '`TOM_FORCED_PHOT`')[name]).replace('`', '')
    assert phot_conf.SETTINGS[name].text in shown


def test_the_checks_page_lists_every_check_and_no_other() -> None:
    assert set(rows('checks.md')) == set(checks.IDS) | set(phot_checks.IDS)


@pytest.mark.parametrize('number', [*checks.IDS, *phot_checks.IDS])
def test_the_checks_page_says_what_the_check_says(number: str) -> None:
    known: dict[str, str] = {**checks.IDS, **phot_checks.IDS}
    assert known[number] in rows('checks.md')[number]


def test_the_strategies_page_lists_every_parameter() -> None:
    assert set(OWN_FIELDS) <= set(rows('strategies.md'))


def test_the_photometry_page_names_every_state_and_how_it_is_called() -> None:
    shown = rows('photometry.md', 'What becomes of a question')
    assert {str(state): state.words for state in QueryState} == {name: line.split('|')[0].strip() for name, line in shown.items()}


def test_the_photometry_page_shows_every_option_of_the_command() -> None:
    from argparse import ArgumentParser

    from tom_forced_phot.management.commands.runforcedphotometry import Command

    parser = ArgumentParser()
    Command().add_arguments(parser)
    options = {text for action in parser._actions for text in action.option_strings if text.startswith('--')} - {'--help'}
    table = '\n'.join(line for line in (DOCS / 'photometry.md').read_text().splitlines() if line.startswith('| `--'))
    assert set(re.findall(r'--[a-z]+', table)) == options


@pytest.mark.parametrize('page', SERVICES)
def test_a_service_page_names_what_its_settings_need(page: str) -> None:
    service, text = SERVICES[page], (DOCS / 'services' / f'{page}.md').read_text()
    assert f"'class': '{service.__module__}.{service.__name__}'" in text
    assert text.count(service.default_url) >= 2
    assert f'`{service().get_data_product_type()}`' in text
    keys = rows(f'services/{page}.md', 'Settings')
    for key, variable in service.credentials.items():
        assert f'`{variable}`' in keys[key]


@pytest.mark.parametrize('page', SERVICES)
def test_a_service_page_gives_the_limits_that_are_kept(page: str) -> None:
    service, shown = SERVICES[page], cells(f'services/{page}.md')
    assert shown['positions in one request'] == str(service.batch_size)
    assert shown['requests a minute that change something'].startswith(str(service.writes_a_minute))
    assert shown['other requests a minute'].startswith(str(service.reads_a_minute))
    hours = service.patience / 3600
    assert shown['a query fails after'] == (f'{hours / 24:g} days' if hours > 48 else f'{hours:g} hours')
    for name, value in shown.items():
        if name.startswith('our '):
            assert value.startswith(str(service.open_jobs))


def test_every_cut_has_a_place_on_the_page_of_its_service() -> None:
    shown = {*rows('services/atlas.md'), *rows('services/ztf.md'), *rows('services/panstarrs.md')}
    assert {f"CUTS['{name}']" for name in CUTS} <= shown


def test_the_page_for_new_services_gives_the_defaults_of_the_base_class() -> None:
    base, shown = ForcedPhotometryService, rows('add-a-service.md', 'The resumable way')
    assert shown['settle_time'].split('|')[0].strip() == f'{base.settle_time:g}'
    assert shown['look_again'].split('|')[0].strip() == f'{base.look_again[0]:g}, {base.look_again[1]:g}'
    assert shown['patience'].split('|')[0].strip() == f'{base.patience / 86400:g} days'
    text = (DOCS / 'add-a-service.md').read_text()
    numbers = f'| {base.open_jobs}, {base.writes_a_minute}, {base.reads_a_minute} |'
    assert f'| `open_jobs`, `writes_a_minute`, `reads_a_minute` {numbers}' in text


@pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
def test_what_is_shown_as_python_is_python(path: Path) -> None:
    for block in re.findall(r'^ *```python\n(.*?)^ *```', path.read_text(), flags=re.MULTILINE | re.DOTALL):
        indent = len(block) - len(block.lstrip(' '))
        ast.parse('\n'.join(line[indent:] for line in block.splitlines()))


@pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
def test_every_name_of_ours_exists(path: Path) -> None:
    for name in set(re.findall(r'\b(tom_(?:cadence|forced_phot)(?:\.\w+)+)', path.read_text())):
        if not NOT_OURS.search(name):
            assert exists(name), name


def exists(name: str) -> bool:
    """Whether a dotted path leads to a module, or to something in one."""
    module, found, parts = '', None, name.split('.')
    for number in range(len(parts), 0, -1):
        try:
            found = import_module('.'.join(parts[:number]))
        except ModuleNotFoundError:
            continue
        module = '.'.join(parts[:number])
        break
    thing: ModuleType | Any = found
    for part in parts[len(module.split('.')) :]:
        if not hasattr(thing, part):
            return False
        thing = getattr(thing, part)
    return found is not None


@pytest.mark.parametrize('name', ['tom_forced_phot.conf', 'tom_forced_phot.queries.ask', 'tom_cadence.strategies.CadenceStrategy'])
def test_a_name_that_exists_is_found(name: str) -> None:
    assert exists(name)


@pytest.mark.parametrize('name', ['tom_forced_phot.gone', 'tom_forced_phot.queries.tell', 'tom_cadence.strategies.Gone'])
def test_a_name_that_does_not_exist_is_not(name: str) -> None:
    assert not exists(name)


def test_the_settings_to_copy_are_those_of_the_example_tom(settings: Any) -> None:
    blocks = re.findall(r'^ *```python\n(.*?)^ *```', (DOCS / 'photometry.md').read_text(), flags=re.MULTILINE | re.DOTALL)
    text = '\n'.join('\n'.join(line[3:] for line in block.splitlines()) for block in blocks if 'TOMTOOLKIT' not in block)
    shown: dict[str, Any] = {'os': import_module('os')}
    exec(compile(text, 'photometry.md', 'exec'), shown)  # noqa: S102 - our own page
    for key, entry in settings.FORCED_PHOTOMETRY_SERVICES.items():
        assert shown['FORCED_PHOTOMETRY_SERVICES'][key]['class'] == entry['class']
    assert shown['DATA_PRODUCT_TYPES'] == settings.DATA_PRODUCT_TYPES
    assert shown['DATA_PROCESSORS'] == settings.DATA_PROCESSORS


@pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
def test_no_page_names_a_path_of_somebodys_machine(path: Path) -> None:
    assert not re.search(r'(?<![\w.])/(work|root|home)/\w', path.read_text())


def test_what_one_sees_is_what_the_pages_and_commands_say() -> None:
    """The words in italics of the table of what one sees, around what differs from case to case."""
    text = (DOCS / 'operating.md').read_text().partition('\n## What one sees, and what one does\n')[2].partition('\n## ')[0]
    sources = [
        path for app in ('tom_cadence', 'tom_forced_phot') for kind in ('py', 'html') for path in (ROOT / app).rglob(f'*.{kind}')
    ]
    said = re.sub(r"'\s*f?'|\s+", ' ', '\n'.join(path.read_text() for path in sources)).lower()
    seen = [words for line in text.splitlines() if line.startswith('| ') for words in re.findall(r'\*([^*]+)\*', line)]
    parts = {part.strip().lower() for words in seen for part in words.split('...') if len(part.strip()) > 3}
    assert len(parts) > 15
    assert {part for part in parts if part not in said} == set()
