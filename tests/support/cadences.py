"""Cadences for tests: rows as the host's own form leaves them, and one step of a night."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.conftest import NIGHT

SIMULATED = 'Simulated observatory'
PLAIN = 'Plain observatory'


def parameters(target: Any, start: datetime, hours: float = 4, facility: str = SIMULATED, **more: Any) -> dict[str, Any]:
    """What the observatory's form stores for one request."""
    return {
        'facility': facility,
        'target_id': target.pk,
        'observation_type': 'IMAGING',
        'name': f'{target.name} r',
        'start': start.strftime('%Y-%m-%dT%H:%M'),
        'end': (start + timedelta(hours=hours)).strftime('%Y-%m-%dT%H:%M'),
        'filter': 'r',
        'exposure_time': 60.0,
        'exposure_count': 1,
        **more,
    }


def make(
    owner: Any,
    target: Any,
    *,
    strategy: str = 'ResumeCadenceAfterFailureStrategy',
    facility: str = SIMULATED,
    start: datetime = NIGHT,
    book: Any = None,
    status: str = 'PENDING',
    observation_id: str = '',
    records: int = 1,
    hours: float = 4,
    **given: Any,
) -> Any:
    """A DynamicCadence of one record. ``book`` is the simulated observatory where it is really booked."""
    from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

    group = ObservationGroup.objects.create(name=f'{target.name} r')
    for number in range(records):
        asked = parameters(target, start, hours, facility)
        booked = observation_id or str(number + 1)
        if book is not None:
            _, reply = book.submit({**asked, 'target': target.name, 'ra': target.ra, 'dec': target.dec}, 'tom')
            booked = str(reply['id'])
        record = ObservationRecord.objects.create(
            target=target, user=owner, facility=facility, parameters=asked, observation_id=booked, status=status
        )
        group.observation_records.add(record)
    return DynamicCadence.objects.create(
        observation_group=group,
        cadence_strategy=strategy,
        cadence_parameters={'cadence_frequency': 24, **given},
        active=True,
    )


def records(cadence: Any) -> list[Any]:
    """The cadence's records, oldest first."""
    return list(cadence.observation_group.observation_records.order_by('created', 'pk'))


def bookings(observatory: Any) -> list[dict[str, Any]]:
    """What the observatory accepted from this TOM."""
    return list(observatory.log())


def settle(observatory: Any, record: Any, state: str) -> None:
    """Let the observatory be done with an observation."""
    observatory.set_state(record.observation_id, state)
