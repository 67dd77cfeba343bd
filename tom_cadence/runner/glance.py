"""A glance at cadences that wait: most runs find nothing new, so what is unfinished is read first, and often that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q

from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities, Gateway, Status
from tom_cadence.history import Outcome
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
        item.glanced = any(gateways[id(item)].outcome(row.status) is Outcome.WAITING for row in item.rows)
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


def _gateway(item: Looked, facilities: Facilities) -> Gateway | None:
    """The cadence's facility; what is wrong with it, is said where the cadence is read whole."""
    try:
        return facilities.gateway(item.managed.facility, item.managed.owner)
    except CadenceError:
        return None
