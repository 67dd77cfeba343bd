"""The list of cadences, what is done to many of them, the tab on a target's page, the owner's notices, and staff's budgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.messages import constants
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_tables2 import RequestConfig

from tom_cadence import conf
from tom_cadence.core.exposure import in_words
from tom_cadence.engine.budgets import WARNED_AT, spent
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.flows import steer
from tom_cadence.journal import notices
from tom_cadence.journal.notices import mark_read, prefer
from tom_cadence.models import ManagedCadence, Notice, NoticePreference, ProposalBudget
from tom_cadence.pages.cadence.change import MOST_MOVED, address_of
from tom_cadence.pages.overview import summary
from tom_cadence.pages.overview.table import CadenceFilterSet, CadencePage, CadenceTable
from tom_cadence.pages.requests import open_requests
from tom_cadence.permissions import Rows, changeable_cadences, visible_cadences, visible_targets
from tom_followup.pages import PAGE_SIZE, FixedPaginator, read_pk, read_pks, read_text
from tom_followup.refusals import LOGIN, login_first

MOST_IN_A_TAB = 50


@require_GET
@login_first
def cadence_list(request: HttpRequest) -> HttpResponse:
    """All cadences that the user may see; to htmx only the table."""
    rows = summary.by_urgency(visible_cadences(request.user))
    filters = CadenceFilterSet(request.GET, queryset=rows, request=request)
    table = CadenceTable(CadencePage(filters.qs), exclude=() if request.user.is_authenticated else ('selection',))
    RequestConfig(request, paginate={'paginator_class': FixedPaginator}).configure(table)
    summary.summarise([row.record for row in table.page.object_list], request.user, conf.utc_now())
    only_table = bool(request.htmx) and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    context = {
        'table': table,
        'filter': filters,
        'number': table.paginator.count,
        'filtered': any(value for name, value in request.GET.items() if name != LOGIN),
        'part': only_table,
    }
    if not only_table:
        context['locked_out'] = summary.locked_out(changeable_cadences(request.user))
        context['unanswered'] = open_requests(request.user).count() if request.user.is_authenticated else 0
    name = table.partial_template_name if only_table else 'tom_cadence/overview.html'
    response = render(request, name, context)
    patch_vary_headers(response, ['HX-Request'])
    return response


@login_required
@require_http_methods(['GET', 'POST'])
def change_many(request: HttpRequest) -> HttpResponse:
    """GET asks whether everything at a facility is to be paused; POST changes what was selected and says what was done."""
    if request.method == 'POST':
        if request.POST.get('action') == 'proposal':
            to = address_of(request.POST.getlist('selected-row')[:MOST_MOVED])
            return HttpResponse(headers={'HX-Redirect': to}) if request.htmx else redirect(to)  # type: ignore[attr-defined]
        level, text = change_cadences(request.user, request.POST, conf.utc_now())
        messages.add_message(request, level, text)
        return _changed(request)
    facility = read_text(request.GET.get('facility', ''))
    if not facility:
        return redirect('cadences:list')
    found = active_at(request.user, facility)
    return render(request, 'tom_cadence/pause_facility.html', {'facility': facility, 'found': found})


@require_GET
def target_tab(request: HttpRequest, target: int) -> HttpResponse:
    """The cadences of one target, for the tab on its page."""
    found = get_object_or_404(visible_targets(request.user), pk=target)
    rows = summary.of_target(visible_cadences(request.user, ManagedCadence.objects.select_related('cadence', 'owner')), found.pk)
    shown = list(summary.by_urgency(rows)[: MOST_IN_A_TAB + 1])
    summary.summarise(shown[:MOST_IN_A_TAB], request.user, conf.utc_now())
    context = {'cadences': shown[:MOST_IN_A_TAB], 'more': len(shown) > MOST_IN_A_TAB, 'cadence_target': found}
    return render(request, 'tom_cadence/partials/target_cadences.html', context)


@login_required
@require_http_methods(['GET', 'POST'])
def notice_list(request: HttpRequest) -> HttpResponse:
    """What the user was told, newest first; POST marks one, or all, as read."""
    if request.method == 'POST':
        pks = read_pks(request.POST.getlist('notice'))
        mark_read(request.user, conf.utc_now(), None if 'all' in request.POST else pks)
        if not request.htmx:  # type: ignore[attr-defined]
            return redirect('cadences:notices')
    rows = Notice.objects.filter(user=request.user.pk).select_related('managed').order_by('-created', '-pk')
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get('page') or request.POST.get('page'))
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


@login_required
@require_GET
def budgets(request: HttpRequest) -> HttpResponse:
    """Each budget with what is used of it; nobody but staff is told that there is such a page."""
    if not getattr(request.user, 'is_staff', False):
        raise Http404
    page = Paginator(ProposalBudget.objects.all(), PAGE_SIZE).get_page(request.GET.get('page'))
    return render(request, 'tom_cadence/budgets.html', {'lines': list(_lines(page)), 'page': page})


def _lines(budgets: Iterable[ProposalBudget]) -> Iterator[dict[str, Any]]:
    facilities = Facilities()
    for budget in budgets:
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


urlpatterns: list[Any] = [
    path('cadences/', cadence_list, name='list'),
    path('cadences/bulk/', change_many, name='bulk'),
    path('cadences/target/<int:target>/', target_tab, name='target-tab'),
    path('cadences/budgets/', budgets, name='budgets'),
    path('cadences/notices/', notice_list, name='notices'),
    path('cadences/notices/preference/', notice_preference, name='notice-preference'),
]


class NoticePreferenceForm(forms.ModelForm):
    """What a user wants to be told about their cadences, and how."""

    class Meta:
        """Both ways."""

        model = NoticePreference
        fields = ('in_tom', 'by_mail')
        widgets = {name: forms.CheckboxInput(attrs={'class': 'form-check-input'}) for name in ('in_tom', 'by_mail')}


State = ManagedCadence.State
MOST_SELECTED = 1000
MessageText = tuple[int, str]


@dataclass(frozen=True, kw_only=True)
class ActiveAt:
    """How many active cadences of a facility the user may pause, and how many belong to others."""

    changeable: int
    others: int


def active_at(user: Any, facility: str) -> ActiveAt:
    """What "pause everything at this facility" would do."""
    rows = _active_at(facility)
    changeable = changeable_cadences(user, rows).count()
    return ActiveAt(changeable=changeable, others=max(0, visible_cadences(user, rows).count() - changeable))


def change_cadences(user: Any, given: QueryDict, now: datetime) -> MessageText:
    """Do what the form of the overview asks for; the level and text of the message about it."""
    action, facility = given.get('action', ''), read_text(given.get('facility', ''))
    if action in ('pause', 'resume'):
        return _selected(user, action, given.getlist('selected-row'), now)
    if action == 'pause-facility' and facility:
        return _pause_facility(user, facility, now)
    if action == 'resume-credentials' and facility:
        return _resume_credentials(user, facility, given.get('owner', ''), now)
    return constants.WARNING, 'Nothing was done: it is not said what to do.'


def _selected(user: Any, action: str, selected: list[str], now: datetime) -> MessageText:
    pks = read_pks(selected[:MOST_SELECTED])
    if not pks:
        return constants.WARNING, f'Nothing was {action}d: select cadences first.'
    rows = ManagedCadence.objects.filter(pk__in=pks)
    seen, mine = visible_cadences(user, rows).count(), changeable_cadences(user, rows)
    many = (steer.pause_many if action == 'pause' else steer.resume_many)(mine, user, now)
    foreign = max(0, seen - many.done - many.left)
    why_not = 'not active' if action == 'pause' else 'neither paused nor waiting for attention'
    return _message(f'{action}d', many, foreign, why_not)


def _pause_facility(user: Any, facility: str, now: datetime) -> MessageText:
    rows = _active_at(facility)
    seen = visible_cadences(user, rows).count()
    many = steer.pause_many(changeable_cadences(user, rows), user, now, f'everything at {facility}')
    return _message(f'at {facility} paused', many, max(0, seen - many.done - many.left), 'not active any more')


def _resume_credentials(user: Any, facility: str, owner: str, now: datetime) -> MessageText:
    rows = summary.waiting_for_credentials(changeable_cadences(user)).filter(facility=facility)
    if (pk := read_pk(owner)) is not None:
        rows = rows.filter(owner=pk)
    many = steer.resume_many(rows, user, now, f'after the credentials of {facility} were set right')
    return _message(f'at {facility} resumed', many, 0, 'not waiting any more')


def _active_at(facility: str) -> Rows:
    return ManagedCadence.objects.filter(facility=facility, state=State.ACTIVE, cadence__isnull=False)


def _message(verb: str, many: steer.BulkResult, foreign: int, why_not: str) -> MessageText:
    parts = [f'{_number(many.done)} {verb}.']
    if many.left:
        parts.append(f'{_number(many.left)} left alone: {why_not}.')
    if foreign:
        parts.append(f'{_number(foreign)} left alone: not yours to change.')
    return (constants.SUCCESS if many.done else constants.WARNING), ' '.join(parts)


def _number(count: int) -> str:
    return f'{count or "No"} cadence{"" if count == 1 else "s"}'
