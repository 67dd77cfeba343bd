"""The base of every strategy: override ``decide``, a pure function, and the engine does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from tom_observations.cadence import CadenceStrategy as ToolkitStrategy

from tom_cadence.decisions import Decision
from tom_cadence.history import History
from tom_cadence.parameters import Parameters, clean
from tom_cadence.strategies.forms import CadenceParametersForm

if TYPE_CHECKING:
    from tom_observations.models import DynamicCadence, ObservationRecord


class CadenceStrategy(ToolkitStrategy):
    """Decides what to observe next.

    Override ``decide``: it gets what was observed so far and the present, and returns Wait, Submit or Stop with a reason.
    It must not ask the database, the network or a clock. Exactly-once submission, limits, dry run, history and preview
    then come from the engine. A strategy that overrides ``run`` instead (as the toolkit's tutorial does) works too, but
    calls the facility itself, so nobody can promise that it does so once.

    Class attributes: ``name`` and ``description`` are shown to people; ``form`` holds its parameters' fields.
    """

    name: ClassVar[str] = 'Cadence'
    description: ClassVar[str] = ''
    form: ClassVar[type] = CadenceParametersForm
    needs_parameters: ClassVar[bool] = True
    """Whether ``decide`` reads ``Attempt.parameters``; reading them for every record costs time in an idle run."""

    needs_photometry: ClassVar[bool] = False
    """Whether ``decide`` reads ``History.photometry``; it is empty otherwise, and costs nothing."""

    waits_for_unfinished: ClassVar[bool] = False
    """Whether ``decide`` always waits while any observation is unfinished, for a reason that names no other: the others are not
    even read then, which makes a run with nothing to do several times cheaper."""

    answers_each_failure: ClassVar[bool] = False
    """Whether one run may have several things to submit: the strategy is then asked again after each."""

    def __init__(self, dynamic_cadence: DynamicCadence, *args: Any, **kwargs: Any) -> None:
        """Keep the cadence whose observations this strategy decides about."""
        super().__init__(dynamic_cadence, *args, **kwargs)
        self.dynamic_cadence = dynamic_cadence

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A subclass that decides for itself is given everything, unless it says it needs less."""
        super().__init_subclass__(**kwargs)
        if {'decide', 'advance_window'} & set(cls.__dict__) and 'needs_parameters' not in cls.__dict__:
            cls.needs_parameters = True
        if 'decide' in cls.__dict__ and 'waits_for_unfinished' not in cls.__dict__:
            cls.waits_for_unfinished = False

    @property
    def given(self) -> Mapping[str, Any]:
        """The parameters as they are stored, also those that only this strategy has; NeedsAttention where one cannot be used."""
        self.parameters  # noqa: B018  # says what is wrong with those that every cadence has
        stored: Mapping[str, Any] = self.dynamic_cadence.cadence_parameters
        return stored

    @property
    def parameters(self) -> Parameters:
        """The cadence's parameters, cleaned; NeedsAttention where one cannot be used."""
        return clean(self.dynamic_cadence.cadence_parameters)

    def decide(self, history: History, now: datetime) -> Decision:
        """What to do next. ``now`` is aware UTC."""
        raise NotImplementedError(f'{type(self).__name__} must override decide(history, now), or run().')

    def photometry_span(self) -> timedelta | None:
        """How far back from now ``decide`` reads the photometry; None for all of it."""
        return None

    def asks_service(self) -> str:
        """The photometry service that this strategy may wish to be asked (``FreshLook``); empty for none."""
        return ''

    def update_observation_payload(self, observation_payload: dict[str, Any]) -> dict[str, Any]:
        """Change the parameters of the next observation before its form is filled in; a copy is handed in."""
        return observation_payload

    def run(self) -> list[ObservationRecord] | None:
        """Carry this strategy's decision out for its cadence: the new records, or None.

        Raises the CadenceError that stopped it (refused, needs attention, ...), as the toolkit's strategies raise.
        """
        from tom_cadence.runner import run_one

        return run_one(self)
