"""Every URL of the two apps, asked by everybody, in both modes of the host: what they get, and that nothing private is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from guardian.shortcuts import assign_perm, remove_perm

from tests.conftest import NIGHT
from tests.support.cadences import SIMULATED
from tests.support.matrix import (
    ROLES,
    TELLTALE,
    Case,
    People,
    differences,
    everything_said,
    make_case,
    outcome,
    snapshot,
    urls,
)
from tests.support.matrix_rules import ACTIONS, NOBODY, SENDING, Rule
from tests.support.matrix_rules import RULES as CADENCE_RULES
from tests.support.matrix_rules_phot import PHOT_RULES
from tests.support.webform import without_sky_plots
from tom_cadence.pages.cadence.actions import VERBS

pytestmark = pytest.mark.django_db(transaction=True)
RULES = CADENCE_RULES | {f'photometry:{key}': rules for key, rules in PHOT_RULES.items()}
ROOMS = pytest.mark.parametrize('room', ['overview', 'page', 'starting', 'templates', 'host', 'photometry'])
MODES = pytest.mark.parametrize('only_targets', [True, False], ids=['target permissions', 'all permissions'])
HTMX = {'HX-Request': 'true'}
BLIND = ('anonymous', 'stranger')
#: A page that shows the messages that wait, and no cadence: what the list shows them is looked at above.
WAITING = '/cadences/?query=nothing+is+called+so'


def clock() -> Any:
    return NIGHT


@pytest.fixture(autouse=True)
def tonight(settings: Any, observatory: Any, tmp_path: Any) -> Iterator[None]:
    """The pages' clock stands at NIGHT; the photometry service is away."""
    here = f'{__name__}.clock'
    settings.TOM_CADENCE = {'CLOCK': here, 'FACILITY_TIMEOUT': 20, 'NOTIFY_BY_MAIL': False}
    settings.TOM_FORCED_PHOT = {'CLOCK': here, 'CONNECT_TIMEOUT': 1, 'READ_TIMEOUT': 1, 'SYNCHRONOUS_TIME': 0}
    services = settings.FORCED_PHOTOMETRY_SERVICES
    settings.FORCED_PHOTOMETRY_SERVICES = {**services, 'ATLAS': {**services['ATLAS'], 'url': 'http://127.0.0.1:9', 'api_key': 'k'}}
    settings.MEDIA_ROOT = tmp_path
    with without_sky_plots():
        yield


@pytest.fixture
def people(db: Any, settings: Any, only_targets: bool) -> People:
    settings.TARGET_PERMISSIONS_ONLY = only_targets
    return People(only_targets)


def post(browser: Any, rule: Rule, case: Case, **more: Any) -> Any:
    kind = {'content_type': 'application/json'} if rule.json else {}
    return browser.post(rule.address(case), rule.data(case), **kind, **more)


def in_room(room: str) -> list[tuple[str, Rule]]:
    """The rules of the URLs of one module of views, or of those of the host."""
    return [(key, rule) for key, rules in RULES.items() for rule in rules if room_of(key) == room]


def room_of(key: str) -> str:
    if key.startswith('photometry:'):
        return 'photometry'
    if '/' in key:
        return 'host'
    return 'templates' if key.startswith('template-') else 'starting' if key.startswith('start') else _rest(key)


def _rest(key: str) -> str:
    return 'page' if key in ('page', 'action', 'change', 'edit', 'now', 'history', 'plotly') else 'overview'


def tells(*responses: Any) -> bool:
    """Whether a private name is in one of them."""
    return any(TELLTALE in everything_said(response).lower() for response in responses)


def messages_that_wait(browser: Any) -> list[Any]:
    """A page that shows them, where there are any: Django keeps them in a cookie, or in the session if they are long."""
    kept = browser.cookies.get('messages')
    has_session = 'sessionid' in browser.cookies
    return [browser.get(WAITING)] if (kept and kept.value) or (has_session and '_messages' in browser.session) else []


