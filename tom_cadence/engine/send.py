"""Sending observation requests once: the call, what came of it, the look-up of a lost reply; and a cadence's turn under its claim.

The first part is the same for a cadence's next observation, its first one, a template's target, and what a person asks for in
the host's form or over REST. A request is committed before (``journal``); who may judge an open one is said by whoever calls: a
cadence's by its claim, any other one's when its call is over for everybody (``is_over``).
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from tom_cadence import conf, journal
from tom_cadence.core.decisions import Decision, Submit, Wait
from tom_cadence.core.policy import Instead
from tom_cadence.core.windows import Window
from tom_cadence.engine import snapshot
from tom_cadence.engine.containment import is_lost
from tom_cadence.engine.context import read_context_of
from tom_cadence.engine.decide import attempt_number, cause, decided
from tom_cadence.engine.stages import Decided, Known, Polled, Snapshot
from tom_cadence.exceptions import (
    BadWindow,
    CadenceError,
    ChangeNeeded,
    Credentials,
    LostClaim,
    NeedsAttention,
    NotYet,
    Refused,
    Temporary,
    Uncertain,
)
from tom_cadence.facilities import Facilities, Gateway, Prepared
from tom_cadence.facilities.calls import NotAsked
from tom_cadence.facilities.forms import of_target
from tom_cadence.facilities.marks import Sought, sought
from tom_cadence.facilities.movement import Verdict, movement
from tom_cadence.facilities.transport import without_connection
from tom_cadence.journal import Claim, Intent, Reply
from tom_cadence.journal.claims import claim_time
from tom_cadence.models import ManagedCadence, Submission
from tom_cadence.permissions import visible_targets
from tom_followup.clock import monotonic_seconds
from tom_followup.failpoints import CadencePoint, reach

logger = logging.getLogger(__name__)
NOT_BOOKED = (Temporary, Refused, Credentials, NeedsAttention)
"""Errors of a call after which nothing is booked."""


def patience() -> float:
    """Until when a request whose intent is committed now may be sent; a process that slept longer leaves it to others."""
    return monotonic_seconds() + conf.get('FACILITY_TIMEOUT') / 2


class AlreadyBooked(list[str]):
    """The ids of what was at the facility already, before anything was sent."""


def call_for(gateway: Gateway, payload: Any, last: float, mark: str = '', now: datetime | None = None) -> Callable[[], list[str]]:
    """The call itself. A process that slept too long after its intent sends nothing: others may have judged the request since.

    With a ``mark`` the facility is asked for it first, where it can be: a TOM brought back from a backup, or a copy of it, has
    forgotten what it booked. What is there is not sent.
    """

    def held_up() -> None:
        if monotonic_seconds() > last:
            raise Temporary('This process was held up before sending, so it did not send.')

    def submit() -> list[str]:
        held_up()
        if mark and now is not None and gateway.can_look_up:
            there = found_before(gateway, sought(mark, now, payload))
            if there:
                return AlreadyBooked(there)
            held_up()
        reach(CadencePoint.SENDING)
        return gateway.submit(payload)

    return submit


def found_before(gateway: Gateway, what: Sought) -> list[str]:
    """What is there already before anything is sent.

    Raises what asking raises, but for a facility to which there is no connection at all: then the order says so itself, and is
    proven not to have left.
    """
    try:
        return gateway.find(what)
    except Temporary as error:
        if error.__cause__ is None or not without_connection(error.__cause__):
            raise
        return []


def conclude(
    request: Submission, ids: Any, error: BaseException | None, known: frozenset[str], reason: str, now: datetime
) -> list[ObservationRecord] | None:
    """Record what came of a call; None where nobody knows it, and it has to be looked up.

    Raises the Temporary, Refused, Credentials or NeedsAttention after which nothing is booked, and the NeedsAttention of
    ``journal.accept``.
    """
    reach(CadencePoint.REPLIED)
    if error is None:
        journal.keep_replies([(request, ids)])
        if isinstance(ids, AlreadyBooked):
            reason = f'It was at {request.facility} already, and was not sent again; its window may be another one than here.'
        return journal.accept(request, ids, known, reason, now)
    if not isinstance(error, Exception):
        raise error
    if isinstance(error, NotAsked):
        error = Temporary(str(error))
    if isinstance(error, NOT_BOOKED):
        # With the season, or when a person asks for something else: for a cadence no failure, and its first is sent again then.
        passes = isinstance(error, (NotYet, ChangeNeeded)) and request.managed is not None
        counts = isinstance(error, (Refused, NeedsAttention)) and not passes
        journal.refuse(request, str(error), now, counts=counts)
        raise error
    text = str(error) if isinstance(error, CadenceError) else f'It is not known whether {request.facility} booked it: {error}'
    journal.mark_uncertain(request, text, now)
    request.state, request.message, request.closed = Submission.State.UNCERTAIN, text, now
    return None


def look_up(
    request: Submission, facilities: Facilities, now: datetime, known: frozenset[str] = frozenset()
) -> list[ObservationRecord] | None:
    """Find out what became of an open request whose call is over; None where it never arrived, and is closed by us or by others.

    Raises Uncertain while "not found" is not believed yet, NeedsAttention where the facility cannot be asked, and what asking
    raises.
    """
    if request.origin == Submission.Origin.OWN_RUN:
        journal.mark_uncertain(request, 'The strategy was interrupted in its own run().', now)
        made = journal.made_since(request)
        if made:  # it had come so far as to record them: whoever is asked must not take them for others, and ask again
            journal.adopt_records(request, made, request.owner, now)
            ids = ', '.join(record.observation_id for record in made)
            raise NeedsAttention(
                f'The strategy was interrupted in its own run() after it had asked for {ids}: look at the facility whether any '
                'is missing here, then resume the cadence.'
            )
        raise NeedsAttention('The strategy was interrupted in its own run(): look at the facility whether it asked for something.')
    if request.reply:
        return journal.accept(request, request.reply, known, f'{request.facility} had answered; recorded now.', now)
    journal.mark_uncertain(request, f'The reply of {request.facility} was lost.', now)
    request.refresh_from_db(fields=['state'])
    if request.state not in Submission.OPEN:  # others have judged it since: what is there with its mark may be theirs
        accepted = request.state == Submission.State.ACCEPTED
        return list(ObservationRecord.objects.filter(booking__submission=request)) if accepted else None
    if request.owner is None:  # another account might not be shown it
        raise NeedsAttention(
            f'It is not known whether {request.facility} booked the request of {request.created:%Y-%m-%d %H:%M} UTC, and whoever '
            'sent it was deleted, so it cannot be looked up. Say whether it is there, or send it again.'
        )
    gateway = facilities.gateway(request.facility, request.owner)
    if not gateway.can_look_up:
        raise NeedsAttention(
            f'It is not known whether {request.facility} booked the request of {request.created:%Y-%m-%d %H:%M} UTC, and it '
            'cannot be asked. Say whether it is there, or send it again.'
        )
    window = Window(start=request.window_start, end=request.window_end) if request.window_start and request.window_end else None
    try:
        found = gateway.find(sought(request.token, request.created, request.parameters, window, thorough=True))
    except CadenceError as error:  # one after the other is looked up, so one that does not answer is not asked for all of them
        facilities.breaker.hear(gateway.name, error)
        raise
    reach(CadencePoint.LOOKED_UP)
    if found:
        return journal.accept(request, found, known, found_at(request), now)
    if now < settled(request):
        raise Uncertain(
            f'A request to {request.facility} got no reply and is not there yet: it is looked up again before any other is sent.'
        )
    text = f'It never arrived at {request.facility}: looked up after {conf.get("SETTLE_TIME")} s.'
    journal.refuse(request, text, now, counts=False)
    return None


def found_at(request: Submission) -> str:
    """What is said of a request that was found."""
    return f'The reply was lost; found at {request.facility}.'


def settled(request: Submission) -> datetime:
    """From when "not found" is believed: the call must be over for everybody, and the facility have had its time."""
    ended = request.closed or request.created
    return max(ended, request.created + conf.seconds('FACILITY_TIMEOUT')) + conf.seconds('SETTLE_TIME')


def is_over(request: Submission, now: datetime) -> bool:
    """Whether the call of a request that no claim guards is over for everybody, so that it may be judged."""
    return request.state != Submission.State.SENDING or now >= request.created + 2 * conf.seconds('FACILITY_TIMEOUT')


def look_up_open(requests: Any, facilities: Facilities, now: datetime) -> None:
    """Find out what became of those of these open requests that no cadence has; each stands alone."""
    for request in requests.filter(state__in=Submission.OPEN, managed=None).select_related('owner', 'managed').order_by('pk'):
        if not is_over(request, now):
            continue
        try:
            look_up(request, facilities, now)
        except NeedsAttention as error:
            journal.tell_uncertain(request, str(error), now)
        except CadenceError as error:
            logger.info('A request stays unknown', extra={'event': 'still_unknown', 'submission': request.pk, 'error': str(error)})
        except Exception as error:  # of a site's hook or class: this request stays open, the others are looked up
            if is_lost(error):
                raise
            logger.exception('A request could not be looked up', extra={'event': 'look_up_error', 'submission': request.pk})


# --- a cadence, under its claim ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Sending:
    """A request on its way: everything needed to record the reply."""

    decided: Decided
    claimed: Claim
    submission: Submission
    function: Callable[[], list[str]]

    @property
    def reason(self) -> str:
        """Why it is sent."""
        return self.decided.decision.reason


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A cadence that is ours, read again; ``at`` is when it was claimed, in seconds of ``monotonic_seconds``."""

    known: Known
    claimed: Claim
    at: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """A request that may be sent as soon as its intent is committed."""

    decided: Decided
    taken: Taken
    intent: Intent
    gateway: Gateway
    payload: Any
    since: float = field(default_factory=time.monotonic)


