"""What every test may use: a real observatory over HTTP, people, targets and cadences."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from tests.support.databases import (  # noqa: F401 (fixtures for all tests)
    database_url,
    django_db_modify_db_settings,
    kept_databases,
    migrated_postgres,
    migrated_sqlite,
    postgres_server,
    postgres_url,
    sqlite_for_workers,
    sqlite_url,
    worker_postgres_url,
    worker_sqlite_url,
    worker_url,
)
from tests.support.needs import CI, missing  # noqa: F401

NIGHT = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)

# How many examples hypothesis tries. They are the same in each run, so that a change is judged by itself: `make test` takes 50,
# `make prove` 500. HYPOTHESIS_PROFILE=explore draws 500 new ones, `search` 2,000, and leaves what it finds as it is; so does
# `make prove` in CI, where nobody waits five minutes for a shorter example: it is the same one on any machine.
ALWAYS: dict[str, Any] = {'deadline': None, 'suppress_health_check': [HealthCheck.too_slow], 'print_blob': True}
hypothesis_settings.register_profile('test', max_examples=50, derandomize=True, **ALWAYS)
PROVED = [phase for phase in Phase if not (CI and phase in (Phase.shrink, Phase.explain))]
hypothesis_settings.register_profile('prove', max_examples=500, derandomize=True, phases=PROVED, **ALWAYS)
hypothesis_settings.register_profile('explore', max_examples=500, **ALWAYS)
hypothesis_settings.register_profile('search', max_examples=2000, phases=[Phase.reuse, Phase.generate], **ALWAYS)
hypothesis_settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE') or 'test')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Without the long proofs, one more than there are cores: two fifths of their time these tests wait for other processes."""
    if os.environ.get('PYTEST_XDIST_AUTO_NUM_WORKERS') or 'not prove' not in config.option.markexpr:
        return None
    return (len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1) + 1


@pytest.fixture(scope='session', autouse=True)
def quick_flush() -> Iterator[None]:
    """Databases are emptied in a quarter of the time."""
    from django.test import TransactionTestCase

    from tests.support.flush import quickly

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, '_fixture_teardown', quickly)
        yield


@pytest.fixture
def observatory(settings: Any) -> Iterator[Any]:
    """A simulated observatory, its clock standing at NIGHT; both facility classes of the example TOM talk to it."""
    from simulators.observatory import Observatory
    from simulators.server import serve

    with serve(Observatory(seed=1)) as server:
        settings.FACILITIES = {
            name: {'portal_url': server.url, 'api_key': 'example-token'} for name in ('Simulated observatory', 'Plain observatory')
        }
        settings.TOM_FACILITY_CLASSES = [
            'custom_code.observatory.SimulatedObservatoryFacility',
            'custom_code.observatory.PlainObservatoryFacility',
        ]
        server.service.set_clock(NIGHT, frozen=True)
        server.service.url = server.url
        yield server.service


@pytest.fixture
def astronomer(db: Any) -> Any:
    """A user who owns cadences."""
    from django.contrib.auth.models import User

    return User.objects.create_user('vera', 'vera@example.org', 'stars')


@pytest.fixture
def target(db: Any, astronomer: Any) -> Any:
    """A supernova that anybody may see."""
    from tom_targets.models import Target

    return Target.objects.create(name='SN 2011fe', type='SIDEREAL', ra=210.774, dec=54.274, permissions='OPEN')


@pytest.fixture
def make_cadence(astronomer: Any, target: Any) -> Callable[..., Any]:
    """Make a cadence with one record, as the host's form would have left it."""
    from tests.support.cadences import make

    def build(**given: Any) -> Any:
        return make(astronomer, target, **given)

    return build


def at(hours: float) -> datetime:
    """An instant so many hours after NIGHT."""
    return NIGHT + timedelta(hours=hours)
