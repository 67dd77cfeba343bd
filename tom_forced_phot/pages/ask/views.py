"""Asking one or several services about one or many targets: what will be asked, then the asking."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views import View
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from tom_followup.pages import read_pk, read_pks
from tom_forced_phot import conf, registry
from tom_forced_phot.exceptions import Refused
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.pages.ask.forms import MOST_TARGETS, AskForm, Card, bind, cards, is_valid, prefill, search
from tom_forced_phot.pages.ask.preview import ServicePreview, ask_all, preview_of
from tom_forced_phot.pages.ask.words import When, count
from tom_forced_phot.permissions import askable_targets, visible_lists, visible_queries, visible_targets

CHANGED = 'You changed something after the preview. Nothing was sent; this is what would be asked now.'
#: So many targets are shown one by one; the others are one field, for Django takes a thousand fields of a form and no more.
ONE_BY_ONE = 100
NOTHING = 'Nothing of this can be asked; the reasons are in the preview.'


@method_decorator([transaction.non_atomic_requests, sensitive_post_parameters(), login_required], name='dispatch')
class AskPage(View):
    """The one page: the form, its preview, and the asking."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form, filled in from the address."""
        start = read(request)
        shown = cards(request.user, start.services)
        if start.again is not None:
            prefill_again(shown, start.again, conf.utc_now())
        form = AskForm(request.user, _names(shown), initial=start.initial)
        return _page(request, form, shown, note=start.note)

    def post(self, request: HttpRequest) -> HttpResponse:
        """The preview; or the asking, where what was previewed is what was sent."""
        now = conf.utc_now()
        shown = cards(request.user, request.POST.getlist('services'))
        form = AskForm(request.user, _names(shown), request.POST)
        digest = digest_of(request.POST)
        wanted = request.POST.get('step') == 'ask'
        previewed = wanted and request.POST.get('seen') == digest
        plans = _plans(form, shown, request, now, form.seen(now) if previewed else now)
        if plans is None:
            return _page(request, form, shown)
        if not any(each.new or each.followed or each.already for each in plans):
            form.add_error('services', NOTHING)
            return _page(request, form, shown, plans=plans)
        if not previewed:
            return _page(request, form, shown, plans=plans, note=CHANGED if wanted else '', moment=now, seen=digest)
        said, made = ask_all(plans, request.user, now)
        level = messages.SUCCESS if made and not any(each.refused for each in plans) else messages.INFO
        messages.add_message(request, level, said)
        wanted_list = {'mine': 'on', **({'of': form.chosen[0].pk} if len(form.chosen) == 1 else {})}
        return redirect(f'{reverse("photometry:list")}?{urlencode(wanted_list)}')


def _names(shown: list[Card]) -> list[str]:
    return [card.name for card in shown if not card.problem]


def _plans(form: AskForm, shown: list[Card], request: HttpRequest, now: datetime, seen: datetime) -> list[ServicePreview] | None:
    """What would be asked of each service that is ticked; None where a field is wrong."""
    fine = form.is_valid()
    dates = form.dates() if fine else None
    wanted = [card for card in shown if card.ticked and not card.problem]
    for card in wanted:
        bind(card, request.POST, dates, form.chosen[0] if form.chosen else None)
        fine = is_valid(card) and fine
        _dates_errors(form, card)
    if not fine or dates is None or form.errors:
        return None
    return [preview_of(card.order(dates), form.chosen, request.user, now, seen) for card in wanted]


def _dates_errors(form: AskForm, card: Card) -> None:
    """What a service says about the dates stands beside the page's dates: its own fields for them are not shown."""
    if not card.dated:
        return
    for name, ours in (('min_date', 'first'), ('max_date', 'last')):
        for text in card.form.errors.get(name, []):
            if text not in form.errors.get(ours, []):
                form.add_error(ours, f'{card.name}: {text}')


def _page(request: HttpRequest, form: AskForm, shown: list[Card], **more: Any) -> HttpResponse:
    chosen = list(askable_targets(request.user).filter(pk__in=form.picked()).order_by('name', 'pk'))
    plans: list[ServicePreview] | None = more.get('plans')
    questions = sum(len(each.new) + len(each.followed) for each in plans or [])
    context = {
        'form': form,
        'cards': shown,
        'chosen': chosen[:ONE_BY_ONE],
        'chosen_number': len(chosen),
        'others': chosen[ONE_BY_ONE:],
        'plans': plans,
        'questions': questions,
        'ask_words': count(questions, 'question'),
        'note': more.get('note', ''),
        'moment': more['moment'].isoformat() if more.get('moment') else '',
        'seen': more.get('seen', ''),
        'wrong': form.is_bound and not plans,
    }
    return render(request, 'tom_forced_phot/ask.html', context)


