"""The page of one cadence: what it did, what it will do, and the buttons that steer it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from astropy.table import Column, MaskedColumn, Table
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from tom_cadence import conf
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence
from tom_cadence.pages.cadence.actions import VERBS, ActionResult, act
from tom_cadence.pages.cadence.context import context_of, in_future
from tom_cadence.pages.cadence.data import Cadence, export_rows
from tom_cadence.permissions import may_change, visible_cadences
from tom_followup.pages import plotly_js
from tom_followup.refusals import NotYours, login_first, refused_with_message


def _visible(request: HttpRequest, pk: int) -> ManagedCadence:
    rows = ManagedCadence.objects.select_related('cadence__observation_group', 'owner')
    return get_object_or_404(visible_cadences(request.user, rows), pk=pk)


def changeable(request: HttpRequest, pk: int) -> ManagedCadence:
    """The cadence, which this user may change; NotYours where the user may only look at it."""
    managed = _visible(request, pk)
    if not may_change(request.user, managed):
        raise NotYours('You may look at this cadence, but not change it.', reverse('cadences:page', args=[pk]))
    return managed


def _is_htmx(request: HttpRequest) -> bool:
    return bool(getattr(request, 'htmx', False))


@require_GET
@login_first
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything about one cadence; where its page had another number before, that one leads to it."""
    moved = None if ManagedCadence.objects.filter(pk=pk).exists() else ManagedCadence.objects.filter(old_number=pk).first()
    if moved is not None and visible_cadences(request.user, ManagedCadence.objects.filter(pk=moved.pk)).exists():
        return redirect('cadences:page', pk=moved.pk)
    return _show(request, _visible(request, pk), ActionResult(panel=request.GET.get('panel', '')))


def _show(request: HttpRequest, managed: ManagedCadence, done: ActionResult) -> HttpResponse:
    cadence = Cadence(managed, request.user, conf.utc_now())
    context = context_of(cadence, request, done)
    whole = not _is_htmx(request)
    return render(request, f'tom_cadence/{"page" if whole else "partials/page_body"}.html', context)


@transaction.non_atomic_requests
@require_POST
@refused_with_message
def action(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """One button: do it, and show the page as it is afterwards."""
    if verb not in VERBS:
        raise Http404
    if not request.user.is_authenticated:
        return redirect_to_login(reverse('cadences:page', args=[pk]))
    done = act(verb, changeable(request, pk), request.user, request.POST, conf.utc_now())
    return _answer(request, pk, done)


def _answer(request: HttpRequest, pk: int, done: ActionResult) -> HttpResponse:
    """The page as it is now; somebody who gave it away may not see it any more and is sent to the list."""
    if not visible_cadences(request.user, ManagedCadence.objects.filter(pk=pk)).exists():
        messages.success(request, done.text)
        return redirect('cadences:list')
    if done.form is not None or _is_htmx(request):
        return _show(request, _visible(request, pk), done)
    (messages.success if done.ok else messages.error)(request, done.text)
    return redirect('cadences:page', pk=pk)


@transaction.non_atomic_requests
@require_http_methods(['GET', 'POST'])
@refused_with_message
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of its parameters and limits."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.path)
    if request.method == 'POST':
        return action(request, pk, 'edit')
    return _show(request, changeable(request, pk), ActionResult(panel='edit'))


@transaction.non_atomic_requests
@require_GET
@refused_with_message
def now(request: HttpRequest, pk: int) -> HttpResponse:
    """What would happen now: a rehearsal that asks the facility for states, writes no row and sends nothing."""
    if not request.user.is_authenticated:
        return redirect_to_login(reverse('cadences:page', args=[pk]))
    managed = changeable(request, pk)
    lines = []
    if managed.cadence is not None and managed.cadence.active:
        lines = run_cadences(pks=[managed.cadence.pk], now=conf.utc_now(), dry_run=True, validate=True).lines
    said = [(line.decision, in_future(line)) for line in lines]
    return render(request, 'tom_cadence/partials/page_now.html', {'said': said, 'managed': managed, 'asked': conf.utc_now()})


@require_GET
def history(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """All observations of the cadence that the user may see, as ``kind``, csv or ecsv; times in UTC."""
    if kind not in EXPORTS:
        raise Http404
    managed = _visible(request, pk)
    cadence = Cadence(managed, request.user, conf.utc_now())
    meta = {'target': cadence.target_name, 'facility': managed.facility, 'time_scale': 'UTC', 'strategy': managed.strategy}
    text = export_text(export_rows(cadence), kind, meta)
    response = HttpResponse(text, content_type=f'{EXPORTS[kind][1]}; charset=utf-8')
    response['Content-Disposition'] = f'attachment; filename="cadence-{managed.pk}.{kind}"'
    return response


EXPORTS = {'csv': ('ascii.csv', 'text/csv'), 'ecsv': ('ascii.ecsv', 'application/x-ecsv')}
COLUMNS = {
    'kind': 'observation or decision',
    'time_utc': 'observation: when it was asked for; decision: when it was made (first of equal ones)',
    'observation_id': 'the facility calls it so',
    'facility': 'where it was asked for',
    'target': 'name in this TOM',
    'outcome': 'waiting, succeeded, failed or cancelled',
    'facility_state': "the facility's own word for it",
    'window_start_utc': 'earliest start that was asked for',
    'window_end_utc': 'latest end that was asked for',
    'observed_start_utc': 'as the facility says',
    'observed_end_utc': 'as the facility says',
    'exposure_time': 'requested, all exposures together',
    'decision': 'submit, wait, stop, error (a problem) or note',
    'reason': 'why',
    'times': 'how many equal decisions in a row',
    'last_utc': 'the last of them',
}
NUMBERS = {'exposure_time': ('float64', 's'), 'times': ('int64', None)}


def export_text(rows: Sequence[Mapping[str, Any]], kind: str, meta: Mapping[str, str]) -> str:
    """The rows as text of this kind ('csv' or 'ecsv'); astropy reads both back."""
    table = Table([_column(name, rows) for name in COLUMNS], meta=dict(meta) if kind == 'ecsv' else {})
    text = io.StringIO()
    table.write(text, format=EXPORTS[kind][0])
    return text.getvalue()


def _column(name: str, rows: Sequence[Mapping[str, Any]]) -> Column:
    values = [row.get(name) for row in rows]
    if name not in NUMBERS:
        return Column([_text(value) for value in values], name=name, description=COLUMNS[name], dtype='str')
    dtype, unit = NUMBERS[name]
    missing = [value is None for value in values]
    filled = [0 if value is None else value for value in values]
    return MaskedColumn(filled, name=name, mask=missing, dtype=dtype, unit=unit, description=COLUMNS[name])


def _text(value: Any) -> str:
    if value is None:
        return ''
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime('%Y-%m-%dT%H:%M:%S')
    return ' '.join(str(value).split())


urlpatterns: list[Any] = [
    path('cadences/plotly-<str:version>.js', plotly_js, name='plotly'),
    path('cadences/<int:pk>/', page, name='page'),
    path('cadences/<int:pk>/history.<str:kind>', history, name='history'),
    path('cadences/<int:pk>/now/', now, name='now'),
    path('cadences/<int:pk>/edit/', edit, name='edit'),
    path('cadences/<int:pk>/<str:verb>/', action, name='action'),
]
