"""Strategies that call the facility themselves, in a ``run()`` of their own, as the toolkit's tutorial shows.

They run under the claim, with a mark before and after. Nobody can promise that such a run() books once: where it dies or
raises in between, a person is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.decisions import Decision, Wait
from tom_cadence.exceptions import NeedsAttention, Temporary
from tom_cadence.facilities import Facilities
from tom_cadence.facilities.classify import never_arrived, readable
from tom_cadence.facilities.deadlines import deadline
from tom_cadence.journal import Claim, Intent
from tom_cadence.models import Submission
from tom_cadence.runner.read import Looked


def run(
    item: Looked, claimed: Claim, facilities: Facilities, clock: Callable[[], datetime]
) -> tuple[Decision, list[ObservationRecord]]:
    """Run it, and take over the records it made."""
    before = {row.pk for row in item.rows}
    mark = journal.open_request(item.managed, claimed, _intent(item), clock())
    error: Exception | None = None
    try:
        with deadline(conf.get('FACILITY_TIMEOUT')):
            item.strategy.run()
    except Exception as problem:  # the site's own code
        error = problem
    made = _made(item, before)
    if made:
        journal.adopt_records(mark, made, item.managed.owner, clock())
    if error is not None:
        _explain(mark, error, bool(made), clock())
    if not made:
        journal.discard(mark)
        return Wait(reason='The strategy asked for nothing.'), []
    return Wait(reason='The strategy asked for observations in its own run().'), made


def _intent(item: Looked) -> Intent:
    return Intent(
        cause=f'cadence:{item.managed.host_cadence_id}:run:{item.managed.claim_number}',
        facility=item.managed.facility,
        target=None,
        owner=item.managed.owner,
        follows=(),
        like=None,
        parameters={},
        window=None,
        kind=Submission.Kind.STRATEGY,
    )


def _made(item: Looked, before: set[int]) -> list[ObservationRecord]:
    group = item.managed.host.observation_group
    return list(group.observation_records.exclude(pk__in=before).order_by('pk'))


def _explain(mark: Submission, error: Exception, made: bool, now: datetime) -> None:
    text = f'The strategy failed in its own run(): {type(error).__name__}: {readable(error)}'
    if never_arrived(error) and not made:
        journal.refuse(mark, text, now, counts=False)
        raise Temporary(text) from error
    if made:
        raise NeedsAttention(f'{text} It had asked for observations before; look whether any is missing here.') from error
    journal.refuse(mark, text, now, counts=True)
    raise NeedsAttention(f'{text} Look at the facility whether it asked for anything, then resume the cadence.') from error
