"""What strategies share that have one observation on its way at a time, whatever decides when the next one is due."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tom_cadence.decisions import Decision, Submit, Wait
from tom_cadence.history import Attempt, History, Outcome, Unit
from tom_cadence.strategies.advance import cancelled, known_window
from tom_cadence.strategies.base import CadenceStrategy
from tom_cadence.windows import Window, show

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
            pending = history.waiting[-1]
            return Wait(reason=f'Observation {pending.observation_id} is not finished ({pending.status or "state unknown"}).')
        if newest.outcome is Outcome.CANCELLED and not history.asks_again(newest):
            return cancelled(newest)
        early = self.first(history, newest, now)
        if early is not None:
            return early
        return self.after(history, newest, now) if newest.outcome is Outcome.SUCCEEDED else self.again(history, newest, now)

    def first(self, history: History, newest: Unit, now: datetime) -> Decision | None:
        """What is decided before anything is asked for, or None to go on."""
        return None

    def after(self, history: History, newest: Unit, now: datetime) -> Decision:
        """What follows a success."""
        raise NotImplementedError(f'{type(self).__name__} must override after(history, newest, now), or decide().')

    def again(self, history: History, newest: Unit, now: datetime) -> Decision:
        """What follows a failure: the same again, after the pause that was chosen."""
        start = now + timedelta(hours=self.parameters.retry_backoff)
        return self.ask(newest, known_window(newest.newest).starting(start), f'{fate(newest)}: asked for again.')

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


def fate(unit: Unit) -> str:
    """For example ``Observation 12 failed (WINDOW_EXPIRED)``."""
    return unit.in_words()
