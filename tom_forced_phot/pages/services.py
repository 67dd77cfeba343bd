"""The services of this site: set up, reachable, budget, how long queries took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET

from tom_forced_phot import conf, queries, registry
from tom_forced_phot.core.states import JobState, QueryState
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import PhotometryQuery, RemoteJob, ServiceBudget, WorkerSign
from tom_forced_phot.pages.queries import summary
from tom_forced_phot.permissions import askable_targets, visible_queries, visible_targets
from tom_forced_phot.queries import client
from tom_forced_phot.queries.ask import hindrance
from tom_forced_phot.services.base import ForcedPhotometryService


@login_required
@require_GET
def services(request: HttpRequest) -> HttpResponse:
    """All of them; failures only of queries that the user may see."""
    context = {
        'services': health_of_services(request.user, conf.utc_now()),
        'signs': signs(),
        'workers': queries.has_workers(),
    }
    return render(request, 'tom_forced_phot/services.html', context)


def tab_context(context: Any) -> dict[str, Any]:
    """For the host's hook ``target_detail_tabs``, which calls it twice a page: only where the tab is to be fetched."""
    target = context.get('object') or context.get('target')
    return {'photometry_tab_url': reverse('photometry:tab', args=[target.pk])}


@require_GET
def tab(request: HttpRequest, pk: int) -> HttpResponse:
    """Asking, this target's queries, its light curve."""
    target = get_object_or_404(visible_targets(request.user), pk=pk)
    may_ask = askable_targets(request.user).filter(pk=pk).exists()
    return render(request, 'tom_forced_phot/partials/tab_body.html', {'target': target, 'may_ask': may_ask})


#: How many ended queries, jobs and failures are looked at.
LATELY, JOBS, FAILURES = 50, 200, 3
ANSWERED = (QueryState.DONE, QueryState.NO_DATA)
BROKEN = (QueryState.FAILED, QueryState.EXPIRED)
SIGNS = {'command': 'The command (manage.py runforcedphotometry)', 'worker': 'A worker'}


@dataclass(frozen=True, kw_only=True)
class Use:
    """How much of something is used."""

    words: str
    used: int
    most: int


@dataclass(frozen=True, kw_only=True)
class Health:
    """One service, for people. No value of a credential is ever in it."""

    name: str
    info_url: str = ''
    problem: str = ''
    heard: datetime | None = None
    complaint: str = ''
    quiet_until: datetime | None = None
    uses: Sequence[Use] = ()
    open: int = 0
    states: Sequence[tuple[str, int]] = ()
    answered: int = 0
    median: float | None = None
    nine_in_ten: float | None = None
    failures: Sequence[Any] = field(default_factory=tuple)

    @property
    def reach(self) -> tuple[str, str]:
        """State for a badge, and its words."""
        if self.problem:
            return 'failed', 'Not usable'
        if self.complaint:
            return 'failed', 'Trouble'
        return ('done', 'Answers') if self.heard else ('queued', 'Not asked yet')


def health_of_services(user: Any, now: datetime) -> list[Health]:
    """Every service of the settings; for staff also what is wrong with an entry."""
    good, bad = registry.services(), registry.broken()
    found = [_health(name, user, now) for name in sorted(good)]
    words = bad if user.is_staff else dict.fromkeys(bad, 'It cannot be loaded. Ask whoever runs this TOM.')
    return found + [Health(name=key, problem=words[key]) for key in sorted(bad)]


def _health(name: str, user: Any, now: datetime) -> Health:
    try:
        service = registry.service(name)
        problem = hindrance(service, user)
    except ForcedPhotometryError as error:
        return Health(name=name, problem=str(error) if user.is_staff else 'It cannot be made. Ask whoever runs this TOM.')
    if problem and not user.is_staff:
        problem = 'This site has no account there. Enter your own on your profile page, or ask whoever runs this TOM.'
    heard, complaint = _heard(name)
    states = _states(name)
    times = _times(name)
    quiet = ServiceBudget.objects.filter(service=name, quiet_until__gt=now).order_by('-quiet_until').first()
    failures = visible_queries(user, PhotometryQuery.objects.filter(service=name, state__in=BROKEN, closed__isnull=False))
    return Health(
        name=name,
        info_url=service.info_url or '',
        problem=problem,
        heard=heard,
        complaint=complaint,
        quiet_until=quiet.quiet_until if quiet else None,
        uses=_uses(service, now),
        open=sum(number for _, number in states),
        states=states,
        answered=len(times),
        median=quantile(times, 0.5),
        nine_in_ten=quantile(times, 0.9),
        failures=list(failures.select_related('target').order_by('-closed')[:FAILURES]),
    )


def quantile(times: Sequence[float], part: float) -> float | None:
    """The smallest time within which at least this part of them ended; None where there are none."""
    ordered = sorted(times)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else None


def _heard(name: str) -> tuple[datetime | None, str]:
    """When it last said something sensible about any of the newest jobs, and what is wrong if nothing came since."""
    rows = list(RemoteJob.objects.filter(service=name).order_by('-pk').values_list('heard', 'message', 'last_sent')[:JOBS])
    heard = max((when for when, _, _ in rows if when is not None), default=None)
    wrong = [(sent, text) for when, text, sent in rows if text and sent is not None and (when is None or when == heard)]
    newest = max(wrong, default=None)
    if newest is None or (heard is not None and newest[0] < heard):
        return heard, ''
    return heard, newest[1]


def _states(name: str) -> list[tuple[str, int]]:
    rows = PhotometryQuery.objects.filter(service=name, state__in=QueryState.open_values()).order_by()
    counted = dict(rows.values_list('state').annotate(Count('pk')))
    return [(state.words, counted[state.value]) for state in QueryState if counted.get(state.value)]


def _times(name: str) -> list[float]:
    rows = PhotometryQuery.objects.filter(service=name, closed__isnull=False, state__in=ANSWERED).order_by('-closed')
    # a service that answers while it is asked takes a second in words, not none
    return [max(1.0, summary.took(asked, closed)) for asked, closed in rows.values_list('created', 'closed')[:LATELY] if closed]


def _uses(service: ForcedPhotometryService, now: datetime) -> list[Use]:
    writes, reads = client.used(service.name, now)
    there = PhotometryQuery.objects.filter(service=service.name, job__state__in=[JobState.SUBMITTING, JobState.OPEN])
    waiting = there.filter(state__in=[QueryState.SUBMITTED, QueryState.RUNNING, QueryState.QUEUED])
    positions = waiting.aggregate(number=Sum('places'))['number'] or 0  # each control light curve is one, too
    return [
        Use(words='requests that ask for something, this minute', used=writes, most=service.writes_a_minute),
        Use(words='requests that look or fetch, this minute', used=reads, most=service.reads_a_minute),
        Use(words='positions at the service', used=positions, most=service.open_jobs),
    ]


def signs() -> list[tuple[str, datetime | None]]:
    """When the command and the workers were last seen."""
    seen = dict(WorkerSign.objects.values_list('kind', 'seen'))
    return [(words, seen.get(kind)) for kind, words in SIGNS.items()]


urlpatterns: list[Any] = [
    path('services/', services, name='services'),
    path('targets/<int:pk>/tab/', tab, name='tab'),
]
