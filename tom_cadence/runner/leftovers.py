"""Requests left open by cadences that are paused, ended or deleted: looking up is not sending, so they are looked up too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from tom_cadence import journal
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.models import ManagedCadence, Submission
from tom_cadence.runner import act, read
from tom_cadence.runner.read import Looked

logger = logging.getLogger(__name__)


def settle_leftovers(facilities: Facilities, clock: Callable[[], datetime]) -> list[Looked]:
    """Record what such requests have booked; the cadences of which something was found. Nothing is sent."""
    rows = ManagedCadence.objects.filter(submissions__state__in=Submission.OPEN, submissions__kind=Submission.Kind.ENGINE)
    found = []
    for managed in rows.exclude(cadence__active=True).select_related('cadence', 'owner').distinct():
        claimed = journal.Claim(managed.pk, journal.claim([managed.pk]))
        managed.refresh_from_db(fields=['claim_holder', 'claim_number', 'version'])
        if managed.claim_holder != claimed.holder:
            continue
        item = Looked(managed=managed)
        try:
            if _settle(item, facilities, clock()):
                found.append(item)
        except CadenceError as error:
            logger.info('%s: %s', managed, error, extra={'event': 'leftover_request', 'cadence': managed.host_cadence_id})
        finally:
            journal.release(claimed)
    return found


def _settle(item: Looked, facilities: Facilities, now: datetime) -> bool:
    if item.managed.cadence is not None:
        read.read_rows([item], full=True)
    read.read_requests([item])
    _, records = act.settle_open(item, facilities, now)
    return bool(records)
