"""Standing orders: the list, making, editing, pausing, resuming, deleting."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from tom_forced_phot import conf, subscriptions
from tom_forced_phot.forms_subscription import SubscriptionForm, initial_of, kept, options_form, suggestions
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription
from tom_forced_phot.permissions import askable_targets, changeable_subscriptions, visible_subscriptions, visible_targets
from tom_forced_phot.states import QueryState
from tom_forced_phot.tables import A_PAGE
from tom_forced_phot.views.refused import Refusal, readably


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
    page = Paginator(rows, A_PAGE).get_page(request.GET.get('page'))
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
    pk, service = request.GET.get('target', ''), request.GET.get('service', '')
    target = askable_targets(request.user).filter(pk=int(pk)).first() if pk.isdecimal() and len(pk) < 18 else None
    return {'target': target.name if target else '', **({'service': service} if service else {})}


def _are_valid(form: SubscriptionForm, options: Any) -> bool:
    """Both; then whether the service can be asked about the target with these options."""
    sound = form.is_valid() and (options is None or options.is_valid())
    if options is not None:
        options.is_valid()  # so that its errors are shown together with the others
    if sound:
        form.object_to(kept(options) if options else {})
    return sound and form.is_valid()


@login_required
@require_http_methods(['GET', 'POST'])
@readably
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
@readably
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask nothing more until it is resumed."""
    subscription = _mine(request, pk)
    if subscriptions.pause(subscription.pk, request.user):
        messages.success(request, 'Paused. What is on its way still comes.')
    return _changed(request)


@login_required
@require_POST
@readably
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Go on; the next round is due at once."""
    subscription = _mine(request, pk)
    if subscriptions.resume(subscription.pk, conf.utc_now()):
        messages.success(request, 'Resumed. Its next round comes with the next run of the command.')
    elif not subscription.active:
        messages.error(request, 'Its end is over: edit it and give it another one first.')
    return _changed(request)


@login_required
@require_http_methods(['GET', 'POST'])
@readably
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
        raise Refusal('Only its owner may change a subscription.', reverse('photometry:subscriptions'))
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
