"""The weather of a site, night by night: a Markov chain of clear and lost nights."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

CHUNK = 512


class Weather:
    """Which nights are lost.

    Two states; the share ``cloudy`` of nights is lost in the long run, and a night is like the one before with correlation
    ``persistence``: P(lost | lost) = f + r (1 - f), P(lost | clear) = f (1 - r). The same seed and place give the same nights,
    whoever asks, and in whatever order.
    """

    def __init__(self, seed: int, place: str, cloudy: float, persistence: float, first: int) -> None:
        """``first`` is the first night that can be asked for."""
        self.key, self.first = (seed, zlib.crc32(place.encode())), first
        self.cloudy, self.persistence = cloudy, persistence
        self._lost: list[bool] = []

    def is_lost(self, night: int) -> bool:
        """Whether nothing can be observed; nights before the first are clear."""
        place = night - self.first
        if place < 0 or not self.cloudy:
            return False
        while len(self._lost) <= place:
            self._extend()
        return self._lost[place]

    def _extend(self) -> None:
        draws = _draws(*self.key, len(self._lost) // CHUNK)
        for draw in draws:
            chance = self.cloudy
            if self._lost:
                chance *= 1 - self.persistence
                chance += self.persistence if self._lost[-1] else 0.0
            self._lost.append(bool(draw < chance))


@lru_cache(maxsize=256)
def _draws(seed: int, place: int, chunk: int) -> tuple[float, ...]:
    return tuple(np.random.default_rng([seed, place, chunk]).random(CHUNK).tolist())
