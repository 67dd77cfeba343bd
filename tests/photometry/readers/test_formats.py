"""One table, however it was saved: the same points from every way of writing it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import numpy as np
import pytest

from tests.photometry.readers import test_panstarrs as ps1
from tests.photometry.readers import test_ztf as ztf
from tests.photometry.readers.test_costs import as_json, as_votable, atlas, detections, ztf_file
from tests.support.published import sample
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.readers import read_atlas, read_panstarrs, read_ztf

ENCODINGS = ('utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'latin-1')


def equal(found: Measurements, other: Measurements) -> bool:
    """Whether the points are the same: what was measured, and every column of the file."""
    assert dict(found.rejected.counts) == dict(other.rejected.counts)
    assert found.exposure.tolist() == other.exposure.tolist()
    assert found.columns.keys() == other.columns.keys()
    for name in found.columns:
        here, there = found.columns[name], other.columns[name]
        assert (here.dtype.kind in 'if') == (there.dtype.kind in 'if'), name
        assert np.array_equal(here, there, equal_nan=here.dtype.kind in 'if'), name
    return np.array_equal(found.flux, other.flux, equal_nan=True) and np.array_equal(found.mjd, other.mjd)


def divided(content: bytes, mark: str) -> bytes:
    """A table of words with another mark between them."""
    return '\n'.join(mark.join(line.split()) for line in content.decode().split('\n')).encode()


def spreadsheet(content: bytes, mark: str = ',', index: bool = False, null: str = 'null') -> bytes:
    """A ZTF file as a spreadsheet or pandas saves it: no comments, quotation marks where they are needed."""
    lines = [line for line in content.decode().split('\n') if line.strip() and not line.startswith('#')]
    table = [[word.strip() for word in lines[0].split(',')], *(line.split() for line in lines[1:])]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=mark)
    for number, row in enumerate(table):
        cells = [null if cell == 'null' else cell for cell in row]
        writer.writerow([('' if not number else number - 1), *cells] if index else cells)
    return text.getvalue().encode()


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('ending', ['\n', '\r\n', '\r'])
def test_an_atlas_file_in_any_encoding_with_any_line_ends(encoding: str, ending: str) -> None:
    text = '# d\xe9j\xe0 vu\n' + atlas().decode()
    assert equal(read_atlas(text.replace('\n', ending).encode(encoding)), read_atlas(text.encode()))


@pytest.mark.parametrize('mark', [';', ',', '\t', '; ', ', '])
def test_an_atlas_file_with_another_mark_between_the_values(mark: str) -> None:
    assert equal(read_atlas(divided(atlas(), mark)), read_atlas(atlas()))


def test_an_atlas_file_from_a_spreadsheet_with_decimal_commas() -> None:
    assert equal(read_atlas(divided(atlas(), ';').replace(b'.', b',')), read_atlas(atlas()))


def test_nul_bytes_that_pad_a_file_cost_nothing() -> None:
    assert equal(read_atlas(atlas() + b'\0' * 512), read_atlas(atlas()))


@pytest.mark.parametrize('name', ['atlas/job211831_ASASSN-21qj.txt', 'atlas/tom_base_test_atlas_fp_NGC1566.txt'])
def test_published_atlas_files_saved_again(name: str) -> None:
    content = sample(name)
    for again in (divided(content, ';'), divided(content, ',').replace(b'\n', b'\r'), content.decode().encode('utf-16')):
        assert equal(read_atlas(again), read_atlas(content))


def without_version(found: Measurements) -> dict[str, object]:
    return {name: value for name, value in found.constants.items() if name != 'program_version'}


@pytest.mark.parametrize('mark', [',', ';', '\t'])
@pytest.mark.parametrize('index', [False, True])
@pytest.mark.parametrize('null', ['null', ''])
def test_a_ztf_table_saved_as_csv(mark: str, index: bool, null: str) -> None:
    content = ztf.file(
        ztf.row(), ztf.row(jd=2458663.5, procstatus='56,57', nearestrefmag='null'), ztf.row(jd=2458664.5, forcediffimflux='null')
    )
    found, again = read_ztf(content), read_ztf(spreadsheet(content, mark, index, null))
    assert len(found) == 2
    assert equal(again, found)
    assert without_version(again) == without_version(found)


@pytest.mark.parametrize('name', ['forcedphotometry_req00381145_lc.txt', 'batchfp_req0002064117_lc.txt'])
def test_published_ztf_files_saved_as_csv(name: str) -> None:
    content = sample(f'ztf/{name}')
    assert equal(read_ztf(spreadsheet(content, index=True, null='')), read_ztf(content))


def test_whole_numbers_that_became_floats_name_the_same_exposures() -> None:
    content = spreadsheet(ztf_file(5)).decode()
    floated = content.replace(',796,10,3,', ',796.0,10.0,3.0,')
    assert floated != content
    assert read_ztf(floated.encode()).exposure.tolist() == read_ztf(ztf_file(5)).exposure.tolist()


def test_which_program_measured_it_is_kept_with_each_point() -> None:
    single = read_ztf(ztf_file(3))
    batch = ztf_file(3).replace(b' index,', b' sindex,').replace(b'forcedphotometry_trim.pl, v3.8', b'forcedphotometry_c.pl, v5.9')
    assert (single.constants['program'], single.constants['program_version']) == ('single', '3.8')
    assert (read_ztf(batch).constants['program'], read_ztf(batch).constants['program_version']) == ('batch', '5.9')


def lower(content: bytes) -> bytes:
    names, rest = content.split(b'\n', 1)
    return names.lower() + b'\n' + rest


def as_objects(content: bytes) -> bytes:
    names, *rows = [line.split(',') for line in content.decode().split()]
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows]).encode()


def with_column_names(content: bytes) -> bytes:
    return as_json(content).replace(b'"name"', b'"column_name"')


def from_astropy(content: bytes) -> bytes:
    from astropy.table import Table

    text = io.BytesIO()
    Table.read(content.decode(), format='ascii.csv').write(text, format='votable')
    return text.getvalue()


WAYS = [lower, as_json, with_column_names, as_objects, as_votable, from_astropy, lambda content: as_objects(lower(content))]


@pytest.mark.parametrize('way', WAYS)
def test_a_pan_starrs_table_in_any_of_its_formats(way: Callable[[bytes], bytes]) -> None:
    assert equal(read_panstarrs(way(detections())), read_panstarrs(detections()))


def test_a_table_of_averages_in_lower_case_and_as_votable() -> None:
    content = ps1.csv(ps1.MEAN, [ps1.OBJECT, 72, 55741.5, 14.5951, 0.002, -999.0, -999.0]).encode()
    for way in (lower, as_votable, as_objects):
        assert equal(read_panstarrs(way(content)), read_panstarrs(content))


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (as_votable(detections(3)).replace(b'TABLEDATA', b'BINARY2'), 'save it with TABLEDATA, or as CSV'),
        (as_votable(detections(3))[:-40], 'not well-formed'),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>' + as_votable(detections(3)), 'declarations'),
        (b'<?xml version="1.0"?><VOTABLE/>' + b'<!ENTITY b "c">', 'declarations'),
    ],
)
def test_a_votable_that_cannot_be_read_is_refused_in_words(content: bytes, words: str) -> None:
    with pytest.raises(BadFile, match='not a result file of Pan-STARRS') as caught:
        read_panstarrs(content)
    assert words in str(caught.value)


def nightly(columns: str, values: str, rows: int = 5) -> bytes:
    return '\n'.join([columns, *(f'{60000 + number}.50 {values}' for number in range(rows))]).encode()


@pytest.mark.parametrize(
    'content',
    [
        nightly('MJD uJy duJy F n', '300 4 o 4'),
        nightly('MJD uJy duJy F stdev x2 Nclip Ngood Nexcluded Mask', '300 4 o 3 1.1 0 4 0 0'),
        divided(nightly('MJD uJy duJy F points_averaged', '300 4 o 4'), ','),
        nightly('MJD uJy duJy F', '300 4 o', rows=30),
    ],
)
def test_a_stack_of_nights_is_not_taken_for_exposures(content: bytes) -> None:
    with pytest.raises(BadFile, match=r'holds nightly means: .*Only single exposures are stored'):
        read_atlas(content)


def test_a_few_exposures_without_names_are_no_stack() -> None:
    assert len(read_atlas(nightly('MJD uJy duJy F', '300 4 o'))) == 5
    four = b'MJD uJy duJy F\n' + b'\n'.join(b'%.3f 300 4 o' % (60000 + number / 4) for number in range(80))
    assert len(read_atlas(four)) == 80
