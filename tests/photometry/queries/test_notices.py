"""Who asked is told, once, that the queries ended: in the TOM and by mail, grouped, as the user and the site want it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from tom_targets.models import Target

from tests.photometry import conftest as forced
from tests.photometry.conftest import HOUR, MINUTE, Hands
from tests.support.asking import DATES, ask, ended
from tom_followup import failpoints
from tom_followup.failpoints import PhotometryPoint
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryAnnouncement, PhotometryNotice, PhotometryQuery, PhotometrySubscription
from tom_forced_phot.queries import notices

pytestmark = pytest.mark.django_db(transaction=True)
atlas, clock, data_folder, make_target = forced.atlas, forced.clock, forced.data_folder, forced.make_target
NOTICES = '/forced-photometry/notices/'


@pytest.fixture
def asked(atlas: Any, clock: Hands, make_target: Any, astronomer: Any) -> Callable[..., list[PhotometryQuery]]:
    """Ask about so many targets in one go; some fail, some bring nothing."""

    def build(number: int = 1, failed: int = 0, nothing: int = 0, user: Any = astronomer) -> list[PhotometryQuery]:
        targets = [make_target() for _ in range(number)]
        for target in targets[:failed]:
            atlas.service.set_outcome(target.ra, target.dec, 'The images are unreadable.')
        for target in targets[failed : failed + nothing]:
            atlas.service.set_outcome(target.ra, target.dec)
        return [ask(target, clock, user) for target in targets]

    return build


def texts(user: Any) -> list[str]:
    return list(PhotometryNotice.objects.filter(user=user).order_by('pk').values_list('text', flat=True))


def test_one_query_that_ended_is_told_of_once(asked: Any, clock: Hands, astronomer: Any) -> None:
    (query,) = asked()
    ended(clock)
    for _ in range(3):
        queries.run(clock)
    (notice,) = PhotometryNotice.objects.all()
    assert notice.text.startswith('ATLAS, SN 1: done. ')
    assert (notice.user, notice.query, notice.bad) == (astronomer, query, False)
    assert len(mail.outbox) == 1
    assert mail.outbox[0].to == ['vera@example.org']
    assert mail.outbox[0].subject.startswith('[Example TOM] Forced photometry: ATLAS, SN 1')
    assert '\n' not in mail.outbox[0].subject
    assert f'/forced-photometry/queries/{query.pk}/' in mail.outbox[0].body


def test_many_asked_together_are_one_notice_and_one_mail(asked: Any, clock: Hands, astronomer: Any) -> None:
    asked(12, failed=2, nothing=1)
    ended(clock)
    assert texts(astronomer) == ['12 queries at ATLAS ended: 9 with points, 1 without data, 2 failed.']
    assert len(mail.outbox) == 1
    body = mail.outbox[0].body
    assert body.count('- ATLAS, SN ') == 12
    assert body.index('- ATLAS, SN 1: failed. ATLAS says: The images are unreadable.') < body.index('- ATLAS, SN 12: done.')


def test_nobody_is_told_before_all_have_ended_but_not_later_than_the_wait(
    asked: Any, clock: Hands, astronomer: Any, atlas: Any, settings: Any
) -> None:
    early, late = asked(2)
    PhotometryQuery.objects.filter(pk=early.pk).update(state='failed', closed=clock(), message='Broken.', next_step=None)
    notices.announce(clock())
    assert texts(astronomer) == []
    clock.move(timedelta(seconds=3599))
    notices.announce(clock())
    assert texts(astronomer) == []
    clock.move(timedelta(seconds=2))
    notices.announce(clock())
    assert texts(astronomer) == ['1 query at ATLAS ended: 1 failed. 1 of the same asking is still open.']
    PhotometryQuery.objects.filter(pk=late.pk).update(state='no_data', closed=clock(), message='Nothing.', next_step=None)
    notices.announce(clock())
    assert texts(astronomer)[1:] == ['ATLAS, SN 2: no data. Nothing.']


def test_who_follows_is_told_too(asked: Any, clock: Hands, astronomer: Any, atlas: Any) -> None:
    (query,) = asked()
    ada = User.objects.create_user('ada', 'ada@example.org')
    again = ask(Target.objects.get(), clock, ada)
    assert again.pk == query.pk
    ended(clock)
    assert texts(ada) == texts(astronomer)
    assert sorted(each.to[0] for each in mail.outbox) == ['ada@example.org', 'vera@example.org']


def test_what_a_user_stops_is_no_news_and_what_another_stops_is(asked: Any, clock: Hands, astronomer: Any) -> None:
    (mine,) = asked()
    queries.cancel(mine.pk, astronomer, clock())
    queries.run(clock)
    assert texts(astronomer) == []
    clock.move(MINUTE)
    (other,) = asked()
    queries.cancel(other.pk, User.objects.create_superuser('root'), clock())
    queries.run(clock)
    assert texts(astronomer) == ['ATLAS, SN 2: cancelled. Cancelled by root.']


def test_a_target_that_may_not_be_seen_any_more_is_not_named(asked: Any, clock: Hands, astronomer: Any) -> None:
    asked()
    Target.objects.update(permissions='PRIVATE')
    ended(clock)
    assert texts(astronomer) == []
    assert not PhotometryQuery.objects.filter(announcement=None).exists()


def test_a_query_of_nobody_is_told_to_nobody(atlas: Any, clock: Hands, make_target: Any) -> None:
    ask(make_target(), clock)
    ended(clock)
    assert PhotometryNotice.objects.count() == 0


@pytest.mark.parametrize(('failed', 'told'), [(0, 1), (1, 1)])
def test_a_subscription_is_told_of_when_it_brings_something_new_or_fails(
    atlas: Any, clock: Hands, make_target: Any, astronomer: Any, failed: int, told: int
) -> None:
    target = make_target()
    if failed:
        atlas.service.set_outcome(target.ra, target.dec, 'The images are unreadable.')
    order = PhotometrySubscription.objects.create(service='ATLAS', target=target, owner=astronomer)
    queries.ask('ATLAS', target, DATES, astronomer, clock(), order)
    ended(clock)
    assert len(texts(astronomer)) == told
    if failed:
        return
    clock.move(MINUTE)
    queries.ask('ATLAS', target, DATES, astronomer, clock(), order)
    ended(clock)
    assert len(texts(astronomer)) == 1, 'nothing new came, and it was announced'


def test_the_user_says_what_is_told_and_how(asked: Any, clock: Hands, astronomer: Any, client: Any) -> None:
    client.force_login(astronomer)
    assert client.post(f'{NOTICES}preference/', {'in_tom': 'on', 'failures_only': 'on'}).status_code == 302
    asked()
    ended(clock)
    assert texts(astronomer) == []
    clock.move(MINUTE)
    asked(2, failed=1)
    ended(clock)
    assert texts(astronomer) == ['2 queries at ATLAS ended: 1 with points, 1 failed.']
    assert mail.outbox == []
    client.post(f'{NOTICES}preference/', {'by_mail': 'on'})
    clock.move(MINUTE)
    asked()
    ended(clock)
    assert len(mail.outbox) == 1
    assert 'SN 4' not in client.get(NOTICES).content.decode()


def test_the_site_says_what_is_told(asked: Any, clock: Hands, astronomer: Any, settings: Any, client: Any) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'NOTIFY_BY_MAIL': False, 'NOTIFY_IN_TOM': False}
    asked()
    ended(clock)
    assert (texts(astronomer), mail.outbox) == ([], [])
    client.force_login(astronomer)
    assert 'switched off for this TOM' in ' '.join(client.get(NOTICES).content.decode().split())


def test_the_bell_counts_and_reading_empties_it(asked: Any, clock: Hands, astronomer: Any, client: Any) -> None:
    asked(3)
    ended(clock)
    clock.move(MINUTE)
    (single,) = asked()
    ended(clock)
    client.force_login(astronomer)
    assert 'Notices about forced photometry: 2 unread' in client.get('/').content.decode()
    text = client.get(NOTICES).content.decode()
    group = PhotometryNotice.objects.order_by('pk')[0]
    assert f'/forced-photometry/?notice={group.pk}' in text
    listed = client.get('/forced-photometry/', {'notice': group.pk}).content.decode()
    assert len(re.findall(r'id="query-\d+-link"', listed)) == 3
    client.get(f'/forced-photometry/queries/{single.pk}/')
    assert 'Notices about forced photometry: 1 unread' in client.get('/').content.decode()
    answer = client.post(NOTICES, {'notice': group.pk}, headers={'HX-Request': 'true'}).content.decode()
    assert 'id="phot-bell"' in answer
    assert 'Notices about forced photometry' not in client.get('/').content.decode()


def test_notices_are_for_their_user_only(asked: Any, clock: Hands, astronomer: Any, client: Any) -> None:
    asked(2)
    ended(clock)
    notice = PhotometryNotice.objects.get()
    client.force_login(User.objects.create_user('eve'))
    assert 'SN' not in client.get(NOTICES).content.decode()
    client.post(NOTICES, {'notice': notice.pk})
    client.post(NOTICES, {'all': '1'})
    notice.refresh_from_db()
    assert notice.read is None
    assert '0 queries' in ' '.join(client.get('/forced-photometry/', {'notice': notice.pk}).content.decode().split())
    client.logout()
    assert client.get(NOTICES).status_code == 302


class Killed(BaseException):
    """As kill -9: nothing catches it, and the database rolls back what was not committed."""


def test_killed_in_the_middle_it_tells_later_and_once(
    asked: Any, clock: Hands, astronomer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(point: PhotometryPoint) -> None:
        if point is PhotometryPoint.ANNOUNCING:
            raise Killed

    asked(2)
    monkeypatch.setattr(failpoints, 'on_reach', die)
    with pytest.raises(Killed):
        ended(clock)
    assert (PhotometryAnnouncement.objects.count(), texts(astronomer), mail.outbox) == (0, [], [])
    monkeypatch.setattr(failpoints, 'on_reach', None)
    queries.run(clock)
    queries.run(clock)
    assert texts(astronomer) == ['2 queries at ATLAS ended: 2 with points.']
    assert len(mail.outbox) == 1


def test_killed_while_mailing_it_mails_never_twice(
    asked: Any, clock: Hands, astronomer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: Any, **given: Any) -> None:
        raise Killed

    asked()
    monkeypatch.setattr(notices, '_deliver', die)
    with pytest.raises(Killed):
        ended(clock)
    monkeypatch.undo()
    queries.run(clock)
    assert len(texts(astronomer)) == 1
    assert mail.outbox == []


def test_a_mail_server_that_is_away_stops_nothing_and_gets_it_later(
    asked: Any, clock: Hands, astronomer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **given: Any) -> None:
        raise ConnectionRefusedError('no mail today')

    asked()
    monkeypatch.setattr(notices, '_deliver', refuse)
    ended(clock)
    assert len(texts(astronomer)) == 1
    monkeypatch.undo()
    queries.run(clock)
    assert len(mail.outbox) == 1
    queries.run(clock)
    assert len(mail.outbox) == 1


def test_of_two_that_announce_at_once_one_tells(asked: Any, clock: Hands, astronomer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second looked before the first had written, and comes to its UPDATE after it."""
    asked(2)
    found: list[Any] = []

    def late(now: Any, **given: Any) -> int:
        found.extend(notices._groups())
        return 0

    monkeypatch.setattr(sys.modules['tom_forced_phot.queries.drive'], 'announce', late)
    ended(clock)
    before = [notices.Group(user=user, created=created, first_end=first) for user, created, first in found[-1:]]
    assert notices.announce(clock()) == 1
    assert notices._tell(before, clock()) == 0
    assert len(texts(astronomer)) == 1
    assert PhotometryAnnouncement.objects.count() == 1