def take(due: Sequence[Known]) -> list[Taken]:
    """Claim these cadences and read them again, whole; those that another process holds, or that were paused, are left out.

    What the facility said of them stays, and what was caught. Their context is seconds old, and is read again only
    where it was not read: what must be read again under the claim is what was asked for. Where reading raises, all are let go, so
    that each can be taken alone.
    """
    taken_at = monotonic_seconds()
    holder = journal.claim([known.managed.pk for known in due])
    try:
        return _read_claimed(due, holder, taken_at)
    except Exception as error:
        if not is_lost(error):
            journal.release_all(holder)
        raise


def _read_claimed(due: Sequence[Known], holder: str, taken_at: float) -> list[Taken]:
    reach(CadencePoint.CLAIMED)
    before = {known.managed.pk: known for known in due}
    prepared, claims = [], {}
    for managed in ManagedCadence.objects.select_related('cadence', 'owner').filter(pk__in=before, claim_holder=holder):
        claimed = claims[managed.pk] = Claim(managed.pk, holder)
        if managed.cadence is None or not managed.cadence.active:
            journal.release(claimed)
        else:
            prepared.append(snapshot.prepare(managed, before[managed.pk].snapshot.handed_in))
    if not prepared:
        return []
    read = snapshot.read_requests(snapshot.read_rows(prepared, full=True))
    return [Taken(known=_again(each, before[each.pk]), claimed=claims[each.pk], at=taken_at) for each in read]


