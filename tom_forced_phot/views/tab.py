"""The tab on a target's page, fetched when it is opened."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET

from tom_forced_phot.permissions import askable_targets, visible_targets


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


urlpatterns: list[Any] = [path('targets/<int:pk>/tab/', tab, name='tab')]
