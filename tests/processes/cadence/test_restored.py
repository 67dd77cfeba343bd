"""A TOM that is restored from yesterday's backup finds its own bookings before it sends, and the audit names every one of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import Client
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from simulators.portal import Portal
from simulators.server import serve
from tests.support.cadences import records
from tests.support.databases import connected
from tests.support.webform import connect, start_cadence
from tom_cadence.engine.health import audit
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence

pytestmark = [pytest.mark.faults, pytest.mark.slow]
RESUME = 'ResumeCadenceAfterFailureStrategy'
Restore = Callable[[], None]


@pytest.fixture
def portal(settings: Any) -> Iterator[Portal]:
    settings.FACILITIES, settings.TOM_FACILITY_CLASSES = {}, []
    settings.TOM_CADENCE = {'NOTIFY_BY_MAIL': False}
    with serve(Portal()) as server:
        connect(settings, server.service, 'LCO')
        yield server.service


@pytest.fixture(
    params=[
        'sqlite',
        pytest.param('postgres', marks=[pytest.mark.postgres, pytest.mark.prove(why='the same drill on a second database server')]),
    ]
)
def back_up(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any) -> Iterator[Callable[[], Restore]]:
    """On a real database: makes a backup, and gives what restores it."""
    url: str = request.getfixturevalue(f'{request.param}_url')
    make = _copy_file(Path(url.removeprefix('sqlite:///'))) if request.param == 'sqlite' else None
    make = make or _copy_database(url, request.getfixturevalue('postgres_server'))
    with connected(url, django_db_blocker):
        yield make


def _copy_file(path: Path) -> Callable[[], Restore]:
    kept = path.with_suffix('.backup')

    def copy(source: Path, target: Path) -> None:
        connections['default'].close()
        with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
            one.backup(other)

    def make() -> Restore:
        copy(path, kept)
        return lambda: copy(kept, path)

    return make


def _copy_database(url: str, server: Any) -> Callable[[], Restore]:
    name = url.partition('@/')[2].partition('?')[0]

    def copy(source: str, target: str) -> None:
        connections['default'].close()
        server.tell(f'DROP DATABASE IF EXISTS {target} WITH (FORCE)')
        server.make(template=source, name=target)

    def make() -> Restore:
        copy(name, f'{name}_backup')
        return lambda: copy(f'{name}_backup', name)

    return make


class Drill:
    """Three targets of one astronomer at a portal; each cadence is begun on the toolkit's observation form."""

    def __init__(self, portal: Portal) -> None:
        """At this hour: the portal's forms take the real one."""
        self.portal, self.now = portal, datetime.now(timezone.utc).replace(second=0, microsecond=0)
        self.vera = User.objects.create_superuser('vera', 'vera@example.org', 'stars')
        self.targets = [
            Target.objects.create(name=f'SN {number}', type='SIDEREAL', ra=210.7 + number, dec=54.2, permissions='OPEN')
            for number in range(3)
        ]

    def start(self, number: int) -> Any:
        """Begin a cadence of a target."""
        browser = Client()
        browser.force_login(self.vera)
        window = (self.now + timedelta(hours=1), self.now + timedelta(hours=9))
        target = self.targets[number]
        return start_cadence(browser, target, 'LCO', 'IMAGING', RESUME, {'cadence_frequency': 24}, window=window)

    def booked(self) -> list[str]:
        """What the portal holds."""
        return sorted(str(request['id']) for group in self.portal.submissions for request in group.reply['requests'])


def test_a_restored_tom_books_nothing_twice_and_the_audit_names_every_booking(
    back_up: Callable[[], Restore], portal: Portal
) -> None:
    drill = Drill(portal)
    first = [records(drill.start(number))[0].observation_id for number in (0, 1)]
    later = drill.now + timedelta(hours=10)

    restore = back_up()
    for number in first:
        portal.set_state(number, 'WINDOW_EXPIRED')
    run_cadences(now=later)
    drill.start(2)
    booked = sorted(ObservationRecord.objects.values_list('observation_id', flat=True))
    assert len(booked) == 5, 'two first ones, two that followed, and that of a cadence which the backup does not know'

    restore()
    assert sorted(ObservationRecord.objects.values_list('observation_id', flat=True)) == sorted(first)
    found = audit(later)
    assert sorted(finding.id for finding in found.without_record) == sorted(set(booked) - set(first))
    assert not found.without_booking
    with pytest.raises(SystemExit):
        call_command('runcadencestrategies', '--audit', stdout=StringIO())

    asked = len(portal.submissions)
    run_cadences(now=later)
    drill.start(2)
    assert len(portal.submissions) == asked, 'nothing was booked a second time'
    assert sorted(ObservationRecord.objects.values_list('observation_id', flat=True)) == booked
    assert set(ManagedCadence.objects.values_list('state', flat=True)) == {'active'}
    assert audit(later).ok
