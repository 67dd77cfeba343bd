"""axe-core in the page: the rules of WCAG 2.2 A and AA, on the parts of a page that are ours."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.browser.surfing import Browser
from tests.support.needs import missing

DARK = pytest.mark.prove(why='the same pages once more, each wide and narrow; only their colours are others')
#: Bootstrap's; for ``settings.CSS_THEME``.
THEMES = ['light', pytest.param('dark', marks=DARK)]

RULES = ('wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice')
GRAVE = ('serious', 'critical')
RUN = """
const [within, tags, done] = arguments;
axe.run({include: within}, {resultTypes: ['violations'], runOnly: {type: 'tag', values: tags}})
  .then((found) => done(found.violations),
    (error) => done([{id: 'axe itself', impact: 'critical', nodes: [], help: String(error)}]));
"""
STICKS_OUT = """
const wide = document.documentElement.clientWidth;
const scrolls = (each) => each && each !== document.body
  && (['auto', 'scroll'].includes(getComputedStyle(each).overflowX) || scrolls(each.parentElement));
return [...document.querySelectorAll(arguments[0])].filter((each) => each.getBoundingClientRect().right > wide + 1
  && getComputedStyle(each).clipPath === 'none' && !scrolls(each.parentElement)).map((each) => each.outerHTML.slice(0, 120));
"""


@lru_cache(maxsize=1)
def script() -> str:
    """axe-core (MPL 2.0), as the package axe-playwright-python carries it; nothing else of that package is used."""
    spec = find_spec('axe_playwright_python')
    if spec is None or not spec.submodule_search_locations:
        missing('axe-core (in axe-playwright-python)')
        return ''
    return (Path(spec.submodule_search_locations[0]) / 'axe.min.js').read_text()


def violations(browser: Browser, within: list[str], grave: bool = True) -> list[str]:
    """What axe finds in these parts: rule, what it says, and where."""
    driver = browser.driver
    if not driver.execute_script('return !!window.axe'):
        driver.execute_script(script())
    found: list[dict[str, Any]] = driver.execute_async_script(RUN, within, list(RULES))
    return [
        f'{each["impact"]}: {each["id"]}: {each["help"]}: {[node["html"][:160] for node in each["nodes"][:4]]}'
        for each in found
        if each['impact'] in GRAVE or not grave
    ]


def sticking_out(browser: Browser, within: str) -> list[str]:
    """The elements that are wider than the window, so that the page scrolls sideways."""
    found: list[str] = browser.driver.execute_script(STICKS_OUT, f'{within}, {within} *')
    return found
