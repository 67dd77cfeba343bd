"""What becomes of each row when what it hangs on goes: as docs/what-becomes-of-rows.md says, told to somebody, no page fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command

from tests.conftest import NIGHT, at
from tests.house.test_docs import DOCS
from tests.permissions.test_permission_matrix import RULES
from tests.support import rows
from tests.support.matrix import TELLTALE, People, everything_said
from tests.support.rows import APPS, EVENTS, Event, Stage
from tests.support.webform import without_sky_plots
from tom_cadence.journal import site_key
from tom_cadence.models import Notice
from tom_forced_phot.models import PhotometryNotice

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = (DOCS / 'what-becomes-of-rows.md').read_text()
STAYS = 'stays'
#: Words for rows that do not go on as they did.
STOPPED = ('needs attention', 'ends', 'pauses', 'fails', 'is held', 'goes')
#: The toolkit's own pages that fail without this project, too, and why.
HOSTS_OWN = {
    'Its target is merged into another one': r'/targets/\d+/observation-list/',  # raises for a target that is gone
    'Its target is deleted': r'/targets/\d+/observation-list/',
    'Its facility is removed from the settings': r'/targets/\d+/(observation-list/)?|/observations/(list|\d+)/',
}
#: What the page says is not private any more: without the app's rows a template is the toolkit's, which has no owners.
NOBODYS = {'The app is removed and installed again': r'/observation-templates/.*|/observations/template/.*'}
CASES = [pytest.param(event, act, id=act.__name__) for event, acts in EVENTS.items() for act in acts]
QUICK = [case for case in CASES if case.id != 'reinstalled']
SLOW = pytest.param(*CASES[-1].values, id='reinstalled', marks=pytest.mark.prove(why='migrates both apps to nothing and back'))


class Clock:
    """The TOM's."""

    now = NIGHT


def present() -> datetime:
    return Clock.now


@pytest.fixture(autouse=True)
def tonight(settings: Any, observatory: Any, tmp_path: Any) -> Iterator[None]:
    """Ten hours after NIGHT, when what was booked is done; the photometry service is away."""
    here, Clock.now = f'{__name__}.present', NIGHT
    settings.TOM_CADENCE = {'CLOCK': here, 'FACILITY_TIMEOUT': 20, 'NOTIFY_BY_MAIL': False}
    settings.TOM_FORCED_PHOT = {'CLOCK': here, 'CONNECT_TIMEOUT': 1, 'READ_TIMEOUT': 1, 'SYNCHRONOUS_TIME': 0, 'NOTICE_WAIT': 0}
    services = settings.FORCED_PHOTOMETRY_SERVICES
    settings.FORCED_PHOTOMETRY_SERVICES = {**services, 'ATLAS': {**services['ATLAS'], 'url': 'http://127.0.0.1:9', 'api_key': 'k'}}
    settings.MEDIA_ROOT = tmp_path
    settings.TARGET_PERMISSIONS_ONLY = True
    with without_sky_plots():
        yield


def table(heading: str) -> dict[str, list[str]]:
    """First cell -> the other cells, below a heading of the page."""
    text = PAGE.partition(f'\n## {heading}\n')[2].partition('\n## ')[0]
    lines = [[cell.strip() for cell in line.strip('| ').split(' | ')] for line in text.splitlines() if line.startswith('| ')]
    return {cells[0]: cells[1:] for cells in lines[1:] if set(cells[0]) != {'-'}}


def run_everything() -> None:
    """Both commands of cron, three times, an hour apart."""
    for _ in range(3):
        Clock.now += timedelta(hours=1)
        for command in ('runcadencestrategies', 'runforcedphotometry'):
            with suppress(SystemExit):  # 1 where something is wrong, which is what is tried here
                call_command(command, stdout=StringIO(), stderr=StringIO())


def notices() -> dict[str, set[int]]:
    return {
        app: set(model.objects.values_list('pk', flat=True)) for app, model in zip(APPS, (Notice, PhotometryNotice), strict=True)
    }


def test_the_page_knows_every_row_and_every_event() -> None:
    kinds = {name: cells[0].strip('`') for name, cells in table('What is kept').items()}
    ours = {f'{model.__module__}.{model.__name__}' for app in APPS for model in apps.get_app_config(app).get_models()}
    assert set(kinds.values()) == ours, 'a new model belongs on the page, and into tests/support/rows.py'
    assert set(re.findall(r'^## (.*)$', PAGE, flags=re.MULTILINE)) - {'What is kept'} == set(EVENTS)
    for event in EVENTS:
        assert set(table(event)) <= set(kinds), event


