"""Replies that came at the same time, recorded in one transaction; one by one where anything about one of them is unusual."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from tom_cadence.journal import requests
from tom_cadence.journal.persist import until_written
from tom_cadence.journal.requests import Accepted
from tom_cadence.models import CadenceRun, ManagedCadence, Submission
from tom_cadence.points import Point, reach

logger = logging.getLogger(__name__)


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
        accepted = until_written(lambda: _accept(replies, now))
    except Unusual:
        return None
    except Exception:
        pks = [reply.submission.pk for reply in replies]
        logger.exception('Recording replies one by one', extra={'event': 'accept_one_by_one', 'requests': pks})
        return None
    reach(Point.ACCEPTED)
    return accepted


def _accept(replies: Sequence[Reply], now: datetime) -> list[Accepted]:
    with transaction.atomic():
        reach(Point.ACCEPT_OPEN)
        if not requests.close_accepted([(reply.submission, reply.ids) for reply in replies], now):
            raise Unusual
        made = []
        for reply in replies:
            new = [found for found in reply.ids if found not in reply.known]
            made.append((reply.submission, requests.make_records(reply.submission, new)))
        requests.link(made)
        reach(Point.RECORDS_WRITTEN)
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
    if held.update(**requests.done(now)) != len(replies):
        raise Unusual
