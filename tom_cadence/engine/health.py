"""Silence is a failure: which active cadences nobody looked at, and which are stuck."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, Max, Q
from tom_observations.models import ObservationRecord

from tom_cadence import conf
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.models import ManagedCadence, Submission

State = ManagedCadence.State


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


PERIOD = timedelta(days=30)


@dataclass(kw_only=True)
class Audit:
    """What the facilities hold against what this TOM has recorded, for the last thirty days."""

    without_record: list[dict[str, Any]] = field(default_factory=list)
    without_booking: list[dict[str, Any]] = field(default_factory=list)
    not_listed: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the two lists agree."""
        return not self.without_record and not self.without_booking

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {'ok': self.ok, **asdict(self)}


def audit(now: datetime) -> Audit:
    """Ask every facility that can list its observations; nothing is changed."""
    result, facilities = Audit(), Facilities()
    pairs = ManagedCadence.objects.exclude(facility='').values_list('facility', 'owner').order_by().distinct()
    listed: dict[str, dict[str, dict[str, Any]]] = {}
    for name, owner in pairs:
        if name in result.not_listed:
            continue
        try:
            gateway = facilities.gateway(name, get_user_model().objects.filter(pk=owner).first())
            if not gateway.can_list:
                result.not_listed.append(name)
                continue
            listed.setdefault(name, {}).update({str(found['id']): found for found in gateway.listing(now - PERIOD)})
        except CadenceError as error:
            result.not_listed.append(f'{name}: {error}')
    for name, found in listed.items():
        _compare(result, name, found, now)
    return result


def _compare(result: Audit, name: str, found: dict[str, dict[str, Any]], now: datetime) -> None:
    """Only what carries one of our tokens is looked for here: other people's bookings are none of our business."""
    requests = Submission.objects.filter(facility=name, created__gte=now - PERIOD)
    tokens = set(requests.values_list('token', flat=True))
    recorded = set(ObservationRecord.objects.filter(facility=name).values_list('observation_id', flat=True))
    for key, booking in found.items():
        text = str(booking.get('name', ''))
        if key not in recorded and any(token in text for token in tokens):
            result.without_record.append({'facility': name, 'id': key, 'name': text, 'state': booking.get('state')})
    for ids, managed in requests.filter(state=Submission.State.ACCEPTED).values_list('observation_ids', 'managed__host_cadence_id'):
        for key in ids:
            if str(key) not in found:
                result.without_booking.append({'facility': name, 'id': str(key), 'cadence': managed})


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Active cadences that nobody looked at for too long: then cron or the workers are dead."""

    silent: int
    since: datetime | None


def silence(now: datetime) -> Silence:
    """The same rule as ``health``, with one statement however many cadences there are."""
    limit = now - 3 * conf.seconds('EXPECTED_INTERVAL')
    late = Q(last_check__lt=limit) | Q(last_check=None, created__lt=limit)
    found = ManagedCadence.objects.filter(late, state=State.ACTIVE, cadence__active=True)
    told = found.aggregate(number=Count('pk'), since=Max('last_check'))
    return Silence(silent=told['number'], since=told['since'])
