"""Observations of cadences that have ended, or are paused, may still change: data are withdrawn, what was kept booked is done.

They are asked for as rarely as finished observations of active cadences are, for ``LATE_CHANGE_DAYS`` after the cadence was last
looked at. What is found is saved and told to the owner; nothing is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tom_cadence import conf, journal
from tom_cadence.core.decisions import Wait
from tom_cadence.engine import snapshot
from tom_cadence.engine.containment import batch_or_singly
from tom_cadence.engine.polling import Polling, save_states
from tom_cadence.engine.stages import Decided, Known
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Calls, Facilities
from tom_cadence.facilities.calls import Call
from tom_cadence.journal.states import CREDENTIALS
from tom_cadence.models import ManagedCadence

SLOWEST = 1.25
"""How much longer than ``LATE_CHANGE_INTERVAL`` the longest interval of a cadence is (see ``polling.late_check_due``)."""


def due(now: datetime) -> Any:
    """Cadences that send nothing any more, and whose observations are to be asked for again now; the longest unasked first."""
    interval = SLOWEST * conf.seconds('LATE_CHANGE_INTERVAL')
    watched = now - timedelta(days=conf.get('LATE_CHANGE_DAYS')) - interval
    rows = ManagedCadence.objects.filter(cadence__active=False, last_check__gt=watched, late_check__lte=now - interval)
    rows = rows.exclude(reason_class__startswith=CREDENTIALS).select_related('cadence').prefetch_related('owner')
    return rows.order_by('late_check', 'pk')[: conf.get('BATCH_SIZE')]


def look(facilities: Facilities, calls: Calls, now: datetime, other: Callable[[Call], object]) -> None:
    """Ask for them, and save and tell what has changed. A facility that does not answer is asked again after the interval.

    ``other`` takes calls that end meanwhile and are no questions after states.
    """
    found = {row.pk: row for row in due(now)}
    if not found:
        return
    prepared = [snapshot.prepare(row) for row in found.values()]
    read, troubles = batch_or_singly(
        prepared, lambda some: {each.pk: each for each in snapshot.read_rows(some, full=False)}, 'its observations were read'
    )
    polling = Polling(facilities, calls, may_write=True, now=now)
    polling.start(read.values(), {})
    for pks in polling.ready(read, other):
        known = [Known(snapshot=read[pk], polled=polling.polled(read[pk])) for pk in pks]
        ended = [Decided(known=each, decision=Wait(reason='It has ended.')) for each in known]
        _, unsaved = batch_or_singly(
            ended, lambda some: {each.managed.pk: each for each in save_states(some, facilities, now)}, 'its states were saved'
        )
        troubles |= unsaved
    journal.note_late_checks([(managed, now) for managed in found.values()])
    if troubles:  # the others were served, and these are asked for again after the interval
        raise CadenceError(' '.join(f'Cadence {found[pk].host_cadence_id}: {text}' for pk, text in troubles.items()))
