"""The windows of a target's cadences, where the other app is installed; a port, so that neither app needs the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.urls import reverse

from tom_followup.units import mjd_of

MOST = 500


@dataclass(frozen=True)
class WindowSpan:
    """A window that was asked for: MJD, what became of it in the facility's word, and whose it is."""

    start: float
    end: float
    status: str
    facility: str
    url: str


def installed() -> bool:
    """Whether there is an app that could have windows."""
    return apps.is_installed('tom_cadence')


def windows(user: Any, target: Any) -> list[WindowSpan]:
    """The newest windows of the cadences of this target that the user may see, and of observations the user may see."""
    if not installed():
        return []
    from tom_observations.models import ObservationRecord

    from tom_cadence.facilities import Facilities
    from tom_cadence.permissions import visible_cadences, visible_records

    cadences = visible_cadences(user).filter(cadence__observation_group__observation_records__target_id=target.pk)
    groups = dict(cadences.values_list('cadence__observation_group', 'pk'))
    rows = ObservationRecord.objects.filter(target_id=target.pk, observationgroup__in=groups) if groups else None
    if rows is None:
        return []
    names = ('pk', 'observationgroup', 'parameters', 'status', 'facility')
    found = visible_records(user, rows).order_by('-created', '-pk').values_list(*names)[:MOST]
    facilities = Facilities()
    spans = {
        pk: _span(facilities.window(facility, parameters), status, facility, groups.get(group))
        for pk, group, parameters, status, facility in found
    }
    return sorted((span for span in spans.values() if span is not None), key=lambda span: span.start)


def _span(window: Any, status: str, facility: str, cadence: int | None) -> WindowSpan | None:
    """None where the parameters hold no window that can be read."""
    if window is None:
        return None
    start, end = mjd_of(window.start), mjd_of(window.end)
    return WindowSpan(start, end, status or '', facility, '' if cadence is None else reverse('cadences:page', args=[cadence]))
