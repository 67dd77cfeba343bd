"""Every URL and template of the host that this app answers in its place, and the version of the host it was checked against.

The two for observations call the host's own code; they only check first what the host checks after the observation was sent, or
never: who may see the target (tom_observations/views.py 379-437 and api_views.py 75-171 of tomtoolkit 3.1.0). Both send, so neither
runs inside a transaction of the request. Those for templates lead to this app's pages. SHADOWED lists the host's templates of which
this app has one of the same name. A test fails when the host's code or templates change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.transaction import non_atomic_requests
from django.http import Http404
from django.urls import path
from rest_framework.exceptions import NotAuthenticated, ValidationError
from tom_observations.api_views import ObservationRecordViewSet
from tom_observations.views import ObservationCreateView
from tom_targets.models import Target

from tom_cadence import registry
from tom_cadence.facilities.ocs import polite
from tom_cadence.flows.start import problem_with
from tom_cadence.pages.templates import views
from tom_cadence.permissions import startable_targets, visible_records, visible_targets

HOST_VERSION = '3.1.0'
#: Templates of the host that this app has under the same name (it stands before the host in INSTALLED_APPS), and what for.
SHADOWED = {
    'tom_observations/observationgroup_list.html': 'extended: a way to start a cadence for a group',
    'tom_observations/observationrecord_detail.html': (
        'extended: the cadence of the observation, and the observations before and after it'
    ),
    'tom_observations/partials/observationtemplate_from_record.html': 'replaced: the button that makes a template of any record',
}


def url_paths() -> list[Any]:
    """Handed to the host by ``include_url_paths``; the host puts them before its own."""
    return [
        path('api/observations/', non_atomic_requests(CheckedObservationViewSet.as_view({'get': 'list', 'post': 'create'}))),
        path('observations/template/list/', views.host_list),
        path('observations/template/<str:facility>/create/', views.host_create),
        path('observations/template/<int:pk>/update/', views.host_update),
        path('observations/template/<int:pk>/delete/', views.delete),
        path('observations/template/<int:pk>/', views.host_update),
        path('observations/<int:pk>/template/', views.host_record),
        path('observations/<str:facility>/create/', non_atomic_requests(CheckedObservationCreateView.as_view())),
    ]


class CheckedObservationCreateView(ObservationCreateView):
    """The host's view; it would fail after the facility has booked where the form has no name or the cadence is unusable.

    It would also show any target to whoever is logged in, and book observations of it.
    """

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """A target that this user may not see does not exist; who is not logged in is sent to the login first."""
        wanted = str(self.get_target_id())
        if request.user.is_authenticated and not (
            wanted.isdecimal() and len(wanted) < 18 and visible_targets(request.user).filter(pk=int(wanted)).exists()
        ):
            raise Http404('There is no such target.')
        return super().dispatch(request, *args, **kwargs)

    def get_form_class(self, observation_type: str | None = None) -> Any:
        """The host's form, which tells a portal's refusal in its own words in place of an HTTP 500."""
        return polite(super().get_form_class(observation_type))

    def form_valid(self, form: Any) -> Any:
        """Send only what can be recorded afterwards."""
        strategy = form.cleaned_data.get('cadence_strategy')
        if strategy:
            problem = problem_with(strategy, form.cleaned_data)
            if not startable_targets(self.request.user).filter(pk=self.get_target_id()).exists():
                problem = 'You may look at this target, but not start a cadence of it.'
            if 'name' not in form.cleaned_data:
                problem = problem or 'This form has no name for the observation group: a cadence cannot be started with it.'
            if problem:
                form.add_error(None, f'Nothing was sent. {problem}')
                return self.form_invalid(form)
        return super().form_valid(form)


class CheckedObservationViewSet(ObservationRecordViewSet):
    """``POST /api/observations/`` of the host; what it would refuse after sending is refused before."""

    def get_queryset(self) -> Any:
        """As the host has it; it would fail for visitors where TARGET_PERMISSIONS_ONLY is False."""
        return super().get_queryset() if self.request.user.is_authenticated else visible_records(self.request.user)

    def create(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Check who asks, for which target, and the cadence; then let the host do it."""
        if not request.user.is_authenticated:
            raise NotAuthenticated('Log in, or send a token, to request an observation.')
        cadence = request.data.get('cadence')
        _check_target(request, needs_change=cadence is not None)
        _check_cadence(cadence)
        return super().create(request, *args, **kwargs)


def _check_target(request: Any, *, needs_change: bool) -> None:
    try:
        wanted = Target.objects.filter(pk=request.data.get('target_id'))
    except (TypeError, ValueError) as error:
        raise ValidationError({'target_id': 'A number is expected.'}) from error
    if not visible_targets(request.user).filter(pk__in=wanted.values('pk')).exists():
        raise ValidationError({'target_id': 'There is no such target, or it is not yours to see.'})
    if needs_change and not startable_targets(request.user).filter(pk__in=wanted.values('pk')).exists():
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
