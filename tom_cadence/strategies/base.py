"""The base of every strategy: override ``decide``, a pure function, and the engine does the rest."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from tom_observations.cadence import CadenceStrategy as ToolkitStrategy

from tom_cadence.core.decisions import Decision, Stop, Submit, Wait
from tom_cadence.core.history import Attempt, History, Outcome, Unit
from tom_cadence.core.parameters import Parameters, clean, hours_in_words
from tom_cadence.core.windows import Window, read_window, show, window_in, write_instant
from tom_cadence.exceptions import CadenceError, NeedsAttention
from tom_cadence.strategies.forms import CadenceParametersForm

if TYPE_CHECKING:
    from tom_observations.models import DynamicCadence, ObservationRecord


#: What ``run`` of a strategy that only decides does; set by the engine when the app is ready.
carry_out: Callable[[CadenceStrategy], list[ObservationRecord] | None] | None = None


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

    rank: ClassVar[int] = 100
    """Where it stands among the strategies that are offered: those for every night first."""

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

    skipping: ClassVar[str] = 'is skipped: it goes on at the next interval'
    """What becomes of a cancelled observation where the cadence is told to skip it; the end of a sentence of its form and page."""

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

    def sentence(self, target: str, facility: str) -> str:
        """What a cadence of this strategy does, in one sentence for pages and mails."""
        return sentence_of(self.name, self.description, target, facility, self.parameters.cadence_frequency)

    def photometry_span(self) -> timedelta | None:
        """How far back from now ``decide`` reads the photometry; None for all of it."""
        return None

    def asks_service(self) -> str:
        """The photometry service that this strategy may wish to be asked (``PhotometryRequest``); empty for none."""
        return ''

    def update_observation_payload(self, observation_payload: dict[str, Any]) -> dict[str, Any]:
        """Change the parameters of the next observation before its form is filled in; a copy is handed in."""
        return observation_payload

    def run(self) -> list[ObservationRecord] | None:
        """Carry this strategy's decision out for its cadence: the new records, or None.

        Raises the CadenceError that stopped it (refused, needs attention, ...), as the toolkit's strategies raise.
        """
        if carry_out is None:
            raise CadenceError('The app tom_cadence is not ready: put it into INSTALLED_APPS.')
        return carry_out(self)


def sentence_of(name: str, description: str, target: str, facility: str, frequency: float | None) -> str:
    """A sentence made of what a class says of itself; ``frequency`` in hours."""
    every = f', every {hours_in_words(frequency)}' if frequency else ''
    described = description.strip().rstrip('.')
    return f'{name} for {target} at {facility}{every}{f": {described}" if described else ""}.'


class AdvancesWindow(CadenceStrategy):
    """A strategy whose next window is the last one, moved by the cadence frequency."""

    needs_parameters = False
    _now: datetime | None = None

    def advance_window(
        self, observation_payload: dict[str, Any], start_keyword: str = 'start', end_keyword: str = 'end'
    ) -> dict[str, Any]:
        """Move the window in form parameters on by ``cadence_frequency`` hours, never into the past; override to do otherwise."""
        start, end = observation_payload.get(start_keyword), observation_payload.get(end_keyword)
        window = self._moved(read_window(start, end))
        observation_payload[start_keyword] = write_instant(window.start, start)
        observation_payload[end_keyword] = write_instant(window.end, end)
        return observation_payload

    def _moved(self, window: Window) -> Window:
        moved = window.later_by(self.parameters.frequency)
        return moved if self._now is None else moved.not_before(self._now)

    def _next(self, attempt: Attempt, now: datetime, reason: str, unit: Unit) -> Submit:
        """The next observation after ``attempt``, through ``advance_window`` where a subclass has its own."""
        self._now = now
        changes: Mapping[str, Any] = {}
        if type(self).advance_window is AdvancesWindow.advance_window:
            window = self._moved(self._base(attempt))
        else:
            window, changes = self._by_hook(attempt)
        return Submit(reason=reason, window=window, like=attempt.record, follows=unit.records, changes=changes)

    def _base(self, attempt: Attempt) -> Window:
        """The window the next one counts from."""
        window = known_window(attempt)
        observed = attempt.scheduled_start if self.parameters.count_from == 'observed' else None
        return window.starting(observed) if observed else window

    def _by_hook(self, attempt: Attempt) -> tuple[Window, Mapping[str, Any]]:
        start, end = attempt.keywords
        before = copy.deepcopy(dict(attempt.parameters))
        after = self.advance_window(copy.deepcopy(before), start_keyword=start, end_keyword=end)
        if not isinstance(after, Mapping):
            raise NeedsAttention(f'advance_window of {type(self).__name__} returned {after!r} in place of the parameters.')
        changes = {key: value for key, value in after.items() if key not in (start, end) and before.get(key) != value}
        return window_in(after, (start, end)), changes


def known_window(attempt: Attempt) -> Window:
    """The attempt's window; NeedsAttention where it cannot be read."""
    if attempt.window is None:
        raise NeedsAttention(f'Observation {attempt.observation_id}: {attempt.trouble or "its window cannot be read."}')
    return attempt.window


