"""Asking in a browser: three services for one target, a list of 25 at once, credentials; and nothing on it bars anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from simulators.atlas import AtlasServer, serve_atlas
from simulators.mast import MastServer, serve_mast
from simulators.zfps import USERS, ZfpsServer, serve_zfps
from tests.browser.axe import THEMES, sticking_out, violations
from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.photometry.conftest import configure

ASK = '/forced-photometry/ask/'
OURS = '.photometry'
EMAIL, PASSWORD = next(iter(USERS.items()))


@pytest.fixture(autouse=True)
def services(settings: Any, tmp_path: Any) -> Iterator[dict[str, Any]]:
    """The three services; the TOM's own clock is theirs."""
    settings.MEDIA_ROOT = tmp_path / 'data'
    settings.TOM_FORCED_PHOT = {'SYNCHRONOUS_TIME': 2, 'CONNECT_TIMEOUT': 2, 'READ_TIMEOUT': 5}
    with serve_atlas(AtlasServer(seed=3)) as atlas, serve_zfps(ZfpsServer(seed=3)) as zfps, serve_mast(MastServer(seed=3)) as mast:
        configure(settings, 'ATLAS', url=atlas.url, api_key=atlas.service.token)
        configure(settings, 'ZTF', url=zfps.url, email='', userpass='')
        configure(settings, 'PANSTARRS', url=mast.url, api_key='MAST_API_TOKEN not set')
        yield {'ATLAS': atlas.service, 'ZTF': zfps.service, 'PanSTARRS': mast.service}


def own_account(tom: Tom) -> None:
    """Vera's account at ZTF, where the site has none."""
    from tom_forced_phot.queries import accounts

    accounts.save(tom.vera, 'ZTF', {'email': EMAIL, 'userpass': PASSWORD})


def add_list(tom: Tom, number: int) -> Any:
    """A list of so many targets that Vera may change."""
    from guardian.shortcuts import assign_perm
    from tom_targets.models import Target, TargetList

    group = TargetList.objects.create(name='Supernovae')
    group.targets.add(*[tom.add_target(f'SN 2026{each:02}', 100.0 + 2 * each, 10.0 + each) for each in range(number)])
    Target.objects.update(permissions='PUBLIC')
    assign_perm('tom_targets.view_targetlist', tom.vera, group)
    return group


def states(service: str) -> list[str]:
    from tom_forced_phot.models import PhotometryQuery

    return list(PhotometryQuery.objects.filter(service=service).values_list('state', flat=True))


def test_from_a_targets_page_three_services_are_asked(vera: Browser, tom: Tom, services: Any) -> None:
    own_account(tom)
    add_list(tom, 1)
    vera.open(f'/targets/{tom.target.pk}/')
    vera.press('Ask for photometry')
    vera.is_at(f'{ASK}?target={tom.target.pk}')
    for name in ('ATLAS', 'PanSTARRS', 'ZTF'):
        vera.tick(name)
    vera.fill('From (UTC)', '2026-09-01')
    vera.fill('Until (UTC)', '61340')
    vera.press('Preview')
    vera.sees('Preview: nothing has been sent', 'from 2026-09-01 00:00 UTC (MJD 61284) until 2026-10-27 00:00 UTC (MJD 61340)')
    assert [sum(each.requests.values()) for each in services.values()] == [0, 0, 0]
    vera.press('Ask 3 questions')
    vera.is_at('/forced-photometry/?mine=on')
    vera.sees('Asked: ATLAS about 1 target, PanSTARRS about 1 target, ZTF about 1 target.')
    assert services['ATLAS'].requests['submit'] == 1
    assert len(services['ZTF'].log()) == 1
    assert [len(states(name)) for name in ('ATLAS', 'PanSTARRS', 'ZTF')] == [1, 1, 1]


def test_a_list_of_25_and_one_that_was_searched_for(vera: Browser, tom: Tom, services: Any) -> None:
    add_list(tom, 25)
    vera.open(ASK)
    vera.field('Search and add').send_keys('2011f')
    vera.press('+ SN 2011fe , add'.replace(' ,', ','))
    vera.sees('Chosen one by one: 1')
    vera.choose('And all targets of a list', 'Supernovae')
    vera.tick('ATLAS')
    vera.press('Preview')
    vera.sees('26 positions in 1 request')
    vera.press('Ask 26 questions')
    vera.is_at('/forced-photometry/?mine=on')
    vera.sees('Asked: ATLAS about 26 targets.', 'manage.py runforcedphotometry')
    assert (services['ATLAS'].requests['submit'], len(services['ATLAS'].log())) == (1, 26)


