"""What an owner is told, where, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from tests.conftest import NIGHT, at
from tests.support.cadences import bookings, records, settle
from tom_cadence.engine.run import run_cadences
from tom_cadence.flows import steer
from tom_cadence.journal import notices
from tom_cadence.models import ManagedCadence, Notice, NoticePreference

pytestmark = pytest.mark.django_db(transaction=True)

LIST = '/cadences/notices/'


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    client.force_login(astronomer)
    return client


def finish(observatory: Any, make_cadence: Any) -> ManagedCadence:
    cadence = make_cadence(book=observatory, max_observations=1)
    settle(observatory, records(cadence)[0], 'COMPLETED')
    for hours in (5, 6, 7):
        run_cadences(now=at(hours))
    assert len(bookings(observatory)) == 1
    return ManagedCadence.objects.get()


def test_the_owner_is_told_once_that_a_cadence_finished(
    observatory: Any, make_cadence: Any, astronomer: Any, mailoutbox: Any
) -> None:
    managed = finish(observatory, make_cadence)
    notice = Notice.objects.get()
    assert (notice.user, notice.managed, notice.read) == (astronomer, managed, None)
    assert notice.text == f'{managed} has finished. All 1 observations of this cadence are done.'
    assert [mail.to for mail in mailoutbox] == [['vera@example.org']]
    assert 'ResumeCadenceAfterFailureStrategy' not in mailoutbox[0].body


def test_the_owner_is_told_once_that_a_cadence_needs_attention(observatory: Any, make_cadence: Any, mailoutbox: Any) -> None:
    make_cadence(strategy='Unknown')
    for hours in (1, 2, 3):
        run_cadences(now=at(hours))
    assert 'needs attention' in Notice.objects.get().text
    assert len(mailoutbox) == 1


def test_many_cadences_without_credentials_are_one_notice(observatory: Any, make_cadence: Any, mailoutbox: Any) -> None:
    for _ in range(3):
        make_cadence(book=observatory)
    observatory.tokens.clear()
    run_cadences(now=at(1))
    assert Notice.objects.get().text.startswith('3 cadences: Simulated observatory does not accept your credentials.')
    assert Notice.objects.get().managed is None
    assert len(mailoutbox) == 1


def test_who_pauses_their_own_cadence_is_not_told_but_another_owner_is(
    observatory: Any, make_cadence: Any, astronomer: Any, django_user_model: Any
) -> None:
    managed = ManagedCadence.objects.select_related('owner').get(cadence=make_cadence())
    steer.pause(managed, astronomer, NIGHT)
    assert not Notice.objects.exists()
    steer.resume(managed, astronomer, NIGHT)
    steer.pause(managed, django_user_model.objects.create_superuser('boss'), NIGHT)
    assert 'was paused. boss paused it.' in Notice.objects.get(user=astronomer).text


@pytest.mark.parametrize(('in_tom', 'by_mail'), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize('by', ['setting', 'user'])
def test_site_and_user_can_switch_each_way_off(
    observatory: Any, make_cadence: Any, astronomer: Any, settings: Any, mailoutbox: Any, in_tom: bool, by_mail: bool, by: str
) -> None:
    if by == 'setting':
        settings.TOM_CADENCE = {'NOTIFY_IN_TOM': in_tom, 'NOTIFY_BY_MAIL': by_mail}
    else:
        NoticePreference.objects.create(user=astronomer, in_tom=in_tom, by_mail=by_mail)
    finish(observatory, make_cadence)
    assert (Notice.objects.count(), len(mailoutbox)) == (int(in_tom), int(by_mail))


def test_a_notice_that_cannot_be_written_stops_nothing(observatory: Any, make_cadence: Any, monkeypatch: Any, caplog: Any) -> None:
    def broken(*_: Any) -> None:
        raise OSError('disk full')

    monkeypatch.setattr('tom_cadence.journal.notices.write_notice', broken)
    assert finish(observatory, make_cadence).state == 'finished'
    assert 'A notice could not be written' in caplog.text


def test_the_bell_counts_and_reading_by_post_only_takes_away(
    vera: Any, astronomer: Any, observatory: Any, make_cadence: Any
) -> None:
    managed = ManagedCadence.objects.get(cadence=make_cadence())
    for event in ('attention', 'finished', 'changed'):
        managed.owner = astronomer
        notices.tell_owner(managed, event, 'See there.')
    text = vera.get(LIST).content.decode()
    assert 'Notices of your cadences: 3 unread' in text
    assert 'Notices of your cadences: 3 unread' in vera.get(LIST).content.decode()
    first = Notice.objects.first()
    assert first is not None
    vera.post(LIST, {'notice': [first.pk]})
    assert 'Notices of your cadences: 2 unread' in vera.get('/').content.decode()
    response = vera.post(LIST, {'all': '1'}, headers={'HX-Request': 'true'})
    assert 'hx-swap-oob' in response.content.decode()
    assert 'Notices of your cadences: 0 unread' in response.content.decode()


def test_nobody_reads_or_marks_the_notices_of_others(
    vera: Any, observatory: Any, make_cadence: Any, django_user_model: Any
) -> None:
    eve = django_user_model.objects.create_user('eve')
    foreign = Notice.objects.create(user=eve, text='About the secret SN', created=NIGHT)
    vera.post(LIST, {'notice': [foreign.pk, 'x', '9' * 40]})
    vera.post(LIST, {'all': '1'})
    foreign.refresh_from_db()
    assert foreign.read is None
    assert 'secret' not in vera.get(LIST).content.decode()


def test_visitors_have_no_bell_and_no_notices(client: Any) -> None:
    assert 'cadence-bell' not in client.get('/').content.decode()
    for answer in (client.get(LIST), client.post(LIST), client.post(f'{LIST}preference/')):
        assert answer.status_code == 302
        assert '/accounts/login/' in answer['Location']


def test_the_list_says_when_there_is_nothing(vera: Any) -> None:
    assert 'No notices yet.' in vera.get(LIST).content.decode()


def test_the_profile_page_keeps_what_a_user_wants_to_be_told(vera: Any, astronomer: Any) -> None:
    text = vera.get('/users/profile/').content.decode()
    assert text.count('checked') == 2
    vera.post(f'{LIST}preference/', {'in_tom': 'on'})
    kept = NoticePreference.objects.get(user=astronomer)
    assert (kept.in_tom, kept.by_mail) == (True, False)
    assert vera.get('/users/profile/').content.decode().count('checked') == 1
    vera.post(f'{LIST}preference/', {'by_mail': 'on'})
    assert NoticePreference.objects.get(user=astronomer).by_mail
    assert vera.get(f'{LIST}preference/').status_code == 405


def test_the_owner_is_told_although_the_database_fails_for_a_moment(
    observatory: Any, make_cadence: Any, astronomer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, tries = Notice.objects.bulk_create, []

    def fails_once(rows: Any) -> Any:
        tries.append(rows)
        if len(tries) == 1:
            raise OperationalError('disk I/O error')
        return write(rows)

    monkeypatch.setattr(Notice.objects, 'bulk_create', fails_once)
    managed = finish(observatory, make_cadence)
    assert Notice.objects.get().user == astronomer
    assert (managed.state, len(tries)) == ('finished', 2)
