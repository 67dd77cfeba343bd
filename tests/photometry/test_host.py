"""The host's own page and buttons ask through this app: the user is known, the target's permission checked, errors are shown."""

from __future__ import annotations

import hashlib
import inspect
import re
from typing import Any

import pytest
import tom_dataproducts.views
from django.contrib.messages import get_messages
from django.core.files.base import ContentFile
from django.urls import resolve, reverse
from guardian.shortcuts import assign_perm
from tom_dataproducts.models import DataProduct

from tests.conftest import NIGHT
from tests.photometry.conftest import Hands, configure
from tests.support.asking import fresh
from tom_forced_phot import host
from tom_forced_phot.models import IngestedFile, LightCurve, PhotometryQuery

pytestmark = pytest.mark.django_db(transaction=True)
CHECKED = {
    tom_dataproducts.views.SingleTargetDataServiceQueryView: 'c2cd5d97538fd99d',
    tom_dataproducts.views.DataProductUploadView: '0db5ee523f3bcf56',
    tom_dataproducts.views.DataProductDeleteView: 'ccbdeacfcf86b674',
}


def fingerprint(thing: Any) -> str:
    return hashlib.sha256(re.sub(r'\s+', ' ', inspect.getsource(thing)).encode()).hexdigest()[:16]


@pytest.mark.parametrize('thing', CHECKED, ids=lambda thing: thing.__qualname__)
def test_the_hosts_code_is_still_what_was_checked(thing: Any) -> None:
    """If this fails, read the host's change, adapt tom_forced_phot/host.py, then note the new fingerprint."""
    assert fingerprint(thing) == CHECKED[thing]
    assert host.HOST_VERSION == '3.1.0'


def address(service: str = 'ATLAS') -> str:
    return reverse('tom_dataproducts:single-target-data-service-query', kwargs={'service': service})


def data(target: Any, **more: Any) -> dict[str, Any]:
    return {'service': 'ATLAS', 'target_id': target.pk, 'min_date': '2026-09-18', 'max_date': '61340', **more}


def test_the_hosts_name_leads_to_our_view() -> None:
    assert resolve(address()).func.view_class.__module__ == 'tom_forced_phot.host'


def test_the_button_and_the_form_are_there(client: Any, atlas: Any, target: Any, astronomer: Any) -> None:
    client.force_login(astronomer)
    page = client.get(reverse('tom_targets:detail', kwargs={'pk': target.pk}))
    assert address() in page.content.decode()
    form = client.get(f'{address()}?target_id={target.pk}', follow=True).content.decode()
    assert 'MJD such as 60316.5' in form
    assert target.name in form


def test_who_asked_is_known_and_the_web_request_drives_for_a_bounded_time(
    client: Any, atlas: Any, target: Any, astronomer: Any, clock: Hands, settings: Any
) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'SYNCHRONOUS_TIME': 0}
    client.force_login(astronomer)
    answer = client.post(address(), data(target))
    assert answer.status_code == 302
    assert answer.url.endswith('?tab=photometry')
    query = PhotometryQuery.objects.get()
    assert query.asked_by == astronomer
    assert query.parameters == {'mjd_min': 61301.0, 'mjd_max': 61340.0, 'reduction': 'difference'}
    assert fresh(query).state == 'submitted'
    assert 'runforcedphotometry' in str(next(iter(get_messages(answer.wsgi_request))))


def test_an_error_stands_beside_its_field(client: Any, atlas: Any, target: Any, astronomer: Any) -> None:
    client.force_login(astronomer)
    page = client.post(address(), data(target, min_date='yesterday'))
    assert page.status_code == 200
    text = page.content.decode()
    assert 'is no date: write an MJD such as 60316.5' in text
    assert 'yesterday' in text
    assert not PhotometryQuery.objects.exists()


def test_what_cannot_be_asked_is_said_on_the_page(
    client: Any, atlas: Any, make_target: Any, astronomer: Any, settings: Any
) -> None:
    client.force_login(astronomer)
    nowhere = make_target(ra=None, dec=None)
    assert 'has no coordinates' in client.post(address(), data(nowhere)).content.decode()
    configure(settings, 'ATLAS', api_key='')
    assert 'ATLAS_FORCED_PHOTOMETRY_API_KEY' in client.post(address(), data(make_target())).content.decode()


@pytest.mark.parametrize('method', ['get', 'post'])
def test_somebody_elses_private_target_is_invisible_and_untouchable(
    client: Any, atlas: Any, target: Any, astronomer: Any, method: str
) -> None:
    target.permissions = 'PRIVATE'
    target.save()
    client.force_login(astronomer)
    answer = getattr(client, method)(address(), data(target))
    assert answer.status_code == 404
    assert target.name not in answer.content.decode()
    assert not PhotometryQuery.objects.exists()


def test_who_is_not_logged_in_asks_nothing(client: Any, atlas: Any, target: Any) -> None:
    answer = client.post(address(), data(target))
    assert answer.status_code == 302
    assert 'login' in answer.url
    assert not PhotometryQuery.objects.exists()


@pytest.fixture
def file_of_a_hidden_target(target: Any, settings: Any, tmp_path: Any) -> Any:
    settings.MEDIA_ROOT, settings.TARGET_PERMISSIONS_ONLY = tmp_path, True
    target.permissions = 'PRIVATE'
    target.save()
    product = DataProduct(target=target, data_product_type='atlas_photometry', product_id='a light curve')
    product.data.save('curve.txt', ContentFile(b'points'), save=True)
    curve = LightCurve.objects.create(target=target, service='ATLAS', version=1, points=1)
    IngestedFile.objects.create(light_curve=curve, data_product=product, rows=1, new=1, ingested=NIGHT)
    return product


def test_a_stranger_cannot_delete_the_file_of_a_hidden_target(client: Any, file_of_a_hidden_target: Any, astronomer: Any) -> None:
    product, page = file_of_a_hidden_target, reverse('tom_dataproducts:delete', args=[file_of_a_hidden_target.pk])
    for method in (client.get, client.post, client.delete):
        answer = method(page)
        assert (answer.status_code, 'login' in answer.url) == (302, True)
    client.force_login(astronomer)
    for method in (client.get, client.post, client.delete):
        answer = method(page)
        assert answer.status_code == 404
        assert str(product) not in answer.content.decode()
    assert (IngestedFile.objects.count(), DataProduct.objects.count()) == (1, 1)


def test_who_may_only_look_reads_why_the_file_is_not_deleted(client: Any, file_of_a_hidden_target: Any, astronomer: Any) -> None:
    product, page = file_of_a_hidden_target, reverse('tom_dataproducts:delete', args=[file_of_a_hidden_target.pk])
    assign_perm('tom_targets.view_target', astronomer, product.target)
    client.force_login(astronomer)
    assert 'You may look at this file, but not delete it' in client.post(page, follow=True).content.decode()
    assert IngestedFile.objects.count() == 1
    assign_perm('tom_targets.change_target', astronomer, product.target)
    assert client.post(page).status_code == 302
    assert not DataProduct.objects.exists()
