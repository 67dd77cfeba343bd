"""What a user does to many cadences at once, and the sentence that says what was done and what was left alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.messages import constants
from django.http import QueryDict

from tom_cadence import overview, steering
from tom_cadence.models import ManagedCadence
from tom_cadence.permissions import Rows, changeable_cadences, visible_cadences

State = ManagedCadence.State
MOST_SELECTED = 1000
Told = tuple[int, str]


@dataclass(frozen=True, kw_only=True)
class ActiveAt:
    """How many active cadences of a facility the user may pause, and how many belong to others."""

    changeable: int
    others: int


def active_at(user: Any, facility: str) -> ActiveAt:
    """What "pause everything at this facility" would do."""
    rows = _active_at(facility)
    changeable = changeable_cadences(user, rows).count()
    return ActiveAt(changeable=changeable, others=max(0, visible_cadences(user, rows).count() - changeable))


def change(user: Any, given: QueryDict, now: datetime) -> Told:
    """Do what the form of the overview asks for; the level and text of the message about it."""
    action, facility = given.get('action', ''), given.get('facility', '')
    if action in ('pause', 'resume'):
        return _selected(user, action, given.getlist('selected-row'), now)
    if action == 'pause-facility' and facility:
        return _pause_facility(user, facility, now)
    if action == 'resume-credentials' and facility:
        return _resume_credentials(user, facility, given.get('owner', ''), now)
    return constants.WARNING, 'Nothing was done: it is not said what to do.'


def _selected(user: Any, action: str, selected: list[str], now: datetime) -> Told:
    pks = {int(pk) for pk in selected[:MOST_SELECTED] if pk.isdecimal() and len(pk) < 18}
    if not pks:
        return constants.WARNING, f'Nothing was {action}d: select cadences first.'
    rows = ManagedCadence.objects.filter(pk__in=pks)
    seen, mine = visible_cadences(user, rows).count(), changeable_cadences(user, rows)
    many = (steering.pause_many if action == 'pause' else steering.resume_many)(mine, user, now)
    foreign = max(0, seen - many.done - many.left)
    why_not = 'not active' if action == 'pause' else 'neither paused nor waiting for attention'
    return _told(f'{action}d', many, foreign, why_not)


def _pause_facility(user: Any, facility: str, now: datetime) -> Told:
    rows = _active_at(facility)
    seen = visible_cadences(user, rows).count()
    many = steering.pause_many(changeable_cadences(user, rows), user, now, f'everything at {facility}')
    return _told(f'at {facility} paused', many, max(0, seen - many.done - many.left), 'not active any more')


def _resume_credentials(user: Any, facility: str, owner: str, now: datetime) -> Told:
    rows = overview.waiting_for_credentials(changeable_cadences(user)).filter(facility=facility)
    if owner.isdecimal() and len(owner) < 18:
        rows = rows.filter(owner=int(owner))
    many = steering.resume_many(rows, user, now, f'after the credentials of {facility} were set right')
    return _told(f'at {facility} resumed', many, 0, 'not waiting any more')


def _active_at(facility: str) -> Rows:
    return ManagedCadence.objects.filter(facility=facility, state=State.ACTIVE, cadence__isnull=False)


def _told(verb: str, many: steering.Many, foreign: int, why_not: str) -> Told:
    parts = [f'{_number(many.done)} {verb}.']
    if many.left:
        parts.append(f'{_number(many.left)} left alone: {why_not}.')
    if foreign:
        parts.append(f'{_number(foreign)} left alone: not yours to change.')
    return (constants.SUCCESS if many.done else constants.WARNING), ' '.join(parts)


def _number(count: int) -> str:
    return f'{count or "No"} cadence{"" if count == 1 else "s"}'
