"""A person's word: what became of a request whose reply was lost, and the terminal's pause and resume."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.conftest import at
from tests.support.cadences import PLAIN, bookings, records, settle
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)


def steer(*words: Any) -> str:
    out = StringIO()
    call_command('steercadence', *map(str, words), stdout=out)
    return out.getvalue()


@pytest.fixture
def in_doubt(observatory: Any, make_cadence: Any) -> Any:
    """A cadence at a facility that cannot be asked, whose reply was lost after it was booked."""
    cadence = make_cadence(book=observatory, facility=PLAIN)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    observatory.fault('submit', '500-after')
    run_cadences(now=at(5))
    assert ManagedCadence.objects.get().state == 'attention'
    assert len(bookings(observatory)) == 2
    return cadence


def test_nothing_is_sent_again_without_a_persons_word(observatory: Any, in_doubt: Any) -> None:
    in_doubt.active = True
    in_doubt.save()
    for hours in (6, 30, 100):
        run_cadences(now=at(hours))
    assert len(bookings(observatory)) == 2
    assert ManagedCadence.objects.get().state == 'attention'


def test_it_is_there_records_it_and_goes_on(observatory: Any, in_doubt: Any) -> None:
    booked = str(bookings(observatory)[1]['id'])
    assert '1 observation recorded' in steer('booked', in_doubt.pk, booked)
    new = records(in_doubt)[1]
    assert (new.observation_id, new.facility, new.user) == (booked, PLAIN, records(in_doubt)[0].user)
    run_cadences(now=at(6))
    assert len(bookings(observatory)) == 2
    settle(observatory, new, 'COMPLETED')
    run_cadences(now=at(30))
    assert len(bookings(observatory)) == 3


def test_send_it_again_sends_it_once(observatory: Any, in_doubt: Any) -> None:
    steer('send-again', in_doubt.pk)
    for hours in (6, 6.1, 6.2):
        run_cadences(now=at(hours))
    assert len(bookings(observatory)) == 3
    assert list(Submission.objects.order_by('pk').values_list('state', 'attempt')) == [('refused', 1), ('accepted', 2)]


@pytest.mark.parametrize('was', ['paused', 'finished', 'credentials'])
def test_it_is_there_starts_nothing_that_is_off_for_another_reason(observatory: Any, in_doubt: Any, was: str) -> None:
    changed = {'state': 'attention', 'reason_class': 'credentials:x'} if was == 'credentials' else {'state': was}
    ManagedCadence.objects.update(**changed, reason='So it is.')
    said = steer('booked', in_doubt.pk, bookings(observatory)[1]['id'])
    assert 'resume it, so that it goes on' in said
    assert 'active again' not in said
    in_doubt.refresh_from_db()
    row = ManagedCadence.objects.get()
    assert (in_doubt.active, row.state, row.reason) == (False, changed['state'], 'So it is.')
    assert len(records(in_doubt)) == 2
    settle(observatory, records(in_doubt)[1], 'WINDOW_EXPIRED')
    assert run_cadences(now=at(90)).lines == []
    assert len(bookings(observatory)) == 2


@pytest.mark.parametrize('verb', ['booked', 'send-again'])
def test_a_word_about_a_request_of_an_active_cadence_forgets_none_of_its_failures(
    observatory: Any, in_doubt: Any, verb: str
) -> None:
    ManagedCadence.objects.update(state='active', reason='', consecutive_failures=3)
    type(in_doubt).objects.update(active=True)
    steer(verb, in_doubt.pk, *([bookings(observatory)[1]['id']] if verb == 'booked' else []))
    row = ManagedCadence.objects.get()
    assert (row.state, row.ignore_before, row.resumed) == ('active', 0, None)


def test_the_terminal_pauses_and_resumes_only_what_a_page_would(observatory: Any, in_doubt: Any) -> None:
    with pytest.raises(CommandError, match='needs attention: it is not sending anything'):
        steer('pause', in_doubt.pk)
    assert ManagedCadence.objects.get().state == 'attention'
    ManagedCadence.objects.update(state='active')
    with pytest.raises(CommandError, match='is active already'):
        steer('resume', in_doubt.pk)


def test_a_word_about_a_request_that_nobody_doubts_is_refused(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory)
    with pytest.raises(CommandError, match='no request whose fate is unknown'):
        steer('send-again', cadence.pk)


def test_pause_and_resume_from_the_terminal(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    steer('pause', cadence.pk)
    cadence.refresh_from_db()
    assert not cadence.active
    assert run_cadences(now=at(5)).lines == []
    steer('resume', cadence.pk)
    run_cadences(now=at(5))
    assert len(bookings(observatory)) == 2


def test_credentials_set_right_are_one_word_for_all_cadences(observatory: Any, make_cadence: Any, settings: Any) -> None:
    for _ in range(3):
        make_cadence(book=observatory)
    observatory.tokens.clear()
    run_cadences(now=at(1))
    assert set(ManagedCadence.objects.values_list('state', flat=True)) == {'attention'}
    observatory.tokens['example-token'] = 'tom'
    assert steer('resume-facility', 'Simulated observatory', 'vera').startswith('3 cadences')
    assert [line.decision for line in run_cadences(now=at(2)).lines] == ['wait'] * 3
