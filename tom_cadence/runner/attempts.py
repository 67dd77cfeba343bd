"""One observation record: as a row of the database, and as an attempt that strategies see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tom_cadence.exceptions import BadWindow
from tom_cadence.facilities import Gateway, Status
from tom_cadence.facilities.ocs import many_in_one_call
from tom_cadence.history import Attempt
from tom_cadence.windows import Window, read_window


@dataclass(kw_only=True, slots=True)
class Row:
    """One observation record as the engine reads it; ``parameters`` only where they were asked for."""

    pk: int
    observation_id: str
    facility: str
    status: str
    created: datetime
    scheduled_start: datetime | None
    scheduled_end: datetime | None
    start: Any
    end: Any
    submission: int | None
    target: int = 0
    noted: bool = True
    parameters: Mapping[str, Any] | None = None
    attempt: Attempt | None = None
    polled: Any = None


class ReadAttempt(Attempt):
    """An attempt whose window is read when somebody looks at it.

    Most observations of a cadence are over, and nobody asks for their windows: reading all of them was a third of the time
    of a cadence with nothing to do (2026-11-21).
    """

    @classmethod
    def of(cls, row: Row, known: dict[str, Any]) -> ReadAttempt:
        """The row's attempt; ``known`` are all of its fields but for the window and what is wrong with it."""
        made = cls.__new__(cls)
        object.__setattr__(made, '__dict__', {**known, '_row': row})
        return made

    def __getattr__(self, name: str) -> Any:
        """Read the window, once."""
        known = self.__dict__
        if name not in ('window', 'trouble') or '_row' not in known:
            raise AttributeError(name)
        known['window'], known['trouble'] = window_of(known.pop('_row'), self.keywords)
        return known[name]


def attempt_of(row: Row, gateway: Gateway, polled: Any) -> Attempt:
    """The record as a strategy sees it; made anew only where the facility has said something since."""
    if row.attempt is None or row.polled is not polled:
        row.attempt, row.polled = _make_attempt(row, gateway, polled), polled
    return row.attempt


def _make_attempt(row: Row, gateway: Gateway, polled: Any) -> Attempt:
    status = polled if isinstance(polled, Status) else None
    state = status.state if status else row.status
    schedule = (status.scheduled_start, status.scheduled_end) if status and status.has_schedule else None
    parameters = row.parameters or {}
    known = {
        'record': row.pk,
        'observation_id': row.observation_id,
        'facility': row.facility,
        'status': state,
        'outcome': gateway.outcome(state),
        'created': row.created,
        'target': row.target,
        'submission': row.submission,
        'one_call_many': bool(parameters) and many_in_one_call(parameters),
        'scheduled_start': schedule[0] if schedule else row.scheduled_start,
        'scheduled_end': schedule[1] if schedule else row.scheduled_end,
        'keywords': gateway.keywords,
        'parameters': parameters,
    }
    return ReadAttempt.of(row, known)


def window_of(row: Row, keywords: tuple[str, str]) -> tuple[Window | None, str]:
    """The window as stored, or why it cannot be read."""
    start, end = row.start, row.end
    if row.parameters is not None:
        start, end = (_value(row.parameters, keyword) for keyword in keywords)
    try:
        return read_window(start, end), ''
    except BadWindow as error:
        return None, str(error)


def _value(parameters: Mapping[str, Any], keyword: str) -> Any:
    """A window's end as stored; the two halves of a split field where only they are there."""
    value = parameters.get(keyword)
    if value in (None, '') and f'{keyword}_0' in parameters:
        return [parameters[f'{keyword}_0'], parameters.get(f'{keyword}_1')]
    return value
