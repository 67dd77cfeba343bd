"""Hours of exposure of proposals, and how much of them is used: for staff, who set them in the admin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from tom_cadence.core.exposure import in_words
from tom_cadence.engine.budgets import WARNED_AT, spent
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.models import ProposalBudget


@login_required
@require_GET
def budgets(request: HttpRequest) -> HttpResponse:
    """Each budget with what is used of it; nobody but staff is told that there is such a page."""
    if not getattr(request.user, 'is_staff', False):
        raise Http404
    return render(request, 'tom_cadence/budgets.html', {'lines': list(_lines())})


def _lines() -> Iterator[dict[str, Any]]:
    facilities = Facilities()
    for budget in ProposalBudget.objects.all():
        try:
            found = spent(budget, facilities)
        except CadenceError as error:  # a facility that is configured no more
            yield {'budget': budget, 'trouble': str(error)}
            continue
        level = 'danger' if found.part >= 1 else 'warning' if found.part >= WARNED_AT else 'success'
        yield {
            'budget': budget,
            'used': in_words(found.seconds),
            'percent': found.percent,
            'level': level,
            'unknown': found.unknown,
        }


urlpatterns: list[Any] = [path('cadences/budgets/', budgets, name='budgets')]
