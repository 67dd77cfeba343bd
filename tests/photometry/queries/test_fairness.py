"""Questions before tidying up, one account's trouble its own, and never more requests in a minute than a service counts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from tom_targets.models import Target, TargetList

from simulators.atlas_tasks import Wrong
from tests.photometry.conftest import MINUTE, Hands, configure
from tests.support.asking import ask, ask_many, ended, fresh, until
from tom_forced_phot import queries, subscriptions
from tom_forced_phot.exceptions import Throttled
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription, RemoteJob, ServiceBudget
from tom_forced_phot.queries import accounts, client
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)
ATLAS = AtlasForcedPhotometryService({'api_key': 'x'})


def many(number: int, first: int = 0) -> list[Any]:
    rows = [
        Target(name=f'AT {each}', type='SIDEREAL', ra=0.3 * each % 360, dec=each % 100 / 2 - 20, permissions='OPEN')
        for each in range(first, first + number)
    ]
    return Target.objects.bulk_create(rows)


def to_tidy_up(clock: Hands, targets: list[Any], credential: str = 'site') -> None:
    """Finished queries whose tasks are still to be deleted at the server, since long."""
    old = clock() - timedelta(hours=1)
    for number, target in enumerate(targets):
        job = RemoteJob.objects.create(
            service='ATLAS', mark=f'old-{credential}-{number}', credential=credential, state='closed', created=old,
            positions=[{'name': target.name, 'ra': target.ra, 'dec': target.dec}], parameters={'reduction': 'difference'},
        )  # fmt: skip
        PhotometryQuery.objects.create(
            service='ATLAS', target_id=target.pk, question=f'old {target.pk}', state='done', job=job,
            remote={'id': 10_000 + number}, to_clean=True, next_step=old, created=old, closed=old,
        )  # fmt: skip


@pytest.fixture
def two_accounts(atlas: Any, django_user_model: Any) -> list[Any]:
    """Two users, each with an account of their own at the server."""
    users = [django_user_model.objects.create_user(name, password='x') for name in ('alice', 'bob')]
    for user, token in zip(users, atlas.service.accounts.tokens, strict=False):
        accounts.save(user, 'ATLAS', {'api_key': token})
    return users


# --- questions first ---


def test_a_question_goes_out_before_what_is_only_to_be_tidied_up(atlas: Any, clock: Hands, target: Any) -> None:
    to_tidy_up(clock, many(80))
    query = ask(target, clock)
    queries.run(clock)
    assert fresh(query).state == 'submitted'
    assert atlas.service.requests['submit'] == 1
    assert 0 < atlas.service.requests['delete'] <= 50


def test_tidying_up_leaves_a_part_of_the_minute_to_questions(atlas: Any, clock: Hands, make_target: Any) -> None:
    to_tidy_up(clock, many(80))
    queries.run(clock)
    assert atlas.service.requests['delete'] == 35
    asked = [ask(make_target(), clock) for _ in range(3)]
    queries.run(clock)
    assert {fresh(query).state for query in asked} == {'submitted'}


def test_a_cancel_stops_the_task_before_anything_is_tidied_up(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.configure(held=True)
    query = ask(target, clock)
    queries.run(clock)
    to_tidy_up(clock, many(80))
    queries.run(clock)
    PhotometryQuery.objects.filter(pk=query.pk).update(state='cancelled', to_clean=True, next_step=clock(), closed=clock())
    queries.run(clock)
    assert fresh(query).to_clean is False


def test_what_a_person_asks_is_sent_before_a_thousand_that_nobody_waits_for(
    atlas: Any, clock: Hands, target: Any, astronomer: Any
) -> None:
    atlas.service.configure(held=True)
    queries.ask_many('ATLAS', many(620), {'min_date': 61300.0}, astronomer, clock())
    queries.run(clock)
    assert PhotometryQuery.objects.filter(state='queued').count() == 220
    query = ask(target, clock, astronomer)
    queries.run(clock)
    assert fresh(query).state == 'submitted'
    assert atlas.service.replies['submit 400'] == 0


# --- one's own trouble ---


def test_a_full_account_stops_nobody_elses(atlas: Any, clock: Hands, make_target: Any, two_accounts: list[Any]) -> None:
    alice, bob = two_accounts
    real = atlas.service.queue.unstarted
    first = next(iter(atlas.service.accounts.users))
    atlas.service.queue.unstarted = lambda user: 500 if user == first else real(user)
    hers = ask_many([make_target() for _ in range(3)], clock, alice)
    his = ask(make_target(), clock, bob)
    queries.run(clock)
    assert {fresh(query).state for query in hers} == {'queued'}
    assert 'too many queued tasks' in fresh(hers[0]).message or 'takes nothing' in fresh(hers[0]).message
    assert fresh(his).state == 'submitted'
    assert atlas.service.replies['submit 400'] == 1
    clock.move(MINUTE)
    later = ask(make_target(), clock, bob)
    queries.run(clock)
    assert (fresh(later).state, atlas.service.replies['submit 400']) == ('submitted', 1)


@pytest.mark.parametrize('verb', ['submit', 'status', 'result', 'delete'])
def test_a_429_on_anything_quiets_that_account_and_no_other(
    atlas: Any, clock: Hands, make_target: Any, two_accounts: list[Any], verb: str
) -> None:
    alice, bob = two_accounts
    query = ask(make_target(), clock, alice)
    atlas.service.fault(verb, '429', seconds=120)
    for _ in range(30):
        queries.run(clock)
        if atlas.service.replies[f'{verb} 429']:
            break
        clock.move(MINUTE)
    quiet = ServiceBudget.objects.get(account=f'user:{alice.pk}').quiet_until
    assert quiet is not None
    assert quiet - clock() == timedelta(seconds=120)
    seen = dict(atlas.service.accounts.seen)
    more, his = ask(make_target(), clock, alice), ask(make_target(), clock, bob)
    clock.move(MINUTE)
    queries.run(clock)
    names = list(atlas.service.accounts.users)
    hers = {entry: count for entry, count in atlas.service.accounts.seen.items() if entry.endswith(f' {names[0]}')}
    assert hers == {entry: count for entry, count in seen.items() if entry.endswith(f' {names[0]}')}
    assert fresh(his).state != 'queued'
    assert fresh(more).state == 'queued'
    until(clock, 'done')
    assert fresh(query).state == 'done'
    assert atlas.service.replies[f'{verb} 429'] == 1


# --- any minute ---

steps = st.lists(st.tuples(st.floats(0, 20), st.floats(0, 45)), min_size=1, max_size=60)


@given(steps)
@hypothesis(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_in_no_minute_more_arrives_than_may_however_late_it_arrives(db: Any, calls: list[tuple[float, float]]) -> None:
    """The calls of several workers overlap: each begins some time after the one before, and arrives when it arrives."""
    ServiceBudget.objects.all().delete()
    service = AtlasForcedPhotometryService({'api_key': 'x'})
    service.writes_a_minute = 5  # type: ignore[misc]
    at, arrivals, on_the_way = 0.0, [], []
    for pause, delay in calls:
        at += pause
        for spent, arrival in [each for each in on_the_way if each[1] <= at]:
            client.arrived(spent, NOW + timedelta(seconds=arrival))
            on_the_way.remove((spent, arrival))
        try:
            spent = client.take(service, 'site', NOW + timedelta(seconds=at), write=True)
        except Throttled:
            continue
        arrivals.append(at + delay)
        on_the_way.append((spent, at + delay))
    assert all(sum(first <= each < first + 60 for each in arrivals) <= 5 for first in arrivals)


def test_after_a_full_minute_the_next_goes_out_as_soon_as_the_first_is_a_minute_old(db: Any) -> None:
    for second in range(50):
        client.take(ATLAS, 'site', NOW + timedelta(seconds=second), write=True)
    with pytest.raises(Throttled) as found:
        client.take(ATLAS, 'site', NOW + timedelta(seconds=55), write=True)
    assert found.value.seconds == pytest.approx(5)
    client.take(ATLAS, 'site', NOW + timedelta(seconds=60), write=True)


def test_a_clock_that_was_set_back_stops_nothing_for_long(db: Any) -> None:
    for _ in range(50):
        client.take(ATLAS, 'site', NOW, write=True)
    client.take(ATLAS, 'site', NOW - timedelta(hours=2), write=True)


# --- one bad line ---


@pytest.fixture
def picky(atlas: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose reader of lists stops at the first target it does not like; ``said`` puts its complaint."""
    real = atlas.service._wanted

    class Picky:
        bad: frozenset[float] = frozenset()
        said = 'Error on line {}: Could not read RA and Dec.'

        def wanted(self, given: dict[str, Any], many: bool) -> Any:
            lines = given['radeclist'].split('\n') if many else [f'{given["ra"]},{given["dec"]}']
            for number, line in enumerate(lines, 1):
                if float(line.split(',')[1]) in self.bad:
                    raise Wrong({'radeclist': [self.said.format(number)]})
            return real(given, many)

    made = Picky()
    monkeypatch.setattr(atlas.service, '_wanted', made.wanted)
    return made


