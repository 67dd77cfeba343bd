"""A file of another position is never taken for the target's; what is near, and not the same, is said."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.base import ContentFile
from tom_dataproducts.data_processor import run_data_processor
from tom_dataproducts.exceptions import InvalidFileFormatException
from tom_dataproducts.models import DataProduct
from tom_targets.models import Target

from tests.photometry.readers import test_panstarrs as ps1
from tests.photometry.readers import test_ztf as ztf
from tests.support.databases import (  # noqa: F401
    database_url,
    migrated_postgres,
    migrated_sqlite,
    postgres_server,
    postgres_url,
    sqlite_url,
)
from tests.support.ingesting import Answers, atlas, exposures, files, make_target, on_both, row, stored, upload  # noqa: F401
from tom_forced_phot.models import IngestedFile, LightCurve

RA, DEC = 210.774, 54.274
ARCSEC = 1 / 3600


@pytest.fixture
def answers(on_both: str) -> Answers:  # noqa: F811
    return Answers(make_target())


def moved(content: bytes, north: float) -> bytes:
    """An ATLAS file measured so many arcsec north of the target."""
    return content.replace(b' 54.274 ', b' %.6f ' % (DEC + north * ARCSEC))


def bring(target: Any, kind: str, content: bytes) -> Any:
    product = DataProduct(target=target, data_product_type=kind, data=ContentFile(content, name='mine.txt'))
    product.save()
    run_data_processor(product)
    return product


def ztf_at(ra: float, dec: float) -> bytes:
    return ztf.file(ztf.row()).replace(b'210.774', b'%.6f' % ra).replace(b'54.274', b'%.6f' % dec)


def ps1_at(*places: tuple[float, float]) -> bytes:
    names = [*ps1.DETECTION, 'ra', 'dec']
    rows = [[*ps1.row(detectID=number), *place] for number, place in enumerate(places, 7)]
    return ps1.csv(names, *rows).encode()


@pytest.mark.parametrize(
    ('kind', 'content', 'words'),
    [
        (
            'atlas_photometry',
            moved(exposures(0, 3), 17),
            r'nearest row \(line 2\) is at 210.77400 54.27872, 17.0 arcsec from SN 2011fe',
        ),
        ('atlas_photometry', exposures(0, 3).replace(b'210.774', b'123.840'), 'degrees from SN 2011fe; 5 arcsec are allowed'),
        ('ztf_photometry', ztf_at(201.25, -24.125), 'degrees from SN 2011fe'),
        ('ztf_photometry', ztf_at(RA, DEC + 10 * ARCSEC), '10.0 arcsec from SN 2011fe'),
        (
            'panstarrs_photometry',
            ps1_at((RA, DEC + 8 * ARCSEC), (RA, DEC + 7 * ARCSEC)),
            r'\(line 3\) .* 7.0 arcsec from SN 2011fe',
        ),
    ],
)
def test_a_file_of_another_position_is_refused_and_overwrites_nothing(
    answers: Answers, kind: str, content: bytes, words: str
) -> None:
    answers.bring(exposures(0, 3))
    before = [(p.pk, p.value) for p in stored(answers.target)]
    with pytest.raises(InvalidFileFormatException, match='It was measured at another position') as caught:
        bring(answers.target, kind, content)
    assert caught.match(words)
    assert [(p.pk, p.value) for p in stored(answers.target)] == before
    assert IngestedFile.objects.count() == 1


def test_rows_measured_elsewhere_are_left_out_of_a_file_and_counted(answers: Answers) -> None:
    content = exposures(0, 3) + moved(exposures(3, 5), 60).split(b'\n', 1)[1]
    run_data_processor(upload(answers.target, content))
    kept = IngestedFile.objects.get()
    assert (kept.rows, kept.new, kept.rejected) == (5, 3, 2)
    assert '2 rows: measured more than 5 arcsec from SN 2011fe, lines 5, 6' in kept.message


def test_a_position_a_little_beside_the_target_is_taken_and_said(answers: Answers) -> None:
    run_data_processor(upload(answers.target, moved(exposures(0, 3), 2.5)))
    assert 'measured 2.5 arcsec from the position of SN 2011fe' in IngestedFile.objects.get().message


def test_positions_across_right_ascension_zero_are_near() -> None:
    import numpy as np

    from tom_forced_phot.ingest import positions

    places = positions.Places(ra=np.array([359.9999, 0.0001, 0.0]), dec=np.zeros(3))
    assert places.middle == pytest.approx((0.0, 0.0), abs=1e-9) or places.middle == pytest.approx((360.0, 0.0), abs=1e-9)
    assert float(positions.separations(359.9999, 0.0, 0.0001, 0.0)) == pytest.approx(0.72)


def test_two_files_of_one_light_curve_measured_apart_are_said_to_be(answers: Answers) -> None:
    answers.bring(exposures(0, 3))
    _, counts = answers.bring(moved(exposures(3, 6), 1.8))
    assert 'measured 1.8 arcsec from the position of another file of this light curve' in counts.message
    _, counts = answers.bring(moved(exposures(6, 9), 0.5))
    assert 'measured 1.3 arcsec from the position of another file' in counts.message, 'of the second; not of the first'


def test_a_file_that_does_not_say_where_it_was_measured_is_taken_and_that_is_said(answers: Answers) -> None:
    content = b'\n'.join(line for line in ztf.file(ztf.row()).split(b'\n') if b'Requested input' not in line)
    bring(answers.target, 'ztf_photometry', content)
    assert 'the file does not say for which position it was measured' in IngestedFile.objects.get().message


def fast(answers: Answers) -> Any:
    """A star that goes 10 arcsec north in ten years."""
    Target.objects.filter(pk=answers.target.pk).update(pm_ra=0.0, pm_dec=1000.0, epoch=2013.152)
    return Target.objects.get(pk=answers.target.pk)


@pytest.mark.parametrize('north', [0, 10], ids=['as catalogued', 'where it was that night'])
def test_a_star_with_proper_motion_is_at_both_of_its_places(answers: Answers, north: float) -> None:
    run_data_processor(upload(fast(answers), moved(exposures(0, 3), north)))
    assert len(stored(answers.target)) == 3


def test_a_star_with_proper_motion_is_not_elsewhere(answers: Answers) -> None:
    with pytest.raises(InvalidFileFormatException, match='another position'):
        run_data_processor(upload(fast(answers), moved(exposures(0, 3), 20)))


def test_a_moving_target_has_no_position_to_compare(answers: Answers) -> None:
    Target.objects.filter(pk=answers.target.pk).update(type='NON_SIDEREAL')
    run_data_processor(upload(Target.objects.get(pk=answers.target.pk), moved(exposures(0, 3), 500)))
    assert len(stored(answers.target)) == 3


TWO = atlas(
    '59748.241863 20.906 0.777 16 12 o 0 1.10 210.774 54.274 1 1 2 2 0 -0.4 19.41 20.51 04a59748o0120o',
    '59748.241863 -21.700 1.600 -8 12 o 0 1.05 210.774 54.274 1 1 2 2 0 -0.4 19.42 20.52 04a59748o0121o',
    '59748.250000 18.002 0.021 230 13 o 0 1.20 210.774 54.274 1 1 2 2 0 -0.4 19.43 20.53 04a59748o0122o',
)


def test_two_exposures_of_one_unit_with_one_time_are_two_points_however_often_they_are_brought(answers: Answers) -> None:
    _, counts = answers.bring(TWO)
    assert (counts.new, counts.held) == (3, 0)
    before = [(p.pk, p.timestamp, p.value['exposure']) for p in stored(answers.target)]
    assert [exposure[-5:] for _, _, exposure in before] == ['0120o', '0121o', '0122o']
    assert (before[1][1] - before[0][1]).total_seconds() <= 1e-6
    for content in (TWO, b'\n'.join([TWO.split(b'\n')[number] for number in (0, 2, 1, 3, 4)])):
        _, counts = answers.bring(content)
        assert (counts.new, counts.updated, counts.unchanged, counts.held) == (0, 0, 3, 0)
    assert [(p.pk, p.timestamp, p.value['exposure']) for p in stored(answers.target)] == before


def test_the_one_that_came_alone_makes_room_for_the_other(answers: Answers) -> None:
    second = b'\n'.join(TWO.split(b'\n')[number] for number in (0, 2, 4))
    answers.bring(second)
    _, counts = answers.bring(TWO)
    assert (counts.new, counts.held, LightCurve.objects.get().points) == (2, 0, 3)
    _, counts = answers.bring(TWO)
    assert (counts.new, counts.updated, counts.unchanged) == (0, 0, 3)


def test_many_exposures_with_one_time_and_one_limit_are_all_kept(answers: Answers) -> None:
    rows = [row(1, flux=-5, error=20).replace('00001c', f'{number:05d}c') for number in range(200)]
    _, counts = answers.bring(atlas(*rows))
    assert (counts.new, counts.held) == (200, 0)
    _, counts = answers.bring(atlas(*reversed(rows)))
    assert counts.unchanged == 200


def batch(content: bytes) -> bytes:
    """A file as the other program heads it."""
    return content.replace(b'forcedphotometry_trim.pl, v3.8', b'forcedphotometry_c.pl, v5.9').replace(b' index,', b' sindex,')


def test_asking_the_other_program_of_ztf_never_flips_a_light_curve(answers: Answers) -> None:
    single = ztf.file(*(ztf.row(jd=2458662.5 + number, forcediffimflux=100) for number in range(5)))
    other = ztf.file(*(ztf.row(jd=2458662.5 + number, forcediffimflux=103) for number in range(2, 8)))
    other = batch(other)
    for content, programs in ((single, 'sssss'), (other, 'ssbbbbbb'), (single, 'ssbbbbbb'), (other, 'ssbbbbbb')):
        bring(answers.target, 'ztf_photometry', content)
        assert ''.join(p.value['program'][0] for p in stored(answers.target)) == programs
    assert '3 stay as the batch service measured them' in IngestedFile.objects.order_by('pk')[2].message
