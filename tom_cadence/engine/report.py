"""What a run did, one line a cadence."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

WAIT, SUBMIT, STOP, ERROR, BUSY = 'wait', 'submit', 'stop', 'error', 'busy'


@dataclass(kw_only=True)
class Line:
    """One cadence in one run. ``failed`` means a person should look; ``changed`` that something was done.

    ``unasked``: the facility could not be asked; its other cadences say the same, so that people are told once a facility.
    """

    cadence: int
    target: str
    strategy: str
    decision: str
    reason: str
    observation_ids: list[str] = field(default_factory=list)
    changed: bool = False
    failed: bool = False
    facility: str = ''
    unasked: bool = False

    @property
    def text(self) -> str:
        """The line as the command prints it."""
        ids = f' -> {", ".join(self.observation_ids)}' if self.observation_ids else ''
        return f'Cadence {self.cadence} ({self.target or "no observation yet"}): {self.decision}{ids}: {self.reason}'


@dataclass(kw_only=True)
class Report:
    """All lines of one run."""

    lines: list[Line] = field(default_factory=list)
    dry_run: bool = False
    problems: list[str] = field(default_factory=list)
    """What went wrong beside any single cadence, for example while cadences were taken over."""

    @property
    def failed(self) -> bool:
        """Whether any cadence failed or newly needs attention, or anything beside them went wrong."""
        return bool(self.problems) or any(line.failed for line in self.lines)

    @property
    def outages(self) -> list[str]:
        """One sentence for each facility that could not be asked, with what most of its cadences were told."""
        reasons: dict[str, Counter[str]] = {}
        for line in self.lines:
            if line.unasked:
                reasons.setdefault(line.facility, Counter())[line.reason] += 1
        sentences = []
        for facility, found in sorted(reasons.items()):
            number, [(reason, _)] = found.total(), found.most_common(1)
            sentences.append(f'{facility} could not be asked for {number} cadence{"s" if number > 1 else ""}: {reason}')
        return sentences

    def count(self, decision: str) -> int:
        """How many cadences came to this decision."""
        return sum(line.decision == decision for line in self.lines)

    @property
    def summary(self) -> str:
        """How many cadences were looked at, booked, wait, ended and had problems, in one sentence for a log."""
        booked = sum(len(line.observation_ids) for line in self.lines if line.changed)
        verb = 'would be sent' if self.dry_run else 'observations booked'
        number = self.count(SUBMIT) if self.dry_run else booked
        return (
            f'{len(self.lines)} cadences: {number} {verb}, {self.count(WAIT)} wait, {self.count(STOP)} ended, '
            f'{sum(line.failed for line in self.lines) + len(self.problems)} with problems.'
        )

    def as_dict(self) -> dict[str, Any]:
        """What ``runcadencestrategies --json`` prints."""
        lines = [asdict(line) for line in self.lines]
        return {
            'dry_run': self.dry_run,
            'failed': self.failed,
            'outages': self.outages,
            'problems': self.problems,
            'cadences': lines,
        }
