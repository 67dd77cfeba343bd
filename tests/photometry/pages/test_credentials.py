"""A user's own credentials on the profile page: they go in, and nothing of them ever comes out."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import RequestFactory
from django.views.debug import ExceptionReporter
from django.views.decorators.debug import sensitive_variables

from tests.photometry.conftest import configure
from tom_forced_phot.models import ServiceCredential
from tom_forced_phot.pages import credentials as pages
from tom_forced_phot.queries import accounts

pytestmark = pytest.mark.django_db
PROFILE, HERE = '/users/profile/', '/forced-photometry/credentials/'
SECRET = 'hush-4711-token'
ACCOUNT = {'email': 'vera-hush@example.org', 'userpass': 'hush-password'}
HX = {'HTTP_HX_REQUEST': 'true'}


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    """The site has an account at ATLAS, and none at ZTF."""
    configure(settings, 'ATLAS', api_key='of-the-site')
    configure(settings, 'ZTF', email='', userpass='')
    configure(settings, 'PANSTARRS', api_key='MAST_API_TOKEN not set')


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    client.force_login(astronomer)
    return client


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return ' '.join(str(answer.content.decode()).split())


def part(page: str, service: str) -> str:
    """The part of a page that is about one service."""
    found = re.search(rf'<section[^>]*id="credential-{service.lower()}".*?</section>', page)
    assert found is not None
    return found[0]


def beside(page: str, service: str, key: str) -> str:
    found = re.search(rf'id="ask-error-{service.lower()}-{key}" role="alert">(.*?)</div></div>', page)
    return found[1] if found else ''


def test_the_profile_says_whose_credentials_are_used(vera: Any) -> None:
    page = text_of(vera.get(PROFILE))
    assert 'id="photometry-credentials"' in page
    assert "Used: <strong>this site's</strong>" in part(page, 'ATLAS')
    assert 'Used: <strong>none</strong>: you cannot ask this service' in part(page, 'ZTF')
    assert 'Used: <strong>none</strong>: it answers without, too' in part(page, 'PanSTARRS')
    assert 'of-the-site' not in page


def test_what_was_entered_is_kept_encrypted_and_never_shown(vera: Any, astronomer: Any, caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = vera.post(f'{HERE}ATLAS/', {'api_key': f'  {SECRET} '})
    assert answer.url == f'{PROFILE}#photometry-credentials'
    said = [str(each) for each in get_messages(answer.wsgi_request)]
    assert said == ['Your credentials for ATLAS are kept, encrypted. They are not shown again.']
    assert ServiceCredential.objects.get(user=astronomer, service='ATLAS', key='api_key').value == SECRET
    page = text_of(vera.get(PROFILE))
    assert 'Used: <strong>your own</strong>, set on <time' in part(page, 'ATLAS')
    assert 'Set. Left blank, it stays as it is.' in part(page, 'ATLAS')
    for place in (page, text_of(vera.get(HERE)), text_of(vera.get('/forced-photometry/ask/')), caplog.text, *said):
        assert SECRET not in place


def test_every_field_is_empty_and_the_browser_is_asked_not_to_remember(vera: Any, astronomer: Any) -> None:
    accounts.save(astronomer, 'ZTF', ACCOUNT)
    page = text_of(vera.get(PROFILE))
    fields = re.findall(r'<input class="form-control form-control-sm[^>]*>', page)
    assert len(fields) == 4
    assert all('autocomplete="off"' in each and ' value=' not in each for each in fields)
    assert {re.search(r'name="(\w+)"', each)[1] for each in fields if 'type="password"' not in each} == {'email'}  # type: ignore[index]


def test_with_a_script_the_part_is_swapped(vera: Any) -> None:
    page = text_of(vera.post(f'{HERE}ATLAS/', {'api_key': SECRET}, **HX))
    assert page.startswith('<section')
    assert 'role="status">Your credentials for ATLAS are kept' in page
    assert SECRET not in page
    page = text_of(vera.post(f'{HERE}ATLAS/remove/', **HX))
    assert 'Your credentials for ATLAS are removed.' in page
    assert "Used: <strong>this site's</strong>" in page
    assert not ServiceCredential.objects.exists()


def test_half_an_account_is_refused_beside_its_field_and_not_shown_again(vera: Any) -> None:
    for more in ({}, HX):
        page = text_of(vera.post(f'{HERE}ZTF/', {'email': ACCOUNT['email']}, **more))
        assert 'This is needed: an account is used only as a whole.' in beside(page, 'ZTF', 'userpass')
        assert ACCOUNT['email'] not in page
        assert '<details open>' in part(page, 'ZTF')
    assert not ServiceCredential.objects.exists()


def test_a_part_of_an_account_may_be_replaced(vera: Any, astronomer: Any) -> None:
    vera.post(f'{HERE}ZTF/', ACCOUNT)
    vera.post(f'{HERE}ZTF/', {'userpass': 'another-password', 'email': ''})
    kept = dict(ServiceCredential.objects.values_list('key', 'value'))
    assert kept == {'email': ACCOUNT['email'], 'userpass': 'another-password'}


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        ('', 'This is needed'),
        ('your atlas account api token', 'API key or token is only the placeholder of a settings template.'),
        ('x' * 501, 'at most 500 characters'),
        ('\u0394 is no key', 'holds a character that cannot be sent to ATLAS'),
    ],
)
def test_what_cannot_be_a_credential_is_refused_beside_its_field(vera: Any, value: str, words: str) -> None:
    page = text_of(vera.post(f'{HERE}ATLAS/', {'api_key': value}))
    assert words in beside(page, 'ATLAS', 'api_key')
    assert not value or value not in page
    assert not ServiceCredential.objects.exists()


def test_nothing_entered_changes_nothing_and_says_so(vera: Any, astronomer: Any) -> None:
    accounts.save(astronomer, 'ATLAS', {'api_key': SECRET})
    page = text_of(vera.post(f'{HERE}ATLAS/', {'api_key': ''}))
    assert 'Nothing was entered, so nothing was changed.' in beside(page, 'ATLAS', 'api_key')
    assert ServiceCredential.objects.get().value == SECRET


def test_removing_twice_says_that_there_was_nothing(vera: Any, astronomer: Any) -> None:
    accounts.save(astronomer, 'ATLAS', {'api_key': SECRET})
    for words in ('are removed', 'There were no credentials of yours for ATLAS.'):
        answer = vera.post(f'{HERE}ATLAS/remove/')
        assert words in ' '.join(str(each) for each in get_messages(answer.wsgi_request))
    assert not ServiceCredential.objects.exists()


def test_each_user_sees_and_changes_only_their_own(client: Any, astronomer: Any) -> None:
    accounts.save(astronomer, 'ATLAS', {'api_key': SECRET})
    client.force_login(User.objects.create_superuser('root'))
    assert "Used: <strong>this site's</strong>" in part(text_of(client.get(PROFILE)), 'ATLAS')
    client.post(f'{HERE}ATLAS/remove/')
    client.post(f'{HERE}ATLAS/', {'api_key': 'of-root'})
    assert dict(ServiceCredential.objects.values_list('user__username', 'value')) == {'vera': SECRET, 'root': 'of-root'}


def test_credentials_of_a_service_that_is_configured_no_more_can_be_removed(vera: Any, astronomer: Any, settings: Any) -> None:
    accounts.save(astronomer, 'ZTF', ACCOUNT)
    services = {name: entry for name, entry in settings.FORCED_PHOTOMETRY_SERVICES.items() if name != 'ZTF'}
    settings.FORCED_PHOTOMETRY_SERVICES = services
    shown = part(text_of(vera.get(PROFILE)), 'ZTF')
    assert 'This service is not configured here any more' in shown
    assert '<input class' not in shown
    vera.post(f'{HERE}ZTF/remove/')
    assert not ServiceCredential.objects.exists()
    assert 'id="credential-ztf"' not in text_of(vera.get(PROFILE))


def test_credentials_that_cannot_be_read_any_more_are_said_to_be_so(vera: Any, astronomer: Any, settings: Any) -> None:
    accounts.save(astronomer, 'ATLAS', {'api_key': SECRET})
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = 'quite another one', []
    vera.force_login(astronomer)
    assert 'cannot be read any more' in part(text_of(vera.get(PROFILE)), 'ATLAS')


def test_a_service_that_takes_none_is_not_there(vera: Any) -> None:
    for address in (f'{HERE}HST/', f'{HERE}HST/remove/'):
        assert vera.post(address, {'api_key': SECRET}).status_code == 404
        assert vera.get(address).status_code == 405


def test_nothing_of_it_is_kept_by_a_cache_or_a_browser(vera: Any) -> None:
    for answer in (vera.get(HERE), vera.post(f'{HERE}ATLAS/', {'api_key': ''})):
        assert 'no-store' in answer.headers['Cache-Control']


@pytest.mark.parametrize('where', ['tom_forced_phot.conf.utc_now', 'tom_forced_phot.models.ServiceCredential.objects.create'])
def test_an_error_report_does_not_hold_it(astronomer: Any, monkeypatch: Any, where: str) -> None:
    """Of a request that breaks, neither the report's POST values nor the variables of its frames show what was sent."""

    @sensitive_variables()
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError('no room')

    monkeypatch.setattr(where, broken)
    request = RequestFactory().post(f'{HERE}ATLAS/', {'api_key': SECRET})
    request.user = astronomer
    with pytest.raises(RuntimeError, match='no room') as caught:
        pages.save(request, 'ATLAS')
    report = ExceptionReporter(request, caught.type, caught.value, caught.tb)
    assert SECRET not in report.get_traceback_text()
    html = report.get_traceback_html()
    assert 'api_key' in html
    assert SECRET not in html
