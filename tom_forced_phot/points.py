"""Named points between question and points, for tests that kill the process there.

Every step that changes a row or talks to a service has one, so that a new step without a kill test fails the test-suite.
``on_reach`` is None outside tests and rehearsals.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Point(str, Enum):
    """Where a process can die; the value is the name used on the command line of the tests."""

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


on_reach: Callable[[Point], None] | None = None


def reach(point: Point) -> None:
    """Say that ``point`` was reached."""
    if on_reach is not None:
        on_reach(point)
