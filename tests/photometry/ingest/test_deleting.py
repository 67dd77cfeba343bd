"""A data product is deleted: what another one still names stays, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.models import Target

from tests.support.ingesting import Answers, atlas, exposures, files, make_target, on_both, row, stored  # noqa: F401
from tom_forced_phot.ingest import files as reading
from tom_forced_phot.models import IngestedFile, LightCurve


@pytest.fixture
def answers(on_both: str) -> Answers:  # noqa: F811
    return Answers(make_target())


def account(answers: Answers) -> tuple[int, Any]:
    """What the light curve's row says."""
    curve = LightCurve.objects.get(target_id=answers.target.pk)
    return curve.points, curve.last_point


def check_account(answers: Answers) -> None:
    """It says what is true."""
    found = stored(answers.target)
    assert account(answers) == (len(found), found[-1].timestamp if found else None)


def test_a_point_that_another_file_names_moves_there(answers: Answers) -> None:
    first, _ = answers.bring(exposures(0, 20))
    second, _ = answers.bring(exposures(10, 30, flux=700))
    kept = {p.pk for p in stored(answers.target)[10:20]}
    first.delete()
    found = stored(answers.target)
    assert len(found) == 20
    assert {p.pk for p in found[:10]} == kept, 'the same points, with what was measured last'
    assert {(p.data_product_id, p.value['flux']) for p in found} == {(second.pk, 700.0)}
    check_account(answers)


def test_a_point_moves_to_the_newest_file_that_names_it(answers: Answers) -> None:
    first, _ = answers.bring(exposures(0, 10))
    second, _ = answers.bring(exposures(0, 10))
    third, _ = answers.bring(exposures(0, 5))
    first.delete()
    assert [p.data_product_id for p in stored(answers.target)] == [third.pk] * 5 + [second.pk] * 5
    check_account(answers)


def test_the_only_file_takes_its_points_along(answers: Answers) -> None:
    only, _ = answers.bring(exposures(0, 10))
    only.delete()
    assert stored(answers.target) == []
    check_account(answers)
    assert IngestedFile.objects.count() == 0


def test_the_hosts_own_page_which_deletes_the_points_first_loses_nothing_either(
    answers: Answers,
    settings: Any,
) -> None:
    admin = User.objects.create_superuser('root', 'root@example.org', 'stars')
    first, _ = answers.bring(exposures(0, 20))
    second, _ = answers.bring(exposures(10, 30, flux=700))
    client = Client()
    client.force_login(admin)
    client.post(reverse('tom_dataproducts:delete', kwargs={'pk': first.pk}))
    assert not DataProduct.objects.filter(pk=first.pk).exists()
    found = stored(answers.target)
    assert [p.value['exposure'][-6:] for p in found] == [f'{n:05d}c' for n in range(10, 30)]
    assert {(p.data_product_id, p.value['flux']) for p in found} == {(second.pk, 700.0)}
    check_account(answers)


def test_many_products_at_once(answers: Answers) -> None:
    first, _ = answers.bring(exposures(0, 10))
    second, _ = answers.bring(exposures(5, 15))
    third, _ = answers.bring(exposures(8, 20))
    DataProduct.objects.filter(pk__in=[first.pk, second.pk]).delete()
    found = stored(answers.target)
    assert [p.value['exposure'][-6:] for p in found] == [f'{n:05d}c' for n in range(8, 20)]
    assert {p.data_product_id for p in found} == {third.pk}
    check_account(answers)
    DataProduct.objects.all().delete()
    assert stored(answers.target) == []
    check_account(answers)


def test_a_site_that_listens_to_deleted_points_keeps_them_too(answers: Answers) -> None:
    """Then Django collects the points before we hear of it, and deletes them one by one."""
    from django.db.models.signals import post_delete

    def heard(**_: Any) -> None:
        """Nothing."""

    first, _ = answers.bring(exposures(0, 10))
    second, _ = answers.bring(exposures(5, 15))
    post_delete.connect(heard, sender=PhotometryReducedDatum)
    try:
        first.delete()
    finally:
        post_delete.disconnect(heard, sender=PhotometryReducedDatum)
    assert [p.data_product_id for p in stored(answers.target)] == [second.pk] * 10
    check_account(answers)


