"""Asking facilities for states: in threads, many at once where a facility can, each observation once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal, notices
from tom_cadence.exceptions import Credentials, Temporary
from tom_cadence.facilities import Calls, Facilities, Gateway, Status
from tom_cadence.facilities.ocs import is_ocs
from tom_cadence.history import Outcome
from tom_cadence.models import CadenceRun
from tom_cadence.runner.read import Looked, Row, window_of

Key = tuple[Any, tuple[str, ...]]
LIST_CHUNK = 100
OCS_LIST_FROM = 10


@dataclass
class Asked:
    """One facility and owner, and whose states are wanted: {observation id: [(cadence, row)]}."""

    gateway: Gateway
    wanted: dict[str, list[tuple[Looked, Row]]] = field(default_factory=lambda: defaultdict(list))


def due_rows(item: Looked, facilities: Facilities, now: datetime) -> list[Row]:
    """Which observations to ask for: the unfinished ones, and now and then the finished ones that may still change."""
    late = late_check_due(item, now)
    rows = []
    for row in item.rows:
        gateway = facilities.gateway(row.facility, item.managed.owner)
        if gateway.outcome(row.status) is Outcome.WAITING:
            rows.append(row)
        elif late:
            window, _ = window_of(row, gateway.keywords)
            if window is not None and now < window.end + timedelta(days=conf.get('LATE_CHANGE_DAYS')):
                rows.append(row)
    return rows


def late_check_due(item: Looked, now: datetime) -> bool:
    """Whether it is time to ask for finished observations again: terminal is not final at real portals."""
    last = item.managed.late_check
    return last is None or now >= last + conf.seconds('LATE_CHANGE_INTERVAL')


def poll(wanted: Iterable[tuple[Looked, Sequence[Row]]], facilities: Facilities, workers: int, *, may_write: bool) -> None:
    """Ask for these observations and put the answers, or the errors, into ``Looked.polled``."""
    groups: dict[Any, Asked] = {}
    for item, rows in wanted:
        for row in rows:
            gateway = facilities.gateway(row.facility, item.managed.owner)
            key = (gateway.name, getattr(gateway.owner, 'pk', None))
            groups.setdefault(key, Asked(gateway)).wanted[row.observation_id].append((item, row))
    calls = Calls(at_once=2 * workers, per_lane=workers, breaker=facilities.breaker)
    for key, asked in groups.items():
        if asked.gateway.updates_itself:
            _update_itself(asked, may_write)
        elif asked.gateway.can_poll:
            _start(calls, key, asked)
    again: list[tuple[Any, str]] = []
    for call in calls.ended():
        key, ids = cast(Key, call.key)
        again.extend(_take(groups[key], ids, call.result, call.error, key))
    for key, observation_id in again:
        calls.start((key, (observation_id,)), key[0], _single(groups[key].gateway, observation_id), conf.get('FACILITY_TIMEOUT'))
    for call in calls.ended():
        key, ids = cast(Key, call.key)
        _take(groups[key], ids, call.result, call.error, key)


def _start(calls: Calls, key: Any, asked: Asked) -> None:
    ids = list(asked.wanted)
    least = OCS_LIST_FROM if is_ocs(asked.gateway.facility) else 2
    timeout = conf.get('FACILITY_TIMEOUT')
    if asked.gateway.many_at_once and len(ids) >= least:
        oldest = min(row.created for pairs in asked.wanted.values() for _, row in pairs)
        for first in range(0, len(ids), LIST_CHUNK):
            chunk = tuple(ids[first : first + LIST_CHUNK])
            calls.start((key, chunk), key[0], _many(asked.gateway, chunk, oldest), timeout)
    else:
        for observation_id in ids:
            calls.start((key, (observation_id,)), key[0], _single(asked.gateway, observation_id), timeout)


def _single(gateway: Gateway, observation_id: str) -> Callable[[], Status]:
    return lambda: gateway.status(observation_id)


def _many(gateway: Gateway, ids: tuple[str, ...], oldest: datetime) -> Callable[[], dict[str, Status]]:
    return lambda: gateway.statuses(ids, oldest)


def _take(asked: Asked, ids: Sequence[str], result: Any, error: Any, key: Any) -> list[tuple[Any, str]]:
    """Hand an answer to the cadences that wait for it; ids that a list did not hold are returned, to be asked singly."""
    missing = []
    if error is not None and not isinstance(error, Exception):
        raise error
    for observation_id in ids:
        answer = error or (result.get(observation_id) if isinstance(result, dict) else result)
        if answer is None:
            missing.append((key, observation_id))
            continue
        if isinstance(answer, Exception) and not isinstance(answer, (Temporary, Credentials)):
            answer = Temporary(f'{asked.gateway.name} did not answer: {answer}')
        if isinstance(answer, Status) and not answer.has_schedule and _finished_now(asked, observation_id, answer):
            missing.append((key, observation_id))
        for item, row in asked.wanted[observation_id]:
            item.polled[row.pk] = answer
    return missing


def _finished_now(asked: Asked, observation_id: str, status: Status) -> bool:
    """Whether a list said that this one has just finished: its real times are then asked for singly."""
    _, row = asked.wanted[observation_id][0]
    return status.state != row.status and asked.gateway.outcome(status.state) is Outcome.SUCCEEDED


def _update_itself(asked: Asked, may_write: bool) -> None:
    """The class saves states in its own way: let it, in this thread, and read what it saved."""
    if not may_write:
        return
    for observation_id, pairs in asked.wanted.items():
        try:
            asked.gateway.update_itself(observation_id)
            error: Exception | None = None
        except Exception as problem:
            error = problem
        for item, row in pairs:
            item.polled[row.pk] = error or _saved(row)


def _saved(row: Row) -> Status:
    saved = ObservationRecord.objects.filter(pk=row.pk).values_list('status', 'scheduled_start', 'scheduled_end').first()
    state, start, end = saved or (row.status, row.scheduled_start, row.scheduled_end)
    return Status(state=state, scheduled_start=start, scheduled_end=end)


def save(looked: Sequence[Looked], facilities: Facilities, now: datetime) -> None:
    """Save the states that changed, and tell about finished observations that changed after all."""
    changed: dict[int, tuple[Status, list[tuple[Looked, Row]]]] = {}
    for item in looked:
        for row in item.rows:
            status = item.polled.get(row.pk)
            if isinstance(status, Status) and _differs(status, row):
                changed.setdefault(row.pk, (status, []))[1].append((item, row))
    records = ObservationRecord.objects.in_bulk(changed) if changed else {}
    for pk, (status, pairs) in changed.items():
        if pk in records:
            schedule = (status.scheduled_start, status.scheduled_end) if status.has_schedule else None
            journal.save_status(records[pk], status.state, schedule)
            for item, row in pairs:
                _tell_late_change(item, row, status, facilities, now)


def _differs(status: Status, row: Row) -> bool:
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
