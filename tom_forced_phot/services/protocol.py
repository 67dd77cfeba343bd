"""What a service says and is told, as values: requests, replies, positions, progress. Pure.

A service builds a ``Request`` and reads a ``Reply``; it never sees a socket, a row or a secret of another service. Secrets stay
apart from requests, so that a request can be logged and shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tom_forced_phot.states import QueryState

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """One request. ``path`` is below the configured address, or an address from a reply, which is checked to be of that origin.

    ``changes`` is true where the service does something that must not be done twice: without a usable reply it is uncertain.
    ``signed`` adds the service's secret parameters (an account, not headers, which go out always).
    """

    method: str
    path: str
    query: Pairs = ()
    form: Pairs = ()
    changes: bool = False
    signed: bool = False


@dataclass(frozen=True)
class Secrets:
    """What proves to a service who we are; never printed."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    def texts(self) -> list[str]:
        """Every text that must not be seen, longest first."""
        found = [*self.headers.values(), *self.parameters.values(), *(self.basic or ())]
        found += [value.rpartition(' ')[2] for value in self.headers.values()]
        return sorted({text for text in found if len(text) > 3}, key=len, reverse=True)


@dataclass(frozen=True)
class Reply:
    """What came back, whole; header names are lower case."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ''
    #: Texts that must not be shown, in all their spellings.
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """The body as it may be shown; hidden before anything is cut off, so that no half of a secret stays."""
        text = self.text
        for secret in self.hidden:
            text = text.replace(secret, '***')
        return text

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.content.decode('utf-8', 'replace')

    def json(self) -> Any:
        """The body as JSON; ValueError where it is none."""
        return json.loads(self.content)


@dataclass(frozen=True)
class Position:
    """Where to measure: what a service can be told about a target. Degrees (ICRS), mas/yr, epoch as a year."""

    name: str
    ra: float | None = None
    dec: float | None = None
    moving: bool = False
    mpc_name: str = ''
    pm_ra: float | None = None
    pm_dec: float | None = None
    epoch: float | None = None

    @property
    def proper_motion(self) -> bool:
        """Whether it moves measurably and its motion is known."""
        return bool(self.pm_ra or self.pm_dec)

    def as_json(self) -> dict[str, Any]:
        """For a row."""
        return {name: value for name, value in vars(self).items() if value is not None and value is not False and value != ''}


@dataclass(frozen=True)
class Job:
    """A request to a service as its row describes it."""

    mark: str
    positions: tuple[Position, ...]
    parameters: Mapping[str, Any]
    remote: Mapping[str, Any] = field(default_factory=dict)
    last_sent: datetime | None = None
    #: Numbers at the service that are other jobs of ours about the same targets.
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Part:
    """One position of a job at the service."""

    index: int
    position: Position
    parameters: Mapping[str, Any]
    remote: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """What the service says about one position."""

    state: QueryState
    message: str = ''
    remote: Mapping[str, Any] = field(default_factory=dict)
    #: Seconds after which another look is worth while, where the service says so.
    look_again: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a reply says: progress by index of the position; what belongs to the whole job; the next page, if there is one."""

    parts: Mapping[int, Progress] = field(default_factory=dict)
    remote: Mapping[str, Any] = field(default_factory=dict)
    more: Request | None = None


class Split(Exception):
    """The service refused the request as a whole: some positions (by index) for a reason, the others are to be asked anew."""

    def __init__(self, refused: Mapping[int, str], text: str) -> None:
        """``refused`` may be empty: then each position is asked alone."""
        super().__init__(text)
        self.refused = dict(refused)
