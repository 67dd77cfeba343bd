"""Django REST framework's rate limit: so many requests in the last minute, by the simulator's clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

MINUTE = 60.0


class Throttle:
    """The times of the allowed requests of each user; the caller holds the service's lock."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Start with nobody."""
        self.now = now
        self._times: dict[str, deque[float]] = {}

    def wait(self, who: str, limit: int | None) -> int:
        """How many seconds to wait; 0: the request is allowed, and counted."""
        if limit is None:
            return 0
        now, times = self.now(), self._times.setdefault(who, deque())
        while times and times[0] <= now - MINUTE:
            times.popleft()
        if len(times) >= limit:
            return max(1, math.ceil(times[0] + MINUTE - now))
        times.append(now)
        return 0

    def clear(self) -> None:
        """Forget everybody."""
        self._times.clear()
