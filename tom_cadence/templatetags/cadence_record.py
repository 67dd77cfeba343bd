"""The cadence of an observation, for the host's page of one observation record."""

from __future__ import annotations

from typing import Any

from django import template
from django.db.models import Q

from tom_cadence.models import Booking, ManagedCadence
from tom_cadence.permissions import visible_cadences, visible_records

register = template.Library()


@register.inclusion_tag('tom_cadence/partials/page_record.html', takes_context=True)
def cadence_of_record(context: Any, record: Any) -> dict[str, Any]:
    """The cadences that this record belongs to, with the observations before and after it, as far as the user may see them."""
    user = context['request'].user
    groups = record.observationgroup_set.values('pk')
    deleted = Q(cadence=None, pk__in=Booking.objects.filter(record=record.pk).values('submission__managed'))
    rows = ManagedCadence.objects.filter(Q(cadence__observation_group__in=groups) | deleted)
    found = visible_cadences(user, rows.select_related('cadence__observation_group')).order_by('pk')
    return {'managed_cadences': [_placed(managed, record, user) for managed in found]}


def _placed(managed: ManagedCadence, record: Any, user: Any) -> dict[str, Any]:
    if managed.cadence is None:
        return {'managed': managed, 'name': record.target.name}
    others = visible_records(user, managed.cadence.observation_group.observation_records.all()).order_by('created', 'pk')
    same = Q(created=record.created)
    before = others.filter(Q(created__lt=record.created) | (same & Q(pk__lt=record.pk))).last()
    after = others.filter(Q(created__gt=record.created) | (same & Q(pk__gt=record.pk))).first()
    return {'managed': managed, 'name': record.target.name, 'before': before, 'after': after}
