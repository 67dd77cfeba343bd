"""How far an application is, and what became of each target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Case, Count, IntegerField, Value, When
from django.http import HttpRequest
from tom_observations.models import ObservationRecord

from tom_cadence import apply as core
from tom_cadence.models import TemplateApplication, TemplateTask
from tom_cadence.permissions import visible_targets

State = TemplateTask.State
URGENCY = (State.UNCERTAIN, State.INVALID, State.REFUSED, State.SENDING, State.READY, State.NEW, State.ACCEPTED, State.LEFT_OUT)
KINDS = {
    State.NEW: 'waiting',
    State.READY: 'waiting',
    State.INVALID: 'failed',
    State.SENDING: 'waiting',
    State.ACCEPTED: 'succeeded',
    State.REFUSED: 'failed',
    State.UNCERTAIN: 'attention',
    State.LEFT_OUT: 'cancelled',
}
ROWS = 50


def progress(request: HttpRequest, found: TemplateApplication) -> dict[str, Any]:
    """Everything the page of an application shows."""
    counts: dict[str, int] = dict.fromkeys(State.values, 0)
    counts.update({row['state']: row['number'] for row in found.tasks.values('state').annotate(number=Count('pk'))})
    order = Case(*[When(state=state, then=Value(place)) for place, state in enumerate(URGENCY)], output_field=IntegerField())
    tasks = found.tasks.select_related('target').annotate(place=order).order_by('place', 'target__name', 'pk')
    page = Paginator(tasks, ROWS).get_page(request.GET.get('page'))
    _describe(page.object_list, request, found)
    total = sum(counts.values()) - counts[State.LEFT_OUT]
    return {
        'application': found,
        'page': page,
        'total': total,
        'counts': {state.replace('-', '_'): number for state, number in counts.items()},
        'warned': found.tasks.filter(state=State.READY).exclude(warning='').count(),
        'share': _share(counts, total),
        'next': _next(found, counts),
        'askable': bool(counts[State.UNCERTAIN]) and core.can_look_up(found),
        'message': found.message,
    }


def _share(counts: Mapping[str, int], total: int) -> int:
    """How much of the present phase is done, in percent: checking, then sending."""
    if counts[State.NEW]:
        return round(100 * (total - counts[State.NEW]) / max(1, total))
    done = counts[State.ACCEPTED] + counts[State.REFUSED] + counts[State.UNCERTAIN]
    return round(100 * done / max(1, done + counts[State.READY] + counts[State.SENDING]))


def _next(found: TemplateApplication, counts: Mapping[Any, int]) -> str:
    """What the page does by itself now: check, send, look, or nothing."""
    if counts[State.NEW]:
        return '' if found.message and not found.confirmed else 'check'
    if found.confirmed and counts[State.READY]:
        return 'send'
    if counts[State.SENDING] or counts[State.UNCERTAIN]:
        return 'look'
    return ''


def _describe(tasks: Any, request: HttpRequest, found: TemplateApplication) -> None:
    """Give each row its badge, its target's name where it may be seen, and its records."""
    pks = [task.target_id for task in tasks if task.target_id]
    names = dict(visible_targets(request.user).filter(pk__in=pks).values_list('pk', 'name'))
    ids = [each for task in tasks for each in task.observation_ids]
    records = ObservationRecord.objects.filter(facility=found.facility, observation_id__in=ids)
    by_id = dict(records.values_list('observation_id', 'pk'))
    for task in tasks:
        task.kind, task.name = KINDS[State(task.state)], names.get(task.target_id, '')
        task.records = [(each, by_id.get(each)) for each in task.observation_ids]
