"""How often a user of a simulated service may ask: so often in any minute, wherever it begins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulators.accounts import MINUTE, Throttle

STEPS = st.lists(st.floats(0, 45), min_size=1, max_size=60)


@given(steps=STEPS, limit=st.integers(1, 6))
def test_no_minute_holds_more_than_the_limit_and_who_waits_as_told_is_let_in(steps: list[float], limit: int) -> None:
    now, allowed = 1e9, []
    throttle = Throttle(lambda: now)
    for step in steps:
        now += step
        wait = throttle.wait('tom', limit)
        if wait:
            assert 1 <= wait <= MINUTE
            refused_at, now = now, now + wait
            assert throttle.wait('tom', limit) == 0, f'told to wait {wait} s at {refused_at}'
        allowed.append(now)
    assert all(late - early >= MINUTE for early, late in zip(allowed, allowed[limit:], strict=False))


def test_another_user_has_a_minute_of_his_own_and_none_is_no_limit() -> None:
    throttle = Throttle(lambda: 0.0)
    assert [throttle.wait('tom', 1), throttle.wait('tom', 1), throttle.wait('jerry', 1)] == [0, 60, 0]
    assert [throttle.wait('spike', None) for _ in range(3)] == [0, 0, 0]
    throttle.clear()
    assert throttle.wait('tom', 1) == 0
