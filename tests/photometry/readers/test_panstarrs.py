"""What a file of the Pan-STARRS1 catalogs says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.published import sample
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.readers import read_panstarrs

OBJECT, NEIGHBOUR = 149812299620603702, 149812299620603703
DETECTION = ['objID', 'detectID', 'filterID', 'obsTime', 'psfFlux', 'psfFluxErr', 'psfQfPerfect', 'expTime']
USUAL: dict[str, Any] = {
    'objID': OBJECT, 'detectID': 149812299610000001, 'filterID': 1, 'obsTime': 55500.5, 'psfFlux': 2e-4, 'psfFluxErr': 1e-6,
    'psfQfPerfect': 0.998, 'expTime': 43.0,
}  # fmt: skip
MEAN = ['objID', 'nDetections', 'epochMean', 'gMeanPSFMag', 'gMeanPSFMagErr', 'yMeanPSFMag', 'yMeanPSFMagErr']
FORCED = ['objID', 'gFPSFFlux', 'gFPSFFluxErr', 'rFPSFFlux', 'rFPSFFluxErr']


def row(**changed: Any) -> list[Any]:
    return [{**USUAL, **changed}[name] for name in DETECTION]


def csv(names: list[str], *rows: list[Any]) -> str:
    """As MAST sends it, with CRLF."""
    return ''.join(','.join(map(str, line)) + '\r\n' for line in [names, *rows])


def detections(*rows: list[Any], before: str = '') -> bytes:
    return (before + csv(DETECTION, *rows)).encode()


def complete(measured: Measurements, rows: int) -> bool:
    return len(measured) + len(measured.rejected) == measured.rows == rows


def test_a_detection() -> None:
    found = read_panstarrs(detections(row()))
    assert complete(found, 1)
    assert (found.flux[0], found.flux_error[0]) == pytest.approx((200.0, 1.0))
    assert found.magnitude[0] == pytest.approx(-2.5 * np.log10(2e-4) + 8.90)
    assert found.magnitude_error[0] == pytest.approx(0.00543, abs=1e-5)
    assert np.isnan(found.limit[0])
    assert (found.band[0], found.telescope, found.instrument[0], found.exposure_time[0]) == ('g', 'PS1', 'GPC1', 43)
    assert found.columns['kind'].tolist() == ['detection']
    assert 'not forced' in found.constants['photometry']
    assert found.constants['time_scale'] == 'TAI'


@pytest.mark.parametrize(('tai', 'seconds'), [(55500.5, 34), (57000.5, 35)])
def test_the_time_is_converted_from_tai_and_is_the_middle_already(tai: float, seconds: int) -> None:
    found = read_panstarrs(detections(row(obsTime=tai)))
    assert (tai - found.mjd[0]) * 86400 == pytest.approx(seconds, abs=1e-4)


def test_ids_of_64_bits_are_exact() -> None:
    ids = [2**53 + 1, 2**53 + 2, 2**63 - 1]
    found = read_panstarrs(detections(*(row(detectID=number) for number in ids)))
    assert found.columns['detectID'].tolist() == ids
    assert found.columns['objID'].tolist() == [OBJECT] * 3
    assert found.exposure.tolist() == [f'detection {number}' for number in ids]


@pytest.mark.parametrize(('number', 'band'), [*enumerate('grizy', 1)])
def test_filters(number: int, band: str) -> None:
    assert read_panstarrs(detections(row(filterID=number))).band.tolist() == [band]


def test_a_faint_one_is_a_limit() -> None:
    found = read_panstarrs(detections(row(psfFlux=2e-6)))
    assert np.isnan(found.magnitude[0])
    assert found.limit[0] == pytest.approx(-2.5 * np.log10(3e-6) + 8.90)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'psfFlux': -999.0}, 'no PSF flux'),
        ({'psfFluxErr': -999}, 'no PSF flux'),
        ({'psfFluxErr': 0}, 'the error of the flux is not positive'),
        ({'obsTime': -999}, 'obsTime is no time of the survey'),
        ({'filterID': 6}, 'filterID is none of 1 to 5 (g, r, i, z, y)'),
        ({'detectID': '1.498e17'}, 'detectID is not a whole number'),
        ({'psfFlux': 'x'}, 'psfFlux is not a number'),
        ({'expTime': '1,2'}, 'the row has not the 8 columns of the header'),
    ],
)
def test_a_row_that_is_no_point_is_counted_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    found = read_panstarrs(detections(row(detectID=7), row(**changes)))
    assert complete(found, 2)
    assert (dict(found.rejected.counts), dict(found.rejected.lines)) == ({reason: 1}, {reason: (3,)})


@pytest.mark.parametrize('quality', [0.998, 0.5, -999, 'null'])
def test_a_detection_of_any_quality_is_kept_with_its_quality(quality: Any) -> None:
    found = read_panstarrs(detections(row(psfQfPerfect=quality)))
    assert (len(found), len(found.rejected)) == (1, 0)
    assert found.columns['psfQfPerfect'].tolist() == ([quality] if quality != 'null' else [pytest.approx(np.nan, nan_ok=True)])


def test_never_a_neighbours_photometry() -> None:
    both = (row(), row(objID=NEIGHBOUR, detectID=8))
    with pytest.raises(BadFile, match='holds rows of 2 objects, among them 149812299620603702, 149812299620603703'):
        read_panstarrs(detections(*both))
    found = read_panstarrs(detections(*both, before=f'# object: {NEIGHBOUR}\n'))
    assert complete(found, 2)
    assert (found.exposure.tolist(), dict(found.rejected.counts)) == (['detection 8'], {'another object': 1})
    with pytest.raises(BadFile, match='said to be of 2 objects'):
        read_panstarrs(detections(*both, before=f'# object: {NEIGHBOUR}\n# object: {OBJECT}\n'))


def test_averages_are_one_labelled_point_per_band() -> None:
    found = read_panstarrs(csv(MEAN, [OBJECT, 72, 55741.5, 14.5951, 0.002, -999.0, -999.0]).encode())
    assert complete(found, 2)
    assert (found.exposure.tolist(), found.band.tolist()) == ([f'mean {OBJECT} g'], ['g'])
    assert (found.magnitude[0], found.magnitude_error[0], found.mjd[0]) == (14.5951, 0.002, 55741.5)
    assert np.isnan([found.flux[0], found.flux_error[0], found.limit[0]]).all()
    assert found.columns['kind'].tolist() == ['mean']
    assert found.columns['epoch'].tolist() == ['epochMean']
    assert dict(found.rejected.counts) == {'no mean magnitude in this band': 1}


@pytest.mark.parametrize('epoch', ['-999', '', None])
def test_the_middle_of_the_survey_is_taken_and_said_where_there_is_no_epoch(epoch: str | None) -> None:
    names = [name for name in MEAN if name != 'epochMean'] if epoch is None else MEAN
    values = [value for value in [OBJECT, 72, epoch, 14.5, 0.002, 14.1, 0.003] if value is not None]
    found = read_panstarrs(csv(names, values).encode())
    assert found.mjd.tolist() == [56000, 56000]
    assert set(found.columns['epoch'].tolist()) == {'not given: the middle of the survey is taken'}


def test_forced_means() -> None:
    found = read_panstarrs(csv(FORCED, [OBJECT, 2e-4, 1e-6, -999, -999]).encode())
    assert complete(found, 2)
    assert (found.exposure.tolist(), found.flux.tolist()) == ([f'forced_mean {OBJECT} g'], pytest.approx([200.0]))
    assert found.magnitude[0] == pytest.approx(18.147, abs=1e-3)
    assert dict(found.rejected.counts) == {'no forced mean flux in this band': 1}


def test_the_stack_only_by_its_primary_detection() -> None:
    names = ['objID', 'primaryDetection', 'iEpoch', 'iPSFFlux', 'iPSFFluxErr']
    found = read_panstarrs(csv(names, [OBJECT, 1, 55800.25, 3e-5, 1e-7], [OBJECT, 0, 55800.25, 9e-5, 1e-7]).encode())
    assert complete(found, 2)
    assert (found.exposure.tolist(), found.mjd.tolist()) == ([f'stack {OBJECT} i'], [55800.25])


def test_a_file_of_several_sections() -> None:
    text = (
        f'# Pan-STARRS DR2\n# object: {OBJECT}\n# table: detection\n' + csv(DETECTION, row(), row(detectID=8, filterID=2))
        + '# table: mean\r\n' + csv(MEAN, [OBJECT, 72, 55741.5, 14.5, 0.002, 14.1, 0.003])
        + '# table: forced_mean\n' + csv(FORCED, [OBJECT, 2e-4, 1e-6, 2e-4, 1e-6])
        + '# table: stack\n'
    )  # fmt: skip
    found = read_panstarrs(text.encode())
    assert complete(found, 6)
    assert found.columns['kind'].tolist() == ['detection'] * 2 + ['mean'] * 2 + ['forced_mean'] * 2
    assert found.columns['objID'].tolist() == [OBJECT] * 6
    assert found.columns['detectID'].tolist() == [USUAL['detectID'], 8, None, None, None, None]
    assert np.isnan(found.columns['psfFlux'][2:]).all()


def test_pages_of_one_table_are_one_light_curve() -> None:
    page = '# table: detection\n' + csv(DETECTION, row(), row(detectID=8))
    found = read_panstarrs((page + '# table: detection\n' + csv(DETECTION, row(detectID=8), row(detectID=9))).encode())
    assert complete(found, 4)
    assert [name.split()[1] for name in found.exposure] == [str(USUAL['detectID']), '8', '9']
    assert found.rejected.sentence() == '1 row: a later row holds the same exposure, and that one is kept, line 4'


def test_a_json_reply_gives_the_same_as_csv() -> None:
    values = [
        str(value) if name.endswith('ID') and name != 'filterID' else value for name, value in zip(DETECTION, row(), strict=True)
    ]
    reply = {'info': [{'name': name, 'type': 'x'} for name in DETECTION], 'data': [values]}
    found, same = read_panstarrs(json.dumps(reply, indent=4).encode()), read_panstarrs(detections(row()))
    assert complete(found, 1)
    assert {name: column.tolist() for name, column in found.columns.items()} == {
        name: c.tolist() for name, c in same.columns.items()
    }
    assert (found.mjd.tolist(), found.exposure.tolist()) == (same.mjd.tolist(), same.exposure.tolist())


@pytest.mark.parametrize(
    'content', [b'', b'\r\n', csv(DETECTION).encode(), csv(MEAN).encode(), b'# table: detection\n', b'{"info": [], "data": []}']
)
def test_an_empty_result_holds_nothing(content: bytes) -> None:
    found = read_panstarrs(content)
    assert len(found) == found.rows == len(found.rejected) == 0


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'<html><body>502 Bad Gateway', 'web page'),
        (b'{"message": "Internal server error"}', 'JSON'),
        (b'{"info": 1, "data": 2}', 'JSON'),
        (b'{"info": [], "data": [[1]]}', 'obsTime'),
        (b'[' * 100_000, 'JSON'),
        (b'{"info"', 'JSON'),
        (b'\x00\x01', 'binary'),
        (b'# nothing but a comment\n', 'begins with'),
        (b'objID,raMean\r\n1,2\r\n', 'the columns obsTime or gMeanPSFMag or gFPSFFlux or gPSFFlux are not named'),
        (b'objID,obsTime\r\n1,2\r\n', 'the columns detectID, filterID, psfFlux, psfFluxErr are not named'),
        (b'# table: mean\nobjID,raMean\n1,2\n', 'the columns gMeanPSFMag are not named'),
        (b'# table: warp\nobjID\n1\n', "holds a table 'warp'"),
    ],
)
def test_another_kind_of_file_is_refused_in_a_sentence(content: bytes, words: str) -> None:
    with pytest.raises(BadFile, match=r'Pan-STARRS') as caught:
        read_panstarrs(content)
    assert words in str(caught.value)


@pytest.mark.parametrize('name', ['ps1/ps1_dr2_mean_skyportal_2022.csv', 'replies/ps1_dr2_mean_skyportal_2022.csv'])
def test_the_recorded_reply_gives_a_point_in_each_band(name: str) -> None:
    found = read_panstarrs(sample(name))
    assert complete(found, 5)
    assert (''.join(found.band), found.magnitude[0]) == ('grizy', 14.595100402832031)
    assert set(found.columns['objID'].tolist()) == {149812299620603702}


def test_the_recorded_json_reply_of_a_cone_without_psf_magnitudes_is_no_light_curve() -> None:
    with pytest.raises(BadFile, match="it begins with 'objname,objID,lambda"):
        read_panstarrs(sample('ps1/astroquery_panstarrs_mean_reply.json'))


tokens = st.one_of(
    st.sampled_from(['null', -999, 'nan', 'inf', '1e308', '1e-320', '', '"', '""', '#', '1_0', '٣', 2**70, 55555.5]),
    st.text(max_size=4),
)
rows = st.builds(lambda name, token: row(**{name: token}), st.sampled_from(DETECTION), tokens)
sections = st.lists(
    st.one_of(
        st.lists(rows, max_size=4).map(lambda some: csv(DETECTION, *some)),
        st.lists(st.lists(tokens, min_size=7, max_size=7), max_size=3).map(
            lambda some: csv(MEAN, *([OBJECT, *line[1:]] for line in some))
        ),
        st.lists(st.lists(tokens, min_size=5, max_size=5), max_size=3).map(
            lambda some: csv(FORCED, *([OBJECT, *line[1:]] for line in some))
        ),
        st.sampled_from(
            ['# table: detection\n', '# table: mean\n', '# table: forced_mean\n', '# table: stack\n', f'# object: {OBJECT}\n']
        ),
        st.text(max_size=20),
    ),
    max_size=6,
)
replies = st.builds(
    lambda names, data: json.dumps({'info': [{'name': name} for name in names], 'data': data}),
    st.sampled_from([DETECTION, MEAN, FORCED, [], ['objID', 'objID']]),
    st.one_of(st.lists(rows, max_size=3), st.recursive(st.one_of(st.none(), st.booleans(), st.floats(), st.text()), st.lists)),
)


@given(st.one_of(st.binary(), sections.map(''.join).map(str.encode), replies.map(str.encode)))
def test_any_bytes_are_measurements_or_a_bad_file(content: bytes) -> None:
    try:
        found = read_panstarrs(content)
    except BadFile:
        return
    assert len(found) + len(found.rejected) == found.rows
    assert np.isfinite(found.mjd).all()
    assert len(set(found.exposure.tolist())) == len(found)
    assert (np.isfinite(found.magnitude) ^ np.isfinite(found.limit)).all()