def lines(number: int = 100) -> list[Any]:
    rows = [Target(name=f'AT {n}', type='SIDEREAL', ra=10.0 + n, dec=n / 2, permissions='OPEN') for n in range(number)]
    return Target.objects.bulk_create(rows)


def test_one_bad_line_of_a_hundred_costs_one_more_request(atlas: Any, clock: Hands, picky: Any) -> None:
    picky.bad = frozenset({3.5})
    queries.ask_many('ATLAS', lines(), {'min_date': 61300.0}, None, clock())
    queries.run(clock)
    assert atlas.service.requests['submit'] == 2
    assert PhotometryQuery.objects.filter(state='submitted').count() == 99
    failed = PhotometryQuery.objects.get(state='failed')
    assert failed.target.dec == 3.5
    assert 'Could not read RA and Dec' in failed.message


def test_several_bad_lines_are_found_one_after_the_other(atlas: Any, clock: Hands, picky: Any) -> None:
    picky.bad = frozenset({0.0, 20.0, 49.5})
    queries.ask_many('ATLAS', lines(), {'min_date': 61300.0}, None, clock())
    queries.run(clock)
    assert atlas.service.requests['submit'] == 4
    assert PhotometryQuery.objects.filter(state='submitted').count() == 97
    assert set(PhotometryQuery.objects.filter(state='failed').values_list('target__dec', flat=True)) == picky.bad


