"""What became of an observation request: accepted, refused or uncertain."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from guardian.shortcuts import assign_perm, get_groups_with_perms
from tom_observations.models import ObservationGroup, ObservationRecord

from tom_cadence.core.windows import Window
from tom_cadence.exceptions import CadenceError, LostClaim, NeedsAttention
from tom_cadence.journal.claims import FEW, Claim, expiry
from tom_cadence.journal.log import note
from tom_cadence.journal.states import resume
from tom_cadence.models import Booking, CadenceRun, ManagedCadence, Submission, make_token
from tom_followup.failpoints import CadencePoint, reach
from tom_followup.retry import until_written

logger = logging.getLogger(__name__)
State = Submission.State
_SAID = ('status', 'scheduled_start', 'scheduled_end', 'modified')
"""What a change of state writes: whatever a person edits in the meantime stays edited."""
PERMISSIONS = ('view_observationrecord', 'change_observationrecord', 'delete_observationrecord')


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What was recorded, and which ids of the reply this TOM had recorded before (of another request)."""

    records: list[ObservationRecord] = field(default_factory=list)
    again: list[str] = field(default_factory=list)


def accept(submission: Submission, ids: Sequence[str], known: frozenset[str], reason: str, now: datetime) -> Accepted:
    """Record what the facility booked: records, group, owner, permissions, in one transaction. Never gives up on a busy database.

    ``known`` are the ids already recorded in the group. A claim that was lost meanwhile does not matter: what was
    booked is recorded. A hook or signal of the site that raises does not undo it.
    """
    try:
        accepted = until_written(lambda: _accept(submission, ids, known, reason, now, plainly=False))
    except Exception:
        logger.exception(
            'Recording again without the hooks of this site', extra={'event': 'accept_plainly', 'request': submission.pk}
        )
        taken = Booking.objects.filter(facility=submission.facility, observation_id__in=ids)
        known |= frozenset(taken.exclude(submission=submission).values_list('observation_id', flat=True))
        accepted = until_written(lambda: _accept(submission, ids, known, reason, now, plainly=True))
    reach(CadencePoint.ACCEPTED)
    return accepted


def _accept(
    submission: Submission, ids: Sequence[str], known: frozenset[str], reason: str, now: datetime, *, plainly: bool
) -> Accepted:
    with transaction.atomic():
        reach(CadencePoint.ACCEPT_OPEN)
        if not _mark_accepted(submission, ids, now):
            return Accepted()
        records = make_records(submission, [found for found in ids if found not in known], plainly=plainly)
        link([(submission, records)], plainly=plainly)
        reach(CadencePoint.RECORDS_WRITTEN)
        note(submission.managed, CadenceRun.Decision.SUBMIT, reason, now, submission)
        _settle(submission, now)
    return Accepted(records=records, again=[found for found in ids if found in known])


def _mark_accepted(submission: Submission, ids: Sequence[str], now: datetime) -> bool:
    """Close the request; False where this reply was recorded before."""
    if close_accepted([(submission, ids)], now):
        return True
    current = Submission.objects.get(pk=submission.pk)
    if current.state == State.ACCEPTED and set(ids) <= set(current.observation_ids):
        return False
    late = f'{submission.cause}:late:{submission.pk}'
    Submission.objects.filter(pk=submission.pk).update(
        state=State.ACCEPTED, observation_ids=list(ids), closed=now, message='', cause=late
    )
    logger.error('A request that had been given up was booked after all', extra={'event': 'late_reply', 'request': submission.pk})
    note(
        submission.managed,
        CadenceRun.Decision.ERROR,
        f'A reply came after the request had been given up: {", ".join(ids)} is booked at {submission.facility}.',
        now,
    )
    return True