def _again(read: Snapshot, before: Known) -> Known:
    polled = Polled(states=before.polled.states, late_check=read.managed.late_check)
    return Known(snapshot=read, context=None if before.snapshot.quick else before.context, polled=polled, caught=before.caught)


def settle_open(
    known: Known, request: Submission, facilities: Facilities, now: datetime
) -> tuple[Decision | None, list[ObservationRecord]]:
    """Find out what became of a request whose reply was lost. None where it is not open any more, so that the cadence goes on.

    Only called under the claim, so whoever sent it has ended, or its claim has: nobody may be sending it still.
    """
    request.managed, request.claim_number = known.managed, known.managed.claim_number
    try:
        records = look_up(request, facilities, now, known.snapshot.observation_ids)
    except Uncertain as error:
        return Wait(reason=str(error)), []
    return (None, []) if records is None else (Wait(reason=found_at(request)), records)


def with_journal_again(known: Known) -> Known:
    """The same cadence, with its requests as they are now."""
    [read] = snapshot.read_requests([known.snapshot])
    return replace(known, snapshot=read)


def decide_again(known: Known, facilities: Facilities, now: datetime) -> Decided:
    """The decision under the claim, from what was just read. Raises Credentials where the owner has none."""
    if known.context is None:
        known = replace(known, context=read_context_of(known.snapshot, facilities, now))
    item = decided(known, facilities, now)
    if item.past is not None and item.past.credentials is not None:
        raise item.past.credentials
    reach(CadencePoint.DECIDED)
    return item


