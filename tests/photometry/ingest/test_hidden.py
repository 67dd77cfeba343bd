"""A point that was hidden by hand stays hidden while its exposure is there, whichever file it comes from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tests.photometry.ingest.test_merging import merge
from tests.photometry.ingest.test_toolkit import by_toolkit
from tests.photometry.ingest.test_uploads import nameless
from tests.support.databases import (  # noqa: F401
    database_url,
    migrated_postgres,
    migrated_sqlite,
    postgres_server,
    postgres_url,
    sqlite_url,
)
from tests.support.ingesting import NOW, Answers, exposures, files, make_target, on_both, stored, upload  # noqa: F401
from tom_forced_phot import ingest as ingesting
from tom_forced_phot.ingest import hidden
from tom_forced_phot.models import HiddenPoint


@pytest.fixture
def answers(on_both: str) -> Answers:  # noqa: F811
    return Answers(make_target())


def brought(answers: Answers) -> None:
    answers.bring(exposures(0, 6))


def uploaded(answers: Answers) -> None:
    ingesting.process(upload(answers.target, exposures(0, 6)), 'ATLAS')


def without_names(answers: Answers) -> None:
    ingesting.process(upload(answers.target, nameless(exposures(0, 6)), 'nameless.txt'), 'ATLAS')


def of_the_toolkit(answers: Answers) -> None:
    by_toolkit(answers.target, exposures(0, 6))


def shown_without(target: Any) -> list[int]:
    """Which exposures are hidden, by their place in time; an exposure that is there twice would count twice."""
    points = PhotometryReducedDatum.objects.filter(target=target)
    found = hidden.hidden_points(points, target)
    return [place for place, point in enumerate(stored(target)) if point.pk in found]


@pytest.mark.parametrize(
    ('first', 'then'),
    [
        (brought, uploaded),
        (brought, without_names),
        (without_names, brought),
        (of_the_toolkit, brought),
        (of_the_toolkit, without_names),
    ],
)
def test_a_hidden_point_stays_hidden_when_its_exposure_comes_from_another_file(
    answers: Answers, first: Callable[[Answers], None], then: Callable[[Answers], None]
) -> None:
    first(answers)
    hidden.hide(stored(answers.target)[2], None, 'a satellite', NOW)
    assert shown_without(answers.target) == [2]
    then(answers)
    assert (len(stored(answers.target)), shown_without(answers.target)) == (6, [2])


@pytest.mark.parametrize(('first', 'then'), [(brought, without_names), (without_names, brought), (brought, uploaded)])
def test_a_hidden_point_stays_hidden_when_another_file_takes_the_place_of_one_that_was_deleted(
    answers: Answers, first: Callable[[Answers], None], then: Callable[[Answers], None]
) -> None:
    first(answers)
    hidden.hide(stored(answers.target)[2], None, 'a satellite', NOW)
    DataProduct.objects.all().delete()
    then(answers)
    assert shown_without(answers.target) == [2]
    point = stored(answers.target)[2]
    assert hidden.hidden_row(point) is not None
    assert hidden.show_again(point)
    assert (shown_without(answers.target), hidden.hidden_row(point)) == ([], None)


@pytest.mark.parametrize('both_hid_it', [False, True])
def test_what_was_hidden_at_either_target_stays_hidden_where_the_two_are_merged(on_both: str, both_hid_it: bool) -> None:  # noqa: F811
    stays, goes = Answers(make_target('SN 2011fe')), Answers(make_target('PTF11kly'))
    stays.bring(exposures(0, 4))
    goes.bring(exposures(2, 6))
    hidden.hide(stored(goes.target)[0], None, 'a satellite', NOW)  # of an exposure that both have
    hidden.hide(stored(goes.target)[3], None, 'a cloud', NOW)
    hidden.hide(stored(stays.target)[2 if both_hid_it else 1], None, 'the moon', NOW)
    merge(stays.target, goes.target)
    assert shown_without(stays.target) == ([2, 5] if both_hid_it else [1, 2, 5])
    assert hidden.show_again(stored(stays.target)[2])
    assert 2 not in shown_without(stays.target)


def test_more_points_than_one_target_may_hide_stay_hidden_after_a_merge(answers: Answers) -> None:
    brought(answers)
    point = stored(answers.target)[0]
    hidden.hide(point, None, 'the first of all', NOW)
    named = hidden.identity(point) | {'exposure': ''}
    HiddenPoint.objects.bulk_create(
        HiddenPoint(
            target_id=answers.target.pk, **named | {'timestamp': NOW + timedelta(seconds=number)}, reason='a cloud', created=NOW
        )
        for number in range(hidden.MOST + 1)
    )
    assert shown_without(answers.target) == [0]


def test_a_point_of_another_unit_at_the_same_time_is_not_hidden_with_it(answers: Answers) -> None:
    answers.bring(exposures(0, 2))
    point = stored(answers.target)[0]
    hidden.hide(point, None, 'a satellite', NOW)
    named = hidden.identity(point)
    other = PhotometryReducedDatum.objects.create(
        target_id=answers.target.pk, timestamp=point.timestamp, bandpass=point.bandpass, source_name='ATLAS', instrument='01a',
        reduction_version='difference', brightness=17.0, value={'exposure': '01a60000o00000c', 'flux': 500.0},
    )  # fmt: skip
    assert hidden.hidden_row(other) is None
    assert named['instrument'] != '01a'
