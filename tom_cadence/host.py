"""Every URL and template of the host that this app answers in its place, and the version of the host it was checked against.

Those for observations show what the host's show; what they send goes the way of every request of this app, and they ask first who
may (tom_observations/views.py 142-486 and api_views.py 75-189 of tomtoolkit 3.1.0). They send, so they do not run inside a
transaction of the request. Those for templates lead to this app's pages. SHADOWED lists the host's templates of which
this app has one of the same name. A test fails when the host's code or templates change, and when one of the host's addresses
books, cancels or writes observations by the host's own code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crispy_forms.layout import HTML
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group
from django.contrib.auth.views import redirect_to_login
from django.db.transaction import non_atomic_requests
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import include, path, reverse
from django.views.decorators.http import require_http_methods
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, NotAuthenticated, NotFound, ValidationError
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.urlpatterns import format_suffix_patterns
from tom_common.views import UserDeleteView
from tom_observations.api_views import ObservationRecordViewSet
from tom_observations.cadence import get_cadence_strategies
from tom_observations.models import ObservationRecord
from tom_observations.views import (
    AddExistingObservationView,
    ObservationCallbackView,
    ObservationCreateView,
    ObservationFilter,
    ObservationListView,
    ObservationRecordUpdateView,
    ObservationRedirectView,
)
from tom_targets.models import Target
from tom_targets.views import TargetDetailView

from tom_cadence import conf, registry
from tom_cadence.core.template_fields import in_words
from tom_cadence.exceptions import CadenceError, NeedsAttention, Refused, Temporary, Uncertain
from tom_cadence.facilities import Facilities, Gateway, user_forms
from tom_cadence.facilities.ocs import with_readable_validation
from tom_cadence.flows import order
from tom_cadence.flows.order import AlreadyOrdered, Order
from tom_cadence.flows.refresh import refresh
from tom_cadence.flows.start import kept, problem_with
from tom_cadence.flows.steer import cancel_one
from tom_cadence.journal import departures
from tom_cadence.models import ManagedCadence, Submission
from tom_cadence.pages.start.forms import error_lines
from tom_cadence.pages.templates import views
from tom_cadence.permissions import (
    cancellable_records,
    changeable_cadences,
    changeable_groups,
    startable_targets,
    visible_groups,
    visible_records,
    visible_targets,
    visible_templates,
)
from tom_followup.pages import read_pk, read_pks
from tom_followup.refusals import NotYours, refused_with_message

HOST_VERSION = '3.1.0'
#: Templates of the host that this app has under the same name (it stands before the host in INSTALLED_APPS), and what for.
SHADOWED = {
    'tom_observations/observationgroup_list.html': 'extended: a way to start a cadence for a group',
    'tom_observations/observationrecord_detail.html': (
        'extended: the cadence of the observation, and the observations before and after it'
    ),
    'tom_observations/partials/observationtemplate_from_record.html': 'replaced: the button that makes a template of any record',
}


def _api() -> list[Any]:
    """Every address that the host's router makes for observations, with and without a suffix."""
    router = SimpleRouter()
    router.register('observations', CheckedObservationViewSet, 'observations')
    patterns: list[Any] = format_suffix_patterns(router.urls)
    for pattern in patterns:
        if {'post', 'patch'} & set(pattern.callback.actions):  # they call the facility
            pattern.callback = non_atomic_requests(pattern.callback)
    return patterns


def url_paths() -> list[Any]:
    """Handed to the host by ``include_url_paths``; the host puts them before its own."""
    return [
        path('api/', include(_api())),
        path('users/<int:pk>/delete/', CheckedUserDeleteView.as_view()),
        path('observations/template/list/', views.host_list),
        path('observations/template/<str:facility>/create/', views.host_create),
        path('observations/template/<int:pk>/update/', views.host_update),
        path('observations/template/<int:pk>/delete/', views.delete),
        path('observations/template/<int:pk>/', views.host_update),
        path('observations/<int:pk>/template/', views.host_record),
        path('observations/<int:pk>/cancel/', cancel_observation),
        path('observations/<int:pk>/update/', change_number),
        path('observations/add/', add_existing),
        path('observations/list/', non_atomic_requests(CheckedObservationListView.as_view())),
        path('targets/<int:pk>/', non_atomic_requests(CheckedTargetDetailView.as_view())),
        path('observations/callback/', callback),
        path('observations/<str:facility>/redirect/', to_facility),
        path('targets/<int:pk>/observation-list/', non_atomic_requests(observation_table)),
        path('observations/<str:facility>/create/', non_atomic_requests(CheckedObservationCreateView.as_view())),
    ]


