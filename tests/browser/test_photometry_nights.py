"""From the question to the light curve, in a browser: three services, one target and 25, with cron, and with a worker and Redis."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest
from selenium.webdriver import Chrome

from tests.browser import photometry_stage as stage
from tests.browser.photometry_stage import QUARTER, Night, doubles, points_by_service, poor_detections
from tests.browser.surfing import Browser
from tests.browser.test_lightcurve import downloaded, drawn
from tests.photometry import conftest as forced
from tests.processes.photometry import conftest as slow
from tests.support.phot_processes import QUICK, PhotTom, Redis, unfinished, until

clock, data_folder, atlas, night = forced.clock, forced.data_folder, forced.atlas, stage.night
open_tom, redis = slow.open_tom, slow.redis
LIST = '/forced-photometry/'
SERVICES = ('ATLAS', 'PanSTARRS', 'ZTF')
NOTHING = dict.fromkeys(SERVICES, 0)
HOUR = 4 * QUARTER
MARK = 'window.thisPage = true'


def not_reloaded(browser: Browser) -> bool:
    return browser.driver.execute_script('return window.thisPage === true') is True


def newest(service: str, target: Any) -> Any:
    """The last query of this service about a target, as the database has it."""
    from tom_forced_phot.models import PhotometryQuery

    return PhotometryQuery.objects.filter(service=service, target=target).latest('pk')


def row(browser: Browser, query: Any) -> str:
    return ' '.join(browser.find(f'#query-{query.pk}').text.split())


def becomes(browser: Browser, query: Any, *words: str) -> None:
    """Wait until the row of a query says all of this."""
    browser.wait(f'{query} to say {words}', lambda: all(each in row(browser, query) for each in words))


def open_tab(browser: Browser, target: Any) -> None:
    browser.open(f'/targets/{target.pk}/')
    browser.press('Forced photometry', within='.nav-tabs')


def preview(browser: Browser, services: tuple[str, ...] = SERVICES) -> None:
    """Tick services and dates, and look what would be asked."""
    for name in services:
        browser.tick(name)
    browser.fill('From (UTC)', '61335')
    browser.fill('Until (UTC)', '61345')
    browser.press('Preview')
    browser.sees('Preview: nothing has been sent')


def cards(browser: Browser) -> dict[str, str]:
    """What the preview says of each service."""
    found = [' '.join(each.text.split()) for each in browser.shown('.ask-plans .phot-card')]
    return {each.partition(' ')[0]: each for each in found}


def curve_of(browser: Browser) -> dict[str, int]:
    """How many points the light curve draws, by service."""
    found = drawn(browser)
    return {name: sum(sum(each) for words, each in found.items() if words.startswith(name)) for name in SERVICES}


def check_curve(browser: Browser, target: Any, stored: dict[str, int]) -> None:
    """It draws what is stored, but for poor detections of Pan-STARRS, and says how many those are and why."""
    poor = len(poor_detections(target))
    assert poor, 'nothing is poor: it is not seen that it is left out'
    assert curve_of(browser) == {**NOTHING, **stored, 'PanSTARRS': stored['PanSTARRS'] - poor}
    browser.press(f'{poor} points left out: why')
    browser.sees(f'{poor}: PanSTARRS: psfQfPerfect is not above 0.9')


def test_one_target_from_the_tab_to_the_light_curve(vera: Browser, night: Night) -> None:
    target, services = night.tom.target, night.services
    services.zfps.set_outcome(target.ra, target.dec, 64)
    services.mast.configure(empty=[[target.ra, target.dec]])
    open_tab(vera, target)
    vera.press('Ask for forced photometry', within='.photometry')
    preview(vera)
    assert all('1 position in 1 request' in each for each in cards(vera).values())
    assert services.submissions() == NOTHING, 'the preview asked a service'
    vera.press('Ask 3 questions')
    vera.is_at(f'{LIST}?mine=on')
    vera.driver.execute_script(MARK)
    first = {name: newest(name, target) for name in SERVICES}
    assert all('Queued here' in row(vera, each) for each in first.values())
    night.cron()
    assert services.submissions() == dict.fromkeys(SERVICES, 1)
    becomes(vera, first['PanSTARRS'], 'No data')
    becomes(vera, first['ZTF'], 'at the service')
    becomes(vera, first['ATLAS'], 'at the service')
    vera.press(f'Cancel: ATLAS, {target.name}')
    becomes(vera, first['ATLAS'], 'Cancelled by vera.')
    night.end()
    becomes(vera, first['ZTF'], 'Failed', 'exit code 64')
    assert not services.atlas.queue.tasks, 'the cancelled task is still at ATLAS'
    assert points_by_service() == {}

    services.zfps.set_outcome(target.ra, target.dec, 0)
    services.mast.configure(empty=[])
    second = ask_again(vera, night, 6)
    points = points_by_service()
    assert set(points) == set(SERVICES)
    for name, query in second.items():
        becomes(vera, query, 'Done', f'{points[name]} new')
    third = ask_again(vera, night, 9)
    for name, query in third.items():
        becomes(vera, query, 'Done', f'{points[name]} unchanged')
    assert (points_by_service(), doubles()) == (points, [])
    assert services.positions() == dict.fromkeys(SERVICES, 3)
    assert not_reloaded(vera)

    open_tab(vera, target)
    check_curve(vera, target, points)


def ask_again(browser: Browser, night: Night, number: int) -> dict[str, Any]:
    """Ask all three again, one by one, from the list, and let it end; the new queries."""
    target = night.tom.target
    for place, name in enumerate(SERVICES):
        browser.press(f'Ask again: {name}, {target.name}')
        browser.sees(f'{number - 2 + place} queries')
    night.end()
    return {name: newest(name, target) for name in SERVICES}


def test_25_targets_are_asked_in_as_few_requests_as_batches_allow_and_watched_to_the_end(vera: Browser, night: Night) -> None:
    group, targets = make_list(night, 25)
    empty, broken, stopped, good = targets[0], targets[1], targets[2], targets[3]
    services = night.services
    services.atlas.set_outcome(empty.ra, empty.dec)
    services.atlas.set_outcome(broken.ra, broken.dec, 'The images are unreadable.')
    services.zfps.set_outcome(empty.ra, empty.dec, 63)
    services.zfps.set_outcome(broken.ra, broken.dec, 64)
    services.mast.configure(empty=[[empty.ra, empty.dec]])
    ask_list(vera, group)
    said = cards(vera)
    for name, requests in {'ATLAS': '1 request ', 'ZTF': '1 request ', 'PanSTARRS': '25 requests'}.items():
        assert f'25 positions in {requests}' in said[name]
    assert services.submissions() == NOTHING, 'the preview asked a service'
    vera.press('Ask 75 questions')
    vera.is_at(f'{LIST}?mine=on')
    vera.sees('75 queries')
    vera.open(f'{LIST}?service=ATLAS')
    vera.driver.execute_script(MARK)
    vera.wait('25 rows', lambda: len(vera.shown('tr[id^=query-]')) == 25)
    night.cron()
    assert services.submissions() == {'ATLAS': 1, 'ZTF': 1, 'PanSTARRS': 25}
    assert services.positions() == dict.fromkeys(SERVICES, 25)
    becomes(vera, newest('ATLAS', stopped), 'at the service')
    vera.press(f'Cancel: ATLAS, {stopped.name}')
    becomes(vera, newest('ATLAS', stopped), 'Cancelled by vera.')
    night.end()
    becomes(vera, newest('ATLAS', good), 'Done', 'new')
    becomes(vera, newest('ATLAS', empty), 'No data')
    becomes(vera, newest('ATLAS', broken), 'The images are unreadable.')
    vera.sees('25 of 25 done, 1 failed on this page.')
    assert not_reloaded(vera)
    assert ends('ATLAS') == {'done': 22, 'no_data': 1, 'failed': 1, 'cancelled': 1}
    assert ends('ZTF') == {'done': 23, 'no_data': 1, 'failed': 1}
    assert ends('PanSTARRS') == {'done': 24, 'no_data': 1}
    assert services.submissions() == {'ATLAS': 1, 'ZTF': 1, 'PanSTARRS': 25}, 'asked more often than once'
    points = points_by_service()

    night.clock.move(QUARTER)
    ask_list(vera, group)
    vera.press('Ask 75 questions')
    vera.is_at(f'{LIST}?mine=on')
    night.end()
    assert services.submissions() == {'ATLAS': 2, 'ZTF': 2, 'PanSTARRS': 50}
    came = counts('ATLAS', stopped)
    assert came['new'] > 0, 'what was cancelled comes now'
    assert points_by_service() == {**points, 'ATLAS': points['ATLAS'] + came['new']}
    assert doubles() == []
    vera.open(f'{LIST}light-curves/{good.pk}/')
    check_curve(vera, good, {name: sum(counts(name, good).values()) for name in SERVICES})
    assert sorted(downloaded(vera, 'ECSV')['id']) == sorted({*points_of(good)} - {*poor_detections(good)})


def make_list(night: Night, number: int) -> tuple[Any, list[Any]]:
    """So many targets all over the northern sky, and a list of them that Vera may see."""
    from guardian.shortcuts import assign_perm
    from tom_targets.models import TargetList

    targets = [night.tom.add_target(f'SN 2026{each:02}', 130.0 + 4 * each, 10.0 + each) for each in range(number)]
    group = TargetList.objects.create(name='Supernovae')
    group.targets.add(*targets)
    assign_perm('tom_targets.view_targetlist', night.tom.vera, group)
    stage.show_to_everybody()
    return group, targets


def ask_list(browser: Browser, group: Any) -> None:
    browser.open(f'{LIST}ask/?target_list={group.pk}')
    preview(browser)


def ends(service: str) -> dict[str, int]:
    from tom_forced_phot.models import PhotometryQuery

    return dict(Counter(PhotometryQuery.objects.filter(service=service).values_list('state', flat=True)))


def points_of(target: Any) -> list[int]:
    from tom_dataproducts.models import PhotometryReducedDatum

    return list(PhotometryReducedDatum.objects.filter(target=target).order_by('pk').values_list('pk', flat=True))


def counts(service: str, target: Any) -> dict[str, int]:
    """New, updated and unchanged points of the last answer."""
    query = newest(service, target)
    return {'new': query.new, 'updated': query.updated, 'unchanged': query.unchanged}


@pytest.mark.prove(why='a web server, Redis and a worker start as processes, and then it is a whole evening')
@pytest.mark.redis
def test_a_worker_brings_what_was_asked_in_the_browser(
    chromium: Chrome, open_tom: Callable[..., PhotTom], worker_sqlite_url: str, redis: Redis
) -> None:
    tom = open_tom(worker_sqlite_url, service=QUICK)
    target, names = stage.make_vera(), ('ATLAS', 'PanSTARRS')
    tom.more['REDIS_URL'] = redis.url
    with stage.processes(tom, worker=True) as observatory, stage.logged_in(chromium, observatory.web.url) as vera:
        worker = tom.workers[0]
        tom.atlas.configure(held=True)
        open_tab(vera, target)
        vera.press('Ask for forced photometry', within='.photometry')
        preview(vera, names)
        os.killpg(worker.popen.pid, SIGSTOP)  # until it is seen that nobody else asks the services
        vera.press('Ask 2 questions')
        vera.is_at(LIST)
        vera.driver.execute_script(MARK)
        assert all('Queued here' in row(vera, newest(name, target)) for name in names)
        assert observatory.services.submissions() == NOTHING, 'the web server asked a service itself'
        os.killpg(worker.popen.pid, SIGCONT)
        until(worked, 'the worker is at work', worker=worker)
        becomes(vera, newest('PanSTARRS', target), 'Done', 'new')
        becomes(vera, newest('ATLAS', target), 'at the service')
        tom.atlas.configure(held=False)
        becomes(vera, newest('ATLAS', target), 'Done', 'new')
        assert not_reloaded(vera)
        assert worked() == {'worker'}, 'somebody else than the worker was at work'
        vera.press(f'Ask again: ATLAS, {target.name}')
        vera.sees('3 queries')
        becomes(vera, newest('ATLAS', target), 'Done', 'unchanged')
        assert not_reloaded(vera)
        until(lambda: not unfinished(), 'all tidied up', worker=worker)
        check_everything(vera, target, names)


@pytest.mark.prove(why='a web server and each turn of cron start as processes; above, cron runs in the process of the test')
def test_cron_brings_what_was_asked_in_the_browser(chromium: Chrome, open_tom: Callable[..., PhotTom], sqlite_url: str) -> None:
    tom = open_tom(sqlite_url)
    target = stage.make_vera()
    with stage.processes(tom) as observatory, stage.logged_in(chromium, observatory.web.url) as vera:
        open_tab(vera, target)
        vera.press('Ask for forced photometry', within='.photometry')
        preview(vera)
        vera.press('Ask 3 questions')
        vera.is_at(LIST)
        vera.sees('manage.py runforcedphotometry')
        vera.driver.execute_script(MARK)
        becomes(vera, newest('ATLAS', target), 'at the service')
        becomes(vera, newest('ZTF', target), 'at the service')
        for _ in range(20):
            observatory.move(HOUR)
            done = tom.run()
            assert done.status == 0, done.output
            if not unfinished():
                break
        for name in SERVICES:
            becomes(vera, newest(name, target), 'Done', 'new')
        assert not_reloaded(vera)
        assert worked() == {'command'}
        check_everything(vera, target, SERVICES)


def worked() -> set[str]:
    from tom_forced_phot.models import WorkerSign

    return set(WorkerSign.objects.values_list('kind', flat=True))


def check_everything(browser: Browser, target: Any, names: tuple[str, ...]) -> None:
    """Each service's points are in the database once, and the good ones in the light curve."""
    points = points_by_service()
    assert set(points) == set(names)
    assert doubles() == []
    browser.open(f'{LIST}light-curves/{target.pk}/')
    check_curve(browser, target, points)
