"""A decision as values: what a strategy says, whether it makes sense, and what the limits make of it.

The engine decides so over rows of the database, a preview and a simulation over imagined ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from tom_cadence.core.bounds import bounded_text, error_text
from tom_cadence.core.decisions import Decision, InvalidDecision, Stop, Submit, Wait, validate
from tom_cadence.core.exposure import before_sending, exposure_seconds
from tom_cadence.core.history import History, Outcome
from tom_cadence.core.parameters import Parameters
from tom_cadence.core.relaxation import relax
from tom_cadence.core.visibility import Sky, move_to_visible
from tom_cadence.core.windows import Window, show
from tom_cadence.exceptions import CadenceError

logger = logging.getLogger(__name__)
UNFORESEEN = 'An error nobody foresaw'
Decide = Callable[[History, datetime], Decision]
Exposure = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """What the facility cannot take yet is not asked for before ``until`` (aware UTC)."""

    until: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class Instead:
    """What a person wants asked from now on: ``fields`` of the facility's form, over those of records up to ``newest``.

    Later records were asked for with them, and with what the strategy made of them since.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    newest: int = 0

    @classmethod
    def of(cls, kept: Any) -> Instead:
        """As it is kept with the cadence."""
        given = kept if isinstance(kept, Mapping) else {}
        return cls(fields=dict(given.get('fields') or {}), newest=int(given.get('newest') or 0))

    def over(self, parameters: Mapping[str, Any], record: int) -> dict[str, Any]:
        """The parameters of a record as they are asked for now."""
        return {**before_sending(parameters), **self.fields} if self.fields and record <= self.newest else dict(parameters)

    def laid_under(self, decision: Decision) -> Decision:
        """The decision with them, below what the strategy itself changes."""
        if not self.fields or not isinstance(decision, Submit) or decision.like > self.newest:
            return decision
        return replace(decision, changes={**self.fields, **decision.changes})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds a strategy: the cadence's parameters, the TOM's settings, when a request was last refused, and the sky.

    Without a ``sky`` the target is taken to be always up. ``postponed``: until when the facility is not asked again, and why.
    """

    parameters: Parameters = field(default_factory=Parameters)
    start_lead: timedelta = timedelta(0)
    last_refusal: datetime | None = None
    exposure: Exposure = exposure_seconds
    sky: Sky | None = None
    postponed: Postponed | None = None
    instead: Instead = field(default_factory=Instead)


def ask_strategy(strategy: Any, history: History, now: datetime) -> Decision:
    """What a strategy says; what it raises, and what makes no sense, is a Stop that asks for a person."""
    name = type(strategy).__name__
    try:
        answer = strategy.decide(history, now)
        records = set(map(attrgetter('record'), history.attempts)) if isinstance(answer, Submit) else set()
        decision = validate(answer, records)
        # what was not looked at is named, whichever strategy looked
        words = history.photometry.left_out if getattr(strategy, 'needs_photometry', False) else ''
        return replace(decision, reason=f'{decision.reason} {words}') if words else decision
    except CadenceError as error:
        return Stop(reason=bounded_text(error) or type(error).__name__, kind='attention')
    except InvalidDecision as error:
        return Stop(reason=bounded_text(f'The strategy {name} {error}'), kind='attention')
    except (Exception, SystemExit) as error:  # a strategy is the site's code: its errors belong to its cadence alone
        return Stop(reason=f'The strategy {name} failed: {error_text(error)}', kind='attention')


def answered_before(decision: Decision, history: History) -> Stop | None:
    """Why a record cannot be followed: something follows it already, although the strategy does not see what."""
    taken = history.answered.intersection(decision.follows) if isinstance(decision, Submit) else None
    if not taken:
        return None
    number = next((attempt.observation_id for attempt in history.attempts if attempt.record == min(taken)), f'record {min(taken)}')
    return Stop(
        reason=f'Observation {number} was followed already, but what followed it is not in the group any more. '
        'Look whether that is still booked; resume the cadence to ask for another one.',
        kind='attention',
    )


def overdue(history: History, now: datetime, limit: timedelta, asked: Callable[[int], bool] = lambda record: True) -> Stop | None:
    """A cadence must not wait silently for an observation that nobody will ever finish; ``asked``: its state is known now."""
    for attempt in history.waiting:
        if attempt.window is not None and now >= attempt.window.end + limit and asked(attempt.record):
            reason = (
                f'Observation {attempt.observation_id} is still {attempt.status or "without a state"} '
                f'{limit.total_seconds() / 3600:g} h after the end of its window.'
            )
            return Stop(reason=reason, kind='attention')
    return None


def limited(decision: Decision, history: History, now: datetime, limits: Limits) -> Decision:
    """The decision relaxed after failures, moved to when the target is up, and inside the limits.

    Exposure times are read only where something depends on them.
    """
    used, more = None, None
    decision = relax(limits.instead.laid_under(decision), limits.parameters.relaxations, history, limits.instead.fields)
    if limits.sky is not None and isinstance(decision, Submit):
        decision = move_to_visible(decision, limits.sky, now + limits.start_lead, _seconds(decision, history, limits))
    if isinstance(decision, Submit) and limits.parameters.max_exposure_time is not None:
        counted = [a for a in history.attempts if a.outcome in (Outcome.SUCCEEDED, Outcome.WAITING)]
        spent = [limits.exposure(attempt.parameters) for attempt in counted]
        used = None if None in spent else sum(seconds for seconds in spent if seconds is not None)
        more = _seconds(decision, history, limits)
    decision = enforce(
        decision,
        limits.parameters,
        history,
        now,
        start_lead=limits.start_lead,
        last_refusal=limits.last_refusal,
        exposure=used,
        next_exposure=more,
    )
    postponed = limits.postponed
    if isinstance(decision, Submit) and postponed is not None and now < postponed.until:
        return Wait(reason=postponed.reason)
    return decision


def _seconds(decision: Submit, history: History, limits: Limits) -> float | None:
    """What the next observation's exposures take."""
    like = next(attempt for attempt in history.attempts if attempt.record == decision.like)
    return limits.exposure({**before_sending(like.parameters), **decision.changes})


