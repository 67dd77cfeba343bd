"""Changing what a cadence asks for with the facility's own form; and moving many cadences to another proposal at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import NON_FIELD_ERRORS
from django.db import transaction
from django.forms.utils import ErrorDict
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.views.decorators.http import require_http_methods

from tom_cadence import conf
from tom_cadence.core.template_fields import is_kept
from tom_cadence.core.windows import UTC
from tom_cadence.exceptions import CadenceError, Refused
from tom_cadence.facilities import user_forms
from tom_cadence.facilities.user_forms import filling
from tom_cadence.flows import ask_instead
from tom_cadence.flows.ask_instead import AskedNow
from tom_cadence.models import ManagedCadence
from tom_cadence.pages.cadence.views import changeable
from tom_cadence.pages.start.forms import error_lines, without_buttons
from tom_cadence.permissions import Rows, changeable_cadences, names_visible_to, visible_cadences
from tom_followup.labels import label
from tom_followup.refusals import refused_with_message

OURS = frozenset(['csrfmiddlewaretoken', 'change_reason', 'change_shown', 'change_confirmed'])
MOST_MOVED = 200


class ReasonForm(forms.Form):
    """Why; it stands in the history."""

    change_reason = forms.CharField(
        label='Reason',
        max_length=ask_instead.LONGEST_REASON,
        help_text='One sentence for the history of the cadence, where everybody who may see the cadence reads it.',
    )


@transaction.non_atomic_requests
@require_http_methods(['GET', 'HEAD', 'POST'])
@refused_with_message
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """The facility's form with what is asked for now; posted, what would be asked for instead; confirmed, it is kept."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.path)
    managed, now = changeable(request, pk), conf.utc_now()
    try:
        asked = ask_instead.asked_now(managed, request.user, now)
        with timezone.override(UTC):
            return _change(request, asked) if request.method == 'POST' else _show(request, asked, _form(asked), ReasonForm())
    except CadenceError as error:
        messages.error(request, str(error))
        return redirect('cadences:page', pk=pk)


def _change(request: HttpRequest, asked: AskedNow) -> HttpResponse:
    post, reason = request.POST, ReasonForm(request.POST)
    try:
        found = ask_instead.check(asked, _filled_in(asked, post))
    except CadenceError as error:
        form = _form(asked, post)
        if isinstance(error, Refused) and error.by_field:
            _put_beside_fields(form, error.by_field)
            return _show(request, asked, form, reason, refused=error_lines(form))
        return _show(request, asked, form, reason, trouble=str(error))
    if not reason.is_valid() or not found.differences:
        same = '' if found.differences else 'That is what is asked for already: change something, or leave it as it is.'
        return _show(request, asked, _form(asked, post), reason, trouble=same)
    if 'change_confirmed' not in post:
        kept = [(name, value) for name, values in post.lists() if name not in OURS for value in values]
        return _show(request, asked, None, reason, found=found, posted=kept)
    said = reason.cleaned_data['change_reason']
    text = ask_instead.change(asked, found, said, request.user, conf.utc_now(), post.get('change_shown', ''))
    messages.success(request, text)
    return redirect('cadences:page', pk=asked.managed.pk)


def _show(request: HttpRequest, asked: AskedNow, form: Any, reason: ReasonForm, **more: Any) -> HttpResponse:
    """Rendered under UTC; a facility's form may ask the facility while it is shown."""
    context = {'managed': asked.managed, 'asked': asked, 'form': form, 'reason_form': reason, **more}
    return render(request, 'tom_cadence/change.html', context)


def _put_beside_fields(form: Any, by_field: Iterable[tuple[str, str]]) -> None:
    """What the facility's form, or its portal, says against what was filled in."""
    form._errors, form.cleaned_data = ErrorDict(), {}
    for name, text in by_field:
        shown = name in form.fields and not form[name].is_hidden
        form.add_error(name if shown else None, text if shown or name == NON_FIELD_ERRORS else f'{label(name)}: {text}')