class CheckedUserDeleteView(UserDeleteView):
    """The host's view. The host's own fails where the user has ever asked for an observation, and for visitors."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Who is not logged in is sent to the login first."""
        return super().dispatch(request, *args, **kwargs) if request.user.is_authenticated else self.handle_no_permission()

    def form_valid(self, form: Any) -> HttpResponse:
        """Delete, or say why not, and what to do instead."""
        problem = departures.records_hold(self.object)
        if problem:
            messages.error(self.request, problem)
            return redirect('user-update', pk=self.object.pk)
        deleted: HttpResponse = super().form_valid(form)
        return deleted


AGAIN = 'tom_cadence_again'


class CheckedObservationCreateView(ObservationCreateView):
    """The host's view. The host's own would send without a deadline, forget a lost reply, and send twice on a second try.

    It would also show any target to whoever is logged in, and book observations of it.
    """

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """A target that this user may not see does not exist; who is not logged in is sent to the login first."""
        if request.user.is_authenticated and not _may_see(request.user, str(self.get_target_id())):
            raise Http404('There is no such target.')
        if not Facilities().knows(str(kwargs.get('facility'))):
            raise Http404(f'There is no facility {kwargs.get("facility")!r} in the settings of this TOM.')
        strategy = request.GET.get('cadence_strategy', '')
        if strategy and strategy not in get_cadence_strategies():
            raise Http404('There is no such strategy in the settings of this TOM.')
        if '\0' in (request.POST if request.method == 'POST' else request.GET).get('observation_type', ''):
            raise Http404('There is no such kind of observation.')
        return super().dispatch(request, *args, **kwargs)

    def get_form_class(self, observation_type: str | None = None) -> Any:
        """The host's form, which tells a portal's refusal in its own words in place of an HTTP 500."""
        return with_readable_validation(super().get_form_class(observation_type))

    def get_form_kwargs(self) -> dict[str, Any]:
        """As the host's; the facility is that of the address, whatever the form says, which the host cannot show without one."""
        kwargs = super().get_form_kwargs()
        if 'data' in kwargs:
            kwargs['data'] = kwargs['data'].copy()
            kwargs['data']['facility'] = self.get_facility()
        return kwargs

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Check the form, and ask for the observation, once."""
        form: Any = self.get_form_class()(**self.get_form_kwargs())
        try:
            gateway = Facilities().gateway(self.facility_instance.name, request.user)
            form, valid, payload = user_forms.host_form(lambda: form, gateway)
        except CadenceError as error:
            return self._nothing_sent(form, str(error))
        if not valid:
            return self.form_invalid(form)
        if 'validate' in request.POST:
            return self.form_validation_valid(form)
        problem = self._problem(form)
        return self._nothing_sent(form, problem) if problem else self._place(form, gateway, payload)

    def _nothing_sent(self, form: Any, text: str) -> HttpResponse:
        if form._errors is None:  # it could not even be checked
            form._errors = form.error_class()
            form.cleaned_data = {}
        words = in_words(text)
        form.add_error(None, words if words.startswith('Nothing was sent') else f'Nothing was sent. {words}')
        shown: HttpResponse = self.form_invalid(form)
        return shown

    def _problem(self, form: Any) -> str:
        """Why it could not be recorded afterwards, or an empty text."""
        strategy = form.cleaned_data.get('cadence_strategy')
        if not strategy:
            return ''
        if not startable_targets(self.request.user).filter(pk=self.get_target_id()).exists():
            return 'You may look at this target, but not start a cadence of it.'
        problem = problem_with(strategy, form.cleaned_data)
        if not problem and 'name' not in form.cleaned_data:
            return 'This form has no name for the observation group: a cadence cannot be started with it.'
        return problem

    def _place(self, form: Any, gateway: Gateway, payload: Any) -> HttpResponse:
        target, cleaned = self.get_target(), form.cleaned_data
        strategy = cleaned.get('cadence_strategy') or ''
        fields = registry.strategy_class(strategy).form().cadence_fields if strategy else ()
        asked = Order(
            user=self.request.user,
            target=target.pk,
            gateway=gateway,
            payload=payload,
            parameters=form.serialize_parameters(),
            origin=Submission.Origin.FORM,
            groups=[] if settings.TARGET_PERMISSIONS_ONLY else list(cleaned.get('groups') or ()),
            afterwards={
                'name': cleaned.get('name') or f'{target.name} at {gateway.name}',
                'strategy': strategy,
                'parameters': kept(cleaned, set(fields) & set(form.fields)),
            },
        )
        posted = self.request.POST.get(AGAIN, '')
        try:
            records = order.place(asked, conf.utc_now(), int(posted) if posted.isdecimal() and len(posted) < 9 else 0)
        except AlreadyOrdered as error:
            return self._asked_before(form, error)
        except Uncertain as error:
            messages.warning(self.request, f'{in_words(str(error))} It is not sent again before that is known.')
            return redirect(reverse('cadences:requests'))
        except CadenceError as error:
            return self._nothing_sent(form, str(error))
        ids = ', '.join(record.observation_id for record in records)
        messages.success(self.request, f'Booked at {gateway.name}: {ids}.')
        return redirect(f'{reverse("tom_targets:detail", kwargs={"pk": target.pk})}?tab=observations')

    def _asked_before(self, form: Any, error: AlreadyOrdered) -> HttpResponse:
        text = str(error)
        if error.request.state == Submission.State.ACCEPTED:
            text += ' To book it once more, send this form again.'
            self.again = order.number_of(error.request)
        return self._nothing_sent(form, text)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """As the host's, but the tab shows the form that was sent, with each error beside its field; the host makes a new one.

        Who is told that the same is booked may say that one more is wanted.
        """
        context: dict[str, Any] = super().get_context_data(**kwargs)
        form, tabs = context['form'], context['observation_type_choices']
        if form.is_bound and tabs:
            _say_above_what_is_hidden(form)
            kinds = [kind for kind, _ in tabs]
            sent = context['active'] = context['active'] if context['active'] in kinds else kinds[0]
            context['observation_type_choices'] = [(kind, form if kind == sent else other) for kind, other in tabs]
        again = getattr(self, 'again', None)
        if again is not None:
            for _, form in context['observation_type_choices']:
                form.helper.layout.append(HTML(f'<input type="hidden" name="{AGAIN}" value="{int(again)}">'))
        return context


def _say_above_what_is_hidden(form: Any) -> None:
    """Errors of fields that the page does not show stand above the form, for there is nothing that they could stand beside."""
    for line in error_lines(form):
        if line.label and not line.id:
            form.add_error(None, f'{line.label}: {line.text}')


def _record(request: HttpRequest, pk: int, to_do: str) -> ObservationRecord:
    """A record that this user may cancel or change; 404 where it may not even be seen."""
    record = get_object_or_404(visible_records(request.user) | ObservationRecord.objects.filter(user=request.user.pk), pk=pk)
    if not cancellable_records(request.user, ObservationRecord.objects.filter(pk=pk)).exists():
        raise NotYours(f'You may look at this observation, but not {to_do}.', reverse('tom_observations:detail', args=(pk,)))
    return record


@non_atomic_requests
@login_required
@refused_with_message
def cancel_observation(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel an observation at its facility, after a confirmation. The host's own cancels anybody's, as soon as it is looked at."""
    record = _record(request, pk, 'cancel it')
    if request.method != 'POST':
        return render(
            request,
            'tom_cadence/observation_cancel.html',
            {'object': record, 'seen': _may_see(request.user, str(record.target_id))},
        )
    problem = cancel_one(record, request.user)
    if problem:
        messages.error(request, f'Observation {record.observation_id} was not cancelled. {problem}')
    else:
        messages.success(request, f'Observation {record.observation_id} was cancelled at {record.facility}.')
    return redirect('tom_observations:detail', pk=pk)


