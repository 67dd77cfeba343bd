"""What the navigation says: how many notices are unread."""

from __future__ import annotations

from typing import Any

from django import template

from tom_forced_phot.models import PhotometryNotice

register = template.Library()


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