def _form(asked: AskedNow, post: QueryDict | None = None) -> Any:
    """The facility's form without what the cadence itself fills in: target, window, strategy."""
    empty = user_forms.empty_form(asked.gateway, asked.kind, {'target_id': asked.target})
    values = asked.parameters if post is None else _filled_in(asked, post)
    kept = {name: value for name, value in values.items() if _is_asked(name, asked)}
    boxes = [
        name
        for name, field in empty.fields.items()
        if isinstance(field, forms.BooleanField) and not isinstance(field, forms.NullBooleanField)
    ]
    ticked = {name: name in kept for name in boxes} if post is not None else {}
    initial = {**filling(kept, empty.fields), **ticked, 'target_id': asked.target}
    form = user_forms.empty_form(asked.gateway, asked.kind, initial)
    for name, field in form.fields.items():
        if not _is_asked(name, asked):
            field.required = False
            field.widget = field.hidden_widget() if isinstance(field, forms.MultiValueField) else forms.HiddenInput()
    without_buttons(form)
    return form


def _is_asked(name: str, asked: AskedNow) -> bool:
    return is_kept(name, asked.gateway.keywords) and not name.startswith('cadence_')


def _filled_in(asked: AskedNow, post: QueryDict) -> dict[str, Any]:
    """What was filled in: a value a field, a list where the field takes several."""
    fields: Mapping[str, Any] = user_forms.empty_form(asked.gateway, asked.kind, {'target_id': asked.target}).fields
    several = {name for name, field in fields.items() if getattr(field.widget, 'allow_multiple_selected', False)}
    lists: MultiValueDict[str, str] = post
    return {
        name: values if name in several else values[-1]
        for name, values in lists.lists()
        if name not in OURS and values and _is_asked(name, asked)
    }


class ProposalForm(forms.Form):
    """The proposal that a cadence is moved to, of those that the owner has at the facility."""

    proposal = forms.ChoiceField(label='Proposal')
    reason = forms.CharField(
        label='Reason',
        max_length=ask_instead.LONGEST_REASON,
        help_text='It stands in the history of each, where everybody who may see the cadence reads it.',
    )

    def __init__(self, choices: list[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        """``choices``: the proposals that are offered to all of their owners."""
        super().__init__(*args, **kwargs)
        self.fields['proposal'].choices = [('', 'Choose…'), *choices]  # type: ignore[attr-defined]


@transaction.non_atomic_requests
@require_http_methods(['GET', 'HEAD', 'POST'])
@refused_with_message
def proposal(request: HttpRequest) -> HttpResponse:
    """Move the ticked cadences of one facility to another proposal; POST does it, and says what became of each."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    ticked = request.POST if request.method == 'POST' else request.GET
    pks = [int(pk) for pk in ticked.getlist('selected-row')[:MOST_MOVED] if pk.isdecimal() and len(pk) < 18]
    chosen = ManagedCadence.objects.filter(pk__in=pks, cadence__isnull=False)
    rows = changeable_cadences(request.user, chosen)
    found = sorted(set(rows.values_list('facility', flat=True)))
    if len(found) != 1:
        text = (
            'Tick cadences of one facility: each has proposals of its own.' if found else 'Tick cadences that are yours to change.'
        )
        messages.warning(request, text)
        return redirect('cadences:list')
    left = max(0, visible_cadences(request.user, chosen).count() - rows.count())
    return _proposal(request, rows, found[0], left)


def _proposal(request: HttpRequest, rows: Rows, facility: str, left: int) -> HttpResponse:
    now = conf.utc_now()
    choices, troubles = ask_instead.proposals(rows, request.user, now)
    form = ProposalForm(choices, request.POST if request.method == 'POST' else None)
    context = {
        'facility': facility,
        'form': form,
        'cadences': list(rows.select_related('owner').order_by('pk')),
        'named': set(rows.filter(names_visible_to(request.user)).values_list('pk', flat=True)),
        'troubles': troubles,
        'left': left,
        'choices': choices,
    }
    if form.is_bound and form.is_valid():
        given = form.cleaned_data
        moved = list(ask_instead.move(rows, given['proposal'], given['reason'], request.user, now))
        context |= {'moved': moved, 'number': sum(each.moved for each in moved)}
    return render(request, 'tom_cadence/proposal.html', context)


def address_of(pks: list[str]) -> str:
    """The page for these cadences."""
    ticked = QueryDict(mutable=True)
    ticked.setlist('selected-row', pks)
    return f'{reverse("cadences:proposal")}?{ticked.urlencode()}'


urlpatterns: list[Any] = [
    path('cadences/proposal/', proposal, name='proposal'),
    path('cadences/<int:pk>/change/', change, name='change'),
]
