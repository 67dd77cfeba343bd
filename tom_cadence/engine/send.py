"""Acting on one cadence under its claim: settle what is open, decide again, send, record."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tom_observations.models import ObservationRecord
from tom_targets.models import Target
from tom_targets.permissions import targets_for_user

from tom_cadence import conf, journal
from tom_cadence.core.decisions import Decision, Submit, Wait
from tom_cadence.engine import snapshot
from tom_cadence.engine.context import read_history
from tom_cadence.engine.decide import attempt_number, cause, decide
from tom_cadence.engine.snapshot import Looked
from tom_cadence.exceptions import CadenceError, Credentials, LostClaim, NeedsAttention, Refused, Temporary
from tom_cadence.facilities import Facilities, Gateway, Prepared
from tom_cadence.facilities.calls import NotAsked
from tom_cadence.journal import Accepted, Claim, Intent, Reply
from tom_cadence.journal.claims import claim_time
from tom_cadence.models import ManagedCadence, Submission
from tom_followup.failpoints import CadencePoint, reach

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Sending:
    """A request on its way: everything needed to record the reply."""

    item: Looked
    claimed: Claim
    submission: Submission
    reason: str
    function: Callable[[], list[str]]


@dataclass(eq=False)
class Ready:
    """A request that may be sent as soon as its intent is committed."""

    item: Looked
    claimed: Claim
    intent: Intent
    reason: str
    gateway: Gateway
    payload: Any
    since: float = field(default_factory=time.monotonic)


def take(looked: Sequence[Looked]) -> list[tuple[Claim, Looked]]:
    """Claim these cadences and read them again, whole; those that another process holds, or that were paused, are left out."""
    taken_at = time.time()
    holder = journal.claim([item.managed.pk for item in looked])
    reach(CadencePoint.CLAIMED)
    before = {item.managed.pk: item for item in looked}
    rows = ManagedCadence.objects.select_related('cadence', 'owner').filter(pk__in=before, claim_holder=holder)
    taken = []
    for managed in rows:
        claimed = Claim(managed.pk, holder)
        if managed.cadence is None or not managed.cadence.active:
            journal.release(claimed)
            continue
        item = snapshot.prepare(managed, before[managed.pk].handed_in)
        item.polled, item.late_check, item.taken_at = before[managed.pk].polled, managed.late_check, taken_at
        if not before[managed.pk].glanced:
            item.around = before[managed.pk].around  # seconds old; what must be read again under the claim is what was asked for
        taken.append((claimed, item))
    if taken:
        items = [item for _, item in taken]
        snapshot.read_rows(items, full=True)
        snapshot.read_requests(items)
    return taken


def settle_open(item: Looked, facilities: Facilities, now: datetime) -> tuple[Decision | None, list[ObservationRecord]]:
    """Find out what became of a request whose reply was lost. None where nothing is open any more, so that it goes on.

    Only called under the claim, so whoever sent it has ended, or its claim has: nobody may be sending it still.
    """
    request = item.open_request
    if request is None:
        return None, []
    request.managed, request.claim_number = item.managed, item.managed.claim_number
    if request.kind == Submission.Kind.STRATEGY:
        raise NeedsAttention('The strategy was interrupted in its own run(): look at the facility whether it asked for something.')
    journal.mark_uncertain(request, f'The reply of {request.facility} was lost.', now)
    gateway = facilities.gateway(request.facility, item.managed.owner)
    if not gateway.can_look_up:
        raise NeedsAttention(
            f'It is not known whether {request.facility} booked the request of {request.created:%Y-%m-%d %H:%M} UTC, and it '
            'cannot be asked. Say whether it is there, or send it again.'
        )
    found = gateway.find(request.token, request.created)
    reach(CadencePoint.LOOKED_UP)
    if found:
        reason = f'The reply was lost; found at {request.facility}.'
        accepted = journal.accept(request, found, _known(item), reason, now)
        _complain_about_known_ids(request.facility, accepted.again)
        return Wait(reason=reason), accepted.records
    if now < _settled(request):
        text = f'A request to {request.facility} got no reply and is not there yet: it is looked up again before any other is sent.'
        return Wait(reason=text), []
    journal.refuse(
        request,
        f'It never arrived at {request.facility}: looked up after {conf.get("SETTLE_TIME")} s.',
        now,
        counts=False,
    )
    snapshot.read_requests([item])
    return None, []


def _settled(request: Submission) -> datetime:
    """From when "not found" is believed: the call must be over for everybody, and the facility have had its time."""
    call = timedelta(seconds=conf.get('FACILITY_TIMEOUT'))
    ended = request.closed or request.created
    return max(ended, request.created + call) + conf.seconds('SETTLE_TIME')


def _known(item: Looked) -> frozenset[str]:
    return frozenset(row.observation_id for row in item.rows)


def decide_again(item: Looked, facilities: Facilities, now: datetime) -> Decision:
    """The decision under the claim, from what was just read."""
    read_history(item, facilities)
    if item.credentials is not None:
        raise item.credentials
    decision = decide(item, now)
    reach(CadencePoint.DECIDED)
    return decision


def prepare(
    item: Looked, decision: Submit, claimed: Claim, facilities: Facilities, permissions: Permissions, now: datetime
) -> Ready:
    """Fill in the form, and make the call ready. Raises the error that says what to do instead."""
    like = next(row for row in item.rows if row.pk == decision.like)
    gateway = facilities.gateway(like.facility, item.managed.owner)
    permissions.check(item.managed.owner, like.target)
    if facilities.breaker.open(gateway.name):
        raise Temporary(f'Nothing was sent: {facilities.breaker.why(gateway.name)}')
    prepared = gateway.prepare(like.parameters or {}, decision.window, decision.changes, item.strategy.update_observation_payload)
    _check_window(prepared, now)
    reach(CadencePoint.PREPARED)
    intent = _intent(item, decision, gateway, prepared)
    return Ready(item, claimed, intent, decision.reason, gateway, gateway.mark(prepared.payload, intent.token))


def commit(ready: Sequence[Ready], now: datetime) -> list[tuple[Ready, Sending | CadenceError]]:
    """Commit these intents in one transaction: for each the call to start, or the error that says what to do instead."""
    late = time.time() - claim_time().total_seconds()
    held_up = LostClaim('This process was held up, so it leaves the cadence to the next run.')
    in_time = [each for each in ready if each.item.taken_at >= late]
    last = time.time() + conf.get('FACILITY_TIMEOUT') / 2
    found = journal.open_requests([(each.item.managed, each.claimed, each.intent) for each in in_time], now)
    sent = [(each, _sending(each, opened, last)) for each, opened in zip(in_time, found, strict=True)]
    return [*sent, *((each, held_up) for each in ready if each not in in_time)]


def _sending(ready: Ready, found: Submission | CadenceError, last: float) -> Sending | CadenceError:
    if isinstance(found, CadenceError):
        return found
    return Sending(ready.item, ready.claimed, found, ready.reason, _send(ready.gateway, ready.payload, last))


def _intent(item: Looked, decision: Submit, gateway: Gateway, prepared: Prepared | None) -> Intent:
    name = cause(item, decision)
    return Intent(
        cause=name,
        facility=gateway.name,
        target=next(row.target for row in item.rows if row.pk == decision.like),
        owner=item.managed.owner,
        follows=decision.follows,
        like=decision.like,
        parameters=prepared.parameters if prepared else {},
        window=prepared.window if prepared else decision.window,
        attempt=attempt_number(item, name),
    )


def refused_at_home(item: Looked, decision: Submit, facilities: Facilities, message: str, now: datetime) -> None:
    """Write down a request that our own check, or the facility's form, refused before anything was sent: it counts as a failure."""
    like = next(row for row in item.rows if row.pk == decision.like)
    gateway = facilities.gateway(like.facility, item.managed.owner)
    journal.note_refused(item.managed, _intent(item, decision, gateway, None), message, now)


