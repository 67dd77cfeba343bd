"""How many requests questions go out in, and which were asked already. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tom_forced_phot.queries.batches import Waiting, batch, fair_order

FLAGS = (False, True)


def requests(groups: Iterable[str], size: int) -> int:
    """In how many requests questions of these groups go out, as the engine makes its batches."""
    return sum(_requests(group, number, size) for group, number in Counter(groups).items())


def _requests(group: str, number: int, size: int) -> int:
    if not group:
        return number
    left, sent = [Waiting(pk, None, group) for pk in range(number)], 0
    while left:
        left, sent = left[len(batch(fair_order(left), size)) :], sent + 1
    return sent


def is_same(one: Mapping[str, Any], other: Mapping[str, Any], but: Sequence[str] = ()) -> bool:
    """Whether two questions ask for the same, but for what these keys say."""
    return {key: one[key] for key in one if key not in but} == {key: other[key] for key in other if key not in but}


def usual_wait(seconds: Sequence[float]) -> float | None:
    """The median of how long answers took; None where nothing is known."""
    return float(np.median(seconds)) if seconds else None


def recovered(
    wanted: Mapping[str, Any], known: Mapping[str, Any], flags: Iterable[str], make: Callable[[Any], Any]
) -> dict[str, Any]:
    """The fields of a form that ``make`` would turn into the parameters ``wanted``: those of the same name, and ticks by trying."""
    found = {**known, **{name: wanted[name] for name in known if name in wanted}}
    for name in flags:
        found[name] = max(FLAGS, key=lambda value, name=name: _alike(make({**found, name: value}), wanted))  # type: ignore[misc]
    return found


def _alike(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> int:
    """How much of what was wanted is made."""
    score = 0
    for key, value in wanted.items():
        other = made.get(key)
        score += 2 * (other == value)
        if isinstance(value, list) and isinstance(other, list):
            score += len(set(map(str, value)) & set(map(str, other))) - len(set(map(str, value)) ^ set(map(str, other)))
    return score
