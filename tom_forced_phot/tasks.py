"""Background work through dramatiq. Imported only where ``django_dramatiq`` is installed: an actor binds to a broker at import."""

from __future__ import annotations

from datetime import timedelta

import dramatiq

from tom_forced_phot import conf
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.queries.advance import advance
from tom_forced_phot.queries.drive import expect, is_expected, overdue, sign
from tom_forced_phot.queries.notices import announce

QUEUE = 'forced_photometry'
#: Seconds. A delayed message lives in a worker's memory; RabbitMQ takes it back after half an hour (consumer_timeout).
LONGEST_DELAY, SHORTEST_DELAY = 900.0, 0.2


@dramatiq.actor(
    actor_name='tom_forced_phot.advance_query',
    queue_name=QUEUE,
    max_retries=0,
    max_age=None,
    time_limit=3_600_000,
)
def advance_query(pk: int) -> None:
    """Do one step of a query, by its id, and come back when the next is due. The row is the truth; a lost message is swept up."""
    now = conf.utc_now()
    sign('worker', now)
    if not is_expected(pk, now):
        _advance(pk)
    for other in overdue(now, conf.get('SWEEP')):
        advance_query.send(other)


def _advance(pk: int) -> None:
    wake = PhotometryQuery.objects.filter(pk=pk).values_list('wake', flat=True).first()
    try:
        done = advance(pk)
    except PhotometryQuery.DoesNotExist:
        return
    if not done.state.is_open:
        announce(conf.utc_now())
    if done.again is None:
        return
    now = conf.utc_now()
    seconds = max(SHORTEST_DELAY, min(LONGEST_DELAY, (done.again - now).total_seconds()))
    if expect(pk, wake, now + timedelta(seconds=seconds)):
        advance_query.send_with_options(args=(pk,), delay=int(seconds * 1000) + 50)
