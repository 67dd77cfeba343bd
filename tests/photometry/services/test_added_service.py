"""A resumable service of a site's own, as docs/add-a-service.md shows it, from the question to the points."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tom_dataproducts.models
from django.core.files.base import ContentFile
from tom_dataproducts.data_processor import run_data_processor
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tests.photometry.conftest import MINUTE, Hands
from tests.photometry.examples.lighthouse import CURVE, TOKEN, Lighthouse
from tests.photometry.examples.resumable import LighthouseService
from tests.photometry.examples.tiny import Tiny, serve
from tests.support.asking import DATES, fresh, until
from tests.support.asking import ask as ask_service
from tom_forced_phot import checks, queries
from tom_forced_phot.exceptions import BadFile, Refused
from tom_forced_phot.models import PhotometryQuery, RemoteJob

pytestmark = pytest.mark.django_db(transaction=True)
KIND, HERE = 'lighthouse_photometry', 'tests.photometry.examples.resumable'


@pytest.fixture
def house() -> Lighthouse:
    return Lighthouse()


@pytest.fixture
def lighthouse(house: Lighthouse, clock: Hands, settings: Any, data_folder: Any, monkeypatch: Any) -> Iterator[Tiny]:
    """The running server, and the settings that the page says to write."""
    types = {**settings.DATA_PRODUCT_TYPES, KIND: (KIND, 'Lighthouse photometry')}
    settings.DATA_PRODUCT_TYPES = types
    monkeypatch.setattr(tom_dataproducts.models, 'DATA_TYPE_CHOICES', list(types.values()))  # read once by the toolkit
    settings.DATA_PROCESSORS = {**settings.DATA_PROCESSORS, KIND: 'tom_forced_phot.processors.ForcedPhotometryProcessor'}
    with serve(house) as server:
        settings.FORCED_PHOTOMETRY_SERVICES = {
            'LIGHTHOUSE': {'class': f'{HERE}.LighthouseService', 'url': server.url, 'api_key': TOKEN}
        }
        yield server


def ask(target: Any, clock: Hands, **more: Any) -> PhotometryQuery:
    return ask_service(target, clock, service='Lighthouse', **more)


def methods(server: Tiny) -> list[str]:
    return [asked.method for asked in server.log]


def test_the_settings_of_the_page_pass_the_checks(lighthouse: Tiny) -> None:
    assert checks.services_check() == []


def test_a_question_ends_in_a_file_and_points_with_flux_and_limit(
    lighthouse: Tiny, house: Lighthouse, clock: Hands, target: Any, data_folder: Path
) -> None:
    query = ask(target, clock)
    until(clock, 'done')
    query = fresh(query)
    assert (query.rows, query.new, query.rejected) == (2, 2, 0)
    bright, faint = PhotometryReducedDatum.objects.order_by('timestamp')
    assert (bright.brightness, bright.limit, bright.bandpass) == (pytest.approx(18.9), None, 'r')
    assert (faint.brightness, faint.limit) == (None, pytest.approx(20.2072, abs=1e-4))
    assert (bright.value['flux'], faint.value['flux'], faint.value['flux_unit']) == (100.0, -5.0, 'uJy')
    assert (bright.source_name, bright.reduction_version, bright.telescope) == ('Lighthouse', 'difference', 'Lighthouse')
    assert (bright.timestamp - clock()).total_seconds() == pytest.approx((61301.25 - mjd(clock)) * 86400 + 30, abs=1e-3)
    assert (data_folder / query.data_product.data.name).read_bytes() == CURVE
    assert house.tasks == {}, 'the finished request is removed, as is polite'
    asked = lighthouse.log[0]
    assert (asked.method, asked.path) == ('POST', '/api/requests')
    assert {name: asked.given[name] for name in ('ra', 'dec', 'mjd_min', 'mjd_max')} == {
        'ra': '210.774000',
        'dec': '54.274000',
        'mjd_min': '61300.00000',
        'mjd_max': '61340.00000',
    }


def mjd(clock: Hands) -> float:
    return clock().timestamp() / 86400 + 40587


def test_a_request_whose_reply_was_lost_is_found_and_not_sent_twice(
    lighthouse: Tiny, house: Lighthouse, clock: Hands, target: Any
) -> None:
    house.lose = ['POST']
    query = ask(target, clock)
    until(clock, 'done')
    assert methods(lighthouse).count('POST') == 1
    assert fresh(query).new == 2
    assert RemoteJob.objects.get().sent == 1


def test_a_request_that_never_arrived_is_sent_again(lighthouse: Tiny, house: Lighthouse, clock: Hands, target: Any) -> None:
    away = lighthouse.answer
    lighthouse.answer = lambda asked: None
    query = ask(target, clock)
    queries.run(clock)
    lighthouse.answer = away
    until(clock, 'done')
    assert fresh(query).new == 2
    assert RemoteJob.objects.get().sent == 2


@pytest.mark.parametrize('verb', ['GET', 'DELETE'])
def test_any_other_lost_reply_costs_time_only(lighthouse: Tiny, house: Lighthouse, clock: Hands, target: Any, verb: str) -> None:
    house.lose = [verb]
    query = ask(target, clock)
    until(clock, 'done')
    assert fresh(query).new == 2
    assert methods(lighthouse).count('POST') == 1


@pytest.mark.parametrize(
    ('state', 'end', 'words'), [('nothing', 'no_data', 'nothing'), ('broken', 'failed', 'broken'), ('dancing', 'failed', 'dancing')]
)
def test_what_the_service_says_is_how_the_query_ends(
    lighthouse: Tiny, house: Lighthouse, clock: Hands, target: Any, state: str, end: str, words: str
) -> None:
    house.state = state
    query = ask(target, clock)
    until(clock, end)
    assert words in fresh(query).message
    assert not DataProduct.objects.exists()


BAD = {
    '<html>Sorry</html>': 'This is not a light curve of Lighthouse: it has no column mjd_start.',
    'mjd_start,flux\n61301.25,100.0\n': 'This is not a light curve of Lighthouse: it has no column error.',
    'mjd_start,flux,error,band,image\n61301.25,bright,10.0,r,im1\n': (
        "A row of this light curve of Lighthouse cannot be read: could not convert string to float: 'bright'."
    ),
}


@pytest.mark.parametrize('text', BAD)
def test_a_result_that_is_none_is_a_sentence_and_no_file(
    lighthouse: Tiny, house: Lighthouse, clock: Hands, target: Any, text: str
) -> None:
    house.curve = text.encode()
    query = ask(target, clock)
    until(clock, 'failed')
    assert (fresh(query).message, fresh(query).problem) == (BAD[text], BadFile.__name__)
    assert not DataProduct.objects.exists()


def test_a_light_curve_without_points_is_no_data(lighthouse: Tiny, house: Lighthouse, clock: Hands, target: Any) -> None:
    house.curve = CURVE.splitlines()[0]
    query = ask(target, clock)
    until(clock, 'no_data')
    assert fresh(query).message == 'Lighthouse measured nothing at these dates.'


def test_a_wrong_token_is_never_shown(lighthouse: Tiny, clock: Hands, target: Any, settings: Any, caplog: Any) -> None:
    entry = {**settings.FORCED_PHOTOMETRY_SERVICES['LIGHTHOUSE'], 'api_key': 'token-of-another-house'}
    settings.FORCED_PHOTOMETRY_SERVICES = {'LIGHTHOUSE': entry}
    query = ask(target, clock)
    until(clock, 'failed')
    assert 'does not accept the credentials (401): Who are you?' in fresh(query).message
    assert 'token-of-another-house' not in fresh(query).message + caplog.text


def test_what_it_cannot_measure_is_refused_before_it_is_asked(lighthouse: Tiny, clock: Hands, make_target: Any) -> None:
    for words, given in {
        'has a proper motion': {'pm_ra': 100.0},
        'sees nothing south of declination -20': {'dec': -30.0},
        'moving target': {'type': 'NON_SIDEREAL', 'ra': None, 'dec': None},
    }.items():
        with pytest.raises(Refused, match=words):
            ask(make_target(**given), clock)
    with pytest.raises(Refused, match='has measured since MJD 58849'):
        ask(make_target(), clock, min_date=58000.0, max_date=58001.0)
    assert lighthouse.log == []


def test_cancelling_stops_it_at_the_service(lighthouse: Tiny, house: Lighthouse, clock: Hands, target: Any) -> None:
    house.state = 'measuring'
    query = ask(target, clock)
    queries.run(clock)
    clock.move(MINUTE)
    queries.run(clock)
    assert fresh(query).state == 'running'
    queries.cancel(query.pk, None, clock())
    assert house.tasks == {}


def test_a_file_uploaded_by_hand_ends_in_the_same_points(lighthouse: Tiny, clock: Hands, target: Any, make_target: Any) -> None:
    ask(target, clock)
    until(clock, 'done')
    other = make_target()
    product = DataProduct(target=other, data_product_type=KIND)
    product.data.save('by_hand.csv', ContentFile(CURVE))
    product.save()
    run_data_processor(product)
    fields = ('timestamp', 'brightness', 'limit', 'bandpass', 'source_name', 'value')
    uploaded, asked = (list(PhotometryReducedDatum.objects.filter(target=each).values(*fields)) for each in (other, target))
    assert uploaded == asked


def test_its_parameters_can_be_stored_and_compared(clock: Hands) -> None:
    made = LighthouseService({}).parameters(DATES, clock())
    assert json.loads(json.dumps(made)) == made == {'mjd_min': 61300.0, 'mjd_max': 61340.0, 'reduction': 'difference'}
