"""System checks: each mistake in the settings has an id and a hint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.core.management import get_commands
from django.db import connections, router
from django.db.utils import DatabaseError

from tom_cadence import conf, registry
from tom_cadence.facilities import Facilities
from tom_cadence.facilities.movement import Verdict, movement
from tom_cadence.facilities.transport import deadline

IDS: dict[str, str] = {
    'tom_cadence.E001': 'TOM_CADENCE is not a dictionary.',
    'tom_cadence.E002': 'A key of TOM_CADENCE has a value of the wrong type.',
    'tom_cadence.E003': "The clock in TOM_CADENCE['CLOCK'] cannot be used.",
    'tom_cadence.E004': 'USE_TZ is off: windows would be shifted by the offset of the server.',
    'tom_cadence.E005': "This app's tables and the toolkit's are on different databases: no transaction spans the two.",
    'tom_cadence.W001': 'TOM_CADENCE has a key that does not exist.',
    'tom_cadence.W002': 'Two strategies have the same class name: the later one wins.',
    'tom_cadence.W003': "The toolkit's own runcadencestrategies wins: it books twice when two crons run at once.",
    'tom_cadence.W004': 'SQLite is not set up for several processes.',
    'tom_cadence.W005': "This app's strategies stand in for the toolkit's two of the same name.",
    'tom_cadence.W006': 'An active cadence names a strategy that is not configured.',
    'tom_cadence.W007': 'An active cadence names a facility that is not configured.',
    'tom_cadence.W008': 'What a facility of an active cadence is sent does not move with the window.',
    'tom_cadence.I001': 'Whether what a facility is sent moves with the window could not be tried without asking it.',
}


def register_all() -> None:
    """Hand the checks to Django."""
    for check in (
        settings_check,
        strategies_check,
        command_check,
        time_zone_check,
        database_router_check,
        sqlite_check,
    ):
        register(check, 'tom_cadence')
    register(cadences_check, Tags.database)
    register(payloads_check, Tags.database)


def settings_check(**_: Any) -> list[CheckMessage]:
    """E001, E002, E003, W001."""
    given = getattr(settings, conf.NAME, {})
    if not isinstance(given, Mapping):
        return [Error(IDS['tom_cadence.E001'], hint=f'{conf.NAME} = {{...}}', id='tom_cadence.E001')]
    found: list[CheckMessage] = []
    for name, value in given.items():
        if name not in conf.SETTINGS:
            known = ', '.join(conf.SETTINGS)
            found.append(Warning(f'{conf.NAME} has no key {name!r}.', hint=f'Keys are: {known}.', id='tom_cadence.W001'))
        elif not conf.SETTINGS[name].accepts(value):
            hint = f'{conf.SETTINGS[name].text} For example {conf.SETTINGS[name].default!r}.'
            found.append(Error(f'{conf.NAME}[{name!r}] is {value!r}.', hint=hint, id='tom_cadence.E002'))
    return found + _clock()


def _clock() -> list[CheckMessage]:
    try:
        conf.utc_now()
    except Exception as error:  # whatever the site's clock does
        hint = 'Name a callable that returns the present as an aware datetime, or leave the key out.'
        return [Error(f"{conf.NAME}['CLOCK']: {error}", hint=hint, id='tom_cadence.E003')]
    return []


def strategies_check(**_: Any) -> list[CheckMessage]:
    """Strategies of one name hide each other (W002); ours stand in for two of the toolkit's (W005)."""
    paths = list(registry.configured())
    names = Counter(path.rpartition('.')[2] for path in paths)
    found: list[CheckMessage] = [
        Warning(
            f'{registry.SETTING} names {number} strategies called {name}: the last one is used.',
            hint='Cadences know their strategy by its class name: give each class its own name.',
            id='tom_cadence.W002',
        )
        for name, number in names.items()
        if number > 1
    ]
    replaced = [path for path in paths if registry.shipped_replacement(path) != path]
    if replaced and hasattr(settings, registry.SETTING):
        hint = 'Write ' + ' and '.join(repr(registry.shipped_replacement(path)) for path in replaced) + ' to say so yourself.'
        found.append(Warning(IDS['tom_cadence.W005'], hint=hint, id='tom_cadence.W005'))
    return found