@require_GET
@login_required
def found(request: HttpRequest) -> HttpResponse:
    """Targets whose name holds what was typed, to be added to the form."""
    text = request.GET.get('search', '').strip()
    return render(request, 'tom_forced_phot/partials/ask_found.html', {'found': search(request.user, text), 'text': text})


@require_POST
@login_required
def choose(request: HttpRequest) -> HttpResponse:
    """From the host's lists of targets and of target lists, where some were ticked, to the form."""
    lists = list(
        visible_lists(request.user).filter(pk__in=read_pks(request.POST.getlist('selected-row'))).values_list('pk', flat=True)
    )
    wanted = read_pks(request.POST.getlist('selected-target'))
    seen = visible_targets(request.user)
    if len(lists) == 1 and not wanted:
        return redirect(f'{reverse("photometry:ask")}?target_list={lists[0]}')
    pks = seen.filter(pk__in=wanted) | seen.filter(targetlist__in=lists)
    chosen = ','.join(str(pk) for pk in pks.distinct().order_by('name', 'pk').values_list('pk', flat=True)[:MOST])
    if not chosen:
        messages.info(request, 'Tick targets first, or choose them here.')
    return redirect(f'{reverse("photometry:ask")}?targets={chosen}')


urlpatterns: list[Any] = [
    path('ask/', AskPage.as_view(), name='ask'),
    path('ask/targets/', found, name='ask-targets'),
    path('ask/choose/', choose, name='ask-choose'),
]


MOST = MOST_TARGETS
#: Not part of what is asked.
BESIDE = ('csrfmiddlewaretoken', 'seen', 'step', 'moment', 'search')


@dataclass
class Start:
    """With what the page begins."""

    services: list[str] = field(default_factory=list)
    initial: dict[str, Any] = field(default_factory=dict)
    again: PhotometryQuery | None = None
    note: str = ''


def read(request: HttpRequest) -> Start:
    """The address; 404 for a single target, a list or a query that this user may not see."""
    given = request.GET
    start = Start(services=[name.strip() for text in given.getlist('services') for name in text.split(',') if name.strip()])
    pks, single = read_pks([*given.getlist('targets'), *given.getlist('target')]), bool(given.get('target'))
    if given.get('again'):
        start.again = get_object_or_404(visible_queries(request.user), pk=read_pk(given['again']))
        pks, single = [start.again.target_id, *pks], True
        start.services = start.services or [start.again.service]
        start.initial |= _dates(start.again)
    seen = set(visible_targets(request.user).filter(pk__in=pks).values_list('pk', flat=True))
    if single and not seen:
        raise Http404('There is no such target, or you may not see it.')
    mine = set(askable_targets(request.user).filter(pk__in=seen).values_list('pk', flat=True))
    start.initial['targets'] = ','.join(str(pk) for pk in pks if pk in mine)
    start.note = _note(len(set(pks) - seen), len(seen - mine))
    target_list = given.get('target_list')
    if target_list:
        start.initial['target_list'] = get_object_or_404(visible_lists(request.user), pk=read_pk(target_list)).pk
    return start


def _note(missing: int, not_mine: int) -> str:
    said = []
    if missing:
        said.append(f'{count(missing, "target")} of the address left out: not there, or not for you to see.')
    if not_mine:
        said.append(f'{count(not_mine, "target")} left out: you may look at it, but not add data to it, so not ask.')
    return ' '.join(said)


def _dates(query: PhotometryQuery) -> dict[str, Any]:
    """The period of an earlier query; everything where it named none."""
    first, last = (query.parameters.get(key) for key in ('mjd_min', 'mjd_max'))
    try:
        earliest = registry.service(query.service).earliest
    except Refused:
        earliest = 0.0
    if last is None and (first is None or first == earliest):
        return {'when': When.ALL.value}
    return {
        'when': When.RANGE.value,
        'first': '' if first is None else f'{first:.10g}',
        'last': '' if last is None else f'{last:.10g}',
    }


def prefill_again(shown: list[Card], query: PhotometryQuery, now: datetime) -> None:
    """The options of an earlier query."""
    for card in shown:
        if card.name == query.service:
            prefill(card, query.parameters, now)


def digest_of(posted: QueryDict) -> str:
    """Of everything that says what is asked: the preview is of this and nothing else."""
    kept = sorted((name, value) for name, values in posted.lists() if name not in BESIDE for value in values if value)
    return hashlib.sha256(repr(kept).encode()).hexdigest()[:32]


def button_context(context: Any) -> dict[str, Any]:
    """For the host's hook ``target_detail_buttons``: whether there is anything to press."""
    target, request = context.get('object') or context.get('target'), context.get('request')
    may = target is not None and request is not None and askable_targets(request.user).filter(pk=target.pk).exists()
    return {'photometry_ask_target': target.pk if may and target is not None else None}
