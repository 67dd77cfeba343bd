"""Control light curves: eight positions round a target, asked for with it, told with its points, and never points themselves."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.models import TargetList

from tests.photometry.conftest import MINUTE, Hands
from tests.support.asking import ask, fresh, until
from tom_forced_phot import queries
from tom_forced_phot.cleaning.controls import COLUMNS, positions
from tom_forced_phot.exceptions import Refused
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import companions, turns
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

pytestmark = pytest.mark.django_db(transaction=True)
BAD, ASK = 0x400000, '/forced-photometry/ask/'


@pytest.fixture
def field(make_target: Any, atlas: Any) -> Any:
    """A supernova with nothing around it; the simulated images of all nine positions are the same."""
    target = make_target(ra=150.0, dec=10.0, permissions='PUBLIC')
    around(atlas, target, kind='nothing')
    return target


def around(atlas: Any, target: Any, **what: Any) -> None:
    for ra, dec in positions(target.ra, target.dec):
        atlas.service.sky.set_source(ra, dec, **what)


def points_of(target: Any) -> list[PhotometryReducedDatum]:
    return list(PhotometryReducedDatum.objects.filter(target=target).order_by('timestamp'))


def flags_of(target: Any) -> list[int]:
    return [int(point.value['c2_flags']) for point in points_of(target) if point.value.get('c2_flags') is not None]


def tasks(atlas: Any) -> int:
    """How many the server was ever given."""
    return len(atlas.service.log())


def test_on_the_asking_page_a_tick_asks_for_eight_positions_more_in_the_same_request(
    atlas: Any, clock: Hands, field: Any, client: Any, astronomer: Any
) -> None:
    client.force_login(astronomer)
    assert 'Control light curves' in client.get(ASK, {'target': field.pk, 'services': 'ATLAS'}).content.decode()
    wanted = {
        'targets': [field.pk],
        'services': ['ATLAS'],
        'when': 'range',
        'first': '61300',
        'last': '61340',
        'atlas-controls': 'on',
    }
    page = client.post(ASK, {**wanted, 'step': 'preview'})
    assert '9 positions in 1 request' in page.content.decode()
    seen = {'seen': page.context['seen'], 'moment': page.context['moment']}
    client.post(ASK, {**wanted, **seen, 'step': 'ask'})
    until(clock, 'done')
    query = PhotometryQuery.objects.get()
    assert (query.places, query.parameters['controls']) == (9, True)
    assert '8 of 8 control light curves' in query.message
    assert len({entry['post'] for entry in atlas.service.log()}) == 1
    assert tasks(atlas) == 9
    assert atlas.service.requests['delete'] == 9, 'each task is removed when it has been fetched'
    assert {point.value['RA'] for point in points_of(field)} == {150.0}, 'no control position is a point of the target'
    assert PhotometryReducedDatum.objects.count() == query.new
    assert b'\n#c8 ' in Path(DataProduct.objects.get().data.path).read_bytes()
    assert set(COLUMNS) <= set(points_of(field)[0].value)
    shown = client.get(reverse('photometry:query', args=[query.pk])).content.decode()
    assert 'Control light curves' in shown


def test_exposures_on_which_the_controls_are_bad_are_flagged_left_out_and_in_the_download(
    atlas: Any, clock: Hands, field: Any, client: Any, astronomer: Any
) -> None:
    around(atlas, field, kind='constant', flux=2000.0)
    ask(field, clock, controls=True)
    until(clock, 'done')
    flags = flags_of(field)
    assert flags
    assert all(flag & BAD for flag in flags)
    client.force_login(astronomer)
    where = reverse('photometry:light-curve-data', args=[field.pk])
    whole, cut = (client.get(where, given).json() for given in ({}, {'atlas': 'atclean_controls'}))
    assert whole['stored'] == len(points_of(field))
    assert 'control light curves are bad' in cut['summary']
    file = client.get(reverse('photometry:light-curve-download', args=[field.pk, 'csv'])).content.decode()
    rows = list(csv.DictReader(line for line in io.StringIO(file) if not line.startswith('#')))
    assert {int(float(row['c2_flags'])) & BAD for row in rows if row['c2_flags']} == {BAD}
    assert all(float(row['duJy_new']) > 0 for row in rows if row['duJy_new'])


def test_quiet_surroundings_flag_nothing_and_a_later_question_without_controls_leaves_what_they_said(
    atlas: Any, clock: Hands, field: Any
) -> None:
    ask(field, clock, controls=True)
    until(clock, 'done')
    before, flags = [point.value for point in points_of(field)], flags_of(field)
    assert sum(bool(flag & BAD) for flag in flags) < len(flags) / 4
    again = ask(field, clock)
    until(clock, 'done')
    assert (fresh(again).new, fresh(again).updated) == (0, 0)
    assert [point.value for point in points_of(field)] == before


def test_when_the_reply_is_lost_the_nine_are_found_again_and_not_asked_twice(atlas: Any, clock: Hands, field: Any) -> None:
    atlas.service.fault('submit', 'reset-after')
    query = ask(field, clock, controls=True)
    until(clock, 'done')
    assert tasks(atlas) == 9
    assert (RemoteJob.objects.get().sent, len(flags_of(field)) > 0) == (1, True)
    assert '8 of 8' in fresh(query).message


def test_a_control_that_brings_nothing_costs_only_itself_and_too_few_judge_nothing(atlas: Any, clock: Hands, field: Any) -> None:
    places = positions(field.ra, field.dec)
    atlas.service.set_outcome(*places[0])
    atlas.service.set_outcome(*places[1], 'Could not parse the result file')
    query = ask(field, clock, controls=True)
    until(clock, 'done')
    assert '6 of 8 control light curves' in fresh(query).message
    assert not any(flag & 0x800 for flag in flags_of(field))
    for place in places[2:5]:
        atlas.service.set_outcome(*place)
    later = ask(field, clock, controls=True, max_date=61339.0)
    until(clock, 'done')
    assert '3 of 8 control light curves' in fresh(later).message
    assert b'#c' not in Path(fresh(later).data_product.data.path).read_bytes()


def test_a_target_without_an_image_has_no_data_and_its_controls_are_removed(atlas: Any, clock: Hands, field: Any) -> None:
    atlas.service.configure(no_data=[[field.ra, field.dec]])
    ask(field, clock, controls=True)
    until(clock, 'no_data')
    assert not PhotometryReducedDatum.objects.exists()
    assert atlas.service.requests['delete'] == 9


def test_a_cancelled_question_is_stopped_at_all_nine_positions(atlas: Any, clock: Hands, field: Any) -> None:
    query = ask(field, clock, controls=True)
    queries.run(clock)
    assert tasks(atlas) == 9
    queries.cancel(query.pk, None, clock())
    until(clock, 'cancelled')
    assert atlas.service.requests['delete'] == 9
    assert not DataProduct.objects.exists()


def test_a_refused_position_of_the_nine_fails_its_question_and_no_other(
    atlas: Any, clock: Hands, field: Any, make_target: Any, monkeypatch: Any
) -> None:
    def odd(ra: float, dec: float) -> list[tuple[float, float]]:
        return [*positions(ra, dec)[:7], (ra, 90.0)] if ra == field.ra else positions(ra, dec)

    monkeypatch.setattr('tom_forced_phot.services.atlas.positions', odd)
    bad, good = ask(field, clock, controls=True), ask(make_target(), clock, controls=True)
    until(clock, 'done', 'failed')
    assert (fresh(bad).state, fresh(good).state) == ('failed', 'done')
    assert tasks(atlas) == 9


def test_nine_positions_count_as_nine_in_what_may_wait_at_the_server(
    atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(AtlasForcedPhotometryService, 'open_jobs', 20)
    monkeypatch.setattr(AtlasForcedPhotometryService, 'open_jobs_urgent', 20)
    made = [ask(make_target(), clock, controls=True) for _ in range(3)]
    queries.run(clock)
    assert tasks(atlas) == 18
    waiting = fresh(made[2])
    assert 'may wait at ATLAS' in waiting.message
    assert waiting.next_step is not None
    assert waiting.next_step > clock()
    until(clock, 'done')
    assert tasks(atlas) == 27


def test_nine_positions_are_not_passed_by_for_ever_where_single_ones_take_every_place(
    atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(AtlasForcedPhotometryService, 'open_jobs', 10)
    monkeypatch.setattr(AtlasForcedPhotometryService, 'open_jobs_urgent', 10)
    atlas.service.configure(held=True)
    single = [ask(make_target(), clock) for _ in range(4)]
    queries.run(clock)
    large = ask(make_target(), clock, controls=True)
    single += [ask(make_target(), clock) for _ in range(2)]
    queries.run(clock)
    assert {fresh(each).state for each in single} == {'submitted'}, 'smaller ones go before it at first'
    clock.move(turns.KEPT_AFTER)
    later = ask(make_target(), clock)
    queries.run(clock)
    assert (fresh(large).state, fresh(later).state) == ('queued', 'queued')
    assert 'kept free for a question of several positions' in fresh(later).message
    atlas.service.configure(held=False)
    until(clock, 'done')
    first, second = PhotometryQuery.objects.filter(pk__in=[large.pk, later.pk]).order_by('job_id', 'index')
    assert (first, second) == (large, later)


def test_who_waits_for_one_position_is_served_in_a_minute_though_routine_ones_wait_for_nine_places(
    atlas: Any, clock: Hands, make_target: Any, astronomer: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(AtlasForcedPhotometryService, 'open_jobs', 10)
    monkeypatch.setattr(AtlasForcedPhotometryService, 'open_jobs_urgent', 12)
    atlas.service.configure(held=True)
    routine = [ask(make_target(), clock) for _ in range(4)]
    large = ask(make_target(), clock, controls=True)
    PhotometryQuery.objects.update(urgent=False)
    queries.run(clock)
    clock.move(turns.KEPT_AFTER)
    person = ask(make_target(), clock, astronomer)
    queries.run(clock)
    assert {fresh(each).state for each in (*routine, person)} == {'submitted'}
    assert fresh(large).state == 'queued'


def test_the_command_takes_the_option(atlas: Any, clock: Hands, field: Any) -> None:
    some = TargetList.objects.create(name='Supernovae')
    some.targets.add(field)
    with pytest.raises(SystemExit):
        call_command(
            'runforcedphotometry', ask='ATLAS', targets='Supernovae', first='61300', last='61340', option=['controls=true']
        )
    assert PhotometryQuery.objects.get().places == 9


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'pm_ra': 800.0, 'epoch': 2000.0}, 'control light curves lie around a position that stays'),
        ({'dec': 89.95}, 'too near to a pole'),
        ({'type': 'NON_SIDEREAL', 'ra': None, 'dec': None, 'name': '(433)', 'scheme': 'MPC_MINOR_PLANET'}, 'Ask without them'),
    ],
)
def test_what_has_no_controls_is_refused_in_words(atlas: Any, clock: Hands, make_target: Any, given: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        ask(make_target(**given), clock, controls=True)


def test_controls_that_never_end_do_not_cost_the_result_of_the_target(atlas: Any, clock: Hands, field: Any, settings: Any) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'DEADLINE_HOURS': 5}
    atlas.service.configure(held=True)
    query = ask(field, clock, controls=True)
    queries.run(clock)
    first, second, *_ = atlas.service.log()
    atlas.service.set_task(first['id'])
    atlas.service.set_task(second['id'])
    until(clock, 'done', hours=6)
    assert fresh(query).new == len(points_of(field)) > 0
    assert '1 of 8 control light curves, too few to be used' in fresh(query).message
    assert atlas.service.requests['delete'] == 9, 'those that still wait at the server are stopped'


def test_a_target_whose_own_task_is_gone_has_its_controls_removed(atlas: Any, clock: Hands, field: Any) -> None:
    atlas.service.configure(held=True)
    query = ask(field, clock, controls=True)
    queries.run(clock)
    row = fresh(query)
    remote = {**row.remote, companions.EACH: [{'state': 'submitted', 'remote': {'id': 999_999}}, *row.remote[companions.EACH][1:]]}
    PhotometryQuery.objects.filter(pk=query.pk).update(remote={**remote, 'id': 999_999})
    until(clock, 'expired')
    assert atlas.service.requests['delete'] >= 8


def test_a_question_waits_until_no_position_of_it_is_waited_for(atlas: Any, clock: Hands, field: Any) -> None:
    query = ask(field, clock, controls=True)
    queries.run(clock)
    atlas.service.set_task(atlas.service.log()[0]['id'])
    clock.move(MINUTE)
    for _ in range(3):
        queries.run(clock)
    row = PhotometryQuery.objects.select_related('job').get(pk=query.pk)
    assert row.state == 'running'
    assert 'of 9 positions are measured' in row.message
    assert row.job is not None
    assert 0 < len(companions.open_parts(row, row.job)) < 9
    until(clock, 'done')
