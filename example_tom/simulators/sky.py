"""The simulated observatory's clock and sky: what the weather and the telescope do, from a seed.

Weather depends on (seed, night), a failure of the telescope on (seed, id), the time of night on (seed, id): never on
the order of the requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone

UTC = timezone.utc
DAY = timedelta(days=1)


class Clock:
    """Real time until it is set; then it goes on from there, or stands still if it is frozen."""

    def __init__(self) -> None:
        """Start as the real clock."""
        self.offset = timedelta()
        self.frozen_at: datetime | None = None

    def now(self) -> datetime:
        """The observatory's instant, aware UTC."""
        return self.frozen_at or datetime.now(UTC) + self.offset

    def set(self, instant: datetime, *, frozen: bool = False) -> None:
        """Let it be ``instant`` now."""
        self.offset = instant - datetime.now(UTC)
        self.frozen_at = instant if frozen else None

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.set(self.now() + timedelta(seconds=seconds), frozen=self.frozen_at is not None)

    def reset(self) -> None:
        """Be the real clock again."""
        self.offset, self.frozen_at = timedelta(), None


def read_instant(value: object) -> datetime:
    """An aware instant from ISO text; without an offset it is UTC (as at a real portal). ValueError if it is none."""
    if not isinstance(value, str):
        raise ValueError('not a text')
    text = value.strip()
    instant = datetime.fromisoformat(text[:-1] + '+00:00' if text.endswith('Z') else text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def night_of(instant: datetime) -> date:
    """The night that an instant belongs to: the UTC date twelve hours before."""
    return (instant - DAY / 2).date()


@dataclass
class Sky:
    """Which nights are cloudy and which observations fail."""

    seed: int = 0
    clouds: float = 0.0
    failures: float = 0.0
    nights: dict[date, str] = field(default_factory=dict)

    def chance(self, *key: object) -> float:
        """A number in [0, 1) that depends on the seed and the key only."""
        digest = hashlib.blake2b(repr((self.seed, *key)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, 'big') / 2**64

    def is_cloudy(self, night: date) -> bool:
        """Whether nothing can be observed in a night."""
        outcome = self.nights.get(night)
        if outcome is not None:
            return outcome == 'cloudy'
        return self.clouds > 0 and self.chance('night', night.isoformat()) < self.clouds

    def breaks(self, identifier: int) -> bool:
        """Whether the telescope fails in the middle of this observation."""
        return self.failures > 0 and self.chance('failure', identifier) < self.failures

    def slots(self, identifier: int, start: datetime, end: datetime, length: timedelta) -> Iterator[datetime]:
        """The times at which the observation could begin, one a day, while it still fits into its window."""
        room = min(end - start, DAY) - length
        if room < timedelta():
            return
        slot = start + room * self.chance('slot', identifier)
        while slot + length <= end:
            yield slot
            slot += DAY
