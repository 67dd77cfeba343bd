"""System checks: each mistake in the settings has an id and a hint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, router
from django.db.utils import DatabaseError
from django.utils.module_loading import import_string

from tom_forced_phot import conf, processors, registry
from tom_forced_phot.core import redaction
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.queries.drive import silence
from tom_forced_phot.services.base import ForcedPhotometryService

IDS: dict[str, str] = {
    'tom_forced_phot.E001': 'TOM_FORCED_PHOT is not a dictionary.',
    'tom_forced_phot.E002': 'A key of TOM_FORCED_PHOT has a value of the wrong type.',
    'tom_forced_phot.E003': "The clock in TOM_FORCED_PHOT['CLOCK'] cannot be used.",
    'tom_forced_phot.E004': 'FORCED_PHOTOMETRY_SERVICES has the wrong shape.',
    'tom_forced_phot.E005': 'A service in FORCED_PHOTOMETRY_SERVICES cannot be imported, or is none.',
    'tom_forced_phot.E006': 'A service has no address.',
    'tom_forced_phot.E007': 'The data product type of a service is not in DATA_PRODUCT_TYPES: its results could not be kept.',
    'tom_forced_phot.E008': "This app's tables and the toolkit's are on different databases: no transaction spans the two.",
    'tom_forced_phot.E009': 'USE_TZ is off: times would be shifted by the offset of the server.',
    'tom_forced_phot.W001': 'TOM_FORCED_PHOT has a key that does not exist.',
    'tom_forced_phot.W002': 'A service has no credentials: it says so when it is asked.',
    'tom_forced_phot.W003': 'The data product type of a service has no processor: files uploaded by hand bring no points.',
    'tom_forced_phot.W004': 'SINGLE_TARGET_DATA_SERVICES makes the host ignore FORCED_PHOTOMETRY_SERVICES.',
    'tom_forced_phot.W005': 'Two services have the same name: the later one wins.',
    'tom_forced_phot.W006': 'django_dramatiq is installed without DRAMATIQ_BROKER: it would use RabbitMQ on this machine.',
    'tom_forced_phot.W007': 'DRAMATIQ_BROKER is set, but django_dramatiq is not in INSTALLED_APPS: nothing runs in the background.',
    'tom_forced_phot.W008': 'The tables of this app are not migrated.',
    'tom_forced_phot.W009': 'Queries are open, and neither a worker nor runforcedphotometry was at work lately.',
    'tom_forced_phot.W010': 'A service is asked without encryption.',
}
LOCAL = ('127.0.0.1', 'localhost', '::1')


def register_all() -> None:
    """Hand the checks to Django."""
    for check in (settings_check, services_check, host_check, workers_check, database_router_check):
        register(check, 'tom_forced_phot')
    register(database_check, Tags.database)


def _error(number: str, text: str, hint: str) -> CheckMessage:
    kind = Error if number.startswith('E') else Warning
    return kind(text, hint=hint, id=f'tom_forced_phot.{number}')


def settings_check(**_: Any) -> list[CheckMessage]:
    """E001, E002, E003, E009, W001."""
    found = [] if settings.USE_TZ else [_error('E009', IDS['tom_forced_phot.E009'], 'USE_TZ = True')]
    given = getattr(settings, conf.NAME, {})
    if not isinstance(given, Mapping):
        return [*found, _error('E001', IDS['tom_forced_phot.E001'], f'{conf.NAME} = {{...}}')]
    for name, value in given.items():
        if name not in conf.SETTINGS:
            known = ', '.join(conf.SETTINGS)
            found.append(_error('W001', f'{conf.NAME} has no key {name!r}.', f'Keys are: {known}.'))
        elif not conf.SETTINGS[name].accepts(value):
            hint = f'{conf.SETTINGS[name].text} For example {conf.SETTINGS[name].default!r}.'
            found.append(_error('E002', f'{conf.NAME}[{name!r}] is {value!r}.', hint))
    return found + _clock()


def _clock() -> list[CheckMessage]:
    if conf.get('CLOCK') == conf.SETTINGS['CLOCK'].default:  # the database's, which this check must not ask
        return []
    try:
        conf.utc_now()
    except Exception as error:  # whatever the site's clock does
        hint = 'Name a callable that returns the present as an aware datetime, or leave the key out.'
        return [_error('E003', f"{conf.NAME}['CLOCK']: {redaction.error_text(error)}", hint)]
    return []


def services_check(**_: Any) -> list[CheckMessage]:
    """E004 to E007, W002, W003, W005, W010."""
    try:
        entries = registry.configured()
    except ImproperlyConfigured as error:
        name, example = next(iter(registry.shipped().items()))
        hint = f"{registry.SETTING} = {{{name!r}: {{'class': '{example.__module__}.{example.__name__}', ...}}}}"
        return [_error('E004', str(error), hint)]
    found: list[CheckMessage] = []
    names: dict[str, str] = {}
    for key, entry in entries.items():
        try:
            service = _made(key, entry)
        except ImproperlyConfigured as error:
            right = registry.right_path(entry['class'])
            what = f'{right!r}' if right else 'the dotted path of the class'
            found.append(_error('E005', str(error), f'Write {what}, or take the entry out.'))
            continue
        if service.name in names:
            text = f'{names[service.name]!r} and {key!r} in {registry.SETTING} are both services called {service.name!r}.'
            found.append(_error('W005', text, 'Give each class its own name.'))
        names[service.name] = key
        found += [*_address(key, service), *_credentials(key, service), *_product_type(key, service)]
    return found


def _made(key: str, entry: Mapping[str, Any]) -> ForcedPhotometryService:
    """The service as everybody makes it, without an argument; ImproperlyConfigured where that fails."""
    found = registry.load(key, entry)
    try:
        return found()
    except Exception as error:  # the site's own code
        raise ImproperlyConfigured(
            f'{registry.SETTING}[{key!r}]: {entry["class"]}() fails: {redaction.error_text(error)}'
        ) from error


def _address(key: str, service: ForcedPhotometryService) -> list[CheckMessage]:
    where = f"{registry.SETTING}[{key!r}]['url']"
    if service.does_all_itself():
        return []
    if not service.url.startswith(('https://', 'http://')):
        return [_error('E006', f'{where} is {service.url!r}.', f'For example {service.default_url!r}.')]
    if service.url.startswith('http://') and urlsplit(service.url).hostname not in LOCAL:
        return [_error('W010', f'{where} = {service.url!r}: credentials go out readable.', 'Write https.')]
    return []


def _credentials(key: str, service: ForcedPhotometryService) -> list[CheckMessage]:
    missing = service.missing_credentials()
    if not missing:
        return []
    names = ' and '.join(service.credentials[each] for each in missing)
    hint = f'Set {" and ".join(map(repr, missing))} there, or {names} in the environment; or take the service out.'
    return [_error('W002', f'{registry.SETTING}[{key!r}] has no {" and ".join(missing)}.', hint)]


def _product_type(key: str, service: ForcedPhotometryService) -> list[CheckMessage]:
    kind, found = service.get_data_product_type(), []
    if kind not in getattr(settings, 'DATA_PRODUCT_TYPES', {}):
        text = f'{registry.SETTING}[{key!r}] makes data products of the type {kind!r}, which DATA_PRODUCT_TYPES lacks.'
        found.append(_error('E007', text, f'{kind!r}: ({kind!r}, {service.name + " photometry"!r}),'))
    path = getattr(settings, 'DATA_PROCESSORS', {}).get(kind)
    if path is None:
        which = 'bring no points' if service.does_all_itself() else 'that are uploaded by hand bring no points'
        text = f'DATA_PROCESSORS lacks {kind!r}: files of {service.name} {which}.'
        found.append(_error('W003', text, _processor(kind, service)))
    else:
        try:
            import_string(path)
        except ImportError as error:
            found.append(_error('W003', f'DATA_PROCESSORS[{kind!r}] = {path!r}: {error}', 'Write the dotted path of a class.'))
    return found


def _processor(kind: str, service: ForcedPhotometryService) -> str:
    if service.does_all_itself():
        return f'Write there, for {kind!r}, the dotted path of a subclass of tom_dataproducts.data_processor.DataProcessor.'
    ours = [each for each in vars(processors).values() if getattr(each, 'service', None) == service.name]
    found = ours[0] if ours else processors.ForcedPhotometryProcessor
    return f"Write {kind!r}: '{processors.__name__}.{found.__name__}' there."


def host_check(**_: Any) -> list[CheckMessage]:
    """The host offers its own list of services instead of ours (W004)."""
    if hasattr(settings, 'SINGLE_TARGET_DATA_SERVICES') and getattr(settings, registry.SETTING, None):
        hint = 'Take SINGLE_TARGET_DATA_SERVICES out: the host then offers the services of FORCED_PHOTOMETRY_SERVICES.'
        return [_error('W004', IDS['tom_forced_phot.W004'], hint)]
    return []


def workers_check(**_: Any) -> list[CheckMessage]:
    """Workers need both the app and the broker of dramatiq (W006, W007)."""
    installed, broker = apps.is_installed('django_dramatiq'), hasattr(settings, 'DRAMATIQ_BROKER')
    if installed and not broker:
        hint = "DRAMATIQ_BROKER = {'BROKER': 'dramatiq.brokers.redis.RedisBroker', 'OPTIONS': {'url': 'redis://...'}, ...}"
        return [_error('W006', IDS['tom_forced_phot.W006'], hint)]
    if broker and not installed:
        return [_error('W007', IDS['tom_forced_phot.W007'], "Add 'django_dramatiq' to INSTALLED_APPS, before the toolkit's apps.")]
    return []


def database_router_check(**_: Any) -> list[CheckMessage]:
    """Queries and what they bring are written in one transaction, so in one database (E008)."""
    from tom_dataproducts.models import DataProduct

    from tom_forced_phot.models import PhotometryQuery

    if router.db_for_write(PhotometryQuery) == router.db_for_write(DataProduct):
        return []
    return [_error('E008', IDS['tom_forced_phot.E008'], 'Route tom_forced_phot to the database of tom_dataproducts.')]


def database_check(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """W008, W009: asks the database, so it runs with ``check --database default`` and with migrate."""
    if not databases or any(message.is_serious() for message in settings_check()):
        return []
    try:
        if PhotometryQuery._meta.db_table not in connection.introspection.table_names():
            return [_error('W008', IDS['tom_forced_phot.W008'], 'manage.py migrate tom_forced_phot')]
        silent = silence(conf.utc_now())
    except (DatabaseError, ImproperlyConfigured):
        return []
    hint = 'Let cron call manage.py runforcedphotometry every few minutes, or start manage.py rundramatiq.'
    return [_error('W009', silent, hint)] if silent else []
