"""What a strategy can decide: wait, submit or stop, each with a reason a person can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tom_cadence.windows import Window


@dataclass(frozen=True, kw_only=True)
class FreshLook:
    """A wish: that a photometry service is asked about the target, for points not older than ``since`` (aware UTC).

    ``History.looks`` says later what became of it.
    """

    service: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Do nothing now.

    ``reason`` holds no running numbers ("in 3 h"), so that the same wait folds into one line of the history. A strategy asks
    nobody itself: ``wish`` is carried out by the engine, once, and left alone by dry runs and previews.
    """

    reason: str
    wish: FreshLook | None = None


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Ask for one observation.

    ``follows`` are the primary keys of the observation records that this one answers: each record is answered once, whatever
    happens. A submission that answers none names its ``cause`` instead (unique within the cadence).
    ``like`` is the record whose parameters are copied; ``changes`` are laid over the copy. ``alternatives`` are windows that do as
    well, best first: where the target cannot be observed in ``window``, the first of them in which it can is taken. Without any
    the window itself is moved.
    """

    reason: str
    window: Window
    like: int
    follows: tuple[int, ...] = ()
    cause: str = ''
    changes: Mapping[str, Any] = field(default_factory=dict)
    alternatives: tuple[Window, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stop:
    """End this cadence: ``finished`` where it did what it was for, ``attention`` where a person must look."""

    reason: str
    kind: Literal['finished', 'attention'] = 'finished'


Decision = Wait | Submit | Stop
