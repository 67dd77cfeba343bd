"""The window hooks of the two built-in strategies."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tom_cadence.decisions import Stop, Submit
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.history import Attempt, Unit
from tom_cadence.strategies.base import CadenceStrategy
from tom_cadence.windows import Window, read_window, write_instant


class AdvancesWindow(CadenceStrategy):
    """A strategy whose next window is the last one, moved by the cadence frequency."""

    needs_parameters = False
    _now: datetime | None = None

    def advance_window(
        self, observation_payload: dict[str, Any], start_keyword: str = 'start', end_keyword: str = 'end'
    ) -> dict[str, Any]:
        """Move the window in form parameters on by ``cadence_frequency`` hours, never into the past; override to do otherwise."""
        start, end = observation_payload.get(start_keyword), observation_payload.get(end_keyword)
        window = self._moved(read_window(start, end))
        observation_payload[start_keyword] = write_instant(window.start, start)
        observation_payload[end_keyword] = write_instant(window.end, end)
        return observation_payload

    def _moved(self, window: Window) -> Window:
        moved = window.later_by(self.parameters.frequency)
        return moved if self._now is None else moved.not_before(self._now)

    def _next(self, attempt: Attempt, now: datetime, reason: str, unit: Unit) -> Submit:
        """The next observation after ``attempt``, through ``advance_window`` where a subclass has its own."""
        self._now = now
        changes: Mapping[str, Any] = {}
        if type(self).advance_window is AdvancesWindow.advance_window:
            window = self._moved(self._base(attempt))
        else:
            window, changes = self._by_hook(attempt)
        return Submit(reason=reason, window=window, like=attempt.record, follows=unit.records, changes=changes)

    def _base(self, attempt: Attempt) -> Window:
        """The window the next one counts from."""
        window = known_window(attempt)
        observed = attempt.scheduled_start if self.parameters.count_from == 'observed' else None
        return window.starting(observed) if observed else window

    def _by_hook(self, attempt: Attempt) -> tuple[Window, Mapping[str, Any]]:
        start, end = attempt.keywords
        before = copy.deepcopy(dict(attempt.parameters))
        after = self.advance_window(copy.deepcopy(before), start_keyword=start, end_keyword=end)
        if not isinstance(after, Mapping):
            raise NeedsAttention(f'advance_window of {type(self).__name__} returned {after!r} in place of the parameters.')
        changes = {key: value for key, value in after.items() if key not in (start, end) and before.get(key) != value}
        return read_window(after.get(start), after.get(end)), changes


def known_window(attempt: Attempt) -> Window:
    """The attempt's window; NeedsAttention where it cannot be read."""
    if attempt.window is None:
        raise NeedsAttention(f'Observation {attempt.observation_id}: {attempt.trouble or "its window cannot be read."}')
    return attempt.window


def cancelled(unit: Unit) -> Stop:
    """What a cancellation means where it is not asked for again."""
    return Stop(reason=f'{unit.in_words()}, so it is not asked for again. Resume the cadence to go on.')
