"""``manage.py runcadencestrategies``: its options, what it prints, its exit status, and what a dry run leaves alone."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conftest import at
from tests.support.cadences import PLAIN, SIMULATED, bookings, records, settle
from tom_cadence.models import CadenceRun, ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
RETRY = 'RetryFailedObservationsStrategy'


def five_hours_later() -> Any:
    return at(5)


@pytest.fixture(autouse=True)
def evening(settings: Any) -> None:
    """Cron runs five hours after the windows opened."""
    settings.TOM_CADENCE = {'CLOCK': f'{__name__}.five_hours_later'}


def run(*options: str, name: str = 'runcadencestrategies', **more: Any) -> tuple[int, str]:
    """Exit status and what was printed."""
    out = StringIO()
    try:
        call_command(name, *options, stdout=out, no_color=True, **more)
    except SystemExit as status:
        return int(str(status.code)), out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def due(observatory: Any, make_cadence: Any) -> Any:
    """A cadence whose observation has failed."""
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    return cadence


@pytest.fixture
def idle(observatory: Any, make_cadence: Any) -> Any:
    """A cadence that waits, at the other facility."""
    return make_cadence(book=observatory, facility=PLAIN)


@pytest.fixture
def broken(make_cadence: Any) -> Any:
    """A cadence that needs attention."""
    return make_cadence(strategy='GoneStrategy')


def test_one_line_for_what_was_done_and_a_summary(due: Any, idle: Any) -> None:
    status, text = run()
    first, summary = text.strip().splitlines()
    new = records(due)[1].observation_id
    assert status == 0
    assert first.startswith(f'Cadence {due.pk} (SN 2011fe): submit -> {new}: ')
    assert summary == '2 cadences: 1 observations booked, 1 wait, 0 ended, 0 with problems.'


def test_with_verbosity_every_cadence_has_a_line(due: Any, idle: Any) -> None:
    _, text = run(verbosity=2)
    assert f'Cadence {idle.pk} (SN 2011fe): wait: ' in text


def test_the_same_command_has_a_name_that_no_other_app_has(due: Any) -> None:
    commands = get_commands()
    assert commands['runcadencestrategies'] == commands['runcadences'] == 'tom_cadence'
    assert run(name='runcadences')[0] == 0
    assert len(records(due)) == 2
    help_of = [load_command_class('tom_cadence', name).help for name in ('runcadences', 'runcadencestrategies')]
    assert help_of[0] == help_of[1]


def test_a_cadence_that_newly_needs_attention_is_exit_status_one_once(due: Any, broken: Any) -> None:
    status, text = run()
    assert status == 1
    assert f'Cadence {broken.pk}' in text
    assert "'GoneStrategy'" in text
    assert '1 with problems' in text
    assert len(records(due)) == 2
    assert run()[0] == 0


def test_a_facility_that_cannot_be_reached_is_exit_status_one(observatory: Any, due: Any) -> None:
    observatory.fault('status', '503', count=9)
    status, text = run()
    assert status == 1
    assert '1 with problems' in text
    assert due.managed.state == 'active'


def test_only_the_cadences_that_were_named(due: Any, idle: Any, broken: Any) -> None:
    assert run('--cadence', str(idle.pk))[0] == 0
    assert len(records(due)) == 1
    status, text = run('--cadence', str(due.pk), str(idle.pk))
    assert status == 0
    assert text.strip().splitlines()[-1].startswith('2 cadences: 1 observations booked')


def test_only_the_facilities_that_were_named(due: Any, idle: Any) -> None:
    run('--facility', PLAIN)
    assert len(records(due)) == 1
    run('--facility', PLAIN, SIMULATED)
    assert len(records(due)) == 2


def test_a_cadence_that_does_not_exist_is_said(due: Any) -> None:
    with pytest.raises(CommandError, match='no cadence 987654'):
        run('--cadence', '987654', str(due.pk))
    assert len(records(due)) == 1


@pytest.mark.parametrize('options', [['--validate'], ['--workers', '0'], ['--workers', '-3']])
def test_options_that_make_no_sense_are_refused(due: Any, options: list[str]) -> None:
    with pytest.raises(CommandError):
        run(*options)
    assert len(records(due)) == 1


def test_workers_bound_the_calls_at_once(observatory: Any, make_cadence: Any) -> None:
    for _ in range(6):
        make_cadence(book=observatory, facility=PLAIN)
    run('--workers', '2')
    assert observatory.counts()['most_at_once']['status'] <= 2
    assert observatory.counts()['requests']['status'] == 6


def test_json_is_one_document(due: Any, idle: Any) -> None:
    status, text = run('--json')
    found = json.loads(text)
    assert (status, found['failed'], found['dry_run']) == (0, False, False)
    lines = {line['cadence']: line for line in found['cadences']}
    assert lines[due.pk]['decision'] == 'submit'
    assert lines[due.pk]['observation_ids'] == [records(due)[1].observation_id]
    assert lines[due.pk]['changed'] is True
    assert lines[idle.pk]['decision'] == 'wait'
    assert set(lines[idle.pk]) == {
        'cadence', 'target', 'strategy', 'decision', 'reason', 'observation_ids', 'changed', 'failed', 'facility', 'unasked'
    }  # fmt: skip


def snapshot() -> list[list[Any]]:
    """Every row that a run may write."""
    from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

    models = (ManagedCadence, Submission, CadenceRun, DynamicCadence, ObservationGroup, ObservationRecord)
    return [list(model.objects.order_by('pk').values()) for model in models]


@pytest.mark.parametrize('facility', [SIMULATED, PLAIN])
def test_a_dry_run_asks_for_states_and_does_nothing_else(observatory: Any, make_cadence: Any, broken: Any, facility: str) -> None:
    due = make_cadence(book=observatory, facility=facility, strategy=RETRY)
    settle(observatory, records(due)[0], 'WINDOW_EXPIRED')
    before = snapshot()
    with CaptureQueriesContext(connection) as queries:
        status, text = run('--dry-run')
    assert status == 1
    assert f'Cadence {due.pk} (SN 2011fe): submit: ' in text
    assert 'Window 2026-11-22 08:00 UTC to 2026-11-22 12:00 UTC.' in text
    assert f'Cadence {broken.pk} (SN 2011fe): stop: ' in text
    assert '1 would be sent' in text
    assert snapshot() == before
    assert [query['sql'] for query in queries if not query['sql'].startswith(('SELECT', 'PRAGMA'))] == []
    asked = observatory.counts()['requests']
    assert asked['status'] == 1
    assert set(asked) == {'status'}


def test_a_dry_run_does_not_even_adopt(observatory: Any, due: Any) -> None:
    ManagedCadence.objects.all().delete()
    run('--dry-run')
    assert not ManagedCadence.objects.exists()


def test_a_dry_run_with_validate_says_what_the_form_says_and_sends_nothing(observatory: Any, due: Any, make_cadence: Any) -> None:
    bad = make_cadence(book=observatory)
    record = records(bad)[0]
    record.parameters['filter'] = 'H-alpha'
    record.save()
    settle(observatory, record, 'WINDOW_EXPIRED')
    before = snapshot()
    status, text = run('--dry-run', '--validate')
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith('Cadence')}
    assert status == 1
    assert 'would accept it' in lines[str(due.pk)]
    assert 'H-alpha' in lines[str(bad.pk)]
    assert snapshot() == before
    assert len(bookings(observatory)) == 2


def test_health_is_good_after_a_run(due: Any) -> None:
    run()
    status, text = run('--health')
    assert status == 0
    assert 'silent: none' in text


def test_health_is_bad_where_cron_has_died(due: Any, settings: Any) -> None:
    run()
    ManagedCadence.objects.update(last_check=at(5) - timedelta(seconds=2701))
    status, text = run('--health', '--json')
    found = json.loads(text)
    assert (status, found['ok']) == (1, False)
    assert [row['cadence'] for row in found['silent']] == [due.pk]
    settings.TOM_CADENCE = {**settings.TOM_CADENCE, 'EXPECTED_INTERVAL': 3600}
    assert run('--health')[0] == 0


def test_health_is_bad_where_a_cadence_waits_for_a_person(broken: Any) -> None:
    run()
    status, text = run('--health')
    assert status == 1
    assert 'GoneStrategy' in text


def test_health_writes_and_asks_nothing(observatory: Any, due: Any) -> None:
    before = snapshot()
    run('--health')
    assert snapshot() == before
    assert observatory.counts()['requests'] == {}


def test_the_audit_finds_what_has_no_record_and_what_has_no_booking(observatory: Any, due: Any, settings: Any) -> None:
    observatory.set_clock(at(5), frozen=True)
    run()
    assert run('--audit')[0] == 0
    new = records(due)[1]
    new.delete()
    status, text = run('--audit', '--json')
    found = json.loads(text)
    assert status == 1
    assert [each['id'] for each in found['without_record']] == [new.observation_id]
    assert found['without_booking'] == []
    observatory.book.clear()
    status, text = run('--audit', '--json')
    gone = json.loads(text)['without_booking']
    assert sorted(each['id'] for each in gone) == ['1', new.observation_id]
    assert {(each['cadence'], each['target']) for each in gone} == {(due.pk, 'SN 2011fe')}
    assert status == 1
    status, text = run('--audit')
    assert f'{new.observation_id}, cadence {due.pk} (SN 2011fe): it does not exist' in text


def test_the_audit_says_which_facilities_cannot_be_listed(idle: Any) -> None:
    status, text = run('--audit')
    assert status == 0
    assert PLAIN in text


def test_enqueue_without_workers_is_a_clear_error(due: Any) -> None:
    if apps.is_installed('django_dramatiq'):
        pytest.skip('django_dramatiq is installed here')
    with pytest.raises(CommandError, match='django_dramatiq'):
        run('--enqueue')
    assert len(records(due)) == 1


def test_the_present_is_read_from_the_clock_that_was_set(due: Any) -> None:
    run()
    assert records(due)[1].parameters['start'] == '2026-11-21T13:00'
    assert due.managed.last_check == at(5)
