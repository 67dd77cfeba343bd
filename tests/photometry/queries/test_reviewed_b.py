"""Defects that a review found: claims that run out, files of other people, standing orders, long names, late followers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from guardian.shortcuts import get_objects_for_user
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tests.photometry.conftest import DAY, HOUR, Hands
from tests.photometry.examples.tiny import Tiny
from tests.photometry.examples.tutorial import LanternService
from tests.photometry.services.test_tutorial_way import KIND, lantern  # noqa: F401 - a fixture
from tests.photometry.test_subscriptions import again, floored, subscribe
from tests.support.asking import ask, fresh, until
from tom_forced_phot import queries, subscriptions
from tom_forced_phot.exceptions import Refused
from tom_forced_phot.models import LightCurve, PhotometryQuery, PhotometrySubscription

pytestmark = pytest.mark.django_db(transaction=True)
queries_ask: Any = sys.modules['tom_forced_phot.queries.ask']
OVERLAP = timedelta(days=14)
TEN_YEARS = timedelta(hours=87_600)


class Slow(LanternService):
    """A service as in the tutorial, and what happens while it works."""

    name = 'Slow'
    meanwhile: list[Callable[[], Any]] = []

    def query_service(self, query_parameters: Any) -> Any:
        for happens in self.meanwhile:
            happens()
        return super().query_service(query_parameters)


@pytest.fixture
def slow(lantern: Tiny, settings: Any, clock: Hands, target: Any, astronomer: Any) -> Iterator[PhotometryQuery]:  # noqa: F811
    """A question of an astronomer to it."""
    entry = {'class': f'{__name__}.Slow', 'url': lantern.url, 'api_key': 'a-secret-key'}
    settings.FORCED_PHOTOMETRY_SERVICES = {**settings.FORCED_PHOTOMETRY_SERVICES, 'SLOW': entry}
    Slow.meanwhile = []
    yield queries.ask('Slow', target, {'min_date_mjd': 61300.0, 'max_date_mjd': None}, astronomer, clock()).query
    Slow.meanwhile = []


def may_see(user: Any, kind: str, model: Any) -> list[int]:
    return sorted(get_objects_for_user(user, f'tom_dataproducts.view_{kind}', model).values_list('pk', flat=True))


def test_a_service_that_works_longer_than_a_claim_lasts_is_not_started_again(
    slow: PhotometryQuery,
    clock: Hands,
    lantern: Tiny,  # noqa: F811
    settings: Any,
) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'CLAIM_TIME': 0.3}
    beats, tester = threading.Semaphore(0), threading.current_thread()

    def noticing() -> datetime:
        if threading.current_thread() is not tester:
            beats.release()
        return clock()

    def an_hour_later() -> None:
        clock.move(HOUR)
        assert all(beats.acquire(timeout=30) for _ in range(3))  # the third is taken when the second is written
        assert queries.run(clock).steps == 0  # another process

    Slow.meanwhile = [an_hour_later]
    queries.run(noticing)
    assert (fresh(slow).state, fresh(slow).attempts, len(lantern.log)) == ('done', 1, 1)
    assert [each for each in threading.enumerate() if each.name.startswith('claim of query')] == []


def test_a_file_that_somebody_uploads_while_a_service_works_stays_theirs(
    slow: PhotometryQuery, clock: Hands, settings: Any, target: Any, astronomer: Any
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False

    def upload() -> None:
        product = DataProduct(target=target, data_product_type=KIND, product_id='private')
        product.data.save('private.csv', ContentFile(b'mjd,mag,error,band\n61310.25,17.5,0.05,r\n'), save=False)
        product.save()

    def by_another_request() -> None:
        request = threading.Thread(target=upload)
        request.start()
        request.join()

    Slow.meanwhile = [by_another_request]
    until(clock, 'done')
    query, private = fresh(slow), DataProduct.objects.get(product_id='private')
    assert query.data_product is not None
    assert (query.message, query.data_product_id != private.pk) == ('2 points.', True)
    assert may_see(astronomer, 'dataproduct', DataProduct) == [query.data_product_id]
    assert not PhotometryReducedDatum.objects.filter(data_product=private).exists()


@pytest.mark.parametrize('hours', [1e9, float('inf')])
def test_a_subscription_every_million_years_is_asked_every_ten_and_holds_up_no_other(
    atlas: Any, clock: Hands, make_target: Any, hours: float
) -> None:
    rare, usual = subscribe(target=make_target(), interval_hours=hours), subscribe(target=make_target())
    with pytest.raises(ValidationError, match='less than or equal to 87600'):
        rare.full_clean()
    assert len(subscriptions.ask_due(clock())) == 2
    assert [again(each).next_round for each in (rare, usual)] == [clock() + TEN_YEARS, clock() + DAY]


def test_a_subscription_that_breaks_says_so_and_the_others_are_asked(
    atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any
) -> None:
    broken, deleted, whole = (subscribe(target=make_target()) for _ in range(3))
    take = subscriptions._take

    def breaking(subscription: PhotometrySubscription, now: datetime) -> bool:
        PhotometrySubscription.objects.filter(pk=deleted.pk).delete()
        if subscription.pk != whole.pk:
            raise OverflowError('date value out of range')
        return take(subscription, now)

    monkeypatch.setattr(subscriptions, '_take', breaking)
    (done,) = subscriptions.ask_due(clock())
    assert (done.subscription, done.asked) == (whole, 1)
    assert (again(broken).reason, again(broken).failures) == ('OverflowError: date value out of range', 1)


def test_a_subscription_to_reduced_images_asks_from_the_last_reduced_point(atlas: Any, clock: Hands, target: Any) -> None:
    for reduction, days in (('difference', 1), ('reduced', 60)):
        kind = {'source_name': 'ATLAS', 'reduction_version': reduction, 'bandpass': 'o'}
        PhotometryReducedDatum.objects.create(target=target, timestamp=clock() - days * DAY, brightness=18.0, **kind)
    LightCurve.objects.create(target=target, service='ATLAS', points=2, last_point=clock() - DAY)
    for reduced in (False, True):
        subscribe(target=target, parameters={'use_reduced': reduced}, last_full=clock())
    subscriptions.ask_due(clock())
    asked = {each.parameters['reduction']: each.parameters['mjd_min'] for each in PhotometryQuery.objects.all()}
    assert asked == {'difference': floored(clock() - DAY - OVERLAP), 'reduced': floored(clock() - 60 * DAY - OVERLAP)}


def test_a_target_whose_name_is_too_long_for_its_file_is_refused_before_the_service_is_asked(
    atlas: Any, clock: Hands, make_target: Any
) -> None:
    name = 'N' * 95
    with pytest.raises(Refused, match=f'The name of {name} is too long: .* has room for 100'):
        ask(make_target(name=name), clock)
    assert not PhotometryQuery.objects.exists()
    longest = ask(make_target(name='N' * 65), clock)
    until(clock, 'done')
    assert fresh(longest).data_product is not None


def test_who_asks_the_same_in_the_moment_the_answer_is_stored_sees_it_too(
    atlas: Any, clock: Hands, target: Any, settings: Any, astronomer: Any, django_user_model: Any, monkeypatch: Any
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    ask(target, clock, max_date=61350.0)  # some of the points were there before
    until(clock, 'done')
    query, other = ask(target, clock, astronomer), django_user_model.objects.create_user('cecilia')
    follow = queries_ask._follow

    def late(found: PhotometryQuery, user: Any) -> None:
        until(clock, 'done')
        follow(found, user)

    monkeypatch.setattr(queries_ask, '_follow', late)
    assert ask(target, clock, other) == query
    assert may_see(other, 'dataproduct', DataProduct) == [fresh(query).data_product_id]
    points = may_see(other, 'photometryreduceddatum', PhotometryReducedDatum)
    assert points == may_see(astronomer, 'photometryreduceddatum', PhotometryReducedDatum)
    assert len(points) == fresh(query).rows - fresh(query).rejected > 0
