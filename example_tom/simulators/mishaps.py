"""Faults that a simulated photometry service commits on demand: a queue a verb, each with a count.

Kinds. Nothing is done: ``500`` ``503`` ``401`` ``404`` ``429`` (Retry-After ``seconds``, body ``text``) ``html`` (200
with an HTML page, ``text`` inside) ``empty`` (200, no body) ``malformed`` (200, broken JSON) ``reset-before`` (RST)
``hang`` (no answer until released or the client leaves, then the line is cut) ``redirect-foreign`` (302 to ``origin``).
``text`` is the ``detail`` of an error, or its whole body if it is JSON.
The work is done and its reply lost: ``500-after`` ``503-after`` ``429-after`` ``html-after`` ``empty-after``
``malformed-after`` ``reset-after`` ``hang-after`` (answered when released, if the client still waits) ``late`` (done and
answered only when released, even if the client has left meanwhile).
The work is done and the reply comes, but oddly: ``foreign-url`` (every own address in it moved to ``origin``) ``slow``
(a byte each ``seconds``) ``huge`` (a body without end) ``cut`` (half of the body, then the line is cut).
"""

from __future__ import annotations

from dataclasses import dataclass

from simulators.gate import Queues

PLAIN = ('500', '503', '401', '404', '429', 'html', 'empty', 'malformed')
BEFORE = (*PLAIN, 'reset-before', 'hang', 'redirect-foreign')
LOST = ('500-after', '503-after', '429-after', 'html-after', 'empty-after', 'malformed-after')
AFTER = (*LOST, 'reset-after', 'hang-after', 'late')
ODD = ('foreign-url', 'slow', 'huge', 'cut')
KINDS = BEFORE + AFTER + ODD


@dataclass
class Mishap:
    """One wish: let ``skip`` fitting requests pass, then commit ``kind`` for the next ``count`` (-1: for ever)."""

    kind: str
    count: int = 1
    match: str = ''
    skip: int = 0
    seconds: float | None = None
    text: str | None = None
    origin: str = 'http://evil.example'

    def __post_init__(self) -> None:
        """Refuse a kind that is not known."""
        if self.kind not in KINDS:
            raise ValueError(f'unknown fault {self.kind!r}; known: {", ".join(KINDS)}')

    def strikes(self, text: str) -> bool:
        """Whether this request meets the fault; a fitting one that is let pass is counted."""
        if self.match not in text:
            return False
        self.skip -= 1
        return self.skip < 0


Mishaps = Queues[Mishap]
