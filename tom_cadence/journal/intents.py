"""The intent: an observation request is committed before the facility is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from tom_cadence.exceptions import CadenceError, LostClaim, NeedsAttention
from tom_cadence.journal.claims import FEW, Claim, expiry
from tom_cadence.journal.notes import note
from tom_cadence.journal.persist import until_written
from tom_cadence.models import CadenceRun, ManagedCadence, Submission, make_token
from tom_cadence.points import Point, reach
from tom_cadence.windows import Window


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
    reach(Point.INTENT_COMMITTED)
    return found


def _open(asked: Sequence[Asked], now: datetime) -> list[Submission | CadenceError]:
    with transaction.atomic(durable=True):
        held = _held(asked)
        made = {managed.pk: _made(managed, intent, now) for managed, _, intent in asked if held.get(managed.pk) == managed.version}
        Submission.objects.bulk_create(made.values())
        if made:
            reach(Point.INTENT_OPEN)
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
