"""Comparing the facility's list with the TOM's records: what was booked without a record, and recorded without a booking."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from tom_observations.models import ObservationRecord

from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.models import ManagedCadence, Submission

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
