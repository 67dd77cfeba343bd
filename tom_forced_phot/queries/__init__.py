"""Questions to services, from asking to points; the only writer of queries and jobs."""

from tom_forced_phot.queries.advance import Next, advance
from tom_forced_phot.queries.ask import Asked, Declined, ask, ask_many
from tom_forced_phot.queries.background import cancel, enqueue, has_workers, look_now, retry, start
from tom_forced_phot.queries.drive import Report, drive, due, expect, is_expected, overdue, run, sign
from tom_forced_phot.queries.notices import announce, mark_read, prefer, preference_of, wish_of

__all__ = [
    'Asked',
    'Declined',
    'Next',
    'Report',
    'advance',
    'announce',
    'ask',
    'ask_many',
    'cancel',
    'drive',
    'due',
    'enqueue',
    'expect',
    'has_workers',
    'is_expected',
    'look_now',
    'mark_read',
    'overdue',
    'prefer',
    'preference_of',
    'retry',
    'run',
    'sign',
    'start',
    'wish_of',
]
