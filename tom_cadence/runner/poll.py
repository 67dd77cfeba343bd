"""Which observations to ask for, and what to do with the answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal, notices
from tom_cadence.decisions import Stop
from tom_cadence.facilities import Facilities, Status
from tom_cadence.history import Outcome
from tom_cadence.models import CadenceRun
from tom_cadence.runner.attempts import Row, window_of
from tom_cadence.runner.containment import trouble
from tom_cadence.runner.read import Looked


def due_rows(item: Looked, facilities: Facilities, now: datetime) -> list[Row]:
    """Which observations to ask for: the unfinished ones, and now and then the finished ones that may still change."""
    late = late_check_due(item, now)
    rows = []
    gateways = {name: facilities.gateway(name, item.managed.owner) for name in {row.facility for row in item.rows}}
    for row in item.rows:
        gateway = gateways[row.facility]
        if gateway.outcome(row.status) is Outcome.WAITING:
            rows.append(row)
        elif late:
            window, _ = window_of(row, gateway.keywords)
            if window is not None and now < window.end + timedelta(days=conf.get('LATE_CHANGE_DAYS')):
                rows.append(row)
    return rows


def late_check_due(item: Looked, now: datetime) -> bool:
    """Whether it is time to ask for finished observations again: terminal is not final at real portals.

    Cadences that were made together drift apart, so that no run has to ask for all of them.
    """
    if item.glanced:  # only where it is not time yet
        return False
    last = item.managed.late_check
    spread = 0.75 + (item.managed.pk % 50) / 100
    return last is None or now >= last + spread * conf.seconds('LATE_CHANGE_INTERVAL')


def save(looked: Sequence[Looked], facilities: Facilities, now: datetime) -> None:
    """Save the states that changed, and tell about finished observations that changed after all."""
    changed: dict[int, tuple[Status, list[tuple[Looked, Row]]]] = {}
    for item in looked:
        for row in item.rows:
            status = item.polled.get(row.pk)
            if isinstance(status, Status) and differs(status, row):
                changed.setdefault(row.pk, (status, []))[1].append((item, row))
    records = ObservationRecord.objects.in_bulk(changed) if changed else {}
    for pk, (status, pairs) in changed.items():
        if pk not in records:
            continue
        try:
            schedule = (status.scheduled_start, status.scheduled_end) if status.has_schedule else None
            journal.save_status(records[pk], status.state, schedule)
            for item, row in pairs:
                _tell_late_change(item, row, status, facilities, now)
        except Exception as error:  # what cannot be kept must not be acted on
            for item, _ in pairs:
                trouble(item, error, f'the state of observation {records[pk].observation_id} was saved')
                item.decision = Stop(reason=item.trouble, kind='attention')


def differs(status: Status, row: Row) -> bool:
    """Whether the facility says something else than what is recorded."""
    if status.state != row.status:
        return True
    return status.has_schedule and (status.scheduled_start, status.scheduled_end) != (
        row.scheduled_start,
        row.scheduled_end,
    )


def _tell_late_change(item: Looked, row: Row, status: Status, facilities: Facilities, now: datetime) -> None:
    gateway = facilities.gateway(row.facility, item.managed.owner)
    before, after = gateway.outcome(row.status), gateway.outcome(status.state)
    if before in (Outcome.WAITING, after):
        return
    text = f'Observation {row.observation_id} was {row.status} and is now {status.state}. What was asked for after it stays booked.'
    journal.note(item.managed, CadenceRun.Decision.NOTE, text, now)
    notices.tell_owner(item.managed, 'changed', text)
