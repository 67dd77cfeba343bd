"""The simulated Pan-STARRS1 catalogs API behaves as MAST's does."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from simulators.mast import MastServer, serve_mast
from simulators.mast_catalog import TABLES
from simulators.server import Server

PLACE = {'ra': 229.9620403, 'dec': 34.8442757}
SIMULATORS = Path(__file__).parents[2] / 'example_tom' / 'simulators'
COLUMNS = '[objID,detectID,filterID,obsTime,ra,dec,psfFlux,psfFluxErr,psfQfPerfect]'


def samples(name: str) -> Path:
    folder = os.environ.get('TOM_FOLLOWUP_SAMPLES') or Path(__file__).parents[2].parent / 'shared' / 'samples'
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(f'the sample {name} is not here (TOM_FOLLOWUP_SAMPLES)')
    return path


@pytest.fixture
def server() -> Iterator[Server[MastServer]]:
    with serve_mast(MastServer(seed=1)) as running:
        yield running


@pytest.fixture
def ask(server: Server[MastServer]) -> Callable[..., requests.Response]:
    def get(table: str, **asked: Any) -> requests.Response:
        dotted = {name.replace('__', '.'): value for name, value in asked.items()}
        return requests.get(f'{server.url}/dr2/{table}', params=dotted, timeout=5)

    return get


def rows(reply: requests.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reply.text, newline='')))


class TestTables:
    @pytest.mark.parametrize('table', list(TABLES))
    def test_the_columns_are_the_real_ones(self, table: str) -> None:
        real = json.loads(samples('ps1/ps1_metadata_all_tables_from_R_package.json').read_text())
        assert [(column['name'], column['type']) for column in real[f'{table}_dr2']] == list(TABLES[table].items())

    def test_the_metadata_has_the_keys_of_the_recorded_reply(self, ask: Any) -> None:
        real = json.loads(samples('ps1/astroquery_panstarrs_metadata_mean_reply.json').read_text())
        mine = ask('mean/metadata').json()
        names = ('name', 'datatype', 'size', 'arraysize', 'column_index', 'type')
        assert set(mine[0]) == set(real[0])
        assert [[column[name] for name in names] for column in mine] == [[column[name] for name in names] for column in real]

    def test_the_csv_reply_has_the_recorded_form(self, ask: Any) -> None:
        recorded = samples('replies/ps1_dr2_mean_skyportal_2022.csv').read_bytes()
        names = recorded.split(b'\r\n')[0].decode().split(',')
        reply = ask('mean.csv', **PLACE, radius=1 / 3600, nDetections__gt=1, columns=names)
        assert reply.content.split(b'\r\n')[0] == recorded.split(b'\r\n')[0]
        assert (reply.content.count(b'\r\n'), reply.content.count(b'\n')) == (2, 2)
        assert reply.headers['Content-Type'] == 'text/csv; charset=utf-8'
        assert len(rows(reply)[0]['objID']) == len('149812299620603702')

    def test_the_json_reply_has_the_recorded_form(self, ask: Any) -> None:
        recorded = json.loads(samples('ps1/astroquery_panstarrs_mean_reply.json').read_text())
        names = [column['name'] for column in recorded['info']]
        reply = ask('mean.json', **PLACE, radius=0.01, columns=names).json()
        same = ('name', 'type', 'db_type')
        assert [[column[key] for key in same] for column in reply['info']] == [
            [column[key] for key in same] for column in recorded['info']
        ]
        assert [type(cell) for cell in reply['data'][0]][:3] == [type(cell) for cell in recorded['data'][0]][:3]

    def test_an_unknown_table_release_or_column(self, server: Server[MastServer], ask: Any) -> None:
        assert ask('nothing.csv').status_code == 404
        assert requests.get(f'{server.url}/dr1/detection.csv', timeout=5).status_code == 404
        assert ask('mean.csv', **PLACE, radius=0.01, columns='weather').status_code == 400
        assert ask('mean.csv', **PLACE, radius=0.51).status_code == 400
        assert ask('mean.csv', **PLACE, radius=0.1, nDetections__about=3).status_code == 400
        assert ask('mean.csv', ra='x', dec=1, radius=0.1).status_code == 400


class TestSearch:
    def test_neighbours_are_around_and_are_told_apart(self, ask: Any) -> None:
        near = rows(ask('mean.csv', **PLACE, radius=1 / 3600, columns='[objID,nDetections]'))
        assert sorted(row['nDetections'] == '1' for row in near) == [False, True]
        wide = rows(ask('mean.csv', **PLACE, radius=10 / 3600, nDetections__gt=1, columns='[objID,rMeanPSFMag,nDetections]'))
        magnitudes = [float(row['rMeanPSFMag']) for row in wide]
        assert len(wide) == 3
        assert max(magnitudes) - min(magnitudes) > 1

    def test_a_number_is_not_a_float(self, server: Server[MastServer], ask: Any) -> None:
        own, *others = server.service.add_object(**PLACE)
        assert own > 2**53
        found = rows(ask('detection.csv', objID=own, columns=COLUMNS, sort_by='obsTime'))
        assert {row['objID'] for row in found} == {str(own)}
        assert len({row['detectID'] for row in found}) == len(found) > 20
        cells = ask('detection.json', objID=own, columns=['objID', 'detectID']).json()['data']
        assert {cell[0] for cell in cells} == {str(own)}
        assert rows(ask('detection.csv', objID=int(float(own)) + 64, columns='objID')) == []
        assert all(rows(ask('detection.csv', objID=other, columns='objID')) for other in others)

    def test_detections_are_sorted_paged_and_constrained(self, server: Server[MastServer], ask: Any) -> None:
        own = server.service.add_object(**PLACE)[0]
        up = [float(row['obsTime']) for row in rows(ask('detection.csv', objID=own, columns=COLUMNS, sort_by='[obsTime]'))]
        down = [float(row['obsTime']) for row in rows(ask('detection.csv', objID=own, columns=COLUMNS, sort_by='desc.obsTime'))]
        assert up == sorted(up) == down[::-1]
        pages = [rows(ask('detection.csv', objID=own, sort_by='obsTime', pagesize=7, page=page)) for page in (1, 2)]
        assert [float(row['obsTime']) for page in pages for row in page] == up[:14]
        assert len(pages[0][0]) == len(TABLES['detection'])
        good = rows(ask('detection.csv', objID=own, psfQfPerfect__gt=0.9, filterID=2, columns=COLUMNS))
        assert good
        assert all(float(row['psfQfPerfect']) > 0.9 and row['filterID'] == '2' for row in good)
        assert '-999.0' in {row['obsTime'] for row in rows(ask('detection.csv', objID=own, columns=COLUMNS))}

    def test_a_cone_of_detections_and_a_post(self, server: Server[MastServer], ask: Any) -> None:
        cone = rows(ask('detection.csv', **PLACE, radius=0.5 / 3600, columns=COLUMNS))
        assert len({row['objID'] for row in cone}) == 1
        body = PLACE | {'radius': 0.5 / 3600, 'columns': COLUMNS}
        posted = requests.post(f'{server.url}/dr2/detection.csv', data=body, timeout=5)
        assert rows(posted) == cone
        assert [entry['mode'] for entry in server.service.log()] == ['dr2/detection'] * 2

    def test_an_empty_place(self, server: Server[MastServer], ask: Any) -> None:
        server.service.configure(empty=[[10.0, 10.0]])
        for place in ({'ra': 10, 'dec': -40}, {'ra': 10, 'dec': 10}):
            assert ask('mean.csv', **place, radius=0.001, columns='objID').content == b'objID\r\n'
            assert ask('mean.json', **place, radius=0.001, columns='objID').json()['data'] == []
        server.service.configure(empty_csv='nothing')
        assert ask('mean.csv', ra=10, dec=10, radius=0.001, columns='objID').content == b''
        server.service.configure(auto=False)
        assert ask('mean.json', ra=50, dec=10, radius=0.001, columns='objID').json()['data'] == []

    def test_the_brightness_is_the_sources(self, server: Server[MastServer], ask: Any) -> None:
        told = {'kind': 'constant', 'flux': 0, 'host': 3631.0, **PLACE}
        requests.post(f'{server.url}/control/source', json=told, timeout=5)
        own = requests.post(f'{server.url}/control/object', json=PLACE, timeout=5).json()[0]
        row = rows(ask('mean.csv', objID=own, columns='[rMeanPSFMag,nr,epochMean,objAltName1]'))[0]
        assert float(row['rMeanPSFMag']) == pytest.approx(15.0, abs=0.02)
        assert row['objAltName1'] == '-999'
        flux = [float(each['psfFlux']) for each in rows(ask('detection.csv', objID=own, columns=COLUMNS))]
        assert 1e6 * sum(flux) / len(flux) == pytest.approx(3631, rel=0.02)
        forced = rows(ask('forced_mean.csv', objID=own, columns='rFPSFFlux'))[0]
        assert float(forced['rFPSFFlux']) == pytest.approx(3.631e-3, rel=0.02)
        assert float(rows(ask('stack.csv', objID=own, columns='rPSFMag'))[0]['rPSFMag']) == pytest.approx(15.0, abs=0.02)

    def test_faults_and_logins_are_counted(self, server: Server[MastServer], ask: Any) -> None:
        server.service.fault('mean', '503')
        assert [ask('mean.csv', **PLACE, radius=0.01).status_code for _ in range(2)] == [503, 200]
        requests.get(f'{server.url}/dr2/mean/metadata', headers={'Authorization': 'token x'}, timeout=5)
        counts = requests.get(f'{server.url}/control/requests', timeout=5).json()
        assert counts['credentials'] == 1
        assert counts['requests'] == {'mean': 2, 'metadata': 1}

    def test_the_objects_outlive_the_process(self, tmp_path: Path) -> None:
        first = MastServer(tmp_path, seed=2)
        numbers = first.add_object(**PLACE)
        first.close()
        second = MastServer(tmp_path, seed=2)
        assert list(second.objects) == sorted(numbers)
        second.reset()
        assert not second.objects
        second.close()


def test_the_three_run_as_one_process(tmp_path: Path) -> None:
    command = [sys.executable, str(SIMULATORS), '--storage', str(tmp_path), '--seed', '3', '--attached']
    command += ['--atlas', '0', '--zfps', '0', '--mast', '0', '--atlas-options', '{"seconds_per_task": 1}']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        told = json.loads(process.stdout.readline())
        assert list(told) == ['atlas', 'zfps', 'mast']
        assert len(told['atlas']['token']) == 40
        for each in told.values():
            assert requests.get(f'{each["url"]}/control/clock', timeout=5).status_code == 200
        options = requests.get(f'{told["atlas"]["url"]}/control/options', timeout=5).json()
        assert options['seconds_per_task'] == 1
        process.stdin.close()
        assert process.wait(10) == 0
