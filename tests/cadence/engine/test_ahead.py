"""While the cadences of one batch are acted on, the states that the next batch depends on are asked for."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.conftest import at
from tests.support.cadences import PLAIN, bookings, records, settle
from tom_cadence.engine.run import run_cadences

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_next_batch_is_asked_for_before_anything_is_sent_for_this_one(
    observatory: Any, make_cadence: Any, settings: Any, monkeypatch: Any
) -> None:
    from custom_code.observatory import PlainObservatoryFacility

    settings.TOM_CADENCE = {'BATCH_SIZE': 1}
    first, second = (make_cadence(book=observatory, facility=PLAIN) for _ in range(2))
    settle(observatory, records(first)[0], 'COMPLETED')
    waited_for, asked = records(second)[0].observation_id, threading.Event()
    status, submit = PlainObservatoryFacility.get_observation_status, PlainObservatoryFacility.submit_observation

    def told(self: Any, observation_id: str) -> Any:
        if observation_id == waited_for:
            asked.set()
        return status(self, observation_id)

    def sent(self: Any, payload: Any) -> Any:
        assert asked.wait(10), 'nobody asked for the second cadence'
        return submit(self, payload)

    monkeypatch.setattr(PlainObservatoryFacility, 'get_observation_status', told)
    monkeypatch.setattr(PlainObservatoryFacility, 'submit_observation', sent)
    report = run_cadences(now=at(5))
    assert [line.decision for line in report.lines] == ['submit', 'wait']
    assert len(bookings(observatory)) == 3


def test_progress_is_told_for_every_batch_when_it_is_done(observatory: Any, make_cadence: Any, settings: Any) -> None:
    settings.TOM_CADENCE = {'BATCH_SIZE': 2}
    for _ in range(3):
        make_cadence(book=observatory)
    told: list[int] = []
    report = run_cadences(now=at(5), progress=told.append)
    assert told == [2, 1]
    assert len(report.lines) == 3