def prepare(item: Decided, decision: Submit, taken: Taken, facilities: Facilities, once: RunCache, now: datetime) -> Ready:
    """Fill in the form, and make the call ready. Raises the error that says what to do instead."""
    like = next(row for row in item.snapshot.rows if row.pk == decision.like)
    gateway = facilities.gateway(like.facility, item.managed.owner)
    once.check(item.managed.owner, like.target)
    if facilities.breaker.open(gateway.name):
        raise Temporary(f'Nothing was sent: {facilities.breaker.why(gateway.name)}')
    hook = item.snapshot.strategy.update_observation_payload
    given = of_target(like.parameters or {}, like.target)
    if like.submission is None or len(item.snapshot.rows) == 1:
        _check_movement(gateway, given)
    prepared = gateway.prepare(given, decision.window, decision.changes, hook)
    _check_window(prepared, now)
    reach(CadencePoint.PREPARED)
    intent = _intent(item.snapshot, decision, gateway, prepared, once.site_key)
    return Ready(decided=item, taken=taken, intent=intent, gateway=gateway, payload=gateway.mark(prepared.payload, intent.token))


def prepare_first(first: Submission, taken: Taken, facilities: Facilities, once: RunCache, now: datetime) -> Ready:
    """A cadence's first observation again, which is not at the facility. NeedsAttention where it cannot be asked for any more."""
    owner = taken.known.managed.owner
    if owner is None or first.target_id is None or first.window_start is None or first.window_end is None:
        raise NeedsAttention('The owner, the target or the window of the first observation is not known any more.')
    once.check(owner, first.target_id)
    gateway = facilities.gateway(first.facility, owner)
    window = Window(start=first.window_start, end=first.window_end).not_before(now)
    try:
        hook = taken.known.snapshot.strategy.update_observation_payload
        parameters = Instead.of(taken.known.managed.asked_instead).over(of_target(first.parameters, first.target_id), 0)
        prepared = gateway.prepare(parameters, window, {}, hook)
        _check_window(prepared, now)
    except (NotYet, ChangeNeeded):
        raise
    except Refused as error:  # there is nothing else that could be asked for
        raise NeedsAttention(f'The first observation cannot be sent again: {error}') from error
    reach(CadencePoint.PREPARED)
    intent = Intent(
        cause=first.cause,
        facility=first.facility,
        target=first.target_id,
        owner=owner,
        parameters=prepared.parameters,
        window=prepared.window,
        origin=Submission.Origin.START,
        attempt=first.attempt + 1,
        token=journal.request_mark('anew', first.token, str(first.pk), key=once.site_key) if first.observation_ids else first.token,
        groups=list(first.groups.all()),
    )
    item = Decided(known=taken.known, decision=Wait(reason='The first observation was sent again.'))
    payload = gateway.mark(prepared.payload, intent.token)
    return Ready(decided=item, taken=taken, intent=intent, gateway=gateway, payload=payload)


