"""When a cadence ends or waits whatever its strategy says: the limits every strategy gets from the engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from tom_cadence.decisions import Decision, Stop, Submit, Wait
from tom_cadence.history import History, Outcome
from tom_cadence.parameters import Parameters
from tom_cadence.windows import Window, show

REFUSED_PAUSE = timedelta(minutes=10)
LONGEST_PAUSE = timedelta(hours=6)
INSTANT = timedelta(seconds=1)


def enforce(
    decision: Decision,
    parameters: Parameters,
    history: History,
    now: datetime,
    *,
    start_lead: timedelta = timedelta(0),
    last_refusal: datetime | None = None,
    exposure: float | None = None,
    next_exposure: float | None = None,
) -> Decision:
    """The decision after the limits: a submission may become a wait or a stop, and its window never starts in the past.

    ``exposure`` and ``next_exposure`` are seconds: what was asked for so far, and what the next observation would add.
    """
    if not isinstance(decision, Submit):
        return decision
    window = decision.window.not_before(now + start_lead)
    stop = _ended(parameters, history, window, exposure, next_exposure)
    kept = decision if window is decision.window else replace(decision, window=window)
    return stop or _paused(history, now, last_refusal) or kept


def over(parameters: Parameters, history: History, now: datetime) -> Stop | None:
    """Whether a cadence has come to its end, before its strategy is even asked; the total exposure time is not judged."""
    return _ended(replace(parameters, max_exposure_time=None), history, Window(start=now, end=now + INSTANT), None, None)


def _ended(
    parameters: Parameters, history: History, window: Window, exposure: float | None, next_exposure: float | None
) -> Stop | None:
    failures = history.consecutive_failures
    if failures >= parameters.max_consecutive_failures:
        return Stop(
            reason=f'{failures} observations in a row failed or were refused; the limit is {parameters.max_consecutive_failures}.',
            kind='attention',
        )
    if parameters.end_date is not None and window.start >= parameters.end_date:
        return Stop(reason=f'The next window would start after the end date, {show(parameters.end_date)}.')
    if parameters.max_observations is not None and _spent(history) >= parameters.max_observations:
        return Stop(reason=f'All {parameters.max_observations} observations of this cadence are done.')
    if parameters.max_exposure_time is not None:
        if exposure is None or next_exposure is None:
            return Stop(
                reason='A total exposure time is set, but the exposure time of these observations cannot be read.',
                kind='attention',
            )
        if exposure + next_exposure > parameters.max_exposure_time:
            return Stop(
                reason=f'The next observation would exceed the total exposure time of {parameters.max_exposure_time:g} s '
                f'({exposure:g} s used).'
            )
    return None


def _spent(history: History) -> int:
    return history.count(Outcome.SUCCEEDED) + history.count(Outcome.WAITING)


def _paused(history: History, now: datetime, last_refusal: datetime | None) -> Wait | None:
    if not history.refusals or last_refusal is None:
        return None
    pause = min(REFUSED_PAUSE * 2 ** min(history.refusals - 1, 10), LONGEST_PAUSE)
    if now >= last_refusal + pause:
        return None
    return Wait(reason=f'The last request was refused; it is tried again after {show(last_refusal + pause)}.')