def close_accepted(replies: Sequence[tuple[Submission, Sequence[str]]], now: datetime) -> bool:
    """Close these open requests inside the caller's transaction; False, and the caller writes nothing, where one is not open."""
    opened = Submission.objects.filter(pk__in=[submission.pk for submission, _ in replies], state__in=Submission.OPEN)
    if opened.update(state=State.ACCEPTED, closed=now, message='') != len(replies):
        return False
    for submission, ids in replies:
        submission.state, submission.observation_ids = State.ACCEPTED, list(ids)
    Submission.objects.bulk_update([submission for submission, _ in replies], ['observation_ids'])
    return True


def make_records(submission: Submission, ids: Sequence[str], *, plainly: bool = False) -> list[ObservationRecord]:
    """The host's records of what was booked; ``plainly``: without the hooks and signals of the site."""
    records = [
        ObservationRecord(
            target_id=submission.target_id,
            user_id=submission.owner_id,
            facility=submission.facility,
            parameters=submission.parameters,
            observation_id=found,
        )
        for found in ids
    ]
    if not plainly:
        for record in records:
            record.save()
    elif _can_be_recorded(submission):
        ObservationRecord.objects.bulk_create(records)
    else:
        return []
    return records


def _can_be_recorded(submission: Submission) -> bool:
    """Whether target and owner still are there; the ids stay in the journal in any case."""
    current = Submission.objects.get(pk=submission.pk)
    return current.target_id is not None and current.owner_id is not None


def link(made: Sequence[tuple[Submission, Sequence[ObservationRecord]]], *, plainly: bool = False) -> None:
    """Records into their groups, to their requests, and with the permissions of the record before them."""
    through = ObservationGroup.observation_records.through
    members = []
    for submission, records in made:
        group = submission.managed.cadence.observation_group_id if submission.managed.cadence else None
        if group is not None and (not plainly or ObservationGroup.objects.filter(pk=group).exists()):
            members += [through(observationgroup_id=group, observationrecord_id=record.pk) for record in records]
    if members:
        through.objects.bulk_create(members, ignore_conflicts=True)
    if bookings := [booking for submission, records in made for booking in _bookings(records, submission)]:
        Booking.objects.bulk_create(bookings)
    if not settings.TARGET_PERMISSIONS_ONLY and not plainly:
        for submission, records in made:
            _copy_permissions(submission, records)


def _bookings(records: Sequence[ObservationRecord], submission: Submission) -> list[Booking]:
    return [
        Booking(record=record, submission=submission, facility=record.facility, observation_id=record.observation_id)
        for record in records
    ]


def know(rows: Iterable[tuple[int, str, str]]) -> None:
    """Note observations that were not requested here: (record, facility, id)."""
    bookings = [Booking(record_id=pk, facility=facility, observation_id=found) for pk, facility, found in sorted(rows)]
    if bookings:
        until_written(lambda: Booking.objects.bulk_create(bookings, ignore_conflicts=True), most=FEW)


def know_groups(**which: Any) -> None:
    """Note the observations in the groups of these cadences (a filter of DynamicCadence), also of those that are switched off."""
    named = {f'observationgroup__dynamiccadence__{name}': value for name, value in which.items()}
    rows = ObservationRecord.objects.filter(booking=None, **named).order_by().distinct()
    know(rows.values_list('pk', 'facility', 'observation_id'))


def _copy_permissions(submission: Submission, records: Sequence[ObservationRecord]) -> None:
    before = ObservationRecord.objects.filter(pk=submission.like).first()
    groups = get_groups_with_perms(before, attach_perms=True) if before else {}
    for record in records:
        for permission in PERMISSIONS:
            assign_perm(f'tom_observations.{permission}', submission.owner, record)
            for group, held in groups.items():
                if permission in held:
                    assign_perm(f'tom_observations.{permission}', group, record)


def _settle(submission: Submission, now: datetime) -> None:
    """Note the success with the cadence and let it go; somebody else's claim stays theirs."""
    rows = ManagedCadence.objects.filter(pk=submission.managed_id)
    if not rows.filter(claim_number=submission.claim_number).update(**done(now)):
        rows.update(version=F('version') + 1)


