"""Strangers can do nothing by any way round: other methods, suffixes, formats, fragments, tokens and sessions that have ended.

The permission matrix asks each URL as it is meant to be asked; here each is asked as nobody meant it.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver
from rest_framework.authtoken.models import Token

from tests.permissions.test_permission_matrix import RULES, people, prepared, tonight  # noqa: F401 (fixtures)
from tests.support.matrix import TELLTALE, Case, People, differences, everything_said, make_case, snapshot, urls
from tests.support.matrix_rules import Rule

pytestmark = pytest.mark.django_db(transaction=True)
MODES = pytest.mark.parametrize('only_targets', [True, False], ids=['target permissions', 'all permissions'])
HERE = pytest.mark.parametrize('only_targets', [True], ids=['target permissions'])
#: What the matrix does not ask.
UNMEANT = ('HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS')
PASSWORD = 'of-an-astronomer'
#: Verbs that the host's own REST API and templates know, and formats of ours and of the host.
QUERIES = (
    *({'format': kind} for kind in ('json', 'api', 'csv', 'ecsv', 'votable', 'png')),
    {'part': 'panel', 'kind': 'votable', 'download': 'png', 'all': '1', 'limit': '9999', 'observations': 'all', 'decisions': 'all'},
    {'_method': 'DELETE', 'next': '//evil.example', 'user': '1', 'owner': '1', 'mine': 'off', 'ordering': '-pk', 'search': 'hus'},
)
SUFFIXES = ('.json', '.csv', '.api', '.json/', '//', '/../', '%2f', '?')
HEADERS = (
    {'HX-Request': 'true', 'HX-Target': 'panel', 'HX-Boosted': 'true'},
    {'Accept': 'application/json', 'X-Requested-With': 'XMLHttpRequest'},
    {'X-HTTP-Method-Override': 'DELETE', 'X-Forwarded-User': 'superuser', 'Remote-User': 'superuser'},
    {'Range': 'bytes=0-', 'If-None-Match': '*', 'If-Modified-Since': 'Sat, 21 Nov 2099 08:00:00 GMT'},
)
#: Pages of the host that name private things without this project, too, and what of.
HOSTS_OWN = {
    'dataproducts/data/group/add/': 'offers the names of all files',
    'targets/<int:pk>/share/': 'shows every target',
    'targets/<int:target_pk>/persistentshare/manage/': 'shows every target',
    'targets/merge/<int:pk1>/<int:pk2>': 'shows every target',
}
OUR_ROWS = ('observatory', 'tom_cadence', 'tom_forced_phot', 'tom_observations')


@dataclass(frozen=True)
class Way:
    """How a URL is asked: what is put behind it, and which headers go along."""

    suffix: str = ''
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    def of(self, address: str) -> str:
        """The address, asked in this way."""
        path, mark, query = address.partition('?')
        path = f'{path.rstrip("/") if self.suffix.startswith(".") else path}{self.suffix}'
        more = '&'.join(filter(None, (query, urlencode(self.query))))
        return f'{path}?{more}' if more else path + mark


MEANT = Way()
ROUND = [
    *(Way(query=tuple(query.items())) for query in QUERIES),
    *(Way(suffix=suffix) for suffix in SUFFIXES),
    *(Way(headers=tuple(headers.items())) for headers in HEADERS),
]


def who_asks(people: People) -> dict[str, Client]:  # noqa: F811
    """The browsers and scripts of those who may see nothing."""
    for role in ('stranger', 'owner'):
        people.users[role].set_password(PASSWORD)
        people.users[role].save()

    def script(role: str, how: str) -> Client:
        word = base64.b64encode(f'{role}:{PASSWORD}'.encode()).decode()
        key = Token.objects.get_or_create(user=people.users[role])[0].key
        said = {'token': f'Token {key}', 'password': f'Basic {word}'}
        return Client(raise_request_exception=False, headers={'Authorization': said[how]})

    left = people.browser('owner')  # who was logged in when the account was deactivated
    User.objects.filter(pk=people.users['owner'].pk).update(is_active=False)
    browsers = {'anonymous': people.browser('anonymous'), 'stranger': people.browser('stranger'), 'deactivated owner': left}
    return browsers | {f'{role} with a {how}': script(role, how) for role in ('stranger', 'owner') for how in ('token', 'password')}


def complaints(
    name: str, rule: Rule, case: Case, browser: Client, methods: tuple[str, ...], ways: list[Way], *, may: bool, blind: bool = True
) -> Iterator[str]:
    """What is wrong with the answers; ``may``: whether the one who asks may change something here by POST."""
    for method in methods:
        if may and method in ('POST', 'PUT'):  # Django's views with a form take both
            continue
        for way in ways:
            answer = ask(browser, method, way, rule, case)
            asked = f'{name}: {method} {way.of(rule.address(case))} {dict(way.headers) or ""}'
            if answer.status_code >= 500:
                yield f'{asked} is answered with {answer.status_code}'
            repeats = rule.echoes and method in ('POST', 'PUT')
            if blind and not repeats and TELLTALE in everything_said(answer).lower():
                yield f'{asked} tells a private name'


def ask(browser: Client, method: str, way: Way, rule: Rule, case: Case) -> Any:
    """One request."""
    address, headers = way.of(rule.address(case)), dict(way.headers)
    if method in ('GET', 'HEAD', 'OPTIONS'):
        return getattr(browser, method.lower())(address, headers=headers)
    if rule.json or method in ('PATCH', 'DELETE'):
        return getattr(browser, method.lower())(address, rule.data(case), content_type='application/json', headers=headers)
    kind = 'application/x-www-form-urlencoded'
    return getattr(browser, method.lower())(address, urlencode(rule.data(case), doseq=True), content_type=kind, headers=headers)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of refusals are no news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@HERE
@pytest.mark.parametrize(
    'role', ['stranger', pytest.param('viewer', marks=pytest.mark.prove(why='the same as somebody who may look'))]
)
def test_who_may_not_changes_nothing_by_a_method_that_nobody_meant(people: People, observatory: Any, role: str) -> None:  # noqa: F811
    case, browser, wrong = make_case(people), people.browser(role), []
    for key, (rule, *_) in RULES.items():
        rule.before(case)
        before, may = snapshot(observatory), role in rule.changes
        wrong += complaints(f'{key} for {role}', rule, case, browser, UNMEANT, [MEANT], may=may, blind=role == 'stranger')
        wrong += [f'{key} for {role} changes {each}' for each in differences(before, snapshot(observatory))]
    assert not wrong, '\n'.join(wrong)


@pytest.mark.prove(why='every URL in twenty ways, as seven strangers, in both modes')
@MODES
@pytest.mark.parametrize('part', range(4))
def test_strangers_see_and_change_nothing_by_any_way_round(people: People, observatory: Any, part: int) -> None:  # noqa: F811
    rules = [(key, rule) for key, each in RULES.items() for rule in each][part::4]
    cases = [(f'{key} {rule.name}', rule, prepared(rule, people)) for key, rule in rules]
    browsers = who_asks(people)
    wrong: list[str] = []
    for role, browser in browsers.items():
        before = snapshot(observatory)
        for name, rule, case in cases:
            may = role.startswith('stranger') and 'stranger' in rule.changes
            if rule.json or ' with a ' not in role:  # the host's API alone hears of tokens and passwords
                wrong += complaints(f'{name} for {role}', rule, case, browser, ('GET', 'POST'), [MEANT, *ROUND], may=may)
                wrong += complaints(f'{name} for {role}', rule, case, browser, UNMEANT, [MEANT], may=may)
        wrong += [f'{role} changes {each}' for each in differences(before, snapshot(observatory))]
    assert not wrong, '\n'.join(wrong[:40])


@pytest.mark.prove(why='every URL in twenty ways')
@HERE
def test_who_may_only_look_changes_nothing_by_any_way_round(people: People, observatory: Any) -> None:  # noqa: F811
    rules = [(f'{key} {rule.name}', rule) for key, each in RULES.items() for rule in each if 'viewer' not in rule.changes]
    cases = [(name, rule, prepared(rule, people)) for name, rule in rules]
    browser, wrong = people.browser('viewer'), []
    before = snapshot(observatory)
    for name, rule, case in cases:
        wrong += complaints(name, rule, case, browser, ('GET', 'POST'), [MEANT, *ROUND], may=False, blind=False)
    wrong += [f'changes {each}' for each in differences(before, snapshot(observatory))]
    assert not wrong, '\n'.join(wrong[:40])


def routes(resolver: Any = None, before: str = '') -> Iterator[str]:
    """Every route of the whole TOM but for those of the admin, which has its own login."""
    for pattern in (resolver or get_resolver()).url_patterns:
        here = f'{before}{pattern.pattern}'
        if hasattr(pattern, 'url_patterns'):
            yield from routes(pattern, here)
        elif not here.startswith('admin/'):
            yield here


def filled(route: str, case: Case) -> list[str]:
    """A route with the numbers of our rows in it, whichever it is for."""
    rows = (case.target, case.record, case.group, case.managed, case.phot.done, case.phot.point, case.phot.done.data_product)
    return sorted({f'/{with_number(route, row.pk)}' for row in rows})


def with_number(route: str, number: int) -> str:
    """A route of which the words are filled in, and this number in the place of each other argument."""
    words = {'facility': 'Simulated observatory', 'service': 'ATLAS', 'format': 'json', 'name': 'hus', 'kind': 'csv'}

    def value(found: re.Match[str]) -> str:
        return words.get(found[1] or found[2], str(number))

    text = re.sub(r'\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)|<(?:\w+:)?(\w+)>', value, route)
    return re.sub(r'/\?\$$|\$$', '', text.replace('^', '').replace('\\.', '.'))


@pytest.mark.prove(why='two hundred routes of the whole TOM, each with every number')
@HERE
def test_no_route_of_the_whole_tom_tells_a_stranger_of_our_rows_or_changes_them(people: People, observatory: Any) -> None:  # noqa: F811
    case, wrong = make_case(people), []
    browser = people.browser('stranger')
    for route in sorted(set(routes()) - {url.route for key, url in urls().items() if '/' not in key}):
        before = snapshot(observatory)
        for address in filled(route, case):
            answers = [browser.get(address), *(getattr(browser, verb)(address, {}) for verb in ('post', 'put', 'patch', 'delete'))]
            if any(TELLTALE in everything_said(answer).lower() for answer in answers) and route not in HOSTS_OWN:
                wrong.append(f'{address} ({route}) tells')
        changed = [each for each in differences(before, snapshot(observatory)) if each.startswith(OUR_ROWS)]
        wrong += [f'{route} changes {each}' for each in changed]
    assert not wrong, '\n'.join(wrong)
