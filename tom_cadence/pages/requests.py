"""Observation requests of no cadence, or of one that was deleted, whose fate is not known: what a person found out about them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from tom_cadence import conf, journal
from tom_cadence.engine import send
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.models import Submission
from tom_cadence.permissions import visible_targets

ROWS = 50


def open_requests(user: Any) -> QuerySet[Submission]:
    """Those that this user sent, of a superuser all, oldest first."""
    rows = Submission.objects.filter(managed__cadence=None, state__in=Submission.OPEN).select_related('target', 'owner', 'task')
    return rows.order_by('pk') if user.is_superuser else rows.filter(owner=user.pk).order_by('pk')


@require_safe
@login_required
def request_list(request: HttpRequest) -> HttpResponse:
    """All of them, with what can be said about each."""
    page = Paginator(open_requests(request.user), ROWS).get_page(request.GET.get('page'))
    seen = set(visible_targets(request.user).filter(pk__in=[each.target_id for each in page]).values_list('pk', flat=True))
    return render(request, 'tom_cadence/requests.html', {'page': page, 'seen': seen})


@transaction.non_atomic_requests
@require_POST
@login_required
def decide_request(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """ "It is there", "it is not there", or "look again"; one sentence says what came of it."""
    found = get_object_or_404(open_requests(request.user), pk=pk)
    by, now = request.user.get_username(), conf.utc_now()
    try:
        journal.check_still_current(found, request.POST.get('request', ''))
        if verb == 'booked':
            ids = request.POST.get('ids', '').replace(',', ' ').split()
            records = journal.confirm_booked(found, ids, by, now)
            messages.success(request, f'Recorded: {", ".join(record.observation_id for record in records)}.')
        elif verb == 'again':
            journal.confirm_not_booked(found, by, now)
            messages.success(request, f'Noted: {found.facility} does not have it. It can be asked for again.')
        elif verb == 'look':
            if found.managed is None:
                send.look_up_open(Submission.objects.filter(pk=found.pk), Facilities(), now)
            else:
                send.settle_orphaned(found.managed, Facilities(), conf.utc_now)
            found.refresh_from_db()
            messages.info(request, f'{found.get_state_display()}. {found.message}'.strip())
        else:
            raise Http404
    except CadenceError as error:
        messages.error(request, str(error))
    return redirect('cadences:requests')


urlpatterns: list[Any] = [
    path('cadences/requests/', request_list, name='requests'),
    path('cadences/requests/<int:pk>/<str:verb>/', decide_request, name='request-say'),
]
