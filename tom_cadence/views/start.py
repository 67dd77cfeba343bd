"""The host's observation form, with target and cadence checked before anything is shown or sent."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from tom_observations.views import ObservationCreateView

from tom_cadence.facilities.ocs import polite
from tom_cadence.permissions import startable_targets, visible_targets
from tom_cadence.starting import problem_with


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
