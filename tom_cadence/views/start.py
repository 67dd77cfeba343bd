"""The host's observation form, with the cadence checked before anything is sent."""

from __future__ import annotations

from typing import Any

from tom_observations.views import ObservationCreateView

from tom_cadence.starting import problem_with


class CheckedObservationCreateView(ObservationCreateView):
    """The host's view; it would fail after the facility has booked where the form has no name or the cadence is unusable."""

    def form_valid(self, form: Any) -> Any:
        """Send only what can be recorded afterwards."""
        strategy = form.cleaned_data.get('cadence_strategy')
        if strategy:
            problem = problem_with(strategy, form.cleaned_data)
            if 'name' not in form.cleaned_data:
                problem = problem or 'This form has no name for the observation group: a cadence cannot be started with it.'
            if problem:
                form.add_error(None, f'Nothing was sent. {problem}')
                return self.form_invalid(form)
        return super().form_valid(form)
