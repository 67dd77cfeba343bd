"""Applying a template: the form, and the page on which targets are checked and sent, a few a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Case, Count, IntegerField, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST, require_safe
from tom_observations.models import ObservationRecord, ObservationTemplate

from tom_cadence import conf
from tom_cadence.core.template_fields import PLACE, in_words
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities, Gateway, user_forms
from tom_cadence.facilities.user_forms import filling
from tom_cadence.flows import apply_template as core
from tom_cadence.flows.start import problem_with
from tom_cadence.journal import check_still_current, confirm_booked, confirm_not_booked
from tom_cadence.journal import templates as journal
from tom_cadence.models import Submission, TemplateApplication, TemplateTask
from tom_cadence.pages.start.forms import first_window
from tom_cadence.pages.templates.forms import (
    ApplyForm,
    first_known,
    plain,
    strategy_form,
    with_utc_in_help,
    without_fields,
    without_unmentioned_fields,
)
from tom_cadence.pages.templates.forms import render as laid_out
from tom_cadence.permissions import visible_targets, visible_templates
from tom_followup.pages import read_pk, read_pks, read_text

State = TemplateTask.State
OURS = ('csrfmiddlewaretoken', 'for-', 'cadence-')
HIDDEN = ('facility', 'observation_type', 'target_id', 'groups', 'cadence_strategy')


@login_required
def apply(request: HttpRequest, pk: int) -> HttpResponse:
    """Choose targets, look the observation over, and have it checked; nothing is sent from here."""
    template = get_object_or_404(visible_templates(request.user), pk=pk)
    initial = {'target_list': read_pk(request.GET.get('list', ''))}
    ours = ApplyForm(request.user, request.POST if request.method == 'POST' else None, initial=initial)
    context: dict[str, Any] = {'template': template, 'ours': ours, 'problem': '', 'shown': '', 'cadence_form': None}
    try:
        gateway = Facilities().gateway(template.facility, request.user)
        context['kinds'] = list(user_forms.types(gateway).items())
        context['kind'] = kind = first_known(
            context['kinds'], request.GET.get('type'), journal.observation_type_of(template) or None
        )
        if request.method == 'POST':
            made = _posted(request, template, gateway, kind, ours, context)
            if made is not None:
                return redirect('cadences:template-application', pk=made.pk)
        else:
            context['shown'] = _filled_in(template, gateway, kind)
    except CadenceError as error:
        context['problem'] = str(error)
    picked = ours.picked() if ours.is_bound else read_pks(request.GET.getlist('target'))
    context['chosen'] = visible_targets(request.user).filter(pk__in=picked).order_by('name')
    return render(request, 'tom_cadence/template_apply.html', context)


def _filled_in(template: ObservationTemplate, gateway: Gateway, kind: str) -> Any:
    """The facility's form with the template in it; blank stays as the form itself would have it."""
    given = template.parameters if isinstance(template.parameters, dict) else {}
    initial = plain(given, gateway.keywords)
    if 'template_name' in given and not given.get('observation_type'):
        initial['template_name'] = template.name
    form = user_forms.empty_form(gateway, kind, initial)
    form.initial = {
        **first_window(gateway, conf.utc_now(), form.fields),
        **form.initial,
        **filling(form.initial, form.fields),
    }
    if 'name' in form.fields and not form.initial.get('name'):
        form.initial['name'] = PLACE
    return _shown(form, gateway)


def _shown(form: Any, gateway: Gateway) -> Any:
    if 'name' in form.fields:
        form.fields['name'].help_text = f"{PLACE} becomes each target's name. {form.fields['name'].help_text}".strip()
    return laid_out(with_utc_in_help(without_unmentioned_fields(without_fields(form, HIDDEN)), gateway.keywords))


def _posted(
    request: HttpRequest, template: ObservationTemplate, gateway: Gateway, kind: str, ours: ApplyForm, context: dict[str, Any]
) -> TemplateApplication | None:
    """Write the application down; None, with the forms and their errors in ``context``, where a field is wrong."""
    posted = {key: values for key, values in request.POST.lists() if not key.startswith(OURS)}
    fine = ours.is_valid()
    targets = ours.chosen or list(visible_targets(request.user)[:1])
    data = {**posted, 'target_id': [str(targets[0].pk)] if targets else ['0']}
    form = user_forms.filled_form(gateway, kind, data)
    wrong = _field_errors(form, gateway)
    parameters = _cadence_parameters(request, ours.cleaned_data.get('strategy', ''), context)
    if wrong or not fine or parameters is None:
        context['shown'] = _shown(form, gateway)
        return None
    plan = journal.NewApplication(
        key=ours.cleaned_data['key'],
        template=template,
        facility=gateway.name,
        observation_type=kind,
        owner=request.user,
        groups=list(ours.cleaned_data.get('groups', [])),
        strategy=ours.cleaned_data['strategy'],
        cadence_parameters=parameters,
    )
    tasks = {target.pk: core.data_for(posted, target) for target in targets}
    return journal.open_application(plan, tasks, conf.utc_now())


