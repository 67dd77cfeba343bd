"""The facility of the benchmarks: in this process, so that only the TOM's own work is measured; every call takes a fixed time.

The forms are the example TOM's own. A sleeping call holds no processor, as waiting for a real portal would not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import count
from typing import Any, ClassVar

from custom_code.observatory import PlainObservatoryFacility

PLAIN, BULK = 'Benchmark', 'Benchmark in bulk'


class Sky:
    """What all benchmark facilities share."""

    latency: ClassVar[float] = 0.0
    finished: ClassVar[bool] = False
    calls: ClassVar[int] = 0
    numbers: ClassVar[Any] = count(1)


def _answer(observation_id: str) -> dict[str, Any]:
    """``old-`` observations are over, the ``now-`` ones when the sky says so, those booked meanwhile are not."""
    over = observation_id.startswith('old-') or (Sky.finished and observation_id.startswith('now-'))
    return {'state': 'COMPLETED' if over else 'PENDING', 'scheduled_start': None, 'scheduled_end': None}


def _call() -> None:
    Sky.calls += 1
    if Sky.latency:
        time.sleep(Sky.latency)


class BenchmarkFacility(PlainObservatoryFacility):
    """The toolkit's interface and nothing more: one call a status."""

    name = PLAIN

    def submit_observation(self, observation_payload: dict[str, Any]) -> list[str]:
        """Book it."""
        _call()
        return [f'new-{next(Sky.numbers)}']

    def get_observation_status(self, observation_id: str) -> dict[str, Any]:
        """One state."""
        _call()
        return _answer(observation_id)


class BulkBenchmarkFacility(BenchmarkFacility):
    """The same with many states a call."""

    name = BULK

    def get_observation_statuses(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Many states."""
        _call()
        return {observation_id: _answer(observation_id) for observation_id in ids}
