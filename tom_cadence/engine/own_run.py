"""Strategies that call the facility themselves, in a ``run()`` of their own, as the toolkit's tutorial shows.

They run under the claim, with a mark before and after, in a thread that has FACILITY_TIMEOUT for all of it. Nobody can promise
that such a run() books once: where it dies, raises or does not end, a person is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.core.decisions import Decision, Stop, Wait
from tom_cadence.core.policy import check_ended
from tom_cadence.engine.stages import Decided
from tom_cadence.exceptions import NeedsAttention, Temporary
from tom_cadence.facilities import Calls, Facilities
from tom_cadence.facilities.calls import GRACE, NotAsked
from tom_cadence.facilities.errors import never_arrived, readable
from tom_cadence.facilities.transport import Traffic, deadline, watched
from tom_cadence.journal import Claim, Intent
from tom_cadence.models import Submission
from tom_followup.retry import until_written


@dataclass(kw_only=True)
class Ended:
    """What came of a run() in time; ``over`` is False where it has not ended, and may be running still."""

    returned: Any = None
    error: Exception | None = None
    over: bool = True


def run(
    item: Decided, claimed: Claim, facilities: Facilities, clock: Callable[[], datetime]
) -> tuple[Decision, list[ObservationRecord]]:
    """Run it, and take over the records it made; what ends the cadence before is trouble, an owner that is missing, its limits."""
    early = item.decision
    stop = early if isinstance(early, Stop) else check_ended(item.snapshot.parameters, item.history, clock())
    if stop is not None:
        return stop, []
    before = {row.pk for row in item.snapshot.rows}
    mark = journal.open_request(item.managed, claimed, _intent(item), clock())
    with watched() as traffic:
        ended = _bounded(item, facilities)
    made = until_written(lambda: _made(item, before, ended.returned))
    if made:
        journal.adopt_records(mark, made, item.managed.owner, clock())
    if not ended.over:
        _explain_overdue(mark, bool(made), clock())
    if ended.error is not None:
        _explain(mark, ended.error, bool(made), traffic, clock())
    if not made and traffic.orders:
        text = 'The strategy sent something in its own run(), and left no record of it: look at the facility what it asked for.'
        journal.mark_uncertain(mark, text, clock())
        raise NeedsAttention(text)
    if not made:
        journal.discard(mark)
        return Wait(reason='The strategy asked for nothing.'), []
    return Wait(reason='The strategy asked for observations in its own run().'), made


def _bounded(item: Decided, facilities: Facilities) -> Ended:
    """Let it run beside this thread, which waits no longer than its deadline.

    Inside a transaction of the caller's it runs here: what another thread reads and writes would be another transaction.
    """
    function, seconds = item.snapshot.strategy.run, conf.get('FACILITY_TIMEOUT')
    if connection.in_atomic_block:
        try:
            with deadline(seconds):
                return Ended(returned=function())
        except Exception as problem:  # the site's own code
            return Ended(error=problem)
    finished: list[bool] = []

    def run() -> Any:
        try:
            return function()
        finally:
            finished.append(True)

    calls = Calls(at_once=1, per_facility=1, breaker=facilities.breaker, grace=GRACE, pool=facilities.pool)
    calls.start(item.managed.pk, item.managed.facility, run, seconds)
    call = calls.next()
    if call.error is not None and not isinstance(call.error, Exception):
        raise call.error
    return Ended(returned=call.result, error=call.error, over=bool(finished) or isinstance(call.error, NotAsked))


def _intent(item: Decided) -> Intent:
    return Intent(
        cause=f'cadence:{item.managed.host_cadence_id}:run:{item.managed.claim_number}',
        facility=item.managed.facility,
        target=None,
        owner=item.managed.owner,
        follows=(),
        like=max((row.pk for row in item.snapshot.rows), default=None),
        parameters={},
        window=None,
        origin=Submission.Origin.OWN_RUN,
    )


def _made(item: Decided, before: set[int], returned: Any) -> list[ObservationRecord]:
    """New records of the group, and those that run() returned without putting them there."""
    group = item.managed.host.observation_group
    rows = group.observation_records.exclude(pk__in=before)
    given = returned if isinstance(returned, (list, tuple, set)) else []
    stray = [record for record in given if isinstance(record, ObservationRecord) and record.pk and record.pk not in before]
    missing = {record.pk for record in stray} - set(rows.values_list('pk', flat=True))
    group.observation_records.add(*missing)
    return list(rows.order_by('pk'))


def _explain_overdue(mark: Submission, made: bool, now: datetime) -> None:
    """It may send something yet, so the mark stays open until a person has looked."""
    text = f'The strategy did not end its own run() within {conf.get("FACILITY_TIMEOUT"):g} s, and was left behind.'
    if made:
        raise NeedsAttention(f'{text} It had asked for observations before; look whether any is missing here.')
    journal.mark_uncertain(mark, text, now)
    raise NeedsAttention(f'{text} Look at the facility whether it asked for anything, then resume the cadence.')


def _explain(mark: Submission, error: Exception, made: bool, traffic: Traffic, now: datetime) -> None:
    if isinstance(error, NotAsked):
        journal.discard(mark)
        raise Temporary(str(error))
    text = f'The strategy failed in its own run(): {type(error).__name__}: {readable(error)}'
    if never_arrived(error, traffic) and not made:
        journal.refuse(mark, text, now, counts=False)
        raise Temporary(text) from error
    if made:
        raise NeedsAttention(f'{text} It had asked for observations before; look whether any is missing here.') from error
    if traffic.orders:
        journal.mark_uncertain(mark, text, now)
    else:
        journal.refuse(mark, text, now, counts=True)
    raise NeedsAttention(f'{text} Look at the facility whether it asked for anything, then resume the cadence.') from error
