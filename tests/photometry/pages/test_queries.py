"""The list of queries, one query, and what a page that watches them asks for, over a simulated ATLAS."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm
from tom_targets.models import Target

from tests.photometry import conftest as forced
from tests.photometry.conftest import MINUTE, Hands
from tests.support.asking import DATES, ask, ended, fresh, until
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription, RemoteJob, ServiceBudget

pytestmark = pytest.mark.django_db(transaction=True)
atlas, clock, data_folder, make_target = forced.atlas, forced.clock, forced.data_folder, forced.make_target
LIST = '/forced-photometry/'
HTMX = {'HX-Request': 'true'}


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    client.force_login(astronomer)
    return client


def page(client: Any, address: str = LIST, **given: Any) -> str:
    response = client.get(address, given)
    assert response.status_code == 200, address
    return ' '.join(str(response.content.decode()).split())


def row(text: str, query: PhotometryQuery) -> str:
    """One row of the table, without its marks."""
    found = re.search(rf'<tr [^>]*id="query-{query.pk}".*?</tr>', text)
    assert found, f'query {query.pk} is not in the list'
    return re.sub(r'\s+', ' ', re.sub('<[^>]+>', ' ', found[0]))


def states(client: Any, *rows: PhotometryQuery, view: str = 'list', tag: str = '') -> Any:
    headers = {'If-None-Match': tag} if tag else {}
    return client.get('/forced-photometry/queries/states/', {'view': view, 'query': [each.pk for each in rows]}, headers=headers)


@pytest.mark.parametrize(('name', 'words'), [('of', 'target'), ('subscription', 'subscription'), ('notice', 'notice')])
def test_a_link_to_the_list_that_names_no_number_says_so(vera: Any, name: str, words: str) -> None:
    for odd in ('abc', '-1', '1.5', '9' * 30):
        assert f'What the address says is no number of a {words}, and was left out' in page(vera, **{name: odd}), odd
    for fine in ('', '1'):
        assert 'was left out' not in page(vera, **{name: fine})


def test_the_list_says_how_each_query_is(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    queued = [ask(make_target(name=f'SN {number}'), clock, astronomer) for number in (1, 2)]
    text = page(vera)
    assert '2 queries' in text
    assert 'SN 1 ATLAS Queued here 2026-11-21 08:00 UTC' in row(text, queued[0])
    assert 'Next to be sent' in row(text, queued[0])
    assert '1 is sent before it' in row(text, queued[1])
    assert 'by vera' in row(text, queued[0])
    assert 'Cancel' in row(text, queued[0])
    assert '0 of 2 done on this page.' in text
    queries.run(clock)
    assert 'Looked at 2026-11-21 08:0' in row(page(vera), queued[0])
    ended(clock)
    text = page(vera)
    assert 'Done' in row(text, queued[0])
    assert re.search(r'\d+ rows: \d+ new', row(text, queued[0]))
    assert 'Light curve' in row(text, queued[0])
    assert 'File' in row(text, queued[0])
    assert 'Ask again' in row(text, queued[0])
    assert f'href="/forced-photometry/light-curves/{queued[0].target_id}/"' in text
    assert '2 of 2 done on this page.' in text


def test_places_are_those_of_the_fair_order(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    ada = User.objects.create_user('ada')
    targets = [make_target() for _ in range(4)]
    for target in targets[:3]:
        ask(target, clock, ada)
    mine = ask(targets[3], clock, astronomer)
    assert '1 is sent before it' in row(page(vera), mine)


def test_a_failure_is_told_in_words(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    target = make_target()
    atlas.service.set_outcome(target.ra, target.dec, 'The images are unreadable.')
    query = ask(target, clock, astronomer)
    ended(clock)
    text = row(page(vera), query)
    assert 'Failed ATLAS says: The images are unreadable.' in text
    assert 'Ask again' in text
    assert 'Light curve' not in text


@pytest.mark.parametrize('only_targets', [True, False])
def test_strangers_learn_nothing(
    client: Any, settings: Any, clock: Hands, atlas: Any, make_target: Any, astronomer: Any, only_targets: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only_targets
    secret = make_target(name='Hush', permissions='PRIVATE')
    query = ask(secret, clock, astronomer)
    ended(clock)
    for visitor in (None, User.objects.create_user('eve')):
        if visitor:
            client.force_login(visitor)
        for given in ({}, {'query': 'Hush'}, {'target': 'Hu'}, {'of': secret.pk}, {'state': 'done'}, {'sort': 'target'}):
            text = page(client, **given)
            assert 'Hush' not in text.replace('value="Hush"', '').replace('?query=Hush', '')
            assert '0 queries' in text
        assert client.get(LIST, {'part': 'target', 'target': secret.pk}).status_code == 404
        assert client.get(f'{LIST}queries/{query.pk}/').status_code == 404
        assert f'query-{query.pk}' not in states(client, query).content.decode()
        expected = 404 if visitor else 302
        for verb in ('cancel', 'look', 'again'):
            assert client.post(f'{LIST}queries/{query.pk}/{verb}/').status_code == expected
    assert PhotometryQuery.objects.count() == 1


@pytest.mark.parametrize('only_targets', [True, False])
def test_who_may_see_the_target_sees_the_query_and_its_file_only_with_permission(
    client: Any, settings: Any, clock: Hands, atlas: Any, make_target: Any, astronomer: Any, only_targets: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only_targets
    target = make_target(permissions='PRIVATE')
    query = ask(target, clock, astronomer)
    ended(clock)
    viewer = User.objects.create_user('viewer')
    group = Group.objects.create(name='watchers')
    viewer.groups.add(group)
    assign_perm('tom_targets.view_target', group, target)
    client.force_login(viewer)
    text = row(page(client), query)
    assert ('File' in text) is only_targets
    assert 'Ask again' not in text
    for verb in ('cancel', 'look', 'again'):
        response = client.post(f'{LIST}queries/{query.pk}/{verb}/')
        assert (response.status_code, response.headers['Location']) == (302, f'{LIST}queries/{query.pk}/')
        assert 'may' in page(client, f'{LIST}queries/{query.pk}/')
    assert fresh(query).state == 'done'
    assert PhotometryQuery.objects.count() == 1


@pytest.mark.parametrize(
    ('given', 'shown'),
    [
        ({}, {'M 31', 'M 51', 'M 81'}),
        ({'state': 'open'}, {'M 81'}),
        ({'state': 'ended'}, {'M 31', 'M 51'}),
        ({'state': 'failed'}, {'M 51'}),
        ({'state': 'done'}, {'M 31'}),
        ({'mine': 'on'}, {'M 31', 'M 81'}),
        ({'target': 'm 5'}, {'M 51'}),
        ({'service': 'ATLAS'}, {'M 31', 'M 51', 'M 81'}),
        ({'service': 'ZTF'}, set()),
        ({'query': 'unreadable'}, {'M 51'}),
        ({'query': 'ada'}, {'M 51'}),
        ({'query': '31'}, {'M 31'}),
        ({'query': 'nothing like it'}, set()),
        ({'of': '99999999999999999999999'}, {'M 31', 'M 51', 'M 81'}),
    ],
)
def test_filters(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any, given: dict[str, str], shown: set[str]
) -> None:
    found = [make_target(name=name) for name in ('M 31', 'M 51', 'M 81')]
    atlas.service.set_outcome(found[1].ra, found[1].dec, 'The images are unreadable.')
    ask(found[0], clock, astronomer)
    ask(found[1], clock, User.objects.create_user('ada'))
    ended(clock)
    ask(found[2], clock, astronomer)
    text = page(vera, **given)
    assert {name for name in ('M 31', 'M 51', 'M 81') if f'>{name}</a>' in text} == shown
    if not shown:
        assert 'No query matches these filters.' in text


def test_links_narrow_the_list_down(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    one, other = make_target(name='M 31'), make_target(name='M 51')
    ask(one, clock, astronomer)
    order = PhotometrySubscription.objects.create(service='ATLAS', target=other, owner=astronomer)
    queries.ask('ATLAS', other, DATES, astronomer, clock(), order)
    text = page(vera, of=one.pk)
    assert 'Only queries about M 31' in text
    assert '>M 51</a>' not in text
    text = page(vera, subscription=order.pk)
    assert 'by a subscription' in text
    assert '>M 31</a>' not in text


def test_sorting_and_pages(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    for _ in range(30):
        ask(make_target(), clock, astronomer)
    assert page(vera).count('id="query-') > 25
    first = re.findall(r'id="query-\d+-link"[^>]*>([^<]+)', page(vera, sort='target'))
    assert first == sorted(first)
    assert len(first) == 25
    assert len(re.findall(r'id="query-\d+-link"', page(vera, page='2'))) == 5
    for head in ('target', 'service', 'state', 'asked', 'following', 'brought', '-brought'):
        assert '30 queries' in page(vera, sort=head)


def test_the_number_of_statements_does_not_grow(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any, settings: Any
) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as asked:
            page(vera)
        return len(asked)

    ask(make_target(), clock, astronomer)
    ended(clock)
    ask(make_target(), clock, astronomer)
    few = statements()
    for _ in range(20):
        ask(make_target(), clock, astronomer)
    assert statements() == few


def test_an_unchanged_answer_is_304_and_a_changed_one_is_not(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    query = ask(make_target(), clock, astronomer)
    first = states(vera, query)
    assert f'id="query-{query.pk}"' in first.content.decode()
    again = states(vera, query, tag=first['ETag'])
    assert (again.status_code, again.content) == (304, b'')
    queries.run(clock)
    changed = states(vera, query, tag=first['ETag'])
    assert changed.status_code == 200
    assert 'data-open="yes"' in changed.content.decode()
    ended(clock)
    over = states(vera, query, tag=changed['ETag']).content.decode()
    assert 'data-open' not in over
    assert 'Done' in over


def test_the_answer_for_who_watches_reads_only_what_was_asked_for(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    one, other = ask(make_target(), clock, astronomer), ask(make_target(), clock, astronomer)
    text = states(vera, one).content.decode()
    assert f'query-{one.pk}"' in text
    assert f'query-{other.pk}"' not in text
    assert vera.get('/forced-photometry/queries/states/', {'view': 'no such'}).status_code == 404
    for view in ('list', 'target', 'page'):
        assert states(vera, one, view=view).status_code == 200
        assert vera.get('/forced-photometry/queries/states/', {'view': view, 'query': 'x' * 9}).status_code == 200


def test_the_targets_tab_lists_open_ones_first_and_at_most_ten(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    target = make_target()
    oldest = ask(target, clock, astronomer)
    for number in range(11):
        queries.ask('ATLAS', target, {**DATES, 'min_date': 61200.0 + number}, astronomer, clock())
    PhotometryQuery.objects.exclude(pk=oldest.pk).update(state='cancelled', closed=clock())
    text = page(vera, part='target', target=target.pk)
    found = re.findall(r'<li class="phot-card[^>]* id="query-(\d+)"', text)
    assert found[0] == str(oldest.pk)
    assert len(found) == 10
    assert f'{LIST}?of={target.pk}' in text
    assert '9 of 10 done in this list.' in text
    assert 'No service was asked about this target yet.' in page(vera, part='target', target=make_target().pk)


def test_the_page_of_a_query_says_everything_in_words(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    query = ask(make_target(name='SN 1'), clock, astronomer, use_reduced=True)
    address = f'{LIST}queries/{query.pk}/'
    text = page(vera, address)
    for words in (
        'ATLAS: SN 1',
        'From</dt><dd>2026-09-17 00:00 UTC (MJD 61300)',
        'Until</dt><dd>2026-10-27 00:00 UTC (MJD 61340)',
        'on reduced images (no template is subtracted)',
        'RA 150.00000°, Dec +10.00000°',
        'not yet',
        'Given up',
        f'/forced-photometry/ask/?again={query.pk}',
    ):
        assert words in text, words
    assert 'mjd_min' not in text
    assert '{&#x27;' not in text
    queries.run(clock)
    assert 'Look now' in page(vera, address)
    ended(clock)
    text = page(vera, address)
    assert 'Rejected</dt><dd>' in text
    assert 'Ended</dt><dd>' in text
    assert 'File of the service' in text


def test_cancelling_stops_it_here_and_there(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    query = ask(make_target(), clock, astronomer)
    queries.run(clock)
    assert len(atlas.service.queue.tasks) == 1
    response = vera.post(f'{LIST}queries/{query.pk}/cancel/', headers=HTMX)
    assert response['HX-Trigger'] == 'queries-changed'
    assert 'Cancelled: ATLAS, SN 1.' in response.content.decode()
    assert (fresh(query).state, fresh(query).message) == ('cancelled', 'Cancelled by vera.')
    queries.run(clock)
    assert len(atlas.service.queue.tasks) == 0
    again = vera.post(f'{LIST}queries/{query.pk}/cancel/', headers=HTMX).content.decode()
    assert 'had ended already' in again
    assert vera.post(f'{LIST}queries/{query.pk}/cancel/').status_code == 302
    assert vera.get(f'{LIST}queries/{query.pk}/cancel/').status_code == 405


def test_only_who_asked_or_a_superuser_cancels(client: Any, clock: Hands, atlas: Any, make_target: Any, astronomer: Any) -> None:
    query = ask(make_target(), clock, astronomer)
    client.force_login(User.objects.create_user('ada'))
    for verb in ('cancel', 'look'):
        assert 'Only who asked may do this.' in client.post(f'{LIST}queries/{query.pk}/{verb}/', headers=HTMX).content.decode()
    assert fresh(query).state == 'queued'
    client.force_login(User.objects.create_superuser('root'))
    assert client.post(f'{LIST}queries/{query.pk}/cancel/').status_code == 302
    assert fresh(query).state == 'cancelled'


def test_csrf_is_checked(astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    from django.test import Client

    query = ask(make_target(), clock, astronomer)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(astronomer)
    strict.post(f'{LIST}queries/{query.pk}/cancel/')
    assert fresh(query).state == 'queued'
    text = page(strict)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)
    assert token
    strict.post(f'{LIST}queries/{query.pk}/cancel/', {'csrfmiddlewaretoken': token[1]})
    assert fresh(query).state == 'cancelled'


def test_look_now_does_the_next_step_at_once(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    query = ask(make_target(), clock, astronomer)
    queries.run(clock)
    due = fresh(query).next_step
    clock.move(timedelta(seconds=1))
    before = atlas.service.requests.total()
    response = vera.post(f'{LIST}queries/{query.pk}/look/', headers=HTMX).content.decode()
    assert atlas.service.requests.total() == before + 1, 'the service was not asked once'
    assert 'ATLAS, SN 1: ' in response
    assert due is not None
    assert due > clock()


def test_look_now_leaves_a_service_alone_that_wants_it(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    query = ask(make_target(), clock, astronomer)
    queries.run(clock)
    ServiceBudget.objects.update(quiet_until=clock() + timedelta(hours=1))
    before = atlas.service.requests.total()
    assert 'wants to be left alone until 09:00 UTC' in vera.post(f'{LIST}queries/{query.pk}/look/', headers=HTMX).content.decode()
    assert atlas.service.requests.total() == before


def test_look_now_does_not_touch_what_is_being_sent(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    query = ask(make_target(), clock, astronomer)
    queries.run(clock)
    RemoteJob.objects.update(state='submitting', claim_until=clock() + MINUTE)
    assert 'Somebody is at work on it' in vera.post(f'{LIST}queries/{query.pk}/look/', headers=HTMX).content.decode()


def test_asking_again_doubles_no_point(vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any) -> None:
    from tom_dataproducts.models import PhotometryReducedDatum

    query = ask(make_target(), clock, astronomer)
    ended(clock)
    points = PhotometryReducedDatum.objects.count()
    clock.move(MINUTE)
    response = vera.post(f'{LIST}queries/{query.pk}/again/', {'from': 'page'}, headers=HTMX)
    new = PhotometryQuery.objects.order_by('-pk')[0]
    assert response['HX-Redirect'] == f'{LIST}queries/{new.pk}/'
    assert (new.parameters, new.asked_by) == (query.parameters, astronomer)
    ended(clock)
    assert PhotometryReducedDatum.objects.count() == points > 0
    assert (fresh(new).new, fresh(new).unchanged) == (0, points)


def test_asking_again_while_it_is_open_gives_the_open_one(
    client: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    query = ask(make_target(), clock, astronomer)
    ada = User.objects.create_user('ada')
    client.force_login(ada)
    response = client.post(f'{LIST}queries/{query.pk}/again/', headers=HTMX)
    assert 'The same question is open already' in response.content.decode()
    assert list(query.followers.all()) == [ada]


def test_what_cannot_be_asked_again_says_why(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any, settings: Any
) -> None:
    query = ask(make_target(), clock, astronomer)
    ended(clock)
    settings.FORCED_PHOTOMETRY_SERVICES = {}
    text = vera.post(f'{LIST}queries/{query.pk}/again/', headers=HTMX).content.decode()
    assert 'is not in FORCED_PHOTOMETRY_SERVICES' in text
    assert page(vera, f'{LIST}queries/{query.pk}/')
    assert 'ATLAS' in row(page(vera), query)


def test_empty_lists_say_what_to_do(vera: Any, client: Any) -> None:
    assert 'Ask for forced photometry' in page(vera)
    client.logout()
    text = page(client)
    assert 'Log in' in text
    assert Target.objects.count() == 0


def test_a_thousand_characters_of_message_are_cut_in_the_list_and_whole_on_the_page(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    query = ask(make_target(), clock, astronomer)
    long = 'wrong ' * 200 + 'end'
    PhotometryQuery.objects.update(state='failed', closed=clock(), message=long)
    assert 'end' not in row(page(vera), query)
    assert long.strip() in page(vera, f'{LIST}queries/{query.pk}/')
    until(clock, 'failed')


def test_what_a_person_waits_for_has_its_place_before_what_nobody_waits_for(
    vera: Any, astronomer: Any, clock: Hands, atlas: Any, make_target: Any
) -> None:
    asked = [ask(make_target(), clock, astronomer) for _ in range(3)]
    PhotometryQuery.objects.filter(pk__in=[each.pk for each in asked[:2]]).update(urgent=False)
    assert 'Next to be sent' in row(page(vera), asked[2])
