"""Words, badges and dates of the pages. Every date is UTC and says so."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import template
from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString

from tom_cadence import conf, registry
from tom_cadence.engine import health
from tom_cadence.flows import outcomes
from tom_cadence.models import Booking, ManagedCadence, Notice
from tom_cadence.permissions import visible_cadences, visible_records
from tom_followup.pages import badge_of, date_with_distance, duration_text

register = template.Library()
register.filter('span', duration_text)
COLOURS = {
    'active': 'success',
    'paused': 'secondary',
    'finished': 'primary',
    'attention': 'danger',
    'waiting': 'info',
    'succeeded': 'success',
    'failed': 'danger',
    'cancelled': 'secondary',
    'submit': 'success',
    'wait': 'secondary',
    'stop': 'primary',
    'error': 'danger',
    'note': 'info',
}


@register.simple_tag
def badge(kind: str, text: str = '') -> SafeString:
    """A coloured word for a state, an outcome or a decision."""
    colour = COLOURS.get(str(kind), 'secondary')
    return badge_of(colour, text or str(kind).capitalize())


@register.simple_tag
def when(instant: datetime | None, nothing: str = 'never') -> SafeString | str:
    """A date in UTC with its distance from now: ``2026-11-21 03:40 UTC (in 3 h)``."""
    return date_with_distance(instant, conf.utc_now(), nothing)


@register.filter
def strategy_words(name: str) -> str:
    """A strategy's own name in place of its class name."""
    return registry.strategy_name(name)


@register.simple_tag
def unread_notices(user: Any) -> int:
    """How many notices the user has not read; 0 for anonymous visitors."""
    if not getattr(user, 'is_authenticated', False):
        return 0
    return Notice.objects.filter(user=user.pk, read=None).count()


@register.simple_tag
def silence() -> health.Silence:
    """Whether active cadences were not looked at for too long."""
    return health.silence(conf.utc_now())


@register.simple_tag
def start_url(**parameters: Any) -> str:
    """Where a cadence is started."""
    try:
        address = reverse('cadences:start')
    except NoReverseMatch:
        return ''
    return f'{address}?{urlencode(parameters)}' if parameters else address


@register.inclusion_tag('tom_cadence/partials/tonight_block.html', takes_context=True)
def tonight(context: Any) -> dict[str, Any]:
    """A block for the TOM's own home page, which fetches itself; nothing for visitors."""
    return {'request': context['request']}


@register.inclusion_tag('tom_cadence/partials/outcome.html', takes_context=True)
def outcome_of_record(context: Any, record: Any) -> dict[str, Any]:
    """Where its facility cannot be asked: what a person may say of this observation, and whether this user may."""
    words = outcomes.choices(record)
    shown = {'record': record, 'words': {word: outcomes.WORDS[word] for word in words}}
    if not words:
        return shown
    mine = outcomes.may_say(context['request'].user, record)
    return {**shown, 'mine': mine, 'unfinished': outcomes.is_unfinished(record)}


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
