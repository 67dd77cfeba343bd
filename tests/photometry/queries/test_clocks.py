"""Hosts whose clocks differ by minutes or hours: one clock is compared, the database's, and one question is one task."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.utils import timezone as django_timezone

from tests.photometry.conftest import HOUR, MINUTE, Hands
from tests.support.asking import ask, fresh
from tom_followup import failpoints
from tom_followup.clock import database_now
from tom_followup.failpoints import PhotometryPoint
from tom_forced_phot import conf, queries
from tom_forced_phot.models import ServiceBudget
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

pytestmark = pytest.mark.django_db(transaction=True)
OFF = [timedelta(minutes=20), timedelta(hours=2), -timedelta(minutes=20), -timedelta(hours=2)]


class Gone(BaseException):
    """The other host's request is on its way, for as long as it likes."""


@pytest.mark.parametrize('off', OFF)
def test_by_default_the_present_is_the_databases_whatever_this_hosts_clock_says(db: Any, monkeypatch: Any, off: timedelta) -> None:
    true = conf.utc_now()
    monkeypatch.setattr(django_timezone, 'now', lambda: datetime.now(timezone.utc) + off)
    assert abs(conf.utc_now() - true) < timedelta(minutes=1)
    assert conf.utc_now().tzinfo is not None


@pytest.mark.postgres
def test_postgresql_tells_the_present_and_not_the_beginning_of_a_transaction(db: Any) -> None:
    from django.db import connection, transaction

    if connection.vendor != 'postgresql':
        pytest.skip('Only where the tests run on PostgreSQL.')
    with transaction.atomic():
        first = conf.utc_now()
        with connection.cursor() as cursor:
            cursor.execute('SELECT pg_sleep(0.01)')
        assert conf.utc_now() > first


@pytest.mark.parametrize('point', [PhotometryPoint.SENDING, PhotometryPoint.REPLIED])
@pytest.mark.parametrize('off', OFF)
def test_while_one_hosts_request_is_on_its_way_another_with_a_wrong_clock_sends_none(
    atlas: Any, clock: Hands, target: Any, monkeypatch: Any, off: timedelta, point: PhotometryPoint
) -> None:
    query = ask(target, clock)

    def leave(reached: PhotometryPoint) -> None:
        if reached is point:
            raise Gone

    monkeypatch.setattr(failpoints, 'on_reach', leave)
    with pytest.raises(Gone):
        queries.run(clock)
    monkeypatch.setattr(failpoints, 'on_reach', None)
    sent = len(atlas.service.log())

    def other() -> datetime:
        return clock() + off

    for _ in range(5):  # a call lasts five minutes at the most
        queries.run(other)
        clock.move(MINUTE)
    assert len(atlas.service.log()) == sent
    for _ in range(200):
        queries.run(other)
        queries.run(clock)
        clock.move(MINUTE)
    assert len(atlas.service.log()) == 1
    assert fresh(query).state == 'done'


@pytest.mark.parametrize('off', OFF)
def test_two_hosts_share_one_budget(atlas: Any, clock: Hands, target: Any, monkeypatch: Any, off: timedelta) -> None:
    """By the database's clock: what each host's own says is not even looked at."""
    from tom_forced_phot.exceptions import Throttled
    from tom_forced_phot.queries import client

    service = AtlasForcedPhotometryService({'api_key': 'x'})
    for number in range(60):
        monkeypatch.setattr(django_timezone, 'now', lambda number=number: datetime.now(timezone.utc) + off * (number % 2))
        if number < 50:
            client.take(service, 'site', database_now(), write=True)
        else:
            with pytest.raises(Throttled):
                client.take(service, 'site', database_now(), write=True)
    assert len(ServiceBudget.objects.get().writes) == 50


def test_a_task_is_found_again_also_where_the_servers_clock_is_hours_behind(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.fault('submit', 'reset-after')
    atlas.service.clock.set(clock() - 2 * HOUR, frozen=True)
    clock.followers.clear()
    query = ask(target, clock)
    for _ in range(15):
        queries.run(clock)
        clock.move(MINUTE)
    assert len(atlas.service.log()) == 1
    assert fresh(query).job is not None
