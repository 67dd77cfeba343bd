"""Who may import and touch what in tom_forced_phot (CONTRIBUTING.md: the layering rule), read from the source."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

from tests.house.sources import calls, files, imports, uphold

Rule = Callable[[str, ast.AST], Iterator[str]]
APP = 'tom_forced_phot'
EVERY = files(APP)
MODULES = {name.removesuffix('.py').replace('/', '.') for name in EVERY}

PURE = ('exceptions', 'services/protocol', *(f'lightcurve/{name}' for name in ('columns', 'curve', 'payload', 'words')))
PURE_FILES = [f'{APP}/{name}.py' for name in PURE]
PURE_FILES += [name for name in EVERY if name.startswith((f'{APP}/core/', f'{APP}/readers/', f'{APP}/cleaning/'))]
SERVICES = [name for name in EVERY if name.startswith(f'{APP}/services/') and name not in PURE_FILES]

STANDARD = {
    '__future__',
    'codecs',
    'collections',
    'contextlib',
    'copy',
    'csv',
    'dataclasses',
    'datetime',
    'email.utils',
    'enum',
    'functools',
}
STANDARD |= {'html', 'io', 'itertools', 'json', 'math', 're', 'typing', 'xml.parsers', 'zlib'}
NUMBERS = {'numpy', 'erfa'}
OWN_PURE = {'tom_followup.units', f'{APP}.core', f'{APP}.readers', f'{APP}.cleaning'}
OWN_PURE |= {f'{APP}.{name.replace("/", ".")}' for name in PURE}
FORMS = {'django.forms', 'crispy_forms', 'tom_dataproducts.single_target_data_service.single_target_data_service'}

NETWORK = {'requests', 'urllib3', 'urllib.request', 'http', 'httpx', 'aiohttp', 'socket', 'ssl', 'ftplib', 'smtplib', 'astroquery'}
CLOCKS = {'now', 'utcnow', 'today', 'localtime', 'utcfromtimestamp'}
DOORS = {'open', 'read_text', 'read_bytes', 'write_text', 'write_bytes', 'urlopen', 'send', 'enqueue'}
ALWAYS_WRITE = {'save', 'bulk_create', 'bulk_update', 'get_or_create', 'update_or_create', 'delete', 'aupdate', 'adelete', 'asave'}
MAY_WRITE = {'create', 'update', 'acreate'}
QUERY = ('.objects', '.filter(', '.exclude(', '.all()', 'rows', 'queryset', 'mine')
WRITERS = (f'{APP}/queries/', f'{APP}/ingest/')

THIN = {
    f'{APP}/management/': {'conf', 'core', 'exceptions', 'models', 'queries', 'registry', 'subscriptions'},
    f'{APP}/tasks.py': {'conf', 'models', 'queries'},
    f'{APP}/admin.py': {'models'},
    f'{APP}/signals.py': {'ingest'},
    f'{APP}/processors.py': {'ingest'},
}


def under(module: str, roots: set[str]) -> bool:
    return any(module == root or module.startswith(root + '.') for root in roots)


def whole(module: str, what: str) -> str:
    """The module that is meant by ``from django import forms`` and ``from tom_forced_phot.services import ztf_pages``."""
    return f'{module}.{what}' if module == 'django' or f'{module}.{what}' in MODULES else module


def impure(name: str, tree: ast.AST) -> Iterator[str]:
    """A pure module imports pure things only, and never asks what time it is."""
    for module, what, _ in imports(tree):
        if not under(whole(module, what), STANDARD | NUMBERS | OWN_PURE):
            yield f'imports {whole(module, what)}'
    yield from asking_a_clock(name, tree)
    yield from opening(name, tree)


def asking_a_clock(name: str, tree: ast.AST) -> Iterator[str]:
    for _, receiver, called in calls(tree):
        if called in CLOCKS | {'utc_now'} or receiver == 'time':
            yield f'asks a clock: {receiver}.{called}()'


def opening(name: str, tree: ast.AST) -> Iterator[str]:
    for _, receiver, called in calls(tree):
        if called in DOORS:
            yield f'opens or sends: {receiver}.{called}()'


def doing(name: str, tree: ast.AST) -> Iterator[str]:
    """A service describes: it imports forms, pure things and other services, is handed its settings, and opens nothing."""
    if name not in SERVICES:
        return
    for module, what, _ in imports(tree):
        found = whole(module, what)
        if not under(found, STANDARD | NUMBERS | OWN_PURE | FORMS | {f'{APP}.services', 'os'}):
            yield f'imports {found}'
    for _, receiver, called in calls(tree):
        if receiver.startswith('os') and receiver != 'os.environ':
            yield f'asks the system: {receiver}.{called}()'
    yield from asking_a_clock(name, tree)
    yield from opening(name, tree)


def reaching_out(name: str, tree: ast.AST) -> Iterator[str]:
    """Only http.py talks to services; only queries/ lets it."""
    for module, what, _ in imports(tree):
        if name != f'{APP}/http.py' and under(whole(module, what), NETWORK):
            yield f'imports {module}'
        if whole(module, what) == f'{APP}.http' and not name.startswith(f'{APP}/queries/'):
            yield f'imports {APP}.http'


def writing(name: str, tree: ast.AST) -> Iterator[str]:
    """Only queries/ and ingest/ write rows; subscriptions.py those of its own table."""
    if name.startswith(WRITERS):
        return
    modules = {what or module for module, what, _ in imports(tree)}
    for _, receiver, called in calls(tree):
        if name == f'{APP}/subscriptions.py' and (receiver == 'rows' or receiver.startswith('PhotometrySubscription.objects')):
            continue
        certainly = called in ALWAYS_WRITE and receiver and receiver not in modules
        if certainly or (called in MAY_WRITE and any(part in receiver for part in QUERY)):
            yield f'writes rows: {receiver}.{called}()'


def of_subscriptions_only(name: str, tree: ast.AST) -> Iterator[str]:
    """In subscriptions.py, what is called ``rows`` is rows of PhotometrySubscription."""
    if name != f'{APP}/subscriptions.py':
        return
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(node.targets[0].elts, node.value.elts, strict=True))
        elif isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
        elif isinstance(node, ast.AugAssign):
            pairs = [(node.target, node.value)]
        for target, value in pairs:
            given = ast.unparse(value)
            if ast.unparse(target) == 'rows' and not given.startswith(('PhotometrySubscription.objects', 'rows.')):
                yield f'rows = {given}'


def thick(name: str, tree: ast.AST) -> Iterator[str]:
    """Commands, tasks, the admin and what the host calls only call what does the work."""
    allowed = next((rooms for start, rooms in THIN.items() if name.startswith(start)), None)
    if allowed is None:
        return
    for module, what, _ in imports(tree):
        path = f'{module}.{what}'.split('.') if module == APP else module.split('.')
        if path[0] == APP and path[1] not in allowed:
            yield f'imports {module}'


def own_time(name: str, tree: ast.AST) -> Iterator[str]:
    """One clock, in conf.py; a stopwatch in http.py."""
    for module, what, _ in imports(tree):
        if module == 'time' and name != f'{APP}/http.py':
            yield 'imports time'
        if whole(module, what) == 'django.utils.timezone' or (module, what) == ('django.utils', 'timezone'):
            yield 'imports django.utils.timezone'
    for _, receiver, called in calls(tree):
        if called in CLOCKS:
            yield f'asks a clock: {receiver}.{called}()'


RULES: list[Rule] = [doing, reaching_out, writing, of_subscriptions_only, thick, own_time]


def test_pure_modules_know_no_database_no_network_and_no_clock() -> None:
    uphold(impure, PURE_FILES)


@pytest.mark.parametrize('rule', RULES)
def test_each_room_does_its_own_job(rule: Rule) -> None:
    uphold(rule, EVERY)


def test_every_service_is_looked_at() -> None:
    assert {f'{APP}/services/{name}.py' for name in ('base', 'atlas', 'ztf', 'panstarrs')} <= set(SERVICES)


PLANTED: list[tuple[Rule, str, str]] = [
    (impure, 'core/photometry.py', 'from django.db import models'),
    (impure, 'core/photometry.py', 'from tom_dataproducts.models import DataProduct'),
    (impure, 'core/photometry.py', 'from tom_forced_phot import conf'),
    (impure, 'core/photometry.py', 'from tom_forced_phot.models import LightCurve'),
    (impure, 'core/states.py', 'from django.utils import timezone'),
    (impure, 'core/states.py', 'import time'),
    (impure, 'core/states.py', 'from datetime import datetime\nx = datetime.now(tz)'),
    (impure, 'core/dates.py', 'from astropy.time import Time'),
    (impure, 'exceptions.py', 'from django.core.exceptions import ValidationError'),
    (impure, 'readers/atlas.py', 'from astropy.io import ascii'),
    (impure, 'readers/ztf.py', 'def f(name):\n    return open(name).read()'),
    (impure, 'readers/ztf.py', 'def f(path):\n    return path.read_bytes()'),
    (impure, 'cleaning/ztf.py', 'from tom_forced_phot.ingest import ingest'),
    (impure, 'services/protocol.py', 'import requests'),
    (doing, 'services/atlas.py', 'import requests'),
    (doing, 'services/atlas.py', 'from tom_forced_phot import http'),
    (doing, 'services/atlas.py', 'from tom_forced_phot import conf'),
    (doing, 'services/atlas.py', 'from tom_forced_phot import registry'),
    (doing, 'services/atlas.py', 'from tom_targets.models import Target'),
    (doing, 'services/base.py', 'def f():\n    from tom_forced_phot.models import PhotometryQuery'),
    (doing, 'services/panstarrs.py', 'import os\nos.remove("x")'),
    (doing, 'services/ztf.py', 'from pathlib import Path'),
    (doing, 'services/ztf.py', 'from datetime import datetime\nx = datetime.now(tz)'),
    (doing, 'services/ztf.py', 'def results(self):\n    return open("x")'),
    (doing, 'services/base.py', 'from django.utils import timezone'),
    (doing, 'services/new.py', 'import requests'),
    (reaching_out, 'queries/submit.py', 'import requests'),
    (reaching_out, 'queries/submit.py', 'def f():\n    from urllib3 import PoolManager'),
    (reaching_out, 'ingest/store.py', 'from urllib.request import urlopen'),
    (reaching_out, 'ingest/store.py', 'from tom_forced_phot import http'),
    (reaching_out, 'services/base.py', 'from tom_forced_phot.http import send'),
    (reaching_out, 'management/commands/x.py', 'from tom_forced_phot.http import send'),
    (writing, 'host.py', 'query.save()'),
    (writing, 'tasks.py', 'PhotometryQuery.objects.filter(pk=1).update(state="done")'),
    (writing, 'pages/ask/views.py', 'PhotometryQuery.objects.create(service="ATLAS")'),
    (writing, 'queries/health.py', 'WorkerSign.objects.get_or_create(kind="x")'),
    (writing, 'checks.py', 'rows.update(state="done")'),
    (writing, 'signals.py', 'instance.delete()'),
    (writing, 'subscriptions.py', 'PhotometryQuery.objects.filter(pk=1).update(state="done")'),
    (writing, 'subscriptions.py', 'LightCurve.objects.update_or_create(service="x")'),
    (writing, 'subscriptions.py', 'subscription.save()'),
    (writing, 'processors.py', 'PhotometryReducedDatum.objects.bulk_create([])'),
    (of_subscriptions_only, 'subscriptions.py', 'rows = PhotometryQuery.objects.all()'),
    (of_subscriptions_only, 'subscriptions.py', 'rows, text = PhotometryQuery.objects.all(), ""'),
    (thick, 'management/commands/x.py', 'from tom_forced_phot.ingest import ingest'),
    (thick, 'management/commands/x.py', 'from tom_forced_phot import http'),
    (thick, 'tasks.py', 'from tom_forced_phot import ingest'),
    (thick, 'tasks.py', 'def f():\n    from tom_forced_phot.services import ForcedPhotometryService'),
    (thick, 'admin.py', 'from tom_forced_phot import queries'),
    (thick, 'signals.py', 'from tom_forced_phot.models import LightCurve'),
    (own_time, 'queries/drive.py', 'import time'),
    (own_time, 'ingest/store.py', 'from time import sleep'),
    (own_time, 'queries/ask.py', 'from django.utils import timezone'),
    (own_time, 'http.py', 'from datetime import datetime\nx = datetime.now(timezone.utc)'),
]


@pytest.mark.parametrize(
    ('rule', 'name', 'planted'), PLANTED, ids=[f'{rule.__name__} {name}: {text}' for rule, name, text in PLANTED]
)
def test_a_planted_breach_is_found(rule: Rule, name: str, planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith('services/') and f'{APP}/{name}' not in EVERY:
        monkeypatch.setitem(globals(), 'SERVICES', [*SERVICES, f'{APP}/{name}'])
    assert list(rule(f'{APP}/{name}', ast.parse(planted))) != []


ALLOWED: list[tuple[Rule, str, str]] = [
    (impure, 'core/photometry.py', 'if TYPE_CHECKING:\n    from tom_targets.models import Target'),
    (impure, 'readers/ztf.py', 'from tom_forced_phot.readers.text import decode\nimport numpy as np'),
    (doing, 'services/atlas.py', 'from django import forms\nfrom crispy_forms.layout import Layout'),
    (doing, 'services/base.py', 'import os\nx = os.environ.get("X", "")'),
    (reaching_out, 'http.py', 'import requests, urllib3'),
    (reaching_out, 'queries/submit.py', 'from tom_forced_phot import http'),
    (reaching_out, 'http.py', 'from urllib.parse import urlsplit'),
    (writing, 'queries/rows.py', 'PhotometryQuery.objects.update(state="done")'),
    (writing, 'ingest/store.py', 'curve.save()'),
    (writing, 'subscriptions.py', 'PhotometrySubscription.objects.filter(pk=1).update(active=False)'),
    (writing, 'tasks.py', 'seen = {}\nseen.update(a=1)'),
    (thick, 'tasks.py', 'from tom_forced_phot import conf, queries'),
    (doing, 'services/base.py', 'config_of = None'),
    (own_time, 'http.py', 'import time\nend = time.monotonic()'),
    (own_time, 'queries/drive.py', 'from tom_forced_phot import conf\nx = conf.utc_now()'),
]


@pytest.mark.parametrize(
    ('rule', 'name', 'allowed'), ALLOWED, ids=[f'{rule.__name__} {name}: {text}' for rule, name, text in ALLOWED]
)
def test_what_is_allowed_is_not_complained_about(rule: Rule, name: str, allowed: str) -> None:
    assert list(rule(f'{APP}/{name}', ast.parse(allowed))) == []
