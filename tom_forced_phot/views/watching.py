"""The list of queries, one query, and what a page that watches them asks for again and again."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.views.decorators.http import require_GET
from django_tables2 import RequestConfig

from tom_forced_phot import conf, queries, watch, watch_words
from tom_forced_phot.filters import QueryFilterSet
from tom_forced_phot.models import IngestedFile, PhotometryQuery
from tom_forced_phot.permissions import askable_targets, visible_queries, visible_targets
from tom_forced_phot.states import QueryState
from tom_forced_phot.tables import Pages
from tom_forced_phot.tables_queries import QueryTable, rows_of
from tom_forced_phot.templatetags.phot_watch import unread_photometry_notices
from tom_forced_phot.views import watching_actions, watching_notices

#: How many queries a target's tab shows, and how many a page may ask about at once.
IN_A_TAB, AT_ONCE = 10, 100
VIEWS = {'list': 'query_rows', 'target': 'query_items', 'page': 'query_body'}


@require_GET
def query_list(request: HttpRequest) -> HttpResponse:
    """All queries that the user may see; to htmx only the table, to a target's tab its newest."""
    if request.GET.get('part') == 'target':
        return _of_target(request)
    only_table = bool(request.htmx) and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    if not only_table and request.user.is_authenticated:
        queries.announce(conf.utc_now(), mail=False)
    filters = QueryFilterSet(request.GET, queryset=visible_queries(request.user), request=request)
    table = QueryTable(rows_of(filters.qs))
    RequestConfig(request, paginate={'paginator_class': Pages}).configure(table)
    rows = [row.record for row in table.page.object_list]
    watch.summarise(rows, request.user, conf.utc_now())
    table.csrf = get_token(request)
    context = {
        'table': table,
        'filter': filters,
        'number': table.paginator.count,
        'filtered': any(request.GET.get(name) for name in filters.filters),
        'narrowed': _narrowed(request),
        'said': watch.said(rows),
        'part': only_table,
        'now': conf.utc_now(),
    }
    name = table.partial_template_name if only_table else 'tom_forced_phot/queries.html'
    response = render(request, name, context)
    patch_vary_headers(response, ['HX-Request'])
    return response


def _narrowed(request: HttpRequest) -> str:
    """What the list was narrowed down to by a link, in words."""
    of = request.GET.get('of', '')
    if of.isdecimal() and len(of) < 18:
        target = visible_targets(request.user).filter(pk=int(of)).first()
        return f'Only queries about {target.name}' if target else ''
    if request.GET.get('subscription'):
        return 'Only what one subscription asked'
    return 'Only the queries of one notice' if request.GET.get('notice') else ''


def _of_target(request: HttpRequest) -> HttpResponse:
    """The newest queries of one target, open ones first."""
    pk = request.GET.get('target', '')
    if not (pk.isdecimal() and len(pk) < 18):
        raise Http404('Which target?')
    target = get_object_or_404(visible_targets(request.user), pk=int(pk))
    found = visible_queries(request.user, PhotometryQuery.objects.filter(target_id=target.pk))
    over = Case(When(state__in=QueryState.open_values(), then=Value(0)), default=Value(1))
    pks = list(found.order_by(over, '-pk').values_list('pk', flat=True)[: IN_A_TAB + 1])
    rows = watch.read(PhotometryQuery.objects.all(), pks[:IN_A_TAB])
    watch.summarise(rows, request.user, conf.utc_now())
    context = {
        'target': target,
        'queries': rows,
        'more': len(pks) > IN_A_TAB,
        'may_ask': askable_targets(request.user).filter(pk=target.pk).exists(),
        'said': watch.said(rows),
        'now': conf.utc_now(),
    }
    return render(request, 'tom_forced_phot/partials/query_target.html', context)


@require_GET
def states(request: HttpRequest) -> HttpResponse:
    """How some queries are now, as the page that asks shows them; 304 where nothing changed."""
    name = VIEWS.get(request.GET.get('view', ''))
    if name is None:
        raise Http404('There is no such view.')
    pks = [int(pk) for pk in request.GET.getlist('query') if pk.isdecimal() and len(pk) < 18][:AT_ONCE]
    rows = watch.read(visible_queries(request.user), pks)
    watch.summarise(rows, request.user, conf.utc_now())
    unread = unread_photometry_notices(request.user)
    tag = f'{watch.tag_of(rows)[:-1]}-{unread}"'
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
def query_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything about one query; what the user was told of it counts as read."""
    rows = watch.read(visible_queries(request.user), [pk])
    if not rows:
        raise Http404('There is no such query, or you may not see it.')
    now = conf.utc_now()
    watch.summarise(rows, request.user, now)
    if request.user.is_authenticated and not watch.of(rows[0]).is_open:
        queries.mark_read(request.user, now, query=pk)
    context = {'query': rows[0], 'watched': watch.of(rows[0]), 'now': now, **_about(rows[0])}
    return render(request, 'tom_forced_phot/query.html', context)


def _about(query: PhotometryQuery) -> dict[str, Any]:
    """What only the page of a query says."""
    job, target = query.job, query.target
    asked = job.positions[query.index] if job is not None and query.index < len(job.positions) else {}
    position = watch_words.position(asked.get('ra', target.ra), asked.get('dec', target.dec), target.name)
    file = IngestedFile.objects.filter(data_product=query.data_product_id).first() if query.data_product_id else None
    return {
        'query': query,
        'watched': watch.of(query),
        'question': watch.question(query),
        'position': position,
        'together': len(job.positions) if job is not None else 0,
        'counts': [(name, number) for name, number in query.counts.items()],
        'file_message': file.message if file is not None and file.message != query.message else '',
        'followers': query.followers.count(),
        'took': watch_words.took(query.created, query.closed) if query.closed else None,
    }


urlpatterns: list[Any] = [
    path('', query_list, name='list'),
    path('queries/states/', states, name='states'),
    path('queries/<int:pk>/', query_page, name='query'),
    *watching_actions.urlpatterns,
    *watching_notices.urlpatterns,
]