def test_a_preview_is_only_of_what_it_shows_and_mistakes_stand_beside_their_fields(vera: Browser, tom: Tom) -> None:
    add_list(tom, 1)
    vera.open(f'{ASK}?target={tom.target.pk}')
    vera.press('Preview')
    vera.sees('Nothing was sent.', 'Tick at least one service.')
    vera.wait('the focus', lambda: 'Nothing was sent' in vera.driver.switch_to.active_element.text)
    vera.tick('ATLAS')
    vera.press('Preview')
    vera.sees('Ask 1 question')
    vera.fill('Until (UTC)', 'tomorrow')
    vera.sees('You changed something: preview again.')
    assert not vera.find('#ask-send').is_enabled()
    assert vera.find('#ask-when-range').is_selected()
    vera.press('Preview')
    vera.sees('is no date: write an MJD such as 60316.5')
    vera.press('Take out SN 2011fe')
    vera.sees('Chosen one by one: 0')


def test_with_the_keyboard_alone(vera: Browser, tom: Tom, services: Any) -> None:
    add_list(tom, 1)
    vera.open(f'{ASK}?target={tom.target.pk}')
    go_to(vera, 'ATLAS')
    vera.driver.switch_to.active_element.send_keys(Keys.SPACE)
    go_to(vera, 'Preview')
    vera.driver.switch_to.active_element.send_keys(Keys.ENTER)
    vera.sees('Preview: nothing has been sent')
    vera.wait('the focus on the preview', lambda: vera.driver.switch_to.active_element.get_attribute('id') == 'ask-preview')
    go_to(vera, 'Ask 1 question')
    vera.driver.switch_to.active_element.send_keys(Keys.ENTER)
    vera.is_at('/forced-photometry/?mine=on')
    assert services['ATLAS'].requests['submit'] == 1


def go_to(browser: Browser, name: str) -> None:
    """Press Tab until the focus is there."""
    for _ in range(80):
        if str(browser.driver.switch_to.active_element.accessible_name).startswith(name):
            return
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    raise AssertionError(f'{name} cannot be reached with the Tab key')


def test_targets_that_are_ticked_on_the_hosts_list(vera: Browser, tom: Tom) -> None:
    add_list(tom, 3)
    vera.open('/targets/')
    for box in vera.shown('input[name=selected-target]')[:2]:
        box.click()
    vera.press('Ask for forced photometry of the ticked targets')
    vera.is_at(f'{ASK}?targets=')
    vera.sees('Chosen one by one: 2')


def test_credentials_are_entered_and_removed_on_the_profile(vera: Browser, tom: Tom) -> None:
    vera.open(ASK)
    vera.sees('Not configured: ZTF needs email and userpass')
    vera.press('Enter your own credentials for ZTF')
    vera.is_at('/users/profile/')
    vera.press('Enter your own for ZTF')
    vera.fill('E-mail address of the account', EMAIL)
    vera.press('Keep credentials for ZTF')
    vera.sees('This is needed: an account is used only as a whole.')
    vera.fill('E-mail address of the account', EMAIL)
    vera.fill('Password of the account', PASSWORD)
    vera.press('Keep credentials for ZTF')
    vera.sees('Your credentials for ZTF are kept', 'Used: your own, set on')
    assert EMAIL not in vera.driver.page_source
    vera.open(ASK)
    vera.tick('ZTF')
    vera.open('/users/profile/')
    vera.press('Remove your credentials for ZTF')
    vera.driver.switch_to.alert.accept()
    vera.sees('Your credentials for ZTF are removed.')


@pytest.mark.parametrize('theme', THEMES)
def test_nothing_bars_anybody(settings: Any, tom: Tom, vera: Browser, theme: str) -> None:
    settings.CSS_THEME = 'Dark' if theme == 'dark' else None
    group = add_list(tom, 25)
    eros = tom.add_target('(433) Eros')
    type(eros).objects.filter(pk=eros.pk).update(type='NON_SIDEREAL', ra=None, dec=None, permissions='PUBLIC')
    found: list[str] = []

    def look(what: str, within: str = OURS) -> None:
        for width in (1400, 400):
            vera.resize(width)
            vera.find(within)
            wrong = violations(vera, [within], grave=False) + [f'sticks out: {each}' for each in sticking_out(vera, within)]
            found.extend(f'{what} ({width} px) {each}' for each in wrong)
        vera.resize(1400)

    vera.open(f'{ASK}?target={tom.target.pk}')
    vera.field('Search and add').send_keys('SN')
    vera.find('#ask-found button')
    look('the form')
    vera.fill('From (UTC)', 'once')
    vera.press('Preview')
    vera.sees('Nothing was sent')
    look('its errors')
    vera.open(f'{ASK}?targets={tom.target.pk},{eros.pk}&target_list={group.pk}&services=ATLAS,PanSTARRS')
    for each in vera.driver.find_elements('css selector', '.ask-options summary'):
        each.click()
    vera.press('Preview')
    vera.sees('Cannot be asked')
    look('its preview')
    vera.fill('From (UTC)', '61000')
    look('a preview that does not hold any more')
    for address, within in (('/users/profile/', '#photometry-credentials'), ('/forced-photometry/credentials/', OURS)):
        vera.open(address)
        for each in vera.driver.find_elements('css selector', '.ask-credential summary'):
            each.click()
        look(address, within)
    assert not found, '\n'.join(found)
