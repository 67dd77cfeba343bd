"""Silence is a failure: which active cadences nobody looked at, and which are stuck."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tom_cadence import conf
from tom_cadence.models import ManagedCadence, Submission


@dataclass(frozen=True, kw_only=True)
class Health:
    """``silent``: active and unchecked for three expected intervals; then cron or the workers are dead."""

    active: int
    silent: list[dict[str, Any]]
    attention: list[dict[str, Any]]
    open_requests: int

    @property
    def ok(self) -> bool:
        """Whether every active cadence is being looked at, and none waits for a person."""
        return not self.silent and not self.attention

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {'ok': self.ok, **asdict(self)}


def health(now: datetime) -> Health:
    """How the cadences of this TOM are."""
    limit = now - 3 * conf.seconds('EXPECTED_INTERVAL')
    active = ManagedCadence.objects.filter(cadence__active=True)
    silent = [row for row in active if (row.last_check or row.created) < limit]
    attention = ManagedCadence.objects.filter(state=ManagedCadence.State.ATTENTION).exclude(cadence=None)
    return Health(
        active=active.count(),
        silent=[_told(row, 'not looked at for too long: is cron running?') for row in silent],
        attention=[_told(row, row.reason) for row in attention],
        open_requests=Submission.objects.filter(state__in=Submission.OPEN).count(),
    )


def _told(row: ManagedCadence, reason: str) -> dict[str, Any]:
    checked = row.last_check.isoformat() if row.last_check else None
    return {'cadence': row.host_cadence_id, 'target': row.target_name, 'last_check': checked, 'reason': reason}
