"""What a facility booked becomes records, with their groups and permissions, whoever asked for it; and a person's word on that."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q
from guardian.shortcuts import assign_perm, get_groups_with_perms
from tom_common.hooks import run_hook
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

from tom_cadence.core.bounds import error_text
from tom_cadence.exceptions import CadenceError, NeedsAttention
from tom_cadence.journal import states
from tom_cadence.journal.claims import FEW
from tom_cadence.journal.log import note
from tom_cadence.journal.requests import Origin, State, each_its_own, mark_uncertain, refuse
from tom_cadence.models import Booking, CadenceRun, FollowedRecord, ManagedCadence, Submission, TemplateApplication
from tom_followup.failpoints import CadencePoint, reach
from tom_followup.retry import until_written

logger = logging.getLogger(__name__)
_SAID = ('status', 'scheduled_start', 'scheduled_end', 'modified')
"""What a change of state writes: whatever a person edits in the meantime stays edited."""
PERMISSIONS = ('view_observationrecord', 'change_observationrecord', 'delete_observationrecord')
LONGEST_ID = 255
"""Letters of an observation's ID that the host keeps."""
GROUP_PERMISSIONS = ('view_observationgroup', 'change_observationgroup', 'delete_observationgroup')


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a facility booked for one request; ``known`` are the ids already recorded in the group, ``holder`` holds the cadence."""

    submission: Submission
    ids: Sequence[str]
    known: frozenset[str]
    reason: str
    holder: str


class RecordAlone(Exception):
    """One of the replies has to be recorded alone."""


class RecordedBefore(NeedsAttention):
    """All that the facility answered with was recorded before, of another request: what it did with this one is not known."""


def accept(
    submission: Submission, ids: Sequence[str], known: frozenset[str], reason: str, now: datetime
) -> list[ObservationRecord]:
    """Record what the facility booked: records, group, owner, permissions, in one transaction. Never gives up on a busy database.

    ``known`` are ids already recorded: RecordedBefore where there are no others, and then the request stays uncertain;
    NeedsAttention, after the others were recorded, where there are. A claim that was lost meanwhile does not matter: what was
    booked is recorded. A hook or signal of the site that raises does not undo it.
    """
    foreign = submission.origin == Origin.OTHER_CODE
    if foreign:
        known = recorded(submission.facility, ids)
        if known.issuperset(ids):
            return take_over(submission, ids, now)
        _check_recordable(submission, ids, now)
    try:
        records = _accept_with_or_without_hooks(submission, ids, known, reason, now)
    except RecordedBefore as error:
        mark_uncertain(submission, str(error), now)
        raise
    except (OperationalError, InterfaceError):  # the database is lost: the next run finds the reply, or asks for it
        raise
    except Exception as error:
        text = f'{submission.facility} has booked it as {", ".join(ids)}, but that could not be recorded here: {error_text(error)}'
        mark_uncertain(
            submission, text if submission.managed else '', now
        )  # one without a cadence is told of by whoever looks it up
        raise NeedsAttention(text) from error
    reach(CadencePoint.ACCEPTED)
    again = sorted(set(ids) - {record.observation_id for record in records}) if records and not foreign else []
    if again:
        raise NeedsAttention(already_recorded(submission.facility, again))
    return records


def take_over(submission: Submission, ids: Sequence[str], now: datetime) -> list[ObservationRecord]:
    """What other code asked for, and has recorded itself: close its request; nothing is written while a record is missing."""
    rows = list(ObservationRecord.objects.filter(facility=submission.facility, observation_id__in=ids))
    if not set(ids) <= {row.observation_id for row in rows}:
        return []

    def write() -> None:
        with transaction.atomic():
            if close_accepted([(submission, ids)], now):
                Booking.objects.bulk_create(_bookings(rows, submission), ignore_conflicts=True)

    until_written(write)
    return rows


def _check_recordable(submission: Submission, ids: Sequence[str], now: datetime) -> None:
    """NeedsAttention where it is not known whose observation it is, or of what."""
    if submission.target_id is None or submission.owner_id is None:
        text = (
            f'Other code of this TOM booked {", ".join(ids)} at {submission.facility}, and did not record it. Of which target '
            'it is, or for whom, is not known here: add it on the page of its target, then say here that it is there.'
        )
        mark_uncertain(submission, '', now)  # whoever looks it up tells the person, once
        raise NeedsAttention(text)


def _accept_with_or_without_hooks(
    submission: Submission, ids: Sequence[str], known: frozenset[str], reason: str, now: datetime
) -> list[ObservationRecord]:
    try:
        return until_written(lambda: _accept(submission, ids, known, reason, now, plainly=False))
    except RecordedBefore:
        raise
    except Exception:
        logger.exception(
            'Recording again without the hooks of this site', extra={'event': 'accept_plainly', 'request': submission.pk}
        )
        taken = Booking.objects.filter(facility=submission.facility, observation_id__in=ids)
        known |= frozenset(taken.exclude(submission=submission).values_list('observation_id', flat=True))
        return until_written(lambda: _accept(submission, ids, known, reason, now, plainly=True))


def _accept(
    submission: Submission, ids: Sequence[str], known: frozenset[str], reason: str, now: datetime, *, plainly: bool
) -> list[ObservationRecord]:
    with transaction.atomic():
        reach(CadencePoint.ACCEPT_OPEN)
        if not _mark_accepted(submission, ids, '' if submission.managed else reason, now):
            return []
        new = [found for found in ids if found not in known]
        if not new:
            raise RecordedBefore(already_recorded(submission.facility, ids))
        records = make_records(submission, new, plainly=plainly)
        link([(submission, records)], plainly=plainly)
        reach(CadencePoint.RECORDS_WRITTEN)
        if submission.managed is not None:
            note(submission.managed, CadenceRun.Decision.SUBMIT, reason, now, submission)
            _let_cadence_go(submission.managed, submission.claim_number, now)
    return records


def already_recorded(facility: str, ids: Sequence[str]) -> str:
    """What is said of ids that were recorded before."""
    return f'{facility} answered with an observation that is already recorded in this TOM: {", ".join(ids)}.'


def recorded(facility: str, ids: Sequence[str]) -> frozenset[str]:
    """Those of the ids that this TOM has records of, whoever made them."""
    rows = ObservationRecord.objects.filter(facility=facility, observation_id__in=ids)
    return frozenset(rows.values_list('observation_id', flat=True))


def _mark_accepted(submission: Submission, ids: Sequence[str], message: str, now: datetime) -> bool:
    """Close the request; False where this reply was recorded before."""
    if close_accepted([(submission, ids)], now, message):
        return True
    current = Submission.objects.get(pk=submission.pk)
    if current.state == State.ACCEPTED and set(ids) <= set(current.observation_ids):
        return False
    follows = [FollowedRecord(record=record, submission=submission) for record in submission.follows]
    FollowedRecord.objects.bulk_create(follows, ignore_conflicts=True)
    text = f'A reply came after the request had been given up: {", ".join(ids)} is booked at {submission.facility}.'
    Submission.objects.filter(pk=submission.pk).update(
        state=State.ACCEPTED,
        observation_ids=list(dict.fromkeys([*current.observation_ids, *ids])),
        closed=now,
        message='' if submission.managed else text,
        cause=f'{submission.cause}:late:{submission.pk}',
    )
    logger.error('A request that had been given up was booked after all', extra={'event': 'late_reply', 'request': submission.pk})
    if submission.managed is not None:
        note(submission.managed, CadenceRun.Decision.ERROR, text, now)
    return True


def close_accepted(replies: Sequence[tuple[Submission, Sequence[str]]], now: datetime, message: str = '') -> bool:
    """Close these open requests inside the caller's transaction; False, and the caller writes nothing, where one is not open."""
    opened = Submission.objects.filter(pk__in=[submission.pk for submission, _ in replies], state__in=Submission.OPEN)
    booked = each_its_own('observation_ids', replies)
    if opened.update(state=State.ACCEPTED, closed=now, message=message, observation_ids=booked) != len(replies):
        return False
    for submission, ids in replies:
        submission.state, submission.observation_ids = State.ACCEPTED, list(ids)
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
    if current.target_id is not None and current.owner_id is not None:
        return True
    gone = 'The target or the owner is gone, so it is recorded only here.'
    Submission.objects.filter(pk=submission.pk).update(message=f'{current.message} {gone}'.strip())
    return False