def test_a_whole_target_goes_without_a_look_at_its_files(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    answers.bring(exposures(0, 10))
    answers.bring(exposures(5, 15))
    monkeypatch.setattr(reading, 'read', lambda *given: pytest.fail('nothing is to be read'))
    Target.objects.get(pk=answers.target.pk).delete()
    assert PhotometryReducedDatum.objects.count() == LightCurve.objects.count() == IngestedFile.objects.count() == 0


def test_all_targets_at_once(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    answers.bring(exposures(0, 10))
    Answers(make_target('another')).bring(exposures(0, 10))
    monkeypatch.setattr(reading, 'read', lambda *given: pytest.fail('nothing is to be read'))
    Target.objects.all().delete()
    assert PhotometryReducedDatum.objects.count() == LightCurve.objects.count() == 0


def test_a_file_that_is_gone_from_the_disk_harms_nothing(answers: Answers) -> None:
    first, _ = answers.bring(exposures(0, 10))
    second, _ = answers.bring(exposures(5, 15))
    second.data.storage.delete(second.data.name)
    first.delete()
    assert [p.data_product_id for p in stored(answers.target)] == [second.pk] * 5
    check_account(answers)


def test_both_kinds_of_photometry_are_told_apart(answers: Answers) -> None:
    first, _ = answers.bring(exposures(0, 5))
    answers.bring(exposures(0, 5), reduction='reduced')
    first.delete()
    assert [p.reduction_version for p in stored(answers.target)] == ['reduced'] * 5
    check_account(answers)


def test_other_products_of_the_host_are_none_of_our_business(answers: Answers) -> None:
    other = DataProduct.objects.create(target=answers.target, data_product_type='photometry')
    PhotometryReducedDatum.objects.create(target=answers.target, data_product=other, bandpass='r', brightness=18.0)
    answers.bring(atlas(row(1)))
    other.delete()
    assert len(stored(answers.target)) == 1
    check_account(answers)


def fluxes(answers: Answers) -> list[float]:
    return [p.value['flux'] for p in stored(answers.target)]


@pytest.mark.parametrize('way', ['row', 'page', 'query set'])
def test_what_a_file_overwrote_comes_back_when_it_goes(answers: Answers, way: str) -> None:
    first, _ = answers.bring(exposures(0, 20))
    before = [(p.pk, p.brightness, p.value) for p in stored(answers.target)]
    wrong, counts = answers.bring(exposures(5, 25, flux=9000))
    assert counts.updated == 15
    if way == 'row':
        wrong.delete()
    elif way == 'query set':
        DataProduct.objects.filter(pk=wrong.pk).delete()
    else:
        client = Client()
        client.force_login(User.objects.create_superuser('root', 'root@example.org', 'stars'))
        client.post(reverse('tom_dataproducts:delete', kwargs={'pk': wrong.pk}))
    assert [(p.pk, p.brightness, p.value) for p in stored(answers.target)] == before
    assert {p.data_product_id for p in stored(answers.target)} == {first.pk}
    check_account(answers)


def test_of_several_remaining_files_the_newest_says_what_comes_back(answers: Answers) -> None:
    answers.bring(exposures(0, 10, flux=500))
    answers.bring(exposures(0, 5, flux=600))
    wrong, _ = answers.bring(exposures(0, 10, flux=9000))
    answers.bring(exposures(0, 2, flux=700))
    wrong.delete()
    assert fluxes(answers) == [700] * 2 + [600] * 3 + [500] * 5
    check_account(answers)


def test_two_wrong_files_that_go_together_leave_what_was_before(answers: Answers) -> None:
    answers.bring(exposures(0, 10, flux=500))
    one, _ = answers.bring(exposures(0, 6, flux=9000))
    two, _ = answers.bring(exposures(4, 10, flux=8000))
    DataProduct.objects.filter(pk__in=[one.pk, two.pk]).delete()
    assert fluxes(answers) == [500] * 10
    check_account(answers)


def test_a_wrong_file_that_cannot_be_read_any_more_is_undone_too(answers: Answers) -> None:
    answers.bring(exposures(0, 10, flux=500))
    wrong, _ = answers.bring(exposures(0, 6, flux=9000))
    wrong.data.storage.delete(wrong.data.name)
    wrong.delete()
    assert fluxes(answers) == [500] * 10


def test_deleting_a_file_that_changed_nothing_changes_nothing(answers: Answers) -> None:
    answers.bring(exposures(0, 10))
    same, _ = answers.bring(exposures(0, 10))
    before = [(p.pk, p.data_product_id, p.value) for p in stored(answers.target)]
    same.delete()
    assert [(p.pk, p.data_product_id, p.value) for p in stored(answers.target)] == before
