"""Named points between claim and commit, for tests that kill the process there.

Every step that changes the journal or talks to the facility has one, so that a new step without a kill test fails the
test-suite. ``on_reach`` is None outside tests and rehearsals.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Point(str, Enum):
    """Where a process can die; the value is the name used on the command line of the tests."""

    CLAIMED = 'claimed'
    DECIDED = 'decided'
    PREPARED = 'prepared'
    INTENT_OPEN = 'intent-open'
    INTENT_COMMITTED = 'intent-committed'
    SENDING = 'sending'
    REPLIED = 'replied'
    ACCEPT_OPEN = 'accept-open'
    RECORDS_WRITTEN = 'records-written'
    ACCEPTED = 'accepted'
    STATUS_ASKED = 'status-asked'
    RELEASED = 'released'
    LOOKED_UP = 'looked-up'
    MARKED_UNCERTAIN = 'marked-uncertain'
    STOPPED = 'stopped'


on_reach: Callable[[Point], None] | None = None


def reach(point: Point) -> None:
    """Say that ``point`` was reached."""
    if on_reach is not None:
        on_reach(point)