@login_required
@refused_with_message
def change_number(request: HttpRequest, pk: int) -> HttpResponse:
    """The host's page of an observation's number; the host lets everybody change everybody's."""
    _record(request, pk, 'change it')
    shown: HttpResponse = ObservationRecordUpdateView.as_view()(request, pk=pk)
    return shown


@login_required
@require_http_methods(['GET', 'POST'])
def add_existing(request: HttpRequest) -> HttpResponseBase:
    """The host's page that records an observation made elsewhere; the host adds it to any target, seen or not."""
    _check_named(request, request.POST if request.method == 'POST' else request.GET)
    return CheckedAddExistingView.as_view()(request)


class CheckedAddExistingView(AddExistingObservationView):
    """The host's view, whose fields are all hidden: without this nobody is told what is wrong with one of them."""

    def form_invalid(self, form: Any) -> HttpResponse:
        """Say it above the form."""
        _say_above_what_is_hidden(form)
        shown: HttpResponse = super().form_invalid(form)
        return shown


@login_required
def callback(request: HttpRequest) -> HttpResponseBase:
    """Where a facility's own page leads back to; the host adds what it says to any target, seen or not."""
    _check_named(request, request.GET)
    return ObservationCallbackView.as_view()(request)


@login_required
def to_facility(request: HttpRequest, facility: str) -> HttpResponseBase:
    """The way to a facility's own page, whose address may name the target; the host leads there with any target."""
    _check_named(request, request.GET)
    if not user_forms.leads_to_its_own_page(facility):
        raise Http404('There is no such facility with a page of its own in the settings of this TOM.')
    return ObservationRedirectView.as_view()(request, facility=facility)


