"""Resume cadence after failure: a failed observation is asked for again at once, a success starts the next interval."""

from __future__ import annotations

from datetime import datetime, timedelta

from tom_cadence.core.decisions import Decision, Submit, Wait
from tom_cadence.core.history import History, Outcome, Unit
from tom_cadence.core.parameters import hours_in_words
from tom_cadence.strategies.base import AdvancesWindow, cancelled, known_window, unfinished
from tom_cadence.strategies.forms import CadenceParametersForm


class ResumeCadenceAfterFailureForm(CadenceParametersForm):
    """The fields that every cadence has: hours between observations, and the limits."""


class ResumeCadenceAfterFailureStrategy(AdvancesWindow):
    """Observe every ``cadence_frequency`` hours; after a failure, as soon as possible."""

    name = 'Resume cadence after failure'
    rank = 2
    description = (
        'One observation at a time. If it succeeds, the next one follows after the chosen interval; '
        'if it fails, it is asked for again as soon as possible.'
    )
    form = ResumeCadenceAfterFailureForm
    needs_parameters = False
    waits_for_unfinished = True

    def sentence(self, target: str, facility: str) -> str:
        """What a cadence of this strategy does, in one sentence for its page."""
        backoff = self.parameters.retry_backoff
        again = f'{hours_in_words(backoff)} after it' if backoff else 'as soon as possible'
        every = hours_in_words(self.parameters.frequency)
        return f'Observes {target} at {facility} every {every}; a failed observation is asked for again {again}.'

    def decide(self, history: History, now: datetime) -> Decision:
        """Wait while anything is unfinished; then follow the newest submission."""
        newest = history.newest
        if newest is None:
            return Wait(reason='This cadence has no observation yet.')
        if history.waiting:
            return unfinished(history.waiting[-1])
        if newest.outcome is Outcome.SUCCEEDED:
            reason = f'{newest.in_words()}: the next one after {self.parameters.frequency:g} h.'
            done = next(attempt for attempt in reversed(newest.attempts) if attempt.outcome is Outcome.SUCCEEDED)
            return self._next(done, now, reason, newest)
        if not history.asks_again(newest):
            if not history.skips_cancelled:
                return cancelled(newest)
            reason = f'{newest.in_words()}, and is skipped: the next one {self.parameters.frequency:g} h after it.'
            return self._next(newest.newest, now, reason, newest)
        return self._again(newest, now)

    def _again(self, unit: Unit, now: datetime) -> Submit:
        self.parameters.frequency  # noqa: B018  # a cadence without a frequency is reported now, not after its first success
        start = now + timedelta(hours=self.parameters.retry_backoff)
        attempt = unit.newest
        return Submit(
            reason=f'{unit.in_words()}: asked for again as soon as possible.',
            window=known_window(attempt).starting(start),
            like=attempt.record,
            follows=unit.records,
        )
