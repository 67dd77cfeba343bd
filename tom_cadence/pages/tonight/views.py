"""The page of tonight, its windows with the sky over them, and the block for the host's home page."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from tom_cadence import conf
from tom_cadence.pages.tonight import night as shown

PARTS = {'windows': 'tom_cadence/partials/tonight_windows.html', 'home': 'tom_cadence/partials/tonight_home.html'}
"""What is fetched alone: the windows after the page, as the sky costs a moment, and the block of another page."""


@login_required
@require_GET
def tonight(request: HttpRequest) -> HttpResponse:
    """What needs the user, what comes next, what has arrived; ``part`` asks for one of PARTS alone."""
    now, part = conf.utc_now(), request.GET.get('part', '')
    if part == 'windows':
        return render(request, PARTS[part], {'night': shown.night(request.user, now, with_sky=True)})
    photometry = shown.photometry(request.user, now)
    context: dict[str, Any] = {
        'needs': shown.needs(request.user, photometry),
        'night': shown.night(request.user, now, with_sky=False),
        'photometry': photometry,
        'pulse': shown.pulse(now, photometry),
    }
    if part != 'home':
        context['arrived'] = shown.arrived(request.user, now - shown.DAY, now)
    return render(request, PARTS.get(part, 'tom_cadence/tonight.html'), context)


urlpatterns: list[Any] = [path('cadences/tonight/', tonight, name='tonight')]
