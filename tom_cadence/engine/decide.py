"""The decision about one cadence: what its strategy says, inside what the engine allows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tom_cadence import conf
from tom_cadence.core import policy
from tom_cadence.core.decisions import Decision, Stop, Submit, Wait
from tom_cadence.core.policy import Limits
from tom_cadence.engine.snapshot import Looked, last_refusal
from tom_cadence.exceptions import Credentials
from tom_cadence.facilities import Status
from tom_cadence.models import Submission
from tom_cadence.strategies.base import CadenceStrategy


def runs_itself(strategy: Any) -> bool:
    """Whether this strategy overrides ``run`` as the toolkit's tutorial does, so that it calls the facility itself."""
    if strategy is None:
        return False
    return not isinstance(strategy, CadenceStrategy) or type(strategy).run is not CadenceStrategy.run


def decide(item: Looked, now: datetime) -> Decision:
    """Wait, submit or stop; never raises, whatever the strategy, the rows or the facility's class do."""
    return policy.contained(lambda: _decide(item, now))


def _decide(item: Looked, now: datetime) -> Decision:
    early = _before_the_strategy(item, now)
    if early is not None:
        return early
    if runs_itself(item.strategy):
        return Wait(reason='The strategy decides in its own run().')
    decision = policy.ask(item.strategy, item.history, now)
    return _unanswered(item, decision) or _limited(item, decision, now)


def first_to_send(item: Looked) -> Submission | None:
    """The request for the first observation of a cadence that has none, where that never arrived: it has to be sent again."""
    if item.rows or item.open_request is not None:
        return None
    first = next((each for each in reversed(item.requests) if each.origin in Submission.FIRST), None)
    return first if first is not None and first.state == Submission.State.REFUSED and not first.counts_as_failure else None


def _before_the_strategy(item: Looked, now: datetime) -> Decision | None:
    if item.trouble:
        return Stop(reason=item.trouble, kind='attention')
    if first_to_send(item) is not None:
        return Wait(reason='The first observation never arrived: it is sent again.')
    if not item.rows and not runs_itself(item.strategy):
        if now < item.managed.host.created + conf.seconds('EMPTY_GROUP_GRACE'):
            return Wait(reason='This cadence has no observation yet.')
        return Stop(reason='The observation group of this cadence is empty: there is nothing to repeat.', kind='attention')
    if item.managed.owner is None:
        reason = (
            'Nobody owns this cadence: no observation in its group has a user. Choose an owner on its page, or name one for all '
            "such cadences in TOM_CADENCE['DEFAULT_OWNER']; then resume it."
        )
        return Stop(reason=reason, kind='attention')
    if not item.managed.owner.is_active:
        return Stop(reason=f'The owner, {item.managed.owner}, is not active any more.', kind='attention')
    return _overdue(item, now)


def _overdue(item: Looked, now: datetime) -> Stop | None:
    """A facility that does not answer, or an observation that does not end, is a matter for a person."""
    limit = conf.seconds('OVERDUE_TIME')
    since = item.managed.unreachable_since
    if since is not None and now >= since + limit and unreachable(item):
        hours = limit.total_seconds() / 3600
        return Stop(reason=f'{item.managed.facility} could not be asked for {hours:g} h: {unreachable(item)}', kind='attention')
    return policy.overdue(item.history, now, limit, lambda record: isinstance(item.polled.get(record), Status))


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


def _unanswered(item: Looked, decision: Decision) -> Decision | None:
    """A wait for an observation whose state could not be asked for says so; what is answered already is not answered again."""
    if isinstance(decision, Wait):
        problem = unreachable(item)
        return Wait(reason=problem) if problem else None
    return policy.answered_before(decision, item.history)


def _limited(item: Looked, decision: Decision, now: datetime) -> Decision:
    limits = Limits(
        parameters=item.parameters,
        start_lead=conf.seconds('START_LEAD'),
        last_refusal=last_refusal(item),
        sky=item.around.sky if item.around else None,
    )
    return policy.limited(decision, item.history, now, limits)


def cause(item: Looked, decision: Submit) -> str:
    """What the request is called: by the record it follows, unique in the whole TOM, or within its cadence."""
    if decision.follows:
        return f'record:{min(decision.follows)}'
    return f'cadence:{item.managed.host_cadence_id}:{decision.cause}'[:200]


def attempt_number(item: Looked, name: str) -> int:
    """Which try this is for the same cause."""
    return 1 + sum(request.cause == name and request.state == Submission.State.REFUSED for request in item.requests)