def unfinished(attempt: Attempt) -> Wait:
    """The wait for an observation, with its state in the facility's own word."""
    return Wait(reason=f'Observation {attempt.observation_id} is not finished ({attempt.status or "state unknown"}).')


def cancelled(unit: Unit) -> Stop:
    """What a cancellation means where it is not asked for again."""
    return Stop(reason=f'{unit.in_words()}, so it is not asked for again. Resume the cadence to go on.')


AHEAD = timedelta(hours=1)
"""How long before it is due an observation is asked for where the decision depends on data: any sooner, and newer data may come."""


class OneAtATime(CadenceStrategy):
    """Waits for what is unfinished, asks again for what failed, and leaves to ``after`` what follows a success.

    Override ``after``; and ``first`` for what is looked at before anything else, whatever became of the last observation.
    """

    waits_for_unfinished = True

    def decide(self, history: History, now: datetime) -> Decision:
        """Wait while anything is unfinished; then follow the newest submission."""
        newest = history.newest
        if newest is None:
            return Wait(reason='This cadence has no observation yet.')
        if history.waiting:
            return unfinished(history.waiting[-1])
        skipped = newest.outcome is Outcome.CANCELLED and not history.asks_again(newest)
        if skipped and not history.skips_cancelled:
            return cancelled(newest)
        early = self.first(history, newest, now)
        if early is not None:
            return early
        if skipped:
            return self.skip(history, newest, now)
        return self.after(history, newest, now) if newest.outcome is Outcome.SUCCEEDED else self.again(history, newest, now)

    def first(self, history: History, newest: Unit, now: datetime) -> Decision | None:
        """What is decided before anything is asked for, or None to go on."""
        return None

    def after(self, history: History, newest: Unit, now: datetime) -> Decision:
        """What follows a success."""
        raise NotImplementedError(f'{type(self).__name__} must override after(history, newest, now), or decide().')

    def skip(self, history: History, newest: Unit, now: datetime) -> Decision:
        """What follows an observation that a person cancelled and wants skipped: what would follow a success."""
        return self.after(history, newest, now)

    def again(self, history: History, newest: Unit, now: datetime) -> Decision:
        """What follows a failure: the same again, after the pause that was chosen."""
        start = now + timedelta(hours=self.parameters.retry_backoff)
        return self.ask(newest, known_window(newest.newest).starting(start), f'{outcome_text(newest)}: asked for again.')

    def ask(
        self,
        unit: Unit,
        window: Window,
        reason: str,
        changes: Mapping[str, Any] | None = None,
        alternatives: tuple[Window, ...] = (),
    ) -> Submit:
        """Ask for another observation like the one that was done, or tried, last."""
        like = done(unit).record
        return Submit(
            reason=reason, window=window, like=like, follows=unit.records, changes=changes or {}, alternatives=alternatives
        )

    def counted(self, attempt: Attempt) -> Window:
        """The window that the next one counts from: as requested, or from the real observation, with the same length."""
        window = known_window(attempt)
        observed = attempt.scheduled_start if self.parameters.count_from == 'observed' else None
        return window.starting(observed) if observed else window

    def when_due(self, unit: Unit, due: datetime, now: datetime, reason: str, changes: Mapping[str, Any] | None = None) -> Decision:
        """Ask for it shortly before it is due, and wait until then."""
        if now < due - AHEAD:
            return Wait(reason=f'{reason} The next observation is due at {show(due)}.')
        return self.ask(unit, known_window(done(unit)).starting(max(due, now)), reason, changes)


def done(unit: Unit) -> Attempt:
    """The attempt that succeeded, or the newest where none did."""
    return next((a for a in reversed(unit.attempts) if a.outcome is Outcome.SUCCEEDED), unit.newest)


def outcome_text(unit: Unit) -> str:
    """For example ``Observation 12 failed (WINDOW_EXPIRED)``."""
    return unit.in_words()
