"""The decision about one cadence: what its strategy says, inside what the engine allows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tom_cadence import conf
from tom_cadence.decisions import Decision, Stop, Submit, Wait
from tom_cadence.exceptions import CadenceError, Credentials
from tom_cadence.facilities.exposure import exposure_seconds
from tom_cadence.history import Attempt, Outcome
from tom_cadence.limits import enforce
from tom_cadence.models import Submission
from tom_cadence.runner.nonsense import nonsense
from tom_cadence.runner.read import Looked, last_refusal
from tom_cadence.strategies.base import CadenceStrategy


def runs_itself(strategy: Any) -> bool:
    """Whether this strategy overrides ``run`` as the toolkit's tutorial does, so that it calls the facility itself."""
    if strategy is None:
        return False
    return not isinstance(strategy, CadenceStrategy) or type(strategy).run is not CadenceStrategy.run


def decide(item: Looked, now: datetime) -> Decision:
    """Wait, submit or stop; never raises, whatever the strategy does."""
    early = _before_the_strategy(item, now)
    if early is not None:
        return early
    if runs_itself(item.strategy):
        return Wait(reason='The strategy decides in its own run().')
    decision = _ask(item, now)
    return _unanswered(item, decision) or _limited(item, decision, now)


def _before_the_strategy(item: Looked, now: datetime) -> Decision | None:
    if item.trouble:
        return Stop(reason=item.trouble, kind='attention')
    if not item.rows and not runs_itself(item.strategy):
        if now < item.managed.host.created + conf.seconds('EMPTY_GROUP_GRACE'):
            return Wait(reason='This cadence has no observation yet.')
        return Stop(reason='The observation group of this cadence is empty: there is nothing to repeat.', kind='attention')
    if item.managed.owner is None:
        return Stop(reason='Nobody owns this cadence: no observation in its group has a user.', kind='attention')
    if not item.managed.owner.is_active:
        return Stop(reason=f'The owner, {item.managed.owner}, is not active any more.', kind='attention')
    return _overdue(item, now)


def _overdue(item: Looked, now: datetime) -> Stop | None:
    """A cadence must not wait silently for an observation that nobody will ever finish."""
    limit = conf.seconds('OVERDUE_TIME')
    hours = limit.total_seconds() / 3600
    since = item.managed.unreachable_since
    if since is not None and now >= since + limit and unreachable(item):
        return Stop(reason=f'{item.managed.facility} could not be asked for {hours:g} h: {unreachable(item)}', kind='attention')
    for attempt in item.history.waiting:
        if attempt.window is not None and now >= attempt.window.end + limit and attempt.record in item.polled:
            reason = (
                f'Observation {attempt.observation_id} is still {attempt.status or "without a state"} {hours:g} h after the end '
                'of its window.'
            )
            return Stop(reason=reason, kind='attention')
    return None


def unreachable(item: Looked) -> str:
    """Why an unfinished observation could not be asked for in this run, or an empty text."""
    for attempt in item.history.waiting:
        answer = item.polled.get(attempt.record)
        if isinstance(answer, Exception):
            return str(answer)
    return ''


def credentials_problem(item: Looked) -> Credentials | None:
    """The facility's refusal of the owner's credentials, where it said so in this run."""
    return item.credentials or next((answer for answer in item.polled.values() if isinstance(answer, Credentials)), None)


def _ask(item: Looked, now: datetime) -> Decision:
    name = type(item.strategy).__name__
    try:
        decision = item.strategy.decide(item.history, now)
    except CadenceError as error:
        return Stop(reason=str(error), kind='attention')
    except Exception as error:  # a strategy is the site's code: its errors belong to its cadence alone
        return Stop(reason=f'The strategy {name} failed: {type(error).__name__}: {error}', kind='attention')
    problem = nonsense(decision, {attempt.record for attempt in item.history.attempts})
    return Stop(reason=f'The strategy {name} {problem}', kind='attention') if problem else decision


def _unanswered(item: Looked, decision: Decision) -> Decision | None:
    """A wait for an observation whose state could not be asked for says so; what is answered already is not answered again."""
    if isinstance(decision, Wait):
        problem = unreachable(item)
        return Wait(reason=problem) if problem else None
    if isinstance(decision, Submit):
        taken = item.history.answered.intersection(decision.follows)
        if taken:
            return Stop(
                reason=f'Observation record {min(taken)} was followed already, but what followed it is not in the group any more.',
                kind='attention',
            )
    return None


def _limited(item: Looked, decision: Decision, now: datetime) -> Decision:
    used, more = None, None
    if isinstance(decision, Submit) and item.parameters.max_exposure_time is not None:
        spent = [exposure_seconds(a.parameters) for a in item.history.attempts if _counts(a)]
        like = next(attempt for attempt in item.history.attempts if attempt.record == decision.like)
        used = None if None in spent else sum(seconds for seconds in spent if seconds is not None)
        more = exposure_seconds({**like.parameters, **decision.changes})
    return enforce(
        decision,
        item.parameters,
        item.history,
        now,
        start_lead=conf.seconds('START_LEAD'),
        last_refusal=last_refusal(item),
        exposure=used,
        next_exposure=more,
    )


def _counts(attempt: Attempt) -> bool:
    return attempt.outcome in (Outcome.SUCCEEDED, Outcome.WAITING)


def cause(item: Looked, decision: Submit) -> str:
    """What the request is called: by the record it follows, unique in the whole TOM, or within its cadence."""
    if decision.follows:
        return f'record:{min(decision.follows)}'
    return f'cadence:{item.managed.host_cadence_id}:{decision.cause}'[:200]


def attempt_number(item: Looked, name: str) -> int:
    """Which try this is for the same cause."""
    return 1 + sum(request.cause == name and request.state == Submission.State.REFUSED for request in item.requests)
