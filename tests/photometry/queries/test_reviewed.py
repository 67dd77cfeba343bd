"""What a hostile reader found, each as the user would see it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
import requests
from tom_targets.models import Target

from tests.photometry.conftest import DAY, HOUR, MINUTE, Hands, configure
from tests.support.asking import ask, ask_many, ended, fresh, until
from tom_forced_phot import http, queries
from tom_forced_phot.exceptions import Refused
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Job, Part, Position, Reply, Secrets

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_call_that_lasts_long_is_not_sent_again_while_it_may_still_arrive(
    atlas: Any, clock: Hands, target: Any, settings: Any
) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'READ_TIMEOUT': 0.3}
    atlas.service.fault('submit', 'late')
    ask(target, clock)
    queries.run(clock)
    clock.move(2 * MINUTE)
    queries.run(clock)  # not there yet; a slow server may still be at work on it
    assert atlas.service.requests['submit'] == 1
    atlas.service.release()
    clock.move(4 * MINUTE)
    until(clock, 'done')
    assert len(atlas.service.log()) == 1


def test_of_a_batch_only_what_is_missing_at_the_service_goes_out_again(atlas: Any, clock: Hands, make_target: Any) -> None:
    atlas.service.configure(held=True)
    atlas.service.fault('submit', '500-after')
    ask_many([make_target() for _ in range(3)], clock)
    queries.run(clock)
    address = f'{atlas.url}/queue/{atlas.service.log()[1]["id"]}/'
    requests.delete(address, headers={'Authorization': f'Token {atlas.service.token}'}, timeout=5)
    atlas.service.configure(held=False)
    until(clock, 'done')
    assert len(atlas.service.log()) == 4, 'three, and once more the one that was gone'


def test_a_target_that_was_edited_while_it_waited_fails_alone(atlas: Any, clock: Hands, make_target: Any) -> None:
    targets = [make_target() for _ in range(3)]
    asked = ask_many(targets, clock)
    Target.objects.filter(pk=targets[1].pk).update(ra=None)
    until(clock, 'done', 'failed')
    assert [fresh(query).state for query in asked] == ['done', 'failed', 'done']
    assert 'no coordinates' in fresh(asked[1]).message


def test_a_token_with_a_line_break_works_and_is_never_shown(atlas: Any, clock: Hands, target: Any, settings: Any) -> None:
    configure(settings, 'ATLAS', api_key=atlas.service.token + '\n')
    query = ask(target, clock)
    until(clock, 'done')
    assert atlas.service.token not in fresh(query).message


@pytest.mark.parametrize('shape', ['{}', 'x%3D{}%26', "b'{}'"])
def test_a_secret_is_hidden_in_every_spelling(shape: str) -> None:
    secrets = Secrets(parameters={'email': 'vera@example.org', 'userpass': 'a b&c"d'})
    for secret in secrets.parameters.values():
        for spelling in http.spellings(secret):
            assert spelling not in http.redacted(shape.format(spelling), secrets)


def test_no_account_stands_in_the_log_of_the_http_library() -> None:
    record = logging.LogRecord('urllib3.connection', 30, '', 1, 'Failed (url=%s): no colon', ('http://x/y?userpass=stars',), None)
    assert all(each.filter(record) for each in logging.getLogger('urllib3.connection').filters)
    assert record.getMessage() == 'Failed (url=http://x/y?...): no colon'


def test_a_result_that_is_there_is_fetched_although_the_tom_was_off_past_the_deadline(
    atlas: Any, clock: Hands, target: Any
) -> None:
    query = ask(target, clock)
    queries.run(clock)
    clock.move(10 * DAY)
    PhotometryQuery.objects.update(deadline=clock() - DAY)
    until(clock, 'done', hours=2)
    assert fresh(query).new > 0


def test_what_was_never_sent_does_not_fail_for_being_late(atlas: Any, clock: Hands, target: Any) -> None:
    query = ask(target, clock)
    clock.move(30 * DAY)
    until(clock, 'done')
    assert fresh(query).new > 0


def test_corrected_coordinates_are_another_question(atlas: Any, clock: Hands, target: Any) -> None:
    first = ask(target, clock)
    target.ra += 1
    target.save()
    assert ask(target, clock).pk != first.pk


@pytest.mark.parametrize('place', [10**6, 10**20])
def test_however_far_back_in_the_queue_it_is_looked_at_every_ten_minutes(
    atlas: Any, clock: Hands, target: Any, monkeypatch: Any, place: int
) -> None:
    from tom_forced_phot.core.states import QueryState
    from tom_forced_phot.services import atlas as module
    from tom_forced_phot.services.protocol import Progress

    real = module._progress
    monkeypatch.setattr(
        module, '_progress', lambda task: Progress(QueryState.SUBMITTED, 'far', real(task).remote, look_again=5.0 * place)
    )
    query = ask(target, clock)
    queries.run(clock)
    due = fresh(query).next_step
    assert due is not None
    assert due - clock() <= timedelta(minutes=10)


def test_a_target_that_is_deleted_in_the_middle_of_a_step_stops_nobody(
    atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any
) -> None:
    from tom_followup import failpoints
    from tom_followup.failpoints import PhotometryPoint

    gone, stays = make_target(), make_target()
    ask(gone, clock, min_date=61301.0)
    query = ask(stays, clock)

    def delete(point: PhotometryPoint) -> None:
        if point is PhotometryPoint.REPLIED:
            Target.objects.filter(pk=gone.pk).delete()

    monkeypatch.setattr(failpoints, 'on_reach', delete)
    until(clock, 'done')
    assert fresh(query).new > 0


def test_a_service_that_cannot_be_made_costs_no_other_one(
    atlas: Any, clock: Hands, make_target: Any, settings: Any, monkeypatch: Any
) -> None:
    from tom_forced_phot.services.ztf import ZtfForcedPhotometryService

    configure(settings, 'ZTF', email='vera@example.org', userpass='stars')
    broken = ask(make_target(), clock, service='ZTF')
    query = ask(make_target(), clock)

    def init(self: Any, config: Any = None) -> None:
        raise KeyError('api_key')

    monkeypatch.setattr(ZtfForcedPhotometryService, '__init__', init)
    for _ in range(20):
        queries.run(clock)
        clock.move(MINUTE)
    assert fresh(query).state == 'done'
    assert fresh(broken).state == 'queued', 'a mistake in the settings loses no query'
    assert 'ZTF cannot be made: KeyError' in fresh(broken).message


def test_the_page_of_a_proxy_does_not_say_that_a_job_is_gone() -> None:
    service, position = AtlasForcedPhotometryService({}), Position('SN', ra=1.0, dec=2.0)
    job, part = Job('tf-1', (position,), {}), Part(0, position, {}, {'id': 7})
    with pytest.raises(Refused):
        service.progress(job, [part], Reply(404, b'<html><body>404 nginx</body></html>'), Answer())
    for said in (b'Page not found', b'{"detail": "Not found."}'):
        assert service.progress(job, [part], Reply(404, said), Answer()).parts[0].state == 'expired'


def test_cancelled_while_the_reply_is_lost_it_is_stopped_at_the_service(
    atlas: Any, clock: Hands, target: Any, astronomer: Any
) -> None:
    atlas.service.configure(held=True)
    atlas.service.fault('submit', '500-after')
    query = ask(target, clock, astronomer)
    queries.run(clock)
    assert RemoteJob.objects.get().state == 'uncertain'
    queries.cancel(query.pk, astronomer, clock())
    for _ in range(30):
        queries.run(clock)
        clock.move(MINUTE)
    assert atlas.service.requests['delete'] == 1
    assert fresh(query).state == 'cancelled'


def test_a_file_of_another_position_brings_no_points(atlas: Any, clock: Hands, target: Any, tmp_path: Any) -> None:
    from simulators.atlas_files import atlas_file

    other = tmp_path / 'other.txt'
    other.write_bytes(atlas_file(30, seed=5))
    atlas.service.sky.set_file(target.ra, target.dec, other)
    query = ask(target, clock)
    ended(clock)
    assert fresh(query).state == 'failed'
    assert 'the light curve of another position' in fresh(query).message


def test_a_date_that_is_no_number_is_refused_in_words(atlas: Any, clock: Hands, target: Any) -> None:
    with pytest.raises(Refused, match='not a number'):
        ask(target, clock, min_date=float('nan'))


def test_of_two_that_take_from_the_budget_at_once_both_are_counted(clock: Hands, db: Any, monkeypatch: Any) -> None:
    from tom_forced_phot.queries import client

    service = AtlasForcedPhotometryService({})
    client.take(service, 'site', clock(), write=True)
    real, calls = client._recent, []

    def recent(stamps: list[float], at: float) -> list[float]:
        found = real(stamps, at)
        calls.append(at)
        if len(calls) == 1:  # another process takes one after we have looked
            client.take(service, 'site', clock(), write=True)
        return found

    monkeypatch.setattr(client, '_recent', recent)
    client.take(service, 'site', clock(), write=True)
    monkeypatch.undo()
    assert client.used('ATLAS', clock()) == (3, 0)


def test_a_result_that_is_never_given_out_is_given_up_a_day_after_the_deadline(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.fault('result', '429', count=-1, seconds=3600)
    query = ask(target, clock)
    for _ in range(24 * 9):
        queries.run(clock)
        clock.move(HOUR)
    assert fresh(query).state == 'failed'
    assert 'fewer requests' in fresh(query).message
