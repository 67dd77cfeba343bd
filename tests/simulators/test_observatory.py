"""The simulated observatory behaves as a real portal does, and does what a test tells it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from simulators.faults import AFTER, BEFORE
from simulators.observatory import Observatory
from simulators.server import Server, serve

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
TOKEN = {'Authorization': 'Token example-token'}
OTHER = {'Authorization': 'Token other-token'}
SIMULATORS = Path(__file__).parents[2] / 'example_tom' / 'simulators'


def iso(hours: float) -> str:
    return (NOON + timedelta(hours=hours)).isoformat()


def asked(**changes: Any) -> dict[str, Any]:
    usual = {'name': 'SN 2011fe', 'target': 'SN 2011fe', 'ra': 210.77, 'dec': 54.27, 'filter': 'r'}
    return usual | {'exposure_time': 60, 'exposure_count': 2, 'start': iso(8), 'end': iso(16)} | changes


@pytest.fixture
def server() -> Iterator[Server[Observatory]]:
    with serve(Observatory(seed=1)) as running:
        running.service.set_clock(NOON, frozen=True)
        yield running


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers.update(TOKEN)
        yield session


@pytest.fixture
def submit(server: Server[Observatory], client: requests.Session) -> Callable[..., requests.Response]:
    def post(timeout: float = 5, **changes: Any) -> requests.Response:
        return client.post(f'{server.url}/api/observations/', json=asked(**changes), timeout=timeout)

    return post


def state(server: Server[Observatory], key: Any) -> str:
    reply = requests.get(f'{server.url}/api/observations/{key}/', headers=TOKEN, timeout=5).json()
    return str(reply['state'])


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not reached():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.01)


class TestPortal:
    def test_the_same_request_twice_is_booked_twice(self, server: Server[Observatory], submit: Any) -> None:
        first, second = submit(), submit()
        assert (first.status_code, first.json()['state']) == (201, 'PENDING')
        assert first.json()['id'] != second.json()['id']
        assert [entry['beside'] for entry in server.service.log()] == [[], [first.json()['id']]]

    @pytest.mark.parametrize(
        ('changes', 'field'),
        [
            ({'end': iso(-1), 'start': iso(-9)}, 'end'),
            ({'end': iso(7)}, 'end'),
            ({'end': 'tomorrow'}, 'end'),
            ({'start': None}, 'start'),
            ({'exposure_time': 0}, 'exposure_time'),
            ({'exposure_time': float('nan')}, 'exposure_time'),
            ({'exposure_time': 7 * 3600}, 'exposure_time'),
            ({'exposure_count': -1}, 'exposure_count'),
            ({'filter': 'ultraviolet'}, 'filter'),
            ({'ra': None}, 'ra'),
            ({'dec': 91}, 'dec'),
            ({'name': ''}, 'name'),
            ({'name': 51 * 'x'}, 'name'),
            ({'target': 5}, 'target'),
        ],
    )
    def test_a_wrong_field_is_named_and_nothing_is_booked(
        self, server: Server[Observatory], client: requests.Session, changes: dict[str, Any], field: str
    ) -> None:
        body = json.dumps(asked(**changes))
        reply = client.post(f'{server.url}/api/observations/', data=body, timeout=5)
        assert (reply.status_code, list(reply.json())) == (400, [field])
        checked = client.post(f'{server.url}/api/observations/validate/', data=body, timeout=5)
        assert (checked.status_code, checked.json()) == (200, {'errors': reply.json()})
        assert server.service.log() == []

    def test_what_would_be_accepted_validates_without_a_booking(
        self, server: Server[Observatory], client: requests.Session
    ) -> None:
        reply = client.post(f'{server.url}/api/observations/validate/', json=asked(), timeout=5)
        assert reply.json() == {'errors': {}}
        assert server.service.log() == []

    def test_a_bad_token_is_403_and_a_strangers_observation_404(self, server: Server[Observatory], submit: Any) -> None:
        url = f'{server.url}/api/observations/{submit().json()["id"]}/'
        tokens: list[dict[str, str]] = [{}, {'Authorization': 'Token wrong'}, OTHER, TOKEN]
        codes = [requests.get(url, headers=headers, timeout=5).status_code for headers in tokens]
        assert codes == [403, 403, 404, 200]
        assert requests.post(f'{url}cancel/', headers=OTHER, timeout=5).status_code == 404
        assert requests.get(f'{server.url}/api/observations/no/', headers=TOKEN, timeout=5).status_code == 404
        assert requests.get(f'{server.url}/api/observations/?ids=1', headers=OTHER, timeout=5).json()['results'] == []

    def test_a_time_without_an_offset_is_utc(self, submit: Any) -> None:
        before_start = submit(start='2026-11-21T20:00', end='2026-11-22T04:00:00+08:00')
        assert list(before_start.json()) == ['end']
        window = submit(start='2026-11-21T20:00', end='2026-11-22T13:00:00+08:00').json()
        assert (window['start'], window['end']) == ('2026-11-21T20:00:00Z', '2026-11-22T05:00:00Z')

    def test_many_states_in_one_call(self, server: Server[Observatory], client: requests.Session, submit: Any) -> None:
        keys = [submit(target=f'T{number}').json()['id'] for number in range(5)]
        found = client.get(f'{server.url}/api/observations/?ids={keys[1]},{keys[3]},999,x', timeout=5).json()
        assert [each['id'] for each in found['results']] == [keys[1], keys[3]]
        assert server.service.counts()['requests'] == {'submit': 5, 'status': 1}

    def test_a_name_is_looked_up_by_a_part_of_it_and_paged(
        self, server: Server[Observatory], client: requests.Session, submit: Any
    ) -> None:
        submit(name='SN 2011fe ~old')
        server.service.advance(60)
        keys = [submit(name=f'SN 2011fe ~k{number % 2}').json()['id'] for number in range(6)]
        url = f'{server.url}/api/observations/'
        assert client.get(url, params={'name': '~k3'}, timeout=5).json()['count'] == 0
        recent = client.get(url, params={'name': '~', 'created_after': iso(0)}, timeout=5).json()
        assert (recent['count'], recent['next']) == (6, None)
        page = client.get(url, params={'name': '~k1', 'limit': 2}, timeout=5).json()
        following = client.get(page['next'], timeout=5).json()
        ids = [each['id'] for each in page['results'] + following['results']]
        assert (page['count'], ids, following['next']) == (3, sorted(keys[1::2], reverse=True), None)
        assert client.get(url, params={'created_after': 'soon'}, timeout=5).status_code == 400

    def test_cancelling_ends_what_is_open_and_leaves_what_is_done(
        self, server: Server[Observatory], client: requests.Session, submit: Any
    ) -> None:
        open_one, done = submit().json()['id'], submit().json()['id']
        server.service.set_state(done, 'COMPLETED')
        url = f'{server.url}/api/observations'
        states = [client.post(f'{url}/{key}/cancel/', timeout=5).json()['state'] for key in (open_one, done)]
        assert states == ['CANCELED', 'COMPLETED']

    def test_nonsense_is_refused(self, server: Server[Observatory], client: requests.Session) -> None:
        assert client.post(f'{server.url}/api/observations/', data='{', timeout=5).status_code == 400
        assert client.get(f'{server.url}/elsewhere/', timeout=5).status_code == 404
        assert client.post(f'{server.url}/control/state', json={'id': 9}, timeout=5).status_code == 400
        assert client.post(f'{server.url}/control/nothing', json={}, timeout=5).status_code == 404


class TestSky:
    def test_an_observation_happens_within_its_window(self, server: Server[Observatory], submit: Any) -> None:
        key = submit().json()['id']
        seen: list[str] = []
        for _ in range(20 * 30):
            now = state(server, key)
            if now not in seen:
                seen.append(now)
            server.service.advance(120)
        assert seen == ['PENDING', 'IN_PROGRESS', 'COMPLETED']
        done = requests.get(f'{server.url}/api/observations/{key}/', headers=TOKEN, timeout=5).json()
        start, end = (datetime.fromisoformat(done[f'scheduled_{part}'].replace('Z', '+00:00')) for part in ('start', 'end'))
        assert NOON + timedelta(hours=8) <= start < end <= NOON + timedelta(hours=16)
        assert end - start == timedelta(minutes=2)

    def test_clouds_let_the_window_expire_and_a_long_one_wait(self, server: Server[Observatory], submit: Any) -> None:
        server.service.set_sky(nights={'2026-11-21': 'cloudy', '2026-11-22': 'clear'})
        short, long = submit().json()['id'], submit(target='M31', end=iso(64)).json()['id']
        server.service.advance(hours=70)
        assert (state(server, short), state(server, long)) == ('WINDOW_EXPIRED', 'COMPLETED')
        assert server.service.book.get(long).slot[:10] in ('2026-11-22', '2026-11-23')

    def test_the_outcome_does_not_depend_on_the_order_of_questions(self) -> None:
        def outcomes(order: list[int]) -> list[str]:
            observatory = Observatory(seed=5)
            observatory.set_clock(NOON, frozen=True)
            observatory.set_sky(clouds=0.4, failures=0.3)
            for number in range(40):
                day = 24 * (number % 10)
                observatory.submit(asked(target=f'T{number}', start=iso(8 + day), end=iso(16 + day)), 'tom')
            observatory.advance(hours=300)
            for key in order:
                observatory.book.get(key)
            found = [entry['state'] for entry in observatory.log()]
            observatory.book.close()
            return found

        forward = outcomes(list(range(1, 41)))
        assert forward == outcomes(list(range(40, 0, -1)))
        assert set(forward) == {'COMPLETED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED'}

    @pytest.mark.parametrize('planned', ['COMPLETED', 'FAILURE_LIMIT_REACHED', 'WINDOW_EXPIRED', 'NOT_ATTEMPTED', 'PENDING'])
    def test_a_planned_outcome_comes_when_its_time_comes(self, server: Server[Observatory], submit: Any, planned: str) -> None:
        server.service.set_sky(clouds=1)
        server.service.plan(planned, count=1)
        key, other = submit().json()['id'], submit(target='M31').json()['id']
        assert state(server, key) == 'PENDING'
        server.service.advance(hours=24)
        assert (state(server, key), state(server, other)) == (planned, 'WINDOW_EXPIRED')

    def test_terminal_is_not_final(self, server: Server[Observatory], submit: Any) -> None:
        key = submit().json()['id']
        url = f'{server.url}/control/state'
        for changed in ('WINDOW_EXPIRED', 'COMPLETED', 'PENDING', 'FAILURE_LIMIT_REACHED', 'COMPLETED'):
            requests.post(url, json={'id': key, 'state': changed}, timeout=5).raise_for_status()
            server.service.advance(hours=30)
            assert state(server, key) == changed


class TestFaults:
    @pytest.mark.parametrize(
        'kind',
        [kind for kind in BEFORE + Observatory.kinds + AFTER if kind not in ('hang', 'hang-after', 'late', 'redirect-foreign')],
    )
    def test_a_fault_is_committed_once_and_books_as_it_says(self, server: Server[Observatory], submit: Any, kind: str) -> None:
        submit(target='before')
        server.service.fault('submit', kind)
        usable = False
        try:
            reply = submit()
            usable = reply.status_code == 201 and reply.json()['id'] not in (None, 1)
        except (requests.ConnectionError, ValueError):
            pass
        booked = server.service.log()[1:]
        assert not usable
        assert [entry['lost'] for entry in booked] == ([kind] if kind in AFTER else [])
        assert submit(target='after').status_code == 201

    def test_a_fault_strikes_only_what_it_is_meant_for(
        self, server: Server[Observatory], client: requests.Session, submit: Any
    ) -> None:
        server.service.fault('submit', '503', count=2, match='M31')
        codes = [submit(name=name).status_code for name in ('T CrB', 'M31 nova', 'M31 nova', 'M31 nova')]
        assert codes == [201, 503, 503, 201]
        server.service.fault('submit', 'refuse', errors={'ra': ['Never rises.']})
        assert submit().json() == {'ra': ['Never rises.']}
        for verb, path in (('status', '1/'), ('list', '?name=x')):
            server.service.fault(verb, '403')
            assert client.get(f'{server.url}/api/observations/{path}', timeout=5).status_code == 403
        with pytest.raises(ValueError, match='unknown fault'):
            server.service.fault('submit', 'meteor')
        with pytest.raises(ValueError, match='unknown verb'):
            server.service.fault('dance', '503')

    @pytest.mark.parametrize(('kind', 'booked'), [('hang', 0), ('hang-after', 1), ('late', 0)])
    def test_a_client_that_gives_up_leaves_no_thread_behind(
        self, server: Server[Observatory], submit: Any, kind: str, booked: int
    ) -> None:
        server.service.fault('submit', kind)
        with pytest.raises(requests.ReadTimeout):
            submit(timeout=0.2)
        assert len(server.service.log()) == booked
        if kind == 'late':
            server.service.release()
            until(lambda: len(server.service.log()) == 1)
        until(lambda: server.service.faults.waiting == 0)

    @pytest.mark.parametrize('kind', ['hang-after', 'late'])
    def test_a_late_reply_is_given_when_released(self, server: Server[Observatory], submit: Any, kind: str) -> None:
        server.service.fault('submit', kind)
        replies: list[requests.Response] = []
        waiting = threading.Thread(target=lambda: replies.append(submit()))
        waiting.start()
        until(lambda: server.service.faults.waiting == 1)
        assert not replies
        server.service.release()
        waiting.join(5)
        assert replies[0].status_code == 201

    def test_latency_is_felt(self, server: Server[Observatory], submit: Any) -> None:
        server.service.latency['submit'] = 0.2
        start = time.monotonic()
        submit()
        assert time.monotonic() - start >= 0.2


class TestServer:
    def test_nothing_is_lost_when_many_ask_at_once(self, server: Server[Observatory]) -> None:
        ids: list[int] = []

        def work(number: int) -> None:
            with requests.Session() as session:
                session.headers.update(TOKEN)
                for turn in range(40):
                    body = asked(target=f'T{number}', name=f'{number}/{turn}')
                    ids.append(session.post(f'{server.url}/api/observations/', json=body, timeout=10).json()['id'])

        workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        log = server.service.log()
        assert sorted(ids) == [entry['id'] for entry in log] == list(range(1, 321))
        assert len({entry['name'] for entry in log}) == 320
        counts = server.service.counts()
        assert counts['replies'] == {'submit 201': 320}
        assert 2 <= counts['most_at_once']['submit'] <= 8

    def test_the_book_outlives_the_process(self, tmp_path: Path) -> None:
        first = Observatory(tmp_path)
        first.set_clock(NOON, frozen=True)
        key = first.submit(asked(), 'tom')[1]['id']
        first.set_state(key, 'COMPLETED')
        first.book.close()
        second = Observatory(tmp_path)
        assert [(entry['id'], entry['state']) for entry in second.log()] == [(key, 'COMPLETED')]
        second.reset()
        second.book.close()
        third = Observatory(tmp_path)
        assert third.log() == []
        third.book.close()

    def test_it_runs_as_a_process_of_its_own_steered_over_http(self, tmp_path: Path) -> None:
        command = [sys.executable, str(SIMULATORS), '--observatory', '0', '--storage', str(tmp_path), '--seed', '3', '--attached']
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout
            url = json.loads(process.stdout.readline())['observatory']['url']

            def tell(name: str, **said: Any) -> Any:
                return requests.post(f'{url}/control/{name}', json=said, timeout=5).json()

            assert tell('clock', now=iso(0), frozen=True) == {'now': iso(0)}
            assert requests.post(f'{url}/api/observations/', json=asked(), headers=TOKEN, timeout=5).status_code == 201
            tell('sky', clouds=0, failures=0, nights={'2026-11-21': 'cloudy'})
            tell('latency', verb='status', seconds=0.01)
            tell('plan', id=1, state='COMPLETED')
            assert tell('fault', verb='status', kind='503')['queued']['status'][0]['count'] == 1
            assert requests.get(f'{url}/api/observations/1/', headers=TOKEN, timeout=5).status_code == 503
            assert tell('clock', advance=86400) == {'now': iso(24)}
            log = requests.get(f'{url}/control/log', timeout=5).json()
            assert [(entry['id'], entry['state'], entry['fields']['ra']) for entry in log] == [(1, 'COMPLETED', 210.77)]
            assert requests.get(f'{url}/control/log?since=1', timeout=5).json() == []
            requests_seen = requests.get(f'{url}/control/requests', timeout=5).json()
            assert requests_seen['replies'] == {'submit 201': 1, 'status 503': 1}
            tell('release')
            tell('clock', real=True)
            tell('reset')
            assert requests.get(f'{url}/control/log', timeout=5).json() == []
            process.stdin.close()
            assert process.wait(5) == 0