def prepared(rule: Rule, people: People) -> Case:
    case = make_case(people)
    rule.before(case)
    return case


def test_every_url_has_a_rule_and_every_rule_a_url() -> None:
    """A new URL belongs into tests/support/matrix_rules.py: who may see it, and who may change something with it."""
    assert set(urls()) == set(RULES)


def test_every_button_of_a_cadence_has_a_rule() -> None:
    assert {rule.name for rule in ACTIONS} - {'no such verb'} == set(VERBS)


@MODES
@ROOMS
def test_whoever_looks_sees_what_is_theirs_and_changes_nothing(room: str, people: People, observatory: Any) -> None:
    browsers, wrong = {role: people.browser(role) for role in ROLES}, []
    for key, rule in in_room(room):
        case = prepared(rule, people)
        before = snapshot(observatory)
        for role, expected in zip(ROLES, rule.get.split(), strict=True):
            response = browsers[role].get(rule.address(case))
            if outcome(response) != expected:
                wrong.append(f'{key} {rule.name}: {role} gets {outcome(response)}, not {expected}')
            if role in BLIND and tells(response, browsers[role].get(rule.address(case), headers=HTMX)):
                wrong.append(f'{key} {rule.name}: {role} is told a private name')
        if changed := differences(before, snapshot(observatory)):
            wrong.append(f'{key} {rule.name}: looking changes {changed}')
    assert not wrong, '\n'.join(wrong)


@MODES
@ROOMS
def test_whoever_presses_changes_only_what_is_theirs(room: str, people: People, observatory: Any) -> None:
    browsers, wrong = {role: people.browser(role) for role in ROLES}, []
    for key, rule in in_room(room):
        case, before = prepared(rule, people), None
        for role, expected in zip(ROLES, rule.post.split(), strict=True):
            if role in rule.changes:
                case, before = prepared(rule, people), None
            before = before or snapshot(observatory)
            response = post(browsers[role], rule, case)
            after = snapshot(observatory)
            changed, before = differences(before, after), after
            if outcome(response) != expected:
                wrong.append(f'{key} {rule.name}: {role} gets {outcome(response)}, not {expected}')
            if bool(changed) != (role in rule.changes):
                wrong.append(f'{key} {rule.name}: {role} changes {changed or "nothing"}')
            if 'observatory' in changed and key not in SENDING:
                wrong.append(f'{key} {rule.name} sends to the observatory, and is not in SENDING')
            if role in BLIND and not rule.echoes:
                said = response, post(browsers[role], rule, case, headers=HTMX), *messages_that_wait(browsers[role])
                if tells(*said):
                    wrong.append(f'{key} {rule.name}: {role} is told a private name')
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('only_targets', [True])
@ROOMS
def test_nothing_is_changed_without_a_csrf_token(room: str, people: People, observatory: Any) -> None:
    browsers, wrong = {role: people.browser(role, enforce_csrf_checks=True) for role in ('anonymous', 'owner')}, []
    for key, rule in in_room(room):
        case = prepared(rule, people)
        before = snapshot(observatory)
        for role, browser in browsers.items():
            answer = outcome(post(browser, rule, case))
            refused = ('401', '403') if rule.json else ('login',)  # what the host makes of a 403
            if answer not in refused and (answer, rule.post) != ('405', NOBODY):
                wrong.append(f'{key} {rule.name}: {role} gets {answer}')
        wrong += [f'{key} {rule.name} changes {changed}' for changed in differences(before, snapshot(observatory))]
    assert not wrong, '\n'.join(wrong)


@MODES
def test_a_search_for_a_private_name_is_answered_like_one_for_nothing(people: People, observatory: Any) -> None:
    make_case(people)
    browser = people.browser('stranger')
    for address in (
        '/cadences/?query={}',
        '/cadences/?target={}',
        '/cadences/start/?q={}',
        '/observation-templates/targets/?for-query={}',
        '/forced-photometry/?query={}',
        '/forced-photometry/?target={}',
        '/forced-photometry/ask/targets/?search={}',
        '/forced-photometry/subscriptions/options/?target={}',
    ):
        there, nowhere = (browser.get(address.format(text), headers=HTMX).content.decode() for text in ('HUS', 'XQZ'))
        assert there.replace('HUS', '') == nowhere.replace('XQZ', ''), address