def link(made: Sequence[tuple[Submission, Sequence[ObservationRecord]]], *, plainly: bool = False) -> None:
    """Records into their groups, to their requests, and with the permissions of the record before them."""
    through = ObservationGroup.observation_records.through
    members = []
    for submission, records in made:
        cadence = submission.managed.cadence if submission.managed else None
        group = cadence.observation_group_id if cadence else None
        if group is not None and (not plainly or ObservationGroup.objects.filter(pk=group).exists()):
            members += [through(observationgroup_id=group, observationrecord_id=record.pk) for record in records]
    if members:
        through.objects.bulk_create(members, ignore_conflicts=True)
    if bookings := [booking for submission, records in made for booking in _bookings(records, submission)]:
        Booking.objects.bulk_create(bookings)
    for submission, records in made:
        if records and not (settings.TARGET_PERMISSIONS_ONLY or (plainly and submission.managed)):
            _permit(submission, records)
        if records and submission.afterwards:
            _begin_afterwards(submission, records)


def _bookings(records: Sequence[ObservationRecord], submission: Submission) -> list[Booking]:
    return [
        Booking(record=record, submission=submission, facility=record.facility, observation_id=record.observation_id)
        for record in records
    ]


def note_bookings(rows: Iterable[tuple[int, str, str]]) -> None:
    """Note observations that were not requested here: (record, facility, id)."""
    bookings = [Booking(record_id=pk, facility=facility, observation_id=found) for pk, facility, found in sorted(rows)]
    if bookings:
        until_written(lambda: Booking.objects.bulk_create(bookings, ignore_conflicts=True), most=FEW)


