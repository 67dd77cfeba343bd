"""One TOM and one observatory for all examples of a test: a real SQLite file, real HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.property.machine import Nights
from tests.property.processes import arrange
from tests.property.world import World, people
from tests.support.databases import connected


@pytest.fixture(scope='session')
def many() -> Any:
    """As many examples as the profile says, of twelve steps each."""
    return settings(suppress_health_check=list(HealthCheck), stateful_step_count=12)


@pytest.fixture
def machine(sqlite_url: str, settings: Any, monkeypatch: Any, django_db_blocker: Any) -> Iterator[type[Nights]]:
    """The machine, in a world that lasts for all its examples."""
    from simulators.observatory import Observatory
    from simulators.server import serve

    logging.disable(logging.CRITICAL)
    with serve(Observatory(seed=1)) as server, connected(sqlite_url, django_db_blocker):
        portal = {'portal_url': server.url, 'api_key': 'example-token'}
        settings.FACILITIES = {'Simulated observatory': portal, 'Plain observatory': portal}
        settings.TOM_FACILITY_CLASSES = [
            'custom_code.observatory.SimulatedObservatoryFacility',
            'custom_code.observatory.PlainObservatoryFacility',
        ]
        settings.TOM_CADENCE = {'CLOCK': 'tests.property.processes.clock', 'NOTIFY_BY_MAIL': False}
        arrange(monkeypatch)
        monkeypatch.setattr(Nights, 'world', World(server.service, *people()), raising=False)
        yield Nights
    logging.disable(logging.NOTSET)