@pytest.mark.parametrize('only_targets', [False])
@pytest.mark.parametrize('withheld', ['target', 'group'])
def test_where_all_permissions_count_one_of_them_is_not_enough(people: People, observatory: Any, withheld: str) -> None:
    case = make_case(people)
    if withheld == 'target':
        remove_perm('tom_targets.view_target', people.viewers, case.target)
    else:
        remove_perm('tom_observations.view_observationgroup', people.viewers, case.group)
    browser = people.browser('viewer')
    assert browser.get(f'/cadences/{case.managed.pk}/').status_code == 404
    said = browser.get('/cadences/').content.decode().lower()
    assert TELLTALE not in said


@MODES
def test_an_owner_who_may_not_see_the_target_any_more_can_stop_the_cadence_but_reads_no_name(
    people: People, observatory: Any
) -> None:
    case, owner = make_case(people), people.users['owner']
    for verb in ('view', 'change'):
        remove_perm(f'tom_targets.{verb}_target', owner, case.target)
    browser = people.browser('owner')
    for address in ('/cadences/', f'/cadences/{case.managed.pk}/', f'/cadences/{case.managed.pk}/history.csv'):
        assert case.target.name.lower() not in browser.get(address).content.decode().lower(), address
    assert browser.get(f'/cadences/start/?target={case.target.pk}').status_code == 404
    assert browser.post(f'/cadences/{case.managed.pk}/pause/').status_code == 302
    case.managed.refresh_from_db()
    assert case.managed.state == 'paused'


PUBLIC = pytest.mark.parametrize('kind', ['OPEN', 'PUBLIC'])
STEERING = ('pause', 'end', 'run-now', 'edit', 'owner', 'booked', 'send-again')


@pytest.mark.parametrize('only_targets', [True])
@PUBLIC
def test_everybody_may_look_at_the_cadence_of_a_public_target_and_nobody_may_touch_it(
    people: People, observatory: Any, kind: str
) -> None:
    case = public(make_case(people), kind)
    page = f'/cadences/{case.managed.pk}/'
    assert outcome(people.browser('anonymous').get(page)) == ('200' if kind == 'OPEN' else '404')
    assert outcome(people.browser('anonymous').post(f'{page}pause/')) == 'login'
    for role in ('stranger', 'viewer'):
        browser = people.browser(role)
        assert outcome(browser.get(page)) == '200'
        assert outcome(browser.get(f'/targets/{case.target.pk}/update/')) == '200'  # the toolkit's own rule for targets
        before = snapshot(observatory)
        for verb in STEERING:
            answer = browser.post(f'{page}{verb}/', {'cadence_frequency': '1', 'owner': people.users[role].pk})
            assert answer['Location'] == page, verb
        browser.post('/cadences/bulk/', {'action': 'pause', 'selected-row': case.managed.pk})
        browser.post('/cadences/bulk/', {'action': 'pause-facility', 'facility': SIMULATED})
        assert differences(before, snapshot(observatory)) == []
        assert f'{page}pause/' not in browser.get(page).content.decode()


@pytest.mark.parametrize('only_targets', [True])
@PUBLIC
@pytest.mark.parametrize('role', ['changer', 'owner', 'superuser'])
def test_who_was_given_the_permission_steers_the_cadence_of_a_public_target(
    people: People, observatory: Any, kind: str, role: str
) -> None:
    case = public(make_case(people), kind)
    assert outcome(people.browser(role).post(f'/cadences/{case.managed.pk}/pause/')) == 'away'
    case.managed.refresh_from_db()
    assert case.managed.state == 'paused'


