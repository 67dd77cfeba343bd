"""What every page shows: the bell, and the banner when nobody looks at the cadences."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from tom_cadence import conf, overview
from tom_cadence.models import Notice

register = template.Library()


@register.simple_tag
def unread_notices(user: Any) -> int:
    """How many notices the user has not read; 0 for anonymous visitors."""
    if not getattr(user, 'is_authenticated', False):
        return 0
    return Notice.objects.filter(user=user.pk, read=None).count()


@register.simple_tag
def silence() -> overview.Silence:
    """Whether active cadences were not looked at for too long."""
    return overview.silence(conf.utc_now())


@register.simple_tag
def start_url(**parameters: Any) -> str:
    """Where a cadence is started."""
    from urllib.parse import urlencode

    try:
        address = reverse('cadences:start')
    except NoReverseMatch:
        return ''
    return f'{address}?{urlencode(parameters)}' if parameters else address