def command_check(**_: Any) -> list[CheckMessage]:
    """The toolkit's own ``runcadencestrategies`` comes first (W003)."""
    if get_commands().get('runcadencestrategies') == 'tom_cadence':
        return []
    hint = "Put 'tom_cadence' before the toolkit's apps in INSTALLED_APPS, or let cron call 'runcadences'."
    return [Warning(IDS['tom_cadence.W003'], hint=hint, id='tom_cadence.W003')]


def time_zone_check(**_: Any) -> list[CheckMessage]:
    """Without USE_TZ windows shift by the offset of the server (E004)."""
    if settings.USE_TZ:
        return []
    return [Error(IDS['tom_cadence.E004'], hint='USE_TZ = True', id='tom_cadence.E004')]


def database_router_check(**_: Any) -> list[CheckMessage]:
    """A request and its record must be written in one transaction, so in one database (E005)."""
    from tom_observations.models import ObservationRecord

    from tom_cadence.models import Submission

    if router.db_for_write(Submission) == router.db_for_write(ObservationRecord):
        return []
    hint = 'Route tom_cadence to the database of tom_observations.'
    return [Error(IDS['tom_cadence.E005'], hint=hint, id='tom_cadence.E005')]


def sqlite_check(**_: Any) -> list[CheckMessage]:
    """SQLite as it is set up gives up where two write at once (W004)."""
    from tom_cadence.models import Submission

    connection = connections[router.db_for_write(Submission)]
    if connection.vendor != 'sqlite':
        return []
    options = connection.settings_dict.get('OPTIONS', {})
    if str(options.get('transaction_mode', '')).upper() == 'IMMEDIATE' and options.get('timeout', 5) >= 20:
        return []
    hint = "'OPTIONS': {'transaction_mode': 'IMMEDIATE', 'timeout': 30, 'init_command': 'PRAGMA journal_mode=WAL;'}"
    return [Warning(IDS['tom_cadence.W004'], hint=hint, id='tom_cadence.W004')]


def cadences_check(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """W006, W007: asks the database, so it runs with ``check --database default`` and with migrate."""
    from tom_observations.facility import get_service_classes

    if not databases:
        return []
    try:
        return [
            *_gone('cadence__cadence_strategy', registry.strategies, 'W006', 'strategy', registry.SETTING),
            *_gone('facility', get_service_classes, 'W007', 'facility', 'TOM_FACILITY_CLASSES'),
        ]
    except (DatabaseError, ImportError):
        return []


def payloads_check(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """W008, I001: of each kind of observation of active cadences the newest is tried; asks the database, and no facility."""
    if not databases:
        return []
    try:
        return [message for row in _newest().values() if (message := _moves(row)) is not None]
    except DatabaseError:
        return []


def _newest() -> dict[tuple[str, str], Any]:
    """The newest observation of each facility and observation type."""
    from tom_observations.models import ObservationRecord

    rows = ObservationRecord.objects.filter(observationgroup__dynamiccadence__active=True).order_by('pk').select_related('user')
    return {(row.facility, str((row.parameters or {}).get('observation_type', ''))): row for row in rows.iterator()}


def _moves(row: Any) -> CheckMessage | None:
    try:
        with deadline(0):  # nothing is asked for
            gateway = Facilities().gateway(row.facility, row.user)
            found = movement(gateway, row.parameters or {}, gateway.window(row.parameters))
    except Exception:  # the site's code; what is wrong is said of the cadence in its next run
        return None
    if found.verdict is Verdict.STAYS:
        hint = f'See "Making a class of your own safe" in the documentation. Tried with observation {row.observation_id}.'
        return Warning(found.reason, hint=hint, id='tom_cadence.W008')
    return Info(found.reason, id='tom_cadence.I001') if found.verdict is Verdict.UNKNOWN else None


def _gone(field: str, configured: Callable[[], Iterable[str]], number: str, what: str, setting: str) -> list[CheckMessage]:
    from tom_cadence.models import ManagedCadence

    known = set(configured())
    rows = ManagedCadence.objects.filter(cadence__active=True).exclude(**{field: ''}).values_list(field, 'host_cadence_id')
    lost: dict[str, list[int]] = {}
    for name, pk in rows:
        if name not in known:
            lost.setdefault(name, []).append(pk)
    return [
        Warning(
            f'The {what} {name!r} of active cadences ({len(pks)}) is not in {setting}: cadence {", ".join(map(str, pks[:10]))}.',
            hint=f'Add it to {setting} again, or pause these cadences: they need attention at the next run.',
            id=f'tom_cadence.{number}',
        )
        for name, pks in sorted(lost.items())
    ]
