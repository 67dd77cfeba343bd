"""Whose turn it is, and what goes out together. Pure."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tom_forced_phot.queries.turns import Waiting, batch, fair_order

rows = st.lists(st.tuples(st.sampled_from([None, 1, 2, 3]), st.sampled_from(['', 'a', 'b'])), max_size=40)


def waiting(given_rows: list[tuple[int | None, str]]) -> list[Waiting]:
    return [Waiting(number, user, group) for number, (user, group) in enumerate(given_rows)]


def test_everybodys_first_comes_before_anybodys_second() -> None:
    ordered = fair_order(waiting([(1, ''), (1, ''), (1, ''), (2, '')]))
    assert [each.pk for each in ordered] == [0, 3, 1, 2]


def test_who_has_much_at_the_service_already_waits() -> None:
    ordered = fair_order(waiting([(1, ''), (2, '')]), {1: 5})
    assert [each.user for each in ordered] == [2, 1]


def test_what_goes_alone_goes_alone() -> None:
    assert [each.pk for each in batch(waiting([(1, ''), (1, 'a'), (1, 'a')]), 100)] == [0]
    assert [each.pk for each in batch(waiting([(1, 'a'), (1, ''), (2, 'a'), (2, 'b')]), 100)] == [0, 2]
    assert batch([], 100) == []


@given(rows)
def test_nobody_is_lost_and_turns_differ_by_one_at_most(given_rows: list[tuple[int | None, str]]) -> None:
    everybody = waiting(given_rows)
    ordered = fair_order(everybody)
    assert sorted(each.pk for each in ordered) == [each.pk for each in everybody]
    totals = Counter(each.user for each in everybody)
    had: Counter[int | None] = Counter()
    for each in ordered:
        unfinished = [user for user in totals if had[user] < totals[user]]
        assert had[each.user] == min(had[user] for user in unfinished)
        had[each.user] += 1


@given(rows, st.integers(1, 10))
def test_a_batch_holds_whose_turn_it_is_and_equals_only(given_rows: list[tuple[int | None, str]], size: int) -> None:
    ordered = fair_order(waiting(given_rows))
    found = batch(ordered, size)
    assert len(found) <= size
    if ordered:
        assert found[0] == ordered[0]
        assert len(found) == 1 or {each.group for each in found} == {ordered[0].group} != {''}
