"""How high a target stands over the coming day at the sites of a facility: spans for a bar, in percent of its length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tom_cadence.core.visibility import Constraints, Site, VisibleInterval, visible_intervals
from tom_cadence.core.windows import Window

LEVELS = (30.0, 45.0, 60.0)
"""Degrees above the horizon from which a bar gets darker; an airmass of 2, 1.4 and 1.15."""
DARKNESS = 'nautical'
LOWEST = -90.0
"""Every target is above it: what is left is whether it is dark."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a bar: where it begins and how long it is, in percent."""

    start: float
    length: float


@dataclass(frozen=True, kw_only=True)
class SiteBar:
    """One site: when it is dark there, and when the target is so high in the dark, for each of LEVELS; in words, too."""

    site: str
    dark: tuple[Span, ...]
    up: tuple[tuple[Span, ...], ...]
    words: str
    observable: timedelta


def spans(found: Iterable[tuple[datetime, datetime]], start: datetime, end: datetime) -> tuple[Span, ...]:
    """Those parts of the intervals that are between start and end."""
    whole = (end - start) / timedelta(seconds=100)
    clipped = ((max(first, start), min(last, end)) for first, last in found)
    return tuple(
        Span(start=round((first - start).total_seconds() / whole, 2), length=round((last - first).total_seconds() / whole, 2))
        for first, last in clipped
        if last > first
    )


def bars(sites: Sequence[Site], place: tuple[float, float], window: Window, start: datetime, end: datetime) -> list[SiteBar]:
    """A bar for each site, those first where the target can be observed longest within its window.

    ``place``: right ascension and declination (ICRS, degrees). Between ``start`` and ``end`` is what the bars show, aware UTC.
    """
    ra, dec = place
    found: list[tuple[timedelta, timedelta, SiteBar]] = []
    for site in sites:
        dark = visible_intervals(site, ra, dec, Constraints(min_altitude=LOWEST, darkness=DARKNESS), start, end)
        levels = [
            visible_intervals(site, ra, dec, Constraints(min_altitude=level, darkness=DARKNESS), start, end) for level in LEVELS
        ]
        up = tuple(spans(((each.start, each.end) for each in level), start, end) for level in levels)
        within = [(max(each.start, window.start), min(each.end, window.end)) for each in levels[0]]
        observable = sum((last - first for first, last in within if last > first), timedelta(0))
        bar = SiteBar(
            site=site.name,
            dark=spans(((each.start, each.end) for each in dark), start, end),
            up=up,
            words=_words(levels),
            observable=observable,
        )
        found.append((observable, sum((each.end - each.start for each in levels[0]), timedelta(0)), bar))
    return [bar for _, _, bar in sorted(found, key=lambda each: each[:2], reverse=True)]


def _words(levels: Sequence[Sequence[VisibleInterval]]) -> str:
    """For example ``above 30° in the dark from 21:10 to 03:40 UTC, up to more than 60°``."""
    if not levels[0]:
        return f'never above {LEVELS[0]:g}° in the dark'
    times = ' and '.join(f'{each.start:%H:%M} to {each.end:%H:%M}' for each in levels[0])
    highest = max(level for level, found in zip(LEVELS, levels, strict=True) if found)
    return f'above {LEVELS[0]:g}° in the dark from {times} UTC' + (f', up to more than {highest:g}°' if highest > LEVELS[0] else '')
