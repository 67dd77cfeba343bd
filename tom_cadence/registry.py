"""``TOM_CADENCE_STRATEGIES`` -> {class name: strategy class}, with two of this app's in the place of the toolkit's."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from tom_cadence import conf
from tom_cadence import strategies as strategies_package
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies import CadenceStrategy
from tom_cadence.strategies.base import sentence_of

logger = logging.getLogger(__name__)

SETTING = 'TOM_CADENCE_STRATEGIES'
REPLACING = ('RetryFailedObservationsStrategy', 'ResumeCadenceAfterFailureStrategy')


def shipped() -> dict[str, str]:
    """Every strategy of ``tom_cadence.strategies``, one a file: class name -> dotted path, in the order of their ``rank``.

    A new file there is all it takes. What the package exports is named by the package, as sites write it in their settings.
    """
    found: dict[str, tuple[int, str]] = {}
    for module in sorted(each.name for each in iter_modules(strategies_package.__path__)):
        for name, each in vars(import_module(f'{strategies_package.__name__}.{module}')).items():
            strategy = isinstance(each, type) and issubclass(each, CadenceStrategy) and each.__module__.endswith(f'.{module}')
            if strategy and module != 'base':
                exported = getattr(strategies_package, name, None) is each
                found[name] = (each.rank, f'{strategies_package.__name__}.{name}' if exported else f'{each.__module__}.{name}')
    return {name: path for name, (_, path) in sorted(found.items(), key=lambda item: item[1])}


OURS = shipped()
TOOLKIT = {
    'tom_observations.cadences.retry_failed_observations.RetryFailedObservationsStrategy': 'RetryFailedObservationsStrategy',
    'tom_observations.cadences.resume_cadence_after_failure.ResumeCadenceAfterFailureStrategy': (
        'ResumeCadenceAfterFailureStrategy'
    ),
}
DEFAULT = (*TOOLKIT, *(path for name, path in OURS.items() if name not in REPLACING))


def configured() -> Sequence[str]:
    """The dotted paths as the site wrote them, or the toolkit's default two and this app's others."""
    paths = getattr(settings, SETTING, DEFAULT)
    if isinstance(paths, str) or not isinstance(paths, Sequence):
        raise ImproperlyConfigured(f'{SETTING} is {paths!r}; a list of dotted paths is expected.')
    for path in paths:
        if not isinstance(path, str) or '.' not in path.strip('.'):
            raise ImproperlyConfigured(f'{SETTING} names {path!r}; the dotted path of a class is expected.')
    return paths


def shipped_replacement(path: str) -> str:
    """Where ``path`` is loaded from: ours in the place of the toolkit's class of the same name, unless switched off."""
    if path in TOOLKIT and conf.get('REPLACE_TOOLKIT_STRATEGIES'):
        return OURS[TOOLKIT[path]]
    return path


def right_path(path: str) -> str | None:
    """What to write instead of a path that older documentation gives."""
    name = path.rpartition('.')[2]
    return OURS.get(name) if path != OURS.get(name) else None


def load(path: str) -> Any:
    """One strategy class; ImproperlyConfigured names the setting, the path and what to write."""
    try:
        return import_string(shipped_replacement(path))
    except ImportError as error:
        better = right_path(path)
        hint = f' Write {better!r} instead.' if better else f' {error}'
        raise ImproperlyConfigured(f'{SETTING} names {path!r}, which cannot be imported.{hint}') from error
    except AttributeError as error:
        raise ImproperlyConfigured(f'{SETTING} names {path!r}, which is not a dotted path of a class.') from error


@lru_cache(maxsize=1)
def strategies() -> dict[str, Any]:
    """Every configured strategy by class name; of two with one name the later wins, as in the toolkit."""
    return {path.rpartition('.')[2]: load(path) for path in configured()}


def strategy_class(name: str) -> Any:
    """The strategy a cadence names; NeedsAttention where it is not configured."""
    try:
        return strategies()[name]
    except KeyError:
        known = ', '.join(sorted(strategies())) or 'none'
        raise NeedsAttention(f'The strategy {name!r} is not in {SETTING} (there: {known}).') from None


def strategy_name(name: str) -> str:
    """What people call the strategy of this class name: its own ``name``, or the words of the class name."""
    found = strategies().get(name)
    if found is None:
        return f'{name} (not configured)'
    parts = re.findall(r'[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+', name.removesuffix('Strategy')) or [name]
    return str(getattr(found, 'name', '') or '').strip() or ' '.join(parts).capitalize()


def strategy_sentence(name: str, strategy: Any, target: str, facility: str, frequency: float | None = None) -> str:
    """What a cadence does, in one sentence: its strategy's own, or one made of the name and description of its class.

    ``strategy`` is None where the class ``name`` is not configured any more, or cannot be made; ``frequency`` is in hours.
    """
    own = getattr(strategy, 'sentence', None)
    if callable(own):
        try:
            return str(own(target, facility))
        except (Exception, SystemExit):  # a strategy of the site, or parameters that it cannot use: the page says those elsewhere
            logger.warning('A strategy has no sentence', extra={'event': 'strategy_sentence', 'strategy': name})
    found = strategies().get(name)
    called = strategy_name(name) if found is not None else 'A strategy that is not configured any more'
    return sentence_of(called, str(getattr(found, 'description', '') or ''), target, facility, frequency)


def _reset(*, setting: str, **_: Any) -> None:
    if setting in (SETTING, conf.NAME):
        strategies.cache_clear()


setting_changed.connect(_reset, dispatch_uid='tom_cadence.registry')


def validate_paths() -> None:
    """Load every strategy now: a bad path would otherwise kill Django's own URL check with a bare ImportError.

    The toolkit's template module is imported first, because a strategy module that imports it would otherwise be loaded by
    it half-way (tom_observations/observation_template.py 43 of tomtoolkit 3.1.0 lists the strategies while it is imported).
    """
    configured()
    try:
        import_module('tom_observations.observation_template')
    except Exception as error:  # whatever a site's module raises while it is imported
        strategies.cache_clear()
        strategies()
        raise ImproperlyConfigured(f'{SETTING}: {error}') from error
    strategies()
