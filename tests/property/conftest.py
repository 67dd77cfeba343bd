"""One TOM and one observatory for all examples of a test: a real SQLite file, real HTTP."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.property.machine import Nights
from tests.property.processes import arrange
from tests.property.world import World, people
from tests.support.databases import connected
from tests.support.needs import CI

ALWAYS = {'deadline': None, 'suppress_health_check': list(HealthCheck), 'stateful_step_count': 12, 'print_blob': True}
# The same 500 in every run of CI, so that a change is judged by itself; HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile('ci', max_examples=500, derandomize=True, **ALWAYS)
settings.register_profile('explore', max_examples=500, **ALWAYS)
settings.register_profile('user', max_examples=25, **ALWAYS)
settings.register_profile('search', max_examples=2000, **{**ALWAYS, 'phases': [Phase.reuse, Phase.generate]})


@pytest.fixture(scope='session')
def profile() -> Any:
    """How much is tried; HYPOTHESIS_PROFILE says otherwise."""
    return settings.get_profile(os.environ.get('HYPOTHESIS_PROFILE') or ('ci' if CI else 'user'))


@pytest.fixture
def machine(sqlite_url: str, settings: Any, monkeypatch: Any, django_db_blocker: Any) -> Iterator[type[Nights]]:
    """The machine, in a world that lasts for all its examples."""
    from simulators.observatory import Observatory
    from simulators.web import serve

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
        monkeypatch.setattr(Nights, 'world', World(server.observatory, *people()), raising=False)
        yield Nights
    logging.disable(logging.NOTSET)