def done(now: datetime) -> dict[str, Any]:
    """What is noted with a cadence for which something was booked; it is let go."""
    return {
        'last_check': now,
        'last_run': None,
        'last_reason': '',
        'unreachable_since': None,
        'version': F('version') + 1,
        'claim_holder': '',
        'claim_expires': None,
    }


def refuse(submission: Submission, message: str, now: datetime, *, counts: bool) -> None:
    """Close a request that is proven not to be booked; ``counts`` says whether the failure policy counts it."""

    def write() -> None:
        with transaction.atomic():
            closed = Submission.objects.filter(pk=submission.pk, state__in=Submission.OPEN).update(
                state=State.REFUSED, message=message, closed=now, counts_as_failure=counts
            )
            if closed:
                note(submission.managed, CadenceRun.Decision.ERROR, message, now, submission)

    until_written(write)


def mark_uncertain(submission: Submission, message: str, now: datetime) -> None:
    """The call is over, and nobody knows what the facility did with it."""

    def write() -> None:
        with transaction.atomic():
            changed = Submission.objects.filter(pk=submission.pk, state=State.SENDING).update(
                state=State.UNCERTAIN, message=message, closed=now
            )
            if changed:
                note(submission.managed, CadenceRun.Decision.ERROR, message, now, submission)

    until_written(write)
    reach(CadencePoint.MARKED_UNCERTAIN)


def discard(submission: Submission) -> None:
    """Take back the mark of a strategy's own run() that asked for nothing."""
    until_written(lambda: Submission.objects.filter(pk=submission.pk, state=State.SENDING).delete())


def save_status(record: ObservationRecord, state: str, scheduled: tuple[Any, Any] | None) -> bool:
    """Save a changed state through the host's own save(), so that its hook runs; whether anything changed."""
    before = (record.status, record.scheduled_start, record.scheduled_end)
    record.status = state
    if scheduled is not None:
        record.scheduled_start, record.scheduled_end = scheduled
    if before == (record.status, record.scheduled_start, record.scheduled_end):
        return False
    try:
        until_written(lambda: record.save(update_fields=_SAID))
    except Exception:
        logger.exception('A hook of this site failed; the state is kept', extra={'event': 'status_hook', 'record': record.pk})
        ObservationRecord.objects.filter(pk=record.pk).update(
            status=record.status, scheduled_start=record.scheduled_start, scheduled_end=record.scheduled_end
        )
    return True


