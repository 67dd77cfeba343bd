"""The simulated ATLAS server behaves as the real one does, and does what a test tells it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from simulators.atlas import AtlasServer, serve_atlas, token_of
from simulators.atlas_files import HEADER, ROW, atlas_file
from simulators.atlas_tasks import LATER_KEYS
from simulators.foreign_host import ForeignHost
from simulators.server import Server, serve

NIGHT = '2026-11-21T08:00:00+00:00'
MJD = 61365 + 8 / 24
PLACE = {'ra': 210.774, 'dec': 54.274}


def samples(name: str) -> Path:
    folder = os.environ.get('TOM_FOLLOWUP_SAMPLES') or Path(__file__).parents[2].parent / 'shared' / 'samples'
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(f'the sample {name} is not here (TOM_FOLLOWUP_SAMPLES)')
    return path


@pytest.fixture
def server() -> Iterator[Server[AtlasServer]]:
    with serve_atlas(AtlasServer(seed=1)) as running:
        running.service.set_clock(NIGHT, frozen=True)
        yield running


@pytest.fixture
def client(server: Server[AtlasServer]) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers.update({'Authorization': f'Token {server.service.token}', 'Accept': 'application/json'})
        yield session


@pytest.fixture
def submit(server: Server[AtlasServer], client: requests.Session) -> Callable[..., requests.Response]:
    def post(timeout: float = 5, **fields: Any) -> requests.Response:
        return client.post(f'{server.url}/queue/', json=PLACE | fields, timeout=timeout)

    return post


def get(url: str, **more: Any) -> requests.Response:
    return requests.get(url, timeout=5, **more)


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not reached():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.01)


def rows(text: str) -> list[dict[str, str]]:
    head, *lines = text.splitlines()
    names = head.lstrip('#').split()
    return [dict(zip(names, line.split(), strict=True)) for line in lines]


class TestLogin:
    def test_a_login_gives_the_token_and_a_wrong_one_400(self, server: Server[AtlasServer]) -> None:
        url = f'{server.url}/api-token-auth/'
        good = requests.post(url, data={'username': 'tom', 'password': 'look-up'}, timeout=5)
        assert (good.status_code, good.json()) == (200, {'token': token_of('tom')})
        bad = requests.post(url, data={'username': 'tom', 'password': 'no'}, timeout=5)
        assert bad.status_code == 400
        assert bad.json() == {'non_field_errors': ['Unable to log in with provided credentials.']}

    def test_who_may_do_what(self, server: Server[AtlasServer], submit: Any) -> None:
        url = submit().json()['url']
        assert get(url).status_code == 200
        wrong = get(url, headers={'Authorization': 'Token no'})
        assert (wrong.status_code, wrong.json()) == (401, {'detail': 'Invalid token.'})
        nobody = requests.post(f'{server.url}/queue/', json=PLACE, timeout=5)
        assert (nobody.status_code, nobody.headers['WWW-Authenticate'][:5]) == (401, 'Basic')
        assert get(f'{server.url}/queue/').status_code == 403
        assert get(f'{server.url}/queue/', auth=('jerry', 'look-down')).json()['results'] == []
        stranger = requests.delete(url, headers={'Authorization': f'Token {token_of("jerry")}'}, timeout=5)
        assert (stranger.status_code, stranger.json()) == (403, {'detail': 'You must be the owner of this object.'})


class TestSubmission:
    def test_one_position_is_one_task_with_a_location(self, server: Server[AtlasServer], submit: Any) -> None:
        reply = submit(mjd_min=61300, comment='a mark')
        task = reply.json()
        assert (reply.status_code, reply.headers['Location']) == (201, task['url'])
        assert (task['queuepos'], task['finished'], task['starttimestamp'], task['send_email']) == (None, False, None, True)
        assert task['timestamp'] == NIGHT
        entry = server.service.log()[0]
        assert (entry['id'], entry['comment'], entry['begin'], entry['user'], entry['post']) == (1, 'a mark', 61300, 'tom', 1)

    def test_no_mjd_min_is_thirty_days_and_null_is_no_bound(self, submit: Any) -> None:
        assert submit().json()['mjd_min'] == round(MJD - 30, 5)
        assert submit(mjd_min=None).json()['mjd_min'] is None

    def test_the_keys_are_those_of_the_recorded_reply_and_the_later_ones(self, server: Server[AtlasServer], submit: Any) -> None:
        recorded = json.loads(samples('replies/atlas_post_queue_201_skyportal_2022.json').read_text())
        new = submit().json()
        assert [key for key in new if key not in LATER_KEYS] == list(recorded)
        assert set(new) - set(recorded) == set(LATER_KEYS)
        server.service.configure(old_keys=True)
        assert list(submit().json()) == list(recorded)

    def test_a_list_makes_a_list_without_a_location(self, server: Server[AtlasServer], client: requests.Session) -> None:
        body = {'radeclist': '10.5,-20\n12:00:00 -10:30:00\nmpc Ceres', 'comment': 'three', 'use_reduced': 'true'}
        reply = client.post(f'{server.url}/queue/', data=body, timeout=5)
        assert 'Location' not in reply.headers
        found = [(task['ra'], task['dec'], task['mpc_name'], task['use_reduced']) for task in reply.json()]
        assert found == [(10.5, -20.0, None, True), (180.0, -10.5, None, True), (None, None, 'Ceres', True)]
        assert [(entry['index'], entry['post']) for entry in server.service.log()] == [(0, 1), (1, 1), (2, 1)]

    @pytest.mark.parametrize(
        ('body', 'errors'),
        [
            ({}, {'non_field_errors': ['Either an mpc_name or (ra, dec) must be specified.']}),
            ({'ra': 1}, {'dec': ['ra was set but dec is missing.']}),
            ({'ra': 'x', 'dec': 1}, {'ra': ['A valid number is required.']}),
            ({'ra': 'nan', 'dec': 1}, {'ra': {'ra': 'ra must be a finite floating-point number.'}}),
            ({**PLACE, 'mjd_max': -1}, {'mjd_max': ['mjd_max must be a positive MJD.']}),
            ({**PLACE, 'mjd_min': 5, 'mjd_max': 4}, {'mjd_max': ['mjd_max must be greater than mjd_min (5.0 was applied).']}),
            ({**PLACE, 'mpc_name': 'X'}, {'mpc_name': ['mpc_name was given but RA and Dec were not empty.']}),
            ({'mpc_name': 'a;b'}, {'mpc_name': {'mpc_name': 'Invalid mpc_name. May not contain quotes or semicolons'}}),
            ({**PLACE, 'comment': 301 * 'x'}, {'comment': ['Ensure this field has no more than 300 characters.']}),
            (
                {'radeclist': '1 2\n\nno'},
                {'radeclist': 'Error on line 3: Could not find two columns. Separate RA and Dec by a comma or a space.'},
            ),
            ({'radeclist': 'mpc  '}, {'radeclist': 'Error on line 1: MPC name is blank'}),
            (
                {'radeclist': "1 2\nmpc O'Hara"},
                {'radeclist': 'Error on line 2: Invalid mpc_name. May not contain quotes or semicolons'},
            ),
            ({'radeclist': '1 2', 'mjd_max': -1}, {'mjd_max': ['mjd_max must be a positive MJD.']}),
            ({**PLACE, 'callback_url': 'http://tom.org/'}, {'callback_url': {'callback_url': 'callback_url must use https'}}),
            (
                {**PLACE, 'callback_url': 'https://10.0.0.1/'},
                {'callback_url': {'callback_url': 'callback_url must resolve to a public address'}},
            ),
        ],
    )
    def test_every_shape_of_a_refusal(
        self, server: Server[AtlasServer], client: requests.Session, body: dict[str, Any], errors: Any
    ) -> None:
        reply = client.post(f'{server.url}/queue/', json=body, timeout=5)
        assert (reply.status_code, reply.json()) == (400, errors)
        assert server.service.log() == []

    @pytest.mark.parametrize('line', ['3 90.0', '3 -90', '3 nan', '361 5', '-1 5', '24:00:00 5', '1:2 3', '3 95 00 00'])
    def test_one_bad_line_is_named_and_nothing_is_queued(self, server: Server[AtlasServer], submit: Any, line: str) -> None:
        reply = submit(radeclist='\n'.join(['10.5 -20'] * 7 + [line] + ['10.5 -20']))
        assert reply.status_code == 400
        assert reply.json()['radeclist'].startswith('Error on line 8: could not convert ')
        assert server.service.log() == []

    def test_ninety_degrees_is_refused_in_the_parsers_own_words(self, submit: Any) -> None:
        text = 'could not convert dec to decimal degrees, could not parse sexegesimal input. Original value was `90.0`'
        assert submit(radeclist='3.0,90.0').json() == {'radeclist': f'Error on line 1: {text}'}

    def test_too_many_lines_and_too_many_tasks(self, server: Server[AtlasServer], client: requests.Session, submit: Any) -> None:
        many = submit(radeclist='\n'.join(['1 2'] * 101))
        assert (many.status_code, many.json()) == (400, {'radeclist': 'Number of lines (101) is above the limit of 100'})
        server.service.configure(held=True)
        for _ in range(5):
            assert len(submit(radeclist='\n'.join(['1 2'] * 100), ra=None, dec=None).json()) == 100
        text = 'ERROR: You have too many queued tasks (500 queued + 1 requested > 500).'
        reply = submit()
        assert (reply.status_code, reply.json()) == (400, {'non_field_errors': text})
        other = requests.post(f'{server.url}/queue/', json=PLACE, auth=('jerry', 'look-down'), timeout=5)
        assert other.status_code == 201
        bad_line = submit(radeclist='no')
        assert 'Error on line 1' in bad_line.text

    def test_writes_are_throttled_and_the_last_second_is_singular(self, server: Server[AtlasServer], submit: Any) -> None:
        server.service.configure(writes_per_minute=2)
        assert [submit().status_code for _ in range(3)] == [201, 201, 429]
        server.service.advance(18)
        reply = submit()
        assert reply.headers['Retry-After'] == '42'
        assert reply.json() == {'detail': 'Request was throttled. Expected available in 42 seconds.'}
        server.service.advance(41)
        assert submit().json() == {'detail': 'Request was throttled. Expected available in 1 second.'}
        server.service.advance(1)
        assert submit().status_code == 201
        server.service.configure(reads_per_minute=1)
        assert [get(f'{server.url}/queue/1/').status_code for _ in range(2)] == [200, 429]

    def test_any_minute_holds_sixty_writes_also_across_two_minutes_of_the_clock(
        self, server: Server[AtlasServer], client: requests.Session, submit: Any
    ) -> None:
        url = submit().json()['url']
        server.service.set_clock('2026-11-21T08:00:50+00:00', frozen=True)
        codes = [client.delete(url, timeout=5).status_code] + [submit().status_code for _ in range(49)]
        server.service.advance(20)  # the next minute of the clock
        codes += [submit().status_code for _ in range(10)]
        assert codes == [204] + [201] * 59
        assert client.delete(url, timeout=5).headers['Retry-After'] == '40'
        other = requests.post(f'{server.url}/queue/', json=PLACE, auth=('jerry', 'look-down'), timeout=5)
        assert (other.status_code, get(url).status_code) == (201, 404)
        server.service.advance(40)
        assert [submit().status_code for _ in range(51)] == [201] * 50 + [429]


class TestQueue:
    def test_a_users_tasks_run_one_after_another_and_users_side_by_side(self, server: Server[AtlasServer], submit: Any) -> None:
        mine = [submit().json()['url'] for _ in range(3)]
        other = requests.post(f'{server.url}/queue/', json=PLACE, auth=('jerry', 'look-down'), timeout=5).json()['url']

        def states() -> list[tuple[bool, bool]]:
            found = [get(url).json() for url in [*mine, other]]
            return [(task['starttimestamp'] is not None, task['finished']) for task in found]

        assert states() == [(True, False), (False, False), (False, False), (True, False)]
        assert [get(url).json()['queuepos'] for url in mine] == [0, 2, 3]
        server.service.advance(61)
        assert states() == [(True, True), (True, False), (False, False), (True, True)]
        server.service.advance(120)
        assert [get(url).json()['runtime'] for url in mine] == [60.0] * 3
        assert get(mine[2]).json()['waittime'] == 120.0

    def test_a_late_start_and_an_attempt_that_failed(self, server: Server[AtlasServer], submit: Any) -> None:
        server.service.configure(start_delay=600)
        url = submit().json()['url']
        server.service.set_task(1, failures=1)
        server.service.advance(599)
        assert get(url).json()['starttimestamp'] is None
        server.service.advance(62)
        again = get(url).json()
        assert (again['attempt_count'], again['finished'], again['error_msg']) == (2, False, None)
        server.service.advance(60)
        assert get(url).json()['finished']

    def test_no_data_is_a_final_error_without_a_result(self, server: Server[AtlasServer], client: Any, submit: Any) -> None:
        server.service.configure(no_data=[[10.0, 10.0]])
        server.service.set_outcome(20, 20, 'Could not parse the result file')
        positions = [{'ra': 10, 'dec': 10}, {'ra': 5, 'dec': -89.5}, {'mjd_min': MJD + 9}, {'ra': 20, 'dec': 20}]
        urls = [submit(**fields).json()['url'] for fields in positions]
        server.service.advance(300)
        done = [get(url).json() for url in urls]
        assert [task['error_msg'] for task in done] == ['No data returned'] * 3 + ['Could not parse the result file']
        assert {(task['result_url'], task['pdfplot_url']) for task in done} == {(None, None)}
        assert all(task['finishtimestamp'] for task in done)

    def test_an_unchanged_task_is_304(self, server: Server[AtlasServer], submit: Any) -> None:
        url = submit().json()['url']
        tag = get(url).headers['ETag']
        same = get(url, headers={'If-None-Match': tag})
        assert (same.status_code, same.content) == (304, b'')
        server.service.advance(60)
        assert get(url, headers={'If-None-Match': tag}).status_code == 200

    def test_the_list_is_paged_by_cursors(self, server: Server[AtlasServer], client: requests.Session, submit: Any) -> None:
        for _ in range(15):
            submit()
        url, seen, pages = f'{server.url}/queue/', [], 0
        while url:
            page = client.get(url, timeout=5).json()
            assert (page['taskcount'], page['pagefirsttaskposition']) == (15 + pages, 6 * pages + pages)
            seen += [task['id'] for task in page['results']]
            url, pages, last = page['next'], pages + 1, page
            submit()  # a new task does not move the pages
        assert seen == list(range(15, 0, -1))
        before = client.get(last['previous'], timeout=5).json()
        assert [task['id'] for task in before['results']] == [9, 8, 7, 6, 5, 4]
        asked = {'pagesize': 2, 'started': 'true', 'ordering': 'timestamp'}
        assert [task['id'] for task in client.get(f'{server.url}/queue/', params=asked, timeout=5).json()['results']] == [1]
        places = client.get(f'{server.url}/queuepositions.json', timeout=5).json()['queuepositions']
        assert (places['1'], places['18']) == (0, 17)


class TestResults:
    def test_the_file_is_under_both_addresses_and_needs_no_login(self, server: Server[AtlasServer], submit: Any) -> None:
        task = submit(mjd_min=61200, mjd_max=61350).json()
        server.service.advance(60)
        result = get(task['url']).json()['result_url']
        assert result == f'{server.url}/static/results/job00001.txt'
        text = get(result).text
        assert get(f'{server.url}/queue/1/data.txt').text == text
        dates = [float(row['MJD']) for row in rows(text)]
        assert dates == sorted(dates)
        assert dates[0] >= 61200
        assert dates[-1] <= 61350
        assert len({row['Obs'] for row in rows(text)}) == len(dates) > 100

    def test_asking_again_brings_the_same_points_and_new_nights(self, server: Server[AtlasServer], submit: Any) -> None:
        def ask(begin: float) -> dict[str, dict[str, str]]:
            task = submit(mjd_min=begin).json()
            server.service.advance(60)
            return {row['Obs']: row for row in rows(get(f'{server.url}/queue/{task["id"]}/data.txt').text)}

        first = ask(61300)
        server.service.advance(days=12)
        later = ask(61340)
        assert later.keys() - first.keys()
        assert all(first[obs] == row for obs, row in later.items() if obs in first)
        server.service.configure(revision=1)
        again = ask(61300)
        assert set(again) >= set(first)
        assert again[next(iter(first))]['MJD'] == first[next(iter(first))]['MJD']
        assert sum(again[obs] != first[obs] for obs in first) > 0.9 * len(first)

    def test_a_file_of_the_real_form(self) -> None:
        for name in ('tom_base_test_atlas_fp_NGC1566.txt', 'job211831_ASASSN-21qj.txt'):
            head, *lines = samples(f'atlas/{name}').read_text().splitlines()
            assert HEADER.lstrip('#').split() == head.lstrip('#').split()
            if head.startswith('#'):
                assert head == HEADER
            for line in lines:
                words = line.split()
                assert ROW % tuple(word if place in (5, 18) else float(word) for place, word in enumerate(words)) == line + '\n'

    def test_a_big_file_is_made_fast(self) -> None:
        start = time.perf_counter()
        first = atlas_file(100_000, seed=3)
        assert time.perf_counter() - start < 10
        second = atlas_file(1000, seed=3, revision=1).decode()
        assert first.count(b'\n') == 100_001
        pairs = list(zip(rows('\n'.join(first.decode().splitlines()[:1001])), rows(second), strict=True))
        assert all(one['Obs'] == two['Obs'] for one, two in pairs)
        assert sum(one != two for one, two in pairs) > 900

    def test_the_options_of_the_file(self, server: Server[AtlasServer], submit: Any, tmp_path: Path) -> None:
        server.service.configure(pa_deg=True, last_newline=False)
        submit(mjd_min=61200)
        server.service.advance(60)
        text = get(f'{server.url}/queue/1/data.txt').text
        assert text.split('\n')[0].split()[-4:] == ['mag5sig', 'PA_DEG', 'Sky', 'Obs']
        assert not text.endswith('\n')
        assert rows(text)
        given = tmp_path / 'real.txt'
        given.write_text('###MJD m\n1 2\n')
        server.service.sky.set_file(PLACE['ra'], PLACE['dec'], given)
        assert get(f'{server.url}/queue/1/data.txt').text == '###MJD m\n1 2\n'

    def test_a_deleted_task_is_gone_in_its_own_way(
        self, server: Server[AtlasServer], client: requests.Session, submit: Any
    ) -> None:
        done = submit().json()['url']
        server.service.advance(60)
        waiting = submit().json()['url']
        for url in (done, waiting):
            reply = client.delete(url, timeout=5)
            assert (reply.status_code, reply.content) == (204, b'')
        assert (get(done).status_code, get(done).text) == (404, 'Page not found')
        assert (get(waiting).status_code, get(waiting).json()) == (404, {'detail': 'No Task matches the given query.'})

    def test_what_is_old_is_swept(self, server: Server[AtlasServer], submit: Any) -> None:
        url = submit().json()['url']
        server.service.advance(60)
        result = get(url).json()['result_url']
        server.service.configure(file_days=2)
        server.service.advance(days=3)
        assert (get(url).status_code, get(result).status_code) == (200, 404)
        server.service.advance(days=29)
        assert get(url).status_code == 404


class TestFaults:
    @pytest.mark.parametrize('kind', ['500', '503', '429', 'html', 'empty', 'malformed', 'reset-before'])
    def test_before_nothing_is_done_and_after_it_is(self, server: Server[AtlasServer], submit: Any, kind: str) -> None:
        after = 'reset-after' if kind == 'reset-before' else f'{kind}-after'
        for number, each in enumerate((kind, after)):
            server.service.fault('submit', each)
            try:
                assert submit().status_code in (500, 503, 429, 200)
            except requests.ConnectionError:
                assert kind == 'reset-before'
            assert [entry['lost'] for entry in server.service.log()] == [after] * number
        assert submit().status_code == 201

    def test_a_foreign_address_is_noticed_when_it_is_followed(self, server: Server[AtlasServer], submit: Any, client: Any) -> None:
        url = submit().json()['url']
        server.service.advance(60)
        with serve(ForeignHost()) as foreign:
            server.service.fault('status', 'foreign-url', origin=foreign.root)
            result = client.get(url, timeout=5).json()['result_url']
            assert result == f'{foreign.root}/forcedphot/static/results/job00001.txt'
            client.get(result, timeout=5)
            server.service.fault('result', 'redirect-foreign', origin='http://evil.example')
            moved = client.get(f'{server.url}/queue/1/data.txt', timeout=5, allow_redirects=False)
            assert moved.headers['Location'] == 'http://evil.example/forcedphot/queue/1/data.txt'
            assert [each['carried'] for each in foreign.service.strays] == [['authorization']]
        get(f'{server.url}/elsewhere', headers={'Host': 'evil.example'})
        assert {each['why'] for each in server.service.strays} == {'host', 'path'}

    def test_a_reply_that_hangs_trickles_or_never_ends(self, server: Server[AtlasServer], submit: Any, client: Any) -> None:
        server.service.fault('submit', 'hang-after')
        with pytest.raises(requests.ReadTimeout):
            submit(timeout=0.2)
        until(lambda: len(server.service.log()) == 1)
        server.service.fault('status', 'slow', seconds=30)
        with pytest.raises(requests.ConnectionError):
            client.get(f'{server.url}/queue/1/', timeout=0.1)
        server.service.fault('status', 'huge')
        with client.get(f'{server.url}/queue/1/', timeout=5, stream=True) as reply:
            assert len(next(reply.iter_content(1_000_000))) > 100_000
        server.service.fault('status', 'cut')
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            client.get(f'{server.url}/queue/1/', timeout=5)

    def test_a_fault_waits_for_its_turn_and_its_match(self, server: Server[AtlasServer], submit: Any) -> None:
        server.service.fault('submit', '503', count=2, match='M31', skip=1)
        codes = [submit(comment=name).status_code for name in ('T CrB', 'M31', 'M31', 'M31', 'M31')]
        assert codes == [201, 201, 503, 503, 201]
        server.service.fault('status', '503', match='T CrB')
        assert [get(f'{server.url}/queue/{number}/').status_code for number in (2, 1, 1)] == [200, 503, 200]
        server.service.fault('submit', '429', seconds=1)
        assert submit().json() == {'detail': 'Request was throttled. Expected available in 1 second.'}
        server.service.fault('submit', '429', text='{"non_field_errors": "no more"}')
        assert submit().json() == {'non_field_errors': 'no more'}
        with pytest.raises(ValueError, match='unknown fault'):
            server.service.fault('submit', 'meteor')
        with pytest.raises(ValueError, match='unknown verb'):
            server.service.fault('dance', '503')


class TestControl:
    def test_everything_is_steered_over_http(self, server: Server[AtlasServer], submit: Any) -> None:
        def tell(name: str, **said: Any) -> Any:
            return requests.post(f'{server.url}/control/{name}', json=said, timeout=5).json()

        assert tell('clock', now='2026-11-22T00:00:00Z', frozen=True) == {'now': '2026-11-22T00:00:00+00:00'}
        assert tell('clock', advance=60) == {'now': '2026-11-22T00:01:00+00:00'}
        assert tell('options', seconds_per_task=5)['seconds_per_task'] == 5
        assert 'unknown option' in tell('options', weather=5)['detail']
        tell('source', ra=PLACE['ra'], dec=PLACE['dec'], kind='constant', flux=5000)
        submit(mjd_min=61300)
        assert tell('task', id=1)['finished']
        flux = [float(row['uJy']) for row in rows(get(f'{server.url}/queue/1/data.txt').text) if row['F'] == 'o']
        assert 4500 < sorted(flux)[len(flux) // 2] < 6000
        assert tell('fault', verb='status', kind='503')['queued']['status'][0]['count'] == 1
        assert get(f'{server.url}/queue/1/').status_code == 503
        assert tell('fault', clear=True)['committed'] == {}
        counts = get(f'{server.root}/control/requests').json()
        assert counts['replies'] == {'submit 201': 1, 'result 200': 1, 'status 503': 1}
        assert [verb for verb, _, _ in counts['times']['1']] == ['result', 'status']
        assert len(get(f'{server.url}/control/log').json()) == 1
        tell('reset')
        assert get(f'{server.url}/control/log?since=0').json() == []

    def test_nothing_is_lost_when_many_ask_at_once(self, server: Server[AtlasServer]) -> None:
        server.service.configure(writes_per_minute=None)

        def work() -> None:
            with requests.Session() as session:
                session.headers['Authorization'] = f'Token {server.service.token}'
                for _ in range(25):
                    session.post(f'{server.url}/queue/', json=PLACE, timeout=10)

        workers = [threading.Thread(target=work) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        log = server.service.log()
        assert [entry['id'] for entry in log] == list(range(1, 201))
        assert sorted(entry['post'] for entry in log) == list(range(1, 201))

    def test_the_queue_outlives_the_process(self, tmp_path: Path) -> None:
        with serve_atlas(AtlasServer(tmp_path)) as first:
            head = {'Authorization': f'Token {first.service.token}'}
            requests.post(f'{first.url}/queue/', json=PLACE, headers=head, timeout=5)
            first.service.close()
        with serve_atlas(AtlasServer(tmp_path, held=True)) as second:
            assert get(f'{second.url}/queue/1/').json()['ra'] == PLACE['ra']
            assert [entry['id'] for entry in second.service.log()] == [1]
            second.service.close()


class TestEnds:
    @pytest.mark.parametrize('way', ['position', 'task'])
    def test_a_lost_result_is_finished_without_a_file_and_without_a_word(
        self, server: Server[AtlasServer], submit: Any, way: str
    ) -> None:
        if way == 'position':
            server.service.set_outcome(PLACE['ra'], PLACE['dec'], lost=True)
        url = submit().json()['url']
        if way == 'task':
            server.service.set_task(1, lost=True)
        server.service.advance(61)
        task = get(url).json()
        assert (task['finished'], task['result_url'], task['error_msg']) == (True, None, None)
        assert task['finishtimestamp'] is not None
        assert get(f'{server.url}/static/results/job00001.txt').status_code == 404

    def test_no_data_is_said(self, server: Server[AtlasServer], submit: Any) -> None:
        server.service.set_outcome(PLACE['ra'], PLACE['dec'])
        url = submit().json()['url']
        server.service.advance(61)
        assert (get(url).json()['error_msg'], get(url).json()['result_url']) == ('No data returned', None)

    def test_a_callback_is_sent_once_and_its_address_is_the_owners(
        self, server: Server[AtlasServer], client: requests.Session, submit: Any
    ) -> None:
        told: list[tuple[str, dict[str, Any]]] = []
        server.service.on_callback = lambda url, payload: told.append((url, payload))
        address = 'https://tom.example.org/told/?key=1'
        url = submit(callback_url=address).json()['url']
        submit(mjd_min=61000)
        assert (client.get(url, timeout=5).json()['callback_url'], get(url).json()['callback_url']) == (address, None)
        assert told == []
        server.service.advance(200)
        server.service.settle()
        get(url)
        payload = {'task_id': 1, 'task_url': url, 'request_type': 'FP', 'finishtimestamp': '2026-11-21T08:01:00+00:00'}
        assert told == [(address, payload | {'error_msg': None, 'success': True})]
        assert requests.get(f'{server.url}/control/callbacks', timeout=5).json()[0]['payload'] == told[0][1]

    @pytest.mark.parametrize(('name', 'found'), [('(433)', True), ('K22W01O', True), ('00433', True), ('Eros', False)])
    def test_moving_objects_are_found_by_number_or_packed_designation(
        self, server: Server[AtlasServer], submit: Any, name: str, found: bool
    ) -> None:
        server.service.configure(strict_names=True)
        [task] = submit(radeclist=f'mpc {name}', ra=None, dec=None).json()
        server.service.advance(61)
        assert (get(task['url']).json()['error_msg'] is None) == found
