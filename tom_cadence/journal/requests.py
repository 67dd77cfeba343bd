"""Observation requests: written before the facility is called, and closed or left uncertain afterwards.

Every request goes this way, whoever began it (its ``origin``): it is committed as being sent, then accepted (``records``),
refused, or uncertain. An uncertain one is looked up at the facility, or waits for a person's word.
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import Case, Value, When
from django.db.models.functions import Cast

from tom_cadence import conf
from tom_cadence.core.bounds import error_text
from tom_cadence.core.windows import Window
from tom_cadence.exceptions import CadenceError, LostClaim, NeedsAttention
from tom_cadence.journal.claims import FEW, Claim, expiry
from tom_cadence.journal.log import note
from tom_cadence.models import CadenceRun, FollowedRecord, ManagedCadence, Notice, SiteKey, Submission, TemplateTask, make_token
from tom_followup.failpoints import CadencePoint, reach
from tom_followup.retry import until_written

_OWN = re.compile(r'~([a-z2-7]{8})([a-z2-7]{2})\b')
logger = logging.getLogger(__name__)
Origin, State = Submission.Origin, Submission.State


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What is about to be sent, and what it follows.

    ``groups`` may see the records. ``afterwards`` says what begins with them: ``name`` of an observation group, and
    ``strategy`` and ``parameters`` of a cadence. ``last_word`` may refuse it inside the transaction that commits it, after
    ``locks`` has taken hold of what that depends on.
    """

    cause: str
    facility: str
    target: int | None
    owner: Any
    follows: tuple[int, ...] = ()
    like: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    window: Window | None = None
    origin: str = Origin.CADENCE
    attempt: int = 1
    token: str = field(default_factory=make_token)
    groups: Sequence[Any] = ()
    afterwards: dict[str, Any] = field(default_factory=dict)
    last_word: Callable[[], CadenceError | None] | None = None
    locks: Callable[[], object] | None = None


Asked = tuple[ManagedCadence, Claim, Intent]


def open_request(managed: ManagedCadence, claimed: Claim, intent: Intent, now: datetime) -> Submission:
    """Commit one intent before the facility is called; raises what ``open_requests`` says."""
    [found] = open_requests([(managed, claimed, intent)], now)
    if isinstance(found, CadenceError):
        raise found
    return found


def open_requests(asked: Sequence[Asked], now: datetime) -> list[Submission | CadenceError]:
    """Commit these intents together, before any facility is called; for each its request, or why nothing may be sent.

    That is LostClaim where the cadence was edited, paused or taken since it was read, NeedsAttention where another request
    already answers the same record, and what the last word of an intent says; nothing is written of those, and the others are
    not touched by it.
    """
    if not asked:
        return []
    try:
        found = until_written(lambda: _open(asked, now), most=FEW)
    except (OperationalError, InterfaceError):  # the database is busy for too long, or lost: that concerns all of them
        raise
    except Exception as error:  # whatever is wrong with one of them touches no other
        if len(asked) > 1:
            return [each for one in asked for each in open_requests([one], now)]
        return [_why_not(asked[0][2], error)]
    reach(CadencePoint.INTENT_COMMITTED)
    return found


def _why_not(intent: Intent, error: Exception) -> NeedsAttention:
    if not isinstance(error, IntegrityError):
        logger.error('A request could not be written', exc_info=error, extra={'event': 'intent_error', 'cause': intent.cause})
        return NeedsAttention(f'The request could not be written, so nothing was sent: {error_text(error)}')
    taken = FollowedRecord.objects.filter(record__in=intent.follows).values_list('record', flat=True).first()
    what = f'observation record {taken or intent.follows[0]}' if intent.follows else repr(intent.cause)
    return NeedsAttention(
        f'Another request already follows {what}: the same observation is in two cadences, or two cadences share one group.'
    )


def open_order(intent: Intent, now: datetime) -> Submission | None:
    """Commit the intent of a request that no cadence has; None where another one has the same cause."""

    def write() -> Submission:
        with transaction.atomic(durable=True):
            request = insert(None, intent, now)
            reach(CadencePoint.INTENT_OPEN)
        return request

    try:
        request = until_written(write, most=FEW)
    except IntegrityError:
        return None
    reach(CadencePoint.INTENT_COMMITTED)
    return request


