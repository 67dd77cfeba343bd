"""Background work through dramatiq. Imported only where ``django_dramatiq`` is installed: an actor binds to a broker at import."""

from __future__ import annotations

import dramatiq

from tom_cadence.engine.run import run_cadences

QUEUE = 'cadences'


@dramatiq.actor(actor_name='tom_cadence.run_cadence', queue_name=QUEUE, max_retries=0, max_age=3_600_000)
def run_cadence(cadence: int) -> None:
    """Run one cadence, by the id of the host's row. A lost or repeated message does no harm: the claim and the journal decide."""
    run_cadences(pks=[cadence])
