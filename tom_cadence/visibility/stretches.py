"""When a target can be observed from one site, day by day, as astroplan's constraints say.

Nothing is fetched: the Earth's orientation is what came with astropy, however old it is, and beyond its end the last known one is
used. The error of that is a few seconds of time after years, which does not matter beside a step of ten minutes.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_cadence.visibility.constraints import DARKNESS, Constraints

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