def commit(ready: Sequence[Ready], now: datetime) -> list[tuple[Ready, Sending | CadenceError]]:
    """Commit these intents in one transaction: for each the call to start, or the error that says what to do instead."""
    late = monotonic_seconds() - claim_time().total_seconds()
    held_up = LostClaim('This process was held up, so it leaves the cadence to the next run.')
    in_time = [each for each in ready if each.taken.at >= late]
    last = patience()
    found = journal.open_requests([(each.decided.managed, each.taken.claimed, each.intent) for each in in_time], now)
    sent = [(each, _sending(each, opened, last)) for each, opened in zip(in_time, found, strict=True)]
    return [*sent, *((each, held_up) for each in ready if each not in in_time)]


def _sending(ready: Ready, found: Submission | CadenceError, last: float) -> Sending | CadenceError:
    if isinstance(found, CadenceError):
        return found
    function = call_for(ready.gateway, ready.payload, last, found.token, found.created)
    return Sending(decided=ready.decided, claimed=ready.taken.claimed, submission=found, function=function)


def _intent(read: Snapshot, decision: Submit, gateway: Gateway, prepared: Prepared | None, key: str = '') -> Intent:
    name = cause(read, decision)
    return Intent(
        cause=name,
        token=_mark(read, decision, gateway, name, key),
        facility=gateway.name,
        target=next(row.target for row in read.rows if row.pk == decision.like),
        owner=read.managed.owner,
        follows=decision.follows,
        like=decision.like,
        parameters=prepared.parameters if prepared else {},
        window=prepared.window if prepared else decision.window,
        attempt=attempt_number(read, name),
    )


def _mark(read: Snapshot, decision: Submit, gateway: Gateway, name: str, key: str) -> str:
    """By the facility's own numbers of what is followed, which mean the same in a backup or a copy; else by the cadence.

    Where the observation that a request booked was deleted here, and a person asked for a new one, it is another request.
    """
    ids = sorted(row.observation_id for row in read.rows if row.pk in decision.follows)
    host = read.managed
    what = ids or [f'{host.host_cadence_id} of {host.created.isoformat()}', name]
    deleted = (each for each in read.requests if each.observation_ids and each.state != Submission.State.SENDING)
    anew = sum(
        (each.cause == name and each.state == Submission.State.REFUSED) or each.cause.startswith(f'{name}:deleted:')
        for each in deleted
    )
    return journal.request_mark('follows' if ids else 'cadence', gateway.name, *what, str(anew), key=key)


def refused_at_home(read: Snapshot, decision: Submit, facilities: Facilities, message: str, now: datetime) -> None:
    """Write down a request that our own check, or the facility's form, refused before anything was sent: it counts as a failure."""
    like = next(row for row in read.rows if row.pk == decision.like)
    gateway = facilities.gateway(like.facility, read.managed.owner)
    journal.note_refused(read.managed, _intent(read, decision, gateway, None), message, now)


def _check_movement(gateway: Gateway, parameters: Mapping[str, Any]) -> None:
    """NeedsAttention where the first observation after one that was asked for elsewhere would get its window, not the next."""
    try:
        moves = movement(gateway, parameters, gateway.window(parameters))
    except BadWindow:
        return
    if moves.verdict is Verdict.STAYS:
        raise NeedsAttention(f'{moves.reason} Nothing was sent.')


def _check_window(prepared: Prepared, now: datetime) -> None:
    if prepared.window.end <= now:
        raise Refused('The observation form moved the window into the past.')


def settle(
    sending: Sending, result: Any, error: BaseException | None, facilities: Facilities, now: datetime
) -> tuple[Decision, list[ObservationRecord]]:
    """Record what came of a call: accepted, refused, or uncertain and looked up at once."""
    submission, known = sending.submission, sending.decided.known
    submission.managed = known.managed
    records = conclude(submission, result, error, known.snapshot.observation_ids, sending.reason, now)
    if records is not None:
        return Wait(reason=sending.reason), records
    decision, records = settle_open(known, submission, facilities, now)
    return decision or Wait(reason=submission.message), records


