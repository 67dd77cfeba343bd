"""Requests that other code of this TOM sent to a facility by itself: a command of the site, another plugin, a shell.

Their intent is committed before the call where that can be done. Inside a transaction of the caller's it lives and dies with that;
what was sent all the same is written again as soon as the transaction is seen to be over (``rescue``). Who called usually makes the
records; they are taken over. What is left without a record becomes one later, or waits for a person (``records.accept``).
"""

from __future__ import annotations

import atexit
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.transaction import Atomic
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from tom_cadence.journal.records import take_over
from tom_cadence.journal.requests import Intent, State, insert, keep_replies
from tom_cadence.models import Submission
from tom_followup.failpoints import CadencePoint, reach
from tom_followup.retry import until_written

logger = logging.getLogger(__name__)
MOST_REMEMBERED = 1000

_answered: OrderedDict[tuple[str, str], int] = OrderedDict()
"""What facilities answered in this process, and to which request: so no other record that is saved costs a question."""
_unsure: dict[str, Unsure] = {}
"""By its mark, what was written inside a transaction of the caller's that may still be rolled back."""


@dataclass(frozen=True, kw_only=True)
class Unsure:
    """A request in a transaction of this connection, which belongs to one thread; ``ids`` are filled in when it is answered."""

    intent: Intent
    sent: datetime
    connection: Any
    ids: list[str] = field(default_factory=list)


def open_foreign(intent: Intent, now: datetime) -> Submission:
    """Write the intent: committed, or inside the transaction of the caller."""

    def write() -> Submission:
        with transaction.atomic():
            request = insert(None, intent, now)
            reach(CadencePoint.INTENT_OPEN)
        return request

    request = until_written(write)
    if _may_be_undone():
        _unsure[intent.token] = Unsure(intent=intent, sent=now, connection=connections[DEFAULT_DB_ALIAS])
        transaction.on_commit(partial(_unsure.pop, intent.token, None))
    reach(CadencePoint.INTENT_COMMITTED)
    return request


def _may_be_undone() -> bool:
    """Whether a transaction of the caller's is open; that of a test, which ends with the test, is none."""
    blocks: list[Atomic] = connection.atomic_blocks
    return connection.in_atomic_block and not (blocks and blocks[0]._from_testcase)  # type: ignore[attr-defined]


def keep_foreign_reply(request: Submission, ids: Sequence[str]) -> None:
    """Write down what the facility answered."""
    if request.token in _unsure:
        _unsure[request.token].ids.extend(ids)
    for found in ids:
        _answered[request.facility, found] = request.pk
    while len(_answered) > MOST_REMEMBERED:
        _answered.popitem(last=False)
    keep_replies([(request, ids)])


def nothing_left(request: Submission) -> None:
    """Nothing of it is at the facility, so that nothing is lost if its row is."""
    _unsure.pop(request.token, None)


def record_saved(record: ObservationRecord, clock: Callable[[], datetime]) -> None:
    """Whoever asked for it has recorded it: close the request as soon as all of its answer is recorded."""
    pk = _answered.pop((record.facility, str(record.observation_id)), None)
    request = Submission.objects.filter(pk=pk, state__in=Submission.OPEN).first() if pk else None
    if request is not None:
        take_over(request, request.reply or [], clock())


def rescue(**_: Any) -> None:
    """Write again what was sent inside a transaction that was rolled back since."""
    mine = connections[DEFAULT_DB_ALIAS]
    over = [] if mine.in_atomic_block else [token for token, each in list(_unsure.items()) if each.connection is mine]
    for token in over:
        each = _unsure[token]
        about = {'event': 'rolled_back_request', 'facility': each.intent.facility, 'mark': token, 'ids': each.ids}
        try:
            if not Submission.objects.filter(token=token).exists():
                reply = {'reply': each.ids} if each.ids else {}
                said = f'It was sent inside a transaction that was rolled back, so {each.intent.facility} may have it.'
                closed = {'state': State.UNCERTAIN, 'message': said, 'closed': each.sent, **reply}
                until_written(partial(insert, None, _as_it_is_now(each.intent), each.sent, **closed))
                logger.error('A request was sent inside a transaction that was rolled back', extra=about)
        except Exception:  # it is not forgotten: the next occasion tries it again, and the log knows it meanwhile
            logger.exception('A request whose transaction was rolled back could not be written again', extra=about)
            continue
        _unsure.pop(token, None)


def _as_it_is_now(intent: Intent) -> Intent:
    """Without a target and an owner that were made in the transaction, and went with it."""
    target = intent.target if Target.objects.filter(pk=intent.target).exists() else None
    key = getattr(intent.owner, 'pk', None)
    owner = get_user_model()._default_manager.filter(pk=key).first() if key is not None else None
    return replace(intent, target=target, owner=owner)


def rescue_at_exit() -> None:
    """At the end of a command or a shell, too."""

    def last() -> None:
        with suppress(Exception):  # there may be no database any more
            rescue()

    atexit.register(last)
