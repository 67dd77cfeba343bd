"""Words, badges and dates of the pages. Every date is UTC and says so."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tom_cadence import conf, registry

register = template.Library()
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
#: Of white text on Bootstrap's own info and secondary colours the contrast is too low for WCAG AA: these carry their own.
DARK_TEXT = {'info', 'warning'}
SPANS = (('d', 86400.0), ('h', 3600.0), ('min', 60.0))


@register.simple_tag
def badge(kind: str, text: str = '') -> SafeString:
    """A coloured word for a state, an outcome or a decision."""
    colour = COLOURS.get(str(kind), 'secondary')
    contrast = ' text-dark' if colour in DARK_TEXT else ''
    return format_html('<span class="badge text-bg-{}{}">{}</span>', colour, contrast, text or str(kind).capitalize())


@register.filter
def span(seconds: float) -> str:
    """A length of time in one unit: ``3 h``, ``2 d``, ``40 min``, ``20 s``."""
    for unit, length in SPANS:
        if abs(seconds) >= 1.95 * length or (unit == 'min' and abs(seconds) >= length):
            return f'{seconds / length:.0f} {unit}'
    return f'{seconds:.0f} s'


@register.simple_tag
def when(instant: datetime | None, nothing: str = 'never') -> SafeString | str:
    """A date in UTC with its distance from now: ``2026-11-21 03:40 UTC (in 3 h)``."""
    if instant is None:
        return nothing
    utc = instant.astimezone(timezone.utc)
    seconds = (utc - conf.utc_now()).total_seconds()
    distance = f'in {span(seconds)}' if seconds >= 0 else f'{span(-seconds)} ago'
    return format_html(
        '<time datetime="{}">{} UTC</time> <small class="text-body-secondary text-nowrap">({})</small>',
        utc.isoformat(timespec='seconds'),
        utc.strftime('%Y-%m-%d %H:%M'),
        distance,
    )


@register.filter
def strategy_words(name: str) -> str:
    """A strategy's own name in place of its class name."""
    found: Any = registry.strategies().get(name)
    return str(getattr(found, 'name', '') or name) if found is not None else f'{name} (not configured)'
