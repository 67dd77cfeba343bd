"""Writing what must be written: a busy SQLite database is asked again until it takes it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection

logger = logging.getLogger(__name__)
Result = TypeVar('Result')
LONGEST_PAUSE = 5.0
pause = time.sleep


def until_written(write: Callable[[], Result], most: int | None = None) -> Result:
    """Run ``write`` (one transaction) again as long as the database is only busy, ``most`` times at the most where that is given.

    Other errors come through.
    """
    wait, tries = 0.05, 0
    while True:
        try:
            return write()
        except OperationalError as error:
            tries += 1
            if not is_busy(error) or tries == most:
                raise
            logger.warning('The database is busy; writing again in %.2f s', wait, extra={'event': 'database_busy'})
            pause(wait)
            wait = min(2 * wait, LONGEST_PAUSE)


def is_busy(error: Exception) -> bool:
    """Whether trying again can help; inside somebody else's transaction it cannot."""
    text = str(error).lower() if isinstance(error, OperationalError) else ''
    return ('locked' in text or 'deadlock' in text or 'serialize' in text) and not connection.in_atomic_block
