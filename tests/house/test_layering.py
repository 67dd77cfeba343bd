"""Who may import and touch what (CONTRIBUTING.md: the layering rule), read from the source."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

from tests.house.sources import calls, files, imports, uphold

Rule = Callable[[str, ast.AST], Iterator[str]]

PURE_FILES = [name for name in files('tom_cadence') if name.split('/')[1] in ('core', 'simulation', 'exceptions.py')]
STRATEGIES = [name for name in files('tom_cadence') if name.startswith('tom_cadence/strategies/')]

STANDARD = {'__future__', 'collections', 'copy', 'dataclasses', 'datetime', 'decimal', 'enum', 'functools', 'itertools'}
STANDARD |= {'logging', 'math', 're', 'textwrap', 'typing'}
OWN_PURE = {'tom_followup.units', 'tom_cadence.core', 'tom_cadence.exceptions', 'tom_cadence.simulation'}
#: Computing needs more where there are many numbers, nights or events; none of it opens a file, a socket or a database.
SCIENCE = {'numpy', 'astropy', 'astroplan', 'operator', 'warnings', 'contextlib', 'threading'}
SIMULATION = {'heapq', 'types', 'zlib', 'csv', 'io', 'contextlib', 'plotly.graph_objects', 'matplotlib.figure'}
FORM_LIBRARIES = {'django.forms', 'crispy_forms', 'tom_observations.cadence'}

NETWORK = ('requests', 'urllib3', 'urllib.request', 'http', 'httpx', 'aiohttp', 'tom_observations.facilities')
FACILITY_CALLS = {
    'submit_observation',
    'validate_observation',
    'cancel_observation',
    'get_observation_status',
    'update_observation_status',
    'update_all_observation_statuses',
    'observation_payload',
}
ALWAYS_WRITE = {'save', 'bulk_create', 'bulk_update', 'get_or_create', 'update_or_create', 'delete', 'aupdate', 'adelete', 'asave'}
MAY_WRITE = {'create', 'update', 'acreate'}
QUERY = ('.objects', '.filter(', '.exclude(', '.all()', 'rows', 'queryset')

MAY_BE_CALLED = {'conf', 'core', 'engine', 'exceptions', 'flows', 'journal', 'management', 'models', 'simulation', 'tasks'}
THIN = {
    'tom_cadence/management/': MAY_BE_CALLED,
    'tom_cadence/tasks.py': {'engine'},
    'tom_cadence/admin.py': {'models'},
}


def under(module: str, roots: tuple[str, ...] | set[str]) -> bool:
    return any(module == root or module.startswith(root + '.') for root in roots)


def impure(name: str, tree: ast.AST) -> Iterator[str]:
    """A pure module imports pure things only, and never asks what time it is."""
    allowed = STANDARD | OWN_PURE | SCIENCE | {'dateutil'}
    if '/simulation/' in name:
        allowed |= SIMULATION
    if '/strategies/' in name:
        allowed |= {'tom_cadence.strategies'} | FORM_LIBRARIES
    if name.endswith('core/template_fields.py'):
        allowed |= {'django.forms', 'django.utils.html'}
    for module, what, _ in imports(tree):
        whole = f'{module}.{what}' if module in ('django', 'tom_cadence') else module
        if not under(whole, allowed):
            yield f'imports {whole}'
    for call, receiver, called in calls(tree):
        if called in ('now', 'utcnow', 'today', 'utc_now', 'localtime') or receiver == 'time':
            yield f'asks a clock: {receiver}.{called}()'
        if called in ('open', 'write_html', 'write_text', 'write_bytes') or (called == 'default_rng' and not call.args):
            yield f'writes a file, or draws without a seed: {receiver}.{called}()'


def reaching_out(name: str, tree: ast.AST) -> Iterator[str]:
    """Only facilities/ reaches out; checks.py may read the names of the configured facilities."""
    if name.startswith('tom_cadence/facilities/'):
        return
    for module, what, _ in imports(tree):
        reads_names = name == 'tom_cadence/checks.py' and what == 'get_service_classes'
        if under(module, NETWORK) or (module == 'tom_observations.facility' and not reads_names):
            yield f'imports {module}'
    for _, receiver, called in calls(tree):
        if called in FACILITY_CALLS:
            yield f'calls a facility: {receiver}.{called}()'


def writing(name: str, tree: ast.AST) -> Iterator[str]:
    """Only journal/ writes rows."""
    if name.startswith('tom_cadence/journal/'):
        return
    modules = {what or module for module, what, _ in imports(tree)}
    for _, receiver, called in calls(tree):
        certainly = called in ALWAYS_WRITE and receiver and receiver not in modules
        if certainly or (called in MAY_WRITE and any(part in receiver for part in QUERY)):
            yield f'writes rows: {receiver}.{called}()'


def thick(name: str, tree: ast.AST) -> Iterator[str]:
    """Commands, tasks and the admin only call what does the work."""
    allowed = next((rooms for start, rooms in THIN.items() if name.startswith(start)), None)
    if allowed is None:
        return
    for module, what, _ in imports(tree):
        path = f'{module}.{what}'.split('.') if module == 'tom_cadence' else module.split('.')
        if path[0] == 'tom_cadence' and path[1] not in allowed:
            yield f'imports {module}'


def test_pure_modules_know_no_database_no_network_and_no_clock() -> None:
    uphold(impure, PURE_FILES + STRATEGIES)


@pytest.mark.parametrize('rule', [reaching_out, writing, thick])
def test_each_room_does_its_own_job(rule: Rule) -> None:
    uphold(rule, files('tom_cadence'))


PLANTED = [
    (impure, 'tom_cadence/core/windows.py', 'import requests'),
    (impure, 'tom_cadence/core/windows.py', 'from django.db import models'),
    (impure, 'tom_cadence/core/windows.py', 'from django.utils import timezone'),
    (impure, 'tom_cadence/core/history.py', 'from tom_observations.models import ObservationRecord'),
    (impure, 'tom_cadence/core/policy.py', 'from tom_cadence import conf'),
    (impure, 'tom_cadence/core/policy.py', 'from tom_cadence.models import Submission'),
    (impure, 'tom_cadence/core/decisions.py', 'import time'),
    (impure, 'tom_cadence/core/decisions.py', 'from datetime import datetime\nprint(datetime.now(tz))'),
    (impure, 'tom_cadence/simulation/clock.py', 'from tom_cadence import conf'),
    (impure, 'tom_cadence/simulation/clock.py', 'from tom_cadence.flows.simulate import fan'),
    (impure, 'tom_cadence/simulation/clock.py', 'from tom_cadence.models import ManagedCadence'),
    (impure, 'tom_cadence/simulation/clock.py', 'from random import random'),
    (impure, 'tom_cadence/simulation/observatory.py', 'numpy.random.default_rng()'),
    (impure, 'tom_cadence/simulation/figure.py', 'figure.write_html("x.html")'),
    (impure, 'tom_cadence/core/history.py', 'import heapq'),
    (impure, 'tom_cadence/strategies/retry.py', 'def decide():\n    from tom_cadence.engine import run_one'),
    (impure, 'tom_cadence/strategies/base.py', 'from tom_cadence.engine import run_one'),
    (impure, 'tom_cadence/strategies/base.py', 'def decide():\n    from tom_cadence.engine import run_one'),
    (impure, 'tom_cadence/strategies/resume.py', 'from tom_observations.facility import get_service_class'),
    (reaching_out, 'tom_cadence/engine/send.py', 'import requests'),
    (reaching_out, 'tom_cadence/engine/send.py', 'def f():\n    from requests.adapters import HTTPAdapter'),
    (reaching_out, 'tom_cadence/host.py', 'from tom_observations.facilities.lco import LCOFacility'),
    (reaching_out, 'tom_cadence/engine/snapshot.py', 'from tom_observations.facility import get_service_classes'),
    (reaching_out, 'tom_cadence/engine/send.py', 'facility.submit_observation(payload)'),
    (writing, 'tom_cadence/engine/send.py', 'submission.save()'),
    (writing, 'tom_cadence/engine/send.py', 'Submission.objects.create(cause="x")'),
    (writing, 'tom_cadence/admin.py', 'ManagedCadence.objects.filter(pk=1).update(state="active")'),
    (writing, 'tom_cadence/tasks.py', 'rows.update(state="active")'),
    (writing, 'tom_cadence/signals.py', 'CadenceRun.objects.bulk_create([])'),
    (writing, 'tom_cadence/host.py', 'managed.delete()'),
    (thick, 'tom_cadence/management/commands/x.py', 'from tom_cadence.facilities import Gateway'),
    (thick, 'tom_cadence/management/commands/x.py', 'from tom_cadence import registry'),
    (thick, 'tom_cadence/tasks.py', 'from tom_cadence import journal'),
    (thick, 'tom_cadence/admin.py', 'from tom_cadence.engine import run_cadences'),
]


@pytest.mark.parametrize(('rule', 'name', 'planted'), PLANTED, ids=[f'{rule.__name__}: {text}' for rule, _, text in PLANTED])
def test_a_planted_breach_is_found(rule: Rule, name: str, planted: str) -> None:
    assert list(rule(name, ast.parse(planted))) != []


@pytest.mark.parametrize(
    ('rule', 'name', 'allowed'),
    [
        (impure, 'tom_cadence/core/windows.py', 'if TYPE_CHECKING:\n    from tom_observations.models import ObservationRecord'),
        (impure, 'tom_cadence/strategies/base.py', 'from tom_cadence.core.decisions import Wait'),
        (reaching_out, 'tom_cadence/facilities/gateway.py', 'import requests'),
        (writing, 'tom_cadence/journal/requests.py', 'submission.save()'),
        (writing, 'tom_cadence/engine/look.py', 'from tom_cadence.engine import poll\npoll.save(looked)'),
        (writing, 'tom_cadence/engine/look.py', 'found.update(a=1)'),
    ],
)
def test_what_is_allowed_is_not_complained_about(rule: Rule, name: str, allowed: str) -> None:
    assert list(rule(name, ast.parse(allowed))) == []
