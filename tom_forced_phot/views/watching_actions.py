"""What a person does to one query: cancel it, look at it now, ask the same again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from tom_forced_phot import conf, queries
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.permissions import askable_targets, changeable_queries, visible_queries
from tom_forced_phot.views.refused import Refusal, readably


@transaction.non_atomic_requests
@login_required
@require_POST
@readably
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop it here, and at the service where that can be done."""
    query = _changeable(request, pk)
    if queries.cancel(query.pk, request.user, conf.utc_now()):
        messages.success(request, f'Cancelled: {query.service}, {query.target.name}.')
    else:
        messages.info(request, f'{query.service}, {query.target.name} had ended already.')
    return _shown(request, page_of(pk))


@transaction.non_atomic_requests
@login_required
@require_POST
@readably
def look(request: HttpRequest, pk: int) -> HttpResponse:
    """Do its next step now instead of later."""
    query = _changeable(request, pk)
    said = queries.look_now(query.pk, conf.utc_now())
    messages.info(request, f'{query.service}, {query.target.name}: {said}')
    return _shown(request, page_of(pk))


@transaction.non_atomic_requests
@login_required
@require_POST
@readably
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the same once more, in the name of who presses the button."""
    query = _visible(request, pk)
    if not askable_targets(request.user).filter(pk=query.target_id).exists():
        raise Refusal('You may not ask about this target: for that you need to be allowed to change it.', page_of(pk))
    try:
        asked = queries.retry(query.pk, request.user, conf.utc_now())
    except ForcedPhotometryError as error:
        messages.error(request, f'{query.service}, {query.target.name}: {error}')
        return _shown(request, page_of(pk))
    if asked.created:  # its first step only: nobody is to wait for the service's answer
        said = f'Asked again. {queries.look_now(asked.query.pk, conf.utc_now())}'
    else:
        said = 'The same question is open already; its answer is yours too.'
    messages.success(request, f'{query.service}, {query.target.name}: {said}')
    return _shown(request, page_of(asked.query.pk), moved=asked.query.pk != pk)


def page_of(pk: int) -> str:
    """Where a query is shown."""
    return reverse('photometry:query', args=[pk])


def _visible(request: HttpRequest, pk: int) -> PhotometryQuery:
    return get_object_or_404(visible_queries(request.user).select_related('target'), pk=pk)


def _changeable(request: HttpRequest, pk: int) -> PhotometryQuery:
    """One of the user's own; those of other people that the user may see say so, the others do not exist."""
    query = _visible(request, pk)
    if not changeable_queries(request.user).filter(pk=pk).exists():
        raise Refusal('Only who asked may do this.', page_of(pk))
    return query


def _shown(request: HttpRequest, page: str, *, moved: bool = False) -> HttpResponse:
    """To htmx the messages and word that something changed, or the new query's page where a query's page asked; else that page."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(page)
    if moved and request.POST.get('from') == 'page':
        return HttpResponse(headers={'HX-Redirect': page})
    response = render(request, 'tom_common/partials/messages.html')
    response['HX-Trigger'] = 'queries-changed'
    return response


urlpatterns: list[Any] = [
    path('queries/<int:pk>/cancel/', cancel, name='cancel'),
    path('queries/<int:pk>/look/', look, name='look'),
    path('queries/<int:pk>/again/', again, name='again'),
]
