"""The host's REST endpoint for new observations, with the cadence and the permission checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import NotAuthenticated, ValidationError
from tom_observations.api_views import ObservationRecordViewSet
from tom_targets.models import Target

from tom_cadence import registry
from tom_cadence.permissions import startable_targets, visible_records, visible_targets
from tom_cadence.starting import problem_with


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
