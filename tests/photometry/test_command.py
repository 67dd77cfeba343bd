"""``manage.py runforcedphotometry``: its options, what it prints, and its exit status."""

from __future__ import annotations

import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from tom_targets.models import TargetList

from tests.photometry.conftest import DAY, HOUR, MINUTE, Hands, configure
from tests.support.asking import ask, fresh
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription, WorkerSign

pytestmark = pytest.mark.django_db(transaction=True)


def run(*options: str, **more: Any) -> tuple[int, str, str]:
    """Exit status, what was printed, and what was complained about."""
    out, err, status = StringIO(), StringIO(), 0
    try:
        call_command('runforcedphotometry', *options, stdout=out, stderr=err, no_color=True, **more)
    except SystemExit as end:
        status = int(str(end.code))
    return status, out.getvalue(), err.getvalue()


def refused(*options: str) -> str:
    """What a person reads who gave the wrong arguments; nothing is asked and nothing is sent."""
    with pytest.raises(CommandError) as error:
        run(*options)
    assert not PhotometryQuery.objects.exists()
    return str(error.value)


def until_done(clock: Hands) -> tuple[int, str, str]:
    """Cron, every minute, until nothing is open."""
    for _ in range(300):
        found = run()
        if not PhotometryQuery.objects.filter(state__in=['queued', 'submitted', 'running', 'result']).exists():
            return found
        clock.move(MINUTE)
    raise AssertionError('still open')


@pytest.fixture
def targets(atlas: Any, make_target: Any) -> list[Any]:
    return [make_target() for _ in range(3)]


@pytest.fixture
def nearby(targets: list[Any]) -> Any:
    """A list of the first two targets."""
    found = TargetList.objects.create(name='Nearby')
    found.targets.add(*targets[:2])
    return found


def asked_about() -> list[int]:
    return sorted(PhotometryQuery.objects.values_list('target_id', flat=True))


def test_each_query_that_ended_has_a_line_and_the_last_one_is_a_summary(atlas: Any, clock: Hands, target: Any) -> None:
    query = ask(target, clock)
    status, text, _ = run()
    assert (status, text) == (0, '1 steps, 0 queries ended, 1 waiting.\n')
    status, text, _ = until_done(clock)
    first, last = text.strip().splitlines()
    assert status == 0
    assert first.startswith(f'ATLAS, SN 2011fe (query {query.pk}): Done. ')
    assert 'new' in first
    assert last.endswith('1 query ended, 0 waiting.')


def test_with_nothing_to_do_it_says_so_and_signs_that_it_was_there(clock: Hands, db: None) -> None:
    assert run() == (0, '0 steps, 0 queries ended, 0 waiting.\n', '')
    assert WorkerSign.objects.get().kind == 'command'
    assert WorkerSign.objects.get().seen == clock()


def test_a_query_that_newly_failed_is_exit_status_one_once(atlas: Any, clock: Hands, target: Any, settings: Any) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'DEADLINE_HOURS': 5}
    atlas.service.configure(held=True)
    query = ask(target, clock)
    assert run()[0] == 0
    clock.move(5 * HOUR)
    status, text, _ = run()
    assert status == 1
    assert f'ATLAS, SN 2011fe (query {query.pk}): Failed. ATLAS had no answer for 5 hours.' in text
    assert run()[0] == 0