def _check_named(request: HttpRequest, said: Mapping[str, Any]) -> None:
    wanted = str(said.get('target_id') or '')
    if wanted and not (wanted == wanted.strip() and _may_see(request.user, wanted)):
        raise Http404('There is no such target.')


def _may_see(user: Any, wanted: str) -> bool:
    return visible_targets(user).filter(pk=read_pk(wanted)).exists()


@login_required
def observation_table(request: HttpRequest, pk: int) -> HttpResponseBase:
    """A target's observations, their states asked for anew; the host shows those of any target."""
    _check_named(request, {'target_id': pk})
    target = get_object_or_404(Target, pk=pk)
    messages.info(request, _refreshed(request, target))
    return render(request, 'tom_targets/partials/observation_table.html', {'object': target})


def _refreshed(request: HttpRequest, target: Any = None) -> str:
    """Ask for the states of what this user may see, of one target or of all; what came of it, in words."""
    rows = visible_records(request.user)
    return refresh(rows if target is None else rows.filter(target=target.pk), request.user).text


UPDATE = 'update_status'


class CheckedTargetDetailView(TargetDetailView):
    """The host's page of a target. The host's own asks for the states of any target's observations, whoever presses its button.

    It also tells what is in anybody's template.
    """

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Ask only for what this user may see, and use only a template that this user may use."""
        template = request.GET.get('observation_template', '')
        if template and not visible_templates(request.user).filter(pk=read_pk(template)).exists():
            raise Http404('There is no such template.')
        if not request.GET.get(UPDATE):
            return super().get(request, *args, **kwargs)
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        _check_named(request, {'target_id': kwargs['pk']})
        messages.info(request, _refreshed(request, get_object_or_404(Target, pk=kwargs['pk'])))
        return redirect(f'{reverse("tom_targets:detail", args=(kwargs["pk"],))}?tab=observations')


class SeenObservationFilter(ObservationFilter):
    """The host's, which offers everybody the names of all targets and groups; this one only those that the reader may see whole."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As the host's."""
        super().__init__(*args, **kwargs)
        targets = visible_targets(self.request.user)
        unseen = ObservationRecord.objects.exclude(target__in=targets)
        self.filters['target_id'].queryset = targets.filter(observationrecord__isnull=False).distinct().order_by('name')
        self.filters['observationgroup'].queryset = visible_groups(self.request.user).exclude(observation_records__in=unseen)


class CheckedObservationListView(ObservationListView):
    """The host's list. The host's own asks for everybody's states, and lets every visitor move observations between groups."""

    filterset_class = SeenObservationFilter

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Ask only for what this user may see; change only groups that this user may change."""
        if UPDATE in request.GET:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            messages.info(request, _refreshed(request))
            rest = request.GET.copy()
            rest.pop(UPDATE)
            return redirect(f'{reverse("tom_observations:list")}?{rest.urlencode()}')
        if all(map(request.GET.getlist, ('selected', 'observationgroup', 'action'))):
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            problem = _not_to_be_grouped(request)
            if problem:
                messages.error(request, problem)
                return redirect('tom_observations:list')
        return super().get(request, *args, **kwargs)


def _not_to_be_grouped(request: Any) -> str:
    """Why these observations may not be put into these groups, or taken out of them, by this user; else an empty text."""
    records, groups = ({read_pk(text) for text in request.GET.getlist(name)} for name in ('selected', 'observationgroup'))
    if None in records or visible_records(request.user).filter(pk__in=records).distinct().count() < len(records):
        return 'One of these observations does not exist, or is not yours to see.'
    if None in groups or changeable_groups(request.user).filter(pk__in=groups).distinct().count() < len(groups):
        return 'One of these groups does not exist, or is not yours to change.'
    cadences = ManagedCadence.objects.filter(cadence__observation_group__in=groups)
    if changeable_cadences(request.user, cadences).count() < cadences.count():
        return 'One of these groups belongs to a cadence that is not yours to change: what is in it decides what is asked for next.'
    return ''


FIELDS = ('facility', 'observation_type', 'target_id', 'observing_parameters')


class Unavailable(APIException):
    """Nothing reached the facility: try again later."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE


