"""What an ATLAS result file says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.published import sample
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.readers import read_atlas

HEADER = (
    '###MJD          m      dm   uJy   duJy F err chi/N     RA       Dec        x        y     maj  min   phi '
    ' apfit mag5sig Sky   Obs'
)
START, END = ' 0   1.35 150.00000  -20.00000  4000.25  2000.75 2.41 2.05  31.2 -0.450', '20.61 '
ROW = f'60400.250000  17.349  0.089   417   37 o {START} 19.34 {END}04a60400o0180o'
NEGATIVE = f'60401.250000 -17.672  0.077  -310   24 o {START} 19.39 {END}04a60401o0187o'
MINUS_ZERO = f'60402.250000   0.000 99.000    -0   24 c {START} 19.39 {END}03a60402o0001c'
ALL_ZERO = f'60403.250000   0.000  0.000     0    0 o {START} 14.73 {END}02a60403o0350o'
NO_SOLUTION = f'60404.250000  -1.542  0.710 15037656164 9679410864 o {START} -2.67 {END}02a60404o0350o'


def file(*rows: str, header: str = HEADER, end: str = '\n') -> bytes:
    return (end.join([header, *rows]) + end).encode()


def changed(row: str, name: str, value: str) -> str:
    fields = row.split()
    fields[HEADER.strip('#').split().index(name)] = value
    return ' '.join(fields)


def complete(measured: Measurements, rows: int) -> bool:
    """Each row of the file is a point or a counted rejection."""
    return len(measured) + len(measured.rejected) == measured.rows == rows


def test_a_detection_keeps_the_servers_own_magnitude_and_all_columns_as_they_are() -> None:
    found = read_atlas(file(ROW))
    assert complete(found, 1)
    assert found.mjd[0] == pytest.approx(60400.250000 + 15 / 86400, abs=1e-9)
    assert (found.flux[0], found.flux_error[0], found.magnitude[0], found.magnitude_error[0]) == (417, 37, 17.349, 0.089)
    assert np.isnan(found.limit[0])
    assert (found.band[0], found.exposure[0], found.instrument[0], found.telescope) == ('o', '04a60400o0180o', '04a', 'ATLAS')
    assert found.exposure_time[0] == 30
    assert list(found.columns) == HEADER.strip('#').split()
    assert repr(found.columns['uJy'].tolist()[0]) == '417'
    assert found.columns['RA'].tolist() == [150.0]
    assert found.constants == {'time': 'start of exposure', 'time_scale': 'UTC'}


@pytest.mark.parametrize('row', [NEGATIVE, MINUS_ZERO])
def test_a_negative_flux_is_a_limit_and_its_negative_magnitude_none(row: str) -> None:
    found = read_atlas(file(row))
    assert np.isnan(found.magnitude[0])
    assert np.isnan(found.magnitude_error[0])
    assert found.limit[0] == pytest.approx(23.9 - 2.5 * np.log10(3 * 24))
    assert found.columns['m'][0] == float(row.split()[1])


def test_the_threshold_decides_what_is_a_detection_and_how_deep_the_limit_is() -> None:
    found = read_atlas(file(ROW), threshold=20)
    assert np.isnan(found.magnitude[0])
    assert found.limit[0] == pytest.approx(23.9 - 2.5 * np.log10(20 * 37))


def test_a_row_of_zeros_is_no_measurement() -> None:
    found = read_atlas(file(ROW, ALL_ZERO))
    assert complete(found, 2)
    assert found.rejected.counts == {'no measurement: flux and error are zero': 1}
    assert found.rejected.lines == {'no measurement: flux and error are zero': (3,)}


def test_a_frame_without_photometric_solution_keeps_its_flux_only() -> None:
    found = read_atlas(file(NO_SOLUTION))
    assert found.flux[0] == 15037656164
    assert np.isnan([found.magnitude[0], found.magnitude_error[0], found.limit[0]]).all()


@pytest.mark.parametrize('band', ['g', 'H', 'w', 'I'])
def test_other_filters_are_read_too(band: str) -> None:
    assert read_atlas(file(changed(ROW, 'F', band))).band.tolist() == [band]


@pytest.mark.parametrize(
    'start', ['###MJD', 'MJD', '##MJD', '### MJD', '#MJD', '\ufeff###MJD'], ids=['as sent', 'lost', 'two', 'apart', 'one', 'BOM']
)
def test_the_header_is_known_however_many_signs_it_has_kept(start: str) -> None:
    assert len(read_atlas(file(ROW, header=HEADER.replace('###MJD', start)))) == 1


def test_columns_are_read_by_name() -> None:
    with_angle = read_atlas(file(ROW.replace('19.34', '19.34 123.4'), header=HEADER.replace(' Sky', ' PA_DEG Sky')))
    assert (with_angle.columns['PA_DEG'][0], with_angle.columns['Sky'][0], with_angle.exposure[0]) == (
        123.4,
        20.61,
        '04a60400o0180o',
    )
    old = read_atlas(file(ROW.replace('04a60400o0180o', '21.5 7'), header=HEADER.replace('Sky   Obs', 'Sky ZP Stack')))
    assert (old.columns['ZP'][0], old.columns['Stack'][0]) == (21.5, 7)
    assert (old.exposure[0], old.instrument[0]) == ('60400.250000o', '')


def test_a_file_saved_again_as_csv_gives_the_same() -> None:
    rows = [ROW, NEGATIVE]
    csv = file(*(','.join(['', *row.split()])[1:] for row in rows), header=','.join(HEADER.strip('#').split()), end='\r\n')
    numbered = file(
        *(f'{n},' + ','.join(row.split()) for n, row in enumerate(rows)), header=',' + ','.join(HEADER.strip('#').split())
    )
    plain = read_atlas(file(*rows))
    for other in (read_atlas(csv), read_atlas(numbered)):
        assert other.exposure.tolist() == plain.exposure.tolist()
        assert {name: column.tolist() for name, column in other.columns.items()} == {
            name: column.tolist() for name, column in plain.columns.items()
        }


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_ends_of_lines_do_not_matter_nor_does_a_missing_last_one(end: str) -> None:
    assert len(read_atlas(file(ROW, NEGATIVE, end=end))) == 2
    assert len(read_atlas(file(ROW, NEGATIVE, end=end).rstrip())) == 2
    assert len(read_atlas(file(ROW, '', '   ', NEGATIVE, '', end=end))) == 2


@pytest.mark.parametrize(
    ('row', 'reason'),
    [
        (changed(ROW, 'duJy', '-5'), 'the error of the flux is not positive'),
        (changed(ROW, 'duJy', '0'), 'the error of the flux is not positive'),
        (changed(ROW, 'uJy', 'nan'), 'the flux or its error is not a finite number'),
        (changed(ROW, 'duJy', '1e999'), 'the flux or its error is not a finite number'),
        (changed(ROW, 'uJy', '*****'), 'uJy is not a number'),
        (changed(ROW, 'uJy', '1_000'), 'uJy is not a number'),
        (changed(ROW, 'MJD', '2460316.6'), 'the time is not an MJD between 50000 and 90000'),
        (changed(ROW, 'MJD', 'nan'), 'the time is not an MJD between 50000 and 90000'),
        (ROW + ' 7', 'the row has not the 19 columns of the header'),
        (ROW[:50], 'the row has not the 19 columns of the header'),
    ],
)
def test_a_row_that_is_no_point_is_counted_with_its_reason_and_line(row: str, reason: str) -> None:
    found = read_atlas(file(NEGATIVE, row, MINUS_ZERO))
    assert complete(found, 3)
    assert (dict(found.rejected.counts), dict(found.rejected.lines)) == ({reason: 1}, {reason: (3,)})
    assert found.exposure.tolist() == ['04a60401o0187o', '03a60402o0001c']


def test_an_unreadable_quality_column_does_not_cost_the_point() -> None:
    found = read_atlas(file(changed(ROW, 'Sky', '*****'), NEGATIVE, MINUS_ZERO))
    assert complete(found, 3)
    assert np.isnan(found.columns['Sky'][0])
    assert found.columns['Sky'][1:].tolist() == [20.61, 20.61]


@pytest.mark.parametrize('comma', [False, True], ids=['spaces', 'commas'])
def test_a_bad_row_changes_nothing_about_the_others(comma: bool) -> None:
    rows = [ROW, NEGATIVE, MINUS_ZERO, NO_SOLUTION]
    whole, broken = file(*rows), file(*rows, 'x')
    if comma:
        whole, broken = (b'\n'.join(b','.join(line.split()) for line in content.split(b'\n')) for content in (whole, broken))
    found, other = read_atlas(whole), read_atlas(broken)
    assert (len(found), len(other), other.rows) == (4, 4, 5)
    for name, column in found.columns.items():
        assert (other.columns[name].dtype, other.columns[name].tolist()) == (column.dtype, column.tolist())
    assert np.array_equal(found.mjd, other.mjd)


def test_of_two_rows_of_one_exposure_the_last_stays() -> None:
    found = read_atlas(file(ROW, NEGATIVE, changed(ROW, 'uJy', '420')))
    assert complete(found, 3)
    assert found.flux.tolist() == [-310, 420]
    assert found.rejected.sentence() == '1 row: a later row holds the same exposure, and that one is kept, line 2'


@pytest.mark.parametrize('content', [b'', b'\n', b'  \n\n', file(), file().rstrip()])
def test_a_file_without_rows_holds_nothing(content: bytes) -> None:
    found = read_atlas(content)
    assert len(found) == found.rows == len(found.rejected) == 0


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'<!DOCTYPE html>\n<html>', "web page or XML, beginning with '<!DOCTYPE html>'"),
        (b'{"detail": "Not found."}', 'JSON, beginning with'),
        (b'Page not found', "it begins with 'Page not found'"),
        (b'\x89PNG\r\n\x1a\n\x00', 'binary data'),
        (b'abc\x00def', 'binary data'),
        (b'###MJD m dm F err\n', 'the columns MJD, uJy, duJy, F are not named'),
        (b'http://example.org/table.txt', 'begins with'),
        (b'/etc/passwd', 'begins with'),
        (HEADER.replace(' m ', ' MJD ').encode(), 'names MJD more than once'),
    ],
)
def test_another_kind_of_file_is_refused_in_a_sentence(content: bytes, words: str) -> None:
    with pytest.raises(BadFile, match='This is not a result file of ATLAS') as caught:
        read_atlas(content)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ('name', 'rows', 'rejected'),
    [
        ('atlas/job211831_ASASSN-21qj.txt', 1042, 1),
        ('atlas/tom_base_test_atlas_fp_NGC1566.txt', 32, 0),
        ('atlas/hilocats_ATLAS2024zvr.csv', 150, 0),
        ('atlas/job211831_ASASSN-21qj.truth_obs_ATLAS.ecsv', 903, 0),
    ],
)
def test_each_row_of_the_published_files_is_a_point_or_explained(name: str, rows: int, rejected: int) -> None:
    found = read_atlas(sample(name))
    assert complete(found, rows)
    assert len(found.rejected) == rejected


def test_the_published_selection_of_asassn_21qj_comes_out() -> None:
    found = read_atlas(sample('atlas/job211831_ASASSN-21qj.txt'))
    keep = (found.flux_error < 100) & (found.flux > 500) & np.isin(found.band, ['c', 'o'])
    truth = read_atlas(sample('atlas/job211831_ASASSN-21qj.truth_obs_ATLAS.ecsv'))
    assert keep.sum() == 903
    assert set(found.exposure[keep]) == set(truth.exposure)
    assert sorted(found.columns['m'][keep].tolist()) == sorted(truth.columns['m'].tolist())


def test_the_failed_frames_of_asassn_21qj_have_no_brightness() -> None:
    found = read_atlas(sample('atlas/job211831_ASASSN-21qj.txt'))
    neither = np.isnan(found.magnitude) & np.isnan(found.limit)
    assert neither.sum() == (found.columns['mag5sig'] < 10).sum() == 19


def test_the_toolkits_file_of_ngc_1566_has_17_limits() -> None:
    found = read_atlas(sample('atlas/tom_base_test_atlas_fp_NGC1566.txt'))
    assert (np.isfinite(found.limit).sum(), np.isfinite(found.magnitude).sum()) == (17, 15)


pieces = st.one_of(
    st.sampled_from([HEADER, ROW, NEGATIVE, ALL_ZERO, NO_SOLUTION, '', '#', ',', '"', 'nan', '1e400', HEADER.replace(' Obs', '')]),
    st.builds(changed, st.just(ROW), st.sampled_from(HEADER.strip('#').split()), st.text('0123456789.eE+-naif*_٣"', max_size=9)),
    st.text(max_size=30),
)


@given(st.one_of(st.binary(), st.lists(pieces).map('\n'.join).map(str.encode), st.lists(pieces).map(lambda rows: file(*rows))))
@example((HEADER + '\n' + changed(ROW, 'uJy', '9' * 5000)).encode())
@example((HEADER + '\n' + changed(ROW, 'duJy', '1e-320')).encode())
@example((HEADER + '\n' + changed(ROW, 'err', '99999999999999999999')).encode())
@example((HEADER + '\n' + changed(ROW, 'MJD', '1' * 100_000 + 'x')).encode())
def test_any_bytes_are_measurements_or_a_bad_file(content: bytes) -> None:
    try:
        found = read_atlas(content)
    except BadFile:
        return
    assert len(found) + len(found.rejected) == found.rows
    assert np.isfinite([*found.mjd, *found.flux, *found.flux_error]).all()
    assert (found.flux_error > 0).all()
    assert len(set(found.exposure.tolist())) == len(found)
    assert not (np.isfinite(found.magnitude) & np.isfinite(found.limit)).any()
    assert not np.isinf([*found.magnitude, *found.magnitude_error, *found.limit]).any()
