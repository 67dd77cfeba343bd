"""The demo's forced photometry: what its balance finds, and how it words what became of a query."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from tom_dataproducts.models import PhotometryReducedDatum

from custom_code.demo import balance as balances
from custom_code.demo import stage
from custom_code.demo.photometry import left_out, words_of
from tom_forced_phot.models import PhotometryQuery

pytestmark = pytest.mark.django_db
DATES = {'mjd_min': 61000.0, 'mjd_max': 61365.0}


class Log:
    """The control of a service, with a log and counts that a test writes."""

    def __init__(self, target: Any) -> None:
        self.where = {'ra': target.ra, 'dec': target.dec, 'begin': DATES['mjd_min'], 'end': DATES['mjd_max']}
        self.entries: list[dict[str, Any]] = []
        self.times: dict[str, list[Any]] = {}
        self.other = 0

    def add(self, number: int, **changes: Any) -> None:
        usual = {'id': number, 'mode': 'difference', 'post': len(self.entries) + 1, 'lost': ''}
        self.entries.append(self.where | usual | changes)

    def log(self) -> list[dict[str, Any]]:
        return self.entries

    def ask(self, name: str) -> dict[str, Any]:
        posts = len({(each['mode'], each['post']) for each in self.entries})
        return {'times': self.times, 'requests': {'submit': posts, 'rest': sum(map(len, self.times.values())) + self.other}}


@pytest.fixture
def atlas(target: Any) -> Log:
    return Log(target)


@pytest.fixture
def ask(target: Any) -> Any:
    def build(**given: Any) -> PhotometryQuery:
        number = PhotometryQuery.objects.count()
        usual = {'service': 'ATLAS', 'target_id': target.pk, 'parameters': DATES, 'question': str(number), 'state': 'done'}
        return PhotometryQuery.objects.create(**{**usual, 'created': timezone.now(), **given})

    return build


@pytest.fixture
def other_target(target: Any) -> Any:
    return type(target).objects.create(name='SN 2', type='SIDEREAL', ra=target.ra + 5, dec=target.dec)


def balance(atlas: Log) -> balances.QueryBalance:
    return balances.balance_queries({'ATLAS': atlas})  # type: ignore[dict-item]


def test_a_job_for_each_query_is_right_also_where_the_same_was_asked_twice(atlas: Log, ask: Any) -> None:
    first, second = ask(rows=4, new=3, rejected=1), ask(rows=4, unchanged=3, rejected=1)
    atlas.add(1)
    atlas.add(2)
    atlas.times = {'1': ['status', 'result'], '2': ['status']}
    for _ in range(3):
        point = {'target_id': first.target_id, 'source_name': 'ATLAS', 'bandpass': 'o', 'timestamp': timezone.now()}
        PhotometryReducedDatum.objects.create(**point, brightness=17.0)
    found = balance(atlas)
    assert found.complaints() == []
    assert (found.jobs, found.requests, found.points) == ({'ATLAS': 2}, {'ATLAS': 5}, 3)
    log = balances.read_log('ATLAS', atlas)  # type: ignore[arg-type]
    assert [log.of(query) for query in (first, second)] == [(3, False), (2, False)]
    assert 'ended in points 2, no data 0, failed 0, points stored 3, points doubled 0' in str(found)


def test_what_is_wrong_is_named(atlas: Log, ask: Any, target: Any) -> None:
    query = ask(rows=5, new=2, rejected=1)
    nothing = ask(parameters=DATES | {'mjd_min': 61100.0})
    ask(state='queued', parameters=DATES | {'mjd_min': 61200.0})
    for number in (1, 2):
        atlas.add(number)
    atlas.add(3, ra=1.0)
    atlas.other = 4
    point = {'target_id': target.pk, 'source_name': 'ATLAS', 'bandpass': 'o', 'timestamp': timezone.now()}
    for number in range(3):
        PhotometryReducedDatum.objects.create(**point, brightness=17.0 + number)
    assert balance(atlas).complaints() == [
        'jobs asked for twice: ATLAS 2',
        'jobs nobody asked for: ATLAS 3',
        f'queries that ended without a job: {nothing.pk}',
        f'queries whose rows are not all accounted for: {query.pk}',
        'points stored twice: 2',
        'points stored: 3, but the queries brought 2',
        'requests that belong to no query: 6',
        'queries still open: 1',
    ]


def test_a_request_for_several_counts_for_each_and_a_julian_date_is_one(atlas: Log, ask: Any, other_target: Any) -> None:
    query, other = ask(), ask(target_id=other_target.pk)
    julian = {'begin': DATES['mjd_min'] + 2400000.5, 'end': DATES['mjd_max'] + 2400000.5, 'mode': 'batch', 'post': 1}
    atlas.add(7, **julian)
    atlas.add(8, **julian, ra=other_target.ra)
    atlas.times = {'batch status': ['page', 'page'], '7': ['result']}
    log = balances.read_log('ATLAS', atlas)  # type: ignore[arg-type]
    assert [log.of(query), log.of(other), log.requests, log.strays] == [(4, True), (3, True), 4, 0]


def test_words_say_what_the_figures_do_not(ask: Any) -> None:
    reasons = '5 rows: no flux (procstatus 56: bad; worse), lines 1, 2 ...; 2 rows: no flux (61), lines 3, 4.'
    assert words_of(ask(new=2, message=f'9 rows: 2 new; left out: {reasons}')) == 'Points stored. Left out: no flux (7).'
    assert words_of(ask(unchanged=2, message='2 rows: 0 new, 2 unchanged.')) == 'The same points again: nothing changed.'
    stays = '2 rows: 0 new, 2 unchanged; 2 stay as the batch service measured them.'
    assert words_of(ask(unchanged=2, message=stays)) == 'The same points again: as the batch measured them.'
    assert words_of(ask(state='failed', message='ATLAS says: no.')) == 'Failed: ATLAS says: no.'
    assert left_out('3 rows: 2 new; left out: 1 row: no time, line 3.') == 'Left out: no time (1).'


def test_figures_are_set_to_the_right() -> None:
    line = next(iter(stage.PHOTOMETRY.lines(('11-19 12:00', 'ATLAS', 'M31', 'Points stored.', '12', '3', '9', '0', '4'))))
    assert line.split() == ['11-19', '12:00', 'ATLAS', 'M31', 'Points', 'stored.', '12', '3', '9', '0', '4']
    assert len(line) == sum(stage.PHOTOMETRY.widths) + 2 * (len(stage.PHOTOMETRY.widths) - 1)


def test_long_reasons_are_folded() -> None:
    folded = list(stage.NIGHTS.lines(('1', '11-21', 'M31', 'word ' * 30, '#1')))
    assert len(folded) == 3
    assert folded[0].startswith('1')
    assert all(line.startswith(' ' * 40) and len(line) < 140 for line in folded[1:])
