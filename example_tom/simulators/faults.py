"""Faults that a simulated server commits on demand: a queue a verb, each with a count."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulators.gate import Queues

#: Where the fault strikes: the work was not done, or it was done and only the reply suffers.
BEFORE = ('500-before', '503', '403', '404', 'reset-before', 'refuse', 'empty-ids', 'same-id', 'hang', 'late')
AFTER = ('500-after', 'reset-after', 'malformed-after', 'hang-after')


@dataclass
class Fault:
    """One wish: commit ``kind`` for the next ``count`` requests whose text contains ``match``."""

    kind: str
    count: int = 1
    match: str = ''
    errors: dict[str, list[str]] = field(default_factory=lambda: {'non_field_errors': ['Not visible in this window.']})

    def __post_init__(self) -> None:
        """Refuse a kind that no server commits."""
        if self.kind not in BEFORE + AFTER:
            raise ValueError(f'unknown fault {self.kind!r}; known: {", ".join(BEFORE + AFTER)}')

    def strikes(self, text: str) -> bool:
        """Whether this request meets the fault."""
        return self.match in text


Faults = Queues[Fault]
