"""Standing orders: the list, making, editing, pausing, resuming, deleting."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from tom_targets.models import TargetList

from tom_followup.pages import PAGE_SIZE, read_pk
from tom_followup.refusals import NotYours, refused_in_place
from tom_followup.units import instant_of, mjd_of
from tom_forced_phot import conf, registry, subscriptions
from tom_forced_phot.core import redaction
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription
from tom_forced_phot.permissions import (
    askable_targets,
    changeable_subscriptions,
    visible_lists,
    visible_subscriptions,
    visible_targets,
)
from tom_forced_phot.queries.ask import hindrance, preview_question, refused_in_words
from tom_forced_phot.services.base import DateField

logger = logging.getLogger(__name__)


@login_required
@require_GET
def subscription_list(request: HttpRequest) -> HttpResponse:
    """The user's own, and those of targets that the user may see."""
    return _shown(request)


def _changed(request: HttpRequest) -> HttpResponse:
    """To htmx the list as it is now, to others the way to it."""
    return _shown(request) if request.htmx else redirect('photometry:subscriptions')  # type: ignore[attr-defined]


def _shown(request: HttpRequest) -> HttpResponse:
    rows = visible_subscriptions(request.user).select_related('target', 'target_list', 'owner').order_by('-active', '-pk')
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get('page'))
    changeable = set(changeable_subscriptions(request.user).filter(pk__in=[row.pk for row in page]).values_list('pk', flat=True))
    _add_results(list(page), changeable)
    _hide(list(page), request.user)
    context = {'page': page, 'may_make': askable_targets(request.user).exists()}
    return render(request, 'tom_forced_phot/subscriptions.html', context)


def _add_results(rows: list[PhotometrySubscription], changeable: set[int]) -> None:
    """What each last brought, and what is on its way: two statements for all."""
    asked = PhotometryQuery.objects.filter(subscription__in=[row.pk for row in rows]).order_by()
    brought = dict(asked.filter(new__gt=0).values_list('subscription').annotate(Max('pk')))
    newest = PhotometryQuery.objects.in_bulk(list(brought.values()))
    found = asked.filter(state__in=QueryState.open_values()).values_list('subscription').annotate(number=Max('pk'))
    waiting = {pk for pk, _ in found}
    for row in rows:
        row.brought = newest.get(brought.get(row.pk))  # type: ignore[attr-defined]
        row.waiting = row.pk in waiting  # type: ignore[attr-defined]
        row.mine = row.pk in changeable  # type: ignore[attr-defined]


def _hide(rows: list[PhotometrySubscription], user: Any) -> None:
    """Say no names of targets that the user may not see any more."""
    targets = {row.target_id for row in rows if row.target_id}
    seen = set(visible_targets(user).filter(pk__in=targets).values_list('pk', flat=True))
    for row in rows:
        row.unseen = row.target_id is not None and row.target_id not in seen  # type: ignore[attr-defined]


@login_required
@require_http_methods(['GET', 'POST'])
def make(request: HttpRequest) -> HttpResponse:
    """A new one; ``?target=PK`` names its target, ``?service=NAME`` its service."""
    now = conf.utc_now()
    given = request.POST if request.method == 'POST' else None
    form = SubscriptionForm(given, user=request.user, now=now, initial=_initial(request))
    name = str(form['service'].value() or form.fields['service'].choices[0][0] if form.fields['service'].choices else '')  # type: ignore[attr-defined]
    options = options_form(name, given)
    if given is not None and _are_valid(form, options):
        fields = {key: form.cleaned_data[key] for key in ('service', 'target', 'target_list', 'interval_hours', 'until')}
        subscriptions.make(now, owner=request.user, parameters=kept(options) if options else {}, **fields)
        messages.success(request, 'Made. Its first round comes with the next run of the command, within minutes.')
        return redirect('photometry:subscriptions')
    return render(request, 'tom_forced_phot/subscription_form.html', {'form': form, 'options': options, 'service': name})


def _initial(request: HttpRequest) -> dict[str, Any]:
    service = request.GET.get('service', '')
    target = askable_targets(request.user).filter(pk=read_pk(request.GET.get('target', ''))).first()
    return {'target': target.name if target else '', **({'service': service} if service else {})}


def _are_valid(form: SubscriptionForm, options: Any) -> bool:
    """Both; then whether the service can be asked about the target with these options."""
    try:
        fine = options is None or options.is_valid()
    except Exception as error:  # the site's own code
        logger.exception('A form cannot be checked', extra={'event': 'form_not_checked'})
        form.add_error(None, f'The options of this service cannot be checked. {redaction.error_text(error)}')
        return False
    sound = form.is_valid() and fine
    if sound:
        form.object_to(kept(options) if options else {})
    return sound and form.is_valid()