def _check_window(prepared: Prepared, now: datetime) -> None:
    if prepared.window.end <= now:
        raise Refused('The observation form moved the window into the past.')


def _send(gateway: Gateway, payload: Any, last: float) -> Callable[[], list[str]]:
    """The call itself. A process that slept too long after its intent sends nothing: others may have judged the request since."""

    def send() -> list[str]:
        if time.time() > last:
            raise Temporary('This process was held up before sending, so it did not send.')
        reach(CadencePoint.SENDING)
        return gateway.submit(payload)

    return send


def settle(
    sending: Sending, result: Any, error: BaseException | None, facilities: Facilities, now: datetime
) -> tuple[Decision, list[ObservationRecord]]:
    """Record what came of a call: accepted, refused, or uncertain and looked up at once."""
    reach(CadencePoint.REPLIED)
    submission, item = sending.submission, sending.item
    submission.managed = item.managed
    if error is not None and not isinstance(error, Exception):
        raise error
    if error is None:
        return booked(sending, journal.accept(submission, result, _known(item), sending.reason, now))
    if isinstance(error, NotAsked):
        error = Temporary(str(error))
    if isinstance(error, (Temporary, Refused, Credentials)):
        journal.refuse(submission, str(error), now, counts=isinstance(error, Refused))
        raise error
    text = str(error) if isinstance(error, CadenceError) else f'It is not known whether {submission.facility} booked it: {error}'
    journal.mark_uncertain(submission, text, now)
    item.requests = [submission]
    submission.state = Submission.State.UNCERTAIN
    decision, records = settle_open(item, facilities, now)
    return decision or Wait(reason=text), records


