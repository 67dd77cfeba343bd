"""When a target can be observed from one site, in blocks of some days, as astropy computes altitudes, Sun and Moon.

Nothing is fetched: the Earth's orientation is what came with astropy, however old it is, and beyond its end the last known one is
used. The error of that is a few seconds of time after years, which does not matter beside a step of ten minutes.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_cadence.core.decisions import Decision, Submit, Wait
from tom_cadence.core.windows import Window, show

__all__ = [
    'DARKNESS',
    'Constraints',
    'Site',
    'Sky',
    'VisibleInterval',
    'move_to_visible',
    'visible_intervals',
    'without_iers_download',
]


UTC = timezone.utc
STEP = timedelta(minutes=10)
"""Intervals begin and end at multiples of it, inside the time in which the constraints hold."""
DAY = timedelta(days=1)
BLOCK = 8 * DAY
"""What is computed at once, and kept: a block costs some ten milliseconds a target, however many sites look at it."""
KEPT = 4096
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
SUN_NODES, MOON_NODES = timedelta(hours=6), timedelta(hours=2)
"""Between these the Sun and the Moon are put on straight lines: less than 10 arcsec off, beside constraints of whole degrees."""
_STEPS = np.arange(int(BLOCK / STEP) + 1) * (STEP / timedelta(hours=1))
"""The steps of a block, in hours."""
Hours = NDArray[np.float64]
Directions = NDArray[np.float64]
_ASTROPY = threading.RLock()


@contextmanager
def without_iers_download() -> Iterator[None]:
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
        erfa_astrom.set(ErfaAstromInterpolator(12 * hour)),  # far below an arcsecond away, and many times quicker
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
class VisibleInterval:
    """A span in which the target can be observed all the time; aware UTC."""

    start: datetime
    end: datetime
    site: str = ''


def visible_intervals(
    site: Site, ra: float, dec: float, constraints: Constraints, start: datetime, end: datetime
) -> tuple[VisibleInterval, ...]:
    """When a target (ICRS, degrees) can be observed between two aware instants; those that touch are one."""
    found: list[VisibleInterval] = []
    for number in range((start - EPOCH) // BLOCK, -((EPOCH - end) // BLOCK)):
        for first, last in _block(site, round(ra, 4), round(dec, 4), constraints, number):
            if found and found[-1].end == first:
                first, found = found[-1].start, found[:-1]
            found.append(VisibleInterval(start=first, end=last, site=site.name))
    clipped = (VisibleInterval(start=max(s.start, start), end=min(s.end, end), site=s.site) for s in found)
    return tuple(interval for interval in clipped if interval.end > interval.start)


@lru_cache(maxsize=KEPT)
def _block(site: Site, ra: float, dec: float, constraints: Constraints, number: int) -> tuple[tuple[datetime, datetime], ...]:
    """The intervals of one block; the instant at its end belongs to it, so that those of two blocks can touch."""
    first = EPOCH + number * BLOCK
    good = _mask(site, ra, dec, constraints, number)
    return tuple((first + int(a) * STEP, first + int(b) * STEP) for a, b in _runs(good))


def _runs(good: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and last index of each run of at least two that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], good, [False])).astype(np.int8)))
    return ((a, b - 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - 1 > a)


def _mask(site: Site, ra: float, dec: float, constraints: Constraints, number: int) -> NDArray[np.bool_]:
    """For each step of a block whether all constraints hold; the cheapest comes first."""
    least = 0.0 if constraints.min_altitude is None else constraints.min_altitude
    if constraints.max_airmass is not None:
        least = max(least, float(np.degrees(np.arcsin(1 / constraints.max_airmass))))
    good: NDArray[np.bool_] = _altitudes(site, _target(ra, dec, number)) >= least
    sun = DARKNESS[constraints.darkness]
    if sun is not None and good.any():
        good &= _altitudes(site, _sun_seen(number)) <= sun
    if constraints.min_moon_distance is not None and good.any():
        moon, target = _between(*_body('moon', number, MOON_NODES)), _direction(np.radians(ra), np.radians(dec))
        apart = np.degrees(np.arccos(np.clip(moon @ target, -1, 1)))
        good &= apart >= constraints.min_moon_distance
    return good


def _direction(ra: Any, dec: Any) -> Directions:
    """Unit vectors, the last axis x, y, z; radians."""
    return np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=-1)


def _between(nodes: Hours, directions: Directions) -> Directions:
    """Directions at the steps of a block, on straight lines between the nodes."""
    found = np.stack([np.interp(_STEPS, nodes, axis) for axis in directions.T], axis=-1)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def _times(number: int, hours: Hours) -> Any:
    from astropy import units
    from astropy.time import Time

    return Time((EPOCH + number * BLOCK).replace(tzinfo=None), scale='utc') + hours * units.hour


def _altitudes(site: Site, seen: Directions) -> Hours:
    """Degrees above the horizon, without refraction, of directions that turn with the Earth: one product a site."""
    vertical = _direction(np.radians(site.longitude), np.radians(site.latitude))
    return np.asarray(np.degrees(np.arcsin(np.clip(seen @ vertical, -1, 1))))


def _from_earth(directions: Directions, number: int) -> Directions:
    """Directions (ICRS) at the steps of a block as seen from the turning Earth (ITRS), the same for all sites."""
    with without_iers_download():
        from astropy.coordinates import ITRS, CartesianRepresentation, SkyCoord

        sky = SkyCoord(CartesianRepresentation(*directions.T), representation_type='unitspherical')
        seen = sky.transform_to(ITRS(obstime=_times(number, _STEPS))).cartesian.xyz.value.T
        return np.asarray(seen / np.linalg.norm(seen, axis=-1, keepdims=True))


@lru_cache(maxsize=256)
def _target(ra: float, dec: float, number: int) -> Directions:
    return _from_earth(np.broadcast_to(_direction(np.radians(ra), np.radians(dec)), (len(_STEPS), 3)), number)


@lru_cache(maxsize=64)
def _sun_seen(number: int) -> Directions:
    return _from_earth(_between(*_body('sun', number, SUN_NODES)), number)


@lru_cache(maxsize=512)
def _body(name: str, number: int, every: timedelta) -> tuple[Hours, Directions]:
    """Where it stands in a block, from the Earth's centre: hours, and directions."""
    hours = np.arange(int(BLOCK / every) + 1) * (every / timedelta(hours=1))
    with without_iers_download():
        from astropy.coordinates import get_body

        found = get_body(name, _times(number, hours))
        return hours, _direction(found.ra.rad, found.dec.rad)


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


