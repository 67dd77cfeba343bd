"""What became of an observation request: accepted, refused or uncertain."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from guardian.shortcuts import assign_perm, get_groups_with_perms
from tom_observations.models import ObservationGroup, ObservationRecord

from tom_cadence.journal.claims import FEW
from tom_cadence.journal.notes import note
from tom_cadence.journal.persist import until_written
from tom_cadence.models import Booking, CadenceRun, ManagedCadence, Submission
from tom_cadence.points import Point, reach

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
    reach(Point.ACCEPTED)
    return accepted


def _accept(
    submission: Submission, ids: Sequence[str], known: frozenset[str], reason: str, now: datetime, *, plainly: bool
) -> Accepted:
    with transaction.atomic():
        reach(Point.ACCEPT_OPEN)
        if not _mark_accepted(submission, ids, now):
            return Accepted()
        records = make_records(submission, [found for found in ids if found not in known], plainly=plainly)
        link([(submission, records)], plainly=plainly)
        reach(Point.RECORDS_WRITTEN)
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
    reach(Point.MARKED_UNCERTAIN)


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
