"""Messages to workers: one on its way for each query, however often it is enqueued; lost ones are made up for.

The broker here is a list; tests/processes has the real ones.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.photometry.conftest import HOUR, MINUTE, Hands
from tests.support.asking import ask_many
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.queries import submit
from tom_forced_phot.queries.advance import BEING_SENT

pytestmark = pytest.mark.django_db(transaction=True)


class Messages:
    """What is on its way: (when, query)."""

    def __init__(self, clock: Hands) -> None:
        self.clock = clock
        self.waiting: list[tuple[datetime, int]] = []

    def send(self, pk: int) -> None:
        self.waiting.append((self.clock(), pk))

    def send_with_options(self, args: tuple[int], delay: int) -> None:
        self.waiting.append((self.clock() + timedelta(milliseconds=delay), args[0]))

    def deliver(self, span: timedelta) -> int:
        """Let time pass and hand over what comes in it, in order; how many messages."""
        from tom_forced_phot import tasks

        end, number = self.clock() + span, 0
        while self.waiting and min(self.waiting)[0] <= end:
            when, pk = min(self.waiting)
            self.waiting.remove((when, pk))
            self.clock.move(max(timedelta(0), when - self.clock()))
            tasks.advance_query.fn(pk)
            number += 1
        self.clock.move(end - self.clock())
        return number


@pytest.fixture
def messages(clock: Hands, monkeypatch: Any) -> Messages:
    import dramatiq
    from dramatiq.brokers.stub import StubBroker

    dramatiq.set_broker(StubBroker())
    from tom_forced_phot import tasks

    made = Messages(clock)
    monkeypatch.setattr(tasks.advance_query, 'send', made.send)
    monkeypatch.setattr(tasks.advance_query, 'send_with_options', made.send_with_options)
    return made


def states() -> set[str]:
    return set(PhotometryQuery.objects.values_list('state', flat=True))


def test_workers_alone_bring_everything_to_its_end(atlas: Any, clock: Hands, make_target: Any, messages: Messages) -> None:
    asked = ask_many([make_target() for _ in range(5)], clock)
    queries.enqueue(query.pk for query in asked)
    messages.deliver(HOUR)
    assert states() == {'done'}
    assert len(atlas.service.log()) == 5
    assert messages.waiting == []


def test_however_often_it_is_enqueued_one_message_is_on_its_way(
    atlas: Any, clock: Hands, make_target: Any, messages: Messages
) -> None:
    atlas.service.configure(held=True)
    asked = ask_many([make_target() for _ in range(4)], clock)
    for _ in range(3):
        queries.enqueue(query.pk for query in asked)
    messages.deliver(10 * MINUTE)
    assert Counter(pk for _, pk in messages.waiting) == {query.pk: 1 for query in asked}


def test_a_job_of_many_queries_is_asked_for_once_a_look(atlas: Any, clock: Hands, make_target: Any, messages: Messages) -> None:
    atlas.service.configure(held=True)
    asked = ask_many([make_target() for _ in range(6)], clock)
    queries.enqueue(query.pk for query in asked)
    messages.deliver(2 * MINUTE)
    looks = atlas.service.requests['list'] + atlas.service.requests['status']
    assert 1 <= looks <= 8, 'one look each fifteen seconds at the most'


def test_lost_messages_are_made_up_for_by_any_worker(atlas: Any, clock: Hands, make_target: Any, messages: Messages) -> None:
    asked = ask_many([make_target() for _ in range(5)], clock)
    queries.enqueue(query.pk for query in asked)
    messages.deliver(MINUTE / 2)
    messages.waiting.clear()  # Redis was emptied
    clock.move(5 * MINUTE)
    queries.enqueue([asked[0].pk])
    messages.deliver(HOUR)
    assert states() == {'done'}
    assert len(atlas.service.log()) == 5


def test_a_query_that_another_worker_takes_in_the_middle_of_a_step_is_looked_at_soon(
    atlas: Any, clock: Hands, make_target: Any, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = ask_many([make_target() for _ in range(2)], clock)
    taken: list[Any] = []

    def open_for_another(service: Any, now: datetime) -> tuple[None, None]:
        taken.append(open_job(service, now))
        return None, None

    open_job = submit.open_job
    monkeypatch.setattr(submit, 'open_job', open_for_another)
    queries.enqueue([first.pk])
    messages.deliver(MINUTE / 60)
    assert [job.queries.count() for job, _ in taken] == [2]
    assert [when <= clock() + BEING_SENT + MINUTE / 60 for when, _ in messages.waiting] == [True]


def test_a_message_sent_away_for_long_does_not_hold_up_what_another_look_brought(
    atlas: Any, clock: Hands, make_target: Any, messages: Messages
) -> None:
    early, late = ask_many([make_target() for _ in range(2)], clock)
    PhotometryQuery.objects.filter(pk=late.pk).update(wake=clock() + 10 * MINUTE)
    PhotometryQuery.objects.filter(pk=early.pk).update(wake=clock() + MINUTE / 6)
    assert queries.overdue(clock(), 5) == [late.pk]


def test_a_message_about_a_query_that_is_gone_does_no_harm(clock: Hands, db: Any, messages: Messages) -> None:
    messages.send(4711)
    assert messages.deliver(MINUTE) == 1
    assert messages.waiting == []