FAR = timedelta(days=30)
"""How far ahead of the wanted window it is looked, at most."""
ROOM = timedelta(minutes=10)
"""How long a target must be observable within a window where the length of its exposures is not known."""


@dataclass(frozen=True, kw_only=True)
class Sky:
    """Where a target (ICRS, degrees) is observed from, and what must hold there. A site that moves has no place here."""

    sites: tuple[Site, ...]
    ra: float
    dec: float
    constraints: Constraints

    def visible_intervals(self, start: datetime, end: datetime) -> list[VisibleInterval]:
        """When the target can be observed from any of the sites, by their start."""
        return sorted(s for site in self.sites for s in visible_intervals(site, self.ra, self.dec, self.constraints, start, end))

    def first(self, start: datetime, end: datetime, needed: timedelta) -> VisibleInterval | None:
        """The first time from which the target can be observed for so long; no day after the answer is looked at.

        Where it takes more than FAR days to find out, the rest is not looked at.
        """
        end = min(end, start + FAR)
        while start < end:
            until = min(start + BLOCK, end)
            found = self.visible_intervals(start, min(until + needed, end))
            for interval in found:
                if interval.start < until and interval.end - interval.start >= needed:
                    return interval
            start = until
        return None


def move_to_visible(decision: Decision, sky: Sky | None, now: datetime, seconds: float | None = None) -> Decision:
    """The decision with a window in which the target is up for long enough: its own, one of its alternatives, or a later one.

    ``seconds``: what the exposures take in all, where known. ``now`` (aware UTC) is the earliest start.
    """
    if sky is None or not isinstance(decision, Submit):
        return decision
    wanted = [window for window in (decision.window.not_before(now), *decision.alternatives) if window.start >= now]
    for window in wanted:
        within = window.end if window is wanted[0] else min(window.end, now + FAR)
        if sky.first(window.start, within, _needed(window, seconds)) is not None:
            return _taken(decision, window)
    if decision.alternatives:
        return Wait(reason=f'{_down(sky)} in any of the {len(wanted)} windows that would do.')
    found = sky.first(wanted[0].start, wanted[0].start + FAR, _needed(wanted[0], seconds))
    if found is None:
        return Wait(reason=f'{_down(sky)} in the next {FAR.days} days.')
    words = f' {_down(sky)} from {show(wanted[0].start)} to {show(wanted[0].end)}: moved to {found.site}.'
    return _taken(decision, wanted[0].starting(max(found.start, wanted[0].start)), words)


def _needed(window: Window, seconds: float | None) -> timedelta:
    """How long it must be up: the exposures, or a while, but never longer than the window is."""
    return min(window.length, max(timedelta(seconds=seconds), STEP) if seconds is not None else ROOM)


def _taken(decision: Submit, window: Window, words: str = '') -> Submit:
    kept = window == decision.window and not words and not decision.alternatives
    return decision if kept else replace(decision, window=window, alternatives=(), reason=f'{decision.reason}{words}')


def _down(sky: Sky) -> str:
    """For example ``The target is not above 30° at La Palma``."""
    places = ', '.join(site.name for site in sky.sites[:3]) + (' or elsewhere' if len(sky.sites) > 3 else '')
    return f'The target is not {sky.constraints.in_words()} long enough at {places}'
