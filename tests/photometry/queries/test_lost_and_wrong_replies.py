"""Lost replies, refusals, throttling, nonsense and foreign addresses: one job each at the service, and a readable sentence."""

from __future__ import annotations

from typing import Any

import pytest
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from simulators.atlas_tasks import Wrong
from tests.photometry.conftest import HOUR, MINUTE, Hands
from tests.support.asking import ask, ask_many, ended, fresh, until
from tom_forced_phot import queries
from tom_forced_phot.models import RemoteJob

pytestmark = pytest.mark.django_db(transaction=True)
LOST = ['500-after', '503-after', 'html-after', 'empty-after', 'malformed-after', 'reset-after']
NOT_ARRIVED = ['503', '500', 'html', 'empty', 'malformed', 'reset-before']


def knows_no_such_name(said: Any, many: bool) -> None:
    raise Wrong({'mpc_name': 'Invalid mpc_name. May not contain quotes or semicolons'})


@pytest.mark.parametrize('kind', LOST)
def test_a_job_whose_reply_was_lost_is_found_before_another_is_sent(atlas: Any, clock: Hands, make_target: Any, kind: str) -> None:
    atlas.service.fault('submit', kind)
    asked = ask_many([make_target() for _ in range(3)], clock)
    until(clock, 'done')
    assert atlas.service.requests['submit'] == 1
    assert len(atlas.service.log()) == 3
    assert all(fresh(query).new for query in asked)


@pytest.mark.parametrize('kind', NOT_ARRIVED)
def test_a_request_that_was_not_done_is_sent_again_and_only_once_more(
    atlas: Any, clock: Hands, make_target: Any, kind: str
) -> None:
    atlas.service.fault('submit', kind)
    ask_many([make_target() for _ in range(3)], clock)
    until(clock, 'done')
    assert atlas.service.requests['submit'] == 2
    assert len(atlas.service.log()) == 3


def test_a_service_that_is_down_is_asked_again_until_it_is_back(atlas: Any, clock: Hands, target: Any, settings: Any) -> None:
    from tests.photometry.conftest import configure

    configure(settings, 'ATLAS', url='http://127.0.0.1:9/forcedphot')
    query = ask(target, clock)
    for _ in range(30):
        queries.run(clock)
        clock.move(10 * MINUTE)
    assert fresh(query).state == 'queued'
    assert '127.0.0.1 cannot be reached' in fresh(query).message
    configure(settings, 'ATLAS', url=atlas.url)
    until(clock, 'done')
    assert len(atlas.service.log()) == 1


@pytest.mark.parametrize(('text', 'seconds'), [('Request was throttled. Expected available in 1 second.', 1), ('', 42)])
def test_throttling_is_obeyed_by_everybody(atlas: Any, clock: Hands, make_target: Any, text: str, seconds: float) -> None:
    atlas.service.fault('submit', '429', seconds=seconds, **({'text': text} if text else {}))
    ask(make_target(), clock)
    queries.run(clock)
    ask(make_target(), clock, min_date=61310.0)
    queries.run(clock)
    assert atlas.service.requests['submit'] == 1
    clock.move(MINUTE)
    until(clock, 'done')
    assert len(atlas.service.log()) == 2


