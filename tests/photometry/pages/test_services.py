"""The page of the services: set up, heard of, budget, how long queries took, who works; and no secret."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.photometry import conftest as forced
from tests.photometry.conftest import Hands, configure
from tests.support.asking import ask, ended
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryQuery, ServiceBudget
from tom_forced_phot.pages.services import quantile

pytestmark = pytest.mark.django_db(transaction=True)
atlas, clock, data_folder, make_target = forced.atlas, forced.clock, forced.data_folder, forced.make_target
PAGE = '/forced-photometry/services/'


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    client.force_login(astronomer)
    return client


def page(client: Any) -> str:
    response = client.get(PAGE)
    assert response.status_code == 200
    return str(response.content.decode())


def card(text: str, name: str) -> str:
    """The words of one service's card."""
    found = next(each for each in re.findall(r'<section class="phot-card".*?</section>', text, re.S) if f'>{name} ' in each)
    return re.sub(r'\s+', ' ', re.sub('<[^>]+>', ' ', found))


def test_it_says_budget_open_queries_times_and_who_works(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    assert 'Not asked yet' in card(page(vera), 'ATLAS')
    assert 'last at work never' in re.sub(r'\s+', ' ', re.sub('<[^>]+>', ' ', page(vera)))
    ask(make_target(), clock, astronomer)
    queries.run(clock)
    text = card(page(vera), 'ATLAS')
    assert 'Answers' in text
    assert '1 of 50 requests that ask for something, this minute' in text
    assert '1 of 400 positions at the service' in text
    assert 'Open queries 1 : 1 waiting at the service' in text
    assert 'nothing was answered yet' in text
    ended(clock)
    text = card(page(vera), 'ATLAS')
    assert 'the last 1 that were answered' in text
    assert 'Open queries 0' in text
    assert 'last at work never' not in re.sub(r'\s+', ' ', re.sub('<[^>]+>', ' ', page(vera)))


def test_failures_are_told_in_words_to_who_may_see_them(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any, client: Any
) -> None:
    target = make_target(name='Hush')
    atlas.service.set_outcome(target.ra, target.dec, 'The images are unreadable.')
    ask(target, clock, astronomer)
    ended(clock)
    assert 'Hush : ATLAS says: The images are unreadable.' in card(page(vera), 'ATLAS')
    target.permissions = 'PRIVATE'
    target.save()
    client.force_login(User.objects.create_user('eve'))
    assert 'Hush' not in page(client)
    assert 'None that you may see.' in card(page(client), 'ATLAS')


def test_a_service_that_does_not_answer_is_in_trouble_and_one_that_wants_rest_says_until_when(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    atlas.service.fault('submit', '503', count=50)
    ask(make_target(), clock, astronomer)
    queries.run(clock)
    assert 'Trouble' in card(page(vera), 'ATLAS')
    ServiceBudget.objects.update(quiet_until=clock() + timedelta(hours=1))
    assert 'It wants to be left alone until 2026-11-21 09:00 UTC (in 60 min)' in card(page(vera), 'ATLAS') or 'in 1 h' in card(
        page(vera), 'ATLAS'
    )


def test_staff_read_what_is_missing_others_do_not_and_nobody_a_value(vera: Any, client: Any, clock: Hands, settings: Any) -> None:
    configure(settings, 'ATLAS', api_key='')
    configure(settings, 'ZTF', email='secret@example.org', userpass='secret-word')
    settings.FORCED_PHOTOMETRY_SERVICES = {**settings.FORCED_PHOTOMETRY_SERVICES, 'BAD': {'class': 'no.such.Thing'}}
    text = page(vera)
    assert 'This site has no account there.' in card(text, 'ATLAS')
    assert 'ATLAS_FORCED_PHOTOMETRY_API_KEY' not in text
    assert 'no.such.Thing' not in text
    client.force_login(User.objects.create_superuser('root'))
    staff = page(client)
    assert 'ATLAS_FORCED_PHOTOMETRY_API_KEY' in staff
    assert 'no.such.Thing' in staff
    for each in (text, staff):
        assert 'secret' not in each.lower().replace('secret_key', '')


def test_without_services_it_says_what_to_do(vera: Any, settings: Any, clock: Hands) -> None:
    settings.FORCED_PHOTOMETRY_SERVICES = {}
    assert 'No service is set up.' in page(vera)


def test_it_is_for_users(client: Any) -> None:
    assert client.get(PAGE).status_code == 302
    assert PhotometryQuery.objects.count() == 0


@pytest.mark.parametrize(
    ('times', 'part', 'found'),
    [([], 0.5, None), ([7.0], 0.5, 7.0), ([7.0], 0.9, 7.0), ([3, 1, 2], 0.5, 2), (list(range(1, 11)), 0.9, 9)],
)
def test_quantiles(times: list[float], part: float, found: float | None) -> None:
    assert quantile(times, part) == found
