"""First states are asked for with what room is left, and none is forgotten."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tom_cadence.engine.pipeline import FirstStatuses


class Rooms:
    """Calls with so much room for each facility; what was started."""

    def __init__(self, **rooms: int) -> None:
        """Nothing was started."""
        self.rooms, self.started = rooms, []

    def room(self, facility: str) -> int:
        return self.rooms[facility]

    def start(self, key: Any, facility: str, function: Any, timeout: float) -> None:
        self.rooms[facility] -= 1
        self.started.append((facility, key.records))


def booked(facility: str) -> Any:
    return SimpleNamespace(
        submission=SimpleNamespace(facility=facility), decided=SimpleNamespace(managed=SimpleNamespace(owner=None))
    )


def gateways(**more: Any) -> Any:
    def gateway(name: str, owner: Any) -> Any:
        return SimpleNamespace(name=name, **{'can_poll': True, 'updates_itself': False, **more})

    return SimpleNamespace(gateway=gateway)


def test_only_as_many_are_asked_as_there_is_room_and_the_others_wait() -> None:
    calls: Any = Rooms(busy=0, free=1)
    first = FirstStatuses(gateways(), calls)
    for number, facility in enumerate(['busy', 'free', 'free']):
        first.add(booked(facility), [number])
    assert first.ask()
    assert calls.started == [('free', [1])]
    assert len(first) == 2
    assert not first.ask()
    calls.rooms = {'busy': 1, 'free': 1}
    assert first.ask()
    assert calls.started[1:] == [('busy', [0]), ('free', [2])]
    assert len(first) == 0


def test_nothing_is_asked_where_nothing_was_booked_or_nobody_can_say() -> None:
    calls: Any = Rooms(a=9)
    for silent in (gateways(can_poll=False), gateways(updates_itself=True)):
        first = FirstStatuses(silent, calls)
        first.add(booked('a'), [1])
        assert len(first) == 0
    first = FirstStatuses(gateways(), calls)
    first.add(booked('a'), [])
    assert not first.ask()
    assert calls.started == []
