"""What the simulated photometry services share: a sky with sources, and the log of the accepted questions.

Their ``/control/`` knows ``source`` and ``file`` besides (see lightcurves.Sky).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulators.lightcurves import Sky
from simulators.service import Service

DAY = 86400.0
MJD_OF_EPOCH = 40587.0  # 1970-01-01


@dataclass
class Accepted:
    """One accepted submission in the log; a list of positions is one entry a position."""

    entry: int
    id: int
    user: str
    ra: float | None
    dec: float | None
    begin: float | None
    end: float | None
    mode: str
    comment: str | None
    at: str
    post: int
    index: int = 0
    name: str | None = None
    lost: str = ''


class PhotometryService(Service):
    """A service that measures the sources of a sky. ``log()`` is the truth of what was asked."""

    def __init__(self, options: Any, storage: Path | None = None, seed: int = 0) -> None:
        """Open the storage in the folder ``storage`` (None: in memory)."""
        super().__init__(options, storage, seed)
        self.sky = Sky(seed)
        self.accepted: list[Accepted] = [Accepted(**row) for row in self.shelf.rows('log')]

    def seconds(self) -> float:
        """Now, in Unix seconds."""
        return self.clock.now().timestamp()

    def accept(self, lost: str = '', **what: Any) -> Accepted:
        """Write an accepted submission into the log."""
        with self.lock:
            number, at = len(self.accepted) + 1, self.clock.now().isoformat()
            entry = Accepted(entry=number, at=at, lost=lost, **what)
            self.accepted.append(entry)
            self.shelf.put('log', number, entry)
            return entry

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Everything that was accepted, oldest first; equal jobs stay two entries."""
        with self.lock:
            return [asdict(each) for each in self.accepted if each.entry > since]

    def reset(self) -> None:
        """Forget everything but seed and options."""
        super().reset()
        with self.lock:
            self.sky.clear()
            self.accepted.clear()

    def deeds(self) -> dict[str, Callable[..., Any]]:
        """What ``/control/`` can do here."""
        return super().deeds() | {'source': self.sky.set_source, 'file': self.sky.set_file}
