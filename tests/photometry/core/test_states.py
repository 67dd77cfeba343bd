"""Which state may follow which, exhaustively; what comes next; when to come back. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import product

import pytest

from tom_forced_phot.core.states import (
    ENDS,
    JOB_MOVES,
    OPEN,
    QUERY_MOVES,
    IllegalMove,
    JobState,
    QueryState,
    Step,
    check_job,
    next_step,
    pause,
    poll_pause,
)

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=timezone.utc)
Q, J = QueryState, JobState
#: The moves of a query, written out a second time by hand: a move that is added or lost by mistake is seen here.
MOVES = """
queued -> submitted running result done no_data failed cancelled expired
submitted -> queued running result no_data failed cancelled expired
running -> queued submitted result done no_data failed cancelled expired
result -> queued done no_data failed cancelled expired
"""


@pytest.mark.parametrize(('before', 'after'), [*product(Q, Q)])
def test_a_query_moves_only_along_the_table(before: QueryState, after: QueryState) -> None:
    table = {left: right.split() for left, _, right in (line.partition(' -> ') for line in MOVES.strip().splitlines())}
    assert (after in QUERY_MOVES[before]) == (after.value in table.get(before.value, ()))


@pytest.mark.parametrize(('before', 'after'), [*product(J, J)])
def test_a_job_moves_only_along_the_table(before: JobState, after: JobState) -> None:
    allowed = after in JOB_MOVES[before] or (before is after and before is not J.CLOSED)
    if allowed:
        check_job(before, after)
    else:
        with pytest.raises(IllegalMove):
            check_job(before, after)


@pytest.mark.parametrize('state', sorted(ENDS))
def test_what_has_ended_is_never_opened_again(state: QueryState) -> None:
    assert QUERY_MOVES[state] == frozenset()
    assert all(next_step(state, job, NOW, None) is Step.NOTHING for job in (None, *J))


def test_every_open_state_can_end_in_failure_and_by_a_person() -> None:
    for state in OPEN:
        assert {Q.FAILED, Q.CANCELLED} <= QUERY_MOVES[state]


def test_every_end_can_be_reached() -> None:
    seen: set[QueryState] = set()
    todo = [Q.QUEUED]
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo += QUERY_MOVES[state]
    assert seen == set(Q)


STEPS = {None: Step.SUBMIT, J.SUBMITTING: Step.LOOK_UP, J.UNCERTAIN: Step.LOOK_UP, J.OPEN: Step.POLL, J.CLOSED: Step.SUBMIT}


@pytest.mark.parametrize(('state', 'job'), [*product(sorted(OPEN), (None, *J))])
def test_what_comes_next(state: QueryState, job: JobState | None) -> None:
    expected = Step.FETCH if state is Q.RESULT else STEPS[job]
    assert next_step(state, job, NOW, None) is expected
    assert next_step(state, job, NOW, NOW + timedelta(seconds=1)) is expected


@pytest.mark.parametrize(('state', 'job'), [*product(sorted(OPEN), (None, *J))])
def test_after_the_deadline_only_a_result_that_waits_is_still_fetched(state: QueryState, job: JobState | None) -> None:
    assert next_step(state, job, NOW, NOW) is (Step.FETCH if state is Q.RESULT else Step.GIVE_UP)


def test_pauses_grow_and_stay_bounded() -> None:
    found = [pause(number).total_seconds() for number in range(1, 40)]
    assert found[:4] == [15.0, 30.0, 60.0, 120.0]
    assert found == sorted(found)
    assert found[-1] == 1800.0
    assert pause(0) == pause(1)
    assert pause(10**6).total_seconds() == 1800.0


@pytest.mark.parametrize(('age', 'expected'), [(0, 15), (100, 15), (1000, 100), (10**6, 600), (-50, 15)])
def test_the_longer_it_waits_the_rarer_it_is_looked_at(age: float, expected: float) -> None:
    assert poll_pause(timedelta(seconds=age), 15, 600).total_seconds() == expected


def test_every_state_has_words() -> None:
    assert len({state.words for state in Q}) == len(Q)
    assert len({state.words for state in J}) == len(J)
