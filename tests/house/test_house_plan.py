"""The rules of the house, read from the source: arrows only go down, nothing is hidden, each thing has one name and one room.

Each rule takes the whole code and lists all that breaks it. The tables say what is allowed; the rules know no module by name.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from functools import cached_property
from pathlib import PurePosixPath

import pytest

from tests.house.sources import ROOT, calls, files, imports, parsed

APPS = ('tom_cadence', 'tom_forced_phot')

#: From the top to the bottom. A room may import rooms of the rows below its own, and of its own row nothing but what stands
#: with it in brackets. A room is a package or a module at the root of an app.
LAYERS = {
    'tom_cadence': """
        apps urls
        admin checks management signals host
        tasks [pages templatetags]
        flows
        simulation integrations
        engine
        journal facilities
        registry permissions
        strategies
        models
        conf
        core
        bounds exceptions
    """,
    'tom_forced_phot': """
        apps urls
        admin checks management signals host
        processors tasks [pages templatetags]
        subscriptions lightcurve integrations
        queries
        ingest http
        registry permissions
        services
        readers cleaning
        models
        conf
        core
        exceptions
    """,
}
#: What surfaces may call: nothing that a caller of theirs could not call as well.
THIN = {
    'tom_cadence/admin.py': {'models'},
    'tom_cadence/tasks.py': {'engine'},
    'tom_cadence/signals.py': {'conf', 'journal'},
    'tom_cadence/management/*': {'conf', 'core', 'engine', 'exceptions', 'flows', 'journal', 'models', 'simulation', 'tasks'},
    'tom_forced_phot/admin.py': {'models'},
    'tom_forced_phot/tasks.py': {'conf', 'models', 'queries'},
    'tom_forced_phot/signals.py': {'conf', 'ingest', 'queries', 'subscriptions'},
    'tom_forced_phot/processors.py': {'ingest'},
    'tom_forced_phot/management/*': {'conf', 'core', 'exceptions', 'models', 'queries', 'registry', 'subscriptions'},
}
#: One app imports the other here only.
CROSSINGS = ('tom_cadence/integrations/*', 'tom_forced_phot/integrations/*')

#: What computes: values in, values out. With what it may import besides its like and the standard library's calculators.
PURE = {
    'tom_cadence/core/*': {'astroplan', 'astropy', 'contextlib', 'dateutil', 'decimal', 'json', 'logging', 'threading', 'warnings'},
    'tom_cadence/strategies/*': {
        'crispy_forms', 'dateutil', 'django.forms', 'tom_cadence.core', 'tom_followup.fields', 'tom_observations.cadence',
    },
    'tom_cadence/simulation/*': {
        'astroplan', 'astropy', 'contextlib', 'csv', 'dateutil', 'heapq', 'io', 'matplotlib.figure', 'plotly.graph_objects',
        'tom_cadence.core', 'types', 'warnings', 'zlib',
    },
    'tom_forced_phot/core/*': {'erfa'},
    'tom_forced_phot/readers/*': {
        'codecs', 'contextlib', 'csv', 'erfa', 'html', 'io', 'json', 'tom_forced_phot.core', 'xml.parsers', 'zlib',
    },
    'tom_forced_phot/cleaning/*': {'tom_forced_phot.core'},
    'tom_forced_phot/services/*': {
        'crispy_forms', 'csv', 'django.forms', 'email.utils', 'erfa', 'html', 'io', 'json', 'os', 'tom_forced_phot.core',
        'tom_followup.fields', 'tom_forced_phot.cleaning', 'tom_forced_phot.readers',
        'tom_dataproducts.single_target_data_service.single_target_data_service',
    },
    'tom_followup/dates.py': {'contextlib', 'dateutil'},
    'tom_followup/units.py': {'astropy'},
}  # fmt: skip
CALCULATORS = {
    '__future__', 'collections', 'copy', 'dataclasses', 'datetime', 'enum', 'functools', 'itertools', 'math', 'numpy', 'operator',
    're', 'textwrap', 'typing', 'tom_followup.dates', 'tom_followup.failpoints', 'tom_followup.labels', 'tom_followup.redaction',
    'tom_followup.units',
    'decimal', 'logging',
    'tom_cadence.core.bounds', 'tom_cadence.exceptions', 'tom_forced_phot.exceptions',
}  # fmt: skip
CLOCKS = {'now', 'utcnow', 'today', 'localtime', 'utcfromtimestamp', 'utc_now'}
DOORS = {'open', 'read_text', 'read_bytes', 'write_text', 'write_bytes', 'write_html', 'urlopen', 'send', 'enqueue'}
#: Where a stopwatch or a pause is the matter itself, and where the one clock is; pages show times in the zone of their reader.
TIMED = ('*/conf.py', '*/http.py', '*/facilities/*', '*/engine/*', '*/flows/*', 'tom_followup/retry.py', 'tom_followup/settings.py')
TIMED += ('tom_followup/clock.py',)
ZONED = ('*/pages/*', *TIMED)

#: The doors: who may open a connection, or knows the errors of those that do.
HTTP = ('tom_forced_phot/http.py', 'tom_cadence/facilities/*')
NETWORK = {'requests', 'urllib3', 'urllib.request', 'http', 'httpx', 'aiohttp', 'socket', 'ssl', 'ftplib', 'smtplib', 'astroquery'}
FACILITY_CALLS = {
    'submit_observation', 'validate_observation', 'cancel_observation', 'get_observation_status', 'update_observation_status',
    'update_all_observation_statuses', 'observation_payload',
}  # fmt: skip
#: What asks for names, and nobody over the network: of the facilities in the settings, of this computer.
NAMES = {('tom_cadence/checks.py', 'tom_observations.facility'), ('tom_cadence/journal/claims.py', 'socket')}

#: The rooms that write, and what is theirs; of a room with '*' it is every table of the app that is nobody else's.
WRITERS = {
    'tom_cadence/journal/*': {'*'},
    'tom_forced_phot/ingest/*': {
        'HiddenPoint',
        'IngestedFile',
        'LightCurve',
        'DataProduct',
        'PhotometryReducedDatum',
        'ReducedDatum',
    },
    'tom_forced_phot/subscriptions.py': {'PhotometrySubscription'},
    'tom_forced_phot/queries/*': {'*'},
    # what becomes of a row when its target is deleted, as a foreign key's on_delete
    'tom_followup/target_merge.py': {'*'},
}
ALWAYS_WRITE = {'save', 'bulk_create', 'bulk_update', 'get_or_create', 'update_or_create', 'delete', 'aupdate', 'adelete', 'asave'}
MAY_WRITE = {'create', 'update', 'acreate'}
QUERY = ('.objects', '.filter(', '.exclude(', '.all()', 'rows', 'queryset', 'mine')

#: Imports inside functions that hide no circle, each with its reason: (file, what is imported) by pattern.
LATE = {
    ('*/apps.py', '*'): 'Django has no models before ready()',
    ('*/checks.py', '*.models*'): 'checks are registered before the models are there',
    ('*', 'astroplan*'): 'a second and a half of importing, for those who ask about the sky',
    ('*', 'astropy*'): 'a second and a half of importing, for those who ask about the sky',
    ('*', 'matplotlib*'): 'is needed for one format of a picture, and installed by whoever wants it',
    ('*', 'plotly*'): 'half a second of importing, for those who look at a figure',
    ('*', '*psycopg*'): 'is there on PostgreSQL only',
    ('*/facilities/*', 'tom_observations.facilit*'): 'a facility whose own settings are missing cannot be imported',
    ('*/facilities/*', 'urllib3*'): 'a facility need not be asked by it',
    ('*/integrations/*', 'tom_*'): 'the other app may not be installed',
    ('*/management/*', 'tom_cadence.tasks*'): 'dramatiq is set up where there is a broker',
    ('*/facilities/*', 'tom_observations.facility*'): 'imports every facility of the site',
    ('*/checks.py', 'tom_observations.facility*'): 'imports every facility of the site',
    ('*/queries/background.py', '*.tasks'): 'an actor binds to a broker when it is imported, so only where dramatiq is installed',
}
#: Names that Django, the toolkit or a page demand: they say where they are, and may be short and stand in several packages.
DEMANDED = {
    '__init__',
    'admin',
    'apps',
    'checks',
    'conf',
    'exceptions',
    'models',
    'permissions',
    'processors',
    'signals',
    'tasks',
    'urls',
}
DEMANDED |= {'forms', 'table', 'views'}
#: Rooms of plugins: each file is one, named after the strategy or the service, and as long as it is.
PLUGINS = ('*/strategies/*', '*/adapters/*', '*/services/*', '*/readers/*', '*/cleaning/*', '*/integrations/*')
#: Pages, tags and commands are named after what they show or start.
NAMED_AFTER_OTHERS = ('*/pages/*', '*/templatetags/*', '*/management/*', *PLUGINS)

SHORTEST, LONGEST, LONGEST_FUNCTION, PARAMETERS = 45, 600, 60, 5
#: A private helper shorter than this that is called once, and the part of the functions that may be one; the same for parameters.
HELPER, FEW, MANY = 6, 0.05, 0.02

Rule = Callable[['Code'], Iterator[str]]


def fits(name: str, patterns: Mapping[str, object] | tuple[str, ...]) -> str:
    """The first pattern that a name fits; nothing if none."""
    return next((pattern for pattern in patterns if fnmatch(name, pattern)), '')


def under(module: str, roots: set[str]) -> bool:
    return any(module == root or module.startswith(root + '.') for root in roots)


def room_of(name: str) -> str:
    """The room of a file: ``engine`` of tom_cadence/engine/run.py, ``conf`` of tom_cadence/conf.py."""
    return PurePosixPath(name).with_suffix('').parts[1]


class Code:
    """Files and their trees, and who imports whom."""

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        self.trees = trees
        self.modules = {self.dotted(name): name for name in trees}

    @staticmethod
    def dotted(name: str) -> str:
        return name.removesuffix('.py').removesuffix('/__init__').replace('/', '.')

    def meant(self, module: str, what: str) -> str:
        """What ``from django import forms`` and ``from tom_forced_phot.core import states`` mean by the name of a module."""
        whole = f'{module}.{what}'
        own = module.split('.')[0] in (*APPS, 'tom_followup')
        return whole if module == 'django' or whole in self.modules or (own and module in (*APPS, 'tom_followup')) else module

    @cached_property
    def arrows(self) -> dict[str, list[tuple[str, str]]]:
        """(module, function it is imported in) of each file's imports."""
        return {
            name: [(self.meant(module, what), where) for module, what, where in imports(tree)] for name, tree in self.trees.items()
        }


