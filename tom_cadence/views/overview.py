"""The list of cadences, what is done to many of them, the tab on a target's page, and the owner's notices."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_tables2 import RequestConfig

from tom_cadence import bulk, conf, notices, overview
from tom_cadence.filters import CadenceFilterSet
from tom_cadence.forms_notices import NoticePreferenceForm
from tom_cadence.journal.notices import mark_read, prefer
from tom_cadence.models import ManagedCadence, Notice
from tom_cadence.permissions import changeable_cadences, visible_cadences, visible_targets
from tom_cadence.tables import A_PAGE, CadenceTable, Page, Pages

MOST_IN_A_TAB = 50


@require_GET
def cadence_list(request: HttpRequest) -> HttpResponse:
    """All cadences that the user may see; to htmx only the table."""
    rows = overview.by_urgency(visible_cadences(request.user))
    filters = CadenceFilterSet(request.GET, queryset=rows, request=request)
    table = CadenceTable(Page(filters.qs), exclude=() if request.user.is_authenticated else ('selection',))
    RequestConfig(request, paginate={'paginator_class': Pages}).configure(table)
    overview.summarise([row.record for row in table.page.object_list], request.user, conf.utc_now())
    only_table = bool(request.htmx) and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    context = {
        'table': table,
        'filter': filters,
        'number': table.paginator.count,
        'filtered': any(request.GET.values()),
        'part': only_table,
    }
    if not only_table:
        context['locked_out'] = overview.locked_out(changeable_cadences(request.user))
    name = table.partial_template_name if only_table else 'tom_cadence/overview.html'
    response = render(request, name, context)
    patch_vary_headers(response, ['HX-Request'])
    return response


@login_required
@require_http_methods(['GET', 'POST'])
def change_many(request: HttpRequest) -> HttpResponse:
    """GET asks whether everything at a facility is to be paused; POST changes what was selected and says what was done."""
    if request.method == 'POST':
        level, text = bulk.change(request.user, request.POST, conf.utc_now())
        messages.add_message(request, level, text)
        return _changed(request)
    facility = request.GET.get('facility', '')
    if not facility:
        return redirect('cadences:list')
    found = bulk.active_at(request.user, facility)
    return render(request, 'tom_cadence/pause_facility.html', {'facility': facility, 'found': found})


@require_GET
def target_tab(request: HttpRequest, target: int) -> HttpResponse:
    """The cadences of one target, for the tab on its page."""
    found = get_object_or_404(visible_targets(request.user), pk=target)
    rows = overview.of_target(visible_cadences(request.user, ManagedCadence.objects.select_related('cadence', 'owner')), found.pk)
    shown = list(overview.by_urgency(rows)[: MOST_IN_A_TAB + 1])
    overview.summarise(shown[:MOST_IN_A_TAB], request.user, conf.utc_now())
    context = {'cadences': shown[:MOST_IN_A_TAB], 'more': len(shown) > MOST_IN_A_TAB, 'cadence_target': found}
    return render(request, 'tom_cadence/partials/target_cadences.html', context)


@login_required
@require_http_methods(['GET', 'POST'])
def notice_list(request: HttpRequest) -> HttpResponse:
    """What the user was told, newest first; POST marks one, or all, as read."""
    if request.method == 'POST':
        pks = [int(pk) for pk in request.POST.getlist('notice') if pk.isdecimal() and len(pk) < 18]
        mark_read(request.user, conf.utc_now(), None if 'all' in request.POST else pks)
        if not request.htmx:  # type: ignore[attr-defined]
            return redirect('cadences:notices')
    rows = Notice.objects.filter(user=request.user.pk).select_related('managed').order_by('-created', '-pk')
    page = Paginator(rows, A_PAGE).get_page(request.GET.get('page') or request.POST.get('page'))
    told_in_tom, _ = notices.wants(request.user)
    part = bool(request.htmx)  # type: ignore[attr-defined]
    name = 'tom_cadence/partials/notice_list.html' if part else 'tom_cadence/notices.html'
    return render(request, name, {'notices': page, 'told_in_tom': told_in_tom, 'part': part})


@login_required
@require_POST
def notice_preference(request: HttpRequest) -> HttpResponse:
    """Keep what the user wants to be told, and how."""
    form = NoticePreferenceForm(request.POST)
    if form.is_valid():
        prefer(request.user, **form.cleaned_data)
        messages.success(request, 'Saved what you are told about your cadences.')
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, 'tom_common/partials/messages.html')
    return redirect('user-profile')


def _changed(request: HttpRequest) -> HttpResponse:
    """To htmx the messages, and word for the table to fetch itself again; to others the list."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect('cadences:list')
    response = render(request, 'tom_common/partials/messages.html')
    response['HX-Trigger'] = 'cadences-changed'
    return response


def tab_context(context: Any) -> dict[str, Any]:
    """For the host's hook ``target_detail_tabs``, which calls it twice a page: only where the tab is to be fetched."""
    target = context.get('object') or context.get('target')
    return {'cadence_tab_url': reverse('cadences:target-tab', args=[target.pk])}


def profile_context(user: Any) -> dict[str, Any]:
    """For the host's hook ``profile_details``."""
    return {'cadence_notice_form': NoticePreferenceForm(instance=notices.preference_of(user))}


urlpatterns: list[Any] = [
    path('cadences/', cadence_list, name='list'),
    path('cadences/bulk/', change_many, name='bulk'),
    path('cadences/target/<int:target>/', target_tab, name='target-tab'),
    path('cadences/notices/', notice_list, name='notices'),
    path('cadences/notices/preference/', notice_preference, name='notice-preference'),
]
