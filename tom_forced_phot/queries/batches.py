"""Whose turn it is at a service, and what goes out together. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """A query that waits to be sent."""

    pk: int
    user: int | None
    group: str


def fair_order(waiting: Sequence[Waiting], busy: Mapping[int | None, int] | None = None) -> list[Waiting]:
    """First everybody's oldest question, then everybody's second: a thousand of one user do not hold up one of another.

    ``waiting`` comes oldest first; ``busy`` counts what each user already has at the service, which comes off their turn.
    """
    turns: dict[int | None, int] = defaultdict(int, busy or {})
    placed = []
    for number, each in enumerate(waiting):
        placed.append((turns[each.user], number, each))
        turns[each.user] += 1
    return [each for _, _, each in sorted(placed, key=lambda item: item[:2])]


def batch(ordered: Sequence[Waiting], size: int) -> list[Waiting]:
    """Whose turn it is, and up to ``size`` in all that can go out in the same request."""
    if not ordered:
        return []
    first = ordered[0]
    if not first.group or size < 2:
        return [first]
    return [each for each in ordered if each.group == first.group][:size]
