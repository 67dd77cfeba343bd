"""Facility classes that misbehave in ways no HTTP server can bring about."""

from __future__ import annotations

import threading
from typing import Any

from django.conf import settings

from custom_code.observatory import PlainObservatoryFacility, SimulatedObservatoryFacility


class DeafObservatoryFacility(PlainObservatoryFacility):
    """Takes a request and never comes back; no time-out of ``requests`` can end it."""

    name = 'Deaf observatory'

    def submit_observation(self, observation_payload: dict[str, Any]) -> list[str]:
        """Wait for ever."""
        threading.Event().wait()
        raise AssertionError('it never ends')

    def get_observation_status(self, observation_id: str) -> dict[str, Any]:
        """As the simulated observatory."""
        settings.FACILITIES.setdefault(self.name, settings.FACILITIES['Plain observatory'])
        return super().get_observation_status(observation_id)


class SlowObservatoryFacility(SimulatedObservatoryFacility):
    """Books at once, but its client returns only when the gate is opened, long after the deadline."""

    gate = threading.Event()

    def submit_observation(self, observation_payload: dict[str, Any]) -> list[str]:
        """Book, and wait."""
        booked: list[str] = super().submit_observation(observation_payload)
        self.gate.wait(20)
        return booked
