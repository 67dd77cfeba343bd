"""Random nights with faults, crashes, frozen and overlapping runs, edits and late changes: never two bookings for one cause."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

pytestmark = pytest.mark.slow


@pytest.mark.hypothesis
def test_whatever_happens_nothing_is_booked_twice_and_no_cadence_is_silent(machine: Any, many: Any) -> None:
    run_state_machine_as_test(machine, settings=many)


def test_a_number_that_is_another_facilitys_observation_is_waited_for(machine: Any) -> None:
    """The observatory lies: it names an observation of the same number that the other facility's cadence has."""
    nights = machine()
    nights.begin(
        seed=0,
        workers=1,
        parameters={'cadence_frequency': 6},
        strategies=[0, 0, 0],
        hours=4,
        facilities=['Simulated observatory', 'Plain observatory', 'Simulated observatory'],
    )
    nights.bad_reply(count=1, kind='same-id')
    nights.late_change(back=0, state='WINDOW_EXPIRED', which=1)
    nights.cron(minutes=1)
    nights.teardown()
