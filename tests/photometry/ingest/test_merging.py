"""Two targets become one on the toolkit's page: each exposure once, and what was asked for goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from tom_dataproducts.models import DataProduct
from tom_targets.merge import target_merge
from tom_targets.models import Target, TargetName

from tests.support.databases import (  # noqa: F401
    database_url,
    migrated_postgres,
    migrated_sqlite,
    postgres_server,
    postgres_url,
    sqlite_url,
)
from tests.support.ingesting import NOW, Answers, exposures, files, make_target, on_both, stored  # noqa: F401
from tom_forced_phot.models import IngestedFile, LightCurve, PhotometryQuery, PhotometrySubscription


@pytest.fixture
def both(on_both: str) -> tuple[Answers, Answers]:  # noqa: F811
    return Answers(make_target('SN 2011fe')), Answers(make_target('PTF11kly'))


def merge(stays: Any, goes: Any) -> None:
    """As a person does on the toolkit's page."""
    client = Client()
    client.force_login(User.objects.create_superuser('root', 'root@example.org', 'stars'))
    page = reverse('tom_targets:merge', kwargs={'pk1': stays.pk, 'pk2': goes.pk})
    client.post(page, {'name_select': stays.pk, 'confirm': 'confirm'})
    assert not Target.objects.filter(pk=goes.pk).exists()
    assert TargetName.objects.get(name=goes.name).target_id == stays.pk


def true_account(target: Any) -> None:
    for curve in LightCurve.objects.all():
        assert curve.target_id == target.pk
        found = stored(target)
        assert (curve.points, curve.last_point) == (len(found), found[-1].timestamp)


@pytest.mark.parametrize('flux', [500, 540], ids=['equal', 'measured a little beside'])
def test_each_exposure_is_there_once(both: tuple[Answers, Answers], flux: float) -> None:
    stays, goes = both
    stays.bring(exposures(0, 6))
    product, _ = goes.bring(exposures(0, 6, flux=flux))
    merge(stays.target, goes.target)
    found = stored(stays.target)
    assert len(found) == 6
    assert {p.value['flux'] for p in found} == {500.0}, 'those of the target that stays'
    kept = IngestedFile.objects.get(data_product=product)
    assert kept.light_curve.target_id == stays.target.pk
    assert '0 points moved, 6 of exposures that were here already removed' in kept.message
    true_account(stays.target)


def test_what_only_the_other_had_comes_along_with_all_its_files(both: tuple[Answers, Answers]) -> None:
    stays, goes = both
    stays.bring(exposures(0, 6))
    first, _ = goes.bring(exposures(4, 10, flux=600))
    goes.bring(exposures(8, 14, flux=600))
    goes.bring(exposures(0, 3, flux=9000), reduction='reduced')
    merge(stays.target, goes.target)
    found = [(p.reduction_version, p.value['flux']) for p in stored(stays.target)]
    assert sorted(found) == [('difference', 500.0)] * 6 + [('difference', 600.0)] * 8 + [('reduced', 9000.0)] * 3
    assert IngestedFile.objects.filter(light_curve__target_id=stays.target.pk).count() == 4
    true_account(stays.target)
    DataProduct.objects.get(pk=first.pk).delete()
    assert len(stored(stays.target)) == 15, 'the file that went took two with it that no other names'
    _, counts = stays.bring(exposures(0, 14))
    assert counts.new == 2


def test_a_target_without_a_light_curve_inherits_one(both: tuple[Answers, Answers]) -> None:
    stays, goes = both
    goes.bring(exposures(0, 6))
    merge(stays.target, goes.target)
    assert len(stored(stays.target)) == 6
    true_account(stays.target)


def query(target: Any, question: str, **given: Any) -> PhotometryQuery:
    return PhotometryQuery.objects.create(service='ATLAS', target_id=target.pk, question=question, created=NOW, **given)


