"""The Neil Gehrels Swift Observatory, by tom-swift 0.4: a target of opportunity is read by people, and has no window.

``swifttools`` 3.0 sends no dates (``date_begin`` and ``date_end`` of a request are answers of the observatory), so that the window
is said in words in the immediate objective, where the observatory's scientists read what is asked for. ``tom_swift/swift.py``: one
request object belongs to each facility object, so that each call needs its own; ``get_observation_status`` is not written; while
``debug`` is ticked, as it is at first, the observatory answers with a number and books nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tom_cadence.core.windows import Window, show
from tom_cadence.exceptions import Uncertain
from tom_cadence.facilities.adapters.plugin import Adapter
from tom_cadence.facilities.errors import Declined
from tom_cadence.facilities.reply_text import short_line

OBJECTIVE = 'immediate_objective'
_SAID = re.compile(r'\s*\(Please observe between \d{4}-\d\d-\d\d \d\d:\d\d UTC and \d{4}-\d\d-\d\d \d\d:\d\d UTC\.\)\Z')


class Swift(Adapter):
    """The window in words; a person says what became of each; a lost reply is put before a person."""

    facilities = ('tom_swift.swift.SwiftFacility',)
    answers = False
    terminal = frozenset({'Completed', 'Failed', 'Expired', 'Canceled'})
    failed = frozenset({'Failed', 'Expired'})

    def fields(self, data: Mapping[str, Any], window: Window) -> dict[str, Any]:
        """The astronomer's objective, whole, with this window in place of that of the night before."""
        before = _SAID.sub('', str(data.get(OBJECTIVE) or ''))
        return {OBJECTIVE: f'{before} (Please observe between {show(window.start)} and {show(window.end)}.)'.strip()}

    def refuses(self, data: Mapping[str, Any]) -> str:
        """A request for trying out."""
        if str(data.get('debug', '')).lower() in ('', 'false', '0', 'none', 'off'):
            return ''
        return 'Debug is ticked: Swift would check the request, answer with a number, and book nothing. Untick it.'

    def exposure(self, parameters: Mapping[str, Any]) -> float | None:
        """The total that is asked for."""
        try:
            return float(parameters['exposure'])
        except (KeyError, TypeError, ValueError):
            return None

    def submit(self, facility: Any, payload: Any) -> Any:
        """Through a request object of its own. "Rejected" is a refusal; a queue that did not end is not."""
        own = type(facility)()
        own.set_user(getattr(facility, 'user', None))
        found = own.submit_observation(payload)
        status = own.swift_api.too.status
        said = short_line('; '.join(map(str, status.errors or ())))
        if status.status == 'Rejected' and 'queue' not in said.lower():
            raise Declined(f'Swift rejects the request: {said or "it gives no reason."}')
        if status.status != 'Accepted':
            raise Uncertain(f'It is not known whether Swift took the request ({short_line(status.status)}: {said}).')
        return found
