"""Retry failed observations: each failure gets exactly one follow-up, until one succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tom_cadence.core.decisions import Decision, Stop, Wait
from tom_cadence.core.history import Attempt, History, Outcome, Unit
from tom_cadence.core.parameters import hours_in_words
from tom_cadence.strategies.base import AdvancesWindow, cancelled, unfinished
from tom_cadence.strategies.forms import CadenceParametersForm

NAMED = 5
NOTHING_FOLLOWS = 'nothing follows it, because this strategy asks again for failures only'
SKIPPING = f'is skipped: {NOTHING_FOLLOWS}'


class RetryFailedObservationsForm(CadenceParametersForm):
    """The fields that every cadence has: hours from a failure to its repetition, and the limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing goes on after what is skipped, and its form says so."""
        super().__init__(*args, **kwargs)
        said = {'skip': SKIPPING}
        field: Any = self.fields['on_cancel']
        field.choices = [(key, said.get(key, words)) for key, words in field.choices]


class RetryFailedObservationsStrategy(AdvancesWindow):
    """Ask for every failed observation once more, ``cadence_frequency`` hours later, until it succeeds."""

    name = 'Retry failed observations'
    rank = 1
    description = (
        'Every observation that fails is asked for once more after the chosen interval, and so on until one succeeds. '
        'Nothing follows a success.'
    )
    form = RetryFailedObservationsForm
    needs_parameters = False
    answers_each_failure = True
    skipping = SKIPPING

    def sentence(self, target: str, facility: str) -> str:
        """What a cadence of this strategy does, in one sentence for its page."""
        later = hours_in_words(self.parameters.frequency)
        return f'Asks {facility} for every failed observation of {target} again, {later} later, until one succeeds.'

    def decide(self, history: History, now: datetime) -> Decision:
        """Follow the oldest failure that nothing follows yet; end when there is nothing left to wait for."""
        for unit in failures(history):
            reason = f'{unit.in_words()}: asked for again {self.parameters.frequency:g} h later.'
            return self._next(unit.newest, now, reason, unit)
        if history.newest is None:
            return Wait(reason='This cadence has no observation yet.')
        if history.waiting:
            return unfinished(history.waiting[-1])
        if any(attempt.outcome is Outcome.SUCCEEDED for attempt in history.attempts):
            return Stop(reason=_end(history))
        if history.skips_cancelled:
            return Stop(reason=f'{history.newest.in_words()}, and is skipped; {NOTHING_FOLLOWS}.')
        return cancelled(history.newest)


def _end(history: History) -> str:
    """That nothing is left to ask for, and what did not succeed all the same."""
    left = [attempt for attempt in history.attempts if attempt.outcome is not Outcome.SUCCEEDED]
    left = [attempt for attempt in left if attempt.record not in history.answered]
    if not left:
        return 'Every observation of this cadence succeeded, or was followed by one that did.'
    named = ', '.join(f'{attempt.observation_id} ({attempt.status or attempt.outcome.value})' for attempt in left[:NAMED])
    more = f' and {len(left) - NAMED} others' if len(left) > NAMED else ''
    return f'Nothing is left to ask for again. Not every observation succeeded: {named}{more} did not, and was not followed.'


def failures(history: History) -> Iterator[Unit]:
    """Failed submissions that nothing follows yet, oldest first."""
    for unit in history.units:
        for part in _parts(unit, history):
            if history.asks_again(part) and not history.answered.intersection(part.records):
                yield part


def _parts(unit: Unit, history: History) -> Iterator[Unit]:
    """What is followed as one: a submission of ours is; records of a TOM's past are followed singly.

    A record made by the toolkit does not say which others were sent in the same call. Those that look so (same window,
    made within seconds) share one follow-up: if one succeeded or was followed, the others are answered by it.
    """
    newest = unit.newest
    if newest.submission is not None or newest.one_call_many:
        yield unit
    elif unit.outcome is not Outcome.SUCCEEDED and not history.answered.intersection(unit.records):
        yield from (Unit((attempt,)) for attempt in unit.attempts if not _retried_by_toolkit(attempt, history))


def _retried_by_toolkit(attempt: Attempt, history: History) -> bool:
    """Whether a later record of the TOM's past looks like the toolkit's follow-up: made after this one's window had closed."""
    window = attempt.window
    if window is None:
        return False
    return any(
        other.submission is None
        and other.target == attempt.target
        and other.created >= window.end
        and other.window is not None
        and other.window.start > window.start
        for other in history.attempts
    )
