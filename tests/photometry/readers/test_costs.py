"""Any file costs at most ten times its size in memory, and time in proportion to it; and is measurements or a sentence."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from tests.photometry.readers import test_panstarrs as ps1
from tests.photometry.readers import test_ztf as ztf
from tests.support.published import folder
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.readers import read_atlas, read_panstarrs, read_ztf
from tom_forced_phot.services.protocol import Reply, readable, sentence, wait_of
from tom_forced_phot.services.ztf import rows as page_rows

Read = Callable[[bytes], Measurements]
ATLAS_HEADER = '###MJD m dm uJy duJy F err chi/N RA Dec x y maj min phi apfit mag5sig Sky Obs'
TIMES, FLOOR = 10, 3_000_000
SHORT, LONG = 300, 10_000


def atlas_row(number: int) -> str:
    return (
        f'{60000 + number / 1000:.6f} 17.153 0.043 {500 + number % 7} 20 {"oc"[number % 2]} 0 1.02 123.84000 -38.98000 '
        f'1666.50 4612.12 2.32 2.21 -22.2 -0.420 18.66 20.50 0{1 + number % 4}a60{number % 1000:03d}o{number:05d}o'
    )


def atlas(rows: int = 60) -> bytes:
    return '\n'.join([ATLAS_HEADER, *map(atlas_row, range(rows)), '']).encode()


def ztf_file(rows: int = 40) -> bytes:
    return ztf.file(*(ztf.row(jd=2458662.5 + number / 8) for number in range(rows)))


def detections(rows: int = 60) -> bytes:
    return ps1.detections(*(ps1.row(detectID=number, obsTime=55500.5 + number / 8) for number in range(1, rows)))


def as_json(content: bytes) -> bytes:
    names, *rows = [line.split(',') for line in content.decode().split()]
    return json.dumps({'info': [{'name': name} for name in names], 'data': rows}).encode()


def as_votable(content: bytes) -> bytes:
    names, *rows = [line.split(',') for line in content.decode().split()]
    fields = ''.join(f'<FIELD name="{name}" datatype="double"/>' for name in names)
    cells = ''.join('<TR>' + ''.join(f'<TD>{value}</TD>' for value in row) + '</TR>\n' for row in rows)
    return (
        '<?xml version="1.0"?>\n<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
        f'{fields}<DATA><TABLEDATA>{cells}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>'
    ).encode()


def read_or_refused(read: Read, content: bytes) -> int:
    """The peak of the memory that reading took; what it gives is sound."""
    found, refusal = None, ''
    tracemalloc.start()
    try:
        found = read(content)
    except BadFile as error:
        refusal = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if found is not None:
        assert len(found) + len(found.rejected) == found.rows
        assert np.isfinite(found.mjd).all()
        assert len(set(found.exposure.tolist())) == len(found)
        assert len(found.rejected.sentence()) < 20_000
    assert len(refusal) < 2000, 'one sentence, however long what is wrong'
    return peak


ROWS = atlas(3000)
HEADER, ROW = ROWS.split(b'\n')[:2]
SHORT_ROWS = b'\n'.join(b'%.6f 12 4 c' % (59000 + n / 50) for n in range(100_000))
ODD: list[tuple[str, Read, bytes]] = [
    ('as it should be', read_atlas, atlas(6000)),
    ('ztf as it should be', read_ztf, ztf_file(3000)),
    ('ps1 as it should be', read_panstarrs, detections(8000)),
    ('ps1 json', read_panstarrs, as_json(detections(8000))),
    ('ps1 votable', read_panstarrs, as_votable(detections(8000))),
    ('one long field', read_atlas, ROWS + ROW.replace(b' o ', b' ' + b'o' * 150_000 + b' ')),
    ('one long name of an exposure', read_atlas, ROWS + ROW[:-14] + b'o' * 150_000),
    ('one name of 900 characters', read_atlas, ROWS + ROW[:-14] + b'o' * 900),
    ('many names of 900 characters', read_atlas, ROWS + b'\n'.join(ROW[:-14] + b'o' * 900 + b'%d' % n for n in range(1000))),
    ('a long word in a column of numbers', read_atlas, ROWS + ROW.replace(b' 1.02 ', b' ' + b'x' * 990 + b' ')),
    ('digits only', read_atlas, b'1' * 2_000_000),
    ('digits in a row', read_atlas, ROWS + b'1' * 1_000_000),
    ('a long comment', read_atlas, b'#' + b' MJD uJy' * 300_000 + b'\n' + ROWS),
    ('many columns', read_atlas, b'MJD uJy duJy F ' + b' '.join(b'c%d' % n for n in range(200_000)) + b'\n' + b'1 ' * 200_004),
    ('a thousand columns', read_atlas, b'MJD uJy duJy F ' + b' '.join(b'c%d' % n for n in range(980)) + b'\n' + b'6 ' * 984),
    ('many empty lines', read_atlas, b'\n' * 1_000_000 + ROWS),
    ('many comments', read_atlas, b'#\n' * 500_000 + ROWS),
    ('many short rows', read_atlas, HEADER + b'\n' + b'1 1\n' * 200_000),
    ('tiny rows', read_atlas, b'MJD uJy duJy F\n' + b'6e4 1 1 c\n' * 200_000),
    ('tiny rows that differ', read_atlas, b'MJD uJy duJy F\n' + b'\n'.join(b'6%06.1f 1 1 c' % (n / 10) for n in range(200_000))),
    ('short rows', read_atlas, b'MJD uJy duJy F\n' + SHORT_ROWS),
    ('short rows, one wrong', read_atlas, b'MJD uJy duJy F\n1 1 1 c\n' + SHORT_ROWS),
    ('quotation marks', read_ztf, ztf_file(200) + b'"' * 300_000),
    ('one character beyond the first plane', read_atlas, '# \U0001f52d\n'.encode() + atlas(6000)),
    ('ten thousand status codes', read_ztf, ztf.file(*(ztf.row(forcediffimflux='null', procstatus=n) for n in range(3000)))),
    ('a long status code', read_ztf, ztf.file(ztf.row(forcediffimflux='null', procstatus='5,' * 450))),
    ('brackets', read_panstarrs, b'[' * 1_000_000),
    ('empty rows', read_panstarrs, b'{"info": [], "data": [' + b'[],' * 200_000 + b'[]]}'),
    ('one row of everything', read_panstarrs, b'{"info": [{"name": "objID"}], "data": [[' + b'12,' * 400_000 + b'1]]}'),
    ('a million columns', read_panstarrs, b'{"info": [' + b'{},' * 400_000 + b'{}], "data": [[1]]}'),
    ('elements inside each other', read_panstarrs, b'<VOTABLE>' + b'<a>' * 300_000),
    ('a cell that never ends', read_panstarrs, b'<VOTABLE><TABLE><TR><TD>' + b'1' * 1_000_000),
    ('sections', read_panstarrs, b'# table: detection\n' * 100_000),
    ('objects', read_panstarrs, b''.join(b'# object: %d\n' % n for n in range(50_000))),
]


@pytest.mark.parametrize(('read', 'content'), [case[1:] for case in ODD], ids=[case[0] for case in ODD])
def test_no_file_costs_more_than_ten_times_its_size(read: Read, content: bytes) -> None:
    peak = read_or_refused(read, content)
    assert peak < TIMES * len(content) + FLOOR, f'{peak / len(content):.1f} times'


def test_rows_too_short_for_exposures_are_told() -> None:
    with pytest.raises(BadFile, match='20,000 rows of 10 characters each are too short for exposures'):
        read_atlas(b'MJD uJy duJy F\n' + b'6e4 1 1 c\n' * 20_000)
    assert len(read_atlas(b'MJD uJy duJy F\n6e4 1 1 c\n60001 1 1 c\n')) == 2


@pytest.mark.parametrize(
    ('read', 'make'),
    [
        (read_atlas, lambda n: HEADER + b'\n' + b'1 1\n' * n),
        (read_atlas, lambda n: b'\n' * (4 * n) + ROWS),
        (read_atlas, lambda n: ROWS + b'1' * (4 * n)),
        (read_ztf, lambda n: ztf.file(*(ztf.row(forcediffimflux='null', procstatus=k) for k in range(n // 100)))),
        (read_panstarrs, lambda n: b'# table: detection\nobjID\n' * (n // 100)),
        (read_panstarrs, lambda n: b'{"info": [], "data": [' + b'[],' * n + b'[]]}'),
    ],
    ids=['short rows', 'empty lines', 'digits', 'status codes', 'sections', 'brackets'],
)
def test_reading_takes_time_in_proportion_to_the_size(read: Read, make: Callable[[int], bytes]) -> None:
    def seconds(content: bytes) -> float:
        start = time.process_time()
        with suppress(BadFile):
            read(content)
        return time.process_time() - start

    small, large = make(50_000), make(400_000)
    assert seconds(large) < 40 * max(seconds(small), 0.02), 'eight times the size: 64 times the time would be the square'


@pytest.mark.parametrize(
    'text',
    [some * 400_000 for some in ('1', '1.', ' ', '<', '<script', '<script>', '</td', '<!--', '<!', '&', '"', '<a b="', "<a '")],
)
def test_every_reply_is_judged_in_a_moment(text: str) -> None:
    reply = Reply(429, text.encode(), {})
    start = time.process_time()
    assert wait_of(reply) == 60
    assert sentence(reply)
    readable(text)
    page_rows(f'<table><tr><td>{text}')
    assert time.process_time() - start < 5, 'a search that begins anew at each character would take hours'


def test_a_429_is_believed_wherever_it_says_how_long() -> None:
    assert wait_of(Reply(429, b'1' * 1000 + b' seconds; available in 12 seconds', {})) == 12


def mutated(content: bytes, dice: random.Random) -> bytes:
    """One file with a few things wrong with it, of the kinds that transfers, programs and people make."""
    for _ in range(dice.choice([1, 1, 1, 2, 3, 6])):
        at, length = dice.randrange(len(content) + 1), dice.choice([1, 1, 3, 20, 200, 2000])
        piece = content[at : at + length]
        match dice.randrange(16):
            case 0:
                content = content[:at] + content[at + length :]
            case 1:
                content = content[:at] + piece * dice.choice([2, 3, 50]) + content[at + length :]
            case 2:
                content = content[:at] + dice.randbytes(length) + content[at + length :]
            case 3:
                content = content[:at]
            case 4:
                content = content.replace(b'\n', dice.choice([b'\r\n', b'\r', b'\n\n', b'\n\r', b' \n', b';\n', b',\n']))
            case 5:
                content = content.replace(dice.choice([b' ', b',']), dice.choice([b',', b';', b'\t', b' ', b', ', b'; ', b'']))
            case 6:
                odd = [b'nan', b'null', b'', b'-', b'1e400', b'inf', b'"', b'""', b'#', b'0', b'-1', b'9' * 30, b'1_0', b'\xd9\xa3']
                words = content.split(b' ')
                words[dice.randrange(len(words))] = dice.choice(odd)
                content = b' '.join(words)
            case 7:
                content = content.decode('latin-1').encode(dice.choice(['utf-16', 'utf-16-le', 'utf-16-be', 'utf-8-sig', 'utf-8']))
            case 8:
                content = content[:at] + bytes([dice.randrange(256)]) * dice.choice([1, 10, 1000, 100_000]) + content[at:]
            case 9:
                lines = content.split(b'\n')
                dice.shuffle(lines)
                content = b'\n'.join(lines)
            case 10:
                lines = content.split(b'\n')
                content = b'\n'.join(lines + lines[1:] * dice.choice([1, 10]))
            case 11:
                content = dice.choice([content.lower(), content.upper(), content.swapcase()])
            case 12:
                content += b'\0' * length
            case 13:
                content = bytes(byte ^ (dice.random() < 0.001) * dice.randrange(256) for byte in content[:50_000])
            case 14:
                content = content.replace(b'.', b',')
            case _:
                content = content[at:] + content[:at]
        content = content[:2_000_000]
    return content


def originals() -> list[bytes]:
    """Small files of each kind, and the beginnings of the published ones where they are here."""
    made = [atlas(), ztf_file(), detections(), as_json(detections(20)), as_votable(detections(20))]
    published = [path.read_bytes()[:30_000] for path in sorted(folder().glob('*/*')) if path.suffix in ('.txt', '.csv', '.json')]
    return made + published


def mutations(start: int, number: int) -> None:
    files = originals()
    for seed in range(start, start + number):
        dice = random.Random(seed)
        content = mutated(dice.choice(files), dice)
        for read in (read_atlas, read_ztf, read_panstarrs):
            peak = read_or_refused(read, content)
            assert peak < TIMES * len(content) + FLOOR, f'mutation {seed}, {read.__name__}'


def test_some_hundred_mutations_of_real_files() -> None:
    mutations(0, SHORT)


@pytest.mark.prove(why='ten thousand files, each read by three readers whose memory is watched')
def test_ten_thousand_mutations_of_real_files() -> None:
    mutations(SHORT, LONG)


def test_a_file_with_a_filter_a_row_is_read_in_time_linear_in_its_rows() -> None:
    head = '###MJD m dm uJy duJy F'
    rows = [f'{59000 + number / 100:.6f} 18.0 0.1 100 10 f{number}' for number in range(60_000)]
    began = time.process_time()
    with pytest.raises(BadFile, match='nightly means'):
        read_atlas('\n'.join([head, *rows]).encode())
    assert time.process_time() - began < 5
