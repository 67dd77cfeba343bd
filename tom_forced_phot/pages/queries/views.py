"""The list of queries, one query, and what a page that watches them asks for again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Case, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_tables2 import RequestConfig

from tom_followup.pages import PAGE_SIZE, FixedPaginator, read_pk, read_pks
from tom_followup.refusals import NotYours, login_first, refused_in_place
from tom_forced_phot import conf, queries
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import IngestedFile, PhotometryNotice, PhotometryNoticePreference, PhotometryQuery
from tom_forced_phot.pages.queries import summary
from tom_forced_phot.pages.queries.table import QueryFilterSet, QueryTable, rows_of
from tom_forced_phot.permissions import askable_targets, changeable_queries, visible_queries, visible_targets
from tom_forced_phot.templatetags.photometry import unread_photometry_notices


@transaction.non_atomic_requests
@login_required
@require_POST
@refused_in_place
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
@refused_in_place
def look(request: HttpRequest, pk: int) -> HttpResponse:
    """Do its next step now instead of later."""
    query = _changeable(request, pk)
    said = queries.look_now(query.pk, conf.utc_now())
    messages.info(request, f'{query.service}, {query.target.name}: {said}')
    return _shown(request, page_of(pk))


@transaction.non_atomic_requests
@login_required
@require_POST
@refused_in_place
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the same once more, in the name of who presses the button."""
    query = _visible(request, pk)
    if not askable_targets(request.user).filter(pk=query.target_id).exists():
        raise NotYours('You may not ask about this target: for that you need to be allowed to change it.', page_of(pk))
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
        raise NotYours('Only who asked may do this.', page_of(pk))
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


class NoticePreferenceForm(forms.ModelForm):
    """What a user wants to be told, and how."""

    class Meta:
        """All of it."""

        model = PhotometryNoticePreference
        fields = ('in_tom', 'by_mail', 'failures_only')
        widgets = {name: forms.CheckboxInput(attrs={'class': 'form-check-input'}) for name in fields}


@login_required
@require_http_methods(['GET', 'POST'])
def notice_list(request: HttpRequest) -> HttpResponse:
    """What the user was told, newest first; POST marks one, or all, as read."""
    part = bool(request.htmx)  # type: ignore[attr-defined]
    if request.method == 'POST':
        pks = read_pks(request.POST.getlist('notice'))
        queries.mark_read(request.user, conf.utc_now(), None if 'all' in request.POST else pks)
        if not part:
            return redirect('photometry:notices')
    else:
        queries.announce(conf.utc_now(), mail=False)
    rows = PhotometryNotice.objects.filter(user=request.user.pk, in_tom=True).order_by('-created', '-pk')
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get('page') or request.POST.get('page'))
    context: dict[str, Any] = {'notices': page, 'part': part}
    if part:
        return render(request, 'tom_forced_phot/partials/notice_list.html', context)
    context['wish'] = queries.wish_of(request.user)
    context['site'] = {name: conf.get(f'NOTIFY_{name}') for name in ('IN_TOM', 'BY_MAIL')}
    context['form'] = NoticePreferenceForm(instance=queries.preference_of(request.user))
    return render(request, 'tom_forced_phot/notices.html', context)


@login_required
@require_POST
def notice_preference(request: HttpRequest) -> HttpResponse:
    """Keep what the user wants to be told, and how."""
    form = NoticePreferenceForm(request.POST)
    if form.is_valid():
        queries.prefer(request.user, **form.cleaned_data)
        messages.success(request, 'Saved what you are told about forced photometry.')
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, 'tom_common/partials/messages.html')
    return redirect('photometry:notices')


#: How many queries a target's tab shows, and how many a page may ask about at once.
IN_A_TAB, AT_ONCE = 10, 100
VIEWS = {'list': 'query_rows', 'target': 'query_items', 'page': 'query_body'}


@require_GET
@login_first
def query_list(request: HttpRequest) -> HttpResponse:
    """All queries that the user may see; to htmx only the table, to a target's tab its newest."""
    if request.GET.get('part') == 'target':
        return _of_target(request)
    only_table = bool(request.htmx) and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    if not only_table and request.user.is_authenticated:
        queries.announce(conf.utc_now(), mail=False)
    filters = QueryFilterSet(request.GET, queryset=visible_queries(request.user), request=request)
    table = QueryTable(rows_of(filters.qs))
    RequestConfig(request, paginate={'paginator_class': FixedPaginator}).configure(table)
    rows = [row.record for row in table.page.object_list]
    summary.summarise(rows, request.user, conf.utc_now())
    table.csrf = get_token(request)
    context = {
        'table': table,
        'filter': filters,
        'number': table.paginator.count,
        'filtered': any(request.GET.get(name) for name in filters.filters),
        'narrowed': _narrowed(request, filters.form.errors),
        'said': summary.sentence(rows),
        'part': only_table,
        'now': conf.utc_now(),
    }
    name = table.partial_template_name if only_table else 'tom_forced_phot/queries.html'
    response = render(request, name, context)
    patch_vary_headers(response, ['HX-Request'])
    return response


