"""Words, badges and dates of the pages. Every date is UTC and says so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils.safestring import SafeString

from tom_followup.pages import badge_of, date_with_distance, duration_text
from tom_forced_phot import conf
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryNotice
from tom_forced_phot.queries.drive import silence as silence_of_queries

register = template.Library()
register.filter('span', duration_text)
COLOURS = {
    'queued': 'secondary',
    'submitted': 'info',
    'running': 'info',
    'result': 'info',
    'done': 'success',
    'no_data': 'primary',
    'failed': 'danger',
    'expired': 'danger',
    'cancelled': 'secondary',
    'active': 'success',
    'paused': 'secondary',
}


@register.simple_tag
def state_badge(state: str, text: str = '') -> SafeString:
    """A coloured word for a state."""
    colour = COLOURS.get(str(state), 'secondary')
    known = {each.value: each.words for each in QueryState}
    words = text or known.get(str(state), str(state).capitalize())
    return badge_of(colour, words)


@register.simple_tag
def utc(instant: datetime | None, nothing: str = 'never') -> SafeString | str:
    """A date in UTC with its distance from now: ``2026-11-21 03:40 UTC (in 3 h)``."""
    return date_with_distance(instant, conf.utc_now(), nothing)


@register.simple_tag
def phot_silence() -> str:
    """Whether overdue queries are looked at by nobody; a sentence, or nothing."""
    return silence_of_queries(conf.utc_now())


@register.simple_tag
def unread_photometry_notices(user: Any) -> int:
    """How many notices the user has not read; 0 for anonymous visitors."""
    if not getattr(user, 'is_authenticated', False):
        return 0
    return PhotometryNotice.objects.filter(user=user.pk, read=None, in_tom=True).count()


@register.filter
def thousands(number: int) -> str:
    """``12,345``."""
    return f'{number:,}'


@register.filter
def hours(number: float) -> str:
    """``24 h``, ``2 days``."""
    days = number / 24
    return f'{days:g} days' if days >= 2 and days == int(days) else f'{number:g} h'
