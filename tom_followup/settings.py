"""A dictionary of settings by a table: type, default and purpose of each key; read each time, so that tests can override."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

SECONDS = (int, float)


@dataclass(frozen=True)
class Setting:
    """One key of an app's dictionary of settings."""

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


@dataclass(frozen=True)
class Table:
    """The settings of one app: the name of the dictionary, and its keys."""

    name: str
    keys: Mapping[str, Setting]

    def get(self, key: str) -> Any:
        """The value of one setting, or its default; KeyError for a key that does not exist."""
        given, default = getattr(settings, self.name, {}), self.keys[key].default
        return given.get(key, default) if isinstance(given, (dict, Mapping)) else default  # dict first: asking an ABC takes longer

    def seconds(self, key: str) -> timedelta:
        """A setting in seconds as a timedelta."""
        return timedelta(seconds=self.get(key))

    def utc_now(self) -> datetime:
        """The present, from the clock that ``CLOCK`` names; ImproperlyConfigured for a clock without a time zone."""
        clock: Callable[[], datetime] = import_string(self.get('CLOCK'))
        now = clock()
        if now.tzinfo is None:
            raise ImproperlyConfigured(f"{self.name}['CLOCK'] = {self.get('CLOCK')!r} returned a time without a time zone.")
        return now