def test_no_data_is_exit_status_nought(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.configure(no_data=[[target.ra, target.dec]])
    ask(target, clock)
    status, text, _ = until_done(clock)
    assert status == 0
    assert ': No data. ATLAS has no image of this position at these dates.' in text


def test_only_the_queries_that_were_named(atlas: Any, clock: Hands, targets: list[Any]) -> None:
    first, second = ask(targets[0], clock), ask(targets[1], clock, min_date=61310.0)
    run()
    clock.move(HOUR)
    run('--query', str(second.pk))
    assert (fresh(first).state, fresh(second).state) == ('submitted', 'done')
    run('--query', str(first.pk), str(second.pk))
    assert fresh(first).state == 'done'


def test_only_the_service_that_was_named(atlas: Any, clock: Hands, target: Any) -> None:
    query = ask(target, clock)
    run('--service', 'ZTF')
    assert fresh(query).state == 'queued'
    run('--service', 'ATLAS')
    assert fresh(query).state == 'submitted'


def test_as_json_it_prints_one_object(atlas: Any, clock: Hands, target: Any) -> None:
    query = ask(target, clock)
    run()
    clock.move(HOUR)
    status, text, _ = run('--json')
    found = json.loads(text)
    query = fresh(query)
    assert (status, found['waiting'], found['paused']) == (0, 0, [])
    assert found['ended'] == [
        {'query': query.pk, 'service': 'ATLAS', 'target': 'SN 2011fe', 'state': 'done', 'message': query.message, **query.counts}
    ]


def test_asking_about_a_list_by_its_name(targets: list[Any], nearby: Any) -> None:
    status, text, err = run('--ask', 'ATLAS', '--targets', 'Nearby')
    assert (status, err) == (0, '')
    assert text.splitlines()[0] == '2 targets: 2 new queries, 0 already open, 0 cannot be asked about.'
    assert asked_about() == [target.pk for target in targets[:2]]


def test_asking_about_a_list_by_its_number(targets: list[Any], nearby: Any) -> None:
    run('--ask', 'ATLAS', '--targets', str(nearby.pk))
    assert asked_about() == [target.pk for target in targets[:2]]


def test_a_list_that_is_called_like_a_number_is_taken_by_its_name(targets: list[Any], nearby: Any) -> None:
    TargetList.objects.create(name=str(nearby.pk)).targets.add(targets[2])
    run('--ask', 'ATLAS', '--targets', str(nearby.pk))
    assert asked_about() == [targets[2].pk]


def test_asking_about_all_targets_goes_out_in_one_request(atlas: Any, targets: list[Any]) -> None:
    run('--ask', 'ATLAS', '--targets', 'all')
    assert asked_about() == [target.pk for target in targets]
    assert atlas.service.requests['submit'] == 1


def test_asking_twice_while_the_first_is_open_asks_once(targets: list[Any]) -> None:
    run('--ask', 'ATLAS', '--targets', 'all', '--from', '61300')
    _, text, _ = run('--ask', 'ATLAS', '--targets', 'all', '--from', '61300')
    assert '3 targets: 0 new queries, 3 already open' in text
    assert PhotometryQuery.objects.count() == 3


def test_targets_that_cannot_be_asked_about_are_named_and_hold_up_nobody(targets: list[Any], make_target: Any) -> None:
    make_target(name='Nowhere', ra=None, dec=None)
    status, text, err = run('--ask', 'ATLAS', '--targets', 'all')
    assert (status, err) == (0, 'Nowhere: Nowhere has no coordinates.\n')
    assert '4 targets: 3 new queries, 0 already open, 1 cannot be asked about.' in text
    found = json.loads(run('--ask', 'ATLAS', '--targets', 'all', '--json')[1])
    assert (found['asked'], found['already_open']) == (0, 3)
    assert found['declined'] == [{'target': 'Nowhere', 'reason': 'Nowhere has no coordinates.'}]


@pytest.mark.parametrize(('first', 'last'), [('61300', '61340.5'), ('2026-09-16', '2026-10-26 12:00'), ('20260916', '2461341.0')])
def test_dates_may_be_mjd_jd_or_calendar_dates(targets: list[Any], nearby: Any, first: str, last: str) -> None:
    run('--ask', 'ATLAS', '--targets', 'Nearby', '--from', first, '--until', last)
    asked = PhotometryQuery.objects.values_list('parameters', flat=True)
    assert list(asked) == [{'reduction': 'difference', 'mjd_min': 61299.0 if '-' in first or len(first) == 8 else 61300.0,
                            'mjd_max': last_of(last)}] * 2  # fmt: skip


def last_of(text: str) -> float:
    return {'61340.5': 61340.5, '2026-10-26 12:00': 61339.5, '2461341.0': 61340.5}[text]


@pytest.mark.parametrize(('text', 'kind'), [('true', 'reduced'), ('YES', 'reduced'), ('0', 'difference'), ('no', 'difference')])
def test_a_box_of_the_form_is_ticked_by_a_word(targets: list[Any], nearby: Any, text: str, kind: str) -> None:
    run('--ask', 'ATLAS', '--targets', 'Nearby', '--option', f'use_reduced={text}')
    assert {each['reduction'] for each in PhotometryQuery.objects.values_list('parameters', flat=True)} == {kind}


WRONG = [
    (['--ask', 'ATLAS'], '--ask and --targets go together.'),
    (['--targets', 'all'], '--ask and --targets go together.'),
    (['--from', '61300'], '--from, --until and --option say what to --ask'),
    (['--option', 'use_reduced=true'], '--from, --until and --option say what to --ask'),
    (['--ask', 'HUBBLE', '--targets', 'all'], "There is no service 'HUBBLE' (there: ATLAS"),
    (['--service', 'HUBBLE'], "There is no service 'HUBBLE' (there: ATLAS"),
    (['--query', '4711', '4712'], 'There is no query 4711, 4712.'),
    (['--loop', '0'], '--loop must be a number of seconds above 0'),
    (['--loop', 'nan'], '--loop must be a number of seconds above 0'),
    (['--ask', 'ATLAS', '--targets', 'Far away'], "There is no list called 'Far away' (there: Nearby)."),
    (['--ask', 'ATLAS', '--targets', '4711'], "There is no list called '4711' (there: Nearby)."),
    (['--ask', 'ATLAS', '--targets', 'Nearby', '--from', 'soon'], "--from: 'soon' is no date: write an MJD"),
    (['--ask', 'ATLAS', '--targets', 'Nearby', '--from', '61340', '--until', '61300'], '--until: The end must be later'),
    (['--ask', 'ATLAS', '--targets', 'Nearby', '--option', 'use_reduced'], "--option 'use_reduced' is not NAME=VALUE."),
    (['--ask', 'ATLAS', '--targets', 'Nearby', '--option', 'use_reduced=perhaps'], 'write true or false'),
    (['--ask', 'ATLAS', '--targets', 'Nearby', '--option', 'reduced=true'], 'ATLAS takes no reduced (fields of its form: min_date'),
    (['--ask', 'PanSTARRS', '--targets', 'Nearby', '--from', '55000'], 'PanSTARRS takes no --from (fields of its form: radius'),
    (['--ask', 'PanSTARRS', '--targets', 'Nearby', '--option', 'radius=far'], 'radius: Enter a number.'),
]


@pytest.mark.parametrize(('options', 'words'), WRONG, ids=[' '.join(options) for options, _ in WRONG])
def test_wrong_arguments_are_said_in_a_sentence(nearby: Any, clock: Hands, options: list[str], words: str) -> None:
    assert words in refused(*options)


def test_of_two_lists_with_one_name_it_asks_which(nearby: Any) -> None:
    TargetList.objects.create(name='Nearby')
    text = refused('--ask', 'ATLAS', '--targets', 'Nearby')
    assert f"There are several lists called 'Nearby': give the number of one ({nearby.pk}, {nearby.pk + 1})." in text


def test_missing_credentials_are_said_once_and_nothing_is_asked(nearby: Any, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv('ATLAS_FORCED_PHOTOMETRY_API_KEY', raising=False)
    configure(settings, 'ATLAS', api_key='')
    assert 'ATLAS_FORCED_PHOTOMETRY_API_KEY' in refused('--ask', 'ATLAS', '--targets', 'Nearby')


def test_it_asks_for_subscriptions_too_unless_single_queries_are_named(atlas: Any, clock: Hands, target: Any) -> None:
    PhotometrySubscription.objects.create(service='ATLAS', target=target)
    other = ask(target, clock)
    run('--query', str(other.pk))
    assert PhotometryQuery.objects.count() == 1
    run('--service', 'ZTF')
    assert PhotometryQuery.objects.count() == 1
    run()
    assert PhotometryQuery.objects.exclude(subscription=None).count() == 1


def test_a_subscription_that_gives_up_is_printed_and_is_exit_status_one_once(
    atlas: Any, clock: Hands, target: Any, settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.delenv('ATLAS_FORCED_PHOTOMETRY_API_KEY', raising=False)
    configure(settings, 'ATLAS', api_key='')
    number = PhotometrySubscription.objects.create(service='ATLAS', target=target).pk
    for _ in range(2):
        assert run()[0] == 0
        clock.move(DAY)
    status, text, _ = run()
    assert status == 1
    assert f'Subscription {number} to ATLAS: Paused after 3 failed rounds in a row. Last: SN 2011fe: ATLAS needs api_key' in text
    clock.move(DAY)
    assert run()[0] == 0


def test_with_loop_it_goes_on_for_ever(atlas: Any, clock: Hands, target: Any, monkeypatch: Any) -> None:
    from tom_forced_phot.management.commands import runforcedphotometry

    class Enough(Exception):
        """The test has seen enough."""

    class Pause:
        """Waits a minute on the clock of the test, two hours long."""

        passes = 0

        def wait(self, seconds: float) -> None:
            assert seconds == 60
            Pause.passes += 1
            if Pause.passes == 120:
                raise Enough
            clock.move(MINUTE)

    monkeypatch.setattr(runforcedphotometry, 'threading', SimpleNamespace(Event=Pause))
    query = ask(target, clock)
    with pytest.raises(Enough):
        run('--loop', '60')
    assert fresh(query).state == 'done'


def test_with_loop_a_database_that_is_away_is_said_and_looked_for_again(clock: Hands, db: None, monkeypatch: Any) -> None:
    from django.db import OperationalError

    from tom_forced_phot import subscriptions
    from tom_forced_phot.management.commands import runforcedphotometry

    passes = []

    def ask_due(*_: Any) -> None:
        passes.append(None)
        if len(passes) == 1:
            raise OperationalError('the server closed the connection\nunexpectedly')
        raise KeyboardInterrupt

    monkeypatch.setattr(subscriptions, 'ask_due', ask_due)
    monkeypatch.setattr(runforcedphotometry, 'threading', SimpleNamespace(Event=lambda: SimpleNamespace(wait=lambda seconds: None)))
    err = StringIO()
    with pytest.raises(KeyboardInterrupt):
        call_command('runforcedphotometry', '--loop', '60', stderr=err, no_color=True)
    assert err.getvalue() == 'The database does not answer; looking again: the server closed the connection\n'


def test_what_the_page_shows_for_python_works(
    atlas: Any, clock: Hands, targets: list[Any], nearby: Any, astronomer: Any, settings: Any
) -> None:
    from tests.photometry.examples import asking, cleaning, reading, subscribing

    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'SYNCHRONOUS_TIME': 0}
    nowhere = targets[1]
    nowhere.ra = nowhere.dec = None
    nowhere.save()
    said, reasons = asking.ask_about('Nearby', astronomer)
    assert said.endswith('It is carried on by manage.py runforcedphotometry.')
    assert reasons == [f'{nowhere.name} has no coordinates.']
    until_done(clock)
    query = PhotometryQuery.objects.get()
    assert (query.state, query.asked_by) == ('done', astronomer)
    curve = reading.light_curve(targets[0])
    assert len(curve) == query.new > 0
    assert all((magnitude is None) != (limit is None) for *_, magnitude, limit in curve)
    assert 0 < len(cleaning.nightly(query)) < len(curve)
    subscribing.subscribe(targets[0], astronomer)
    run()
    assert PhotometryQuery.objects.exclude(subscription=None).get().asked_by == astronomer