def follow_groups(**which: Any) -> None:
    """Note the observations in the groups of these cadences (a filter of DynamicCadence), also of those that are switched off."""
    named = {f'observationgroup__dynamiccadence__{name}': value for name, value in which.items()}
    rows = ObservationRecord.objects.filter(booking=None, **named).order_by().distinct()
    note_bookings(rows.values_list('pk', 'facility', 'observation_id'))


def _permit(submission: Submission, records: Sequence[ObservationRecord]) -> None:
    """To the owner, the groups that were chosen, and those of the record before them what they may there."""
    like = ObservationRecord.objects.filter(pk=submission.like).first()
    holders: dict[Any, tuple[str, ...]] = dict.fromkeys((submission.owner, *submission.groups.all()), PERMISSIONS)
    for group, held in (get_groups_with_perms(like, attach_perms=True) if like else {}).items():
        holders.setdefault(group, tuple(permission for permission in PERMISSIONS if permission in held))
    for record in records:
        for holder, held in holders.items():
            for permission in held:
                assign_perm(f'tom_observations.{permission}', holder, record)


def _begin_afterwards(submission: Submission, records: Sequence[ObservationRecord]) -> None:
    """A group for several observations of one request, or of one application; with a cadence each has its own."""
    name, strategy = str(submission.afterwards.get('name') or ''), submission.afterwards.get('strategy')
    if strategy:
        group = _make_group(submission, name)
        group.observation_records.add(*records)
        cadence = DynamicCadence.objects.create(
            observation_group=group,
            cadence_strategy=strategy,
            cadence_parameters=submission.afterwards.get('parameters') or {},
            active=True,
        )
        submission.managed = ManagedCadence.objects.filter(cadence=cadence).first()
        Submission.objects.filter(pk=submission.pk).update(managed=submission.managed)
        return
    applications = TemplateApplication.objects.select_for_update(of=('self',)).filter(tasks__request=submission.pk)
    application = applications.select_related('observation_group').first()
    if len(records) < 2 and (application is None or application.tasks.count() < 2):
        return
    group = (application and application.observation_group) or _make_group(submission, name)
    if application is not None:
        TemplateApplication.objects.filter(pk=application.pk).update(observation_group=group)
    group.observation_records.add(*records)


def _make_group(submission: Submission, name: str) -> ObservationGroup:
    group = ObservationGroup.objects.create(name=name[:50])
    for permission in GROUP_PERMISSIONS:
        for holder in (submission.owner, *submission.groups.all()):
            assign_perm(f'tom_observations.{permission}', holder, group)
    return group


def _let_cadence_go(managed: ManagedCadence, claim_number: int, now: datetime) -> None:
    """Note the success with the cadence and let it go; somebody else's claim stays theirs."""
    rows = ManagedCadence.objects.filter(pk=managed.pk)
    if not rows.filter(claim_number=claim_number).update(**_done(now)):
        rows.update(version=F('version') + 1)


