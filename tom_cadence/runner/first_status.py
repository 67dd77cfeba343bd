"""The state of an observation just booked: asked for when no request has to be sent first."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.facilities import Calls, Facilities, Gateway, Status
from tom_cadence.facilities.calls import Call
from tom_cadence.points import Point, reach
from tom_cadence.runner.act import Sending


@dataclass(eq=False)
class FirstStatus:
    """The question after a new observation's state; its failure is harmless."""

    gateway: Gateway
    records: Sequence[ObservationRecord]


class FirstStatuses:
    """Questions that wait for room among the calls; ``len`` of them."""

    def __init__(self, facilities: Facilities, calls: Calls) -> None:
        """None yet."""
        self._facilities, self._calls = facilities, calls
        self._waiting: deque[FirstStatus] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, sending: Sending, records: Sequence[ObservationRecord]) -> None:
        """Ask for these later."""
        if not records:
            return
        gateway = self._facilities.gateway(sending.submission.facility, sending.item.managed.owner)
        if gateway.can_poll and not gateway.updates_itself:
            self._waiting.append(FirstStatus(gateway, records))

    def ask(self) -> bool:
        """Ask as many as there is room for now; whether any was asked."""
        left: deque[FirstStatus] = deque()
        asked = False
        while self._waiting:
            each = self._waiting.popleft()
            if self._calls.room(each.gateway.name):
                self._start(each)
                asked = True
            else:
                left.append(each)
        self._waiting = left
        return asked

    def _start(self, each: FirstStatus) -> None:
        def states() -> list[Status]:
            return [each.gateway.status(record.observation_id) for record in each.records]

        self._calls.start(each, each.gateway.name, states, conf.get('FACILITY_TIMEOUT'))

    def take(self, asked: FirstStatus, call: Call) -> None:
        """Save what the facility says."""
        if call.error is not None and not isinstance(call.error, Exception):
            raise call.error
        reach(Point.STATUS_ASKED)
        for record, status in zip(asked.records, call.result or (), strict=False):
            if isinstance(status, Status):
                journal.save_status(record, status.state, (status.scheduled_start, status.scheduled_end))
