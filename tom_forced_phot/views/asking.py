"""Asking one or several services about one or many targets: what will be asked, then the asking."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views import View
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from tom_forced_phot import conf, plan_asking
from tom_forced_phot.asking_plan.service_words import count
from tom_forced_phot.forms_ask import AskForm, numbers, search
from tom_forced_phot.permissions import askable_targets, visible_lists, visible_targets
from tom_forced_phot.plan import ServicePlan, plan
from tom_forced_phot.views import asking_start
from tom_forced_phot.views.asking_options import Card, bind, cards

CHANGED = 'You changed something after the preview. Nothing was sent; this is what would be asked now.'
#: So many targets are shown one by one; the others are one field, for Django takes a thousand fields of a form and no more.
ONE_BY_ONE = 100
NOTHING = 'Nothing of this can be asked; the reasons are in the preview.'


@method_decorator([transaction.non_atomic_requests, sensitive_post_parameters(), login_required], name='dispatch')
class AskPage(View):
    """The one page: the form, its preview, and the asking."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form, filled in from the address."""
        start = asking_start.read(request)
        shown = cards(request.user, start.services)
        if start.again is not None:
            asking_start.prefill_again(shown, start.again, conf.utc_now())
        form = AskForm(request.user, _names(shown), initial=start.initial)
        return _page(request, form, shown, note=start.note)

    def post(self, request: HttpRequest) -> HttpResponse:
        """The preview; or the asking, where what was previewed is what was sent."""
        now = conf.utc_now()
        shown = cards(request.user, request.POST.getlist('services'))
        form = AskForm(request.user, _names(shown), request.POST)
        digest = asking_start.digest(request.POST)
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
        said, made = plan_asking.ask_all(plans, request.user, now)
        level = messages.SUCCESS if made and not any(each.refused for each in plans) else messages.INFO
        messages.add_message(request, level, said)
        return redirect(_list_of(form.chosen))


def _names(shown: list[Card]) -> list[str]:
    return [card.name for card in shown if not card.problem]


def _plans(form: AskForm, shown: list[Card], request: HttpRequest, now: datetime, seen: datetime) -> list[ServicePlan] | None:
    """What would be asked of each service that is ticked; None where a field is wrong."""
    fine = form.is_valid()
    dates = form.dates() if fine else None
    wanted = [card for card in shown if card.ticked and not card.problem]
    for card in wanted:
        bind(card, request.POST, dates, form.chosen[0] if form.chosen else None)
        _dates_errors(form, card)
        fine = card.form.is_valid() and fine
    if not fine or dates is None or form.errors:
        return None
    return [plan(card.order(dates), form.chosen, request.user, now, seen) for card in wanted]


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
    plans: list[ServicePlan] | None = more.get('plans')
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


def _list_of(targets: list[Any]) -> str:
    wanted = {'mine': 'on', **({'of': targets[0].pk} if len(targets) == 1 else {})}
    return f'{reverse("photometry:list")}?{urlencode(wanted)}'


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
        visible_lists(request.user).filter(pk__in=numbers(request.POST.getlist('selected-row'))).values_list('pk', flat=True)
    )
    wanted = numbers(request.POST.getlist('selected-target'))
    seen = visible_targets(request.user)
    if len(lists) == 1 and not wanted:
        return redirect(f'{reverse("photometry:ask")}?target_list={lists[0]}')
    pks = seen.filter(pk__in=wanted) | seen.filter(targetlist__in=lists)
    chosen = ','.join(str(pk) for pk in pks.distinct().order_by('name', 'pk').values_list('pk', flat=True)[: asking_start.MOST])
    if not chosen:
        messages.info(request, 'Tick targets first, or choose them here.')
    return redirect(f'{reverse("photometry:ask")}?targets={chosen}')


urlpatterns: list[Any] = [
    path('ask/', AskPage.as_view(), name='ask'),
    path('ask/targets/', found, name='ask-targets'),
    path('ask/choose/', choose, name='ask-choose'),
]