def _done(now: datetime) -> dict[str, Any]:
    """What is noted with a cadence for which something was booked; it is let go."""
    return {
        'last_check': now,
        'last_run': None,
        'last_reason': '',
        'unreachable_since': None,
        'version': F('version') + 1,
        'claim_holder': '',
        'claim_expires': None,
        **states.NOT_POSTPONED,
    }


def accept_batch(replies: Sequence[Reply], now: datetime) -> list[list[ObservationRecord]] | None:
    """Record what was booked for several cadences; None, and nothing written, where ``accept`` has to record each alone.

    That is where a request is not open any more, a claim was lost, an id was recorded before, or a hook or signal of the site
    raised.
    """
    try:
        accepted = until_written(lambda: _write_batch(replies, now))
    except RecordAlone:
        return None
    except Exception:
        pks = [reply.submission.pk for reply in replies]
        logger.exception('Recording replies one by one', extra={'event': 'accept_one_by_one', 'requests': pks})
        return None
    reach(CadencePoint.ACCEPTED)
    return accepted


def _write_batch(replies: Sequence[Reply], now: datetime) -> list[list[ObservationRecord]]:
    with transaction.atomic():
        reach(CadencePoint.ACCEPT_OPEN)
        if any(reply.known.intersection(reply.ids) for reply in replies):
            raise RecordAlone
        if not close_accepted([(reply.submission, reply.ids) for reply in replies], now):
            raise RecordAlone
        made = [(reply.submission, make_records(reply.submission, reply.ids)) for reply in replies]
        link(made)
        reach(CadencePoint.RECORDS_WRITTEN)
        CadenceRun.objects.bulk_create(
            CadenceRun(
                managed=reply.submission.managed,
                decision=CadenceRun.Decision.SUBMIT,
                reason=reply.reason,
                first=now,
                last=now,
                submission=reply.submission,
            )
            for reply in replies
        )
        pks = {reply.submission.managed.pk for reply in replies if reply.submission.managed}
        holders = {reply.holder for reply in replies}
        if ManagedCadence.objects.filter(pk__in=pks, claim_holder__in=holders).update(**_done(now)) != len(replies):
            raise RecordAlone
    return [records for _, records in made]


def save_status(record: ObservationRecord, state: str, scheduled: tuple[Any, Any] | None) -> bool:
    """Save a changed state with what the host's own save() sets off: signals and its hook; whether anything changed.

    The host's would first read what the state was; ``record`` was read, or made, a moment ago.
    """
    before = (record.status, record.scheduled_start, record.scheduled_end)
    record.status = state
    if scheduled is not None:
        record.scheduled_start, record.scheduled_end = scheduled
    if before == (record.status, record.scheduled_start, record.scheduled_end):
        return False
    try:
        until_written(lambda: super(ObservationRecord, record).save(update_fields=_SAID))
        if record.status != before[0]:
            run_hook('observation_change_state', record, before[0])
    except Exception:
        logger.exception('A hook of this site failed; the state is kept', extra={'event': 'status_hook', 'record': record.pk})
        ObservationRecord.objects.filter(pk=record.pk).update(
            status=record.status, scheduled_start=record.scheduled_start, scheduled_end=record.scheduled_end
        )
    return True


def made_since(submission: Submission) -> list[ObservationRecord]:
    """Records that the cadence's group has got since a strategy's own run() began, while its mark is open."""
    managed = submission.managed
    if managed is None or managed.cadence is None or submission.like is None or submission.owner is None:
        return []
    rows = managed.host.observation_group.observation_records.filter(pk__gt=submission.like, facility=submission.facility)
    return list(rows.exclude(booking__submission__isnull=False).order_by('pk'))


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
            if submission.managed is not None:
                note(
                    submission.managed,
                    CadenceRun.Decision.SUBMIT,
                    'The strategy asked for it in its own run().',
                    now,
                    submission,
                )
                _let_cadence_go(submission.managed, submission.claim_number, now)

    until_written(write)


