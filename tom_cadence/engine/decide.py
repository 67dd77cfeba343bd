"""The decision about one cadence: what its strategy says, inside what the engine allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tom_cadence import conf
from tom_cadence.core import policy
from tom_cadence.core.bounds import bounded_text, error_text
from tom_cadence.core.decisions import Decision, Stop, Submit, Wait
from tom_cadence.core.history import Attempt, History
from tom_cadence.core.policy import Instead, Limits, Postponed
from tom_cadence.engine.context import NOTHING
from tom_cadence.engine.snapshot import attempt_of, recent_refusals
from tom_cadence.engine.stages import Decided, Known, ReadHistory, Snapshot, unreachable
from tom_cadence.exceptions import CadenceError, Credentials
from tom_cadence.facilities import Facilities, Gateway, Status
from tom_cadence.models import ManagedCadence, Submission
from tom_cadence.strategies.base import CadenceStrategy


def decided(known: Known, facilities: Facilities, now: datetime, before: Decided | None = None) -> Decided:
    """The cadence with the decision about it; never raises. ``before`` is what was decided of it earlier in this run."""
    past = ReadHistory(trouble=known.trouble) if known.trouble else history_of(known, facilities, before)
    return Decided(known=known, past=past, decision=decide(known, past, now))


def history_of(known: Known, facilities: Facilities, before: Decided | None = None) -> ReadHistory:
    """The cadence's history as its strategy sees it, or why a facility cannot be asked at all."""
    snapshot, context = known.snapshot, known.context or NOTHING
    if context.trouble:
        return ReadHistory(trouble=known.trouble or context.trouble)
    try:
        gateways = {name: facilities.gateway(name, snapshot.managed.owner) for name in {row.facility for row in snapshot.rows}}
        attempts = _attempts(known, gateways, before)
        by_hand = frozenset(name for name, gateway in gateways.items() if gateway.states_by_hand)
    except Credentials as error:
        return ReadHistory(trouble=known.trouble or str(error), credentials=error)
    except Exception as error:  # a facility class is the site's code: its errors belong to its cadences alone
        return ReadHistory(trouble=known.trouble or (bounded_text(error) if isinstance(error, CadenceError) else error_text(error)))
    on_cancel = snapshot.parameters.on_cancel
    states = Submission.State
    answers = [request for request in snapshot.requests if request.state in (states.SENDING, states.UNCERTAIN, states.ACCEPTED)]
    history = History(
        attempts=attempts,
        answered=frozenset(pk for request in answers for pk in request.follows),
        refusals=len(recent_refusals(snapshot)),
        resubmit_cancelled=bool(conf.get('RESUBMIT_CANCELLED')) if on_cancel == 'default' else on_cancel == 'resubmit',
        skips_cancelled=on_cancel == 'skip',
        ignore_before=snapshot.managed.ignore_before,
        photometry=context.photometry,
        looks=context.answers,
    )
    return ReadHistory(history=history, trouble=known.trouble, by_hand=by_hand)


def _attempts(known: Known, gateways: Mapping[str, Gateway], before: Decided | None) -> tuple[Attempt, ...]:
    """Those of the records; made anew only where the facility has said something since."""
    rows, states = known.snapshot.rows, known.polled.states
    made: Sequence[Attempt | None] = (None,) * len(rows)
    if before is not None and before.snapshot.rows is rows and before.history.attempts:
        old = before.known.polled.states
        made = [
            attempt if states.get(row.pk) is old.get(row.pk) else None
            for row, attempt in zip(rows, before.history.attempts, strict=True)
        ]
    return tuple(
        attempt or attempt_of(row, gateways[row.facility], states.get(row.pk)) for row, attempt in zip(rows, made, strict=True)
    )


def runs_itself(strategy: Any) -> bool:
    """Whether this strategy overrides ``run`` as the toolkit's tutorial does, so that it calls the facility itself."""
    if strategy is None:
        return False
    return not isinstance(strategy, CadenceStrategy) or type(strategy).run is not CadenceStrategy.run


def decide(known: Known, past: ReadHistory, now: datetime) -> Decision:
    """Wait, submit or stop; never raises, whatever the strategy, the rows or the facility's class do."""
    return policy.stop_on_error(lambda: _decide(known, past, now))


