"""Chromium, a TOM for it to look at, and somebody who is logged in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from selenium.webdriver import Chrome

from tests.browser import stage
from tests.browser.chromium import launch
from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.support.databases import connected
from tests.support.needs import missing
from tests.support.webform import without_sky_plots

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this needs a browser and takes its time."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope='session')
def chromium() -> Iterator[Chrome]:
    """One Chromium for all tests of a process."""
    window = launch()
    if window is None:
        missing('Chromium and its driver')
    assert window is not None
    yield window
    window.quit()


@pytest.fixture
def make_tom(settings: Any, observatory: Any, sqlite_url: str, django_db_blocker: Any) -> Iterator[Callable[[], Tom]]:
    """Serve the example TOM, its clock the observatory's."""
    from pytest_django.live_server_helper import LiveServer

    settings.TOM_CADENCE = {'CLOCK': stage.NOW, 'FACILITY_TIMEOUT': 5, 'SETTLE_TIME': 60}
    with connected(sqlite_url, django_db_blocker), stage.clock_of(observatory), without_sky_plots():
        servers: list[LiveServer] = []

        def make() -> Tom:
            servers.append(LiveServer('127.0.0.1'))
            return Tom(servers[-1].url, observatory)

        yield make
        for server in servers:
            server.stop()


@pytest.fixture
def tom(make_tom: Callable[[], Tom]) -> Tom:
    """A TOM with one astronomer and one target."""
    return make_tom()


@pytest.fixture
def browser(chromium: Chrome, tom: Tom) -> Iterator[Browser]:
    """A window at that TOM, nobody logged in; no script of its pages may fail."""
    chromium.delete_all_cookies()
    browser = Browser(chromium, tom.url)
    browser.resize(1400)
    yield browser
    browser.wait('the last answer', lambda: True)
    found = browser.complaints()
    browser.open('about:blank')  # so that no page asks a server that has gone
    assert not found, found


@pytest.fixture
def vera(browser: Browser, tom: Tom) -> Browser:
    """Vera's window, with the cookie that a login leaves; the nights of photometry begin with name and password."""
    client = Client()
    client.force_login(tom.vera)
    cookie = {'name': 'sessionid', 'value': client.cookies['sessionid'].value, 'url': tom.url, 'httpOnly': True}
    browser.driver.execute_cdp_cmd('Network.setCookie', cookie)  # type: ignore[attr-defined]
    return browser