@login_required
@require_http_methods(['GET', 'POST'])
@refused_in_place
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Interval, end and options; another target is another subscription."""
    subscription, now = _mine(request, pk), conf.utc_now()
    given = request.POST if request.method == 'POST' else None
    form = SubscriptionForm(given, user=request.user, now=now, fixed=subscription, initial=initial_of(subscription))
    options = options_form(subscription.service, given, subscription.parameters)
    if given is not None and _are_valid(form, options):
        fields = {key: form.cleaned_data[key] for key in ('interval_hours', 'until')}
        parameters = {'parameters': kept(options)} if options else {}
        subscriptions.change(subscription.pk, now, **fields, **parameters)
        messages.success(request, 'Saved.')
        return redirect('photometry:subscriptions')
    context = {'form': form, 'options': options, 'service': subscription.service, 'subscription': subscription}
    return render(request, 'tom_forced_phot/subscription_form.html', context)


@login_required
@require_POST
@refused_in_place
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask nothing more until it is resumed."""
    subscription = _mine(request, pk)
    if subscriptions.pause(subscription.pk, request.user):
        messages.success(request, 'Paused. What is on its way still comes.')
    return _changed(request)


@login_required
@require_POST
@refused_in_place
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Go on; the next round is due at once."""
    subscription = _mine(request, pk)
    if subscriptions.resume(subscription.pk, conf.utc_now(), request.user):
        messages.success(request, 'Resumed. Its next round comes with the next run of the command.')
    elif not subscription.active:
        messages.error(request, 'Its end is over: edit it and give it another one first.')
    return _changed(request)


@login_required
@require_http_methods(['GET', 'POST'])
@refused_in_place
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """GET asks; POST deletes. Queries and points stay."""
    subscription = _mine(request, pk)
    if request.method == 'GET':
        return render(request, 'tom_forced_phot/subscription_delete.html', {'subscription': subscription})
    subscriptions.remove(subscription.pk)
    messages.success(request, 'Deleted. What it brought stays.')
    return redirect('photometry:subscriptions')


@login_required
@require_GET
def options(request: HttpRequest) -> HttpResponse:
    """The options of a service, when it is chosen; names of targets, while one is typed."""
    if 'target' in request.GET:
        names = suggestions(request.user, request.GET['target'])
        return render(request, 'tom_forced_phot/partials/subscription_targets.html', {'names': names})
    form = options_form(request.GET.get('service', ''))
    return render(request, 'tom_forced_phot/partials/subscription_options.html', {'options': form})


def _mine(request: HttpRequest, pk: int) -> PhotometrySubscription:
    """One that the user may change; of those that the user may only see that, of others nothing is known."""
    rows = visible_subscriptions(request.user).select_related('target', 'target_list', 'owner')
    subscription = get_object_or_404(rows, pk=pk)
    if not changeable_subscriptions(request.user).filter(pk=pk).exists():
        raise NotYours('Only its owner may change a subscription.', reverse('photometry:subscriptions'))
    return subscription


urlpatterns: list[Any] = [
    path('subscriptions/', subscription_list, name='subscriptions'),
    path('subscriptions/new/', make, name='subscription-make'),
    path('subscriptions/options/', options, name='subscription-options'),
    path('subscriptions/<int:pk>/', edit, name='subscription-edit'),
    path('subscriptions/<int:pk>/pause/', pause, name='subscription-pause'),
    path('subscriptions/<int:pk>/resume/', resume, name='subscription-resume'),
    path('subscriptions/<int:pk>/delete/', delete, name='subscription-delete'),
]


#: Fields of a service's form that a subscription fills itself.
OWN = ('service', 'target_id', 'max_date')
LEAST, MOST = 1.0, 8760.0
FIXED = ('service', 'target', 'target_list')


class SubscriptionForm(forms.Form):
    """Everything but the service's own options."""

    service = forms.ChoiceField(label='Service')
    interval_hours = forms.FloatField(
        label='Every so many hours', initial=24, min_value=LEAST, max_value=MOST, help_text='From one round to the next.'
    )
    target = forms.CharField(
        required=False,
        label='Target',
        help_text='The name of one target; or choose a target list.',
        widget=forms.TextInput(attrs={'list': 'subscription-targets', 'autocomplete': 'off'}),
    )
    target_list = forms.ModelChoiceField(
        queryset=TargetList.objects.none(),
        required=False,
        label='Target list',
        empty_label='no list',
        help_text='Each round asks about the targets that are in the list then, as far as you may ask about them.',
    )
    until = DateField(
        required=False, label='Until', help_text='UTC: an MJD or a date such as 2027-01-31. Empty: until you stop it.'
    )

    def __init__(self, *args: Any, user: Any, now: datetime, fixed: PhotometrySubscription | None = None, **kwargs: Any) -> None:
        """``fixed``: the subscription that is edited; its service and targets stay."""
        super().__init__(*args, **kwargs)
        self.user, self.now, self.fixed = user, now, fixed
        self.fields['service'].choices = [(name, name) for name in sorted(registry.services())]  # type: ignore[attr-defined]
        self.fields['target_list'].queryset = visible_lists(user)  # type: ignore[attr-defined]
        for name in FIXED if fixed is not None else ():
            del self.fields[name]

    def clean_target(self) -> Any:
        """The target of this name; where several have it, its number is asked for."""
        name = str(self.cleaned_data.get('target') or '').strip()
        if not name:
            return None
        allowed = askable_targets(self.user)
        found = list(allowed.filter(name=name)[:2]) or list(allowed.filter(name__iexact=name)[:2])
        if len(found) != 1:
            raise forms.ValidationError(
                f'Several targets are called {name!r}: rename one first.'
                if found
                else f'There is no target called {name!r} about which you may ask.'
            )
        return found[0]

    def clean_until(self) -> datetime | None:
        """A date to come."""
        mjd = self.cleaned_data.get('until')
        if mjd is None:
            return None
        if instant_of(mjd) <= self.now:
            raise forms.ValidationError('This date is over.')
        return instant_of(mjd)

    def clean_service(self) -> str:
        """One that can be asked."""
        name = str(self.cleaned_data['service'])
        try:
            service = registry.service(name)
            reason = hindrance(service, self.user)
            with refused_in_words(service):
                service.get_form()()
        except ForcedPhotometryError as error:
            reason = str(error)
        if reason:
            raise forms.ValidationError(reason)
        return name

    def clean(self) -> dict[str, Any]:
        """Either one target or a list."""
        cleaned = super().clean() or self.cleaned_data
        if self.fixed is None and not {'target', 'target_list'} & set(self.errors):
            if not cleaned.get('target') and not cleaned.get('target_list'):
                self.add_error('target', 'Name a target, or choose a list.')
            elif cleaned.get('target') and cleaned.get('target_list'):
                self.add_error('target_list', 'Either a target or a list, not both.')
        return cleaned

    def object_to(self, options: Mapping[str, Any]) -> None:
        """Say beside the target why the service cannot be asked about it."""
        target, name = self.cleaned_data.get('target'), self.cleaned_data.get('service')
        if target is not None and name:
            reason = preview_question(registry.service(name), target, options, self.now).reason
            if reason:
                self.add_error('target', reason)


