"""What a strategy can decide: wait, submit or stop, each with a reason a person can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, TypeVar

from tom_cadence.core.bounds import OutOfBounds, bounded_text, json_value, primary_key, short_repr, stored_text, utc
from tom_cadence.core.windows import Window


@dataclass(frozen=True, kw_only=True)
class PhotometryRequest:
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
    wish: PhotometryRequest | None = None


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


MOST_FOLLOWED, MOST_WINDOWS, MOST_CAUSE = 1000, 1000, 150
Value = TypeVar('Value')


class InvalidDecision(ValueError):
    """No decision; the text is the end of a sentence that begins with the strategy's name."""


def validate(answer: object, records: set[int]) -> Decision:
    """The decision in plain values: Python's own numbers, short texts; InvalidDecision where nothing can be done with it.

    ``records`` are the primary keys of the group.
    """
    if not isinstance(answer, (Wait, Submit, Stop)):
        raise InvalidDecision(f'returned {short_repr(answer)}; Wait, Submit or Stop is expected.')
    decision: Any = answer
    reason = bounded_text(decision.reason) if isinstance(decision.reason, str) else ''
    if not reason:
        raise InvalidDecision(f'gives {short_repr(decision.reason)} as its reason; a text is expected.')
    if isinstance(decision, Stop):
        if decision.kind not in ('finished', 'attention'):
            raise InvalidDecision(f'ends the cadence as {short_repr(decision.kind)}; finished or attention is expected.')
        return replace(decision, reason=reason)
    if isinstance(decision, Wait):
        return replace(decision, reason=reason, wish=_wish(decision.wish))
    return _submit(replace(decision, reason=reason), records)


def _wish(wish: Any) -> PhotometryRequest | None:
    if wish is None:
        return None
    if not isinstance(wish, PhotometryRequest):
        raise InvalidDecision(f'wishes {short_repr(wish)}; a PhotometryRequest is expected.')
    service = _read(stored_text, wish.service, 'wishes that', ' is asked')
    return replace(wish, service=service, since=_read(utc, wish.since, 'asks for points since'))


def _submit(decision: Any, records: set[int]) -> Submit:
    if not isinstance(decision.window, Window):
        raise InvalidDecision(f'gives {short_repr(decision.window)} as the window; a Window is expected.')
    alternatives = decision.alternatives
    listed = isinstance(alternatives, (tuple, list)) and len(alternatives) <= MOST_WINDOWS
    if not listed or not all(isinstance(window, Window) for window in alternatives):
        raise InvalidDecision(f'gives {short_repr(alternatives)} as alternatives; Windows are expected, at most {MOST_WINDOWS}.')
    if not isinstance(decision.changes, Mapping):
        raise InvalidDecision(f'gives {short_repr(decision.changes)} as changes; a mapping of form fields is expected.')
    changes = {
        _read(stored_text, name, 'changes'): _read(json_value, value, f'changes {short_repr(name)} to')
        for name, value in decision.changes.items()
    }
    like = _read(primary_key, decision.like, 'copies record', ', which is not in the group')
    if like not in records:
        raise InvalidDecision(f'copies record {like}, which is not in the group.')
    follows = _follows(decision.follows, records)
    cause = _read(stored_text, decision.cause, 'gives', ' as its cause').strip()
    if len(cause) > MOST_CAUSE:
        raise InvalidDecision(f'gives {short_repr(cause)} as its cause; at most {MOST_CAUSE} letters are expected.')
    if not (follows or cause):
        raise InvalidDecision('does not say what the new observation follows, or its cause.')
    return replace(decision, like=like, follows=follows, cause=cause, changes=changes, alternatives=tuple(alternatives))


def _follows(given: Any, records: set[int]) -> tuple[int, ...]:
    if isinstance(given, (tuple, list, set, frozenset)) and len(given) <= MOST_FOLLOWED:
        with suppress(OutOfBounds):
            found = tuple(dict.fromkeys(primary_key(each) for each in given))
            if set(found) <= records:
                return found
    raise InvalidDecision(f'follows {short_repr(given)}; records of the group are expected.')


def _read(how: Callable[[Any], Value], value: Any, before: str, after: str = '') -> Value:
    """The value; InvalidDecision shows it between these words."""
    try:
        return how(value)
    except OutOfBounds as error:
        raise InvalidDecision(f'{before} {short_repr(value)}{after}: {error}.') from error