def adopt_records(submission: Submission, records: Sequence[ObservationRecord], owner: Any, now: datetime) -> None:
    """Take over what a strategy booked in its own run(): nobody's records become the owner's, and the mark is closed."""

    def write() -> None:
        with transaction.atomic():
            pks = [record.pk for record in records]
            ObservationRecord.objects.filter(pk__in=pks, user=None).update(user=owner)
            if not settings.TARGET_PERMISSIONS_ONLY:
                for record in records:
                    for permission in PERMISSIONS:
                        assign_perm(f'tom_observations.{permission}', owner, record)
            # Those that run() put into the group were noted there already, without a request.
            Booking.objects.filter(record__in=pks).update(submission=submission)
            noted = set(Booking.objects.filter(record__in=pks).values_list('record_id', flat=True))
            unknown = [record for record in records if record.pk not in noted]
            Booking.objects.bulk_create(_bookings(unknown, submission))
            ids = [record.observation_id for record in records]
            Submission.objects.filter(pk=submission.pk).update(state=State.ACCEPTED, observation_ids=ids, closed=now)
            note(
                submission.managed,
                CadenceRun.Decision.SUBMIT,
                'The strategy asked for it in its own run().',
                now,
                submission,
            )

    until_written(write)


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What is about to be sent, and what it follows."""

    cause: str
    facility: str
    target: int | None
    owner: Any
    follows: tuple[int, ...]
    like: int | None
    parameters: dict[str, Any]
    window: Window | None
    kind: str = Submission.Kind.ENGINE
    attempt: int = 1
    token: str = field(default_factory=make_token)


Asked = tuple[ManagedCadence, Claim, Intent]


def open_request(managed: ManagedCadence, claimed: Claim, intent: Intent, now: datetime) -> Submission:
    """Commit one intent before the facility is called; raises what ``open_requests`` says."""
    [found] = open_requests([(managed, claimed, intent)], now)
    if isinstance(found, CadenceError):
        raise found
    return found


def open_requests(asked: Sequence[Asked], now: datetime) -> list[Submission | CadenceError]:
    """Commit these intents together, before any facility is called; for each its request, or why nothing may be sent.

    That is LostClaim where the cadence was edited, paused or taken since it was read, and NeedsAttention where another request
    already answers the same record; nothing is written of those, and the others are not touched by it.
    """
    if not asked:
        return []
    try:
        found = until_written(lambda: _open(asked, now), most=FEW)
    except IntegrityError:
        if len(asked) > 1:
            return [each for one in asked for each in open_requests([one], now)]
        return [NeedsAttention(
            f'Another request already follows {_what(asked[0][2])}: the same observation is in two cadences, or two cadences '
            'share one group.'
        )]  # fmt: skip
    reach(CadencePoint.INTENT_COMMITTED)
    return found


def _open(asked: Sequence[Asked], now: datetime) -> list[Submission | CadenceError]:
    with transaction.atomic(durable=True):
        held = _held(asked)
        made = {managed.pk: _made(managed, intent, now) for managed, _, intent in asked if held.get(managed.pk) == managed.version}
        Submission.objects.bulk_create(made.values())
        if made:
            reach(CadencePoint.INTENT_OPEN)
    return [
        made.get(managed.pk) or LostClaim(f'{managed} was edited, paused or taken by another process.') for managed, _, _ in asked
    ]


def _held(asked: Sequence[Asked]) -> dict[int, int]:
    """The versions of those cadences that are still held and active, by primary key; their claims are prolonged.

    Their rows are locked before the versions are read, so that what somebody committed a moment ago is seen.
    """
    holders = {claimed.holder for _, claimed, _ in asked}
    rows = ManagedCadence.objects.filter(
        pk__in=[managed.pk for managed, _, _ in asked], claim_holder__in=holders, cadence__active=True
    )
    return dict(rows.values_list('pk', 'version')) if rows.update(claim_expires=expiry()) else {}


def note_refused(managed: ManagedCadence, intent: Intent, message: str, now: datetime) -> None:
    """Write down a request that was refused before it was sent, so that the failure policy counts it."""
    with transaction.atomic():
        closed = {'state': Submission.State.REFUSED, 'message': message, 'closed': now, 'counts_as_failure': True}
        submission = insert(managed, intent, now, **closed)
        note(managed, CadenceRun.Decision.ERROR, message, now, submission)


def insert(managed: ManagedCadence, intent: Intent, now: datetime, **closed: Any) -> Submission:
    """Write a request inside the caller's transaction."""
    submission = _made(managed, intent, now, **closed)
    submission.save(force_insert=True)
    return submission


def _made(managed: ManagedCadence, intent: Intent, now: datetime, **closed: Any) -> Submission:
    return Submission(
        **closed,
        token=intent.token,
        managed=managed,
        kind=intent.kind,
        cause=intent.cause,
        attempt=intent.attempt,
        claim_number=managed.claim_number,
        facility=intent.facility,
        target_id=intent.target,
        owner=intent.owner,
        follows=list(intent.follows),
        like=intent.like,
        parameters=intent.parameters,
        window_start=intent.window.start if intent.window else None,
        window_end=intent.window.end if intent.window else None,
        created=now,
    )


