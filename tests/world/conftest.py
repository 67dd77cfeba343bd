"""A world in this process: its database, clocks, line and people; each seed begins with a copy of the same evening."""

from __future__ import annotations

import contextlib
import gc
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.backends.signals import connection_created
from django.test import Client, override_settings
from requests.adapters import HTTPAdapter
from tom_targets.models import Target
from tom_targets.templatetags import targets_extras

from simulators.observatory import Observatory
from tests.support.cadences import PLAIN, SIMULATED
from tests.support.databases import connected
from tests.world import clocks, site
from tests.world.line import ADDRESS
from tests.world.month import Month
from tests.world.stage import know_the_time
from tom_cadence.facilities.calls import Call, Calls, ThreadPool
from tom_cadence.facilities.transport import deadline
from tom_followup import clock as database_clock
from tom_followup import failpoints, retry


def at_once(pool: ThreadPool, call: Call, calls: Calls) -> None:
    """A pool of one, which is whoever asks: a call is made where it is started, so that answers come in one order."""
    following: Call | None = call
    while following is not None:
        call = following
        call.context.run(_carry_out, call)
        following = calls.leave(call)
        calls.done(call)


def _carry_out(call: Call) -> None:
    try:
        with deadline(call.timeout):
            call.result = call.function()
    except Exception as error:
        call.error = error


class FewPoints:
    """numpy for the curve of the moon beside the host's form: nobody looks at it here, and it takes two seconds."""

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)

    @staticmethod
    def arange(*_: float) -> Any:
        """Two points."""
        return numpy.array([0.0, 15.0])


@dataclass(frozen=True)
class Evening:
    """A database with people and targets, with which every seed begins, and the cookies with which people are logged in."""

    path: Path
    sessions: dict[str, str]


@pytest.fixture(scope='session')
def evening(migrated_sqlite: Path, tmp_path_factory: Any, django_db_blocker: Any) -> Evening:
    """Made once."""
    path = Path(shutil.copy(migrated_sqlite, tmp_path_factory.mktemp('world') / 'evening.sqlite3'))
    sessions = {}
    with connected(f'sqlite:///{path}', django_db_blocker), override_settings(SESSION_COOKIE_AGE=10**9):
        for name in ('vera', 'jo'):
            User.objects.create_user(name, f'{name}@example.org')
        User.objects.create_superuser('admin', 'admin@example.org')
        for number in range(9):
            Target.objects.create(name=f'SN {number}', type='SIDEREAL', ra=10.0 + 20 * number, dec=30.0, permissions='OPEN')
        for user in User.objects.filter(username__in=['vera', 'jo', 'admin']):
            client = Client()
            client.force_login(user)
            sessions[user.username] = client.cookies['sessionid'].value
        with connections['default'].cursor() as cursor:
            cursor.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    return Evening(path, sessions)


@pytest.fixture
def world(
    evening: Evening, tmp_path: Path, settings: Any, monkeypatch: Any, django_db_blocker: Any
) -> Iterator[Callable[..., Month]]:
    """Make the month of a seed; the month before it is over then."""
    portal = {'portal_url': ADDRESS, 'api_key': 'example-token'}
    settings.FACILITIES = dict.fromkeys((SIMULATED, PLAIN, site.RETRYING), portal)
    settings.TOM_FACILITY_CLASSES = site.FACILITIES
    settings.TOM_CADENCE_STRATEGIES = site.STRATEGIES
    settings.TOM_CADENCE = {'SITE_KEY': 'world'}
    settings.EMAIL_BACKEND = 'tests.world.site.Mail'
    monkeypatch.setattr(ThreadPool, 'give', at_once)
    logging.disable(logging.CRITICAL)
    with contextlib.ExitStack() as rooms:

        def make(seed: int, **more: Any) -> Month:
            rooms.close()
            return rooms.enter_context(_month(seed, evening, tmp_path, django_db_blocker, **more))

        yield make
    logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _month(seed: int, evening: Evening, folder: Path, blocker: Any, **more: Any) -> Iterator[Month]:
    clock = clocks.Clock()
    observatory = Observatory(seed=seed)
    month = Month(seed, clock, observatory, evening.sessions, **more)
    site.Mail.taken = month.mailed
    created = know_the_time(month.stage)
    with (
        pytest.MonkeyPatch.context() as patch,
        connected(f'sqlite:///{shutil.copy(evening.path, folder / "tom.sqlite3")}', blocker),
    ):
        clocks.install(clock, month.stage.skew, patch)
        patch.setattr(failpoints, 'on_reach', lambda point: month.stage.point(point.value))
        patch.setattr(retry, 'pause', month.stage.wait)
        patch.setattr(HTTPAdapter, 'get_connection_with_tls_context', lambda *_, **__: month.line)
        patch.setattr(targets_extras, 'np', FewPoints())
        options = connections.settings['default']['OPTIONS']
        options['init_command'] = 'PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;'
        connection_created.connect(created)
        database_clock.reset()
        gc.freeze()
        gc.disable()
        try:
            yield month
        finally:
            gc.enable()
            gc.unfreeze()
            month.stage.close()
            connection_created.disconnect(created)
            database_clock.reset()
            observatory.close()
            if month.saved is not None:
                month.saved.close()
            connections['default'].close()
    for each in folder.glob('tom.sqlite3*'):
        each.unlink()