def options_form(service: str, data: Any = None, initial: Mapping[str, Any] | None = None) -> forms.Form | None:
    """The service's own form without what a subscription fills itself; None where there is none, or it cannot be made."""
    try:
        form: forms.Form = registry.service(service).get_form()(data=data, initial=dict(initial or {}))
    except ForcedPhotometryError:
        return None
    except Exception:  # the site's own code; the page says so when it is sent
        logger.exception('A form cannot be made', extra={'event': 'form_not_made', 'service': service})
        return None
    for name in OWN:
        form.fields.pop(name, None)
    if 'min_date' in form.fields:
        form.fields['min_date'].label = 'Nothing before'
        form.fields['min_date'].help_text = 'UTC: an MJD or a date. Empty: all that the service has.'
    return form


def kept(options: forms.Form) -> dict[str, Any]:
    """What is stored of the options."""
    return {name: options.cleaned_data.get(name) for name in options.fields}


def initial_of(subscription: PhotometrySubscription) -> dict[str, Any]:
    """What the form shows of one that is edited."""
    until = subscription.until
    shown = '' if until is None else f'{until:%Y-%m-%d %H:%M}' if mjd_of(until) % 1 else f'{until:%Y-%m-%d}'
    return {'interval_hours': subscription.interval_hours, 'until': shown}


def suggestions(user: Any, text: str, most: int = 20) -> list[str]:
    """Names of targets about which the user may ask, for what was typed so far."""
    found = askable_targets(user).filter(name__icontains=text.strip()).order_by('name')
    names: list[str] = list(found.values_list('name', flat=True)[:most])
    return names
