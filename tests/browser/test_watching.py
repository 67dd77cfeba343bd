"""Queries are watched to their end without a reload: asked, sent, done, no data, failed, cancelled, looked at, asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.axe import THEMES, sticking_out, violations
from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.photometry import conftest as forced
from tests.photometry.conftest import MINUTE, Hands
from tests.support.asking import ask

clock, data_folder, atlas = forced.clock, forced.data_folder, forced.atlas
LIST = '/forced-photometry/'
PATH = '.photometry'
#: Counts what the page asks, and says whether the page was loaded anew.
SPY = """
window.thisPage = true; window.polls = 0;
const real = window.fetch;
window.fetch = (...given) => { if (String(given[0]).includes('/states/')) window.polls += 1; return real(...given); };
"""
HIDE = """
Object.defineProperty(document, 'hidden', {configurable: true, get: () => arguments[0]});
document.dispatchEvent(new Event('visibilitychange'));
"""


@dataclass(frozen=True)
class Sky:
    """Targets of which the service knows: points, nothing, or an error; and what a test does about time."""

    tom: Tom
    clock: Hands
    atlas: Any
    good: Any
    empty: Any
    broken: Any

    def cron(self) -> None:
        """One turn of cron."""
        from tom_forced_phot import queries

        queries.run(self.clock)

    def end(self) -> None:
        """Cron each minute until nothing is open."""
        from tom_forced_phot.core.states import QueryState
        from tom_forced_phot.models import PhotometryQuery

        for _ in range(60):
            self.cron()
            if not PhotometryQuery.objects.filter(state__in=QueryState.open_values()).exists():
                return
            self.clock.move(MINUTE)
        raise AssertionError('It never ended.')

    def ask(self, *targets: Any) -> list[Any]:
        """Vera asks."""
        return [ask(target, self.clock, self.tom.vera) for target in targets]


@pytest.fixture
def sky(tom: Tom, clock: Hands, atlas: Any) -> Sky:
    """Three targets of different luck."""
    empty, broken = tom.add_target('Empty', 20.0), tom.add_target('Broken', 30.0)
    atlas.service.set_outcome(empty.ra, empty.dec)
    atlas.service.set_outcome(broken.ra, broken.dec, 'The images are unreadable.')
    return Sky(tom, clock, atlas, tom.target, empty, broken)


def loaded_once(browser: Browser) -> bool:
    return browser.driver.execute_script('return window.thisPage === true') is True


def polls(browser: Browser) -> int:
    return int(browser.driver.execute_script('return window.polls'))


def row(browser: Browser, query: Any) -> str:
    return ' '.join(browser.find(f'#query-{query.pk}').text.split())


def said(browser: Browser) -> str:
    return str(browser.driver.execute_script("return document.querySelector('[data-said]').textContent"))


def test_a_list_is_watched_to_the_end(vera: Browser, sky: Sky) -> None:
    good, empty, broken, stopped = sky.ask(sky.good, sky.empty, sky.broken, sky.tom.add_target('Stopped', 40.0))
    vera.open(LIST)
    vera.driver.execute_script(SPY)
    assert 'Queued here' in row(vera, good)
    sky.cron()
    vera.wait('that it was sent', lambda: 'at the service' in row(vera, good))
    vera.press('Cancel: ATLAS, Stopped')
    vera.wait('the cancelling', lambda: 'Cancelled by vera.' in row(vera, stopped))
    vera.sees('Cancelled: ATLAS, Stopped.')
    vera.driver.execute_script(
        f"document.querySelector('#query-{good.pk}-link').focus({{preventScroll: true}}); window.scrollTo(0, 40)"
    )
    sky.end()
    vera.wait('the points', lambda: 'Done' in row(vera, good) and 'new' in row(vera, good))
    vera.wait('no data', lambda: 'No data' in row(vera, empty))
    vera.wait('the failure', lambda: 'The images are unreadable.' in row(vera, broken))
    assert vera.driver.execute_script('return document.activeElement.id') == f'query-{good.pk}-link', 'the focus was lost'
    assert vera.driver.execute_script('return Math.round(window.scrollY)') in (0, 40)
    assert said(vera) == '4 of 4 done, 1 failed on this page.'
    vera.wait('the bell', lambda: vera.shown('#phot-bell'))
    assert loaded_once(vera), 'the page was loaded again'
    number = polls(vera)
    vera.driver.execute_async_script('setTimeout(arguments[0], 3000)')
    assert polls(vera) == number, 'it asks although nothing is open'


def test_asking_again_shows_the_new_one_on_top_and_doubles_no_point(vera: Browser, sky: Sky) -> None:
    from tom_dataproducts.models import PhotometryReducedDatum

    from tom_forced_phot.models import PhotometryQuery

    sky.ask(sky.good)
    sky.end()
    points = PhotometryReducedDatum.objects.count()
    vera.open(LIST)
    vera.driver.execute_script(SPY)
    vera.press(f'Ask again: ATLAS, {sky.good.name}')
    vera.sees('2 queries')
    new = PhotometryQuery.objects.order_by('-pk')[0]
    assert vera.find('tbody tr').get_attribute('id') == f'query-{new.pk}'
    sky.end()
    vera.wait('the second answer', lambda: 'unchanged' in row(vera, new))
    assert PhotometryReducedDatum.objects.count() == points > 0
    assert loaded_once(vera)


def test_one_query_is_watched_on_its_page_and_looked_at_now(vera: Browser, sky: Sky) -> None:
    (query,) = sky.ask(sky.good)
    vera.open(f'{LIST}queries/{query.pk}/')
    vera.driver.execute_script(SPY)
    vera.sees('Queued here', 'Next to be sent', 'MJD 61300')
    sky.cron()
    vera.sees('at the service')
    sky.clock.move(MINUTE * 3)
    vera.press('Look now')
    vera.sees('What it brought', 'Ask again')
    assert said(vera).endswith('Done')
    vera.press('Change and ask again')
    vera.is_at(f'{LIST}ask/?again={query.pk}')


def test_nothing_is_asked_while_nobody_looks_and_a_selection_stays(vera: Browser, sky: Sky) -> None:
    (query,) = sky.ask(sky.good)
    vera.open(LIST)
    vera.driver.execute_script(SPY)
    vera.driver.execute_script(HIDE, True)
    number = polls(vera)
    vera.driver.execute_async_script('setTimeout(arguments[0], 3000)')
    assert polls(vera) == number, 'it asks although the page is hidden'
    vera.driver.execute_script(HIDE, False)
    vera.wait('a look', lambda: polls(vera) > number)
    select = 'getSelection().selectAllChildren(document.querySelector(arguments[0]))'
    vera.driver.execute_script(select, f'#query-{query.pk} .badge')
    sky.end()
    number = polls(vera)
    vera.wait('two looks', lambda: polls(vera) > number + 1)
    assert vera.driver.execute_script('return getSelection().toString()').strip(), 'the selection was taken away'
    vera.driver.execute_script('getSelection().removeAllRanges()')
    vera.wait('the end', lambda: 'Done' in row(vera, query))


def test_the_targets_tab_is_live_too(vera: Browser, sky: Sky) -> None:
    sky.ask(sky.good)
    vera.open(f'/targets/{sky.good.pk}/')
    vera.press('Forced photometry', within='.nav-tabs')
    vera.wait('the query', lambda: 'Queued here' in vera.find('#phot-target-queries').text)
    sky.end()
    vera.wait('its end', lambda: 'Done' in vera.find('#phot-target-queries').text)


def test_a_subscription_is_made_paused_and_resumed_with_the_keyboard(vera: Browser, sky: Sky) -> None:
    vera.open(f'{LIST}subscriptions/')
    vera.press('New subscription')
    vera.fill('Target', 'No such')
    vera.press('Subscribe')
    vera.sees("There is no target called 'No such' about which you may ask.")
    vera.fill('Target', sky.good.name)
    vera.field('Every so many').send_keys(Keys.ENTER)
    vera.sees('Made.', 'every 24 h')
    vera.driver.execute_script(SPY)
    button = vera.find('button[id^=subscription-]')
    button.send_keys(Keys.ENTER)
    vera.sees('Paused by vera.', 'Resume')
    vera.press('Resume')
    vera.misses('Paused by vera.')
    assert loaded_once(vera)


@dataclass(frozen=True)
class Stop:
    """A page, and what is done there first."""

    address: str
    first: Callable[[Browser], Any] = lambda browser: None


def stops(sky: Sky) -> list[Stop]:
    """Every page of this room, with something on it."""
    from tom_forced_phot import subscriptions

    many = [sky.tom.add_target(f'SN 2026{letter}', 50.0 + number) for number, letter in enumerate('abcdefghijklmnopqrstuvwxyz')]
    done, _, failed = sky.ask(sky.good, sky.empty, sky.broken)
    sky.end()
    sky.clock.move(MINUTE)
    order = subscriptions.make(sky.clock(), service='ATLAS', target=sky.good, owner=sky.tom.vera)
    subscriptions.ask_due(sky.clock())
    sky.end()
    subscriptions.pause(subscriptions.make(sky.clock(), service='ATLAS', target=sky.empty, owner=sky.tom.vera).pk, sky.tom.vera)
    opened = sky.ask(*many)[0]
    return [
        Stop(LIST),
        Stop(f'{LIST}?query=nothing+of+this+name'),
        Stop(f'{LIST}queries/{opened.pk}/'),
        Stop(f'{LIST}queries/{done.pk}/'),
        Stop(f'{LIST}queries/{failed.pk}/'),
        Stop(f'{LIST}notices/'),
        Stop(f'{LIST}subscriptions/'),
        Stop(f'{LIST}subscriptions/new/', lambda browser: browser.press('Subscribe')),
        Stop(f'{LIST}subscriptions/{order.pk}/'),
        Stop(f'{LIST}subscriptions/{order.pk}/delete/'),
        Stop(f'{LIST}services/'),
    ]


@pytest.mark.parametrize('theme', THEMES)
def test_every_page_is_accessible(vera: Browser, sky: Sky, settings: Any, theme: str) -> None:
    settings.CSS_THEME = 'Dark' if theme == 'dark' else None
    wrong = []
    for stop in stops(sky):
        vera.resize(1400)
        vera.open(stop.address)
        stop.first(vera)
        for width in (1400, 400):
            vera.resize(width)
            vera.find(PATH)
            wrong += [f'{stop.address} ({width} px): {each}' for each in violations(vera, [PATH])]
            wrong += [f'{stop.address} ({width} px) sticks out: {each}' for each in sticking_out(vera, PATH)]
    assert not wrong, '\n'.join(wrong)
