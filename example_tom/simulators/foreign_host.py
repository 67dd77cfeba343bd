"""A foreign host: it answers everything with 200 and notes what it was sent, so that a leaked credential is seen.

``with serve(ForeignHost()) as foreign: atlas.fault('status', 'foreign-url', origin=foreign.root)``; then
``foreign.service.strays`` (also in ``/control/requests``) lists each request, and in ``carried`` what it gave away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulators.service import Answer, Request, Service, as_text


@dataclass
class ForeignHostOptions:
    """What it answers."""

    body: str = '{}'
    kind: str = 'application/json'


class ForeignHost(Service):
    """The foreign host."""

    name = 'foreign'
    verbs = ('any',)
    options: ForeignHostOptions

    def __init__(self, seed: int = 0, **options: Any) -> None:
        """Start with nothing noted."""
        super().__init__(ForeignHostOptions(**options), None, seed)

    def verb(self, request: Request) -> str | None:
        """Everything is welcome."""
        return 'any'

    def work(self, verb: str, request: Request, lost: str) -> Answer:
        """Note and answer."""
        self.stray(request, 'came')
        return as_text(200, self.options.body, self.options.kind)
