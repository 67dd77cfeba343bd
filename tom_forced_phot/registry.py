"""``FORCED_PHOTOMETRY_SERVICES`` -> {name: service class}, with clear errors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache, lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from tom_forced_phot import conf
from tom_forced_phot import services as services_package
from tom_forced_phot.core import redaction
from tom_forced_phot.exceptions import Refused
from tom_forced_phot.services.base import ForcedPhotometryService

SETTING = 'FORCED_PHOTOMETRY_SERVICES'


def configured() -> Mapping[str, Mapping[str, Any]]:
    """The setting as the site wrote it; ImproperlyConfigured where its shape is wrong."""
    given = getattr(settings, SETTING, {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"{SETTING} is {type(given).__name__}; {{'NAME': {{'class': '...', ...}}}} is expected.")
    for key, entry in given.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get('class'), str):
            raise ImproperlyConfigured(f"{SETTING}[{key!r}] has no 'class' with the dotted path of a service.")
    return given


def load(key: str, entry: Mapping[str, Any]) -> type[ForcedPhotometryService]:
    """The class of one entry; ImproperlyConfigured names the key, the path and what is wrong."""
    path = entry['class']
    try:
        found = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"{SETTING}[{key!r}]['class'] = {path!r} cannot be imported: {redaction.error_text(error)}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, ForcedPhotometryService)):
        hint = 'a subclass of tom_forced_phot.services.ForcedPhotometryService'
        raise ImproperlyConfigured(f"{SETTING}[{key!r}]['class'] = {path!r} is not {hint}.")
    return found


@lru_cache(maxsize=1)
def _loaded() -> tuple[dict[str, type[ForcedPhotometryService]], dict[str, str]]:
    """Services by their own name, and what is wrong with the other entries: one bad entry costs no other service."""
    good: dict[str, type[ForcedPhotometryService]] = {}
    bad: dict[str, str] = {}
    for key, entry in configured().items():
        try:
            found = load(key, entry)
            good[found.name] = found
        except ImproperlyConfigured as error:
            bad[key] = str(error)
    return good, bad


def services() -> dict[str, type[ForcedPhotometryService]]:
    """Every service that can be loaded, by its own name (the host knows them by it too)."""
    return _loaded()[0]


@cache
def shipped() -> Mapping[str, type[ForcedPhotometryService]]:
    """Every service of ``tom_forced_phot.services``, one a file, by its own name: a new file there is all it takes.

    Their points are known also where the settings do not name them, for example those of uploaded files.
    """
    found: dict[str, type[ForcedPhotometryService]] = {}
    for module in sorted({each.name for each in iter_modules(services_package.__path__)} - {'base'}):
        path = f'{services_package.__name__}.{module}'
        for each in vars(import_module(path)).values():
            if isinstance(each, type) and issubclass(each, ForcedPhotometryService) and each.__module__ == path:
                found[each.name] = each
    return found


def known() -> dict[str, type[ForcedPhotometryService]]:
    """Every service whose points may be there, by its own name: the configured ones, and what comes with the app."""
    return {**shipped(), **services()}


def kind_of(name: str) -> type[ForcedPhotometryService]:
    """The class of a service whose points may be there; of one that nobody knows any more, the base of all."""
    return known().get(name, ForcedPhotometryService)


def reading(name: str) -> ForcedPhotometryService:
    """One service to read its files, which needs no settings of one that comes with the app; Refused for a name nobody knows."""
    try:
        return service(name)
    except (Refused, ImproperlyConfigured):
        if name not in shipped():
            raise
    return shipped()[name](config={})


def of_type(data_product_type: str) -> str:
    """The name of the service whose data products are of this type; Refused where none or several are."""
    found = []
    for name in sorted(known()):
        with suppress(Refused, ImproperlyConfigured):  # a class of the site's that cannot be made costs no other service
            if reading(name).get_data_product_type() == data_product_type:
                found.append(name)
    if len(found) > 1:  # a site's own class in the place of one that comes with the app
        found = [name for name in found if name in services()] or found
    if len(found) != 1:
        raise Refused(f'Files of the type {data_product_type!r} are of {len(found)} services of {SETTING}, not of one.')
    return found[0]


def right_path(path: str) -> str | None:
    """What to write instead of the path of a class of the toolkit's, whatever older path it is written with."""
    name = path.rpartition('.')[2]
    for each in shipped().values():
        if name in (each.__name__, *each.former_names):
            return f'{each.__module__}.{each.__name__}'
    return None


def service(name: str) -> ForcedPhotometryService:
    """One service, with its settings; Refused for a name that is not configured, or whose class cannot be loaded."""
    good, bad = _loaded()
    if name in good:
        try:
            return good[name]()
        except Exception as error:  # the site's own class; its words may hold what is in the settings
            raise Refused(f'{name} cannot be made: {type(error).__name__} in its __init__().') from error
    if name in bad:
        raise Refused(bad[name])
    known = ', '.join(sorted(good)) or 'none'
    raise Refused(' '.join([f'{name!r} is not in {SETTING} (there: {known}).', *bad.values()]))


def broken() -> dict[str, str]:
    """Entries of the settings that cannot be loaded, by their key, and why."""
    return dict(_loaded()[1])


def config_of(which: type[ForcedPhotometryService]) -> Mapping[str, Any]:
    """The settings of a service, by its class."""
    for entry in configured().values():
        if entry['class'].rpartition('.')[2] == which.__name__ and import_string(entry['class']) is which:
            return entry
    return {}


def _reset(*, setting: str, **_: Any) -> None:
    if setting in (SETTING, conf.NAME):
        _loaded.cache_clear()


setting_changed.connect(_reset, dispatch_uid='tom_forced_phot.registry')