def judge(strategy: Any, history: History, now: datetime, limits: Limits, patience: timedelta | None = None) -> Decision:
    """The whole decision about one cadence; never raises. ``patience``: see ``overdue``."""
    return stop_on_error(lambda: _judge(strategy, history, now, limits, patience))


def _judge(strategy: Any, history: History, now: datetime, limits: Limits, patience: timedelta | None) -> Decision:
    late = overdue(history, now, patience) if patience is not None else None
    if late is not None:
        return late
    decision = ask_strategy(strategy, history, now)
    return answered_before(decision, history) or limited(decision, history, now, limits)


def stop_on_error(decide: Callable[[], Decision]) -> Decision:
    """A decision; where finding it raises, that the cadence needs a person, and why."""
    try:
        return decide()
    except CadenceError as error:
        return Stop(reason=bounded_text(error) or type(error).__name__, kind='attention')
    except (
        Exception,
        SystemExit,
    ) as error:  # rows, forms and facilities can hold anything: what they bring about belongs to their cadence alone
        logger.exception('A decision failed', extra={'event': 'decision_error'})
        return Stop(reason=f'{UNFORESEEN}: {error_text(error)}', kind='attention')


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


def check_ended(parameters: Parameters, history: History, now: datetime) -> Stop | None:
    """Whether a cadence has come to its end, before its strategy is even asked; the total exposure time is not judged."""
    return _ended(replace(parameters, max_exposure_time=None), history, Window(start=now, end=now + INSTANT), None, None)


def _ended(
    parameters: Parameters, history: History, window: Window, exposure: float | None, next_exposure: float | None
) -> Stop | None:
    failed = _failed(parameters, history)
    if failed:
        return Stop(reason=failed, kind='attention')
    if parameters.end_date is not None and window.start >= parameters.end_date:
        return Stop(reason=f'The next window would start after the end date, {show(parameters.end_date)}.')
    if (
        parameters.max_observations is not None
        and (history.count(Outcome.SUCCEEDED) + history.count(Outcome.WAITING)) >= parameters.max_observations
    ):
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


def _failed(parameters: Parameters, history: History) -> str:
    """Which limit of failures is reached, in words; empty for none."""
    failures, most = history.consecutive_failures, parameters.max_consecutive_failures
    if most is not None and failures >= most:
        return f'{failures} observations in a row failed or were refused; the limit is {most}.'
    errors, most = history.errors, parameters.max_errors
    if most is not None and errors >= most:
        return f'{errors} observations in a row failed or were refused, windows that merely ended not counted; the limit is {most}.'
    nights, most = history.lost_nights, parameters.max_nights_without_success
    if most is not None and nights >= most:
        return f'No observation succeeded, although one was asked for in {nights} nights; the limit is {most}.'
    return ''


def _paused(history: History, now: datetime, last_refusal: datetime | None) -> Wait | None:
    if not history.refusals or last_refusal is None:
        return None
    pause = min(REFUSED_PAUSE * 2 ** min(history.refusals - 1, 10), LONGEST_PAUSE)
    if now >= last_refusal + pause:
        return None
    return Wait(reason=f'The last request was refused; it is tried again after {show(last_refusal + pause)}.')