def test_queries_and_subscriptions_go_on_with_the_one_that_stays(both: tuple[Answers, Answers]) -> None:
    stays, goes = both
    alice = User.objects.create_user('alice')
    standing = PhotometrySubscription.objects.create(
        service='ATLAS', target_id=goes.target.pk, owner=alice, next_round=NOW + timedelta(hours=3)
    )
    mine = query(stays.target, 'a')
    opened, closed = (
        query(goes.target, 'b', asked_by=alice, subscription=standing),
        query(goes.target, 'c', state='done', closed=NOW),
    )
    opened.followers.add(alice)
    merge(stays.target, goes.target)
    assert sorted(PhotometryQuery.objects.values_list('pk', 'target_id')) == [
        (row.pk, stays.target.pk) for row in (mine, opened, closed)
    ]
    assert list(PhotometryQuery.objects.get(pk=opened.pk).followers.all()) == [alice]
    standing.refresh_from_db()
    assert (standing.target_id, standing.active, standing.next_round) == (stays.target.pk, True, NOW + timedelta(hours=3))


def test_of_two_subscriptions_that_ask_the_same_one_goes_on_and_the_other_says_why_not(both: tuple[Answers, Answers]) -> None:
    stays, goes = both
    make = PhotometrySubscription.objects.create
    daily = make(service='ATLAS', target_id=stays.target.pk, interval_hours=24)
    hourly = make(service='ATLAS', target_id=goes.target.pk, interval_hours=6, parameters={'controls': False})
    reduced = make(service='ATLAS', target_id=goes.target.pk, parameters={'use_reduced': True})
    elsewhere = make(service='ZTF', target_id=goes.target.pk)
    merge(stays.target, goes.target)
    rows = PhotometrySubscription.objects
    assert set(rows.filter(active=True)) == {hourly, reduced, elsewhere}
    assert set(rows.values_list('target_id', flat=True)) == {stays.target.pk}
    assert f'about which subscription {hourly.pk} asks the same' in rows.get(pk=daily.pk).reason


def test_a_target_that_is_deleted_alone_pauses_no_subscription(both: tuple[Answers, Answers]) -> None:
    stays, goes = both
    make = PhotometrySubscription.objects.create
    kept = [make(service='ATLAS', target_id=stays.target.pk) for _ in range(2)]
    Target.objects.get(pk=goes.target.pk).delete()
    assert [PhotometrySubscription.objects.get(pk=each.pk).active for each in kept] == [True, True]


def test_a_script_that_merges_is_a_merge_too(both: tuple[Answers, Answers]) -> None:
    stays, goes = both
    stays.bring(exposures(0, 6))
    goes.bring(exposures(3, 9))
    asked = query(goes.target, 'a')
    target_merge(Target.objects.get(pk=stays.target.pk), Target.objects.get(pk=goes.target.pk))
    assert len(stored(stays.target)) == 9
    asked.refresh_from_db()
    assert asked.target_id == stays.target.pk


def test_a_target_that_is_deleted_alone_takes_everything_along(both: tuple[Answers, Answers]) -> None:
    stays, goes = both
    goes.bring(exposures(0, 6))
    query(goes.target, 'a')
    kept = query(stays.target, 'b')
    Target.objects.get(pk=goes.target.pk).delete()
    assert list(PhotometryQuery.objects.all()) == [kept]
    assert (LightCurve.objects.count(), IngestedFile.objects.count()) == (0, 0)


def test_the_admin_that_only_asks_what_would_go_moves_nothing(both: tuple[Answers, Answers]) -> None:
    from django.contrib.admin.utils import NestedObjects
    from django.db import DEFAULT_DB_ALIAS

    stays, goes = both
    asked = query(goes.target, 'a')
    TargetName.objects.create(target_id=stays.target.pk, name=goes.target.name)
    NestedObjects(using=DEFAULT_DB_ALIAS).collect([Target.objects.get(pk=goes.target.pk)])
    asked.refresh_from_db()
    assert asked.target_id == goes.target.pk


def test_a_product_given_to_another_target_takes_its_points_along(both: tuple[Answers, Answers]) -> None:
    stays, goes = both
    product, _ = goes.bring(exposures(0, 6))
    goes.bring(exposures(6, 9))
    product = DataProduct.objects.get(pk=product.pk)
    product.target_id = stays.target.pk
    product.save()
    assert (len(stored(stays.target)), len(stored(goes.target))) == (6, 3)
    assert sorted(LightCurve.objects.values_list('target_id', 'points')) == [(stays.target.pk, 6), (goes.target.pk, 3)]