def _decide(known: Known, past: ReadHistory, now: datetime) -> Decision:
    early = _before_the_strategy(known, past, now)
    if early is not None:
        return early
    if runs_itself(known.snapshot.strategy):
        return Wait(reason='The strategy decides in its own run().')
    decision = policy.ask_strategy(known.snapshot.strategy, past.history, now)
    return _unanswered(known, past, decision, now) or _limited(known, past.history, decision, now)


def first_to_send(snapshot: Snapshot) -> Submission | None:
    """The request for the first observation of a cadence that has none, where that never arrived: it has to be sent again."""
    if snapshot.rows or snapshot.open_request is not None:
        return None
    first = next((each for each in reversed(snapshot.requests) if each.origin in Submission.FIRST), None)
    return first if first is not None and first.state == Submission.State.REFUSED and not first.counts_as_failure else None


def _before_the_strategy(known: Known, past: ReadHistory, now: datetime) -> Decision | None:
    snapshot, managed = known.snapshot, known.managed
    if past.trouble:
        return Stop(reason=past.trouble, kind='attention')
    if first_to_send(snapshot) is not None:
        return Wait(reason='The first observation never arrived: it is sent again.')
    if not snapshot.rows and not runs_itself(snapshot.strategy):
        if now < managed.host.created + conf.seconds('EMPTY_GROUP_GRACE'):
            return Wait(reason='This cadence has no observation yet.')
        return Stop(reason='The observation group of this cadence is empty: there is nothing to repeat.', kind='attention')
    if managed.owner is None:
        reason = (
            'Nobody owns this cadence: no observation in its group has a user. Choose an owner on its page, or name one for all '
            "such cadences in TOM_CADENCE['DEFAULT_OWNER']; then resume it."
        )
        return Stop(reason=reason, kind='attention')
    if not managed.owner.is_active:
        return Stop(reason=f'The owner, {managed.owner}, is not active any more.', kind='attention')
    return _overdue(known, past.history, now)


def _overdue(known: Known, history: History, now: datetime) -> Stop | None:
    """A facility that does not answer, or an observation that does not end, is a matter for a person."""
    limit = conf.seconds('OVERDUE_TIME')
    since = known.managed.unreachable_since
    if since is not None and now >= since + limit and (problem := unreachable(known.polled, history)):
        hours = limit.total_seconds() / 3600
        return Stop(reason=f'{known.managed.facility} could not be asked for {hours:g} h: {problem}', kind='attention')
    return policy.overdue(history, now, limit, lambda record: isinstance(known.polled.states.get(record), Status))


def _unanswered(known: Known, past: ReadHistory, decision: Decision, now: datetime) -> Decision | None:
    """A wait for an observation whose state could not be asked for says so; what is answered already is not answered again."""
    if isinstance(decision, Wait):
        problem = unreachable(known.polled, past.history) or past.untold(now)
        return Wait(reason=problem) if problem else None
    return policy.answered_before(decision, past.history)


def _limited(known: Known, history: History, decision: Decision, now: datetime) -> Decision:
    if not isinstance(decision, Submit):  # most decisions are waits, and nothing limits those
        return decision
    limits = Limits(
        parameters=known.snapshot.parameters,
        start_lead=conf.seconds('START_LEAD'),
        last_refusal=last_refusal(known.snapshot),
        sky=known.context.sky if known.context else None,
        postponed=postponed(known.managed),
        instead=Instead.of(known.managed.asked_instead),
    )
    return policy.limited(decision, history, now, limits)


def postponed(managed: ManagedCadence) -> Postponed | None:
    """Until when its facility is not asked again, and why; it may be over."""
    until = managed.postponed_until
    return Postponed(until=until, reason=managed.postponed_reason) if until is not None else None


def last_refusal(snapshot: Snapshot) -> datetime | None:
    """When the last refusal that counts came."""
    return max((request.closed or request.created for request in recent_refusals(snapshot)), default=None)


def cause(snapshot: Snapshot, decision: Submit) -> str:
    """What the request is called: by the record it follows, unique in the whole TOM, or within its cadence."""
    if decision.follows:
        return f'record:{min(decision.follows)}'
    return f'cadence:{snapshot.managed.host_cadence_id}:{decision.cause}'[:200]


def attempt_number(snapshot: Snapshot, name: str) -> int:
    """Which try this is for the same cause."""
    return 1 + sum(request.cause == name and request.state == Submission.State.REFUSED for request in snapshot.requests)