def _what(intent: Intent) -> str:
    return f'observation record {intent.follows[0]}' if intent.follows else repr(intent.cause)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a facility booked for one request; ``known`` are the ids already recorded in the group, ``holder`` holds the cadence."""

    submission: Submission
    ids: Sequence[str]
    known: frozenset[str]
    reason: str
    holder: str


class Unusual(Exception):
    """One of the replies has to be recorded alone."""


def accept_together(replies: Sequence[Reply], now: datetime) -> list[Accepted] | None:
    """Record what was booked for several cadences; None, and nothing written, where ``accept`` has to record each alone.

    That is where a request is not open any more, a claim was lost, or a hook or signal of the site raised.
    """
    try:
        accepted = until_written(lambda: _accept_in_batch(replies, now))
    except Unusual:
        return None
    except Exception:
        pks = [reply.submission.pk for reply in replies]
        logger.exception('Recording replies one by one', extra={'event': 'accept_one_by_one', 'requests': pks})
        return None
    reach(CadencePoint.ACCEPTED)
    return accepted


def _accept_in_batch(replies: Sequence[Reply], now: datetime) -> list[Accepted]:
    with transaction.atomic():
        reach(CadencePoint.ACCEPT_OPEN)
        if not close_accepted([(reply.submission, reply.ids) for reply in replies], now):
            raise Unusual
        made = []
        for reply in replies:
            new = [found for found in reply.ids if found not in reply.known]
            made.append((reply.submission, make_records(reply.submission, new)))
        link(made)
        reach(CadencePoint.RECORDS_WRITTEN)
        CadenceRun.objects.bulk_create(_run(reply, now) for reply in replies)
        _let_go(replies, now)
    return [
        Accepted(records=records, again=[found for found in reply.ids if found in reply.known])
        for reply, (_, records) in zip(replies, made, strict=True)
    ]


def _run(reply: Reply, now: datetime) -> CadenceRun:
    return CadenceRun(
        managed=reply.submission.managed,
        decision=CadenceRun.Decision.SUBMIT,
        reason=reply.reason,
        first=now,
        last=now,
        submission=reply.submission,
    )


def _let_go(replies: Sequence[Reply], now: datetime) -> None:
    """Note the successes with their cadences, and let these go; all of them must still be held."""
    pks, holders = {reply.submission.managed_id for reply in replies}, {reply.holder for reply in replies}
    held = ManagedCadence.objects.filter(pk__in=pks, claim_holder__in=holders)
    if held.update(**done(now)) != len(replies):
        raise Unusual


def open_request_of(managed: ManagedCadence) -> Submission:
    """The request that waits for a person; CadenceError where there is none."""
    rows = Submission.objects.select_related('managed__cadence').filter(managed=managed, state__in=Submission.OPEN)
    request = rows.order_by('pk').first()
    if request is None:
        raise CadenceError(f'{managed} has no request whose fate is unknown.')
    return request


def say_booked(managed: ManagedCadence, ids: Sequence[str], by: str, now: datetime) -> list[ObservationRecord]:
    """ "It is there": record these observations, and let the cadence go on."""
    request = open_request_of(managed)
    group = managed.host.observation_group
    if request.kind == Submission.Kind.STRATEGY:
        records = list(group.observation_records.filter(observation_id__in=ids))
        if len(records) < len(set(ids)):
            raise CadenceError('The strategy sent it itself: add its record to the group first, then say its id here.')
        adopt_records(request, records, managed.owner, now)
    else:
        known = frozenset(group.observation_records.values_list('observation_id', flat=True))
        records = accept(request, list(dict.fromkeys(ids)), known, f'{by} found it at {request.facility}.', now).records
    resume(managed, now, f'{by} said that it is booked: {", ".join(ids)}.')
    return records


def say_send_again(managed: ManagedCadence, by: str, now: datetime) -> None:
    """ "It is not there": close the request, and let the cadence ask again."""
    request = open_request_of(managed)
    refuse(request, f'{by} said that {request.facility} does not have it.', now, counts=False)
    resume(managed, now, f'{by} said that it may be sent again.')
