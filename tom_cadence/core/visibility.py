"""When a target can be observed from one site, day by day, as astroplan's constraints say.

Nothing is fetched: the Earth's orientation is what came with astropy, however old it is, and beyond its end the last known one is
used. The error of that is a few seconds of time after years, which does not matter beside a step of ten minutes.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_cadence.core.decisions import Decision, Submit, Wait
from tom_cadence.core.windows import Window, show

__all__ = ['DARKNESS', 'Constraints', 'Site', 'Sky', 'Stretch', 'earth_as_it_is', 'observable', 'stretches']


UTC = timezone.utc
STEP, COARSE = timedelta(minutes=10), timedelta(hours=1)
"""Stretches begin and end at multiples of the first, inside the time in which the constraints hold; far days are looked through
in steps of the second."""
DAY = timedelta(days=1)
KEPT = 4096
_ASTROPY = threading.RLock()


@contextmanager
def earth_as_it_is() -> Iterator[None]:
    """astropy with the Earth orientation that is installed, of any age, and no network; the site's own settings stay as they are.

    Those are of the whole process: two threads that changed them at the same time could leave each other's behind. Whatever is
    computed in between must be imported in between, too: astropy looks for new leap seconds when it first makes a time.
    """
    from astropy.coordinates.erfa_astrom import ErfaAstromInterpolator, erfa_astrom
    from astropy.units import hour
    from astropy.utils.iers import conf

    with (
        _ASTROPY,
        conf.set_temp('auto_download', False),
        conf.set_temp('auto_max_age', None),
        conf.set_temp('iers_degraded_accuracy', 'ignore'),
        erfa_astrom.set(ErfaAstromInterpolator(1 * hour)),  # microarcseconds away, and many times quicker
        warnings.catch_warnings(),
    ):
        warnings.simplefilter('ignore')  # astroplan's Moon, seen from Earth's centre; times beyond what is known; polar days
        yield


@dataclass(frozen=True, kw_only=True)
class Site:
    """A place on Earth: degrees north and east, metres above the sea."""

    name: str
    latitude: float
    longitude: float
    elevation: float = 0.0


@dataclass(frozen=True, kw_only=True, order=True)
class Stretch:
    """A span in which the target can be observed all the time; aware UTC."""

    start: datetime
    end: datetime
    site: str = ''


def stretches(site: Site, ra: float, dec: float, constraints: Constraints, start: datetime, end: datetime) -> tuple[Stretch, ...]:
    """When a target (ICRS, degrees) can be observed between two aware instants; those that touch are one."""
    found: list[Stretch] = []
    day = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while day < end:
        for first, last in _of_day(site, round(ra, 4), round(dec, 4), constraints, day):
            if found and found[-1].end == first:
                first, found = found[-1].start, found[:-1]
            found.append(Stretch(start=first, end=last, site=site.name))
        day += DAY
    clipped = (Stretch(start=max(s.start, start), end=min(s.end, end), site=s.site) for s in found)
    return tuple(stretch for stretch in clipped if stretch.end > stretch.start)


def first_day(site: Site, ra: float, dec: float, constraints: Constraints, start: datetime, days: int) -> datetime | None:
    """The midnight that begins the first UTC day in which all constraints hold at a full hour, or None."""
    day = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    good = np.flatnonzero(_mask(site, round(ra, 4), round(dec, 4), constraints, day, COARSE, days * int(DAY / COARSE)))
    return day + int(good[0] // int(DAY / COARSE)) * DAY if len(good) else None


def _of_day(site: Site, ra: float, dec: float, constraints: Constraints, day: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The stretches of one UTC day; the midnight at its end belongs to it, so that those of two days can touch."""
    good = np.asarray(_mask(site, ra, dec, constraints, day, STEP, int(DAY / STEP) + 1))
    return ((day + int(first) * STEP, day + int(last) * STEP) for first, last in _runs(good))


def _runs(good: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and last index of each run of at least two that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], good, [False])).astype(np.int8)))
    return ((a, b - 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - 1 > a)


@lru_cache(maxsize=KEPT)
def _mask(
    site: Site, ra: float, dec: float, constraints: Constraints, start: datetime, step: timedelta, number: int
) -> tuple[bool, ...]:
    """For each step from ``start`` on whether all constraints hold. astroplan is imported here: it takes a second or two."""
    with earth_as_it_is():
        from astroplan import FixedTarget, Observer
        from astropy import units
        from astropy.coordinates import EarthLocation, SkyCoord
        from astropy.time import Time

        place = EarthLocation.from_geodetic(site.longitude * units.deg, site.latitude * units.deg, site.elevation * units.m)
        observer, target = Observer(location=place), FixedTarget(SkyCoord(ra * units.deg, dec * units.deg))
        times = Time(start.replace(tzinfo=None), scale='utc') + np.arange(number) * step.total_seconds() * units.s
        good = np.ones(number, dtype=bool)
        for constraint in _constraints(constraints):
            if good.any():  # the cheapest comes first
                good[good] = np.asarray(constraint(observer, target, times=times[good])).reshape(-1)
    return tuple(good.tolist())


def _constraints(asked: Constraints) -> Iterator[Any]:
    from astroplan import AirmassConstraint, AltitudeConstraint, AtNightConstraint, MoonSeparationConstraint
    from astropy import units

    least = 0.0 if asked.min_altitude is None else asked.min_altitude
    yield AltitudeConstraint(min=least * units.deg)
    if asked.max_airmass is not None:
        yield AirmassConstraint(max=asked.max_airmass)
    sun = DARKNESS[asked.darkness]
    if sun is not None:
        yield AtNightConstraint(max_solar_altitude=sun * units.deg)
    if asked.min_moon_distance is not None:
        yield MoonSeparationConstraint(min=asked.min_moon_distance * units.deg)


DARKNESS: dict[str, float | None] = {'any': None, 'civil': -6.0, 'nautical': -12.0, 'astronomical': -18.0}
"""The altitude of the Sun's centre, in degrees, below which each kind of twilight is over."""


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """Least altitude and distance from the Moon in degrees, greatest airmass, and which twilight must be over."""

    min_altitude: float | None = None
    max_airmass: float | None = None
    darkness: str = 'any'
    min_moon_distance: float | None = None

    def in_words(self) -> str:
        """For example ``above 30°, airmass up to 2, after astronomical twilight, 40° from the Moon``."""
        parts = [
            f'above {self.min_altitude:g}°' if self.min_altitude is not None else '',
            f'airmass up to {self.max_airmass:g}' if self.max_airmass is not None else '',
            f'after {self.darkness} twilight' if self.darkness != 'any' else '',
            f'{self.min_moon_distance:g}° from the Moon' if self.min_moon_distance is not None else '',
        ]
        return ', '.join(part for part in parts if part)


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
