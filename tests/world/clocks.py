"""The time of a world: one clock that only the scheduler moves, read by the database, the hosts and every stopwatch."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.conftest import NIGHT

#: Modules of the product that have a stopwatch: of a facility's deadline, of a claim, of a mail server.
STOPWATCHES = (
    'tom_followup.clock',
    'tom_cadence.engine.mail',
    'tom_cadence.engine.pipeline',
    'tom_cadence.engine.polling',
    'tom_cadence.engine.send',
    'tom_cadence.facilities.calls',
    'tom_cadence.facilities.transport',
)


class Clock:
    """What time it is in the world; stands in for the module ``time`` where the product has a stopwatch."""

    CLOCK_BOOTTIME = 0

    def __init__(self) -> None:
        """It begins at NIGHT."""
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @property
    def now(self) -> datetime:
        """The present, aware, as the database has it."""
        return NIGHT + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Seconds since the world began; the same for every process, as on one machine."""
        return self.seconds

    def clock_gettime(self, which: int) -> float:
        """The same."""
        return self.seconds

    def time(self) -> float:
        """Seconds since 1970."""
        return self.now.timestamp()


def install(clock: Clock, skew: Callable[[], timedelta], monkeypatch: Any) -> None:
    """Let every stopwatch and every host's clock be the world's; ``skew`` is how wrong the host is that asks."""
    for module in STOPWATCHES:
        monkeypatch.setattr(f'{module}.time', clock)
    monkeypatch.setattr('django.utils.timezone.now', lambda: clock.now + skew())

    class OfHost(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return clock.now + skew()

    monkeypatch.setattr('tom_followup.clock.datetime', OfHost)


def teach(connection: Any, clock: Clock) -> None:
    """Let this SQLite connection tell the world's time: its own functions for 'now' are replaced."""

    def julianday(*given: Any) -> float:
        assert given == ('now',), given
        return clock.time() / 86400.0 + 2440587.5

    def strftime(shape: str, *given: Any) -> str:
        assert given == ('NOW',), given
        return clock.now.strftime(shape.replace('%f', '%S.%f'))[: -3 if '%f' in shape else None]

    connection.create_function('julianday', -1, julianday)
    connection.create_function('strftime', -1, strftime)