def confirm_booked(submission: Submission, ids: Sequence[str], by: str, now: datetime) -> list[ObservationRecord]:
    """ "It is there": record these observations, and let a cadence that waited for this word go on.

    CadenceError where its fate is not unknown, or an id is that of an observation recorded here before.
    """
    _only_uncertain(submission)
    ids = list(dict.fromkeys(ids))
    if not ids:
        raise CadenceError(f'Say under which number {submission.facility} has it.')
    if any(len(each) > LONGEST_ID or '\0' in each for each in ids):
        raise CadenceError(f'An ID has at most {LONGEST_ID} letters: nothing was recorded.')
    managed = submission.managed
    if submission.origin == Origin.OWN_RUN and managed is not None:
        records = list(managed.host.observation_group.observation_records.filter(observation_id__in=ids))
        if len(records) < len(ids):
            raise CadenceError('The strategy sent it itself: add its record to the group first, then say its id here.')
        adopt_records(submission, records, managed.owner, now)
    else:
        there = recorded(submission.facility, ids)
        if there and submission.origin != Origin.OTHER_CODE:
            raise CadenceError(f'{", ".join(sorted(there))} is recorded in this TOM already, as another observation.')
        records = accept(submission, ids, frozenset(), f'{by} found it at {submission.facility}.', now)
    if managed is not None:
        states.settled(managed, now, f'{by} said that it is booked: {", ".join(ids)}.')
    return records


def confirm_not_booked(submission: Submission, by: str, now: datetime) -> None:
    """ "It is not there": close the request, so that it may be sent again; a cadence that waited for this word goes on.

    CadenceError where its fate is not unknown, or where what a strategy's own run() asked for was recorded since.
    """
    _only_uncertain(submission)
    if submission.origin == Origin.OWN_RUN and (made := made_since(submission)):
        ids = ', '.join(record.observation_id for record in made)
        raise CadenceError(f'{ids} was recorded in the group of this cadence since the strategy began: say that it is there.')
    refuse(submission, f'{by} said that {submission.facility} does not have it.', now, counts=False)
    if submission.managed is not None:
        states.settled(submission.managed, now, f'{by} said that it may be sent again.')


def lost_booking(managed: ManagedCadence) -> Submission | None:
    """The request whose observation was deleted here, or taken out of the group, so that its cadence cannot go on."""
    if managed.cadence is None:
        return None
    group = managed.cadence.observation_group
    accepted = (
        Submission.objects.filter(state=State.ACCEPTED).exclude(observation_ids=[]).select_related('managed__cadence', 'owner')
    )
    if not group.observation_records.exists():
        return accepted.filter(managed=managed).order_by('-pk').first()
    answers = accepted.filter(followed__record__in=group.observation_records.values('pk'))
    missing = answers.exclude(bookings__record__observationgroup=group)
    return missing.filter(Q(managed=managed) | Q(bookings=None)).order_by('-pk').first()


def record_again(managed: ManagedCadence, request: Submission, by: str, now: datetime) -> list[str]:
    """Put what this request booked into the cadence's group again, and let the cadence go on; its numbers at the facility."""
    ids = list(map(str, request.observation_ids))

    def write() -> None:
        with transaction.atomic():
            group = managed.host.observation_group
            there = list(ObservationRecord.objects.filter(facility=request.facility, observation_id__in=ids))
            known = {record.observation_id for record in there}
            made = make_records(request, [found for found in ids if found not in known])
            Booking.objects.bulk_create(_bookings(made, request))
            if made and not settings.TARGET_PERMISSIONS_ONLY:
                _permit(request, made)
            group.observation_records.add(*there, *made)
            states.settled(managed, now, f'{by} had observation {", ".join(ids)} recorded again.')

    until_written(write)
    return ids


def forget_booking(managed: ManagedCadence, request: Submission, by: str, now: datetime) -> None:
    """Forget what this request booked, so that a new one may be asked for in its place; the cadence goes on."""
    ids = ', '.join(map(str, request.observation_ids))
    text = f'{by} said that a new observation is to be asked for in the place of {ids}, which was deleted here.'

    def write() -> None:
        with transaction.atomic():
            FollowedRecord.objects.filter(submission=request.pk).delete()
            Submission.objects.filter(pk=request.pk).update(state=State.REFUSED, message=text, counts_as_failure=False)
            states.settled(managed, now, text)

    until_written(write)


def _only_uncertain(submission: Submission) -> None:
    state = Submission.objects.filter(pk=submission.pk).values_list('state', flat=True).first()
    if state == State.SENDING:
        raise CadenceError(f'The request is still on its way to {submission.facility}: wait until the call has ended.')
    if state != State.UNCERTAIN:
        raise CadenceError('What became of this request is known by now: look at the page again.')
