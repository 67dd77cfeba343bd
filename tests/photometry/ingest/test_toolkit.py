"""Points that the toolkit's own AtlasProcessor stored: each exposure once, whoever came first."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import pytest
from django.test.utils import override_settings
from tom_dataproducts.data_processor import run_data_processor
from tom_dataproducts.models import PhotometryReducedDatum

from tests.support.ingesting import Answers, atlas, exposures, files, make_target, numbers, on_both, row, stored, upload  # noqa: F401

TOOLKIT = {'atlas_photometry': 'tom_dataproducts.processors.atlas_processor.AtlasProcessor'}


@pytest.fixture
def answers(on_both: str) -> Answers:  # noqa: F811
    return Answers(make_target())


def by_toolkit(target: Any, content: bytes) -> Any:
    """What a TOM without this app did with a file."""
    product = upload(target, content)
    with override_settings(DATA_PROCESSORS=TOOLKIT), warnings.catch_warnings():
        warnings.simplefilter('ignore', ResourceWarning)  # it leaves the file open
        run_data_processor(product)
        gc.collect()
    return product


def fresh(content: bytes) -> list[tuple[Any, ...]]:
    """The points of a target that the toolkit never saw."""
    other = Answers(make_target(f'fresh {PhotometryReducedDatum.objects.count()}'))
    other.bring(content)
    return numbers(other.target)


def test_first_the_toolkit_then_ours_leaves_each_exposure_once(answers: Answers) -> None:
    old = by_toolkit(answers.target, exposures(0, 40))
    pks = {p.pk for p in stored(answers.target)}
    assert len(pks) == 40
    _, counts = answers.bring(exposures(0, 45))
    assert (counts.new, counts.updated, counts.unchanged, counts.merged) == (5, 40, 0, 0)
    kept = [p for p in stored(answers.target) if p.pk in pks]
    assert len(kept) == 40
    assert {p.data_product_id for p in kept} == {old.pk}
    assert numbers(answers.target) == fresh(exposures(0, 45))
    _, counts = answers.bring(exposures(0, 45))
    assert counts.unchanged == 45


def test_first_ours_then_the_toolkit_then_ours_leaves_each_exposure_once(answers: Answers) -> None:
    answers.bring(exposures(0, 20))
    by_toolkit(answers.target, exposures(0, 20))
    assert len(stored(answers.target)) == 40
    _, counts = answers.bring(exposures(0, 20))
    assert (counts.new, counts.updated, counts.unchanged, counts.merged) == (0, 0, 20, 20)
    assert '20 stored twice by the toolkit removed' in counts.message
    assert numbers(answers.target) == fresh(exposures(0, 20))


def test_f4_what_the_toolkit_stored_twice_after_a_re_reduction_is_stored_once(answers: Answers) -> None:
    by_toolkit(answers.target, exposures(0, 10))
    by_toolkit(answers.target, exposures(0, 10, flux=505))
    assert len(stored(answers.target)) == 20
    _, counts = answers.bring(exposures(0, 10, flux=505))
    assert (counts.new, counts.updated, counts.merged) == (0, 10, 10)
    assert numbers(answers.target) == fresh(exposures(0, 10, flux=505))


def test_limits_of_the_toolkit_are_recognised_too(answers: Answers) -> None:
    content = atlas(*(row(n, flux=10, band='co'[n % 2]) for n in range(20)))
    by_toolkit(answers.target, content)
    _, counts = answers.bring(content)
    assert (counts.new, counts.updated) == (0, 20)
    assert numbers(answers.target) == fresh(content)


def test_points_of_the_other_kind_of_image_are_left_alone_and_that_is_said(answers: Answers) -> None:
    by_toolkit(answers.target, exposures(0, 20, flux=4000))
    before = numbers(answers.target)
    _, counts = answers.bring(exposures(0, 20))
    assert (counts.new, counts.updated) == (20, 0)
    assert '20 of these exposures have a point that the toolkit stored; only 0 of 20 agree with the difference' in counts.message
    assert [given for given in numbers(answers.target) if given in before] == before
    _, counts = answers.bring(exposures(0, 20, flux=4000), reduction='reduced')
    assert (counts.new, counts.updated) == (0, 20)
    assert sorted(p.reduction_version for p in stored(answers.target)) == ['difference'] * 20 + ['reduced'] * 20


def test_a_few_re_reduced_exposures_do_not_change_the_verdict(answers: Answers) -> None:
    by_toolkit(answers.target, atlas(*(row(n, flux=900 if n < 5 else 500) for n in range(20))))
    _, counts = answers.bring(exposures(0, 20))
    assert (counts.new, counts.updated) == (0, 20)
    assert {p.value['flux'] for p in stored(answers.target)} == {500.0}


def test_points_of_other_sources_are_never_taken_for_the_toolkits(answers: Answers) -> None:
    by_toolkit(answers.target, exposures(0, 4))
    PhotometryReducedDatum.objects.update(source_name='a broker')
    _, counts = answers.bring(exposures(0, 4))
    assert (counts.new, counts.updated) == (4, 0)
    assert len(stored(answers.target)) == 8


def test_a_point_of_another_band_at_the_same_time_is_another_point(answers: Answers) -> None:
    by_toolkit(answers.target, atlas(row(1, band='c')))
    _, counts = answers.bring(atlas(row(1, band='o')))
    assert (counts.new, counts.updated) == (1, 0)
