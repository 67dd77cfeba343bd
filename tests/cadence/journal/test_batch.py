"""Requests of several cadences are committed together and recorded together; what is wrong with one touches no other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Cast
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from tom_observations.models import DynamicCadence, ObservationRecord

from tests.conftest import at
from tests.support.cadences import SIMULATED, bookings, records, settle
from tom_cadence import journal
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import LostClaim, NeedsAttention
from tom_cadence.journal import Claim, Intent, Reply
from tom_cadence.models import Booking, CadenceRun, ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
Asked = list[tuple[ManagedCadence, Claim, Intent]]


def intent(managed: ManagedCadence, cause: str = '') -> Intent:
    first = records(managed.host)[0]
    return Intent(
        cause=cause or f'record:{first.pk}',
        facility=SIMULATED,
        target=first.target_id,
        owner=managed.owner,
        follows=(first.pk,),
        like=first.pk,
        parameters=first.parameters,
        window=None,
    )


@pytest.fixture
def asked(observatory: Any, make_cadence: Any) -> Asked:
    """Three cadences that this process holds, and what is to be sent for them."""
    for number in range(3):
        make_cadence(observation_id=f'first-{number}')
    journal.adopt_missing(at(0))
    holder = journal.claim(list(ManagedCadence.objects.values_list('pk', flat=True)))
    held = ManagedCadence.objects.select_related('cadence', 'owner').order_by('pk')
    return [(managed, Claim(managed.pk, holder), intent(managed)) for managed in held]


@pytest.fixture
def replies(asked: Asked) -> list[Reply]:
    """The three were sent, and each was booked."""
    opened = journal.open_requests(asked, at(1))
    return [
        Reply(submission=request, ids=[f'new-{n}'], known=frozenset({f'first-{n}'}), reason='It is time.', holder=claimed.holder)
        for n, (request, (_, claimed, _)) in enumerate(zip(opened, asked, strict=True))
        if isinstance(request, Submission)
    ]


def written() -> tuple[int, int, int]:
    """So many records, requests accepted, and decisions to submit."""
    accepted = Submission.objects.filter(state='accepted').count()
    return ObservationRecord.objects.count(), accepted, CadenceRun.objects.filter(decision='submit').count()


# --- before the call ---------------------------------------------------------------------------------------------------


def test_intents_are_committed_together(asked: Asked) -> None:
    ManagedCadence.objects.update(claim_expires=at(-1000))
    with CaptureQueriesContext(connection) as seen:
        opened = journal.open_requests(asked, at(1))
    assert len([query for query in seen if not query['sql'].startswith(('BEGIN', 'COMMIT'))]) == 4
    assert [request.managed_id for request in opened if isinstance(request, Submission)] == [managed.pk for managed, _, _ in asked]
    assert set(Submission.objects.values_list('state', 'claim_number')) == {('sending', 1)}
    assert not ManagedCadence.objects.filter(claim_expires__lt=at(-999)).exists()


@pytest.mark.parametrize('way', ['edited', 'paused', 'switched off by a script', 'taken'])
def test_what_somebody_changed_meanwhile_is_not_sent_and_the_others_are(asked: Asked, way: str) -> None:
    managed = asked[1][0]
    rows = ManagedCadence.objects.filter(pk=managed.pk)
    if way == 'edited':
        rows.update(version=managed.version + 1)
    elif way == 'paused':
        journal.pause(managed, 'Full moon.', at(1))
    elif way == 'taken':
        rows.update(claim_holder='another process')
    else:
        DynamicCadence.objects.filter(pk=managed.cadence_id).update(active=False)
    opened = journal.open_requests(asked, at(1))
    assert [type(found) for found in opened] == [Submission, LostClaim, Submission]
    assert Submission.objects.count() == 2


def test_a_record_that_is_followed_already_stops_its_own_cadence_only(asked: Asked) -> None:
    journal.open_requests(asked[:1], at(1))
    doubled = [(asked[1][0], asked[1][1], intent(asked[1][0], asked[0][2].cause)), asked[2]]
    opened = journal.open_requests(doubled, at(1))
    assert [type(found) for found in opened] == [NeedsAttention, Submission]
    assert 'Another request already follows' in str(opened[0])
    assert Submission.objects.count() == 2


# --- after it ----------------------------------------------------------------------------------------------------------


def test_replies_are_recorded_together(replies: list[Reply]) -> None:
    accepted = journal.accept_batch(replies, at(1))
    assert accepted is not None
    assert [[record.observation_id for record in each] for each in accepted] == [['new-0'], ['new-1'], ['new-2']]
    assert written() == (6, 3, 3)
    for cadence in DynamicCadence.objects.all():
        assert [record.observation_id[:4] for record in records(cadence)] == ['firs', 'new-']
    assert Booking.objects.exclude(submission=None).count() == 3
    assert set(ManagedCadence.objects.values_list('claim_holder', 'claim_expires', 'last_reason')) == {('', None, '')}


def test_a_database_that_cannot_cast_to_json_keeps_what_was_booked(replies: list[Reply], monkeypatch: pytest.MonkeyPatch) -> None:
    """MariaDB; what PostgreSQL demands is no SQL for it."""
    if connection.vendor == 'postgresql':
        pytest.skip('it has to be told the type')
    monkeypatch.setattr(Cast, 'as_sql', None)
    monkeypatch.setattr(Cast, 'as_sqlite', None)
    journal.keep_replies([(reply.submission, reply.ids) for reply in replies])
    assert journal.accept_batch(replies, at(1)) is not None
    assert list(Submission.objects.order_by('pk').values_list('reply', 'observation_ids')) == [
        ([f'new-{number}'], [f'new-{number}']) for number in range(3)
    ]


def test_an_id_that_was_recorded_before_is_told_and_makes_no_second_record(replies: list[Reply]) -> None:
    replies[1] = Reply(**{**vars(replies[1]), 'ids': ['first-1']})
    assert journal.accept_batch(replies, at(1)) is None
    for reply in (replies[0], replies[2]):
        journal.accept(reply.submission, reply.ids, reply.known, reply.reason, at(1))
    with pytest.raises(NeedsAttention, match='already recorded in this TOM: first-1'):
        journal.accept(replies[1].submission, ['first-1'], replies[1].known, 'It is time.', at(1))
    assert list(Submission.objects.order_by('pk').values_list('state', flat=True)) == ['accepted', 'uncertain', 'accepted']
    assert ObservationRecord.objects.count() == 5


def test_of_several_ids_those_recorded_before_are_told_and_the_others_are_recorded(replies: list[Reply]) -> None:
    with pytest.raises(NeedsAttention, match='already recorded in this TOM: first-1'):
        journal.accept(replies[1].submission, ['first-1', 'new-1'], replies[1].known, 'It is time.', at(1))
    assert ObservationRecord.objects.filter(observation_id='new-1').count() == 1
    assert ObservationRecord.objects.count() == 4


def broken_hook(record: ObservationRecord, *_: Any) -> None:
    """A hook of the site that cannot bear one observation."""
    if record.observation_id == 'new-1':
        raise RuntimeError('a hook of the site')


def _hook(settings: Any, replies: list[Reply]) -> None:
    settings.HOOKS = {**settings.HOOKS, 'observation_change_state': f'{__name__}.broken_hook'}


def _claim_lost(settings: Any, replies: list[Reply]) -> None:
    ManagedCadence.objects.filter(pk=replies[1].submission.managed_id).update(claim_holder='another process')


def _answered(settings: Any, replies: list[Reply]) -> None:
    journal.refuse(replies[1].submission, 'Given up.', at(1), counts=False)


def _another_cadence_has_it(settings: Any, replies: list[Reply]) -> None:
    replies[1] = Reply(**{**vars(replies[1]), 'ids': ['first-0']})


@pytest.mark.parametrize('unusual', [_hook, _claim_lost, _answered, _another_cadence_has_it])
def test_where_one_is_unusual_none_is_recorded_together(settings: Any, replies: list[Reply], unusual: Callable[..., None]) -> None:
    unusual(settings, replies)
    before = written()
    assert journal.accept_batch(replies, at(1)) is None
    assert written() == before
    another = replies[1].ids == ['first-0']
    for number, reply in enumerate(replies):  # and each by itself is
        with pytest.raises(NeedsAttention) if another and number == 1 else nullcontext():
            journal.accept(reply.submission, reply.ids, reply.known, reply.reason, at(1))
    assert Submission.objects.filter(state='accepted').count() == (2 if another else 3)
    assert ObservationRecord.objects.filter(observation_id__startswith='new-').count() == (2 if another else 3)


# --- in a run ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def due(observatory: Any, make_cadence: Any) -> list[Any]:
    """Eight cadences whose observations have failed."""
    made = [make_cadence(book=observatory) for _ in range(8)]
    for cadence in made:
        settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    return made


def test_a_run_of_many_books_each_once_and_knows_their_states(observatory: Any, due: list[Any]) -> None:
    report = run_cadences(now=at(4), workers=4)
    assert [line.decision for line in report.lines] == ['submit'] * 8
    assert len(bookings(observatory)) == 16
    assert {record.status for cadence in due for record in records(cadence)[1:]} == {'PENDING'}
    assert sorted(ObservationRecord.objects.values_list('observation_id', flat=True)) == sorted(str(n) for n in range(1, 17))


def test_a_hook_that_raises_for_one_loses_nothing_of_the_others(settings: Any, observatory: Any, due: list[Any]) -> None:
    settings.HOOKS = {**settings.HOOKS, 'observation_change_state': f'{__name__}.bad_hook'}
    report = run_cadences(now=at(4), workers=8)
    assert [line.decision for line in report.lines] == ['submit'] * 8
    assert {len(records(cadence)) for cadence in due} == {2}
    assert len(bookings(observatory)) == 16
    assert Submission.objects.filter(state='accepted').count() == 8


def bad_hook(record: ObservationRecord, *_: Any) -> None:
    """A hook of the site that cannot bear any new observation."""
    if int(record.observation_id) > 8:
        raise RuntimeError('a hook of the site')


def test_a_change_of_state_keeps_what_a_person_edits_meanwhile(make_cadence: Any) -> None:
    record = records(make_cadence())[0]
    ObservationRecord.objects.update(parameters={'edited': True})
    assert journal.save_status(record, 'COMPLETED', (at(1), at(2)))
    saved = ObservationRecord.objects.get()
    assert (saved.status, saved.scheduled_start, saved.scheduled_end) == ('COMPLETED', at(1), at(2))
    assert saved.parameters == {'edited': True}
    assert saved.modified > record.created


HEARD: list[tuple[str, str]] = []


def heard(record: ObservationRecord, before: str) -> None:
    """A hook of the site."""
    HEARD.append((before, record.status))


def test_a_change_of_state_is_one_statement_of_which_signals_and_the_sites_hook_hear(settings: Any, make_cadence: Any) -> None:
    settings.HOOKS = {**settings.HOOKS, 'observation_change_state': f'{__name__}.heard'}
    record, saved = records(make_cadence(status='PENDING'))[0], []
    HEARD.clear()

    def on_save(instance: Any, **_: Any) -> None:
        saved.append(instance.status)

    post_save.connect(on_save, sender=ObservationRecord)
    try:
        with CaptureQueriesContext(connection) as seen:
            assert journal.save_status(record, 'COMPLETED', None)
            assert journal.save_status(record, 'COMPLETED', (at(1), at(2)))
            assert not journal.save_status(record, 'COMPLETED', (at(1), at(2)))
    finally:
        post_save.disconnect(on_save, sender=ObservationRecord)
    assert [query['sql'].split()[0] for query in seen] == ['UPDATE', 'UPDATE']
    assert (HEARD, saved) == ([('PENDING', 'COMPLETED')], ['COMPLETED', 'COMPLETED'])
