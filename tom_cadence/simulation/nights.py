"""When it is night at a site, and when a target is up, for years ahead and within minutes; astroplan computes.

``visibility`` is what decisions use: every constraint, step by step, for a few days. A simulation asks for thousands of nights, for
which one in sixteen is computed, and a target's rise and set follow from its passage of the meridian.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

import numpy as np

from tom_cadence.core.visibility import Site, without_iers_download

DAY = timedelta(days=1)
SIDEREAL_DAY = timedelta(seconds=86164.0905)
"""One turn of the Earth against the stars (IERS Conventions 2010, table 1.2)."""
EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
BLOCK, NODES = 128, 16
"""Nights are computed in blocks; every 16th night in full, between them on a straight line (within a minute or two)."""
Span = tuple[datetime, datetime]


def night_number(instant: datetime, longitude: float) -> int:
    """Which night an instant belongs to: they are counted from local mean noon to noon, since 2000."""
    return (instant - EPOCH - DAY / 2 + timedelta(days=_east(longitude) / 360)) // DAY


def noon_before(night: int, longitude: float) -> datetime:
    """The local mean noon at which a night's count begins."""
    return EPOCH + DAY / 2 + night * DAY - timedelta(days=_east(longitude) / 360)


def dark(site: Site, night: int, twilight: float) -> Span | None:
    """When the Sun is below ``twilight`` degrees in this night; None where it never is."""
    spans = _block(site, night // BLOCK, twilight)
    return spans[night % BLOCK]


def up(site: Site, target: tuple[float, float], altitude: float, span: Span) -> list[Span]:
    """The parts of a span in which a target (RA, Dec, degrees) is at least ``altitude`` degrees high."""
    half = _half_arc(site.latitude, target[1], altitude)
    if half is None:
        return []
    if half >= SIDEREAL_DAY / 2:
        return [span]
    transit = _transit(site, target[0])
    turn = (span[0] - half - transit) // SIDEREAL_DAY
    found = []
    while (rise := transit + turn * SIDEREAL_DAY - half) < span[1]:
        start, end = max(rise, span[0]), min(rise + 2 * half, span[1])
        if start < end:
            found.append((start, end))
        turn += 1
    return found


def _east(longitude: float) -> float:
    return (longitude + 180) % 360 - 180


def _half_arc(latitude: float, declination: float, altitude: float) -> timedelta | None:
    """Half the time it is up each day: cos H = (sin h - sin lat sin dec) / (cos lat cos dec) (Meeus 1998, chapter 15)."""
    lat, dec, height = np.radians([latitude, declination, altitude])
    above = np.sin(height) - np.sin(lat) * np.sin(dec)
    across = np.cos(lat) * np.cos(dec)
    if above >= across:
        return None
    if above <= -across:
        return SIDEREAL_DAY / 2
    return SIDEREAL_DAY * float(np.arccos(above / across) / (2 * np.pi))


@lru_cache(maxsize=64)
def _observer(site: Site) -> Any:
    from astroplan import Observer  # takes a second to import: only those who have sites pay for it
    from astropy import units
    from astropy.coordinates import EarthLocation

    place = EarthLocation.from_geodetic(site.longitude * units.deg, site.latitude * units.deg, site.elevation * units.m)
    return Observer(place, name=site.name)


@lru_cache(maxsize=256)
def _transit(site: Site, right_ascension: float) -> datetime:
    """One passage of the meridian, near the epoch of the nights."""
    epoch = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with without_iers_download():
        from astropy.time import Time

        sidereal = _observer(site).local_sidereal_time(Time(epoch))
    return epoch + SIDEREAL_DAY * (((right_ascension - float(sidereal.deg)) % 360) / 360)


@lru_cache(maxsize=512)
def _block(site: Site, block: int, twilight: float) -> tuple[Span | None, ...]:
    """The dark spans of BLOCK nights."""
    first, nights = block * BLOCK, np.arange(0, BLOCK + 1, NODES)
    noons = [noon_before(first + int(night), site.longitude) for night in nights]
    with without_iers_download():
        from astropy import units
        from astropy.time import Time

        observer, times = _observer(site), Time(noons)
        horizon = twilight * units.deg
        dusk, dawn = (
            _hours(when(times, which='next', horizon=horizon, n_grid_points=48), times)
            for when in (observer.sun_set_time, observer.sun_rise_time)
        )
        middle = np.asarray(observer.sun_altaz(times + 0.5 * units.day).alt.deg)
    never, always = np.isnan(dusk) & (middle > twilight), np.isnan(dusk) & (middle <= twilight)
    dusk, dawn = np.select([never, always], [12.0, 0.0], dusk), np.select([never, always], [12.0, 24.0], dawn)
    every = np.arange(BLOCK)
    begins, ends = np.interp(every, nights, dusk), np.interp(every, nights, dawn)
    spans = []
    for night, begin, end in zip(every, begins, ends, strict=True):
        noon = noon_before(first + int(night), site.longitude)
        span = (noon + timedelta(hours=float(begin)), noon + timedelta(hours=float(end)))
        spans.append(span if end > begin else None)
    return tuple(spans)


def _hours(found: Any, times: Any) -> np.ndarray:
    """Hours from each noon; nan where astroplan found none, masked, or an infinite past."""
    hours = np.asarray((found - times).to_value('hour').filled(np.nan) if found.masked else (found - times).to_value('hour'))
    return np.where((hours > 0) & (hours < 24), hours, np.nan)
