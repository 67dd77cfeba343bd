"""Every setting of ``TOM_CADENCE``: name, type, default and what it is for; read each time, so that tests can override."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

NAME = 'TOM_CADENCE'


@dataclass(frozen=True)
class Setting:
    """One key of the dictionary ``TOM_CADENCE``."""

    kind: type | tuple[type, ...]
    default: Any
    text: str
    unit: str = ''
    least: float = 0

    def accepts(self, value: Any) -> bool:
        """Whether ``value`` has the right type, and a number is finite and not below the least that makes sense."""
        kinds = self.kind if isinstance(self.kind, tuple) else (self.kind,)
        if isinstance(value, bool):
            return bool in kinds
        if not isinstance(value, kinds):
            return False
        return not isinstance(value, (int, float)) or (math.isfinite(value) and value >= self.least)


SECONDS = (int, float)
SETTINGS: dict[str, Setting] = {
    'REPLACE_TOOLKIT_STRATEGIES': Setting(
        bool, True, "Let this app's Resume and Retry strategies stand in for the toolkit's two of the same name."
    ),
    'RESUBMIT_CANCELLED': Setting(
        bool, False, 'Ask again for an observation that somebody cancelled (a cadence can say otherwise).'
    ),
    'CANCELLED_STATES': Setting(
        (list, tuple), ('CANCELED', 'CANCELLED', 'WITHDRAWN'), 'States of a facility that mean cancelled by a person.'
    ),
    'EXPECTED_INTERVAL': Setting(
        SECONDS, 900, 'How often cron is expected to run; a cadence unchecked for three times as long is silent.', 's'
    ),
    'FACILITY_TIMEOUT': Setting(SECONDS, 30, 'How long one call to a facility may take.', 's', 0.1),
    'SETTLE_TIME': Setting(SECONDS, 600, 'How long after a lost reply "not found" at the facility is not yet believed.', 's'),
    'CLAIM_TIME': Setting(SECONDS, 120, 'How long a process holds a cadence without renewing its claim.', 's'),
    'START_LEAD': Setting(SECONDS, 0, 'The earliest start of a new window, counted from now.', 's'),
    'FACILITY_CALLS': Setting(int, 8, 'The most calls at the same time to one facility.', '', 1),
    'BATCH_SIZE': Setting(int, 250, 'How many cadences are read, polled and saved at once.', '', 1),
    'EMPTY_GROUP_GRACE': Setting(
        SECONDS, 600, 'How long a cadence may have no observation (the REST API makes the cadence first).', 's'
    ),
    'LATE_CHANGE_DAYS': Setting(
        SECONDS, 14, 'How long after the end of its window a finished observation is still asked for its state.', 'days'
    ),
    'LATE_CHANGE_INTERVAL': Setting(SECONDS, 21600, 'How often finished observations are asked for again.', 's'),
    'OVERDUE_TIME': Setting(
        SECONDS,
        86400,
        'How long after the end of its window an observation may stay unfinished, or its state unknown, before a person is asked.',
        's',
    ),
    'NOTIFY_BY_MAIL': Setting(
        bool, True, "Mail the owner, where Django's mail is configured, when a cadence ends or needs attention."
    ),
    'NOTIFY_IN_TOM': Setting(
        bool, True, 'Show the owner a message in the TOM, behind the bell, when a cadence ends or needs attention.'
    ),
    'FRESH_LOOKS': Setting(
        str,
        '',
        'Dotted path of the class that asks photometry services for strategies; empty for that of tom_forced_phot.',
    ),
    'CLOCK': Setting(
        str,
        'django.utils.timezone.now',
        'Dotted path of a callable that returns aware UTC now; for rehearsals and training.',
    ),
}


def get(name: str) -> Any:
    """The value of one setting, or its default; KeyError for a name that does not exist."""
    given, default = getattr(settings, NAME, {}), SETTINGS[name].default
    return given.get(name, default) if isinstance(given, (dict, Mapping)) else default  # dict first: asking an ABC takes longer


def seconds(name: str) -> timedelta:
    """A setting in seconds as a timedelta."""
    return timedelta(seconds=get(name))


def utc_now() -> datetime:
    """The present, from the clock in ``TOM_CADENCE['CLOCK']``; ImproperlyConfigured for a clock without a time zone."""
    clock: Callable[[], datetime] = import_string(get('CLOCK'))
    now = clock()
    if now.tzinfo is None:
        raise ImproperlyConfigured(f"TOM_CADENCE['CLOCK'] = {get('CLOCK')!r} returned a time without a time zone.")
    return now
