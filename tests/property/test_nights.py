"""Random nights with faults, crashes, frozen and overlapping runs, edits and late changes: never two bookings for one cause."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

pytestmark = pytest.mark.slow


def test_whatever_happens_nothing_is_booked_twice_and_no_cadence_is_silent(machine: Any, profile: Any) -> None:
    run_state_machine_as_test(machine, settings=profile)
