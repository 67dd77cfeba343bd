"""Standing orders: what they ask for and when, and how they pause themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from tom_dataproducts.models import PhotometryReducedDatum
from tom_targets.models import TargetList

from tests.photometry.conftest import DAY, HOUR, MINUTE, Hands, configure
from tests.support.asking import ended
from tom_followup.units import mjd_of
from tom_forced_phot import conf, queries, subscriptions
from tom_forced_phot.models import LightCurve, PhotometryQuery, PhotometrySubscription

pytestmark = pytest.mark.django_db(transaction=True)
OVERLAP = timedelta(days=14)
EARLIEST = 57200.0  # of ATLAS


def floored(instant: datetime) -> float:
    """The last whole ten days before: so that a list of targets is asked about in one request."""
    return mjd_of(instant) // 10 * 10


def subscribe(**given: Any) -> PhotometrySubscription:
    return PhotometrySubscription.objects.create(**{'service': 'ATLAS', **given})


def known_until(target: Any, last: datetime, service: str = 'ATLAS') -> None:
    """A light curve of one point."""
    LightCurve.objects.create(target=target, service=service, points=1, last_point=last)
    kind = {'source_name': service, 'reduction_version': 'difference', 'bandpass': 'o'}
    PhotometryReducedDatum.objects.create(target=target, timestamp=last, brightness=18.0, **kind)


def again(subscription: PhotometrySubscription) -> PhotometrySubscription:
    return PhotometrySubscription.objects.get(pk=subscription.pk)


def newest(subscription: PhotometrySubscription) -> PhotometryQuery:
    found = PhotometryQuery.objects.filter(subscription=subscription).order_by('-pk').first()
    assert found is not None
    return found


def one_round(clock: Hands) -> None:
    """Ask, let the service answer, judge; a day later it is time for the next."""
    began = clock()
    subscriptions.ask_due(clock())
    ended(clock)
    subscriptions.judge(clock())
    clock.move(began + DAY - clock())


@pytest.fixture
def alone(atlas: Any, target: Any, astronomer: Any) -> PhotometrySubscription:
    """To ATLAS for one target, in the name of an astronomer, from a certain date on."""
    return subscribe(target=target, owner=astronomer, parameters={'min_date': 61300.0})


def test_the_first_round_asks_for_everything_in_the_owners_name(
    alone: PhotometrySubscription, clock: Hands, target: Any, astronomer: Any
) -> None:
    (done,) = subscriptions.ask_due(clock())
    query = newest(alone)
    assert (done.asked, done.declined) == (1, 0)
    assert (query.target_id, query.asked_by) == (target.pk, astronomer)
    assert query.parameters == {'reduction': 'difference', 'mjd_min': 61300.0}
    found = again(alone)
    assert (found.next_round, found.last_round, found.last_full) == (clock() + DAY, clock(), clock())


def test_the_next_round_asks_from_the_last_point_minus_fourteen_days_and_up_to_ten_more(
    alone: PhotometrySubscription, clock: Hands, target: Any
) -> None:
    one_round(clock)
    last = PhotometryReducedDatum.objects.filter(target=target).order_by('-timestamp')[0].timestamp
    subscriptions.ask_due(clock())
    assert newest(alone).parameters['mjd_min'] == floored(last - OVERLAP)


def test_the_overlap_is_a_setting(alone: PhotometrySubscription, clock: Hands, settings: Any) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'OVERLAP_DAYS': 2}
    one_round(clock)
    curve = LightCurve.objects.get()
    subscriptions.ask_due(clock())
    assert newest(alone).parameters['mjd_min'] == floored(curve.last_point - timedelta(days=2))


def test_it_never_asks_from_before_the_date_that_the_subscription_names(alone: PhotometrySubscription, clock: Hands) -> None:
    one_round(clock)
    first = mjd_of(LightCurve.objects.get().last_point) - 3
    PhotometrySubscription.objects.update(parameters={'min_date': first})
    subscriptions.ask_due(clock())
    assert newest(alone).parameters['mjd_min'] == pytest.approx(first, abs=1e-5)


def test_a_point_of_the_future_does_not_make_it_ask_for_the_future(alone: PhotometrySubscription, clock: Hands) -> None:
    one_round(clock)
    LightCurve.objects.update(last_point=clock() + 400 * DAY)
    (done,) = subscriptions.ask_due(clock())
    assert (done.asked, done.declined) == (1, 0)
    assert newest(alone).parameters['mjd_min'] == floored(clock() - OVERLAP)


def test_after_ninety_days_it_asks_for_everything_again(alone: PhotometrySubscription, clock: Hands) -> None:
    one_round(clock)
    clock.move(88 * DAY)
    one_round(clock)
    assert newest(alone).parameters['mjd_min'] > 61300.0
    one_round(clock)
    assert newest(alone).parameters['mjd_min'] == 61300.0
    assert again(alone).last_full == clock() - DAY


def test_when_everything_could_not_be_had_it_is_asked_for_again_at_the_next_round(
    alone: PhotometrySubscription, clock: Hands, atlas: Any
) -> None:
    one_round(clock)
    clock.move(89 * DAY)
    atlas.service.fault('result', '404', count=2)
    one_round(clock)
    assert newest(alone).state == 'expired'
    one_round(clock)
    assert (newest(alone).state, newest(alone).parameters['mjd_min']) == ('done', 61300.0)


def test_nothing_is_asked_before_its_time(alone: PhotometrySubscription, clock: Hands) -> None:
    subscriptions.ask_due(clock())
    ended(clock)
    clock.move(DAY - 2 * HOUR)
    before = PhotometryQuery.objects.count()
    PhotometrySubscription.objects.update(next_round=clock() + MINUTE)
    assert subscriptions.ask_due(clock()) == []
    assert PhotometryQuery.objects.count() == before
    assert len(subscriptions.ask_due(clock.move(MINUTE))) == 1


def test_two_commands_at_once_ask_once(alone: PhotometrySubscription, clock: Hands, monkeypatch: Any) -> None:
    inner = []
    take = subscriptions._take

    def other_first(subscription: PhotometrySubscription, now: Any) -> bool:
        if not inner:
            inner.append(None)
            assert len(subscriptions.ask_due(now)) == 1  # the other command, in between
        return take(subscription, now)

    monkeypatch.setattr(subscriptions, '_take', other_first)
    assert subscriptions.ask_due(clock()) == []
    assert PhotometryQuery.objects.count() == 1


def test_while_its_last_question_is_open_it_does_not_ask_again(alone: PhotometrySubscription, clock: Hands, atlas: Any) -> None:
    atlas.service.configure(held=True)
    subscriptions.ask_due(clock())
    asked = clock()
    queries.run(clock)
    clock.move(DAY)
    LightCurve.objects.create(target_id=alone.target_id, service='ATLAS', last_point=clock())
    (done,) = subscriptions.ask_due(clock())
    assert (done.asked, done.declined) == (0, 0)
    assert PhotometryQuery.objects.count() == 1
    assert again(alone).last_round == asked
    assert again(alone).reason == ''


def test_it_ends_on_the_day_it_was_to_end(alone: PhotometrySubscription, clock: Hands) -> None:
    PhotometrySubscription.objects.update(until=clock() + timedelta(hours=30))
    one_round(clock)
    one_round(clock)
    assert PhotometryQuery.objects.count() == 2
    one_round(clock)
    found = again(alone)
    assert PhotometryQuery.objects.count() == 2
    assert (found.active, found.reason) == (False, f'It ended on {found.until:%Y-%m-%d}, as planned.')


def test_a_paused_one_asks_nothing(alone: PhotometrySubscription, clock: Hands) -> None:
    PhotometrySubscription.objects.update(active=False)
    assert subscriptions.ask_due(clock()) == []


def test_after_three_failed_rounds_it_pauses_itself_and_says_why(alone: PhotometrySubscription, clock: Hands, atlas: Any) -> None:
    atlas.service.fault('result', '404', count=-1)
    for number in (1, 2):
        one_round(clock)
        assert (again(alone).active, again(alone).failures) == (True, number)
    one_round(clock)
    found = again(alone)
    assert not found.active
    assert found.reason.startswith('Paused after 3 failed rounds in a row. Last: ATLAS no longer has the result')
    one_round(clock)
    assert PhotometryQuery.objects.count() == 3


def test_it_is_counted_also_where_a_query_takes_longer_to_fail_than_the_interval(
    alone: PhotometrySubscription, clock: Hands, atlas: Any, settings: Any
) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'DEADLINE_HOURS': 60}
    atlas.service.configure(held=True)
    for _ in range(12):
        subscriptions.ask_due(clock())
        queries.run(clock)
        subscriptions.judge(clock())
        clock.move(DAY)
    assert not again(alone).active
    assert 'ATLAS had no answer for' in again(alone).reason
    assert PhotometryQuery.objects.count() == 3


def test_how_many_failed_rounds_is_a_setting(alone: PhotometrySubscription, clock: Hands, atlas: Any, settings: Any) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'SUBSCRIPTION_FAILURES': 1}
    atlas.service.fault('result', '404', count=-1)
    one_round(clock)
    assert again(alone).reason.startswith('Paused after 1 failed rounds in a row.')


def test_a_success_in_between_begins_the_count_anew(alone: PhotometrySubscription, clock: Hands, atlas: Any) -> None:
    for _ in range(2):
        atlas.service.fault('result', '404', count=2)
        one_round(clock)
    assert again(alone).failures == 2
    one_round(clock)
    assert (again(alone).failures, again(alone).reason) == (0, '')


def test_no_data_is_no_failure(alone: PhotometrySubscription, clock: Hands, atlas: Any, target: Any) -> None:
    atlas.service.configure(no_data=[[target.ra, target.dec]])
    for _ in range(4):
        one_round(clock)
    assert (again(alone).active, again(alone).failures) == (True, 0)


def test_a_cancelled_query_is_neither_a_failure_nor_a_success(alone: PhotometrySubscription, clock: Hands, atlas: Any) -> None:
    atlas.service.fault('result', '404', count=2)
    one_round(clock)
    subscriptions.ask_due(clock())
    queries.cancel(newest(alone).pk, None, clock())
    subscriptions.judge(clock())
    assert again(alone).failures == 1


def test_a_round_is_judged_once(alone: PhotometrySubscription, clock: Hands, atlas: Any) -> None:
    atlas.service.fault('result', '404', count=2)
    one_round(clock)
    for _ in range(5):
        subscriptions.judge(clock())
    assert again(alone).failures == 1


def test_switched_on_again_it_counts_anew(alone: PhotometrySubscription, clock: Hands, atlas: Any) -> None:
    atlas.service.fault('result', '404', count=8)
    for _ in range(3):
        one_round(clock)
    PhotometrySubscription.objects.update(active=True)
    one_round(clock)
    assert (again(alone).active, again(alone).failures) == (True, 1)


def test_missing_credentials_are_a_failed_round_and_do_not_run_through_the_whole_list(
    atlas: Any, clock: Hands, make_target: Any, settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.delenv('ATLAS_FORCED_PHOTOMETRY_API_KEY', raising=False)
    configure(settings, 'ATLAS', api_key='')
    listed = TargetList.objects.create(name='Nearby')
    listed.targets.add(*(make_target() for _ in range(5)))
    subscription = subscribe(target_list=listed)
    (done,) = subscriptions.ask_due(clock())
    assert (done.asked, done.declined) == (0, 1)
    assert again(subscription).failures == 1
    assert 'ATLAS needs api_key' in again(subscription).reason


def test_a_service_that_is_not_configured_any_more_pauses_it(target: Any, clock: Hands) -> None:
    subscription = subscribe(service='Hubble', target=target)
    for _ in range(3):
        subscriptions.ask_due(clock())
        clock.move(DAY)
    assert not again(subscription).active
    assert "'Hubble' is not in FORCED_PHOTOMETRY_SERVICES" in again(subscription).reason


def test_parameters_that_make_no_sense_fail_this_one_and_hold_up_no_other(
    alone: PhotometrySubscription, clock: Hands, make_target: Any
) -> None:
    broken = subscribe(target=make_target(), parameters={'min_date': 'soon'})
    PhotometrySubscription.objects.filter(pk=alone.pk).update(next_round=clock())
    later = subscribe(target=make_target())
    subscriptions.ask_due(clock())
    assert set(PhotometryQuery.objects.values_list('subscription', flat=True)) == {alone.pk, later.pk}
    assert 'ValueError' in again(broken).reason
    assert again(broken).failures == 1


def test_a_list_is_asked_about_as_it_is_at_the_time_in_one_request(atlas: Any, clock: Hands, make_target: Any) -> None:
    listed = TargetList.objects.create(name='Nearby')
    listed.targets.add(make_target(), make_target())
    subscription = subscribe(target_list=listed)
    one_round(clock)
    assert atlas.service.requests['submit'] == 1
    assert PhotometryQuery.objects.filter(subscription=subscription, state='done').count() == 2
    late = make_target()
    listed.targets.add(late)
    subscriptions.ask_due(clock())
    asked = {query.target_id: query.parameters for query in PhotometryQuery.objects.filter(state='queued')}
    assert len(asked) == 3
    assert asked[late.pk]['mjd_min'] == EARLIEST
    assert sorted(parameters['mjd_min'] > EARLIEST for parameters in asked.values()) == [False, True, True]


def test_targets_of_a_list_that_cannot_be_asked_about_are_named_and_hold_up_nobody(
    atlas: Any, clock: Hands, make_target: Any
) -> None:
    listed = TargetList.objects.create(name='Nearby')
    listed.targets.add(make_target(), make_target(name='Nowhere', ra=None, dec=None))
    subscription = subscribe(target_list=listed)
    (done,) = subscriptions.ask_due(clock())
    assert (done.asked, done.declined) == (1, 1)
    assert (again(subscription).reason, again(subscription).failures) == ('Nowhere: Nowhere has no coordinates.', 0)


def test_an_empty_list_is_said_and_is_no_failure(atlas: Any, clock: Hands) -> None:
    subscription = subscribe(target_list=TargetList.objects.create(name='Empty'))
    for _ in range(4):
        subscriptions.ask_due(clock())
        clock.move(DAY)
    found = again(subscription)
    assert (found.active, found.failures, found.reason) == (True, 0, 'There is no target in its list.')


def test_it_is_for_a_target_or_for_a_list_and_never_for_both_or_none(target: Any, clock: Hands) -> None:
    with pytest.raises(IntegrityError):
        subscribe(target=target, target_list=TargetList.objects.create(name='Nearby'))
    with pytest.raises(IntegrityError):
        subscribe()


@pytest.mark.parametrize('hours', [0.0, -5.0])
def test_an_interval_of_nothing_does_not_ask_without_end(alone: PhotometrySubscription, clock: Hands, hours: float) -> None:
    PhotometrySubscription.objects.update(interval_hours=hours)
    subscriptions.ask_due(clock())
    assert subscriptions.ask_due(clock()) == []
    assert again(alone).next_round > conf.utc_now()


def test_only_those_to_one_service_where_one_is_named(alone: PhotometrySubscription, clock: Hands) -> None:
    assert subscriptions.ask_due(clock(), 'ZTF') == []
    assert len(subscriptions.ask_due(clock(), 'ATLAS')) == 1


def test_subscribing_from_the_dates_of_several_light_curves_keeps_them_apart(atlas: Any, clock: Hands, make_target: Any) -> None:
    old, new = make_target(), make_target()
    known_until(old, clock() - 100 * DAY)
    known_until(new, clock() - 2 * DAY)
    known_until(new, clock() - 50 * DAY, 'ZTF')
    listed = TargetList.objects.create(name='Both')
    listed.targets.add(old, new)
    subscribe(target_list=listed, last_full=clock())
    subscriptions.ask_due(clock())
    asked = {query.target_id: query.parameters['mjd_min'] for query in PhotometryQuery.objects.all()}
    assert asked[old.pk] == floored(clock() - 114 * DAY)
    assert asked[new.pk] == floored(clock() - 16 * DAY)


def test_without_a_first_date_everything_is_all_since_the_survey_began(atlas: Any, clock: Hands, target: Any) -> None:
    subscription = subscribe(target=target)
    subscriptions.ask_due(clock())
    assert newest(subscription).parameters == {'reduction': 'difference', 'mjd_min': 57200.0}


def test_targets_whose_last_points_differ_a_little_go_out_together(atlas: Any, clock: Hands, make_target: Any) -> None:
    listed = TargetList.objects.create(name='Nearby')
    for days in (0.1, 0.3, 0.7):
        one = make_target()
        known_until(one, clock() - days * DAY)
        listed.targets.add(one)
    subscribe(target_list=listed, last_full=clock())
    subscriptions.ask_due(clock())
    queries.run(clock)
    assert atlas.service.requests['submit'] == 1
    assert PhotometryQuery.objects.filter(state='submitted').count() == 3