def _field_errors(form: Any, gateway: Gateway) -> bool:
    """Whether a field that is shown is wrong; what concerns a target only is found out target by target."""
    try:
        user_forms.is_valid(form, gateway)
    except CadenceError as error:
        if not form._errors:
            form.add_error(None, str(error))
            return True
    wrong = set(form._errors or {}) - {'__all__', *HIDDEN}
    if not wrong:
        form._errors = None
        form.is_bound = True
    return bool(wrong)


def _cadence_parameters(request: HttpRequest, strategy: str, context: dict[str, Any]) -> dict[str, Any] | None:
    """The cadence's parameters, none where there is no cadence; None where they are wrong."""
    if not strategy:
        return {}
    form = context['cadence_form'] = strategy_form(strategy, request.POST)
    if not form.is_valid():
        return None
    parameters = {name: form.cleaned_data.get(name) for name in form.cadence_fields if name in form.cleaned_data}
    problem = problem_with(strategy, parameters)
    if problem:
        form.add_error(None, problem)
        return None
    return parameters


@require_GET
@login_required
def targets(request: HttpRequest) -> HttpResponse:
    """Targets whose name holds what was typed, to be added to the form."""
    text = read_text(request.GET.get('for-query', ''))
    found = visible_targets(request.user).filter(name__icontains=text).order_by('name')[:20] if text else []
    return render(request, 'tom_cadence/partials/template_targets.html', {'found': found, 'text': text})


@require_GET
@login_required
def cadence(request: HttpRequest) -> HttpResponse:
    """The parameters of a strategy."""
    name = request.GET.get('for-strategy', '')
    try:
        form = strategy_form(name) if name else None
    except CadenceError:
        raise Http404 from None
    return render(request, 'tom_cadence/partials/template_cadence.html', {'cadence_form': form})


def own_application(request: HttpRequest, pk: int) -> TemplateApplication:
    """An application of this user; 404 for any other's."""
    rows = TemplateApplication.objects.select_related('template', 'owner', 'observation_group')
    return get_object_or_404(rows if request.user.is_superuser else rows.filter(owner=request.user.pk), pk=pk)


@require_safe
@login_required
def application(request: HttpRequest, pk: int) -> HttpResponse:
    """How far it is, and what became of each target."""
    context = progress(request, own_application(request, pk))
    partial = request.headers.get('HX-Request') == 'true'
    page = 'tom_cadence/partials/template_progress.html' if partial else 'tom_cadence/template_application.html'
    return render(request, page, context)


