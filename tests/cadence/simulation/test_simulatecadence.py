"""What would this do? The command, and the pages: what they say, what they refuse, and that nothing is written."""

from __future__ import annotations

import csv
import json
import re
from datetime import datetime, timezone
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from tom_observations.models import DynamicCadence, ObservationRecord

from tests.conftest import NIGHT, at
from tom_cadence.flows import simulate as flows_simulate
from tom_cadence.models import CadenceRun, ManagedCadence, Submission
from tom_cadence.pages import simulate as pages

RESUME = 'ResumeCadenceAfterFailureStrategy'
DAILY = '--param=cadence_frequency=24'


def clock() -> datetime:
    return NIGHT


@pytest.fixture(autouse=True)
def tonight(settings: Any) -> None:
    settings.TOM_CADENCE = {'CLOCK': f'{__name__}.clock'}
    cache.clear()


def simulate(*args: Any) -> str:
    out = StringIO()
    call_command('simulatecadence', *args, stdout=out, skip_checks=True)
    return out.getvalue()


def told(*args: Any) -> Any:
    return json.loads(simulate(*args, '--json'))


def test_a_perfect_week_decision_by_decision() -> None:
    said = simulate('resume', DAILY, '--nights=7', '--perfect', '--first=2026-11-22 03:00', '--window=2')
    assert 'Resume cadence after failure, 7 nights from 2026-11-22 03:00 UTC, 1 run.' in said
    assert 'Perfect: every observation is taken when its window opens.' in said
    assert 'Observation 2 succeeded: the next one after 24 h. Window 2026-11-24 03:00 UTC to 2026-11-24 05:00 UTC.' in said
    figures = dict(line.split('  ', 1) for line in said.splitlines() if line.startswith(('Observations done', 'Interval')))
    assert figures['Observations done'].strip() == '7'
    assert figures['Interval achieved'].strip().startswith('24.00 h (median)')


def test_many_runs_are_summed_up_and_the_same_seed_says_the_same() -> None:
    args = (RESUME, DAILY, '--param=max_consecutive_failures=5', '--runs=20', '--nights=30', '--weather=0.4', '--seed=3')
    assert simulate(*args) == simulate(*args)
    found = told(*args)['summary']
    assert found['runs'] == 20
    assert 0 <= found['done']['low'] <= found['done']['median'] <= found['done']['high'] <= 31
    assert found['attention'] > 0
    assert 'in a row failed' in next(iter(found['endings']))
    assert told(*args[:-1], '--seed=4')['summary'] != found


def test_every_observation_as_csv_and_the_figure_as_html_and_png(tmp_path: Path) -> None:
    for name, begins in (('fan.html', b'<html>'), ('fan.png', b'\x89PNG')):
        simulate('resume', DAILY, '--nights=5', '--runs=3', f'--plot={tmp_path / name}', f'--csv={tmp_path / "all.csv"}')
        assert (tmp_path / name).read_bytes().startswith(begins)
    rows = list(csv.DictReader((tmp_path / 'all.csv').read_text().splitlines()))
    assert {row['run'] for row in rows} == {'1', '2', '3'}
    assert rows[0]['window_start_utc'] == '2026-11-21T08:00:00Z'
    assert {row['outcome'] for row in rows} <= {'succeeded', 'failed', 'waiting'}


def test_at_the_sites_of_a_facility_it_is_observed_at_night_only(observatory: Any, db: Any) -> None:
    found = told('resume', DAILY, '--nights=10', '--perfect', '--facility=Simulated observatory', '--first=2026-11-21 12:00')
    hours = {
        datetime.fromisoformat(row['observed_start_utc'].replace('Z', '+00:00')).hour
        for row in found['observations']
        if row['observed_start_utc']
    }
    assert hours
    assert hours <= {18, 19, 20, 21, 22, 23, 0, 1, 2, 3, 4, 5, 6}  # La Palma in November


