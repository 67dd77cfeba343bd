"""A glance at cadences that wait: most runs find nothing new, so what is unfinished is read first, and often that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q

from tom_cadence.facilities import Facilities, Gateway, Status
from tom_cadence.runner import read
from tom_cadence.runner.around import NOTHING
from tom_cadence.runner.decide import runs_itself
from tom_cadence.runner.poll import differs, late_check_due
from tom_cadence.runner.read import Looked


def glance(looked: Sequence[Looked], facilities: Facilities, now: datetime) -> list[Looked]:
    """Those of these cadences that wait for something unfinished, with the rows of that; the others have to be read whole."""
    gateways = {id(item): gateway for item in looked if _able(item, now) and (gateway := _gateway(item, facilities)) is not None}
    able = [item for item in looked if id(item) in gateways]
    if not able:
        return []
    finished = Q()
    for gateway in {gateway.name: gateway for gateway in gateways.values()}.values():
        finished |= Q(facility=gateway.name, status__in=gateway.terminal)
    for item in able:
        item.glanced, item.around = True, NOTHING
    read.read_rows(able, full=False, without=finished)
    for item in able:
        item.glanced = _waits(item, gateways[id(item)])
    return [item for item in able if item.glanced]


def has_news(item: Looked) -> bool:
    """Whether a cadence that was only glanced at has to be read whole, because something has changed."""
    answers = ((item.polled.get(row.pk), row) for row in item.rows)
    return item.glanced and any(isinstance(answer, Status) and differs(answer, row) for answer, row in answers)


def _able(item: Looked, now: datetime) -> bool:
    """Whether what is unfinished may be enough to decide.

    It is not in the first run after anything was booked or resumed (its failures in a row are counted then), nor when
    finished observations are asked for again.
    """
    if item.trouble or item.managed.last_run is None or runs_itself(item.strategy) or item.parameters.constraints is not None:
        return False
    return getattr(item.strategy, 'waits_for_unfinished', False) and not late_check_due(item, now)


def _waits(item: Looked, gateway: Gateway) -> bool:
    """Whether anything is unfinished, at the cadence's own facility alone: another one has states of its own."""
    if any(row.facility != gateway.name for row in item.rows):
        return False
    return any(row.status not in gateway.terminal for row in item.rows)


def _gateway(item: Looked, facilities: Facilities) -> Gateway | None:
    """The cadence's facility with its states; what is wrong with it is said where the cadence is read whole."""
    try:
        gateway = facilities.gateway(item.managed.facility, item.managed.owner)
        return gateway if gateway.terminal else None
    except Exception:  # a facility class is the site's code
        return None
