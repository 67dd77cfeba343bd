"""Named points at which a process can die, for tests that kill it there.

Every step that changes the journal, a query or a job, or talks to a facility or a service, has one, so that a new step without
a kill test fails the test suite. ``on_reach`` is None outside tests and rehearsals.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class CadencePoint(str, Enum):
    """Between claim and commit of a cadence; the value is the name used on the command line of the tests."""

    CLAIMED = 'claimed'
    DECIDED = 'decided'
    PREPARED = 'prepared'
    INTENT_OPEN = 'intent-open'
    INTENT_COMMITTED = 'intent-committed'
    SENDING = 'sending'
    REPLIED = 'replied'
    REPLY_KEPT = 'reply-kept'
    ACCEPT_OPEN = 'accept-open'
    RECORDS_WRITTEN = 'records-written'
    ACCEPTED = 'accepted'
    STATUS_ASKED = 'status-asked'
    RELEASED = 'released'
    LOOKED_UP = 'looked-up'
    MARKED_UNCERTAIN = 'marked-uncertain'
    STOPPED = 'stopped'


class PhotometryPoint(str, Enum):
    """Between a question and its points; the value is the name used on the command line of the tests."""

    ASKED = 'asked'
    JOB_OPEN = 'job-open'
    JOB_COMMITTED = 'job-committed'
    SENDING = 'sending'
    REPLIED = 'replied'
    ACCEPTED = 'accepted'
    UNCERTAIN = 'uncertain'
    LOOKED_UP = 'looked-up'
    POLLED = 'polled'
    STATES_WRITTEN = 'states-written'
    FETCHING = 'fetching'
    FETCHED = 'fetched'
    FILE_WRITTEN = 'file-written'
    POINTS_WRITTEN = 'points-written'
    INGESTED = 'ingested'
    CLEANED = 'cleaned'
    ANNOUNCING = 'announcing'


on_reach: Callable[[CadencePoint | PhotometryPoint], None] | None = None


def reach(point: CadencePoint | PhotometryPoint) -> None:
    """Say that ``point`` was reached."""
    if on_reach is not None:
        on_reach(point)
