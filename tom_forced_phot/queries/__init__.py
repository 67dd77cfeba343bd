"""Questions to services, from asking to points; the only writer of queries and jobs."""

from tom_forced_phot.http import time_limit
from tom_forced_phot.queries.advance import Next, advance
from tom_forced_phot.queries.ask import Asked, Declined, ask, ask_many
from tom_forced_phot.queries.background import cancel, enqueue, has_workers, look_now, retry, start, step_here
from tom_forced_phot.queries.departures import owner_deleted, target_deleted
from tom_forced_phot.queries.drive import Report, drive, due, expect, is_expected, overdue, run, sign
from tom_forced_phot.queries.followers import owner_left
from tom_forced_phot.queries.notices import announce, inform, mark_read, prefer, preference_of, wish_of

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
    'inform',
    'is_expected',
    'look_now',
    'mark_read',
    'overdue',
    'owner_deleted',
    'owner_left',
    'prefer',
    'preference_of',
    'retry',
    'run',
    'sign',
    'start',
    'step_here',
    'target_deleted',
    'time_limit',
    'wish_of',
]
