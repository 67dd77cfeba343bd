"""A TOM over HTTP in this process, on a database file of its own, with an observatory whose clock is the TOM's too."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from django.core.management import call_command

NOW = 'tests.browser.stage.now'
_clocks: list[Any] = []


def now() -> datetime:
    """The observatory's instant, for ``TOM_CADENCE['CLOCK']``."""
    instant: datetime = _clocks[-1].now()
    return instant


@contextmanager
def clock_of(observatory: Any) -> Iterator[None]:
    """Let the TOM live by the observatory's clock."""
    _clocks.append(observatory.clock)
    try:
        yield
    finally:
        _clocks.remove(observatory.clock)


class Tom:
    """What a test knows of the TOM beside its pages: who is there, what the observatory booked, and time."""

    def __init__(self, url: str, observatory: Any) -> None:
        """Make the astronomer and a target that anybody may see."""
        from django.contrib.auth.models import User

        self.url, self.observatory = url, observatory
        self.vera = User.objects.create_user('vera', 'vera@example.org', 'stars')
        self.target = self.add_target('SN 2011fe', 210.774, 54.274)

    @staticmethod
    def add_target(name: str, ra: float = 10.0, dec: float = 20.0) -> Any:
        """One more target."""
        from tom_targets.models import Target

        return Target.objects.create(name=name, type='SIDEREAL', ra=ra, dec=dec, permissions='OPEN')

    def cron(self) -> None:
        """One turn of cron; exit status 1 says that a cadence needs attention, which the pages say as well."""
        with suppress(SystemExit):
            call_command('runcadencestrategies', stdout=io.StringIO(), stderr=io.StringIO())

    def pass_hours(self, hours: float) -> None:
        """Let time pass at the observatory, then cron run."""
        self.observatory.advance(hours=hours)
        self.cron()

    def booked(self, target: str = '') -> list[dict[str, Any]]:
        """What the observatory booked, by its own log."""
        return [each for each in self.observatory.log() if target in each['target']]
