"""A person's word about a request whose fate nobody could find out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tom_observations.models import ObservationRecord

from tom_cadence.exceptions import CadenceError
from tom_cadence.journal.requests import accept, adopt_records, refuse
from tom_cadence.journal.states import resume
from tom_cadence.models import ManagedCadence, Submission


def open_request_of(managed: ManagedCadence) -> Submission:
    """The request that waits for a person; CadenceError where there is none."""
    rows = Submission.objects.select_related('managed__cadence').filter(managed=managed, state__in=Submission.OPEN)
    request = rows.order_by('pk').first()
    if request is None:
        raise CadenceError(f'{managed} has no request whose fate is unknown.')
    return request


def say_booked(managed: ManagedCadence, ids: Sequence[str], by: str, now: datetime) -> list[ObservationRecord]:
    """ "It is there": record these observations, and let the cadence go on."""
    request = open_request_of(managed)
    group = managed.host.observation_group
    if request.kind == Submission.Kind.STRATEGY:
        records = list(group.observation_records.filter(observation_id__in=ids))
        if len(records) < len(set(ids)):
            raise CadenceError('The strategy sent it itself: add its record to the group first, then say its id here.')
        adopt_records(request, records, managed.owner, now)
    else:
        known = frozenset(group.observation_records.values_list('observation_id', flat=True))
        records = accept(request, list(dict.fromkeys(ids)), known, f'{by} found it at {request.facility}.', now).records
    resume(managed, now, f'{by} said that it is booked: {", ".join(ids)}.')
    return records


def say_send_again(managed: ManagedCadence, by: str, now: datetime) -> None:
    """ "It is not there": close the request, and let the cadence ask again."""
    request = open_request_of(managed)
    refuse(request, f'{by} said that {request.facility} does not have it.', now, counts=False)
    resume(managed, now, f'{by} said that it may be sent again.')
