"""Who asks the same in the instant in which the answer is written sees it as well, on real databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from guardian.shortcuts import get_objects_for_user
from tom_targets.models import Target

from tests.support.phot_processes import DATES, PhotTom, make_targets
from tom_followup import failpoints
from tom_followup.failpoints import PhotometryPoint
from tom_forced_phot import conf, queries

pytestmark = [pytest.mark.faults, pytest.mark.slow]


class Second:
    """Somebody who asks the same, in a thread, when the first one's points are written and not committed."""

    def __init__(self, target: Any, user: User) -> None:
        self.target, self.user, self.created = target, user, True
        self.thread = threading.Thread(target=self._ask)

    def __call__(self, point: PhotometryPoint) -> None:
        if point is PhotometryPoint.POINTS_WRITTEN and not self.thread.ident:
            self.thread.start()
            self.thread.join(1)  # it comes as far as it can

    def _ask(self) -> None:
        try:
            self.created = queries.ask('ATLAS', self.target, DATES, self.user, conf.utc_now()).created
        finally:
            connection.close()


def test_who_follows_while_the_answer_is_written_may_see_it(
    open_tom: Callable[..., PhotTom], database_url: str, settings: Any, monkeypatch: Any
) -> None:
    tom = open_tom(database_url)
    settings.TARGET_PERMISSIONS_ONLY = False
    target = Target.objects.get(pk=make_targets(1)[0].pk)
    first, other = (User.objects.create_user(name) for name in ('vera', 'edwin'))
    query = queries.ask('ATLAS', target, DATES, first, conf.utc_now()).query
    second = Second(target, other)
    monkeypatch.setattr(failpoints, 'on_reach', second)
    tom.run_until_ended()
    second.thread.join(60)
    tom.run_until_ended()  # what the second one asked for may have been written down after the last run
    query.refresh_from_db()
    allowed = [get_objects_for_user(user, 'tom_dataproducts.view_dataproduct') for user in (first, other)]
    assert query.data_product in allowed[0]
    if second.created:  # SQLite has one writer: the second was asked when the first was closed, and has an answer of its own
        assert allowed[1].get() != query.data_product
    else:
        assert query.data_product in allowed[1]
    assert second.created == ('sqlite' in database_url)
