"""From the question to the points, at a simulated ATLAS server over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tests.photometry.conftest import DAY, HOUR, Hands, configure
from tests.support.asking import ask, ask_many, fresh, until
from tom_forced_phot import queries
from tom_forced_phot.exceptions import Credentials, Refused
from tom_forced_phot.models import PhotometryQuery, RemoteJob

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_question_ends_in_points_a_file_and_true_counts(atlas: Any, clock: Hands, target: Any, astronomer: Any) -> None:
    query = ask(target, clock, astronomer)
    until(clock, 'done')
    query = fresh(query)
    points = PhotometryReducedDatum.objects.filter(target=target)
    assert query.new == points.count() > 0
    assert query.rows == query.new + query.rejected
    assert DataProduct.objects.get().pk == query.data_product_id
    assert set(points.values_list('reduction_version', 'source_name', 'unit')) == {('difference', 'ATLAS', 'AB mag')}
    assert len(atlas.service.log()) == 1
    assert RemoteJob.objects.get().state == 'closed'


def test_the_finished_job_is_deleted_at_the_server_unless_switched_off(
    atlas: Any, clock: Hands, make_target: Any, settings: Any
) -> None:
    ask(make_target(), clock)
    until(clock, 'done')
    assert atlas.service.requests['delete'] == 1
    configure(settings, 'ATLAS', delete_finished=False)
    ask(make_target(), clock)
    until(clock, 'done')
    assert atlas.service.requests['delete'] == 1


def test_reduced_images_are_kept_apart_from_difference_images(atlas: Any, clock: Hands, target: Any) -> None:
    ask(target, clock)
    ask(target, clock, use_reduced=True)
    until(clock, 'done')
    kinds = PhotometryReducedDatum.objects.filter(target=target).values_list('reduction_version', flat=True)
    assert set(kinds) == {'difference', 'reduced'}
    assert [entry['mode'] for entry in atlas.service.log()].count('reduced') == 1


def test_no_data_is_a_result_and_not_an_error(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.configure(no_data=[[target.ra, target.dec]])
    query = ask(target, clock)
    until(clock, 'no_data')
    query = fresh(query)
    assert query.problem == ''
    assert 'no image' in query.message
    assert atlas.service.requests['status'] < 10
    assert not DataProduct.objects.exists()


def test_a_hundred_targets_go_out_in_one_request_and_each_gets_its_own_points(
    atlas: Any, clock: Hands, make_target: Any, settings: Any
) -> None:
    targets = [make_target() for _ in range(12)]
    asked = ask_many(targets, clock)
    until(clock, 'done')
    assert atlas.service.requests['submit'] == 1
    assert len(atlas.service.log()) == 12
    for query, target in zip(asked, targets, strict=True):
        found = PhotometryReducedDatum.objects.filter(target=target)
        assert found.count() == fresh(query).new > 0
        assert found.first().value['RA'] == pytest.approx(target.ra, abs=1e-4)


def test_the_same_question_while_one_is_open_is_answered_by_the_open_one(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, django_user_model: Any
) -> None:
    other = django_user_model.objects.create_user('edwin', password='hubble')
    first = queries.ask('ATLAS', target, {'min_date': 61300.0}, astronomer, clock())
    second = queries.ask('ATLAS', target, {'min_date': 61300.0}, other, clock())
    assert (first.created, second.created) == (True, False)
    assert first.query.pk == second.query.pk
    assert list(first.query.followers.all()) == [other]
    until(clock, 'done')
    assert queries.ask('ATLAS', target, {'min_date': 61300.0}, other, clock()).created


def test_what_cannot_work_is_refused_before_the_service_is_asked(atlas: Any, clock: Hands, make_target: Any, settings: Any) -> None:
    nowhere = make_target(ra=None, dec=None)
    with pytest.raises(Refused, match='no coordinates'):
        ask(nowhere, clock)
    with pytest.raises(Refused, match='later than the beginning'):
        ask(make_target(), clock, max_date=61000.0)
    with pytest.raises(Refused, match='in the future'):
        ask(make_target(), clock, min_date=70000.0, max_date=None)
    with pytest.raises(Refused, match=r"'Hubble' is not in FORCED_PHOTOMETRY_SERVICES \(there: ATLAS"):
        ask(make_target(), clock, service='Hubble')
    kinds = dict(settings.DATA_PRODUCT_TYPES)
    del kinds['atlas_photometry']
    settings.DATA_PRODUCT_TYPES = kinds
    with pytest.raises(Refused, match='DATA_PRODUCT_TYPES'):
        ask(make_target(), clock)
    assert not PhotometryQuery.objects.exists()
    assert not atlas.service.requests


@pytest.mark.parametrize('text', ['', 'your atlas account api token'])
def test_a_placeholder_is_no_credential_and_is_never_sent(atlas: Any, clock: Hands, target: Any, settings: Any, text: str) -> None:
    configure(settings, 'ATLAS', api_key=text)
    with pytest.raises(Credentials, match='ATLAS_FORCED_PHOTOMETRY_API_KEY'):
        ask(target, clock)
    assert not atlas.service.requests


def test_a_wrong_token_fails_with_a_sentence_after_a_few_tries_and_never_shows_it(
    atlas: Any, clock: Hands, target: Any, settings: Any, caplog: Any
) -> None:
    configure(settings, 'ATLAS', api_key='secret-of-another-site')
    query = ask(target, clock)
    until(clock, 'failed')
    query = fresh(query)
    assert query.problem == 'Credentials'
    assert 'does not accept the credentials (401)' in query.message
    assert 'secret-of-another-site' not in query.message + caplog.text
    assert atlas.service.requests['submit'] == 3


def test_cancelling_stops_it_here_and_at_the_server(atlas: Any, clock: Hands, target: Any, astronomer: Any) -> None:
    atlas.service.configure(held=True)
    query = ask(target, clock, astronomer)
    queries.run(clock)
    assert fresh(query).state == 'submitted'
    assert queries.cancel(query.pk, astronomer, clock())
    assert fresh(query).state == 'cancelled'
    assert fresh(query).message == 'Cancelled by vera.'
    assert atlas.service.requests['delete'] == 1
    assert not queries.cancel(query.pk, astronomer, clock())


def test_a_query_without_an_answer_fails_at_its_deadline_and_is_stopped_at_the_server(
    atlas: Any, clock: Hands, target: Any, settings: Any
) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'DEADLINE_HOURS': 5}
    atlas.service.configure(held=True)
    query = ask(target, clock)
    queries.run(clock)
    clock.move(5 * HOUR)
    queries.run(clock)
    query = fresh(query)
    assert (query.state, query.problem) == ('failed', 'Deadline')
    assert 'no answer for 5 hours' in query.message
    assert atlas.service.requests['delete'] == 1


def test_a_result_that_was_removed_before_it_was_fetched_is_expired(atlas: Any, clock: Hands, target: Any) -> None:
    query = ask(target, clock)
    queries.run(clock)
    clock.move(HOUR)
    atlas.service.fault('result', '404')
    queries.run(clock)
    assert fresh(query).state == 'result', 'not at the first word: a proxy that restarts says the same'
    atlas.service.fault('result', '404')
    clock.move(HOUR)
    queries.run(clock)
    assert fresh(query).state == 'expired'
    assert 'Ask again' in fresh(query).message
    again = queries.retry(query.pk, None, clock())
    assert again.created
    until(clock, 'expired', 'done')
    assert fresh(again.query).state == 'done'


def test_a_job_that_vanished_at_the_server_is_said_so(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.configure(held=True)
    query = ask(target, clock)
    queries.run(clock)
    clock.move(300 * DAY)
    PhotometryQuery.objects.update(deadline=None)
    atlas.service.fault('status', '404')
    queries.run(clock)
    assert fresh(query).state == 'expired'
    assert 'no longer has this task' in fresh(query).message


def test_a_budget_is_kept_whoever_asks(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

    monkeypatch.setattr(AtlasForcedPhotometryService, 'writes_a_minute', 3)
    monkeypatch.setattr(AtlasForcedPhotometryService, 'batch_size', 1)
    asked = ask_many([make_target() for _ in range(8)], clock)
    queries.run(clock)
    assert atlas.service.requests['submit'] == 3
    assert any('3 requests a minute' in fresh(query).message for query in asked)
    until(clock, 'done')
    assert len(atlas.service.log()) == 8


def test_a_thousand_of_one_user_do_not_hold_up_one_of_another(
    atlas: Any, clock: Hands, make_target: Any, astronomer: Any, django_user_model: Any, monkeypatch: Any
) -> None:
    from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

    monkeypatch.setattr(AtlasForcedPhotometryService, 'writes_a_minute', 2)
    monkeypatch.setattr(AtlasForcedPhotometryService, 'batch_size', 1)
    ask_many([make_target() for _ in range(6)], clock, astronomer)
    other = ask(make_target(), clock, django_user_model.objects.create_user('edwin', password='hubble'))
    queries.run(clock)
    assert fresh(other).state == 'submitted'
