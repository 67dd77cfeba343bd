"""The sites of a facility, as its class says them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tom_cadence.visibility.stretches import Site


def sites_of(facility: Any) -> tuple[Site, ...]:
    """Every site with sensible coordinates (degrees, metres); none where the class says nothing of them.

    The shape is that of ``BaseRoboticObservationFacility.get_observing_sites`` of tomtoolkit 3.1.0 (facility.py 467).
    """
    asked = getattr(facility, 'get_observing_sites', None)
    try:
        found = asked() if callable(asked) else {}
    except Exception:  # the site's own code; a facility in space, for example, has none to tell
        return ()
    if not isinstance(found, Mapping):
        return ()
    sites = (_site(str(name), given) for name, given in found.items())
    return tuple(site for site in sites if site is not None)


def _site(name: str, given: Any) -> Site | None:
    try:
        latitude, longitude, elevation = (float(given.get(key, 0)) for key in ('latitude', 'longitude', 'elevation'))
    except (AttributeError, TypeError, ValueError):
        return None
    if not (math.isfinite(latitude + longitude + elevation) and abs(latitude) <= 90 and abs(longitude) <= 360):
        return None
    return Site(name=name, latitude=latitude, longitude=longitude, elevation=elevation)
