"""What goes wrong in the toolkit's own services today (F1 to F21), each as the user would see it, and how it goes here.

F2, F13 and F14 are Pan-STARRS': see test_panstarrs_end_to_end.py. F4, F7, F9 and F18 are the ingestion's and the readers': they are
shown here through whole queries once more.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tests.photometry.conftest import MINUTE, Hands, configure
from tests.photometry.queries.test_lost_and_wrong_replies import knows_no_such_name
from tests.support.asking import ask, ended, fresh, until
from tom_forced_phot import conf, queries
from tom_forced_phot.exceptions import Refused
from tom_forced_phot.models import PhotometryQuery

pytestmark = pytest.mark.django_db(transaction=True)


def points(target: Any) -> Any:
    return PhotometryReducedDatum.objects.filter(target=target)


def test_f1_no_data_ends_after_a_few_looks(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.configure(no_data=[[target.ra, target.dec]])
    query = ask(target, clock)
    until(clock, 'no_data')
    assert atlas.service.requests['status'] + atlas.service.requests['list'] < 10
    assert fresh(query).closed is not None


def test_f3_a_rejected_question_is_never_said_to_be_complete(atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any) -> None:
    query = ask(make_target(name='(1) Ceres', type='NON_SIDEREAL', ra=None, dec=None), clock)
    monkeypatch.setattr(atlas.service, '_wanted', knows_no_such_name)
    said = queries.start([query.pk], clock, wait=lambda seconds: clock.move(MINUTE))
    assert said.startswith('Failed: ATLAS refused it (400)')


def test_f4_a_re_reduced_exposure_stays_one_point(atlas: Any, clock: Hands, target: Any) -> None:
    ask(target, clock)
    until(clock, 'done')
    before = points(target).count()
    atlas.service.configure(revision=2)
    ask(target, clock)
    until(clock, 'done')
    exposures = [value['exposure'] for value in points(target).values_list('value', flat=True)]
    assert len(exposures) == len(set(exposures)) == before


def test_f5_reduced_and_difference_photometry_can_be_told_apart(atlas: Any, clock: Hands, target: Any) -> None:
    ask(target, clock, use_reduced=True)
    until(clock, 'done')
    assert set(points(target).values_list('reduction_version', flat=True)) == {'reduced'}


def test_f6_flux_and_quality_are_kept_also_where_the_flux_is_negative(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.sky.set_source(target.ra, target.dec, kind='constant', flux=-30.0)
    ask(target, clock)
    until(clock, 'done')
    values = list(points(target).values_list('value', flat=True))
    assert any(value['flux'] < 0 for value in values)
    assert {'flux', 'flux_error', 'err', 'chi/N', 'mag5sig', 'Sky', 'Obs'} <= set(values[0])
    assert set(points(target).values_list('unit', flat=True)) == {'AB mag'}


def test_f8_an_error_page_becomes_no_data_product(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.fault('result', '500', count=2)
    ask(target, clock)
    until(clock, 'done')
    assert DataProduct.objects.count() == 1


def test_f9_text_of_a_server_is_never_taken_as_a_file_name(atlas: Any, clock: Hands, target: Any, tmp_path: Any) -> None:
    bait = tmp_path / 'bait.csv'
    bait.write_text('MJD,m,dm,uJy,duJy,F\n60000,1,1,1,1,o\n')
    atlas.service.fault('result', 'html', count=-1, text=str(bait))
    query = ask(target, clock)
    ended(clock)
    assert fresh(query).state == 'failed'
    assert not points(target).exists()


def test_f11_a_hanging_service_costs_one_call_and_not_the_worker(atlas: Any, clock: Hands, target: Any, settings: Any) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'READ_TIMEOUT': 0.3}
    atlas.service.fault('status', 'hang')
    query = ask(target, clock)
    until(clock, 'done')
    assert fresh(query).new > 0


def test_f12_a_broken_connection_loses_no_job(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.fault('status', 'reset-before', count=3)
    ask(target, clock)
    until(clock, 'done')
    assert len(atlas.service.log()) == 1


@pytest.mark.parametrize('zone', ['Asia/Tokyo', 'America/Los_Angeles'])
def test_f15_dates_are_utc_whatever_the_server_is_set_to(atlas: Any, clock: Hands, target: Any, settings: Any, zone: str) -> None:
    settings.TIME_ZONE = zone
    ask(target, clock)
    until(clock, 'done')
    entry = atlas.service.log()[0]
    assert (entry['begin'], entry['end']) == (61300.0, 61340.0)
    first = points(target).order_by('timestamp').first()
    assert conf.utc_now() > first.timestamp
    assert first.value['MJD'] + 15 / 86400 == pytest.approx(first.timestamp.timestamp() / 86400 + 40587, abs=1e-8)


def test_f16_a_moving_target_is_asked_by_its_name(atlas: Any, clock: Hands, make_target: Any, settings: Any) -> None:
    moving = make_target(name='2024 YR4', type='NON_SIDEREAL', ra=None, dec=None, scheme='MPC_MINOR_PLANET')
    ask(moving, clock)
    queries.run(clock)
    assert [entry['name'] for entry in atlas.service.log()] == ['K24Y04R']
    configure(settings, 'ZTF', email='vera@example.org', userpass='stars')
    with pytest.raises(Refused, match='moving'):
        ask(moving, clock, service='ZTF')


def test_f16_proper_motion_goes_along(atlas: Any, clock: Hands, make_target: Any) -> None:
    star = make_target(name='Barnard', ra=269.45, dec=4.69, pm_ra=-801.55, pm_dec=10362.39, epoch=2000.0)
    ask(star, clock)
    queries.run(clock)
    task = atlas.service.queue.tasks[atlas.service.log()[0]['id']]
    assert (task.propermotion_ra, task.propermotion_dec, task.radec_epoch_year) == (-801.55, 10362.4, 2000.0)


def test_f18_the_same_file_again_is_said_to_bring_nothing_new(atlas: Any, clock: Hands, target: Any) -> None:
    first = ask(target, clock)
    until(clock, 'done')
    second = ask(target, clock)
    until(clock, 'done')
    assert fresh(first).new == fresh(second).unchanged > 0
    assert (fresh(second).new, fresh(second).updated) == (0, 0)


def test_f20_without_workers_the_web_request_ends_in_time_and_the_command_carries_on(atlas: Any, clock: Hands, target: Any) -> None:
    atlas.service.configure(held=True)
    query = ask(target, clock)
    began = clock()
    said = queries.start([query.pk], clock, wait=lambda seconds: clock.move(MINUTE))
    assert (clock() - began).total_seconds() <= 120
    assert said.endswith('It is carried on by manage.py runforcedphotometry.')
    atlas.service.configure(held=False)
    until(clock, 'done')


def test_f21_nothing_is_printed_and_nobodys_log_level_is_forced(
    atlas: Any, clock: Hands, target: Any, capsys: Any, settings: Any
) -> None:
    configure(settings, 'ATLAS', api_key=atlas.service.token)
    ask(target, clock)
    until(clock, 'done')
    assert capsys.readouterr().out == ''
    named = [name for name in logging.root.manager.loggerDict if name.startswith('tom_forced_phot')]
    assert {logging.getLogger(name).level for name in named} == {logging.NOTSET}
    assert PhotometryQuery.objects.count() == 1