def settle_together(replies: Sequence[tuple[Sending, list[str]]], now: datetime) -> list[Accepted] | None:
    """Record what was accepted at the same time, in one transaction; None where each has to be settled alone."""
    asked = []
    for sending, ids in replies:
        reach(CadencePoint.REPLIED)
        sending.submission.managed = sending.item.managed
        known, holder = _known(sending.item), sending.claimed.holder
        asked.append(Reply(submission=sending.submission, ids=ids, known=known, reason=sending.reason, holder=holder))
    return journal.accept_together(asked, now)


def booked(sending: Sending, accepted: Accepted) -> tuple[Decision, list[ObservationRecord]]:
    """What came of a call that was accepted; NeedsAttention where it answered with what was recorded before."""
    _complain_about_known_ids(sending.submission.facility, accepted.again)
    return Wait(reason=sending.reason), accepted.records


def _complain_about_known_ids(facility: str, again: list[str]) -> None:
    if again:
        raise NeedsAttention(f'{facility} answered with an observation that is already recorded in this TOM: {", ".join(again)}.')


def settle_leftovers(facilities: Facilities, clock: Callable[[], datetime]) -> list[Looked]:
    """Record what such requests have booked; the cadences of which something was found. Nothing is sent."""
    rows = ManagedCadence.objects.filter(submissions__state__in=Submission.OPEN, submissions__kind=Submission.Kind.ENGINE)
    found = []
    for managed in rows.exclude(cadence__active=True).select_related('cadence', 'owner').distinct():
        claimed = journal.Claim(managed.pk, journal.claim([managed.pk]))
        managed.refresh_from_db(fields=['claim_holder', 'claim_number', 'version'])
        if managed.claim_holder != claimed.holder:
            continue
        item = Looked(managed=managed)
        try:
            if _settle(item, facilities, clock()):
                found.append(item)
        except CadenceError as error:
            logger.info('%s: %s', managed, error, extra={'event': 'leftover_request', 'cadence': managed.host_cadence_id})
        finally:
            journal.release(claimed)
    return found


def _settle(item: Looked, facilities: Facilities, now: datetime) -> bool:
    if item.managed.cadence is not None:
        snapshot.read_rows([item], full=True)
    snapshot.read_requests([item])
    _, records = settle_open(item, facilities, now)
    return bool(records)


class Permissions:
    """Answers of one run."""

    def __init__(self) -> None:
        """Nothing asked yet."""
        self._seen: dict[Any, set[int]] = defaultdict(set)

    def preload(self, due: Iterable[Looked]) -> None:
        """Ask for everything these cadences are about to submit: one question an owner."""
        wanted: dict[Any, set[int]] = defaultdict(set)
        for item in due:
            decision = item.decision
            if isinstance(decision, Submit):
                wanted[item.managed.owner].update(row.target for row in item.rows if row.pk == decision.like)
        for owner, targets in wanted.items():
            self._ask(owner, targets)

    def check(self, owner: Any, target: int) -> None:
        """NeedsAttention where the owner may not see the target any more."""
        if target not in self._seen[owner.pk]:
            self._ask(owner, {target})
        if target not in self._seen[owner.pk]:
            raise NeedsAttention(f'The owner, {owner}, has no permission for the target any more.')

    def _ask(self, owner: Any, targets: set[int]) -> None:
        rows = targets_for_user(owner, Target.objects.filter(pk__in=targets), 'view_target')
        self._seen[owner.pk].update(rows.values_list('pk', flat=True))
