"""Nothing waits for ever after one notice: what waits for somebody else is told again after some weeks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.conftest import NIGHT, at
from tests.support.cadences import SIMULATED
from tom_cadence import journal
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import NotYet
from tom_cadence.journal import reminders
from tom_cadence.models import CadenceRun, ManagedCadence, Notice, OutgoingMail, Submission
from tom_cadence.permissions import UNSEEN

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)
WEEKS = 28 * DAY


def needs_attention(managed: ManagedCadence) -> None:
    journal.stop(managed, 'attention', 'Look at the facility.', NIGHT)


def waits_for_a_season(managed: ManagedCadence) -> None:
    for day in range(0, 130, 10):
        managed.refresh_from_db()
        journal.postpone(managed, NotYet('The proposal has no time left.', until=NIGHT + (day + 10) * DAY), NIGHT + day * DAY)


def waits_for_what_never_comes(managed: ManagedCadence) -> None:
    journal.note_checked([journal.Checked(managed=managed, reason='There are no new measurements.')], NIGHT)


@pytest.mark.parametrize('begins', [needs_attention, waits_for_a_season, waits_for_what_never_comes])
def test_a_wait_is_told_again_every_four_weeks_and_not_between(make_cadence: Any, begins: Any) -> None:
    make_cadence()
    begins(ManagedCadence.objects.get())
    Notice.objects.all().delete()
    told = []
    for day in range(0, 120, 2):
        journal.remind(NIGHT + day * DAY)
        told.append(Notice.objects.count())
    assert told[13] == 0, 'not before four weeks'
    assert told[-1] == 4
    assert journal.remind(NIGHT + 119 * DAY) == 0
    text = Notice.objects.order_by('-pk')[0].text
    assert 'Still waiting' in text
    assert 'since 2026-' in text
    assert any(words in text for words in ('Look at the facility.', 'no time left', 'no new measurements'))


def test_all_that_an_owner_waits_for_is_one_notice_and_who_left_is_not_asked(make_cadence: Any, astronomer: Any) -> None:
    for number in range(3):
        make_cadence(observation_id=str(number))
    for managed in ManagedCadence.objects.all():
        needs_attention(managed)
    root = User.objects.create_superuser('root')
    Notice.objects.all().delete()
    assert journal.remind(NIGHT + WEEKS) == 3
    [notice] = Notice.objects.all()
    assert (notice.user, notice.text.startswith('3 still waiting.')) == (astronomer, True)
    User.objects.filter(pk=astronomer.pk).update(is_active=False)
    second = User.objects.create_superuser('second')
    journal.remind(NIGHT + 2 * WEEKS)
    assert {each.user for each in Notice.objects.exclude(pk=notice.pk)} == {root, second}


@pytest.mark.parametrize('what', ['resumed', 'asked', 'a new wait', 'paused', 'never'])
def test_a_wait_that_is_over_is_not_told_again(make_cadence: Any, settings: Any, what: str) -> None:
    make_cadence()
    managed = ManagedCadence.objects.get()
    waits_for_what_never_comes(managed) if what == 'a new wait' else needs_attention(managed)
    managed.refresh_from_db()
    later = NIGHT + 27 * DAY
    if what == 'resumed':
        journal.resume(managed, later)
    elif what == 'asked':
        journal.stop(managed, 'attention', 'Something else.', later)
    elif what == 'a new wait':
        journal.note_checked([journal.Checked(managed=managed, reason='Another one.')], later)
    elif what == 'paused':
        journal.pause(managed, 'vera paused it.', later)
    else:
        settings.TOM_CADENCE = {'REMIND_AFTER': 0}
    assert journal.remind(NIGHT + 40 * DAY) == 0
    assert journal.remind(NIGHT + 56 * DAY) == (1 if what in ('asked', 'a new wait') else 0)


def test_a_cadence_that_is_to_wait_for_weeks_between_two_observations_does_not_nag(make_cadence: Any) -> None:
    make_cadence(cadence_frequency=24 * 30)
    waits_for_what_never_comes(ManagedCadence.objects.get())
    assert journal.remind(NIGHT + 35 * DAY) == 0
    assert journal.remind(NIGHT + 65 * DAY) == 1


def test_many_cadences_that_are_to_wait_for_weeks_do_not_hide_one_that_waits_in_vain(
    make_cadence: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reminders, 'MOST', 3)
    for number in range(4):
        make_cadence(observation_id=str(number), cadence_frequency=24 * 30)
    make_cadence(observation_id='in vain', cadence_frequency=24)
    for managed in ManagedCadence.objects.all():
        waits_for_what_never_comes(managed)
    assert journal.remind(NIGHT + 35 * DAY) == 1


def test_who_may_not_see_a_target_any_more_is_not_told_its_name_with_a_request(
    make_cadence: Any, astronomer: Any, target: Any
) -> None:
    make_cadence()
    managed = ManagedCadence.objects.get()
    journal.pause(managed, 'vera paused it.', NIGHT)
    Submission.objects.create(
        managed=managed, owner=astronomer, cause='x', state='uncertain', facility=SIMULATED, created=NIGHT, target_id=target.pk
    )
    type(target).objects.filter(pk=target.pk).update(permissions='PRIVATE')
    User.objects.filter(pk=astronomer.pk).update(email='vera@example.org')
    assert journal.remind(NIGHT + WEEKS) == 1
    notice, mail = Notice.objects.order_by('-pk')[0], OutgoingMail.objects.order_by('-pk')[0]
    assert UNSEEN in notice.text
    assert target.name not in notice.text + mail.body
    assert (notice.managed, mail.path) == (managed, '/cadences/'), 'the page of requests of no cadence does not have it'


@pytest.mark.parametrize('whose', ['nobodys', 'of a paused cadence', 'of an active cadence'])
def test_a_request_whose_fate_is_not_known_is_told_again(make_cadence: Any, astronomer: Any, whose: str) -> None:
    make_cadence()
    managed = ManagedCadence.objects.get()
    if whose == 'of a paused cadence':
        journal.pause(managed, 'vera paused it.', NIGHT)
    Submission.objects.create(
        managed=None if whose == 'nobodys' else managed,
        owner=astronomer,
        cause='x',
        state='uncertain',
        facility=SIMULATED,
        created=NIGHT,
    )
    assert journal.remind(NIGHT + 27 * DAY) == 0
    told = journal.remind(NIGHT + WEEKS)
    assert told == (0 if whose == 'of an active cadence' else 1), 'a run asks for it, and the cadence says that it waits'
    assert journal.remind(NIGHT + WEEKS + DAY) == 0


def test_a_run_tells_again_and_the_page_says_since_when(client: Any, observatory: Any, make_cadence: Any, astronomer: Any) -> None:
    make_cadence(book=observatory)
    managed = ManagedCadence.objects.get()
    needs_attention(managed)
    Notice.objects.all().delete()
    run_cadences(now=at(24 * 30))
    assert Notice.objects.count() == 1
    client.force_login(astronomer)
    page = ' '.join(client.get(f'/cadences/{managed.pk}/').content.decode().split())
    assert 'It has waited since' in page
    assert 'Its owner was told, and is told again every 28 days' in page
    User.objects.filter(pk=astronomer.pk).update(is_active=False)
    client.force_login(User.objects.create_superuser('root'))
    page = ' '.join(client.get(f'/cadences/{managed.pk}/').content.decode().split())
    assert 'whoever runs this TOM is told again every 28 days' in page
    assert not CadenceRun.objects.filter(reason__contains='Still waiting').exists()
