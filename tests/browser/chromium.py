"""Debian's Chromium and its driver, without a window to be seen, and without the internet."""

from __future__ import annotations

import shutil

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
SWITCHES = (
    '--headless=new',
    '--no-sandbox',  # in a container this runs as root, where Chromium has no sandbox
    '--disable-dev-shm-usage',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
    '--lang=en-US',
    '--force-color-profile=srgb',
    '--hide-scrollbars',
    '--window-size=1400,1200',
    # Nothing outside this machine is asked, and nobody waits for it.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
)


def launch() -> Chrome | None:
    """A Chromium; None where it or its driver is not installed."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which('chromedriver')
    if program is None or driver is None:
        return None
    options = ChromeOptions()
    options.binary_location = program
    for switch in SWITCHES:
        options.add_argument(switch)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    window = Chrome(options=options, service=Service(driver))
    window.set_page_load_timeout(30)
    return window
