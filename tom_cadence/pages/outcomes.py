"""The buttons by which a person says what became of an observation whose facility cannot be asked."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.views.decorators.http import require_POST
from tom_observations.models import ObservationRecord

from tom_cadence import conf
from tom_cadence.exceptions import CadenceError
from tom_cadence.flows import outcomes
from tom_cadence.models import ManagedCadence
from tom_cadence.permissions import changeable_cadences, visible_cadences, visible_records
from tom_followup.pages import read_pk
from tom_followup.refusals import NotYours, refused_with_message


@transaction.non_atomic_requests
@require_POST
@login_required
@refused_with_message
def say(request: HttpRequest, pk: int, word: str) -> HttpResponse:
    """One button: record it, and go back to the page of the observation, or of the cadence that was posted."""
    if word not in outcomes.WORDS:
        raise Http404
    of_own = ManagedCadence.objects.filter(cadence__observation_group__observation_records=pk)
    seen = visible_records(request.user).filter(pk=pk).values('pk')
    mine = Q(pk__in=seen) | Q(user=request.user.pk)
    record = get_object_or_404(ObservationRecord.objects.filter(mine), pk=pk)
    back = reverse('tom_observations:detail', args=(pk,))
    from_cadence = visible_cadences(request.user, of_own).filter(pk=read_pk(request.POST.get('cadence')) or 0).first()
    if from_cadence is not None:
        back = reverse('cadences:page', args=(from_cadence.pk,))
    if not outcomes.may_say(request.user, record):
        raise NotYours('You may look at this observation, but not say what became of it.', back)
    try:
        text = outcomes.say(record, word, request.user.get_username(), conf.utc_now(), request.POST.get('state'))
        goes_on = changeable_cadences(request.user, of_own.filter(cadence__active=True)).exists()
        messages.success(request, f'{text} The cadence goes on from that at its next run.' if goes_on else text)
    except CadenceError as error:
        messages.error(request, str(error))
    return redirect(back)


urlpatterns: list[Any] = [path('cadences/observations/<int:pk>/<str:word>/', say, name='say-outcome')]