def settle_batch(replies: Sequence[tuple[Sending, list[str]]], now: datetime) -> list[list[ObservationRecord]] | None:
    """Record what was accepted at the same time, in one transaction; None where each has to be settled alone."""
    asked = []
    for sending, ids in replies:
        reach(CadencePoint.REPLIED)
        sending.submission.managed = sending.decided.managed
        known, holder = sending.decided.snapshot.observation_ids, sending.claimed.holder
        asked.append(Reply(submission=sending.submission, ids=ids, known=known, reason=sending.reason, holder=holder))
    if any(isinstance(ids, AlreadyBooked) for _, ids in replies):
        return None
    journal.keep_replies([(sending.submission, ids) for sending, ids in replies])
    return journal.accept_batch(asked, now)


def booked(sending: Sending, records: list[ObservationRecord]) -> tuple[Decision, list[ObservationRecord]]:
    """What came of a call that was accepted."""
    return Wait(reason=sending.reason), records


def orphaned(now: datetime) -> list[ManagedCadence]:
    """Cadences that are not active, and have a request whose fate is not known.

    What a strategy may still be doing in its own run() is left alone.
    """
    since = now - 2 * conf.seconds('FACILITY_TIMEOUT')
    running = Submission.objects.filter(origin=Submission.Origin.OWN_RUN, created__gt=since)
    opened = Submission.objects.filter(state__in=Submission.OPEN).exclude(pk__in=running.values('pk'))
    rows = ManagedCadence.objects.filter(pk__in=opened.values('managed')).exclude(cadence__active=True)
    return list(rows.select_related('cadence', 'owner'))


def settle_orphaned(managed: ManagedCadence, facilities: Facilities, clock: Callable[[], datetime]) -> bool:
    """Record what such a request has booked; whether anything was found. Nothing is sent."""
    claimed = journal.Claim(managed.pk, journal.claim([managed.pk]))
    managed.refresh_from_db(fields=['claim_holder', 'claim_number', 'version'])
    if managed.claim_holder != claimed.holder:
        return False
    try:
        read = Snapshot(managed=managed)
        if managed.cadence is not None:
            [read] = snapshot.read_rows([read], full=True)
        [read] = snapshot.read_requests([read])
        if read.open_request is None:
            return False
        _, records = settle_open(Known(snapshot=read), read.open_request, facilities, clock())
        return bool(records)
    except CadenceError as error:
        logger.info('%s: %s', managed, error, extra={'event': 'orphaned_request', 'cadence': managed.host_cadence_id})
        return False
    finally:
        journal.release(claimed)


def settle_without_cadence(facilities: Facilities, now: datetime) -> None:
    """Find out what became of requests that no cadence has: of templates, the observation form and the REST API."""
    look_up_open(Submission.objects.all(), facilities, now)


class RunCache:
    """What a run asks the database once: who may see which targets, and the key of this site's marks."""

    def __init__(self) -> None:
        """Nothing asked yet."""
        self._seen: dict[Any, set[int]] = defaultdict(set)

    @cached_property
    def site_key(self) -> str:
        """That of ``journal.site_key``."""
        return journal.site_key()

    def preload(self, due: Iterable[Decided]) -> None:
        """Ask for everything these cadences are about to submit: one question an owner."""
        wanted: dict[Any, set[int]] = defaultdict(set)
        for item in due:
            decision = item.decision
            if isinstance(decision, Submit):
                wanted[item.managed.owner].update(row.target for row in item.snapshot.rows if row.pk == decision.like)
        for owner, targets in wanted.items():
            self._ask(owner, targets)

    def check(self, owner: Any, target: int) -> None:
        """NeedsAttention where the owner may not see the target any more."""
        if target not in self._seen[owner.pk]:
            self._ask(owner, {target})
        if target not in self._seen[owner.pk]:
            raise NeedsAttention(f'The owner, {owner}, has no permission for the target any more.')

    def _ask(self, owner: Any, targets: set[int]) -> None:
        rows = visible_targets(owner, Target.objects.filter(pk__in=targets))
        self._seen[owner.pk].update(rows.values_list('pk', flat=True))
