"""The states of queries and jobs, which may follow which, and when to come back. Pure: values in, values out.

A query (one target) rides on a job (one request to the service, perhaps for many targets). The job carries what concerns the
sending, the query what concerns its own position and result.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum


class QueryState(str, Enum):
    """What became of a question."""

    QUEUED = 'queued'
    SUBMITTED = 'submitted'
    RUNNING = 'running'
    RESULT = 'result'
    DONE = 'done'
    NO_DATA = 'no_data'
    FAILED = 'failed'
    CANCELLED = 'cancelled'
    EXPIRED = 'expired'

    def __str__(self) -> str:
        return self.value

    @property
    def words(self) -> str:
        """As a person reads it."""
        return QUERY_WORDS[self.value]

    @property
    def is_open(self) -> bool:
        """Whether anything is still to come."""
        return self in OPEN

    @staticmethod
    def open_values() -> list[str]:
        """For filters and constraints."""
        return ['queued', 'submitted', 'running', 'result']


class JobState(str, Enum):
    """What became of a request."""

    SUBMITTING = 'submitting'
    UNCERTAIN = 'uncertain'
    OPEN = 'open'
    CLOSED = 'closed'

    def __str__(self) -> str:
        return self.value

    @property
    def words(self) -> str:
        """As a person reads it."""
        return JOB_WORDS[self.value]


QUERY_WORDS = {
    'queued': 'Queued here',
    'submitted': 'Waiting at the service',
    'running': 'Running at the service',
    'result': 'Result waiting',
    'done': 'Done',
    'no_data': 'No data',
    'failed': 'Failed',
    'cancelled': 'Cancelled',
    'expired': 'Result expired',
}
JOB_WORDS = {'submitting': 'Being sent', 'uncertain': 'Reply lost', 'open': 'At the service', 'closed': 'Closed'}

Q, J = QueryState, JobState
OPEN = frozenset({Q.QUEUED, Q.SUBMITTED, Q.RUNNING, Q.RESULT})
ENDS = frozenset(Q) - OPEN
#: From each state the states that may follow it. A closed query is never opened again: asking again makes a new one.
QUERY_MOVES: dict[QueryState, frozenset[QueryState]] = {
    Q.QUEUED: frozenset({Q.SUBMITTED, Q.RUNNING, Q.RESULT, Q.DONE, Q.NO_DATA, Q.FAILED, Q.CANCELLED, Q.EXPIRED}),
    Q.SUBMITTED: frozenset({Q.QUEUED, Q.RUNNING, Q.RESULT, Q.NO_DATA, Q.FAILED, Q.CANCELLED, Q.EXPIRED}),
    # a run that failed at the service is begun again there, so it may wait again
    Q.RUNNING: frozenset({Q.QUEUED, Q.SUBMITTED, Q.RESULT, Q.DONE, Q.NO_DATA, Q.FAILED, Q.CANCELLED, Q.EXPIRED}),
    # asked anew where the account is gone with which it could have been fetched
    Q.RESULT: frozenset({Q.QUEUED, Q.DONE, Q.NO_DATA, Q.FAILED, Q.CANCELLED, Q.EXPIRED}),
    **{state: frozenset() for state in ENDS},
}
JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    J.SUBMITTING: frozenset({J.OPEN, J.UNCERTAIN, J.CLOSED}),
    # looked up and not there, so sent again; or found
    J.UNCERTAIN: frozenset({J.SUBMITTING, J.OPEN, J.CLOSED}),
    J.OPEN: frozenset({J.CLOSED}),
    J.CLOSED: frozenset(),
}


class IllegalMove(ValueError):
    """A state that cannot follow the other."""


def check_job(before: JobState, after: JobState) -> None:
    """IllegalMove unless ``after`` may follow ``before`` or is the same open state."""
    if after not in JOB_MOVES[before] and not (after == before and before is not J.CLOSED):
        raise IllegalMove(f'A job cannot go from {before} to {after}.')


class Step(str, Enum):
    """What is to be done next for a query."""

    NOTHING = 'nothing'
    SUBMIT = 'submit'
    LOOK_UP = 'look up'
    POLL = 'poll'
    FETCH = 'fetch'
    GIVE_UP = 'give up'


def next_step(query: QueryState, job: JobState | None, now: datetime, deadline: datetime | None) -> Step:
    """What comes next; a result that waits is fetched also after the deadline."""
    if query not in OPEN:
        return Step.NOTHING
    if query is Q.RESULT:
        return Step.FETCH
    if deadline is not None and now >= deadline:
        return Step.GIVE_UP
    if job is None or job is J.CLOSED:
        return Step.SUBMIT
    # a job still 'submitting' that can be claimed is one whose sender died: the request may have arrived
    return Step.POLL if job is J.OPEN else Step.LOOK_UP


FIRST_PAUSE, LONGEST_PAUSE = 15.0, 1800.0


def pause(attempts: int, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> timedelta:
    """How long to wait after so many failures in a row: twice as long each time."""
    return timedelta(seconds=min(longest, first * 2.0 ** min(max(attempts - 1, 0), 20)))


def poll_pause(age: timedelta, least: float, most: float) -> timedelta:
    """How long until the next look: a tenth of the time it has been waiting, within the service's bounds (seconds)."""
    return timedelta(seconds=max(least, min(most, age.total_seconds() / 10)))