def _open(asked: Sequence[Asked], now: datetime) -> list[Submission | CadenceError]:
    with transaction.atomic(durable=True):
        for _, _, intent in asked:
            if intent.locks is not None:
                intent.locks()
        held = _held(asked)
        ours = [(managed, intent) for managed, _, intent in asked if held.get(managed.pk) == managed.version]
        found = {managed.pk: _made_or_refused(managed, intent, now) for managed, intent in ours}
        made = [each for each in found.values() if isinstance(each, Submission)]
        Submission.objects.bulk_create(made)
        _follow(made)
        if made:
            reach(CadencePoint.INTENT_OPEN)
    return [
        found.get(managed.pk) or LostClaim(f'{managed} was edited, paused or taken by another process.') for managed, _, _ in asked
    ]


def _made_or_refused(managed: ManagedCadence, intent: Intent, now: datetime) -> Submission | CadenceError:
    refused = intent.last_word() if intent.last_word is not None else None
    return refused or _made(managed, intent, now)


def _held(asked: Sequence[Asked]) -> dict[int, int]:
    """The versions of those cadences that are still held and active, by primary key; their claims are prolonged.

    Their rows are locked before the versions are read, so that what somebody committed a moment ago is seen.
    """
    holders = {claimed.holder for _, claimed, _ in asked}
    rows = ManagedCadence.objects.filter(
        pk__in=[managed.pk for managed, _, _ in asked], claim_holder__in=holders, cadence__active=True
    )
    return dict(rows.values_list('pk', 'version')) if rows.update(claim_expires=expiry()) else {}


def _follow(requests: Iterable[Submission]) -> None:
    """Say which records these requests answer; IntegrityError where another one does."""
    rows = [FollowedRecord(record=record, submission=request) for request in requests for record in request.follows]
    if rows:
        FollowedRecord.objects.bulk_create(rows)


def note_refused(managed: ManagedCadence, intent: Intent, message: str, now: datetime) -> None:
    """Write down a request that was refused before it was sent, so that the failure policy counts it."""
    with transaction.atomic():
        closed = {'state': State.REFUSED, 'message': message, 'closed': now, 'counts_as_failure': True}
        submission = insert(managed, intent, now, **closed)
        note(managed, CadenceRun.Decision.ERROR, message, now, submission)


def insert(managed: ManagedCadence | None, intent: Intent, now: datetime, **closed: Any) -> Submission:
    """Write a request inside the caller's transaction."""
    submission = _made(managed, intent, now, **closed)
    submission.save(force_insert=True)
    if submission.state in (State.SENDING, State.UNCERTAIN, State.ACCEPTED):
        _follow([submission])
    if intent.groups:
        submission.groups.set(intent.groups)
    return submission


def _made(managed: ManagedCadence | None, intent: Intent, now: datetime, **closed: Any) -> Submission:
    return Submission(
        **closed,
        token=intent.token,
        managed=managed,
        origin=intent.origin,
        cause=intent.cause,
        attempt=intent.attempt,
        claim_number=managed.claim_number if managed else 0,
        facility=intent.facility,
        target_id=intent.target,
        owner=intent.owner,
        follows=[int(record) for record in intent.follows],
        like=intent.like,
        parameters=intent.parameters,
        afterwards=intent.afterwards,
        window_start=intent.window.start if intent.window else None,
        window_end=intent.window.end if intent.window else None,
        created=now,
    )


def refuse(submission: Submission, message: str, now: datetime, *, counts: bool) -> None:
    """Close a request that is proven not to be booked; ``counts`` says whether somebody refused it, so that it is a failure.

    Where nobody did, the target of a template may simply be sent again.
    """

    def write() -> None:
        with transaction.atomic():
            closed = Submission.objects.filter(pk=submission.pk, state__in=Submission.OPEN).update(
                state=State.REFUSED, message=message, closed=now, counts_as_failure=counts
            )
            if closed:
                FollowedRecord.objects.filter(submission=submission.pk).delete()
            if closed and submission.managed is not None:
                note(submission.managed, CadenceRun.Decision.ERROR, message, now, submission)
            if closed and not counts:
                tasks = TemplateTask.objects.filter(request=submission.pk)
                tasks.update(request=None, state=TemplateTask.State.READY, message=message)

    until_written(write)


def mark_uncertain(submission: Submission, message: str, now: datetime) -> None:
    """The call is over, and nobody knows what the facility did with it."""

    def write() -> None:
        with transaction.atomic():
            changed = Submission.objects.filter(pk=submission.pk, state=State.SENDING).update(
                state=State.UNCERTAIN, message=message, closed=now
            )
            if changed and submission.managed is not None:
                note(submission.managed, CadenceRun.Decision.ERROR, message, now, submission)

    until_written(write)
    reach(CadencePoint.MARKED_UNCERTAIN)


