"""A mail says which TOM it is from, what happened and the one next action, and its link leads there, by the login if need be."""

from __future__ import annotations

import re
from email import policy
from email.parser import BytesParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.contrib.sites.models import Site
from django.core import mail
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NIGHT
from tom_cadence.engine.mail import send_mails
from tom_cadence.journal import notices
from tom_cadence.models import ManagedCadence, Notice
from tom_followup.mails import NO_LINK, Message, link_to, mail_to, site_address, site_name
from tom_forced_phot.models import PhotometryAnnouncement, PhotometryNotice
from tom_forced_phot.queries.notices import message_of

HOSTILE = '<script>alert(1)</script> & "x" {0} {link}\r\nBcc: eve@example.org'


@pytest.fixture
def domain(db: Any, settings: Any) -> Any:
    """Say what django.contrib.sites knows; the setting is left out."""
    settings.TOM_ADDRESS = ''

    def say(text: str) -> None:
        Site.objects.update(domain=text)
        Site.objects.clear_cache()

    yield say
    Site.objects.clear_cache()


@pytest.mark.parametrize(
    ('given', 'address'),
    [
        ('https://tom.example.org', 'https://tom.example.org'),
        (' https://tom.example.org/ ', 'https://tom.example.org'),
        ('http://localhost:8000/tom/', 'http://localhost:8000/tom'),
        ('https://[::1]:8000', 'https://[::1]:8000'),
        ('tom.example.org', ''),
        ('ftp://tom.example.org', ''),
        ('javascript:alert(1)', ''),
        ('https://', ''),
        ('https://[', ''),
        ('https://tom.example.org/?next=', ''),
        ('https://vera:hush@tom.example.org', ''),
        ('https://tom.example.org\nBcc: eve', ''),
    ],
)
def test_the_setting_says_where_the_tom_is_or_nothing(settings: Any, given: str, address: str) -> None:
    settings.TOM_ADDRESS = given
    assert site_address() == address


@pytest.mark.parametrize(
    ('text', 'address'),
    [
        ('[', ''),
        ('tom.example.org', 'https://tom.example.org'),
        ('127.0.0.1:8000', 'http://127.0.0.1:8000'),
        ('example.com', ''),
        ('', ''),
    ],
)
def test_without_the_setting_the_site_of_django_is_asked_but_not_believed_before_somebody_filled_it_in(
    domain: Any, text: str, address: str
) -> None:
    domain(text)
    assert site_address() == address


def test_a_tom_without_sites_or_without_its_row_has_no_links_and_no_error(db: Any, settings: Any) -> None:
    settings.TOM_ADDRESS = ''
    settings.SITE_ID = 4711
    assert (site_address(), site_name()) == ('', 'Example TOM')
    settings.INSTALLED_APPS = [each for each in settings.INSTALLED_APPS if each != 'django.contrib.sites']
    settings.TOM_NAME = ''
    assert (site_address(), site_name(), link_to('/cadences/1/')) == ('', 'TOM Toolkit', '')


def test_a_tom_below_a_path_is_not_named_twice(settings: Any) -> None:
    settings.TOM_ADDRESS = 'https://example.org/tom'
    assert link_to('/tom/cadences/1/') == link_to('/cadences/1/') == 'https://example.org/tom/cadences/1/?login=1'
    settings.TOM_ADDRESS = 'https://example.org/c'
    assert link_to('/cadences/1/') == 'https://example.org/c/cadences/1/?login=1'


def test_what_happened_comes_first_then_the_one_next_action_then_the_rest(settings: Any) -> None:
    settings.TOM_ADDRESS = 'https://tom.example.org'
    message = Message(subject='Cadence 5 waits', text='It rains.\n\nFacility: LCO', action='See it', path='/cadences/5/')
    told = mail_to('vera@example.org', message)
    assert told.subject == '[Example TOM] Cadence 5 waits'
    assert told.body.split('\n\n')[:4] == [
        'Cadence 5 waits.',
        'It rains.',
        'See it:\nhttps://tom.example.org/cadences/5/?login=1',
        'Facility: LCO',
    ]
    assert 'https://tom.example.org/users/profile/' in told.body
    [html] = [part.content for part in told.alternatives]
    words = re.sub(r'<[^>]+>', ' ', html.partition('<body')[2])
    places = [words.index(part) for part in ('Example TOM', 'Cadence 5 waits', 'It rains.', 'See it', 'Facility: LCO')]
    assert places == sorted(places)
    assert re.findall(r'href="([^"]+)"', html) == ['https://tom.example.org/cadences/5/?login=1'] * 2


def test_a_tom_that_does_not_know_where_it_is_says_so_plainly(domain: Any) -> None:
    domain('example.com')
    told = mail_to('vera@example.org', Message(subject='A', text='B', action='See it', path='/cadences/5/'))
    [html] = [part.content for part in told.alternatives]
    for text in (told.body, html):
        assert '/cadences/5/' in text
        assert NO_LINK in text
        assert 'href' not in text
        assert 'example.com' not in text