def test_a_refusal_is_one_readable_sentence(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    query = ask(make_target(name='(1)', type='NON_SIDEREAL', ra=None, dec=None), clock)
    monkeypatch.setattr(atlas.service, '_wanted', knows_no_such_name)
    ended(clock, hours=2)
    query = fresh(query)
    assert (query.state, query.problem) == ('failed', 'Refused')
    assert query.message.startswith('ATLAS refused it (400): mpc_name: ')


def test_a_full_queue_at_the_service_is_waited_for(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.configure(most_queued=0)
    query = ask(target, clock)
    queries.run(clock)
    assert fresh(query).state == 'queued'
    assert 'too many queued tasks' in fresh(query).message
    atlas.service.configure(most_queued=500)
    until(clock, 'done')
    assert len(atlas.service.log()) == 1


def test_a_result_at_a_foreign_address_is_never_fetched_and_no_token_goes_there(atlas: Any, clock: Hands, target: Any) -> None:
    from simulators.foreign_host import ForeignHost
    from simulators.server import serve

    with serve(ForeignHost()) as foreign:
        atlas.service.fault('status', 'foreign-url', count=-1, origin=foreign.root)
        query = ask(target, clock)
        ended(clock)
        assert foreign.service.strays == []
    query = fresh(query)
    assert query.state == 'failed'
    assert 'it is not fetched' in query.message
    assert not DataProduct.objects.exists()


def test_a_redirect_to_elsewhere_is_not_followed(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.fault('result', 'redirect-foreign', count=-1)
    query = ask(target, clock)
    ended(clock)
    assert fresh(query).state == 'failed'
    assert 'evil.example' in fresh(query).message


@pytest.mark.parametrize('kind', ['html', 'malformed', 'empty', '500', '503', 'reset-before', 'cut'])
def test_a_status_that_makes_no_sense_once_costs_nothing(atlas: Any, clock: Hands, target: Any, kind: str) -> None:
    atlas.service.fault('status', kind)
    query = ask(target, clock)
    until(clock, 'done')
    assert fresh(query).new > 0
    assert len(atlas.service.log()) == 1


def test_a_page_of_maintenance_for_half_a_day_costs_nothing_and_for_days_is_said(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.configure(held=True)
    query = ask(target, clock)
    queries.run(clock)
    atlas.service.fault('status', 'html', count=-1)
    for _ in range(12 * 6):
        clock.move(10 * MINUTE)
        queries.run(clock)
    assert fresh(query).state == 'submitted'
    assert 'no JSON' in fresh(query).message
    for _ in range(14):
        clock.move(HOUR)
        queries.run(clock)
    assert (fresh(query).state, fresh(query).problem) == ('failed', 'UnexpectedReply')
    assert atlas.service.requests['status'] < 120


@pytest.mark.parametrize('kind', ['html', 'empty', '500', 'cut'])
def test_a_result_that_makes_no_sense_once_is_fetched_again_and_leaves_no_file(
    atlas: Any, clock: Hands, target: Any, kind: str
) -> None:
    atlas.service.fault('result', kind)
    query = ask(target, clock)
    until(clock, 'done', 'no_data')
    assert fresh(query).state == 'done'
    assert DataProduct.objects.count() == 1


def test_a_page_in_the_place_of_a_result_fails_with_its_beginning_and_is_no_data_product(
    atlas: Any, clock: Hands, target: Any, data_folder: Any
) -> None:
    atlas.service.fault('result', 'html', count=-1)
    query = ask(target, clock)
    ended(clock)
    query = fresh(query)
    assert (query.state, query.problem) == ('failed', 'BadFile')
    assert not DataProduct.objects.exists()
    assert [path for path in data_folder.rglob('*') if path.is_file()] == []


def test_a_result_without_end_is_not_read_to_the_end(atlas: Any, clock: Hands, target: Any, settings: Any) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'RESULT_LIMIT': 100_000}
    atlas.service.fault('result', 'huge', count=-1)
    query = ask(target, clock)
    ended(clock)
    assert fresh(query).state == 'failed'
    assert 'more than 100000 bytes' in fresh(query).message


def test_a_result_that_trickles_does_not_hold_the_worker_past_the_limit(
    atlas: Any, clock: Hands, target: Any, settings: Any
) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'CALL_TIMEOUT': 0.5}
    atlas.service.fault('result', 'slow', seconds=0.05)
    query = ask(target, clock)
    until(clock, 'done')
    assert atlas.service.requests['result'] == 2
    assert fresh(query).new > 0


def test_a_service_that_hangs_at_the_submission_is_looked_up(atlas: Any, clock: Hands, target: Any, settings: Any) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'READ_TIMEOUT': 0.3}
    atlas.service.fault('submit', 'hang-after')
    query = ask(target, clock)
    until(clock, 'done')
    assert len(atlas.service.log()) == 1
    assert fresh(query).new > 0


def test_a_reply_that_comes_after_the_sender_was_taken_for_dead_is_still_recorded(
    atlas: Any, clock: Hands, target: Any, monkeypatch: Any
) -> None:
    """The claim has run out while the call was on its way; nobody has sent it again yet."""
    from tom_forced_phot import http

    real = http.send

    def slowly(request: Any, base: str, secrets: Any) -> Any:
        reply = real(request, base, secrets)
        if request.changes and request.method == 'POST':
            clock.move(HOUR)
            RemoteJob.objects.update(claim=99, claim_until=None, state='uncertain')
        return reply

    monkeypatch.setattr(http, 'send', slowly)
    ask(target, clock)
    queries.run(clock)
    monkeypatch.setattr(http, 'send', real)
    until(clock, 'done')
    assert len(atlas.service.log()) == 1


def test_nobody_sends_a_job_after_having_been_taken_for_dead(atlas: Any, clock: Hands, target: Any, monkeypatch: Any) -> None:
    from tom_followup import failpoints
    from tom_followup.failpoints import PhotometryPoint

    def lose(point: PhotometryPoint) -> None:
        if point is PhotometryPoint.JOB_COMMITTED and RemoteJob.objects.get().sent == 1:
            RemoteJob.objects.update(claim=99, claim_until=None)

    monkeypatch.setattr(failpoints, 'on_reach', lose)
    ask(target, clock)
    queries.run(clock)
    assert atlas.service.requests['submit'] == 0
    clock.move(HOUR)
    until(clock, 'done')
    assert len(atlas.service.log()) == 1


def test_re_reduced_points_are_put_right_in_place(atlas: Any, clock: Hands, target: Any) -> None:
    first = ask(target, clock)
    until(clock, 'done')
    before = dict(PhotometryReducedDatum.objects.values_list('pk', 'value'))
    atlas.service.configure(revision=1)
    second = ask(target, clock)
    until(clock, 'done')
    after = dict(PhotometryReducedDatum.objects.values_list('pk', 'value'))
    assert set(before) == set(after)
    assert fresh(first).new == fresh(second).updated + fresh(second).unchanged
    assert fresh(second).updated > 0
    assert fresh(second).new == 0
