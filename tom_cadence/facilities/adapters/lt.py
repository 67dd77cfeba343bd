"""The Liverpool Telescope, by tom-lt 0.5: its form writes a window as four fields, and its class cannot tell a state.

``tom_lt/lt.py``: the form asks for ``startdate``, ``starttime``, ``enddate``, ``endtime`` (hours and minutes, UT), while the class
answers the toolkit's ``start`` and ``end``; the request's ``uid`` is the second in which it was made, so that two requests of one
second have the same; ``get_observation_status`` returns nothing, and IN_PROGRESS is listed among the states that are over.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from tom_cadence.core.windows import UTC, Window, read_window, write_instant
from tom_cadence.facilities.adapters.plugin import Adapter
from tom_cadence.facilities.errors import Declined

FIELDS = ('startdate', 'starttime', 'enddate', 'endtime')
_UID = re.compile(r'(<RTML\b[^>]*\suid=")(\d+)(")')
_ARM = re.compile(r'exp_time(?:_(?P<arm>\w+))?\Z')


class LiverpoolTelescope(Adapter):
    """Windows of whole minutes; a person says what became of each; a lost reply is put before a person."""

    facilities = ('tom_lt.lt.LTFacility',)
    answers = False
    terminal = frozenset({'COMPLETED', 'FAILED', 'EXPIRED', 'CANCELED'})
    failed = frozenset({'FAILED', 'EXPIRED'})

    def window_fields(self) -> frozenset[str]:
        """Date and time of each end."""
        return frozenset(FIELDS)

    def window(self, window: Window) -> Window:
        """To the minute, as its form takes dates."""
        return read_window(*(write_instant(each, '2000-01-01T00:00') for each in (window.start, window.end)))

    def fields(self, data: Mapping[str, Any], window: Window) -> dict[str, Any]:
        """Dates as 2026-11-21, times as 03:41."""
        ends = [each.astimezone(UTC) for each in (window.start, window.end)]
        parts = [text for each in ends for text in (each.date().isoformat(), f'{each:%H:%M}')]
        return dict(zip(FIELDS, parts, strict=True))

    def exposure(self, parameters: Mapping[str, Any]) -> float | None:
        """All filters of IO:O one after the other; of the two arms of FRODOSpec, which expose at the same time, the longer."""
        seconds = dict(_seconds(parameters))
        arms = [seconds.pop(arm, 0.0) for arm in ('blue', 'red')]
        return sum(seconds.values()) + max(arms) if seconds or any(arms) else None

    def mark(self, payload: Any, token: str) -> Any:
        """A number of its own for each request, as long as the plugin's; the telescope cannot be asked for it."""
        number = 10**9 + zlib.crc32(token.encode())
        return _UID.sub(rf'\g<1>{number}\g<3>', payload) if isinstance(payload, str) else payload

    def submit(self, facility: Any, payload: Any) -> Any:
        """The plugin trips over a refusal (``dump_request_response`` does not exist): it means that nothing was booked."""
        try:
            return facility.submit_observation(payload)
        except AttributeError as error:
            if getattr(error, 'name', '') != 'dump_request_response':
                raise
            raise Declined('The Liverpool Telescope rejects the request, and the plugin does not say why.') from error


def _seconds(parameters: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in parameters.items():
        match = _ARM.match(str(key))
        try:
            count = float(parameters.get(str(key).replace('exp_time', 'exp_count', 1)) or 0) if match else 0.0
            if match and count and value not in (None, ''):
                yield match['arm'] or '', float(value) * count
        except (TypeError, ValueError):
            continue