@given(text=st.text(max_size=60), subject=st.text(max_size=30), action=st.text(max_size=30))
def test_whatever_is_told_is_text_and_never_markup_nor_a_header(text: str, subject: str, action: str) -> None:
    message = Message(subject=subject + HOSTILE, text=HOSTILE + text, action=HOSTILE + action, path='/cadences/5/')
    told = mail_to('vera@example.org', message)
    [html] = [part.content for part in told.alternatives]
    assert html.count('<script') == 0
    assert len(re.findall(r'<a ', html)) == 2
    read = BytesParser(policy=policy.default).parsebytes(told.message().as_bytes())
    assert read['Bcc'] is None
    assert read['To'] == 'vera@example.org'


def way_back(client: Any, link: str) -> str:
    """Where the link leads who is not logged in: to the login, and with the right password to the page."""
    address = urlsplit(link)
    answer = client.get(f'{address.path}?{address.query}' if address.query else address.path)
    assert answer.status_code == 302, 'the login comes first'
    assert answer['Location'].startswith('/accounts/login/?next=')
    given = {'login': 'vera', 'username': 'vera', 'password': 'stars'}
    entered = client.post(answer['Location'], given, follow=True)
    assert entered.status_code == 200
    return entered.request['PATH_INFO'] + (f'?{entered.request["QUERY_STRING"]}' if entered.request['QUERY_STRING'] else '')


def links(body: str) -> list[str]:
    return [link for link in re.findall(r'http://127\.0\.0\.1:8000\S+', body) if 'profile' not in link]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize('event', notices.WORDS)
def test_each_mail_of_a_cadence_leads_back_to_it_after_the_session_was_over(make_cadence: Any, client: Any, event: str) -> None:
    """Also where visitors may see the cadence: they would have no buttons."""
    managed = ManagedCadence.objects.select_related('owner').get(cadence=make_cadence())
    assert client.get(f'/cadences/{managed.pk}/').status_code == 200
    notices.tell_owner(managed, event, 'See there.')
    assert send_mails() == 1
    [link] = links(str(mail.outbox[0].body))
    assert way_back(client, link) == f'/cadences/{managed.pk}/?login=1'


@pytest.mark.django_db(transaction=True)
def test_the_mail_about_many_leads_to_a_list_of_them(make_cadence: Any, astronomer: Any, client: Any) -> None:
    stopped = [ManagedCadence.objects.select_related('owner').get(cadence=make_cadence()) for _ in range(2)]
    notices.tell_about_credentials(stopped, 'LCO', 'It said 401.')
    notices.tell_about_pause(stopped, 'boss paused it.')
    assert send_mails() == 2
    found = [links(str(told.body)) for told in mail.outbox]
    assert found == [[f'http://127.0.0.1:8000/cadences/?state={state}&login=1'] for state in ('attention', 'paused')]


@pytest.mark.django_db
@pytest.mark.parametrize('kind', ['about queries', 'of what stopped'])
def test_the_mails_of_photometry_lead_back_too(astronomer: Any, client: Any, kind: str) -> None:
    body = '- ATLAS, SN 1: failed.' if kind == 'about queries' else ''
    announced = PhotometryAnnouncement.objects.create(made=NIGHT)
    notice = PhotometryNotice.objects.create(
        user=astronomer, announcement=announced, text='It ended.', body=body, bad=True, created=NIGHT
    )
    told = mail_to('vera@example.org', message_of(notice))
    [link] = links(told.body)
    path = f'/forced-photometry/?notice={notice.pk}&login=1' if body else '/forced-photometry/subscriptions/?login=1'
    assert way_back(client, link) == path


@pytest.mark.django_db(transaction=True)
def test_who_may_not_see_a_target_any_more_is_not_told_its_name(make_cadence: Any, target: Any, astronomer: Any) -> None:
    managed = ManagedCadence.objects.select_related('owner').get(cadence=make_cadence())
    ManagedCadence.objects.update(target_name=target.name)
    managed.refresh_from_db()
    target.permissions = 'PRIVATE'
    target.save()
    boss = User.objects.create_superuser('boss', 'boss@example.org')
    reason = f'The facility refused {target.name}: too low.'
    notices.tell_owner(managed, 'attention', reason)
    notices.tell_about_pause([managed, managed], reason)
    notices.tell(astronomer, 'Another proposal', reason, [managed])
    notices.tell_about_lost_owner(boss, [managed], reason)
    assert send_mails() == 4
    for told in mail.outbox:
        text = f'{told.subject} {told.message().as_string()}'
        assert (target.name in text) == (told.to == ['boss@example.org']), text
    assert not [notice for notice in Notice.objects.filter(user=astronomer) if target.name in notice.text]
    assert 'a target that you may not see' in str(mail.outbox[0].body)
