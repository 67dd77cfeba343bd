"""The services of this site: set up, reachable, budget, how long queries took."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from tom_forced_phot import conf, queries, service_health


@login_required
@require_GET
def services(request: HttpRequest) -> HttpResponse:
    """All of them; failures only of queries that the user may see."""
    context = {
        'services': service_health.services(request.user, conf.utc_now()),
        'signs': service_health.signs(),
        'workers': queries.has_workers(),
    }
    return render(request, 'tom_forced_phot/services.html', context)


urlpatterns: list[Any] = [path('services/', services, name='services')]