class FilterWithoutForm(DjangoFilterBackend):
    """The host's filters, without the form of the browsable API: it offers everybody the names of all targets and groups."""

    def to_html(self, request: Any, queryset: Any, view: Any) -> str:
        """Nothing."""
        return ''


class CheckedObservationViewSet(ObservationRecordViewSet):
    """``/api/observations/`` of the host; its own would send without a deadline, forget a lost reply, and send twice."""

    filter_backends = (FilterWithoutForm,)

    def get_queryset(self) -> Any:
        """As the host has it; it would fail for visitors where TARGET_PERMISSIONS_ONLY is False."""
        return super().get_queryset() if self.request.user.is_authenticated else visible_records(self.request.user)

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """As the host's; the form of the browsable API offers no target and no user but the reader's own."""
        made = super().get_serializer(*args, **kwargs)
        fields = getattr(made, 'child', made).fields
        fields['target'].queryset = visible_targets(self.request.user)
        fields['user'].queryset = get_user_model()._default_manager.filter(pk=self.request.user.pk)
        return made

    def create(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Check who asks, for which target, and the cadence; then send it once.

        Where the same is booked already, the answer is 409; who wants one more sends ``again`` with the number it names.
        """
        if not request.user.is_authenticated:
            raise NotAuthenticated('Log in, or send a token, to request an observation.')
        data = request.data
        if not isinstance(data, Mapping):
            raise ValidationError('An object is expected.')
        missing = [name for name in FIELDS if name not in data]
        if missing:
            raise ValidationError(dict.fromkeys(missing, 'This field is required.'))
        if not isinstance(data['observing_parameters'], Mapping):
            raise ValidationError({'observing_parameters': "An object with the fields of the facility's form is expected."})
        cadence = data.get('cadence')
        _check_target(request, needs_change=cadence is not None)
        _check_cadence(cadence)
        again = data.get('again')
        try:
            records = order.place(_order(request, cadence), conf.utc_now(), again if isinstance(again, int) else 0)
        except AlreadyOrdered as error:
            ids = list(map(str, error.request.observation_ids))
            told = {'detail': str(error), 'observation_ids': ids, 'again': order.number_of(error.request)}
            return Response(told, status=status.HTTP_409_CONFLICT)
        except Uncertain as error:
            said = f'{in_words(str(error))} It is not sent again before that is known.'
            return Response({'detail': said}, status=status.HTTP_202_ACCEPTED)
        except Temporary as error:
            raise Unavailable(in_words(str(error))) from error
        except (Refused, NeedsAttention, CadenceError) as error:
            raise ValidationError(in_words(str(error))) from error
        made = self.get_serializer(ObservationRecord.objects.filter(pk__in=[record.pk for record in records]), many=True)
        return Response(made.data, status=status.HTTP_201_CREATED)

    @action(detail=True, methods=['patch'])
    def cancel(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Only what is one's own, or what one was given the permission to change."""
        if not request.user.is_authenticated:
            raise NotAuthenticated('Log in, or send a token, to cancel an observation.')
        record = self.get_object()
        if not cancellable_records(request.user, ObservationRecord.objects.filter(pk=record.pk)).exists():
            raise NotFound('There is no such observation, or it is not yours to cancel.')
        problem = cancel_one(record, request.user)
        if problem:
            raise ValidationError(f'It was not cancelled. {problem}')
        return Response(self.get_serializer(record).data)


def _order(request: Any, cadence: Mapping[str, Any] | None) -> Order:
    """What is asked for, checked by the facility's form; ValidationError with its errors."""
    data, kind = request.data, str(request.data['observation_type'])
    gateway = Facilities().gateway(str(data['facility']), request.user)
    form, payload = _checked(data, kind, gateway)
    target = Target.objects.get(pk=read_pk(data['target_id']))
    parameters = {name: value for name, value in (cadence or {}).items() if name != 'cadence_strategy'}
    return Order(
        user=request.user,
        target=target.pk,
        gateway=gateway,
        payload=payload,
        parameters=form.serialize_parameters(),
        origin=Submission.Origin.API,
        groups=_groups(request),
        afterwards={
            'name': form.cleaned_data.get('name') or f'{target.name} at {gateway.name}',
            'strategy': (cadence or {}).get('cadence_strategy', ''),
            'parameters': parameters,
        },
    )


def _checked(data: Mapping[str, Any], kind: str, gateway: Gateway) -> tuple[Any, Any]:
    classes = user_forms.forms_of(gateway)
    if kind not in classes:
        raise ValidationError({'observation_type': f'{gateway.name} has {", ".join(map(str, classes))}.'})
    given = {name: data[name] for name in ('name', 'target_id', 'facility') if name in data}
    values = {**data['observing_parameters'], **given}
    form, valid, payload = user_forms.host_form(
        lambda: with_readable_validation(classes[kind])(values, facility=gateway.facility), gateway
    )
    if not valid:
        raise ValidationError(form.errors)
    return form, payload


def _groups(request: Any) -> list[Group]:
    """Those of the groups named that the user is in, as in the host's form."""
    asked = request.data.get('groups') or []
    if settings.TARGET_PERMISSIONS_ONLY or not isinstance(asked, list):
        return []
    pks = read_pks(each.get('id') for each in asked if isinstance(each, Mapping))
    return list(request.user.groups.filter(pk__in=pks))


def _check_target(request: Any, *, needs_change: bool) -> None:
    wanted = read_pk(request.data.get('target_id'))
    if wanted is None:
        raise ValidationError({'target_id': 'A number is expected.'})
    if not visible_targets(request.user).filter(pk=wanted).exists():
        raise ValidationError({'target_id': 'There is no such target, or it is not yours to see.'})
    if needs_change and not startable_targets(request.user).filter(pk=wanted).exists():
        raise ValidationError({'target_id': 'You may look at this target, but not start a cadence of it.'})


def _check_cadence(cadence: Any) -> None:
    if cadence is None:
        return
    if not isinstance(cadence, Mapping):
        raise ValidationError({'cadence': 'An object with cadence_strategy and its parameters is expected.'})
    strategy = cadence.get('cadence_strategy')
    if not strategy:
        raise ValidationError({'cadence': {'cadence_strategy': 'This field is required.'}})
    problem = problem_with(str(strategy), cadence)
    if problem:
        raise ValidationError({'cadence': problem})
    form = registry.strategy_class(str(strategy)).form(dict(cadence))
    if not form.is_valid():
        raise ValidationError({'cadence': form.errors})