@pytest.mark.parametrize('only_targets', [True])
def test_a_permission_on_one_of_two_targets_is_not_enough(people: People, observatory: Any) -> None:
    case, other = public(make_case(people), 'PUBLIC'), public(make_case(people), 'PUBLIC')
    case.group.observation_records.add(other.record)
    assign_perm('tom_targets.change_target', people.users['stranger'], case.target)
    browser, page = people.browser('stranger'), f'/cadences/{case.managed.pk}/'
    browser.post(f'{page}pause/')
    case.managed.refresh_from_db()
    assert case.managed.state == 'active'
    assign_perm('tom_targets.change_target', people.users['stranger'], other.target)
    browser.post(f'{page}pause/')
    case.managed.refresh_from_db()
    assert case.managed.state == 'paused'


@pytest.mark.parametrize('only_targets', [True])
def test_a_permission_to_change_all_targets_counts(people: People, observatory: Any) -> None:
    case = make_case(people)
    assign_perm('tom_targets.change_target', people.users['stranger'])
    assign_perm('tom_targets.view_target', people.users['stranger'])
    people.browser('stranger').post(f'/cadences/{case.managed.pk}/pause/')
    case.managed.refresh_from_db()
    assert case.managed.state == 'paused'


def public(case: Case, kind: str) -> Case:
    case.target.permissions = kind
    case.target.save()
    return case


@MODES
def test_who_may_only_look_is_told_so_and_not_sent_to_the_login(people: People, observatory: Any) -> None:
    case, browser = make_case(people), people.browser('viewer')
    page = f'/cadences/{case.managed.pk}/'
    for address, back, said in (
        (f'{page}edit/', page, 'You may look at this cadence, but not change it.'),
        (f'/cadences/start/?target={case.target.pk}', f'/targets/{case.target.pk}/', 'but not start a cadence of it.'),
        (f'/observation-templates/{case.template.pk}/edit/', f'/observation-templates/{case.template.pk}/', 'but not change it.'),
    ):
        answer = browser.get(address)
        assert answer['Location'] == back
        assert said in browser.get(back).content.decode()
    assert browser.get(f'{page}now/', headers=HTMX)['HX-Redirect'] == page


@MODES
def test_the_list_finds_no_cadence_by_a_name_that_may_not_be_told(people: People, observatory: Any) -> None:
    case = make_case(people)
    for verb in ('view', 'change'):
        remove_perm(f'tom_targets.{verb}_target', people.users['owner'], case.target)
    browser = people.browser('owner')
    for query in ('query', 'target'):
        assert f'/cadences/{case.managed.pk}/' not in browser.get(f'/cadences/?{query}=hus').content.decode()
    assert f'/cadences/{case.managed.pk}/' in browser.get(f'/cadences/?query={SIMULATED[:9]}').content.decode()


@pytest.mark.parametrize('only_targets', [False])
def test_the_list_tells_no_number_of_an_observation_that_may_not_be_seen(people: People, observatory: Any) -> None:
    case = make_case(people)
    remove_perm('tom_observations.view_observationrecord', people.viewers, case.record)
    said = people.browser('viewer').get('/cadences/').content.decode()
    assert 'An observation is booked.' in said
    assert case.record.observation_id not in said


@MODES
def test_who_may_change_nothing_is_shown_no_button_for_it(people: People, observatory: Any) -> None:
    case = make_case(people)
    for role, buttons in (('viewer', False), ('changer', True), ('owner', True)):
        page = people.browser(role).get(f'/cadences/{case.managed.pk}/').content.decode()
        assert (f'/cadences/{case.managed.pk}/pause/' in page) is buttons, role


@MODES
def test_the_hosts_pages_tell_no_private_name_by_what_we_put_into_them(people: People, observatory: Any) -> None:
    case = make_case(people)
    for role in BLIND:
        browser = people.browser(role)
        for address in ('/', f'/targets/{case.target.pk}/', f'/observations/{case.record.pk}/', '/targets/', '/observations/list/'):
            assert TELLTALE not in everything_said(browser.get(address)).lower(), (role, address)
    assert SIMULATED in people.browser('owner').get(f'/observations/{case.record.pk}/').content.decode()