#: What a link may name the number of; there is no field that it could be said beside.
NUMBERED = {'of': 'target', 'subscription': 'subscription', 'notice': 'notice'}


def _narrowed(request: HttpRequest, errors: Mapping[str, Any]) -> str:
    """What the list was narrowed down to by a link, in words; or that the link could not be read."""
    if wrong := [words for name, words in NUMBERED.items() if name in errors]:
        return f'What the address says is no number of a {" or of a ".join(wrong)}, and was left out'
    if (of := read_pk(request.GET.get('of', ''))) is not None:
        target = visible_targets(request.user).filter(pk=of).first()
        return f'Only queries about {target.name}' if target else ''
    if request.GET.get('subscription'):
        return 'Only what one subscription asked'
    return 'Only the queries of one notice' if request.GET.get('notice') else ''


def _of_target(request: HttpRequest) -> HttpResponse:
    """The newest queries of one target, open ones first."""
    target = get_object_or_404(visible_targets(request.user), pk=read_pk(request.GET.get('target', '')))
    found = visible_queries(request.user, PhotometryQuery.objects.filter(target_id=target.pk))
    over = Case(When(state__in=QueryState.open_values(), then=Value(0)), default=Value(1))
    pks = list(found.order_by(over, '-pk').values_list('pk', flat=True)[: IN_A_TAB + 1])
    rows = summary.read(PhotometryQuery.objects.all(), pks[:IN_A_TAB])
    summary.summarise(rows, request.user, conf.utc_now())
    context = {
        'target': target,
        'queries': rows,
        'more': len(pks) > IN_A_TAB,
        'may_ask': askable_targets(request.user).filter(pk=target.pk).exists(),
        'said': summary.sentence(rows),
        'now': conf.utc_now(),
    }
    return render(request, 'tom_forced_phot/partials/query_target.html', context)


@require_GET
def states(request: HttpRequest) -> HttpResponse:
    """How some queries are now, as the page that asks shows them; 304 where nothing changed."""
    name = VIEWS.get(request.GET.get('view', ''))
    if name is None:
        raise Http404('There is no such view.')
    pks = read_pks(request.GET.getlist('query'))[:AT_ONCE]
    rows = summary.read(visible_queries(request.user), pks)
    summary.summarise(rows, request.user, conf.utc_now())
    unread = unread_photometry_notices(request.user)
    tag = f'{summary.tag_of(rows)[:-1]}-{unread}"'
    if request.headers.get('If-None-Match') == tag:
        response = HttpResponse(status=304)
    else:
        context: dict[str, Any] = {'queries': rows, 'unread': unread, 'now': conf.utc_now()}
        if name == 'query_rows':
            context['table'] = QueryTable(rows, orderable=False)
            context['table'].csrf = get_token(request)
        elif rows:
            context |= _about(rows[0])
        response = render(request, f'tom_forced_phot/partials/{name}.html', context)
    response['ETag'] = tag
    patch_cache_control(response, private=True, no_cache=True)
    return response


@require_GET
@login_first
def query_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything about one query; what the user was told of it counts as read."""
    rows = summary.read(visible_queries(request.user), [pk])
    if not rows:
        raise Http404('There is no such query, or you may not see it.')
    now = conf.utc_now()
    summary.summarise(rows, request.user, now)
    if request.user.is_authenticated and not summary.of(rows[0]).is_open:
        queries.mark_read(request.user, now, query=pk)
    context = {'query': rows[0], 'watched': summary.of(rows[0]), 'now': now, **_about(rows[0])}
    return render(request, 'tom_forced_phot/query.html', context)


def _about(query: PhotometryQuery) -> dict[str, Any]:
    """What only the page of a query says."""
    job, target = query.job, query.target
    asked = job.positions[query.index] if job is not None and query.index < len(job.positions) else {}
    position = summary.position(asked.get('ra', target.ra), asked.get('dec', target.dec), target.name)
    file = IngestedFile.objects.filter(data_product=query.data_product_id).first() if query.data_product_id else None
    return {
        'query': query,
        'watched': summary.of(query),
        'question': summary.question(query),
        'position': position,
        'together': len(job.positions) if job is not None else 0,
        'counts': [(name, number) for name, number in query.counts.items()],
        'file_message': file.message if file is not None and file.message != query.message else '',
        'followers': query.followers.count(),
        'took': summary.took(query.created, query.closed) if query.closed else None,
    }


urlpatterns: list[Any] = [
    path('', query_list, name='list'),
    path('queries/states/', states, name='states'),
    path('queries/<int:pk>/', query_page, name='query'),
    path('queries/<int:pk>/cancel/', cancel, name='cancel'),
    path('queries/<int:pk>/look/', look, name='look'),
    path('queries/<int:pk>/again/', again, name='again'),
    path('notices/', notice_list, name='notices'),
    path('notices/preference/', notice_preference, name='notice-preference'),
]
