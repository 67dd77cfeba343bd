"""Questions to services, from asking to points; the only writer of queries and jobs."""

from tom_forced_phot.queries.advance import Next, advance
from tom_forced_phot.queries.asking import Asked, Declined, ask, ask_many
from tom_forced_phot.queries.background import enqueue, has_workers, start
from tom_forced_phot.queries.cancelling import cancel, retry
from tom_forced_phot.queries.drive import Report, drive, due, expect, is_expected, overdue, run, sign

__all__ = [
    'Asked',
    'Declined',
    'Next',
    'Report',
    'advance',
    'ask',
    'ask_many',
    'cancel',
    'drive',
    'due',
    'enqueue',
    'expect',
    'has_workers',
    'is_expected',
    'overdue',
    'retry',
    'run',
    'sign',
    'start',
]
