"""A busy database is asked again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection

logger = logging.getLogger(__name__)
Result = TypeVar('Result')
TRIES = 8
LONGEST_PAUSE = 5.0
pause = time.sleep


def until_written(write: Callable[[], Result]) -> Result:
    """Run ``write`` (one transaction) again, a few times, as long as the database is only busy; other errors come through."""
    wait = 0.05
    for _ in range(TRIES - 1):
        try:
            return write()
        except OperationalError as error:
            if not _busy(error):
                raise
        logger.warning('The database is busy; writing again in %.2f s', wait, extra={'event': 'database_busy'})
        pause(wait)
        wait = min(2 * wait, LONGEST_PAUSE)
    return write()


def _busy(error: OperationalError) -> bool:
    """Whether trying again can help; inside somebody else's transaction it cannot."""
    text = str(error).lower()
    return ('locked' in text or 'deadlock' in text or 'serialize' in text) and not connection.in_atomic_block