@pytest.mark.parametrize(('event', 'act'), [*QUICK, SLOW])
def test_each_row_becomes_what_the_page_says_and_somebody_is_told(
    event: str, act: Event, observatory: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage = rows.build(People(True), observatory, settings)
    before, told = {name: rows.values(row) for name, row in stage.rows.items()}, notices()
    with ExitStack() as stack:
        Clock.now = at(10)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            act(stage, observatory, stack)
            left = {name for name, row in stage.rows.items() if rows.values(row) is not None}
            run_everything()
            site_key()  # the next request that is sent has one, whether any was sent by now or not
        found = {name: rows.became(name, before[name], rows.values(row), stage) for name, row in stage.rows.items()}
        kinds = {name: type(row) for name, row in stage.rows.items()}
        expected = {name: table(event).get(name, [STAYS])[0] for name in found}
        # of tables that were made anew, another row may have its number by now
        found |= {name: 'goes' for name in found if name not in left and expected[name] == 'goes'}
        assert {name: word for name, word in found.items() if word != expected[name]} == {}, expected
        if found['cadence'] == STAYS:
            assert len(observatory.log()) == 3, 'the cadence goes on'
        for app in APPS:
            stopped = [name for name, word in found.items() if kinds[name]._meta.app_label == app and word.startswith(STOPPED[:5])]
            said = [record for record in caplog.records if record.name.startswith(app) and record.levelno >= logging.WARNING]
            assert not stopped or notices()[app] - told[app] or said, f'{stopped} stopped, and nobody was told'
    windows = [booking['start'] for booking in observatory.log()]
    assert len(windows) == len(set(windows)), 'nothing is booked twice'


@pytest.mark.prove(why='opens a hundred pages as four people after each event')
@pytest.mark.parametrize(('event', 'act'), CASES)
def test_no_page_fails_and_strangers_see_nothing(
    event: str, act: Event, observatory: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    people, wrong = People(True), []
    stage = rows.build(people, observatory, settings)
    addresses = _addresses(stage)
    with ExitStack() as stack:
        Clock.now = at(10)
        act(stage, observatory, stack)
        run_everything()
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, logging.NOTSET)
        for role in ('anonymous', 'stranger', 'owner', 'superuser'):
            if role == 'owner' and not type(stage.owner).objects.filter(pk=stage.owner.pk).exists():
                continue
            browser = people.browser(role)
            for address in addresses:
                answer = browser.get(address)
                hosts = re.fullmatch(HOSTS_OWN.get(event, 'none'), address)
                if answer.status_code >= 500 and not hosts:
                    wrong.append(f'{answer.status_code} for {role} at {address}')
                # the host offers every visitor the names of all observation groups in its list of observations
                nobodys = re.fullmatch(NOBODYS.get(event, 'none'), address)
                if role in ('anonymous', 'stranger') and address != '/observations/list/' and not nobodys:
                    said = everything_said(answer).lower().replace('=hus', '')
                    wrong += [f'{role} is told a private name at {address}'] * (TELLTALE in said)
    assert not wrong, '\n'.join(wrong)


def _addresses(stage: Stage) -> list[str]:
    """Our pages, the host's, and the admin's of our rows."""
    rules = [rule for rules in RULES.values() for rule in rules]
    ours = {rule.address(stage.case) for rule in rules if rule.name not in ('booked', 'again', 'look')}
    target, record = stage.case.target.pk, stage.case.record.pk
    hosts = {
        '/', '/targets/', f'/targets/{target}/', f'/targets/{stage.heir.pk}/', f'/targets/{target}/observation-list/',
        '/observations/list/', f'/observations/{record}/', '/observations/groups/list/', '/observations/status/', '/users/',
        '/users/profile/', '/dataproducts/data/', '/api/observations/', '/api/targets/', '/admin/',
        '/admin/tom_observations/dynamiccadence/', f'/admin/auth/user/{stage.owner.pk}/change/',
    }  # fmt: skip
    for row in stage.rows.values():
        if type(row) in admin.site._registry:
            here = f'/admin/{row._meta.app_label}/{row._meta.model_name}/'
            hosts |= {here, f'{here}{row.pk}/change/'}
    return sorted(ours | hosts)
