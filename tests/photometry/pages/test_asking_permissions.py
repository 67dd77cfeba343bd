# ruff: noqa: F401, F811  (fixtures)
"""Who may ask about what; and that nobody learns of a target by asking."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from guardian.shortcuts import assign_perm
from tom_targets.models import Target, TargetList

from tests.photometry.pages.test_asking import ASK, ask, beside, clock, filled, many, preview, said, servers, text_of, vera
from tom_forced_phot.models import PhotometryQuery, ServiceCredential

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = 'Hidden 2026zz'


@pytest.fixture(params=[True, False], autouse=True)
def mode(request: Any, settings: Any) -> bool:
    settings.TARGET_PERMISSIONS_ONLY = request.param
    return bool(request.param)


@pytest.fixture
def hidden(db: Any) -> Any:
    """A private target that nobody in the tests may see, in a list that everybody may."""
    return Target.objects.create(name=SECRET, type='SIDEREAL', ra=33.0, dec=33.0, permissions='PRIVATE')


@pytest.mark.parametrize('address', [ASK, f'{ASK}?target=1', f'{ASK}targets/?search=SN', '/forced-photometry/credentials/'])
def test_who_is_not_logged_in_is_sent_to_the_login(client: Any, servers: Any, many: Any, address: str) -> None:
    many()
    answer = client.get(address)
    assert (answer.status_code, 'login' in answer.url) == (302, True)


def test_who_is_not_logged_in_asks_nothing(client: Any, servers: Any, many: Any) -> None:
    for address in (ASK, f'{ASK}choose/', '/forced-photometry/credentials/ATLAS/', '/forced-photometry/credentials/ATLAS/remove/'):
        answer = client.post(address, {**filled(many(), ['ATLAS']), 'step': 'ask'})
        assert (answer.status_code, 'login' in answer.url) == (302, True)
    assert not PhotometryQuery.objects.exists()


def test_a_hidden_target_is_nowhere(vera: Any, servers: Any, many: Any, hidden: Any, astronomer: Any) -> None:
    (seen,) = many()
    group = TargetList.objects.create(name='All')
    group.targets.add(seen, hidden)
    assign_perm('tom_targets.view_targetlist', astronomer, group)
    assert vera.get(f'{ASK}?target={hidden.pk}').status_code == 404
    assert vera.get(f'{ASK}?target=999999').status_code == 404
    pages = [
        text_of(vera.get(f'{ASK}?targets={seen.pk},{hidden.pk}')),
        text_of(vera.get(f'{ASK}?target_list={group.pk}')),
        text_of(vera.get(f'{ASK}targets/?search=Hidden')),
        preview(vera, filled([seen, hidden], ['ATLAS']))[0],
        preview(vera, {'target_list': group.pk, 'services': ['ATLAS', 'ZTF'], 'when': 'last'})[0],
        text_of(vera.post(f'{ASK}choose/', {'selected-target': [seen.pk, hidden.pk], 'selected-row': [group.pk]}, follow=True)),
    ]
    for page in pages:
        assert SECRET not in page
        assert f'value="{hidden.pk}"' not in page
    assert '1 position in 1 request<' in pages[4]


def test_a_target_that_is_hidden_is_refused_in_the_words_for_one_that_is_not_there(
    vera: Any, servers: Any, many: Any, hidden: Any
) -> None:
    given = filled(many(), ['ATLAS'])
    places = [beside(preview(vera, {**given, 'targets': [pk]})[0], 'targets') for pk in (hidden.pk, 999999)]
    assert places[0] == places[1]
    assert 'There is no such target, or you may not see it' in places[0]
    notes = [re.search(r'<div class="alert alert-warning" role="alert">(.*?)</div>', text_of(vera.get(f'{ASK}?targets={pk}')))
             for pk in (hidden.pk, 999999)]  # fmt: skip
    assert len({note[1] for note in notes if note}) == 1


def test_who_may_look_but_not_add_data_may_not_ask(vera: Any, servers: Any, hidden: Any, astronomer: Any) -> None:
    assign_perm('tom_targets.view_target', astronomer, hidden)
    page = text_of(vera.get(f'{ASK}?target={hidden.pk}'))
    assert 'you may look at it, but not add data to it' in page
    assert f'value="{hidden.pk}"' not in page
    assert SECRET not in text_of(vera.get(f'{ASK}targets/?search=Hidden'))
    page, sent = preview(vera, filled([hidden], ['ATLAS']))
    assert f'so not ask: {SECRET}.' in beside(page, 'targets')
    vera.post(ASK, sent)
    assert not PhotometryQuery.objects.exists()
    assign_perm('tom_targets.change_target', astronomer, hidden)
    ask(vera, filled([hidden], ['ATLAS']))
    assert PhotometryQuery.objects.get().target_id == hidden.pk


def test_a_right_that_was_taken_away_after_the_preview_counts(vera: Any, servers: Any, many: Any) -> None:
    (target,) = many()
    _, sent = preview(vera, filled([target], ['ATLAS']))
    Target.objects.filter(pk=target.pk).update(permissions='PRIVATE')
    assert target.name not in text_of(vera.post(ASK, sent))
    assert not PhotometryQuery.objects.exists()


def test_an_earlier_query_about_a_hidden_target_cannot_be_repeated_by_a_stranger(
    client: Any,
    vera: Any,
    servers: Any,
    many: Any,
) -> None:
    (target,) = many()
    ask(vera, filled([target], ['ATLAS']))
    Target.objects.filter(pk=target.pk).update(permissions='PRIVATE')
    client.force_login(User.objects.create_user('eve'))
    query = PhotometryQuery.objects.get()
    assert client.get(f'{ASK}?again={query.pk}').status_code == 404
    for nonsense in ('999999', 'x', '-1', '1,2'):
        assert client.get(f'{ASK}?again={nonsense}').status_code == 404


def test_a_list_that_one_may_not_see_is_not_offered(vera: Any, servers: Any, many: Any) -> None:
    group = TargetList.objects.create(name='Private list')
    group.targets.add(*many())
    assert vera.get(f'{ASK}?target_list={group.pk}').status_code == 404
    assert 'Private list' not in text_of(vera.get(ASK))
    assert 'There is no such list' in beside(
        preview(vera, {'target_list': group.pk, 'services': ['ATLAS'], 'when': 'last'})[0], 'list'
    )


def test_the_search_finds_aliases_and_says_when_there_is_nothing(vera: Any, servers: Any, many: Any) -> None:
    (target,) = many()
    target.aliases.create(name='ZTF26abc')
    assert target.name in text_of(vera.get(f'{ASK}targets/?search=ztf26'))
    assert 'No target with this in its name' in text_of(vera.get(f'{ASK}targets/?search=nothing'))
    assert 'No target' not in text_of(vera.get(f'{ASK}targets/?search='))


def test_a_name_is_text_and_never_markup(vera: Any, servers: Any, many: Any) -> None:
    (evil,) = many(name='<script>alert(1)</script>')
    for page in (
        text_of(vera.get(f'{ASK}?target={evil.pk}')),
        text_of(vera.get(f'{ASK}targets/?search=script')),
        preview(vera, filled([evil], ['ATLAS'], when='all'))[0],
    ):
        assert '<script>alert' not in page


def test_without_a_token_nothing_is_asked(servers: Any, many: Any, astronomer: Any) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(astronomer)
    for address in (ASK, f'{ASK}choose/', '/forced-photometry/credentials/ATLAS/', '/forced-photometry/credentials/ATLAS/remove/'):
        answer = client.post(address, {**filled(many(), ['ATLAS']), 'step': 'ask', 'api_key': 'x'})
        assert 'login' in answer.url  # what the host makes of a 403
    assert not ServiceCredential.objects.exists()
    assert not PhotometryQuery.objects.exists()
