"""What ends the process that works on it is tried twice, then told; the others are served, and no deadline is forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.photometry.conftest import HOUR, MINUTE, Hands
from tests.support.asking import ask, ask_many, fresh
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """As the kernel ends a process that takes too much memory."""


def run_often(clock: Hands, times: int = 12, step: timedelta = 17 * MINUTE) -> int:
    """Runs of cron, each longer after the one before than a dead process holds a claim; how many died."""
    deaths = 0
    for _ in range(times):
        try:
            queries.run(clock)
        except Killed:
            deaths += 1
        clock.move(step)
    return deaths


def deadly(monkeypatch: Any, name: str, when: Any) -> list[int]:
    """Let a method of the service kill who calls it in certain cases."""
    real, calls = getattr(AtlasForcedPhotometryService, name), []

    def method(self: Any, *given: Any) -> Any:
        if when(*given):
            calls.append(1)
            raise Killed
        return real(self, *given)

    monkeypatch.setattr(AtlasForcedPhotometryService, name, method)
    return calls


def test_a_result_that_kills_its_reader_is_read_twice_and_then_told(
    atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any
) -> None:
    bad, *good = ask_many([make_target() for _ in range(4)], clock)
    wanted = f'{bad.target.ra:.5f}'
    calls = deadly(monkeypatch, 'read', lambda content: wanted in content.decode())
    assert run_often(clock) == 2
    assert len(calls) == 2
    assert (fresh(bad).state, fresh(bad).problem) == ('failed', 'Interrupted')
    assert 'reading its result' in fresh(bad).message
    assert {fresh(query).state for query in good} == {'done'}


def test_a_look_that_kills_is_made_twice_and_then_told(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    bad = ask(make_target(), clock)
    queries.run(clock)
    calls = deadly(monkeypatch, 'progress', lambda job, *rest: job.mark == fresh(bad).job.mark)
    other = ask(make_target(), clock, min_date=61310.0)
    assert run_often(clock) == 2
    assert (len(calls), fresh(bad).state, fresh(bad).problem) == (2, 'failed', 'Interrupted')
    assert fresh(other).state == 'done'


def test_a_request_whose_making_kills_is_found_out_of_many(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    bad, *good = ask_many([make_target() for _ in range(4)], clock)
    deadly(monkeypatch, 'submit', lambda job: any(each.ra == bad.target.ra for each in job.positions))
    assert run_often(clock, 20) == 4
    assert (fresh(bad).state, fresh(bad).problem) == ('failed', 'Interrupted')
    assert {fresh(query).state for query in good} == {'done'}
    assert len(atlas.service.log()) == 3


def test_a_reply_that_kills_is_looked_up_and_found(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    query = ask(make_target(), clock)
    deadly(monkeypatch, 'submitted', lambda job, reply: True)
    assert run_often(clock) == 1
    assert fresh(query).state == 'done'
    assert len(atlas.service.log()) == 1


def test_a_request_that_always_kills_before_it_arrives_is_given_up(
    atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any
) -> None:
    from tom_followup import failpoints
    from tom_followup.failpoints import PhotometryPoint

    def die(point: PhotometryPoint) -> None:
        if point is PhotometryPoint.SENDING:
            raise Killed

    monkeypatch.setattr(failpoints, 'on_reach', die)
    query = ask(make_target(), clock)
    assert run_often(clock, 20) == 2
    assert (fresh(query).state, fresh(query).problem) == ('failed', 'Interrupted')


def test_tidying_up_that_kills_is_left_alone_after_two(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    query = ask(make_target(), clock)
    deadly(monkeypatch, 'clean_up', lambda job, part: True)
    assert run_often(clock) == 2
    assert (fresh(query).state, fresh(query).to_clean) == ('done', False)


def test_a_restart_in_the_middle_costs_nothing(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    query, died = ask(make_target(), clock), []
    deadly(monkeypatch, 'read', lambda content: not died and not died.append(1))  # type: ignore[func-returns-value]
    assert run_often(clock) == 1
    assert fresh(query).state == 'done'
    assert fresh(query).interrupted == 0


def test_what_a_service_says_is_kept_only_as_far_as_a_database_can_hold_it(
    atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any
) -> None:
    from dataclasses import replace

    real = AtlasForcedPhotometryService.progress

    def progress(self: Any, *given: Any) -> Any:
        answer = real(self, *given)
        odd = {'a\0b': 'x\0\ud800', 'n': float('nan'), 'long': 'y' * 100_000}
        parts = {
            index: replace(
                part, message='\0' + part.message + 'z' * 100_000, remote={**part.remote, **odd}, look_again=float('nan')
            )
            for index, part in answer.parts.items()
        }
        return replace(answer, parts=parts)

    monkeypatch.setattr(AtlasForcedPhotometryService, 'progress', progress)
    query = ask(make_target(), clock)
    run_often(clock, 3)
    kept = fresh(query)
    assert kept.state == 'done'
    assert kept.remote['n'] is None
    assert len(kept.remote['long']) <= 2000


def test_a_budget_that_is_never_free_does_not_outlive_the_deadline(
    atlas: Any, clock: Hands, make_target: Any, settings: Any, monkeypatch: Any
) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'DEADLINE_HOURS': 5}
    query = ask(make_target(), clock)
    queries.run(clock)
    monkeypatch.setattr(AtlasForcedPhotometryService, 'reads_a_minute', 0)
    run_often(clock, 120)
    assert fresh(query).state == 'failed'


def test_a_result_that_the_server_lost_is_not_no_data(atlas: Any, clock: Hands, make_target: Any) -> None:
    target = make_target()
    atlas.service.set_outcome(target.ra, target.dec, lost=True)
    query = ask(target, clock)
    run_often(clock, 3, HOUR)
    assert fresh(query).state == 'failed'
    assert 'lost' in fresh(query).message
    assert atlas.service.requests['delete'] == 1


def test_an_error_outside_of_any_step_is_one_querys_trouble_and_exit_status_one(
    atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any
) -> None:
    import sys

    from django.core.management import call_command

    drive = sys.modules['tom_forced_phot.queries.drive']
    bad, good = ask_many([make_target() for _ in range(2)], clock)
    PhotometryQuery.objects.filter(pk=bad.pk).update(group_key='')
    real = drive.advance  # type: ignore[attr-defined]

    def advance(pk: int, **given: Any) -> Any:
        if pk == bad.pk:
            raise UnicodeDecodeError('utf-8', b'', 0, 1, 'odd row')
        return real(pk, **given)

    monkeypatch.setattr(drive, 'advance', advance)
    with pytest.raises(SystemExit) as ended:
        call_command('runforcedphotometry')
    assert ended.value.code == 1
    assert fresh(good).state != 'queued'


def test_only_a_result_may_be_long(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    from tom_forced_phot import http

    monkeypatch.setattr(http, 'LONGEST_REPLY', 10_000)
    query = ask(make_target(), clock, min_date=60000.0)
    queries.run(clock)
    atlas.service.fault('status', 'huge')
    clock.move(MINUTE)
    queries.run(clock)
    assert 'sent more than 10000 bytes' in fresh(query).message
    run_often(clock, 3)
    assert fresh(query).state == 'done'
    assert fresh(query).data_product.data.size > 10_000
