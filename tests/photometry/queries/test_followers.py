"""Whose a question is: a follower's survives whatever becomes of who asked first, and nothing becomes everybody's."""

from __future__ import annotations

from typing import Any

import pytest
from tom_targets.models import Target

from tests.photometry.conftest import DAY, MINUTE, Hands
from tests.support.asking import ask, fresh, until
from tom_forced_phot import queries, subscriptions
from tom_forced_phot.models import PhotometryNotice, PhotometryQuery, PhotometrySubscription
from tom_forced_phot.queries import accounts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user('alice', 'alice@example.org', 'x')


@pytest.fixture
def bob(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user('bob', 'bob@example.org', 'x')


@pytest.fixture
def private(db: Any, alice: Any, bob: Any) -> Any:
    from guardian.shortcuts import assign_perm

    target = Target.objects.create(name='Secret', type='SIDEREAL', ra=20.0, dec=20.0, permissions='PRIVATE')
    for user in (alice, bob):
        assign_perm('tom_targets.view_target', user, target)
        assign_perm('tom_targets.change_target', user, target)
    return target


def no_more(user: Any, target: Any) -> None:
    from guardian.shortcuts import remove_perm

    for name in ('view_target', 'change_target'):
        remove_perm(f'tom_targets.{name}', user, target)


def leaves(how: str, alice: Any, query: PhotometryQuery, clock: Hands) -> None:
    if how == 'cancels':
        assert queries.cancel(query.pk, alice, clock())
    elif how == 'is deactivated':
        alice.is_active = False
        alice.save()
    elif how == 'is deactivated by an update':
        type(alice).objects.filter(pk=alice.pk).update(is_active=False)
    elif how == 'is deleted':
        alice.delete()
    else:
        no_more(alice, query.target)


WAYS = ['cancels', 'is deactivated', 'is deactivated by an update', 'is deleted', 'may not see the target']


@pytest.mark.parametrize('sent', [False, True])
@pytest.mark.parametrize('how', WAYS)
def test_bobs_question_survives_what_alice_does(
    atlas: Any, clock: Hands, private: Any, alice: Any, bob: Any, how: str, sent: bool
) -> None:
    atlas.service.configure(held=True)
    query = ask(private, clock, alice)
    assert ask(private, clock, bob).pk == query.pk
    if sent:
        queries.run(clock)
    leaves(how, alice, query, clock)
    atlas.service.configure(held=False)
    until(clock, 'done')
    assert fresh(query).new > 0
    assert len(atlas.service.log()) == 1
    assert PhotometryNotice.objects.filter(user=bob).count() == 1
    if how == 'cancels':
        assert fresh(query).asked_by == bob
        assert not PhotometryNotice.objects.filter(user=alice).exists()


@pytest.mark.parametrize('how', ['is deactivated', 'is deleted'])
def test_bobs_question_survives_also_where_it_went_out_with_alices_own_account(
    atlas: Any, clock: Hands, private: Any, alice: Any, bob: Any, how: str
) -> None:
    accounts.save(alice, 'ATLAS', {'api_key': list(atlas.service.accounts.tokens)[1]})
    atlas.service.configure(held=True)
    query = ask(private, clock, alice)
    ask(private, clock, bob)
    queries.run(clock)
    leaves(how, alice, query, clock)
    clock.move(20 * MINUTE)
    atlas.service.configure(held=False)
    until(clock, 'done')
    assert fresh(query).new > 0
    assert fresh(query).asked_by == bob


@pytest.mark.parametrize('how', WAYS[1:-1])
def test_what_nobody_else_waits_for_is_not_sent_any_more_and_says_why(
    atlas: Any, clock: Hands, private: Any, alice: Any, how: str
) -> None:
    query = ask(private, clock, alice)
    leaves(how, alice, query, clock)
    queries.run(clock)
    assert atlas.service.requests['submit'] == 0
    assert fresh(query).state == 'failed'
    assert 'alice' in fresh(query).message


@pytest.mark.parametrize('sent', [False, True])
def test_who_may_not_see_the_target_any_more_is_given_nothing_of_the_answer(
    atlas: Any, clock: Hands, private: Any, alice: Any, settings: Any, sent: bool
) -> None:
    from guardian.shortcuts import get_objects_for_user

    settings.TARGET_PERMISSIONS_ONLY = False
    query = ask(private, clock, alice)
    if sent:
        queries.run(clock)
    no_more(alice, private)
    until(clock, 'done')
    assert fresh(query).new > 0
    assert not get_objects_for_user(alice, 'tom_dataproducts.view_photometryreduceddatum').exists()
    assert not get_objects_for_user(alice, 'tom_dataproducts.view_dataproduct').exists()
    assert not PhotometryNotice.objects.filter(user=alice).exists()


def test_only_who_may_have_the_answer_takes_over(atlas: Any, clock: Hands, private: Any, alice: Any, bob: Any) -> None:
    query = ask(private, clock, alice)
    ask(private, clock, bob)
    no_more(bob, private)
    assert queries.cancel(query.pk, alice, clock())
    assert fresh(query).state == 'cancelled'


def test_a_superuser_who_did_not_ask_cancels_for_all(
    atlas: Any, clock: Hands, private: Any, alice: Any, bob: Any, admin_user: Any
) -> None:
    query = ask(private, clock, alice)
    ask(private, clock, bob)
    assert queries.cancel(query.pk, admin_user, clock())
    assert fresh(query).state == 'cancelled'


# --- subscriptions ---


def of(owner: Any, target: Any) -> PhotometrySubscription:
    return PhotometrySubscription.objects.create(service='ATLAS', target=target, owner=owner, parameters={'min_date': 61300.0})


@pytest.mark.parametrize('how', WAYS[1:])
def test_a_subscription_whose_owner_is_gone_stops_and_says_why(
    atlas: Any, clock: Hands, private: Any, alice: Any, how: str, capsys: Any
) -> None:
    from django.core.management import call_command

    mine = of(alice, private)
    if how == 'may not see the target':
        no_more(alice, private)
    else:
        leaves(how, alice, None, clock)  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as ended:
        call_command('runforcedphotometry')
    mine.refresh_from_db()
    assert (mine.active, PhotometryQuery.objects.count()) == (False, 0)
    assert 'alice' in mine.reason
    if how != 'is deleted':  # told by the run that found out
        assert ended.value.code == 1
        assert mine.reason in capsys.readouterr().out


def test_a_subscription_of_a_deleted_owner_is_resumed_in_the_name_of_who_resumes_it(
    atlas: Any, clock: Hands, private: Any, alice: Any, bob: Any
) -> None:
    mine = of(alice, private)
    alice.delete()
    assert not subscriptions.resume(mine.pk, clock())
    assert subscriptions.resume(mine.pk, clock(), bob)
    subscriptions.ask_due(clock())
    assert PhotometryQuery.objects.get().asked_by == bob


def test_of_many_subscriptions_one_that_raises_stops_no_other_and_is_exit_status_one(
    atlas: Any, clock: Hands, make_target: Any, alice: Any, monkeypatch: Any, capsys: Any
) -> None:
    from django.core.management import call_command

    odd, good = make_target(), make_target()
    of(alice, odd), of(alice, good)
    real = subscriptions._last_point

    def last_point(service: Any, target: Any, *rest: Any) -> Any:
        if target.pk == odd.pk:
            raise RuntimeError('https://portal.example/?token=abcdef0123456789 is odd\0')
        return real(service, target, *rest)

    monkeypatch.setattr(subscriptions, '_last_point', last_point)
    with pytest.raises(SystemExit) as ended:
        call_command('runforcedphotometry')
    assert ended.value.code == 1
    assert PhotometryQuery.objects.get().target_id == good.pk
    said = capsys.readouterr().out
    assert 'RuntimeError' in said
    assert 'abcdef' not in said + PhotometrySubscription.objects.get(target=odd).reason


def test_a_round_that_always_raises_is_paused_in_words(atlas: Any, clock: Hands, target: Any, alice: Any, monkeypatch: Any) -> None:
    mine = of(alice, target)
    monkeypatch.setattr(subscriptions, '_round', lambda *given: 1 / 0)
    for _ in range(3):
        subscriptions.ask_due(clock())
        clock.move(DAY)
    mine.refresh_from_db()
    assert (mine.active, 'ZeroDivisionError' in mine.reason) == (False, True)