def tell_uncertain(submission: Submission, text: str, now: datetime) -> None:
    """Tell whoever sent a request that no cadence has, once, that a person has to find out what became of it.

    Where nobody knows who did, the superusers are told.
    """

    def write() -> None:
        with transaction.atomic():
            news = Submission.objects.filter(pk=submission.pk, state=State.UNCERTAIN).exclude(message=text).update(message=text)
            known = (
                [submission.owner]
                if submission.owner is not None
                else get_user_model()._default_manager.filter(is_superuser=True, is_active=True)
            )
            said = f'{text} See "Requests without a reply".'
            Notice.objects.bulk_create(Notice(user=user, text=said, created=now) for user in (known if news else ()))

    until_written(write)


def discard(submission: Submission) -> None:
    """Take back the mark of a strategy's own run() that asked for nothing."""
    until_written(lambda: Submission.objects.filter(pk=submission.pk, state=State.SENDING).delete())


def keep_replies(replies: Sequence[tuple[Submission, Sequence[str]]]) -> None:
    """Write down what the facility answered, whole and committed, before anything is made of it.

    Whatever then goes wrong, what is booked is known, and its records are made later.
    """

    for submission, ids in replies:
        submission.reply = [found.replace('\0', '\N{REPLACEMENT CHARACTER}') for found in ids]
    answered = [(submission, submission.reply or []) for submission, _ in replies]
    rows = Submission.objects.filter(pk__in=[submission.pk for submission, _ in replies])
    until_written(lambda: rows.update(reply=each_its_own('reply', answered)))
    reach(CadencePoint.REPLY_KEPT)


def each_its_own(name: str, replies: Sequence[tuple[Submission, Sequence[str]]]) -> Case | Cast:
    """For one UPDATE of several requests: to each its own ids, in the field of this name.

    MariaDB cannot cast to JSON, and PostgreSQL must.
    """
    field: Any = Submission._meta.get_field(name)
    cases = (When(pk=submission.pk, then=Value(list(ids), output_field=field)) for submission, ids in replies)
    found = Case(*cases, output_field=field)
    return Cast(found, output_field=field) if connection.features.requires_casted_case_in_updates else found


def request_mark(*what: str, key: str = '') -> str:
    """A short mark that the facility keeps with the request, so that it can be found there: the same for the same thing asked for.

    It comes of the key of this site and of what is followed, so that a TOM brought back from yesterday's backup, or a copy of
    it, finds its own bookings. 40 bits, in letters that any search takes for the same in capitals, and two letters by which the
    site knows it for its own, whatever was asked for. ``key``: what ``site_key`` said, where it was asked before.
    """
    known = key or site_key()
    head = _letters(known, '\n'.join(what), 8)
    return f'~{head}{_letters(known, f"mark {head}", 2)}'


def is_marked(text: str) -> bool:
    """Whether a text of a facility has a mark in it that this site made."""
    found = _OWN.findall(text.lower())
    key = site_key() if found else ''
    return any(_letters(key, f'mark {head}', 2) == check for head, check in found)


def _letters(key: str, text: str, number: int) -> str:
    return base64.b32encode(hmac.digest(key.encode(), text.encode(), 'sha256'))[:number].decode().lower()


def site_key() -> str:
    """What the marks of this TOM's requests are made with: the setting, or what its database was given at the first of them."""
    given = str(conf.get('SITE_KEY'))
    if given:
        return given
    row = SiteKey.objects.order_by('pk').first()
    return row.key if row else SiteKey.objects.get_or_create(pk=1, defaults={'key': secrets.token_hex(24)})[0].key


def open_request_of(managed: ManagedCadence, shown: str | None = None) -> Submission:
    """The cadence's request whose fate is not known; CadenceError where there is none, or it is not the one that was shown."""
    rows = Submission.objects.select_related('managed__cadence').filter(managed=managed, state__in=Submission.OPEN)
    request = rows.order_by('pk').first()
    if request is None:
        raise CadenceError(f'{managed} has no request whose fate is unknown.')
    check_still_current(request, shown)
    return request


def check_still_current(request: Submission, shown: str | None) -> None:
    """CadenceError where a person's word was about another request, or about this one as it was before."""
    if shown is not None and shown != request.shown:
        raise CadenceError('Something happened to this request since the page was loaded: look at it again, then decide.')