def test_an_error_in_announcing_stops_no_query(
    asked: Any, clock: Hands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError('planted')

    asked()
    monkeypatch.setattr(notices, '_groups', fail)
    ended(clock)
    assert PhotometryQuery.objects.get().state == 'done'
    assert 'Notices of forced photometry could not be written' in caplog.text


def test_opening_the_list_tells_what_a_dead_driver_did_not_and_sends_no_mail(
    asked: Any, clock: Hands, astronomer: Any, client: Any
) -> None:
    (query,) = asked()
    PhotometryQuery.objects.update(state='failed', closed=clock(), message='Broken.', next_step=None)
    clock.move(HOUR)
    client.force_login(astronomer)
    client.get('/forced-photometry/')
    assert texts(astronomer) == ['ATLAS, SN 1: failed. Broken.']
    assert mail.outbox == []
    queries.run(clock)
    assert len(mail.outbox) == 1
    assert query.pk


def test_a_backlog_is_told_by_and_by(
    asked: Any, clock: Hands, astronomer: Any, make_target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, 'MOST', 2)
    for _ in range(5):
        asked()
        clock.move(MINUTE)
    PhotometryQuery.objects.update(state='failed', closed=clock(), message='Broken.', next_step=None)
    assert [notices.announce(clock()) for _ in range(3)] == [1, 1, 1]
    assert texts(astronomer) == [
        '2 queries at ATLAS ended: 2 failed.',
        '2 queries at ATLAS ended: 2 failed.',
        'ATLAS, SN 5: failed. Broken.',
    ]