def circles(code: Code) -> Iterator[str]:
    """Groups of modules that import each other, wherever the import stands (Tarjan's strongly connected components)."""
    graph = {name: {code.modules[module] for module, _ in found if module in code.modules} for name, found in code.arrows.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            found.append(group)

    for name in graph:
        if name not in index:
            visit(name)
    for group in found:
        if len(group) > 1:
            yield f'import each other: {", ".join(sorted(group))}'


def hidden_imports(code: Code) -> Iterator[str]:
    """Imports inside functions that have no reason."""
    for name, found in code.arrows.items():
        for module, where in found:
            if where and not any(fnmatch(name, file) and fnmatch(module, what) for file, what in LATE):
                yield f'{name}: imports {module} inside {where}()'


def upward_arrows(code: Code) -> Iterator[str]:
    """Imports from a row of the layers that is not below."""
    for app, drawing in LAYERS.items():
        rows = [row.split() for row in drawing.strip().splitlines()]
        height = {room.strip('[]'): -number for number, row in enumerate(rows) for room in row}
        together = [set(row.partition('[')[2].partition(']')[0].split()) for row in drawing.splitlines() if '[' in row]
        for name, found in code.arrows.items():
            if not name.startswith(f'{app}/') or name == f'{app}/__init__.py':
                continue
            own = room_of(name)
            if own not in height:
                yield f'{name}: {own} stands in no row of the layers'
                continue
            for module, where in found:
                other = module.split('.')[1] if module.startswith(f'{app}.') else own
                late = where and any(fnmatch(name, file) and fnmatch(module, what) for file, what in LATE)
                fine = (
                    late or other == own or height.get(other, 1) < height[own] or any({own, other} <= group for group in together)
                )
                if not fine:
                    yield f'{name}: imports {module}, which is not below'


def crossings(code: Code) -> Iterator[str]:
    """One app imports the other outside its integrations, or the shared library imports an app."""
    for name, found in code.arrows.items():
        for module, _ in found:
            app, other = name.split('/')[0], module.split('.')[0]
            if other in APPS and other != app and not fits(name, CROSSINGS):
                yield f'{name}: imports {module}'


def thick_surfaces(code: Code) -> Iterator[str]:
    """Commands, tasks, signals and the admin that do more than call what does the work."""
    for name, found in code.arrows.items():
        pattern = fits(name, THIN)
        for module, _ in found:
            app, _, path = module.partition('.')
            if pattern and app == name.split('/')[0] and path and path.split('.')[0] not in THIN[pattern] | {room_of(name)}:
                yield f'{name}: imports {module}'


def impure(code: Code) -> Iterator[str]:
    """Computing rooms that import more than they may, ask what time it is, or open something."""
    for name, tree in code.trees.items():
        pattern = fits(name, PURE)
        if not pattern:
            continue
        home = code.dotted(str(PurePosixPath(name).parent / 'x')).removesuffix('.x')
        allowed = CALCULATORS | set(PURE[pattern]) | {'.'.join(home.split('.')[:2])}  # type: ignore[call-overload]
        for module, _ in code.arrows[name]:
            if not under(module, allowed):
                yield f'{name}: imports {module}'
        for call, receiver, called in calls(tree):
            unseeded = called == 'default_rng' and not call.args
            system = receiver.split('.')[0] == 'os' and receiver != 'os.environ'
            if called in CLOCKS | DOORS or receiver == 'time' or unseeded or system:
                yield f'{name}: line {call.lineno}: {receiver}.{called}()'


def other_clocks(code: Code) -> Iterator[str]:
    """Times that are not those of the one clock, or have no time zone."""
    for name, tree in code.trees.items():
        for module, what, _ in imports(tree):
            whole = f'{module}.{what}'.strip('.')
            if (under(whole, {'time'}) and not fits(name, TIMED)) or (
                under(whole, {'django.utils.timezone'}) and not fits(name, ZONED)
            ):
                yield f'{name}: imports {whole}'
        for call, receiver, called in calls(tree):
            if called in CLOCKS - {'utc_now'} and not fits(name, TIMED):
                yield f'{name}: line {call.lineno}: {receiver}.{called}()'


def reaching_out(code: Code) -> Iterator[str]:
    """HTTP libraries outside http.py and its like, facility classes outside facilities/, and http.py called from anywhere."""
    for name, tree in code.trees.items():
        facilities = name.startswith('tom_cadence/facilities/')
        for module, what, _ in imports(tree):
            meant = code.meant(module, what)
            if under(meant, NETWORK) and not fits(name, HTTP) and (name, module) not in NAMES:
                yield f'{name}: imports {meant}'
            toolkit = under(module, {'tom_observations.facility', 'tom_observations.facilities'})
            if toolkit and not facilities and (name, module) not in NAMES:
                yield f'{name}: imports {module}.{what}'
            if meant == 'tom_forced_phot.http' and not fits(name, ('tom_forced_phot/queries/*', *HTTP)):
                yield f'{name}: imports {meant}'
        for call, receiver, called in calls(tree):
            if called in FACILITY_CALLS and not facilities:
                yield f'{name}: line {call.lineno}: calls a facility: {receiver}.{called}()'


def other_writers(code: Code) -> Iterator[str]:
    """Rows that are written by another room than the one whose table it is."""
    for name, tree in code.trees.items():
        pattern = fits(name, WRITERS)
        mine = WRITERS.get(pattern, set())
        theirs = {model for other, models in WRITERS.items() if other != pattern for model in models if other[:12] == name[:12]}
        imported = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        bound = {alias.asname or alias.name for node in imported for alias in node.names}
        for call, receiver, called in calls(tree):
            certainly = called in ALWAYS_WRITE and receiver and receiver not in bound
            if not certainly and not (called in MAY_WRITE and any(part in receiver for part in QUERY)):
                continue
            model = receiver.split('.objects')[0] if '.objects' in receiver else ''
            model = '' if model.lower() == 'model' else model  # whichever is given; its caller names it
            wrong = not mine or (model in theirs - mine) or (model and '*' not in mine and model not in mine)
            if wrong:
                yield f'{name}: line {call.lineno}: writes rows: {receiver}.{called}()'


def stems_twice(code: Code) -> Iterator[str]:
    """Modules of one app with the same name."""
    for app in APPS:
        stems = defaultdict(list)
        for name in code.trees:
            stem = PurePosixPath(name).stem
            if name.startswith(f'{app}/') and stem not in DEMANDED and not fits(name, NAMED_AFTER_OTHERS):
                stems[stem].append(name)
        for names in stems.values():
            if len(names) > 1:
                yield f'one name for {" and ".join(sorted(names))}'


def classes_twice(code: Code) -> Iterator[str]:
    """Classes of one app with the same name; those inside others (Meta, State) and commands are named as Django wants it."""
    for app in APPS:
        classes = defaultdict(list)
        for name, tree in code.trees.items():
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and name.startswith(f'{app}/') and '/management/' not in name:
                    classes[node.name].append(name)
        for known, names in classes.items():
            if len(names) > 1:
                yield f'{known} is a class of {" and of ".join(sorted(names))}'


def lengths(code: Code) -> Iterator[str]:
    """Modules without an idea of their own, or with too many."""
    for name, tree in code.trees.items():
        length = max((node.end_lineno or 0 for node in tree.body), default=0)
        short_by_right = PurePosixPath(name).stem in DEMANDED or fits(name, NAMED_AFTER_OTHERS) or name.startswith('tom_followup/')
        if length > LONGEST or (length < SHORTEST and not short_by_right):
            yield f'{name}: {length} lines'


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def long_functions(code: Code) -> Iterator[str]:
    """Functions longer than a thought."""
    for name, tree in code.trees.items():
        for node in functions(tree):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                yield f'{name}: line {node.lineno}: {node.name} has {length} lines'


def many_parameters(code: Code) -> Iterator[str]:
    """Functions that want a dataclass: all of them, where there are more than a few."""
    number, found = 0, []
    for name, tree in code.trees.items():
        for node in functions(tree):
            number += 1
            given = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            wanted = len([each for each in given if each not in ('self', 'cls')])
            if wanted > PARAMETERS:
                found.append(f'{name}: line {node.lineno}: {node.name} has {wanted} parameters')
    if len(found) > MANY * number:
        yield f'{len(found)} of {number} functions:'
        yield from found


def short_helpers(code: Code) -> Iterator[str]:
    """Private functions of a few lines that are called once: all of them, where an app has more than a few.

    What is handed on as a value (an entry of a table, a key of a sort) is no helper: it could not be written where it is used.
    """
    for app in (*APPS, 'tom_followup'):
        number, helpers = 0, []
        for name, tree in code.trees.items():
            if not name.startswith(f'{app}/'):
                continue
            used = Counter(node.id if isinstance(node, ast.Name) else node.attr for node in ast.walk(tree) if named(node))
            called = {what for _, _, what in calls(tree)}
            for node in functions(tree):
                number += 1
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                private = node.name.startswith('_') and not node.name.endswith('__') and node.name in called
                if private and length < HELPER and used[node.name] == 1 and not node.decorator_list:
                    helpers.append(f'{name}: line {node.lineno}: {node.name} has {length} lines and is called once')
        if len(helpers) > FEW * number:
            yield f'{app}: {len(helpers)} of {number} functions:'
            yield from helpers


def named(node: ast.AST) -> bool:
    return isinstance(node, (ast.Name, ast.Attribute))


def careless(code: Code) -> Iterator[str]:
    """What is printed, and errors that are passed over."""
    for name, tree in code.trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield f'{name}: line {node.lineno}: bare except'
        for call, receiver, called in calls(tree):
            if called == 'print' and not receiver:
                yield f'{name}: line {call.lineno}: print'


RULES: list[Rule] = [
    circles, hidden_imports, upward_arrows, crossings, thick_surfaces, impure, other_clocks, reaching_out, other_writers,
    stems_twice, classes_twice, lengths, long_functions, many_parameters, short_helpers, careless,
]  # fmt: skip


@pytest.mark.parametrize('rule', RULES)
def test_a_rule_of_the_house_is_kept(rule: Rule) -> None:
    code = Code({name: parsed(name) for name in files(*APPS, 'tom_followup')})
    found = list(rule(code))
    assert not found, '\n'.join([rule.__doc__ or '', *found])


BARE = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
from django.conf import settings
assert not settings.configured, 'settings were read'
assert 'django.db.models' not in sys.modules, 'the ORM was imported'
"""


@pytest.mark.parametrize('package', [f'{app}/core' for app in APPS])
def test_the_core_imports_in_a_bare_process_without_settings(package: str) -> None:
    modules = [Code.dotted(name) for name in files(package)]
    environment = {name: value for name, value in os.environ.items() if name != 'DJANGO_SETTINGS_MODULE'}
    done = subprocess.run(
        [sys.executable, '-c', BARE, *modules], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


WORKER = """
import importlib, sys
import django
django.setup()
module = importlib.import_module(sys.argv[1])
actors = [name for name, each in vars(module).items() if hasattr(each, 'send_with_options')]
assert actors, 'no actor'
"""


@pytest.mark.parametrize('app', APPS)
def test_a_worker_that_has_just_started_can_import_its_tasks(app: str) -> None:
    """One that cannot is a silence: messages are sent, and nobody takes them."""
    pytest.importorskip('django_dramatiq')
    environment = {**os.environ, 'DJANGO_SETTINGS_MODULE': 'mytom.settings'}
    done = subprocess.run(
        [sys.executable, '-c', WORKER, f'{app}.tasks'],
        env=environment,
        cwd=ROOT / 'example_tom',
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


A, B = 'tom_cadence', 'tom_forced_phot'
PLANTED: list[tuple[Rule, dict[str, str]]] = [
    (circles, {f'{A}/core/a.py': f'from {A}.core import b', f'{A}/core/b.py': f'def f():\n    from {A}.core.a import x'}),
    (
        circles,
        {f'{A}/core/a.py': f'import {A}.core.b', f'{A}/core/b.py': f'import {A}.core.c', f'{A}/core/c.py': f'import {A}.core.a'},
    ),
    (hidden_imports, {f'{A}/engine/run.py': f'def f():\n    from {A}.flows import start'}),
    (hidden_imports, {f'{A}/flows/start.py': 'class A:\n    def f(self):\n        import json'}),
    (upward_arrows, {f'{A}/engine/run.py': f'from {A}.flows.start import start'}),
    (upward_arrows, {f'{A}/core/windows.py': f'from {A} import conf'}),
    (upward_arrows, {f'{A}/strategies/retry.py': f'def f():\n    from {A}.engine import run_one'}),
    (upward_arrows, {f'{A}/journal/log.py': f'from {A}.facilities import Gateway'}),
    (upward_arrows, {f'{A}/attic/x.py': 'import math'}),
    (upward_arrows, {f'{B}/queries/ask.py': f'from {B}.pages.ask.forms import Form'}),
    (upward_arrows, {f'{B}/ingest/store.py': f'from {B} import http'}),
    (crossings, {f'{A}/engine/run.py': f'from {B}.models import LightCurve'}),
    (crossings, {f'{B}/lightcurve/curve.py': f'def f():\n    from {A}.core.windows import Window'}),
    (crossings, {'tom_followup/retry.py': f'from {A} import conf'}),
    (thick_surfaces, {f'{A}/management/commands/x.py': f'from {A}.facilities import Gateway'}),
    (thick_surfaces, {f'{A}/tasks.py': f'from {A} import journal'}),
    (thick_surfaces, {f'{A}/admin.py': f'from {A}.engine import run_cadences'}),
    (thick_surfaces, {f'{B}/signals.py': f'from {B}.models import LightCurve'}),
    (thick_surfaces, {f'{B}/tasks.py': f'def f():\n    from {B}.services import Service'}),
    (impure, {f'{A}/core/windows.py': 'import requests'}),
    (impure, {f'{A}/core/windows.py': 'from django.db import models'}),
    (impure, {f'{A}/core/policy.py': f'from {A} import conf'}),
    (impure, {f'{A}/core/policy.py': f'from {A}.models import Submission'}),
    (impure, {f'{A}/core/decisions.py': 'import time'}),
    (impure, {f'{A}/core/decisions.py': 'from datetime import datetime\nx = datetime.now(tz)'}),
    (impure, {f'{A}/core/history.py': 'import heapq'}),
    (impure, {f'{A}/strategies/retry.py': f'from {A}.engine import run_one'}),
    (impure, {f'{A}/simulation/clock.py': f'from {A}.flows import simulate'}),
    (impure, {f'{A}/simulation/sky.py': 'import numpy\nx = numpy.random.default_rng()'}),
    (impure, {f'{A}/simulation/figure.py': 'figure.write_html("x.html")'}),
    (impure, {'tom_followup/dates.py': 'from astropy.time import Time'}),
    (impure, {f'{B}/readers/ztf.py': 'def f(path):\n    return path.read_bytes()'}),
    (impure, {f'{B}/cleaning/ztf.py': f'from {B}.ingest import ingest'}),
    (impure, {f'{B}/services/atlas.py': f'from {B} import http'}),
    (impure, {f'{B}/services/panstarrs.py': 'import os\nos.remove("x")'}),
    (other_clocks, {f'{B}/queries/drive.py': 'from time import sleep'}),
    (other_clocks, {f'{B}/queries/ask.py': 'from django.utils import timezone'}),
    (other_clocks, {f'{A}/journal/log.py': 'from datetime import datetime\nx = datetime.utcnow()'}),
    (other_clocks, {f'{A}/pages/start/views.py': 'from django.utils import timezone\nx = timezone.now()'}),
    (reaching_out, {f'{A}/engine/send.py': 'import requests'}),
    (reaching_out, {f'{A}/journal/claims.py': 'import http.client'}),
    (reaching_out, {f'{B}/queries/submit.py': 'def f():\n    from urllib3 import PoolManager'}),
    (reaching_out, {f'{A}/host.py': 'from tom_observations.facilities.lco import LCOFacility'}),
    (reaching_out, {f'{A}/engine/look.py': 'from tom_observations.facility import get_service_classes'}),
    (reaching_out, {f'{A}/engine/send.py': 'facility.submit_observation(payload)'}),
    (reaching_out, {f'{B}/services/base.py': f'from {B}.http import send'}),
    (other_writers, {f'{A}/engine/send.py': 'submission.save()'}),
    (other_writers, {f'{A}/admin.py': 'ManagedCadence.objects.filter(pk=1).update(state="active")'}),
    (other_writers, {f'{A}/signals.py': 'CadenceRun.objects.bulk_create([])'}),
    (other_writers, {f'{B}/checks.py': 'rows.update(state="done")'}),
    (other_writers, {f'{B}/queries/rows.py': 'LightCurve.objects.create(service="ATLAS")'}),
    (other_writers, {f'{B}/ingest/store.py': 'PhotometryQuery.objects.filter(pk=1).update(state="done")'}),
    (other_writers, {f'{B}/subscriptions.py': 'PhotometryQuery.objects.create(service="ATLAS")'}),
    (stems_twice, {f'{A}/engine/start.py': '', f'{A}/flows/start.py': ''}),
    (classes_twice, {f'{A}/engine/look.py': 'class Look: pass', f'{A}/core/history.py': 'class Look: pass'}),
    (lengths, {f'{A}/engine/run.py': 'x = 1\n' * (SHORTEST - 1)}),
    (lengths, {f'{A}/models.py': 'x = 1\n' * (LONGEST + 1)}),
    (long_functions, {f'{A}/models.py': 'def long():\n' + '    pass\n' * LONGEST_FUNCTION}),
    (many_parameters, {f'{A}/models.py': 'def f(a, b, c, *, d, e, f): pass'}),
    (short_helpers, {f'{A}/models.py': 'def _f(): pass\n_f()'}),
    (short_helpers, {f'{A}/models.py': 'class A:\n    def _f(self): pass\n    def g(self): self._f()'}),
    (careless, {f'{A}/models.py': 'print("x")'}),
    (careless, {f'{A}/models.py': 'try:\n    pass\nexcept:\n    pass'}),
]


@pytest.mark.parametrize(
    ('rule', 'planted'), PLANTED, ids=[f'{rule.__name__}-{number}' for number, (rule, _) in enumerate(PLANTED)]
)
def test_a_planted_breach_is_found(rule: Rule, planted: dict[str, str]) -> None:
    assert list(rule(Code({name: ast.parse(text) for name, text in planted.items()}))) != []


def test_every_rule_has_a_planted_breach() -> None:
    assert {rule for rule, _ in PLANTED} == set(RULES)


ALLOWED: list[tuple[Rule, dict[str, str]]] = [
    (circles, {f'{A}/core/a.py': f'if TYPE_CHECKING:\n    from {A}.core import b', f'{A}/core/b.py': f'from {A}.core import a'}),
    (hidden_imports, {f'{A}/apps.py': f'class A:\n    def ready(self):\n        from {A} import checks'}),
    (hidden_imports, {f'{A}/core/visibility.py': 'def f():\n    from astropy.time import Time'}),
    (upward_arrows, {f'{A}/pages/start/views.py': f'from {A}.templatetags.cadences import badge'}),
    (upward_arrows, {f'{A}/engine/run.py': f'from {A}.engine import look\nfrom {A}.core.windows import Window'}),
    (crossings, {f'{A}/integrations/forced_phot.py': f'from {B}.models import LightCurve'}),
    (thick_surfaces, {f'{B}/tasks.py': f'from {B} import conf, queries'}),
    (impure, {f'{A}/core/windows.py': f'from {A}.core.history import Attempt\nimport numpy as np'}),
    (impure, {f'{B}/services/base.py': 'import os\nx = os.environ.get("X", "")'}),
    (other_clocks, {f'{B}/queries/drive.py': f'from {B} import conf\nx = conf.utc_now()'}),
    (other_clocks, {f'{A}/pages/start/views.py': 'from django.utils import timezone\nx = timezone.localdate'}),
    (reaching_out, {f'{B}/http.py': 'import requests, urllib3'}),
    (reaching_out, {f'{A}/facilities/errors.py': 'import requests'}),
    (reaching_out, {f'{A}/journal/claims.py': 'import socket'}),
    (reaching_out, {f'{B}/queries/submit.py': f'from {B} import http\nfrom urllib.parse import urlsplit'}),
    (other_writers, {f'{A}/journal/requests.py': 'submission.save()'}),
    (other_writers, {f'{A}/engine/look.py': 'seen = {}\nseen.update(a=1)'}),
    (other_writers, {f'{A}/engine/look.py': f'from {A}.journal import log as journal_log\njournal_log.save(x)'}),
    (other_writers, {f'{B}/ingest/sql.py': 'Model.objects.bulk_create([])'}),
    (other_writers, {f'{B}/subscriptions.py': 'PhotometrySubscription.objects.filter(pk=1).update(active=False)'}),
    (stems_twice, {f'{A}/pages/start/views.py': '', f'{A}/pages/cadence/views.py': ''}),
    (classes_twice, {f'{A}/a.py': 'class A:\n    class Meta: pass', f'{A}/b.py': 'class B:\n    class Meta: pass'}),
    (lengths, {f'{A}/strategies/retry.py': 'x = 1', f'{A}/apps.py': 'x = 1'}),
    (many_parameters, {f'{A}/models.py': 'class A:\n    def f(self, a, b, c, d, e): pass'}),
    (short_helpers, {f'{A}/models.py': 'def _f(): pass\n_f()\n_f()'}),
]  # fmt: skip


@pytest.mark.parametrize(
    ('rule', 'allowed'), ALLOWED, ids=[f'{rule.__name__}-{number}' for number, (rule, _) in enumerate(ALLOWED)]
)
def test_what_is_allowed_is_not_complained_about(rule: Rule, allowed: dict[str, str]) -> None:
    assert list(rule(Code({name: ast.parse(text) for name, text in allowed.items()}))) == []
