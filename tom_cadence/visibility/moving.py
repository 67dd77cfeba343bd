"""A window in which the target is down is moved to the next possible one, or the cadence waits and says why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tom_cadence.decisions import Decision, Submit, Wait
from tom_cadence.visibility.constraints import Constraints
from tom_cadence.visibility.stretches import STEP, Site, Stretch, first_day, stretches
from tom_cadence.windows import Window, show

NEAR, FAR = 2, 30
"""How many days ahead of the wanted window it is looked: closely, and at most."""
ROOM = timedelta(minutes=10)
"""How long a target must be observable within a window where the length of its exposures is not known."""


@dataclass(frozen=True, kw_only=True)
class Sky:
    """Where a target (ICRS, degrees) is observed from, and what must hold there. A site that moves has no place here."""

    sites: tuple[Site, ...]
    ra: float
    dec: float
    constraints: Constraints

    def stretches(self, start: datetime, end: datetime) -> list[Stretch]:
        """When the target can be observed from any of the sites, by their start."""
        return sorted(s for site in self.sites for s in stretches(site, self.ra, self.dec, self.constraints, start, end))


def observable(decision: Decision, sky: Sky | None, now: datetime, seconds: float | None = None) -> Decision:
    """The decision with a window in which the target is up for long enough: its own, one of its alternatives, or a later one.

    ``seconds``: what the exposures take in all, where known. ``now`` (aware UTC) is the earliest start.
    """
    if sky is None or not isinstance(decision, Submit):
        return decision
    wanted = [window for window in (decision.window.not_before(now), *decision.alternatives) if window.start >= now]
    reach = max(window.end for window in wanted)
    open_ = sky.stretches(now, reach)
    for window in wanted:
        if _fits(window, open_, seconds):
            return _taken(decision, window)
    if decision.alternatives:
        return Wait(reason=f'{_down(sky)} in any of the {len(wanted)} windows that would do.')
    return _moved(decision, wanted[0], sky, seconds)


def _needed(window: Window, seconds: float | None) -> timedelta:
    """How long it must be up: the exposures, or a while, but never longer than the window is."""
    return min(window.length, max(timedelta(seconds=seconds), STEP) if seconds is not None else ROOM)


def _fits(window: Window, open_: Iterable[Stretch], seconds: float | None) -> bool:
    needed = _needed(window, seconds)
    return any(min(stretch.end, window.end) - max(stretch.start, window.start) >= needed for stretch in open_)


def _moved(decision: Submit, window: Window, sky: Sky, seconds: float | None) -> Decision:
    """The window from the next time on at which the target is up for long enough; a wait where that is too far away."""
    needed = _needed(window, seconds)
    for day in _days(window.start, sky):
        for stretch in sky.stretches(max(day, window.start), day + timedelta(days=NEAR)):
            if stretch.end - stretch.start >= needed:
                return _taken(decision, window.starting(stretch.start), f' {_down(sky)} {_span(window)}: moved to {stretch.site}.')
    return Wait(reason=f'{_down(sky)} in the next {FAR} days.')


def _days(start: datetime, sky: Sky) -> Iterator[datetime]:
    """From when it is looked closely: now, and on the first day later on on which anything is to be seen."""
    yield start
    later = start + timedelta(days=NEAR)
    found = [first_day(site, sky.ra, sky.dec, sky.constraints, later, FAR - NEAR) for site in sky.sites]
    yield from sorted(day for day in found if day is not None)[:1]


def _taken(decision: Submit, window: Window, words: str = '') -> Submit:
    kept = window == decision.window and not words and not decision.alternatives
    return decision if kept else replace(decision, window=window, alternatives=(), reason=f'{decision.reason}{words}')


def _span(window: Window) -> str:
    return f'from {show(window.start)} to {show(window.end)}'


def _down(sky: Sky) -> str:
    """For example ``The target is not above 30° at La Palma``."""
    places = ', '.join(site.name for site in sky.sites[:3]) + (' or elsewhere' if len(sky.sites) > 3 else '')
    return f'The target is not {sky.constraints.in_words()} long enough at {places}'