def test_a_bad_line_that_is_not_named_is_found_by_halves(atlas: Any, clock: Hands, picky: Any) -> None:
    picky.bad, picky.said = frozenset({20.0}), 'One of these positions is wrong.'
    queries.ask_many('ATLAS', lines(50), {'min_date': 61300.0}, None, clock())
    ended(clock)
    assert atlas.service.requests['submit'] <= 2 * 6 + 1
    assert PhotometryQuery.objects.filter(state='failed').values_list('target__dec', flat=True)[0] == 20.0
    assert PhotometryQuery.objects.filter(state='done').count() == 49


def test_a_target_whose_row_is_odd_stops_no_other(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    from tom_forced_phot.queries import submit

    asked = ask_many([make_target(), make_target(), make_target()], clock)
    odd, real = asked[1].target_id, submit.position_of

    def position_of(target: Any) -> Any:
        if target.pk == odd:
            raise ArithmeticError('odd')
        return real(target)

    monkeypatch.setattr(submit, 'position_of', position_of)
    queries.run(clock)
    assert [fresh(query).state for query in asked] == ['submitted', 'failed', 'submitted']
    assert 'ArithmeticError' in fresh(asked[1]).message


def test_settings_of_one_account_are_never_shown_to_the_others(atlas: Any, clock: Hands, target: Any, settings: Any) -> None:
    configure(settings, 'ATLAS', api_key='wrong-token-0123456789')
    query = ask(target, clock)
    ended(clock)
    assert 'wrong-token' not in fresh(query).message


# --- a thousand ---


@pytest.mark.parametrize(
    'each', [50, pytest.param(500, marks=pytest.mark.prove(why='a thousand results are read and stored: a minute or two'))]
)
def test_many_targets_of_two_users_meet_no_429_and_hold_up_no_question_of_a_third(
    atlas: Any, clock: Hands, make_target: Any, django_user_model: Any, each: int
) -> None:
    """By a server that counts 60 writes in any minute, deletes among them, and lets 500 tasks of an account wait."""
    atlas.service.configure(seconds_per_task=0.5)
    users = [django_user_model.objects.create_user(name, password='x') for name in ('alice', 'bob', 'carol')]
    for number, user in enumerate(users[:2]):
        group = TargetList.objects.create(name=f'Of {user}')
        group.targets.add(*many(each, each * number))
        PhotometrySubscription.objects.create(
            service='ATLAS', target_list=group, owner=user, parameters={'min_date': 61355.0}, interval_hours=100
        )
    waits, asked, every = [], [], each // 25
    for step in range(240):
        subscriptions.ask_due(clock())
        if step % every == every // 2:  # now and then a person asks, also while hundreds of tasks are tidied up
            asked.append((clock(), ask(make_target(), clock, users[2])))
            queries.start([asked[-1][1].pk], clock, wait=lambda seconds: None)
        queries.run(clock)
        for began, query in [pair for pair in asked if fresh(pair[1]).job_id is not None]:
            waits.append((clock() - began).total_seconds())
            asked = [pair for pair in asked if pair[1].pk != query.pk]
        if step > 6 * every and not PhotometryQuery.objects.exclude(state__in=ANSWERED).exists() and not tidying():
            break
        clock.move(timedelta(seconds=20))
    asked_for_them = PhotometryQuery.objects.filter(subscription__isnull=False)
    assert set(asked_for_them.values_list('state', flat=True)) <= set(ANSWERED)
    assert asked_for_them.count() == 2 * each
    assert not tidying()
    assert len(waits) >= 6
    assert max(waits) <= 60
    assert {name: count for name, count in atlas.service.replies.items() if '429' in name or '400' in name} == {}
    assert atlas.service.requests['submit'] <= 25
    assert len(atlas.service.log()) == PhotometryQuery.objects.count()


#: In ten nights a few positions have no image.
ANSWERED = ('done', 'no_data')


def tidying() -> bool:
    return PhotometryQuery.objects.filter(to_clean=True).exists()
