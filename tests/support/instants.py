"""Instants that tests draw."""

from __future__ import annotations

from functools import cache

import erfa
from hypothesis import strategies as st


@cache
def days_with_a_leap_second() -> frozenset[int]:
    """The MJD of each day that had 86,401 seconds."""
    table = erfa.leap_seconds.get()
    steps = table[table['year'] >= 1972]
    return frozenset(int(erfa.cal2jd(row['year'], row['month'], 1)[1]) - 1 for row in steps[1:])


def mjds(first: float, last: float) -> st.SearchStrategy[float]:
    """MJDs of days of 86,400 seconds; on the others astropy's MJD and everybody else's differ by up to a second."""
    return st.floats(first, last).filter(lambda mjd: int(mjd) not in days_with_a_leap_second())
