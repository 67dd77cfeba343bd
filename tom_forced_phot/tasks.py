"""Background work through dramatiq. Imported only where ``django_dramatiq`` is installed: an actor binds to a broker at import."""

from __future__ import annotations

from datetime import timedelta

import dramatiq

from tom_forced_phot import conf, queries
from tom_forced_phot.models import PhotometryQuery

QUEUE = 'forced_photometry'
#: A message that comes so much early waits; one that comes earlier still has a twin that will come in time.
EARLY = timedelta(seconds=2)
LONGEST_DELAY = 3600.0


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
    queries.sign('worker', now)
    try:
        done = queries.advance(pk)
    except PhotometryQuery.DoesNotExist:
        return
    early = done.again is not None and done.again - now <= EARLY
    if done.again is not None and (done.worked or early):
        seconds = max(0.1, min(LONGEST_DELAY, (done.again - conf.utc_now()).total_seconds()))
        advance_query.send_with_options(args=(pk,), delay=int(seconds * 1000) + 50)
    for other in queries.overdue(now, conf.get('SWEEP')):
        advance_query.send(other)
