"""The clock that all hosts of a TOM share: the database's. A host whose own clock is wrong changes nothing by it.

What is compared between processes (claims, times to settle, what is due) is told by this clock. How long something took in one
process is told by ``monotonic_seconds``, which no correction of a host's clock touches.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone

from django.db import DatabaseError, connection

logger = logging.getLogger(__name__)
KEEP = 10.0
"""Seconds for which the database is not asked again: in between the time that has passed here is added."""
_STATEMENTS = {
    'sqlite': "SELECT (julianday('now') - 2440587.5) * 86400.0",
    'postgresql': 'SELECT extract(epoch FROM clock_timestamp())',
    'mysql': 'SELECT unix_timestamp(now(6))',
    'oracle': "SELECT (CAST(SYS_EXTRACT_UTC(SYSTIMESTAMP) AS DATE) - DATE '1970-01-01') * 86400 FROM dual",
}
_asked: tuple[float, float] | None = None


def monotonic_seconds() -> float:
    """Seconds since some instant, the same for all of this process; they go on while the machine sleeps, where that is known."""
    boot = getattr(time, 'CLOCK_BOOTTIME', None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def database_now() -> datetime:
    """The present by the database's clock, as aware UTC; by this host's where the database has never been asked."""
    global _asked
    here = monotonic_seconds()
    if _asked is None or not 0 <= here - _asked[0] < KEEP:
        try:
            with connection.cursor() as cursor:
                cursor.execute(_STATEMENTS[connection.vendor])
                _asked = here, float(cursor.fetchone()[0])
        except (DatabaseError, KeyError):
            if _asked is None:
                logger.warning(
                    "The database could not be asked for the time; this host's clock is read", extra={'event': 'host_clock'}
                )
                return datetime.now(timezone.utc)
    return datetime.fromtimestamp(_asked[1], timezone.utc) + timedelta(seconds=here - _asked[0])


def reset() -> None:
    """Ask the database again the next time."""
    global _asked
    _asked = None


def processor_time() -> float:
    """Seconds that a processor has spent on this thread: a busy machine does not change how long something takes by it."""
    return time.thread_time()
