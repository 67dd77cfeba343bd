"""The simulated ZTF forced photometry service behaves as the real one does."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from simulators.lightcurves import Sky
from simulators.server import Server
from simulators.zfps import CGI, NO_FILE, PUBLIC, ZfpsServer, serve_zfps
from simulators.ztf_files import FIT, FORMS, SNR_FACTOR, column_names, header, printed, ztf_light_curve

MORNING = datetime(2026, 11, 21, 8, 30, tzinfo=timezone.utc)
MINE = {'email': 'tom@example.org', 'userpass': 'look-up'}
PLACE = {'ra': 210.774, 'dec': 54.274, 'jdstart': 2461300.5, 'jdend': 2461400.5}
FILES = ['batchfp_req0001718201_lc.txt', 'batchfp_req0002064117_lc.txt', 'forcedphotometry_req00381106_lc.txt']
FILES += ['forcedphotometry_req00381129_lc.txt', 'forcedphotometry_req00381131_lc.txt', 'forcedphotometry_req00381145_lc.txt']


def samples(name: str) -> Path:
    folder = os.environ.get('TOM_FOLLOWUP_SAMPLES') or Path(__file__).parents[2].parent / 'shared' / 'samples'
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(f'the sample {name} is not here (TOM_FOLLOWUP_SAMPLES)')
    return path


@pytest.fixture
def server() -> Iterator[Server[ZfpsServer]]:
    with serve_zfps(ZfpsServer(seed=1)) as running:
        running.service.set_clock(MORNING, frozen=True)
        yield running


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = PUBLIC
        yield session


@pytest.fixture
def single(server: Server[ZfpsServer], client: requests.Session) -> Callable[..., requests.Response]:
    def ask(**fields: Any) -> requests.Response:
        return client.get(f'{server.url}{CGI}requestForcedPhotometry.cgi', params=MINE | PLACE | fields, timeout=5)

    return ask


@pytest.fixture
def batch(server: Server[ZfpsServer], client: requests.Session) -> Callable[..., requests.Response]:
    def ask(ra: Any, dec: list[float]) -> requests.Response:
        body = MINE | {'ra': json.dumps(ra), 'dec': json.dumps(dec), 'jdstart': '2461300.5', 'jdend': '2461400.5'}
        return client.post(f'{server.url}{CGI}batchfp.py/submit', data=body, timeout=5)

    return ask


@pytest.fixture
def status(server: Server[ZfpsServer], client: requests.Session) -> Callable[..., requests.Response]:
    def ask(kind: str = '', option: str = 'All recent jobs', **fields: Any) -> requests.Response:
        asked = MINE | {'option': option, 'action': 'Query Database'} | fields
        return client.get(f'{server.url}{CGI}get{kind}ForcedPhotometryRequests.cgi', params=asked, timeout=5)

    return ask


def table(reply: requests.Response) -> list[dict[str, str]]:
    names = [name.strip() for name in re.findall('<th>(.*?)</th>', reply.text)]
    lines = re.findall('<tr>(<td>.*?)</tr>', reply.text)
    cells = [[cell.strip() for cell in re.findall('<td>(.*?)</td>', line)] for line in lines]
    return [dict(zip(names, line, strict=True)) for line in cells]


def rows(text: str) -> list[dict[str, str]]:
    lines = text.splitlines()
    place = next(place for place, line in enumerate(lines) if not line.startswith('#'))
    assert lines[place + 1] == '#'
    names = lines[place].strip().split(', ')
    return [dict(zip(names, line.split(), strict=True)) for line in lines[place + 2 :] if not line.startswith('#')]


class TestRequests:
    def test_the_page_of_success_is_the_recorded_one(self, server: Server[ZfpsServer], single: Any) -> None:
        server.service.users['user@example.com'] = 'x'
        when = {'jdstart': 2460024.378186, 'jdend': 2460084.378186}
        reply = single(ra=123.45, dec=67.89, email='user@example.com', userpass='x', **when)
        assert reply.text == samples('replies/zfps_requestForcedPhotometry_200.html').read_text()

    def test_every_address_asks_for_the_public_login(self, server: Server[ZfpsServer]) -> None:
        for path in (f'{CGI}requestForcedPhotometry.cgi', f'{CGI}batchfp.py/submit', '/ztf/ops/forcedphot/x_lc.txt'):
            reply = requests.get(server.url + path, params=MINE | PLACE, timeout=5)
            assert (reply.status_code, reply.headers['WWW-Authenticate'][:5]) == (401, 'Basic')
        assert server.service.log() == []

    @pytest.mark.parametrize('fields', [{'userpass': 'no'}, {'ra': 'x'}, {'ra': ''}, {'dec': 95}, {'jdend': 5}, {'ra': 'nan'}])
    def test_what_is_wrong_is_said_with_status_200(self, server: Server[ZfpsServer], single: Any, fields: dict[str, Any]) -> None:
        reply = single(**fields)
        assert (reply.status_code, 'Error' in reply.text, server.service.log()) == (200, True, [])

    def test_a_single_request_becomes_a_row_of_eleven_cells(self, server: Server[ZfpsServer], single: Any, status: Any) -> None:
        assert 'Zero records returned' in status().text
        single()
        single()
        assert [entry['id'] for entry in server.service.log()] == [15274, 15275]
        assert 'Zero records returned' in status().text
        server.service.advance(hours=1)
        waiting = table(status())
        assert list(waiting[0]) == [
            *('reqid', 'ra', 'dec', 'startJD', 'endJD', 'created'),
            *('started', 'ended', 'exitcode', 'cksum', 'lightcurve'),
        ]
        assert (waiting[0]['ra'], waiting[0]['ended'], waiting[0]['lightcurve']) == ('210.774000', '', '')
        assert len(table(status(option='Pending jobs'))) == 2
        server.service.configure(spelling='jdstart')
        server.service.advance(hours=2)
        done = table(status())[0]
        assert (done['exitcode'], float(done['jdstart'])) == ('0', 2461300.5)
        shape = r'/ztf/ops/forcedphot/lc/0/15/req15274/cksum[0-9a-f]{32}/forcedphotometry_req00015274_lc\.txt'
        assert re.fullmatch(shape, done['lightcurve'])
        assert 'Zero records returned' in status(option='Pending jobs').text

    def test_the_page_is_refreshed_on_the_hour_only(self, server: Server[ZfpsServer], single: Any, status: Any) -> None:
        single()
        server.service.advance(29 * 60)
        assert 'Zero records returned' in status().text
        server.service.advance(60)
        assert len(table(status())) == 1
        server.service.configure(refresh=0)
        single(ra=1)
        assert len(table(status())) == 2
        server.service.advance(days=31)
        assert 'Zero records returned' in status().text

    def test_a_batch_is_one_job_a_position(self, server: Server[ZfpsServer], batch: Any, status: Any, client: Any) -> None:
        assert batch([10.1234567, 20.5], [5.5, -60.0]).status_code == 200
        assert [(entry['index'], entry['post'], entry['mode']) for entry in server.service.log()] == [
            (0, 1, 'batch'),
            (1, 1, 'batch'),
        ]
        server.service.advance(hours=3)
        found = table(status('Batch'))
        assert [(row['ra'], row['exitcode']) for row in found] == [('10.1234567', '0'), ('20.5000000', '63')]
        assert found[0]['lightcurve'].endswith('/batchfp_req0000015274_lc.txt')
        assert found[1]['lightcurve'] == ''
        assert 'Zero records returned' in status().text
        text = client.get(server.url + found[0]['lightcurve'], timeout=5).text
        assert 'v5.9' in text
        assert rows(text)[0]['sindex'] == '0'
        log = client.get(server.url + found[0]['lightcurve'].replace('_lc.txt', '_log.txt'), timeout=5)
        assert 'exitcode = 0' in log.text

    def test_limits(self, server: Server[ZfpsServer], single: Any, batch: Any) -> None:
        server.service.configure(most_pending=2)
        assert ['Error' in single().text for _ in range(3)] == [False, False, True]
        assert 'Error' in batch([1.0] * 1501, [1.0] * 1501).text
        assert 'Error' in batch([1.0], [1.0, 2.0]).text
        assert 'Error' in batch('no list', [1.0]).text
        assert len(server.service.log()) == 2

    @pytest.mark.parametrize('code', [52, 56, 62, 63, 64, 65, 255])
    def test_exit_codes(self, server: Server[ZfpsServer], single: Any, status: Any, code: int) -> None:
        server.service.set_outcome(PLACE['ra'], PLACE['dec'], code)
        single()
        server.service.advance(hours=3)
        row = table(status())[0]
        assert (row['exitcode'], bool(row['ended']), bool(row['lightcurve'])) == (str(code), True, code not in NO_FILE)

    def test_dates_before_the_survey(self, server: Server[ZfpsServer], single: Any, status: Any) -> None:
        single(jdstart=2450000.5)
        single(jdstart=2450000.5, jdend=2458000.5)
        server.service.advance(hours=3)
        assert [row['exitcode'] for row in table(status())] == ['62', '65']


class TestFaults:
    def test_a_busy_database_and_an_error_page(self, server: Server[ZfpsServer], single: Any, status: Any) -> None:
        server.service.configure(busy=1)
        busy = status()
        assert (busy.status_code, busy.text) == (503, 'Error: database is busy; try again a minute later.')
        assert status().status_code == 200
        server.service.fault('submit', 'html', text='Error in request')
        assert 'Error in request' in single().text
        server.service.fault('submit', 'reset-after')
        with pytest.raises(requests.ConnectionError):
            single()
        assert [entry['lost'] for entry in server.service.log()] == ['reset-after']

    def test_a_light_curve_at_another_origin(self, server: Server[ZfpsServer], single: Any, status: Any) -> None:
        single()
        server.service.advance(hours=3)
        server.service.fault('status', 'foreign-url')
        assert table(status())[0]['lightcurve'].startswith('http://evil.example/ztf/ops/')

    def test_a_job_is_ended_by_hand(self, server: Server[ZfpsServer], single: Any, status: Any) -> None:
        server.service.configure(refresh=0, held=True)
        single()
        server.service.advance(days=2)
        assert table(status())[0]['ended'] == ''
        told = requests.post(f'{server.url}/control/finish', json={'id': 15274}, timeout=5)
        assert told.status_code == 200
        assert table(status())[0]['ended']

    def test_the_jobs_outlive_the_process(self, tmp_path: Path) -> None:
        for expected in (0, 1):
            service = ZfpsServer(tmp_path)
            assert len(service.jobs) == len(service.log()) == expected
            with serve_zfps(service) as running:
                url = f'{running.url}{CGI}requestForcedPhotometry.cgi'
                requests.get(url, params=MINE | PLACE, auth=PUBLIC, timeout=5)
            service.close()


class TestFiles:
    @pytest.mark.parametrize('name', FILES)
    def test_the_header_and_the_digits_are_the_real_ones(self, name: str) -> None:
        form = 'batch' if 'batch' in name else 'v3.8'
        lines = samples(f'ztf/{name}').read_text().splitlines()
        mine = header(form, 1.5, -2.5, 2458194.5, 2460508.5, MORNING)
        differ = [place for place, (one, two) in enumerate(zip(mine, lines, strict=False)) if one != two]
        assert set(differ) <= {1, 3, 4, 5, 6}  # the date and what was asked
        assert [mine[place].split('=')[0] for place in differ[1:]] == [lines[place].split('=')[0] for place in differ[1:]]
        wrong: Counter[str] = Counter()
        for line in lines[len(mine) : -1][:500]:
            for column, word in zip(column_names(form), line.split(), strict=True):
                write = printed(column, form)
                if write is not str and word not in ('null', '-99999.000000'):
                    wrong[column] += write(float(word)) != word
        assert sum(wrong.values()) == 0

    @pytest.mark.parametrize(('form', 'first', 'count'), [('v3.8', 'index', 40), ('batch', 'sindex', 40), ('status', 'index', 41)])
    def test_the_three_forms(self, form: str, first: str, count: int) -> None:
        assert form in FORMS
        sky = Sky(1)
        text = ztf_light_curve(sky, 10.0, 20.0, 2459000.5, 2460000.5, MORNING, form).decode()
        found = rows(text)
        assert (next(iter(found[0])), len(found[0])) == (first, count)
        assert ('diffimgstatus' in found[0]) == (form == 'status')
        missing = {row['forcediffimflux'] for row in found} & {'null', '-99999.000000'}
        assert missing == {'-99999.000000' if form == 'batch' else 'null'}
        for row in found:
            assert len({row[name] in ('null', '-99999.000000') for name in FIT}) == 1
            assert (row['nearestrefmag'] == 'null') == ('57' in row['procstatus'])
            if row['forcediffimflux'] not in missing:
                ratio = float(row['forcediffimflux']) / float(row['forcediffimfluxunc'])
                assert float(row['forcediffimsnr']) == pytest.approx(SNR_FACTOR * ratio, rel=1e-3, abs=1e-4)
        keys = {(row['jd'], row['filter'], row['field'], row['ccdid'], row['qid']) for row in found}
        assert len(keys) == len(found)

    def test_the_range_is_kept_and_points_stay(self) -> None:
        sky = Sky(1)

        def ask(begin: float, end: float, **more: Any) -> dict[str, dict[str, str]]:
            found = rows(ztf_light_curve(sky, 10.0, 20.0, begin, end, MORNING, **more).decode())
            return {row['jd']: {name: row[name] for name in row if name != 'index'} for row in found}

        wide, narrow = ask(2459000.5, 2459400.5), ask(2459100.5, 2459200.5)
        assert all(2459100.5 <= float(day) <= 2459200.5 for day in narrow)
        assert narrow == {day: row for day, row in wide.items() if 2459100.5 <= float(day) <= 2459200.5}
        again = ask(2459100.5, 2459200.5, revision=1)
        assert again.keys() == narrow.keys()
        assert again != narrow
        assert set(ask(2459000.5, 2459400.5, until=2459050.0)) < set(wide)
