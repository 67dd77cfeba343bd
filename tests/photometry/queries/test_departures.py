"""A target or a user is deleted while a service works for them: its task goes, its place is free, and whoever waits is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.photometry.conftest import HOUR, Hands
from tests.support.asking import ask, fresh, until
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryNotice, PhotometryQuery, RemoteJob
from tom_forced_phot.queries import accounts
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

pytestmark = pytest.mark.django_db(transaction=True)


def at_the_server(atlas: Any) -> int:
    return len(atlas.service.queue.tasks)


def test_the_tasks_of_a_deleted_target_are_stopped_and_make_room_and_followers_are_told(
    atlas: Any, clock: Hands, make_target: Any, astronomer: Any, django_user_model: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(AtlasForcedPhotometryService, 'open_jobs', 10)
    monkeypatch.setattr(AtlasForcedPhotometryService, 'open_jobs_urgent', 10)
    friend = django_user_model.objects.create_user('friend')
    atlas.service.configure(held=True)
    gone, stays = make_target(permissions='PUBLIC'), make_target(permissions='PUBLIC')
    ask(gone, clock, astronomer, controls=True)
    ask(gone, clock, friend, controls=True)
    queries.run(clock)
    waiting = ask(stays, clock, astronomer, controls=True)
    queries.run(clock)
    assert (at_the_server(atlas), fresh(waiting).state) == (9, 'queued')
    gone.delete()
    assert at_the_server(atlas) == 0
    assert set(RemoteJob.objects.values_list('state', flat=True)) == {'closed'}
    assert {notice.user for notice in PhotometryNotice.objects.all()} == {astronomer, friend}
    clock.move(HOUR)
    queries.run(clock)
    assert (at_the_server(atlas), fresh(waiting).state) == (9, 'submitted')
    atlas.service.configure(held=False)
    until(clock, 'done')


def test_a_target_is_deleted_though_the_server_is_away(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.configure(held=True)
    ask(target, clock)
    queries.run(clock)
    atlas.service.fault('delete', '500')
    target.delete()
    assert not PhotometryQuery.objects.exists()
    assert RemoteJob.objects.get().state == 'closed'


def test_the_task_of_a_deleted_user_goes_with_the_users_own_account(
    atlas: Any, clock: Hands, target: Any, django_user_model: Any
) -> None:
    user = django_user_model.objects.create_user('alice', password='x')
    accounts.save(user, 'ATLAS', {'api_key': next(iter(atlas.service.accounts.tokens))})
    atlas.service.configure(held=True)
    query = ask(target, clock, user)
    queries.run(clock)
    assert at_the_server(atlas) == 1
    user.delete()
    assert at_the_server(atlas) == 0
    clock.move(HOUR)
    queries.run(clock)
    assert (fresh(query).state, RemoteJob.objects.get().state) == ('failed', 'closed')
