"""Questions after states, among the other calls of a run."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from tom_cadence.engine.polling import Polling
from tom_cadence.facilities import Calls, Status

LONG = 60.0


def test_a_request_that_ends_late_while_states_are_waited_for_is_handed_on() -> None:
    gate, asked = threading.Event(), threading.Event()

    def status(observation_id: str) -> Status:
        asked.wait(LONG)
        return Status(state='PENDING')

    gateway = SimpleNamespace(
        name='a', owner=None, updates_itself=False, can_poll=True, many_at_once=False, status=status, facility=object()
    )
    item: Any = SimpleNamespace(managed=SimpleNamespace(owner=None), polled={})
    row: Any = SimpleNamespace(
        pk=7, facility='a', observation_id='x', status='PENDING', created=datetime(2026, 11, 21, tzinfo=timezone.utc)
    )
    facilities: Any = SimpleNamespace(gateway=lambda name, owner: gateway)
    calls, handed_on = Calls(4, 2, grace=0), []
    calls.start('request', 'a', lambda: gate.wait(LONG) and ['booked'], 0.01)
    assert calls.next().error is not None

    def take(call: Any) -> None:
        handed_on.append((call.key, call.late, call.result))
        asked.set()

    polling = Polling(facilities, calls, may_write=False)
    polling.start([(item, [row])])
    gate.set()
    assert list(polling.ready([item], take)) == [[item]]
    assert handed_on == [('request', True, ['booked'])]
    assert item.polled == {7: Status(state='PENDING')}
