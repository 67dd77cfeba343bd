"""The port of fresh looks to ``tom_forced_phot``: its queries are asked, and its queries say what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Q
from tom_targets.models import Target

from tom_cadence.core.decisions import PhotometryRequest
from tom_cadence.core.history import PhotometryAnswer
from tom_followup.units import mjd_of
from tom_forced_phot import queries, registry
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryQuery

GOOD = (QueryState.DONE.value, QueryState.NO_DATA.value)


class ForcedLooks:
    """Asks the photometry services of this TOM."""

    def looks(self, wanted: Iterable[tuple[int, str]]) -> dict[tuple[int, str], tuple[PhotometryAnswer, ...]]:
        """What became of earlier questions, whoever asked them, oldest first: the same answer serves everybody."""
        pairs = {(target, _name(service)): (target, service) for target, service in wanted}
        which = Q(target__in={target for target, _ in pairs}, service__in={service for _, service in pairs})
        found: dict[tuple[int, str], list[PhotometryAnswer]] = defaultdict(list)
        fields = ('target', 'service', 'created', 'closed', 'state', 'message', 'parameters')
        for target, service, created, closed, state, message, parameters in (
            PhotometryQuery.objects.filter(which).order_by('pk').values_list(*fields)
        ):
            asked = pairs.get((target, service))
            if asked is not None and parameters.get('mjd_max') is None:  # one about a past span says nothing of the present
                ended = None if QueryState(state).is_open else closed or created
                problem = '' if ended is None or state in GOOD else message or state
                found[asked].append(PhotometryAnswer(service=asked[1], asked=created, ended=ended, problem=problem))
        return {key: tuple(looks) for key, looks in found.items()}

    def ask(self, target: int, wish: PhotometryRequest, owner: Any, now: datetime) -> None:
        """Ask the service as the owner; workers are told, and without them the next ``runforcedphotometry`` carries on."""
        asked = queries.ask(_name(wish.service), Target.objects.get(pk=target), {'min_date': mjd_of(wish.since)}, owner, now)
        if asked.created and queries.has_workers():
            queries.enqueue([asked.query.pk])


def _name(service: str) -> str:
    """The service as this TOM calls it, whatever a person wrote in capitals."""
    return next((name for name in registry.services() if name.lower() == service.lower()), service)