@transaction.non_atomic_requests
@require_POST
@login_required
def step(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Check the next few, send the next few, or hold it."""
    found = own_application(request, pk)
    now, problem = conf.utc_now(), ''
    try:
        if verb == 'check':
            core.check_some(found, now)
        elif verb == 'confirm':
            journal.confirm(found, now)
        elif verb == 'send':
            core.send_some(found, now)
        elif verb == 'hold':
            journal.hold(found, 'You stopped it.')
        elif verb == 'recheck':
            journal.check_again(found, list(found.tasks.standing().filter(stands__in=(State.INVALID, Submission.State.REFUSED))))
        else:
            raise Http404
    except CadenceError as error:
        problem = str(error)
    return _answer(request, found, problem)


@transaction.non_atomic_requests
@require_POST
@login_required
def decide(request: HttpRequest, pk: int, task: int, verb: str) -> HttpResponse:
    """A person's word about one target."""
    found = own_application(request, pk)
    row = get_object_or_404(found.tasks.select_related('request__managed'), pk=task)
    problem, by, now = '', request.user.get_username(), conf.utc_now()
    try:
        if verb in ('booked', 'again') and row.request is None:
            problem = 'This target has no observation whose fate is unknown.'
        elif verb == 'booked' and row.request is not None:
            check_still_current(row.request, request.POST.get('request', ''))
            confirm_booked(row.request, request.POST.get('ids', '').replace(',', ' ').split(), by, now)
        elif verb == 'again' and row.request is not None:
            check_still_current(row.request, request.POST.get('request', ''))
            confirm_not_booked(row.request, by, now)
        elif verb == 'leave-out':
            journal.set_aside(row, State.LEFT_OUT)
        elif verb == 'include':
            journal.check_again(found, [row])
        else:
            raise Http404
    except CadenceError as error:
        problem = str(error)
    return _answer(request, found, problem)


def _answer(request: HttpRequest, found: TemplateApplication, problem: str) -> HttpResponse:
    if request.headers.get('HX-Request') != 'true':
        if problem:
            messages.error(request, problem)
        return redirect(reverse('cadences:template-application', args=[found.pk]))
    found.refresh_from_db()
    return render(request, 'tom_cadence/partials/template_progress.html', {**progress(request, found), 'problem': problem})


State, Sent = TemplateTask.State, Submission.State
#: What a target's state is called and how it is shown; the most urgent first.
STANDING: dict[str, tuple[str, str]] = {
    Sent.UNCERTAIN: ('Not known whether it is booked', 'attention'),
    State.INVALID: (State.INVALID.label, 'failed'),
    Sent.REFUSED: (Sent.REFUSED.label, 'failed'),
    Sent.SENDING: (Sent.SENDING.label, 'waiting'),
    State.READY: (State.READY.label, 'waiting'),
    State.NEW: (State.NEW.label, 'waiting'),
    Sent.ACCEPTED: ('Booked', 'succeeded'),
    State.LEFT_OUT: (State.LEFT_OUT.label, 'cancelled'),
}
ROWS = 50


def progress(request: HttpRequest, found: TemplateApplication) -> dict[str, Any]:
    """Everything the page of an application shows."""
    tasks = found.tasks.standing()
    counts: dict[str, int] = dict.fromkeys(STANDING, 0)
    counts.update({row['stands']: row['number'] for row in tasks.values('stands').annotate(number=Count('pk'))})
    order = Case(*[When(stands=state, then=Value(place)) for place, state in enumerate(STANDING)], output_field=IntegerField())
    tasks = tasks.select_related('target').annotate(place=order).order_by('place', 'target__name', 'pk')
    page = Paginator(tasks, ROWS).get_page(request.GET.get('page'))
    _describe(page.object_list, request, found)
    total = sum(counts.values()) - counts[State.LEFT_OUT]
    return {
        'application': found,
        'page': page,
        'total': total,
        'counts': {state.replace('-', '_'): number for state, number in counts.items()},
        'warned': found.tasks.filter(state=State.READY, request=None).exclude(warning='').count(),
        'share': _share(counts, total),
        'next': _next(found, counts),
        'askable': bool(counts[Sent.UNCERTAIN]) and core.can_look_up(found),
        'message': found.message,
    }


def _share(counts: Mapping[str, int], total: int) -> int:
    """How much of the present phase is done, in percent: checking, then sending."""
    if counts[State.NEW]:
        return round(100 * (total - counts[State.NEW]) / max(1, total))
    done = counts[Sent.ACCEPTED] + counts[Sent.REFUSED] + counts[Sent.UNCERTAIN]
    return round(100 * done / max(1, done + counts[State.READY] + counts[Sent.SENDING]))


def _next(found: TemplateApplication, counts: Mapping[Any, int]) -> str:
    """What the page does by itself now: check, send, look, or nothing."""
    if counts[State.NEW]:
        return '' if found.message and not found.confirmed else 'check'
    if found.confirmed and counts[State.READY]:
        return 'send'
    if counts[Sent.SENDING] or counts[Sent.UNCERTAIN]:
        return 'look'
    return ''


def _describe(tasks: Any, request: HttpRequest, found: TemplateApplication) -> None:
    """Give each row its badge, its target's name where it may be seen, and its records."""
    pks = [task.target_id for task in tasks if task.target_id]
    names = dict(visible_targets(request.user).filter(pk__in=pks).values_list('pk', 'name'))
    sent = {task.pk: task.request.observation_ids for task in tasks if task.request}
    ids = [each for found_there in sent.values() for each in found_there]
    records = ObservationRecord.objects.filter(facility=found.facility, observation_id__in=ids)
    by_id = dict(records.values_list('observation_id', 'pk'))
    for task in tasks:
        task.label, task.kind = STANDING[task.stands]
        task.name = names.get(task.target_id, '')
        task.said = in_words(task.request.message) if task.request else task.message
        task.records = [(each, by_id.get(each)) for each in sent.get(task.pk, ())]
