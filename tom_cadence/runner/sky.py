"""What the sky is for a cadence: the facility's sites, the target's place, and what the astronomer asks to hold there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from tom_targets.models import Target

from tom_cadence.bounds import failure
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.facilities import Facilities
from tom_cadence.facilities.sites import sites_of
from tom_cadence.runner.read import Looked
from tom_cadence.visibility import Constraints, Site, Sky

NO_SITES = '{} says nothing of its sites, so nobody knows when a target is up there: leave out what is asked of the sky.'
NO_PLACE = '{} has no fixed coordinates, so it is not known when it is up: leave out what is asked of the sky.'


class Place(NamedTuple):
    """A target's name, type and coordinates (ICRS, degrees)."""

    name: str
    kind: str
    ra: float | None
    dec: float | None


def read_sky(looked: Iterable[Looked], facilities: Facilities) -> dict[int, Sky | str]:
    """The sky of the cadences that ask anything of it, or why it is not known, by the id() of each; one statement for all."""
    asking = [item for item in looked if not item.trouble and item.parameters.constraints is not None and item.rows]
    places = read_places(item.rows[-1].target for item in asking)
    return {id(item): _sky_of(item, places.get(item.rows[-1].target), facilities) for item in asking}


def _sky_of(item: Looked, place: Place | None, facilities: Facilities) -> Sky | str:
    facility = item.rows[-1].facility
    try:
        sites = sites_of(facilities.gateway(facility, item.managed.owner).facility)
        return sky_for(item.parameters.constraints, facility, place, sites)
    except NeedsAttention as error:
        return str(error)
    except Exception as error:  # a facility class is the site's code: its errors belong to its cadences alone
        return failure(error)


def read_places(targets: Iterable[int]) -> dict[int, Place]:
    """Where these targets are; no statement for none."""
    wanted = set(targets)
    rows = Target.objects.filter(pk__in=wanted).values_list('pk', 'name', 'type', 'ra', 'dec') if wanted else ()
    return {pk: Place(*rest) for pk, *rest in rows}


def sky_for(constraints: Constraints | None, facility: str, place: Place | None, sites: tuple[Site, ...]) -> Sky:
    """The sky over these sites; NeedsAttention says why it is not known when the target is up."""
    if not sites or constraints is None:
        raise NeedsAttention(NO_SITES.format(facility))
    name, kind, ra, dec = place or Place('The target', '', None, None)
    if kind != Target.SIDEREAL or ra is None or dec is None or not math.isfinite(ra + dec) or abs(dec) > 90:
        raise NeedsAttention(NO_PLACE.format(name))
    return Sky(sites=sites, ra=float(ra) % 360, dec=float(dec), constraints=constraints)