@pytest.mark.parametrize(
    ('args', 'words'),
    [
        (('Nothing', DAILY), "no strategy 'Nothing'; there are .*ResumeCadenceAfterFailureStrategy"),
        ((), 'Name a strategy'),
        (('resume', '--param=frequency=24'), 'has no parameter frequency; it has .*cadence_frequency'),
        (('resume', '--param=cadence_frequency=often'), 'cadence_frequency: Enter a number'),
        (('resume', '--param=cadence_frequency'), "--param 'cadence_frequency' is not a name and a value"),
        (('resume', DAILY, '--weather=7'), 'cloudy is 7.0; a share from 0 to 1 is expected'),
        (('resume', DAILY, '--sky=clouds=1'), "'clouds' is nothing a sky has; there are cloudy"),
        (('resume', DAILY, '--sky=delay=much'), "delay is 'much'; a number is expected"),
        (('resume', DAILY, '--nights=0'), '0 nights cannot be simulated'),
        (('resume', DAILY, '--runs=0'), '0 runs are not possible'),
        (('resume', DAILY, '--seed=-1'), 'The seed is -1'),
        (('resume', DAILY, '--first=yesterday-ish'), 'is no date'),
        (('resume', DAILY, '--window=0'), '--window and --exposure must be above 0'),
        (('resume', DAILY, '--replay'), 'need --cadence'),
        (('resume', DAILY, '--light=nova'), '--light nova is not known; there are constant'),
        (('resume', DAILY, '--light=constant:mag=3'), 'has no mag; it has level'),
        (('resume', DAILY, '--light=periodic:epoch=61000'), "needs .*'period'"),
        (('resume', DAILY, '--plot=fan.pdf'), 'drawn as .html or .png, not as .pdf'),
        (('brightness', '--param=brightness_limit=18', DAILY), 'Brightness|brightness'),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_words(args: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        simulate(*args)


def test_a_cadence_goes_on_from_where_it_is_and_nothing_is_written(make_cadence: Any, observatory: Any) -> None:
    cadence = make_cadence(status='COMPLETED')
    before = [model.objects.count() for model in (DynamicCadence, ObservationRecord, CadenceRun, Submission)]
    said = simulate(f'--cadence={cadence.pk}', '--perfect', '--nights=3')
    assert 'submit  Observation 1 succeeded: the next one after 24 h. Window 2026-11-22 08:00 UTC' in said
    assert [model.objects.count() for model in (DynamicCadence, ObservationRecord, CadenceRun, Submission)] == before
    other = simulate('--perfect', '--nights=3', f'--cadence={cadence.pk}', '--param=cadence_frequency=6')
    assert 'the next one after 6 h' in other
    cadence.refresh_from_db()
    assert cadence.cadence_parameters == {'cadence_frequency': 24}


def test_a_cadence_that_is_not_there_or_has_no_observation_is_said(make_cadence: Any, observatory: Any) -> None:
    with pytest.raises(CommandError, match='There is no cadence 99'):
        simulate('--cadence=99')
    cadence = make_cadence()
    cadence.observation_group.observation_records.clear()
    with pytest.raises(CommandError, match='no observation yet'):
        simulate(f'--cadence={cadence.pk}')


def test_a_reply_that_is_missing_is_looked_up_first(make_cadence: Any, observatory: Any) -> None:
    cadence = make_cadence()
    managed = ManagedCadence.objects.get(cadence=cadence)
    Submission.objects.create(managed=managed, cause='record:1', state='uncertain', facility='Simulated observatory', created=NIGHT)
    with pytest.raises(CommandError, match='got no reply yet'):
        simulate(f'--cadence={cadence.pk}')


@pytest.fixture
def past(make_cadence: Any, observatory: Any, target: Any, astronomer: Any) -> Any:
    """Three requests of five days: succeeded, failed, succeeded."""
    from tests.support.cadences import parameters

    cadence = make_cadence(status='COMPLETED', start=at(-120))
    group = cadence.observation_group
    for number, (hours, state) in enumerate([(-96, 'WINDOW_EXPIRED'), (-72, 'COMPLETED')], 2):
        record = ObservationRecord.objects.create(
            target=target, user=astronomer, facility='Simulated observatory', parameters=parameters(target, at(hours)),
            observation_id=str(number), status=state,
        )  # fmt: skip
        group.observation_records.add(record)
    for number, hours in ((1, -119), (2, None), (3, -71)):
        rows = ObservationRecord.objects.filter(observation_id=str(number))
        rows.update(created=at(-121 + 24 * (number - 1)))
        if hours is not None:
            rows.update(scheduled_start=at(hours), scheduled_end=at(hours + 0.1))
    return cadence


def test_a_replay_lives_the_real_history_through_again(past: Any) -> None:
    found = told(f'--cadence={past.pk}', '--replay')
    assert [(row['outcome'], row['status'], row['observed_start_utc']) for row in found['observations']][:6] == [
        ('succeeded', 'as observation 1', '2026-11-16T09:00:00Z'),
        ('failed', 'as observation 2', ''),
        *[('failed', 'assumed, as observation 2 at another time', '')] * 3,
        ('succeeded', 'assumed, as observation 3 at another time', '2026-11-18T00:00:00Z'),
    ]
    assert found['really']['done']['median'] == 2
    assert found['assumed'] > 0  # after the failure Resume asks at once, when nobody really tried
    said = simulate('resume', f'--cadence={past.pk}', '--replay', '--param=cadence_frequency=48')
    assert 'Really:' in said
    assert 'assumed' in said


def test_a_replay_needs_something_to_live_through(make_cadence: Any, observatory: Any) -> None:
    with pytest.raises(CommandError, match='nothing to live through again'):
        simulate(f'--cadence={make_cadence().pk}', '--replay')


# --- pages ---


@pytest.fixture
def cadence_page(make_cadence: Any, observatory: Any) -> str:
    cadence = make_cadence(status='COMPLETED')
    return f'/cadences/{ManagedCadence.objects.get(cadence=cadence).pk}/simulation/'


def test_the_page_comes_at_once_and_asks_for_its_figure_after_it(client: Any, cadence_page: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(flows_simulate, 'fan', None)  # the page itself simulates nothing
    page = client.get(cadence_page).content.decode()
    assert f'hx-get="{cadence_page}?part=fan"' in page
    assert 'Simulating' in page
    assert RESUME not in page.replace(f'value="{RESUME}"', '')


def test_the_figure_and_its_table(client: Any, cadence_page: str) -> None:
    response = client.get(cadence_page, {'part': 'fan', 'nights': 20, 'cloudy': 0, 'failures': 0})
    page = response.content.decode()
    assert response.context['tables'][0]['runs'] == pages.RUNS
    assert response.context['figure']['data']
    assert 'Observations done' in page
    assert 'UTC' in page
    assert '<html' not in page


def test_two_parameter_sets_side_by_side(client: Any, cadence_page: str) -> None:
    query = {'part': 'fan', 'nights': 10, 'cloudy': 0, 'failures': 0, 'b_strategy': RESUME, 'b-cadence_frequency': 6}
    tables = client.get(cadence_page, query).context['tables']
    done = [float(table['figures']['Observations done'].split()[0]) for table in tables]
    assert len(tables) == 2
    assert done[1] > 3 * done[0]


def test_the_second_look_is_kept_and_another_question_is_not(client: Any, cadence_page: str, monkeypatch: Any) -> None:
    asked = []
    real = flows_simulate.fan
    monkeypatch.setattr(flows_simulate, 'fan', lambda *args, **given: asked.append(1) or real(*args, **given))
    for query in ({'seed': 1}, {'seed': 1}, {'seed': 2}):
        client.get(cadence_page, {'part': 'fan', 'nights': 5, **query})
    assert len(asked) == 2


def test_a_fan_ends_where_more_would_be_too_much_work_for_a_page_and_says_so(
    client: Any, cadence_page: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(pages, 'PAGE', 1500)
    response, again = (client.get(cadence_page, {'part': 'fan', 'nights': 5, 'seed': seed}) for seed in (0, 0))
    runs = response.context['tables'][0]['runs']
    assert 0 < runs < pages.RUNS
    assert 'more would take too long to work out on a page' in response.content.decode()
    assert again.context['tables'][0]['runs'] == runs  # counted, not measured
    monkeypatch.setattr(pages, 'PAGE', 10)
    said = client.get(cadence_page, {'part': 'fan', 'nights': 6}).content.decode()
    assert 'One future of 6 nights takes longer to work out than there is time for: ask for fewer nights' in said


def test_how_many_go_on_is_said_in_a_sentence(client: Any, make_cadence: Any, observatory: Any) -> None:
    address = f'/cadences/{ManagedCadence.objects.get(cadence=make_cadence(max_nights_without_success=4)).pk}/simulation/'
    said = client.get(address, {'part': 'share', 'nights': 10, 'cloudy': 0, 'failures': 0}).content.decode()
    assert 'With 0 % of nights lost, 50 of 50 simulated cadences were still running after 10 nights.' in said
    lost = client.get(address, {'part': 'share', 'nights': 20, 'cloudy': 60}).content.decode()
    assert re.search(r'With 60 % of nights lost, \d+ of 50 .* after 20 nights; \d+ had stopped and asked for a person\.', lost)


@pytest.mark.parametrize('wrong', [{'nights': 100000}, {'cloudy': 100}, {'seed': -1}, {'b_strategy': 'Nothing'}, {'nights': 'x'}])
def test_what_is_out_of_bounds_is_not_simulated(client: Any, cadence_page: str, wrong: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(flows_simulate, 'fan', None)
    fan = client.get(cadence_page, {'part': 'fan', **wrong})
    page = client.get(cadence_page, wrong)
    assert (fan.status_code, page.status_code) == (200, 200)
    assert 'alert' in fan.content.decode()
    assert 'hx-get="/cadences' not in page.content.decode()


@pytest.mark.parametrize('odd', ['Nothing', 'a b', '\0', 'S' * 300, '../x'])
def test_a_strategy_that_there_is_not_is_named_as_such_on_the_page(
    client: Any, cadence_page: str, astronomer: Any, odd: str
) -> None:
    client.force_login(astronomer)
    for address in (cadence_page, '/cadences/simulate/'):
        for part in ('', 'fan'):
            said = client.get(address, {'b_strategy': odd, 'part': part}).content.decode()
            assert 'That strategy is not one of this TOM, or it decides in a way that cannot be simulated.' in said


def test_only_who_may_see_the_cadence_sees_what_it_would_do(client: Any, cadence_page: str, target: Any) -> None:
    assert client.get(cadence_page).status_code == 200
    target.permissions = 'PRIVATE'
    target.save()
    assert client.get(cadence_page).status_code == 404
    assert client.get(cadence_page, {'part': 'fan'}).status_code == 404


def test_nothing_is_posted(client: Any, cadence_page: str, astronomer: Any) -> None:
    assert client.post(cadence_page).status_code == 405
    client.force_login(astronomer)
    assert client.post('/cadences/simulate/').status_code == 405


NEW = {'strategy': RESUME, 'cadence_frequency': 24, 'first': '2026-11-22T03:00', 'hours': 4, 'exposure': 120}


def test_a_cadence_that_is_to_be_started(client: Any, astronomer: Any) -> None:
    assert client.get('/cadences/simulate/').status_code == 302
    client.force_login(astronomer)
    assert 'Choose a strategy' in client.get('/cadences/simulate/').content.decode()
    assert 'Fill in' in client.get('/cadences/simulate/', {'strategy': RESUME}).content.decode()
    page = client.get('/cadences/simulate/', NEW).content.decode()
    assert 'part=fan' in page
    assert '<input type="hidden" name="hours" value="4">' in page
    fan = client.get('/cadences/simulate/', {**NEW, 'part': 'fan', 'nights': 10, 'cloudy': 0, 'failures': 0})
    assert fan.context['tables'][0]['figures']['Exposure time of those done'].startswith('0.33 h')


@pytest.mark.parametrize(('wrong', 'words'), [
    ({'hours': 100000}, 'hours must be a number above 0'),
    ({'exposure': 'nan'}, 'exposure must be a number'),
    ({'first': 'soon'}, 'is no date'),
    ({'first': '2099-01-01'}, 'more than ten years'),
    ({'cadence_frequency': -5}, 'greater than or equal'),
    ({'strategy': '<b>'}, 'not one of this TOM'),
    ({'sky_min_altitude': 30}, 'says nothing of its sites'),
])  # fmt: skip
def test_what_is_wrong_with_it_is_said(client: Any, astronomer: Any, wrong: dict[str, Any], words: str) -> None:
    client.force_login(astronomer)
    assert words in client.get('/cadences/simulate/', {**NEW, **wrong}).content.decode()


def test_a_private_target_of_others_is_not_told(client: Any, astronomer: Any, target: Any, observatory: Any) -> None:
    target.permissions, target.name = 'PRIVATE', 'Hush'
    target.save()
    client.force_login(astronomer)
    query = {**NEW, 'target': target.pk, 'facility': 'Simulated observatory', 'sky_min_altitude': 30}
    said = client.get('/cadences/simulate/', query).content.decode()
    assert 'Hush' not in said
    assert 'no fixed coordinates' in said


def test_the_times_of_the_page_are_utc(client: Any, cadence_page: str, settings: Any) -> None:
    settings.TIME_ZONE = 'Pacific/Auckland'
    assert (
        NIGHT.astimezone(timezone.utc).strftime('%Y-%m-%d %H:%M UTC') in client.get(cadence_page, {'part': 'fan'}).content.decode()
    )
