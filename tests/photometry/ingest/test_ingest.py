"""Files into points: nothing lost, nothing doubled, nothing stored that is not a number, and counts that are true."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import transaction
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tests.support.ingesting import FIRST, NOW, Answers, atlas, exposures, files, make_target, on_both, row, stored  # noqa: F401
from tom_forced_phot import ingest as ingesting
from tom_forced_phot.ingest import point_rows, sql, store
from tom_forced_phot.models import IngestedFile, LightCurve
from tom_forced_phot.readers import read_atlas


@pytest.fixture
def answers(on_both: str) -> Answers:  # noqa: F811
    return Answers(make_target())


def curve(answers: Answers) -> LightCurve:
    return LightCurve.objects.get(target_id=answers.target.pk)


def test_a_point_says_what_was_measured_when_and_through_what(answers: Answers) -> None:
    product, counts = answers.bring(atlas(row(1, flux=500), row(2, flux=-30)))
    bright, faint = stored(answers.target)
    start = datetime(2023, 2, 25, 6, 14, 24, tzinfo=timezone.utc)
    assert abs(bright.timestamp - start - timedelta(seconds=15)) < timedelta(microseconds=2), 'the middle of the exposure'
    assert (bright.brightness, bright.limit, bright.unit) == (17.153, None, 'AB mag')
    assert faint.brightness is None
    assert faint.limit == pytest.approx(23.9 - 2.5 * math.log10(60))
    assert (bright.telescope, bright.instrument, bright.bandpass, bright.exposure_time) == ('ATLAS', '02a', 'o', 30.0)
    assert (bright.source_name, bright.reduction_version, bright.data_product_id) == ('ATLAS', 'difference', product.pk)
    assert (bright.value['flux'], bright.value['flux_error'], bright.value['flux_unit']) == (500.0, 20.0, 'uJy')
    assert (bright.value['exposure'], bright.value['chi/N']) == ('02a60000o00001c', 1.02)
    assert (counts.rows, counts.new, counts.rejected) == (2, 2, 0)
    assert counts.message == '2 rows: 2 new.'


def test_asking_again_leaves_equal_points_untouched(answers: Answers) -> None:
    answers.bring(exposures(0, 50))
    before = [(p.pk, p.data_product_id) for p in stored(answers.target)]
    version = curve(answers).version
    _, counts = answers.bring(exposures(0, 50))
    assert (counts.new, counts.updated, counts.unchanged) == (0, 0, 50)
    assert [(p.pk, p.data_product_id) for p in stored(answers.target)] == before
    assert curve(answers).version == version, 'nothing changed, so what was drawn of it is still right'


def test_a_re_reduction_of_a_thousand_exposures_leaves_a_thousand_points_with_the_new_values(answers: Answers) -> None:
    first, _ = answers.bring(exposures(0, 1000))
    before = [p.pk for p in stored(answers.target)]
    _, counts = answers.bring(exposures(0, 1000, flux=700))
    after = stored(answers.target)
    assert (counts.new, counts.updated, counts.unchanged) == (0, 1000, 0)
    assert [p.pk for p in after] == before
    assert {p.data_product_id for p in after} == {first.pk}, 'a point stays with the product that first brought it'
    assert {p.value['flux'] for p in after} == {700.0}
    assert {p.brightness for p in after} == {16.787}
    assert curve(answers).version == 2


def test_a_detection_that_becomes_a_limit_is_the_same_point(answers: Answers) -> None:
    answers.bring(atlas(row(1, flux=500)))
    answers.bring(atlas(row(1, flux=10)))
    (point,) = stored(answers.target)
    assert point.brightness is None
    assert point.brightness_error is None
    assert point.limit is not None


def test_a_change_of_a_quality_column_alone_is_an_update(answers: Answers) -> None:
    answers.bring(exposures(0, 3))
    _, counts = answers.bring(atlas(row(0), row(1, sky=19.1), row(2)))
    assert (counts.updated, counts.unchanged) == (1, 2)
    assert [p.value['Sky'] for p in stored(answers.target)] == [20.5, 19.1, 20.5]


def test_new_changed_and_equal_rows_in_one_file_are_counted_as_what_they_are(answers: Answers) -> None:
    answers.bring(exposures(0, 10))
    _, counts = answers.bring(atlas(*(row(n, flux=900 if n < 3 else 500) for n in range(15)), 'this is no row'))
    assert (counts.rows, counts.new, counts.updated, counts.unchanged, counts.rejected) == (16, 5, 3, 7, 1)
    assert counts.message.startswith('16 rows: 5 new, 3 updated, 7 unchanged; left out: 1 row: ')
    kept = IngestedFile.objects.latest('pk')
    assert (kept.rows, kept.new, kept.updated, kept.unchanged, kept.rejected) == (16, 5, 3, 7, 1)
    assert kept.message == counts.message
    assert (curve(answers).points, curve(answers).last_point) == (15, stored(answers.target)[-1].timestamp)


def test_difference_and_reduced_photometry_stand_side_by_side(answers: Answers) -> None:
    answers.bring(exposures(0, 5))
    _, counts = answers.bring(exposures(0, 5), reduction='reduced')
    assert counts.new == 5
    assert [p.reduction_version for p in stored(answers.target)] == ['difference', 'reduced'] * 5


def test_an_empty_answer_is_an_answer(answers: Answers) -> None:
    _, counts = answers.bring(atlas())
    assert (counts.rows, counts.new, counts.message) == (0, 0, '0 rows: 0 new.')
    assert IngestedFile.objects.count() == 1
    assert (curve(answers).points, curve(answers).version) == (0, 0)


def test_other_targets_and_services_are_left_alone(answers: Answers) -> None:
    other = Answers(make_target('another'))
    other.bring(exposures(0, 5))
    answers.bring(exposures(0, 5))
    _, counts = answers.bring(exposures(0, 5, flux=800))
    assert counts.updated == 5
    assert {p.value['flux'] for p in stored(other.target)} == {500.0}


def test_neither_nan_nor_infinity_is_stored(answers: Answers) -> None:
    table = read_atlas(exposures(0, 4))
    nothing, too_much = np.array([np.nan, 1.0, 2.0, 3.0]), np.array([1.0, np.inf, -np.inf, np.nan])
    table = replace(table, magnitude=nothing, magnitude_error=too_much, limit=too_much, flux=too_much)
    table = replace(table, columns={**table.columns, 'odd': too_much, 'words': np.array(['nan', 'a"b\\', 'é\t', ''])})
    with transaction.atomic():
        product = ingesting.make_product(answers.target, 'atlas_photometry', b'x', 'x.txt', 'x', '')
        for _ in range(2):
            counts = ingesting.ingest(product, table, service='ATLAS', reduction='difference', now=NOW)
    assert counts.unchanged == 4
    found = stored(answers.target)
    assert [p.brightness for p in found] == [None, 1.0, 2.0, 3.0]
    assert [p.limit for p in found] == [1.0, None, None, None]
    assert [p.brightness_error for p in found] == [1.0, None, None, None]
    assert [p.value['odd'] for p in found] == [1.0, None, None, None]
    assert [p.value['flux'] for p in found] == [1.0, None, None, None]
    assert [p.value['words'] for p in found] == ['nan', 'a"b\\', 'é\t', '']
    for text in PhotometryReducedDatum.objects.values_list('value', flat=True):
        json.dumps(text, allow_nan=False)


def test_64_bit_numbers_and_very_small_ones_stay_exact_and_are_recognised(answers: Answers) -> None:
    table = read_atlas(exposures(0, 2))
    large, small = np.array([2**62 + 1, -(2**62) - 3]), np.array([1.25e-7, 3.1e25])
    table = replace(table, columns={**table.columns, 'objID': large, 'psfFlux': small}, constants={'100%': ['a', 1]})
    with transaction.atomic():
        product = ingesting.make_product(answers.target, 'atlas_photometry', b'x', 'x.txt', 'x', '')
        for _ in range(2):
            counts = ingesting.ingest(product, table, service='ATLAS', reduction='difference', now=NOW)
    assert (counts.new, counts.updated, counts.unchanged) == (0, 0, 2)
    assert [p.value['objID'] for p in stored(answers.target)] == [2**62 + 1, -(2**62) - 3]
    assert [float(p.value['psfFlux']) for p in stored(answers.target)] == [1.25e-7, 3.1e25]
    assert stored(answers.target)[0].value['100%'] == ['a', 1]


def test_a_service_whose_photometry_is_of_one_kind_only_is_counted_too(answers: Answers) -> None:
    with transaction.atomic():
        product = ingesting.make_product(answers.target, 'atlas_photometry', b'x', 'x.txt', 'x', '')
        ingesting.ingest(product, read_atlas(exposures(0, 3)), service='Our telescope', reduction='', now=NOW)
    assert LightCurve.objects.get().points == 3


def test_a_kind_column_gives_each_row_its_own_reduction(answers: Answers) -> None:
    table = read_atlas(exposures(0, 3))
    table = replace(table, columns={**table.columns, 'kind': np.array(['detection', 'mean', 'forced_mean'])})
    with transaction.atomic():
        product = ingesting.make_product(answers.target, 'atlas_photometry', b'x', 'x.txt', 'x', '')
        ingesting.ingest(product, table, service='PanSTARRS', reduction='', now=NOW)
        counts = ingesting.ingest(product, table, service='PanSTARRS', reduction='', now=NOW)
    assert [p.reduction_version for p in stored(answers.target)] == ['detection', 'mean', 'forced_mean']
    assert counts.unchanged == 3


def test_texts_longer_than_the_hosts_columns_are_cut(answers: Answers) -> None:
    table = read_atlas(exposures(0, 1))
    table = replace(table, band=np.array(['b' * 40]), instrument=np.array(['i' * 300]), telescope='t' * 300)
    with transaction.atomic():
        product = ingesting.make_product(answers.target, 'atlas_photometry', b'x', 'x.txt', 'x', '')
        for _ in range(2):
            counts = ingesting.ingest(product, table, service='ATLAS', reduction='difference', now=NOW)
    assert counts.unchanged == 1
    (point,) = stored(answers.target)
    assert (point.bandpass, point.instrument, point.telescope) == ('b' * 32, 'i' * 255, 't' * 255)


def test_a_table_that_names_an_exposure_twice_brings_it_once(answers: Answers) -> None:
    table = read_atlas(exposures(0, 3))
    table = replace(table, exposure=np.array(['same', 'other', 'same']), mjd=np.array([FIRST, np.nan, FIRST + 1]))
    with transaction.atomic():
        product = ingesting.make_product(answers.target, 'atlas_photometry', b'x', 'x.txt', 'x', '')
        counts = ingesting.ingest(product, table, service='ATLAS', reduction='difference', now=NOW)
    assert (counts.rows, counts.new, counts.rejected) == (3, 1, 2)


def foreign(point: Any, number: int, **given: Any) -> None:
    """A point of another source that the host takes for the same."""
    made = PhotometryReducedDatum(
        target_id=point.target_id, timestamp=point.timestamp, bandpass=point.bandpass, brightness=point.brightness,
        limit=point.limit, instrument=point.instrument, reduction_version=point.reduction_version, source_name=f'broker {number}',
    )  # fmt: skip
    for name, value in given.items():
        setattr(made, name, value)
    PhotometryReducedDatum.objects.bulk_create([made])


def test_a_point_that_another_source_holds_does_not_lose_the_rest_of_the_file(answers: Answers) -> None:
    answers.bring(exposures(0, 20))
    held = stored(answers.target)[7]
    PhotometryReducedDatum.objects.all().delete()
    foreign(held, 1)
    product, counts = answers.bring(exposures(0, 20))
    assert (counts.new, counts.held, counts.rejected) == (19, 1, 0)
    assert '1 not stored, because an equal point of another source is there' in counts.message
    assert PhotometryReducedDatum.objects.filter(data_product=product).count() == 19
    assert curve(answers).points == 19


def test_an_update_that_would_equal_a_foreign_point_does_not_lose_the_others(answers: Answers) -> None:
    answers.bring(exposures(0, 20))
    foreign(stored(answers.target)[7], 1, brightness=16.787)
    _, counts = answers.bring(exposures(0, 20, flux=700))
    assert (counts.updated, counts.held, counts.unchanged) == (19, 1, 0)
    mine = PhotometryReducedDatum.objects.filter(source_name='ATLAS')
    assert sorted(p.value['flux'] for p in mine) == [500.0, *[700.0] * 19]


def test_outside_a_transaction_nothing_is_ingested(answers: Answers) -> None:
    product = ingesting.make_product(answers.target, 'atlas_photometry', b'x', 'x.txt', 'x', '')
    with pytest.raises(transaction.TransactionManagementError):
        ingesting.ingest(product, read_atlas(exposures(0, 1)), service='ATLAS', reduction='difference', now=NOW)


def test_a_failure_afterwards_takes_points_and_account_back(answers: Answers) -> None:
    def fails() -> None:
        with transaction.atomic():
            answers.bring(exposures(0, 5))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert stored(answers.target) == []
    assert (DataProduct.objects.count(), IngestedFile.objects.count(), LightCurve.objects.count()) == (0, 0, 0)


def test_a_file_left_by_a_killed_try_is_replaced_not_doubled(answers: Answers, files: Path) -> None:  # noqa: F811
    def dies() -> None:
        with transaction.atomic():
            ingesting.make_product(answers.target, 'atlas_photometry', b'half', 'atlas_7.txt', 'atlas 7', '')
            raise RuntimeError

    with pytest.raises(RuntimeError):
        dies()
    assert [path.read_bytes() for path in files.rglob('*.txt')] == [b'half']
    with transaction.atomic():
        product = ingesting.make_product(answers.target, 'atlas_photometry', b'whole', 'atlas_7.txt', 'atlas 7', '')
    assert [path.read_bytes() for path in files.rglob('*.txt')] == [b'whole']
    assert Path(product.data.path).name == 'atlas_7.txt'


def test_a_file_that_a_product_has_is_never_removed(answers: Answers, files: Path) -> None:  # noqa: F811
    with transaction.atomic():
        ingesting.make_product(answers.target, 'atlas_photometry', b'first', 'atlas_7.txt', 'atlas 7', '')
        ingesting.make_product(answers.target, 'atlas_photometry', b'second', 'atlas_7.txt', 'atlas 8', '')
    assert sorted(path.read_bytes() for path in files.rglob('*.txt')) == [b'first', b'second']


def test_chunks_are_invisible(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, 'CHUNK', 7)
    _, first = answers.bring(exposures(0, 50))
    _, second = answers.bring(atlas(*(row(n, flux=900 if n % 5 == 0 else 500) for n in range(60))))
    assert first.new == 50
    assert (second.new, second.updated, second.unchanged) == (10, 10, 40)
    assert len(stored(answers.target)) == 60


def test_a_small_answer_does_not_read_the_whole_light_curve(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    answers.bring(atlas(*(row(100 * n) for n in range(300))))
    seen: list[int] = []
    around = sql.StoredCurve.around

    def counted(self: Any, *given: Any) -> Any:
        found = around(self, *given)
        seen.append(len(found))
        return found

    monkeypatch.setattr(sql.StoredCurve, 'around', counted)
    _, counts = answers.bring(atlas(row(5000), row(5050)))
    assert (counts.new, counts.unchanged) == (1, 1)
    assert sum(seen) <= 4


def test_times_are_exact_to_the_microsecond() -> None:
    given = np.array([40587.0, 51544.5, 60000.2501736111111])
    moments = [point_rows.instant(micros) for micros in point_rows.microseconds(given).tolist()]
    assert moments[0] == datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert moments[1] == datetime(2000, 1, 1, 12, tzinfo=timezone.utc)
    assert abs(moments[2] - datetime(2023, 2, 25, 6, 0, 15, tzinfo=timezone.utc)) < timedelta(microseconds=2)


@pytest.mark.parametrize('way', ['raw', 'orm'])
def test_a_database_without_its_own_way_gets_the_same_points(answers: Answers, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == 'orm':
        monkeypatch.setattr(sql, 'kind', lambda: '')
    answers.bring(exposures(0, 10))
    held = stored(answers.target)[3]
    PhotometryReducedDatum.objects.filter(pk=held.pk).delete()
    foreign(held, 1)
    _, counts = answers.bring(atlas(*(row(n, flux=900 if n == 2 else 500) for n in range(12))))
    assert (counts.new, counts.updated, counts.unchanged, counts.held) == (2, 1, 8, 1)
    monkeypatch.undo()
    _, counts = answers.bring(atlas(*(row(n, flux=900 if n == 2 else 500) for n in range(12))))
    assert (counts.new, counts.updated, counts.unchanged, counts.held) == (0, 0, 11, 1)


def test_the_orm_finds_points_by_their_time(answers: Answers) -> None:
    """SQLite compares times as text, so ours have to be written as Django writes them."""
    answers.bring(exposures(0, 3))
    for point in stored(answers.target):
        assert PhotometryReducedDatum.objects.filter(timestamp=point.timestamp).count() == 1
        with pytest.raises(Exception, match='already exists'):
            PhotometryReducedDatum(**{f.attname: getattr(point, f.attname) for f in point._meta.fields if f.name != 'id'}).save()
