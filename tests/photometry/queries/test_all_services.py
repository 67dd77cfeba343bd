"""All three services end to end: the engine, real HTTP, simulated servers, a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from simulators.atlas import AtlasServer, serve_atlas
from simulators.foreign_host import ForeignHost
from simulators.mast import MastServer, serve_mast
from simulators.server import serve
from simulators.zfps import USERS, ZfpsServer, serve_zfps
from tests.photometry.conftest import Hands, configure, hands
from tom_followup.units import mjd_of
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryQuery, RemoteJob

pytestmark = pytest.mark.django_db(transaction=True)
NAMES = {'atlas': 'ATLAS', 'zfps': 'ZTF', 'mast': 'PanSTARRS'}
TYPES = {'atlas': 'atlas_photometry', 'zfps': 'ztf_photometry', 'mast': 'panstarrs_photometry'}
DATES = {'min_date': 61000.0, 'max_date': 61340.0}
EMAIL, PASSWORD = next(iter(USERS.items()))
STEP = timedelta(minutes=10)


@pytest.fixture
def clock(settings: Any, tmp_path: Any) -> Hands:
    """The clock of the engine and of all services."""
    hands.__init__()  # type: ignore[misc]
    settings.TOM_FORCED_PHOT = {'CLOCK': 'tests.photometry.conftest.present', 'CONNECT_TIMEOUT': 2, 'READ_TIMEOUT': 2}
    settings.MEDIA_ROOT = tmp_path / 'data'
    return hands


@pytest.fixture
def servers(clock: Hands, settings: Any) -> Iterator[dict[str, Any]]:
    """The three services, as the settings name them."""
    with serve_atlas(AtlasServer(seed=3)) as atlas, serve_zfps(ZfpsServer(seed=3)) as zfps, serve_mast(MastServer(seed=3)) as mast:
        found = {'atlas': atlas, 'zfps': zfps, 'mast': mast}
        for server in found.values():
            clock.follow(server.service)
        configure(settings, 'ATLAS', url=atlas.url, api_key=atlas.service.token)
        configure(settings, 'ZTF', url=zfps.url, email=EMAIL, userpass=PASSWORD)
        configure(settings, 'PANSTARRS', url=mast.url, api_key='MAST_API_TOKEN not set')
        yield found


@pytest.fixture
def targets(db: Any) -> Callable[[int], list[Any]]:
    """Make so many targets, far from each other."""
    from tom_targets.models import Target

    def build(number: int = 1) -> list[Any]:
        places = [(f'SN {each}', 150.0 + 3 * each, 20.0 + each) for each in range(number)]
        return [Target.objects.create(name=name, type='SIDEREAL', ra=ra, dec=dec, permissions='OPEN') for name, ra, dec in places]

    return build


def ask(which: str, target: Any, clock: Hands, **more: Any) -> PhotometryQuery:
    return queries.ask(NAMES[which], target, {**DATES, **more}, None, clock()).query


def fresh(query: PhotometryQuery) -> PhotometryQuery:
    return PhotometryQuery.objects.get(pk=query.pk)


def settle(clock: Hands, hours: float = 12) -> None:
    """Let time pass, with a run of the command every ten minutes, until every query has ended."""
    for _ in range(int(hours * 6)):
        if not queries.run(clock).waiting:
            return
        clock.move(STEP)
    raise AssertionError(list(PhotometryQuery.objects.values_list('service', 'state', 'message')))


def secrets_shown() -> list[str]:
    """Messages of queries and jobs that show an account."""
    texts = [*PhotometryQuery.objects.values_list('message', flat=True), *RemoteJob.objects.values_list('message', flat=True)]
    return [text for text in texts if EMAIL in text or PASSWORD in text]


# --- what should happen ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('which', NAMES)
def test_a_question_ends_in_points_and_a_file(servers: Any, clock: Hands, targets: Any, which: str) -> None:
    (target,) = targets(1)
    query = ask(which, target, clock)
    settle(clock)
    query = fresh(query)
    assert (query.state, query.problem) == ('done', ''), query.message
    points = PhotometryReducedDatum.objects.filter(target=target)
    assert query.new == points.count() > 10
    assert query.rows == query.new + query.rejected
    product = DataProduct.objects.get()
    assert (product.pk, product.data_product_type) == (query.data_product_id, TYPES[which])
    assert set(points.values_list('source_name', 'unit')) == {(NAMES[which], 'AB mag')}
    assert RemoteJob.objects.get().state == 'closed'


def test_asking_again_brings_only_what_is_new(servers: Any, clock: Hands, targets: Any) -> None:
    (target,) = targets(1)
    for which in NAMES:
        ask(which, target, clock)
    settle(clock)
    before = PhotometryReducedDatum.objects.count()
    clock.move(timedelta(days=1))
    again = [ask(which, target, clock) for which in NAMES]
    settle(clock)
    assert [fresh(query).state for query in again] == ['done'] * 3
    assert [(fresh(query).new, fresh(query).updated) for query in again] == [(0, 0)] * 3
    assert PhotometryReducedDatum.objects.count() == before


@pytest.mark.parametrize(('which', 'requests'), [('atlas', 1), ('zfps', 1), ('mast', 4)])
def test_several_targets_each_get_their_own_points(servers: Any, clock: Hands, targets: Any, which: str, requests: int) -> None:
    asked = [(target, ask(which, target, clock)) for target in targets(4)]
    settle(clock)
    counts = servers[which].service.counts()['requests']
    assert counts['mean' if which == 'mast' else 'submit'] == requests
    assert len({fresh(query).job_id for _, query in asked}) == requests
    for target, query in asked:
        assert fresh(query).state == 'done', fresh(query).message
        assert PhotometryReducedDatum.objects.filter(target=target).count() == fresh(query).new > 0
        assert fresh(query).data_product.target_id == target.pk


def test_pan_starrs_takes_the_right_object_and_adds_the_means(servers: Any, clock: Hands, targets: Any) -> None:
    (target,) = targets(1)
    query = ask('mast', target, clock, add_mean=True, add_forced_mean=True)
    settle(clock)
    own = servers['mast'].service.add_object(target.ra, target.dec)[0]
    points = PhotometryReducedDatum.objects.filter(target=target)
    assert set(points.values_list('reduction_version', flat=True)) == {'detection', 'mean', 'forced_mean'}
    assert fresh(query).remote['objID'] == str(own)
    assert {point.value['objID'] for point in points} == {own}
    assert servers['mast'].service.counts()['credentials'] == 0


def test_without_an_end_ztf_is_asked_until_now(servers: Any, clock: Hands, targets: Any) -> None:
    (target,) = targets(1)
    query = queries.ask('ZTF', target, {}, None, clock()).query
    assert not queries.ask('ZTF', target, {}, None, clock.move(STEP)).created, 'the same question, ten minutes later'
    sent = mjd_of(clock())
    settle(clock)
    entry = servers['zfps'].service.log()[0]
    assert entry['begin'] == 2458194.5
    assert entry['end'] == pytest.approx(sent + 2400000.5, abs=1e-4)
    assert fresh(query).state == 'done'


def test_ztf_is_not_asked_how_it_is_all_the_time(servers: Any, clock: Hands, targets: Any) -> None:
    servers['zfps'].service.configure(wait=48 * 3600)
    ask('zfps', targets(1)[0], clock)
    settle(clock, hours=60)
    assert servers['zfps'].service.counts()['requests']['status'] < 150


# --- nothing, and errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('which', 'words'), [('atlas', 'no image'), ('zfps', 'no images were found'), ('mast', 'no object within')]
)
def test_no_data_is_a_result(servers: Any, clock: Hands, targets: Any, which: str, words: str) -> None:
    (target,) = targets(1)
    service = servers[which].service
    if which == 'zfps':
        service.set_outcome(target.ra, target.dec, 63)
    else:
        service.configure(**{'no_data' if which == 'atlas' else 'empty': [[target.ra, target.dec]]})
    query = ask(which, target, clock)
    settle(clock)
    query = fresh(query)
    assert (query.state, query.problem) == ('no_data', '')
    assert words in query.message
    assert not DataProduct.objects.exists()
    assert not PhotometryReducedDatum.objects.exists()


def test_an_empty_body_of_mast_is_no_data_too(servers: Any, clock: Hands, targets: Any) -> None:
    (target,) = targets(1)
    servers['mast'].service.configure(empty=[[target.ra, target.dec]], empty_csv='nothing')
    query = ask('mast', target, clock)
    settle(clock)
    assert fresh(query).state == 'no_data'


def test_an_exit_code_is_said_in_words(servers: Any, clock: Hands, targets: Any) -> None:
    (target,) = targets(1)
    servers['zfps'].service.set_outcome(target.ra, target.dec, 64)
    query = ask('zfps', target, clock)
    settle(clock)
    assert fresh(query).state == 'failed'
    assert fresh(query).message == 'ZTF made no light curve: the processing failed (exit code 64). Ask again.'


@pytest.mark.parametrize(('which', 'verb'), [('atlas', 'status'), ('zfps', 'status')])
def test_a_result_at_a_foreign_address_is_never_fetched(servers: Any, clock: Hands, targets: Any, which: str, verb: str) -> None:
    (target,) = targets(1)
    with serve(ForeignHost()) as foreign:
        servers[which].service.fault(verb, 'foreign-url', count=-1, origin=foreign.root)
        query = ask(which, target, clock)
        settle(clock)
        assert foreign.service.strays == []
    assert fresh(query).state == 'failed'
    assert 'is not fetched' in fresh(query).message
    assert secrets_shown() == []


HTML = [('atlas', 'status'), ('atlas', 'result'), ('zfps', 'status'), ('zfps', 'result'), ('mast', 'mean'), ('mast', 'detection')]


@pytest.mark.parametrize(('which', 'verb'), HTML)
@pytest.mark.parametrize('kind', ['html', '500', '401', '429', 'cut'])
def test_a_wrong_reply_now_and_then_costs_nothing(
    servers: Any, clock: Hands, targets: Any, which: str, verb: str, kind: str
) -> None:
    (target,) = targets(1)
    servers[which].service.fault(verb, kind)
    query = ask(which, target, clock)
    settle(clock)
    assert fresh(query).state == 'done', fresh(query).message
    assert DataProduct.objects.count() == 1


@pytest.mark.parametrize(('which', 'verb'), HTML)
def test_a_page_for_ever_ends_in_its_beginning_and_no_file(servers: Any, clock: Hands, targets: Any, which: str, verb: str) -> None:
    (target,) = targets(1)
    servers[which].service.fault(verb, 'html', count=-1)
    query = ask(which, target, clock)
    settle(clock, hours=48)  # a day of maintenance costs nothing
    assert fresh(query).state == 'failed'
    assert 'Down for maintenance' in fresh(query).message or 'it is a web page' in fresh(query).message
    assert not DataProduct.objects.exists()
    assert secrets_shown() == []


# --- ZTF: what was sent is not sent again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('number', [1, 3])
@pytest.mark.parametrize('kind', ['500-after', 'html-after', 'reset-after', 'late', '429-after'])
def test_a_lost_reply_of_ztf_is_looked_up(servers: Any, clock: Hands, targets: Any, number: int, kind: str) -> None:
    service = servers['zfps'].service
    service.fault('submit', kind)
    asked = [ask('zfps', target, clock) for target in targets(number)]
    queries.run(clock)
    service.release()
    settle(clock, hours=24)
    assert [fresh(query).state for query in asked] == ['done'] * number
    if kind != '429-after':  # who says 429 says that nothing was accepted
        assert len(service.log()) == number


@pytest.mark.parametrize('kind', ['500', 'html', 'reset-before'])
def test_a_request_that_ztf_never_had_is_sent_again_after_two_refreshes(
    servers: Any, clock: Hands, targets: Any, kind: str
) -> None:
    service = servers['zfps'].service
    service.fault('submit', kind)
    query = ask('zfps', targets(1)[0], clock)
    queries.run(clock)
    began = clock()
    while not service.log():
        clock.move(STEP)
        queries.run(clock)
    assert timedelta(hours=2) <= clock() - began <= timedelta(hours=3)
    settle(clock, hours=24)
    assert fresh(query).state == 'done'
    assert len(service.log()) == 1


def test_an_account_that_ztf_does_not_know_is_said_and_not_shown(servers: Any, clock: Hands, targets: Any, settings: Any) -> None:
    configure(settings, 'ZTF', userpass='wrong-word')
    query = ask('zfps', targets(1)[0], clock)
    settle(clock)
    assert (fresh(query).state, fresh(query).problem) == ('failed', 'Credentials')
    assert 'does not accept the account' in fresh(query).message
    assert 'wrong-word' not in fresh(query).message


def test_a_busy_database_is_waited_for(servers: Any, clock: Hands, targets: Any) -> None:
    servers['zfps'].service.configure(busy=5)
    query = ask('zfps', targets(1)[0], clock)
    settle(clock)
    assert fresh(query).state == 'done'


def test_a_full_queue_at_ztf_is_waited_for(servers: Any, clock: Hands, targets: Any) -> None:
    servers['zfps'].service.configure(most_pending=1)
    first, second = targets(2)
    asked = [ask('zfps', first, clock), ask('zfps', second, clock, max_date=61339.0)]
    settle(clock, hours=24)
    assert [fresh(query).state for query in asked] == ['done', 'done']
    assert len(servers['zfps'].service.log()) == 2


def test_the_light_curve_of_another_position_is_not_taken(servers: Any, clock: Hands, targets: Any, tmp_path: Any) -> None:
    first, second = targets(2)
    theirs = ask('zfps', first, clock)
    settle(clock)
    product = fresh(theirs).data_product
    servers['zfps'].service.sky.set_file(second.ra, second.dec, product.data.path)
    query = ask('zfps', second, clock)
    settle(clock)
    assert (fresh(query).state, fresh(query).problem) == ('failed', 'BadFile')
    assert 'another position' in fresh(query).message
    assert not PhotometryReducedDatum.objects.filter(target=second).exists()
