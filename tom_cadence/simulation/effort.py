"""How much a simulation may compute: counted in steps, so that the same question always ends at the same place, on any machine.

A step is about ten microseconds of a processor of 2026. What a decision takes more than others is said by its strategy
(``effort``): windows that it compares, for example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tom_cadence.core.history import History
from tom_cadence.exceptions import CadenceError

STEPS_A_SECOND = 100_000
PAGE = 2 * STEPS_A_SECOND
"""What a page may take, for all that it shows."""
COMMAND = 3600 * STEPS_A_SECOND
"""What a person at a terminal waits for at the most."""
DECISION, WITH_POINTS = 3, 12
"""Steps of any decision, and of one that looks at photometry."""
RECORDS, POINTS = 25, 100
"""How many records, and how many points, are read in a step."""


class TooMuchWork(CadenceError):
    """It would take longer than it may; nothing is known of how it would have ended."""


def _no_clock() -> float:
    return 0.0


@dataclass
class Work:
    """Steps that were done, and how many may be.

    The decisions of a site's own strategy may take longer than they say: so the seconds that a processor ``spent``, which a busy
    machine does not change, end what takes twice as long as the steps should.
    """

    most: int = COMMAND
    done: int = 0
    spent: Callable[[], float] = _no_clock

    def __post_init__(self) -> None:
        """From now on."""
        self._began = self.spent()

    def count(self, steps: int) -> None:
        """So many more; TooMuchWork, before they are done, where that is more than may be."""
        if self.done + steps > self.most or self.spent() - self._began > 2 * self.most / STEPS_A_SECOND + 0.5:
            raise TooMuchWork(f'This would take more than {self.most} steps.')
        self.done += steps


def effort_of(strategy: Any, history: History) -> int:
    """The steps of one decision: what every one takes, and what its strategy says that it takes more."""
    looks = bool(getattr(strategy, 'needs_photometry', False))
    usual = DECISION + len(history.attempts) // RECORDS + (WITH_POINTS + len(history.photometry) // POINTS if looks else 0)
    more = getattr(strategy, 'effort', None)
    return usual + (max(0, int(more(history))) if callable(more) else 0)
