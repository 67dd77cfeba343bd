"""What MAST is asked about Pan-STARRS, and what its tables mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, angular_separation
from hypothesis import given
from hypothesis import strategies as st

from simulators.mast_catalog import TABLES
from tests.support.published import sample
from tom_forced_phot.core.photometry import separation
from tom_forced_phot.exceptions import BadFile, Credentials, Refused, Temporary, Throttled, UnexpectedReply
from tom_forced_phot.services.panstarrs import COLUMNS, SEARCH, PanstarrsForcedPhotometryService, PanstarrsForm
from tom_forced_phot.services.protocol import Job, Part, Position, Reply

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)
HERE = Position('SN 1', 229.9620403, 34.8442757)
PS1 = PanstarrsForcedPhotometryService({})
ASKED = PS1.parameters({}, NOW)
#: As floats they would be the same number.
KEYS = ('149812299620603702', '149812299620603703')
DETECTION = {
    'objID': KEYS[0],
    'detectID': '124242250420000101',
    'filterID': '2',
    'obsTime': '55678.5',
    'psfFlux': '0.001',
    'psfFluxErr': '0.00001',
    'psfQfPerfect': '0.99',
    'expTime': '40',
}


def job(position: Position = HERE, **asked: Any) -> Job:
    return Job('tf-1', (position,), {**ASKED, **asked})


def part(**asked: Any) -> Part:
    return Part(0, HERE, {**ASKED, **asked}, {'objID': KEYS[0], 'distance': 0.259, 'objects': 1})


def table(*rows: Sequence[Any], names: Sequence[str] = SEARCH, status: int = 200) -> Reply:
    lines = [','.join(map(str, row)) for row in (names, *rows)]
    return Reply(status, ('\r\n'.join(lines) + '\r\n').encode(), {'content-type': 'text/csv; charset=utf-8'})


def rows_of(kind: str, *rows: dict[str, str]) -> Reply:
    return table(*([row.get(name, '-999') for name in COLUMNS[kind]] for row in rows), names=COLUMNS[kind])


def found(*rows: Sequence[Any], **asked: Any) -> Any:
    return PS1.submitted(job(**asked), table(*rows)).parts[0]


# --- asking ----------------------------------------------------------------------------------------------------------------------


def test_the_name_is_the_toolkits_own() -> None:
    from tom_dataproducts.single_target_data_service.panstarrs_service.panstarrs import PanstarrsSingleTargetDataService as Theirs

    assert PS1.name == Theirs.name
    assert PS1.get_data_product_type() == Theirs().get_data_product_type()


def test_a_cone_is_searched_in_degrees() -> None:
    request = PS1.submit(job())
    assert (request.method, request.path) == ('GET', 'dr2/mean.csv')
    assert (request.changes, request.signed, request.form) == (False, False, ())
    query = [(name, value) for name, value in request.query if name != 'columns']
    expected = {'ra': '229.9620403', 'dec': '34.8442757', 'radius': '0.000555556', 'nDetections.gte': '1', 'pagesize': '5000'}
    assert dict(query) == expected
    assert [value for name, value in request.query if name == 'columns'] == list(SEARCH)


@pytest.mark.filterwarnings('ignore:.*distance overridden')  # astropy's, for a star whose distance is not given
@pytest.mark.parametrize(('epoch', 'years'), [(2016.0, -4.0), (None, 12.0), (2000.0, 12.0), (2012.0, 0.0)])
@pytest.mark.parametrize(('ra', 'dec'), [(269.45, 4.69), (0.00001, -20.0), (10.0, 89.9)])
def test_a_star_is_looked_for_where_it_was_during_the_survey(ra: float, dec: float, epoch: float | None, years: float) -> None:
    star = SkyCoord(
        ra * u.deg, dec * u.deg, distance=1000 * u.pc, pm_ra_cosdec=-800 * u.mas / u.yr, pm_dec=500 * u.mas / u.yr, frame='icrs'
    )
    true = star.apply_space_motion(dt=years * u.yr) if years else star
    position = Position('fast', ra, dec, pm_ra=-800.0, pm_dec=500.0, epoch=epoch)
    asked = dict(PS1.submit(job(position)).query)
    assert separation(float(asked['ra']), float(asked['dec']), true.ra.deg, true.dec.deg) < 0.01
    assert '2012.0' in PS1.shown(position)
    assert ('no epoch' in PS1.shown(position)) is (epoch is None)
    found = PS1.submitted(job(position), table((KEYS[0], true.ra.deg, true.dec.deg, 9)))
    assert found.parts[0].remote['distance'] < 0.01


def test_a_star_that_was_not_one_object_of_the_survey_is_objected_to_in_words() -> None:
    barnard = Position('Barnard', 269.45, 4.69, pm_ra=-801.55, pm_dec=10362.39, epoch=2016.0)
    assert '52 arcsec' in PS1.objection(barnard, ASKED, NOW)
    assert PS1.objection(barnard, {**ASKED, 'radius': 30.0}, NOW) == ''


def test_what_was_asked_has_no_dates() -> None:
    expected = {'reduction': '', 'release': 'dr2', 'radius': 2.0, 'min_detections': 1, 'tables': ['detection']}
    assert PS1.parameters({'min_date': 61300.0}, NOW) == expected
    many = PS1.parameters({'radius': 5, 'min_detections': 2, 'add_mean': True, 'add_forced_mean': True}, NOW)
    assert (many['radius'], many['min_detections'], many['tables']) == (5.0, 2, ['detection', 'mean', 'forced_mean'])
    assert PS1.parameters({'release': 'dr1', 'add_forced_mean': True}, NOW)['tables'] == ['mean']


@pytest.mark.parametrize(
    ('fields', 'wrong'),
    [
        ({}, None),
        ({'radius': '30', 'release': 'dr1', 'add_mean': 'on'}, None),
        ({'radius': '30.1'}, 'radius'),
        ({'radius': '0.05'}, 'radius'),
        ({'radius': 'nan'}, 'radius'),
        ({'release': 'dr3'}, 'release'),
        ({'min_detections': '0'}, 'min_detections'),
        ({'release': 'dr1', 'add_forced_mean': 'on'}, 'add_forced_mean'),
    ],
)
def test_the_form(fields: dict[str, str], wrong: str | None) -> None:
    form = PanstarrsForm({'service': 'PanSTARRS', 'target_id': '1', **fields})
    assert list(form.errors) == ([wrong] if wrong else [])


@pytest.mark.parametrize(
    ('position', 'asked', 'words'),
    [
        (HERE, {}, ''),
        (Position('S', 10.0, -32.0), {}, 'sees nothing south of declination -31'),
        (Position('Ceres', moving=True, mpc_name='Ceres'), {}, 'moving target'),
        (Position('X'), {}, 'no coordinates'),
        (HERE, {'radius': 60.0}, 'The radius must be 0.1 to 30 arcsec.'),
        (HERE, {'radius': float('nan')}, 'The radius must be'),
        (HERE, {'release': '../etc'}, 'no release'),
    ],
)
def test_what_cannot_be_asked_is_said_before(position: Position, asked: dict[str, Any], words: str) -> None:
    objection = PS1.objection(position, {**ASKED, **asked}, NOW)
    assert words in objection
    assert bool(objection) is bool(words)


def test_a_token_is_sent_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MAST_API_TOKEN', raising=False)
    assert PS1.missing_credentials() == []
    assert PS1.secrets().headers == {}
    assert PanstarrsForcedPhotometryService({'api_key': 'MAST_API_TOKEN not set'}).secrets().headers == {}
    assert PanstarrsForcedPhotometryService({'api_key': 'abc'}).secrets().headers == {'Authorization': 'token abc'}
    monkeypatch.setenv('MAST_API_TOKEN', 'def')
    assert PanstarrsForcedPhotometryService({'api_key': 'MAST_API_TOKEN not set'}).secrets().headers == {
        'Authorization': 'token def'
    }
    monkeypatch.setenv('MAST_API_TOKEN', 'MAST_API_TOKEN not set')
    assert PS1.secrets().headers == {}


def test_the_columns_exist() -> None:
    for kind, names in COLUMNS.items():
        assert set(names) <= set(TABLES[kind])
        assert len(set(names)) == len(names)
    real = json.loads(sample('ps1/ps1_metadata_all_tables_from_R_package.json'))
    for kind, names in COLUMNS.items():
        assert set(names) <= {column['name'] for column in real[f'{kind}_dr2']}
    assert set(COLUMNS['mean']) <= {column['name'] for column in real['mean_dr1']}


# --- the object ------------------------------------------------------------------------------------------------------------------


def test_the_recorded_reply_names_its_object() -> None:
    progress = PS1.submitted(job(), Reply(200, sample('replies/ps1_dr2_mean_skyportal_2022.csv'))).parts[0]
    assert str(progress.state) == 'result'
    assert dict(progress.remote) == {'objID': KEYS[0], 'distance': 0.199, 'objects': 1}
    assert progress.message == f'Object {KEYS[0]}, 0.20 arcsec away.'


@pytest.mark.parametrize('content', [b'', b'\r\n', b'objID,raMean,decMean,nDetections\r\n', b'objID,raMean,decMean,nDetections'])
def test_nothing_there_is_a_result(content: bytes) -> None:
    progress = PS1.submitted(job(), Reply(200, content)).parts[0]
    assert str(progress.state) == 'no_data'
    assert progress.message == 'Pan-STARRS has no object within 2 arcsec of this position.'
    assert dict(progress.remote) == {}


NEAR = (KEYS[1], 229.9620403, 34.8444, 3)


def test_the_nearest_object_is_taken_and_its_number_stays_exact() -> None:
    progress = found(NEAR, (KEYS[0], 229.9620403, 34.8443, 72), ('1', 229.96, 34.8442757, 99))
    assert progress.remote['objID'] == KEYS[0]
    assert progress.remote['objects'] == 2
    assert progress.message.endswith('the nearest of 2.')


def test_of_objects_at_the_same_distance_the_one_seen_more_often_is_taken_in_any_order() -> None:
    rows = [(KEYS[1], 229.9620403, 34.8443, 72), (KEYS[0], 229.9620403, 34.8443, 72), ('17', 229.9620403, 34.8443, 1)]
    assert found(*rows).remote['objID'] == found(*rows[::-1]).remote['objID'] == KEYS[0]


def test_what_is_further_than_asked_for_or_has_no_place_is_not_taken() -> None:
    assert str(found(('1', 229.9620403, 34.8453, 9)).state) == 'no_data'
    assert str(found(('1', -999, -999, 9)).state) == 'no_data'
    assert str(found(('1', 'nan', 'nan', 9)).state) == 'no_data'


def test_columns_are_found_by_name() -> None:
    names = ['decMean', 'objid', 'raMean', 'extra', 'nDetections']
    reply = table([34.8442, KEYS[0], 229.962, '"a,b"', 5], names=names)
    assert PS1.submitted(job(), reply).parts[0].remote['objID'] == KEYS[0]


@given(st.floats(0, 360), st.floats(-90, 90), st.floats(0, 60), st.floats(0, 2 * np.pi))
def test_distances_are_good_everywhere(ra: float, dec: float, arcsec: float, angle: float) -> None:
    other = (
        ra + arcsec / 3600 * np.cos(angle) / max(np.cos(np.radians(dec)), 1e-3),
        min(90.0, dec + arcsec / 3600 * np.sin(angle)),
    )
    expected = 3600 * np.degrees(angular_separation(*np.radians([ra, dec, *other])))
    assert separation(ra, dec, *other) == pytest.approx(expected, abs=1e-6)
    assert separation(ra + 360, dec, *other) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ('reply', 'error', 'words'),
    [
        (Reply(200, b'<html><body>Down</body></html>'), UnexpectedReply, 'no column objID'),
        (Reply(200, b'{"detail": "Unknown column"}'), UnexpectedReply, 'Unknown column'),
        (Reply(200, b'objID,raMean\r\n1,2\r\n'), UnexpectedReply, 'no column decMean'),
        (Reply(200, b'objID,raMean,decMean,nDetections\r\n1,2,3\r\n'), UnexpectedReply, 'Row 2 of the answer of MAST has 3 values'),
        (Reply(200, b'objID,raMean,decMean,nDetections\r\n"1,2,3\r\n'), UnexpectedReply, 'no table'),
        (table(('1.49812299620603702e17', 229.962, 34.8442, 1)), UnexpectedReply, 'number is'),
        (table(('-5', 229.962, 34.8442, 1)), UnexpectedReply, 'number is'),
        (table((KEYS[0], 'x', 34.8442, 1)), UnexpectedReply, 'no object'),
        (table((KEYS[0], 229.962, 34.8442, 'inf')), UnexpectedReply, 'no object'),
        (table(*[NEAR] * 5000), UnexpectedReply, '5000 rows'),
        (Reply(400, b'{"detail": "Unknown column \'x\'"}'), Refused, "Unknown column 'x'."),
        (Reply(403, b''), Credentials, 'no explanation'),
        (Reply(429, b'', {'retry-after': '7'}), Throttled, 'in 7 s'),
        (Reply(502, b'<html>Bad gateway</html>'), Temporary, 'Bad gateway'),
    ],
)
def test_what_is_no_table(reply: Reply, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace('(', r'\(')) as caught:
        PS1.submitted(job(), reply)
    assert type(caught.value) is error
    assert '\n' not in str(caught.value)


# --- its rows --------------------------------------------------------------------------------------------------------------------


def test_each_table_is_asked_for_by_the_number_and_with_its_columns() -> None:
    requests = PS1.results(job(), part(tables=['detection', 'mean', 'forced_mean']))
    assert [request.path for request in requests] == ['dr2/detection.csv', 'dr2/mean.csv', 'dr2/forced_mean.csv']
    for request, kind in zip(requests, COLUMNS, strict=True):
        assert (request.method, request.changes) == ('GET', False)
        assert request.query[0] == ('objID', KEYS[0])
        assert tuple(value for name, value in request.query if name == 'columns') == COLUMNS[kind]
        assert request.query[-1] == ('pagesize', '50000')
    (only,) = PS1.results(job(), part(release='dr1', tables=['mean']))
    assert only.path == 'dr1/mean.csv'


def test_the_file_holds_the_tables_as_they_came_and_says_what_they_are() -> None:
    first, second = (
        rows_of('detection', DETECTION),
        rows_of('mean', {'objID': KEYS[0], 'gMeanPSFMag': '14.5', 'epochMean': '55999.5'}),
    )
    both = part(tables=['detection', 'mean'])
    content = PS1.pack(job(), both, [first, Reply(200, second.content.rstrip(b'\r\n'))])
    assert first.content in content
    assert content.endswith(second.content.rstrip(b'\r\n') + b'\n')
    lines = content.decode().split('\n')
    assert lines[0] == '# Pan-STARRS1 DR2, catalogs API of MAST'
    for line in (f'# object: {KEYS[0]}', '# table: detection', '# table: mean', '# distance of the object: 0.259 arcsec'):
        assert lines.count(line) == 1
    points = PS1.read(content)
    assert list(points.columns['kind']) == ['detection', 'mean']
    assert points.flux[0] == pytest.approx(1000)
    assert PS1.belongs(content, both) == ''


def test_the_file_of_another_object_does_not_belong() -> None:
    content = PS1.pack(job(), part(), [rows_of('detection', DETECTION)])
    other = content.replace(f'# object: {KEYS[0]}'.encode(), f'# object: {KEYS[1]}'.encode())
    assert PS1.belongs(other, part()) == f'This file is of object {KEYS[1]} instead of {KEYS[0]}.'
    assert PS1.belongs(content + f'# object: {KEYS[1]}\n'.encode(), part()) != ''
    assert PS1.belongs(b'<html>', part()) == f'This file is of object (not said) instead of {KEYS[0]}.'


def test_rows_of_another_object_are_not_taken() -> None:
    stranger = {**DETECTION, 'objID': KEYS[1], 'detectID': '5'}
    points = PS1.read(PS1.pack(job(), part(), [rows_of('detection', DETECTION, stranger)]))
    assert (len(points), dict(points.rejected.counts)) == (1, {'another object': 1})


@pytest.mark.parametrize('content', [b'', rows_of('detection').content])
def test_an_object_without_rows_has_no_points(content: bytes) -> None:
    points = PS1.read(PS1.pack(job(), part(), [Reply(200, content)]))
    assert (len(points), points.rows) == (0, 0)


@pytest.mark.parametrize('content', [b'<html>Down</html>', b'{"detail": "x"}', rows_of('mean').content, b'objID\r\n1\r\n'])
def test_what_is_no_table_makes_no_file(content: bytes) -> None:
    with pytest.raises(UnexpectedReply, match='no column'):
        PS1.pack(job(), part(), [Reply(200, content)])


def test_a_table_that_may_have_been_cut_makes_no_file() -> None:
    many = rows_of('detection', *[DETECTION] * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('tom_forced_phot.services.panstarrs.MOST_ROWS', 3)
        with pytest.raises(UnexpectedReply, match='some may be missing'):
            PS1.pack(job(), part(), [many])


def test_a_file_of_something_else_is_not_read() -> None:
    with pytest.raises(BadFile):
        PS1.read(b'<html>')


def test_a_lost_reply_is_asked_for_again() -> None:
    assert PS1.repeatable
    assert not PS1.submit(job()).changes
