"""A person at a browser: looks for words and labels, presses, types, and waits until what was asked for is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

#: How long anything may take before it counts as never.
LONGEST = 20
NOT_YET = (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
PRESSABLE = './/*[self::button or self::a or self::summary][normalize-space()={0} or @aria-label={0}]'
BUSY = "return document.readyState !== 'complete' || !!document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')"
TYPE = """
arguments[0].value = arguments[1];
for (const name of ['input', 'change']) arguments[0].dispatchEvent(new Event(name, {bubbles: true}));
"""


class Browser:
    """One window. Whatever does not come within LONGEST is an AssertionError that shows the page."""

    def __init__(self, driver: WebDriver, url: str) -> None:
        """Look at the TOM at ``url``."""
        self.driver, self.url = driver, url
        # No transitions: what is looked at is not half-way between two colours.
        still = {'features': [{'name': 'prefers-reduced-motion', 'value': 'reduce'}]}
        driver.execute_cdp_cmd('Emulation.setEmulatedMedia', still)  # type: ignore[attr-defined]

    def open(self, address: str) -> None:
        """Type an address of the TOM."""
        self.driver.get(self.url + address if address.startswith('/') else address)

    def resize(self, width: int, height: int = 1200) -> None:
        """Let the window be so many CSS pixels wide, also below what a desktop's window can be."""
        size = {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': False}
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)  # type: ignore[attr-defined]

    def wait(self, what: str, condition: Callable[[], Any]) -> Any:
        """The first true answer of the condition, asked while nothing is on its way."""
        try:
            return WebDriverWait(self.driver, LONGEST, poll_frequency=0.05, ignored_exceptions=NOT_YET).until(
                lambda driver: not driver.execute_script(BUSY) and condition()
            )
        except TimeoutException:
            raise AssertionError(f'Waited for {what} at {self.driver.current_url}, which says:\n{self.text}') from None

    @property
    def address(self) -> str:
        """Where the window is, without the server."""
        return self.driver.current_url.removeprefix(self.url)

    @property
    def text(self) -> str:
        """What can be read on the page now."""
        return ' '.join(self.driver.find_element(By.TAG_NAME, 'body').text.split())

    def find(self, selector: str) -> WebElement:
        """The first element that is shown."""
        found: WebElement = self.wait(selector, lambda: next(iter(self.shown(selector)), None))
        return found

    def shown(self, selector: str) -> list[WebElement]:
        """The elements that are shown now."""
        return [each for each in self.driver.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()]

    def sees(self, *texts: str) -> None:
        """Wait until all of this stands on the page."""
        for text in texts:
            self.wait(repr(text), lambda text=text: text in self.text)  # type: ignore[misc]

    def misses(self, text: str) -> None:
        """Wait until this stands on the page no more."""
        self.wait(f'{text!r} to go', lambda: text not in self.text)

    def is_at(self, address: str) -> None:
        """Wait until the window has come to this address."""
        self.wait(address, lambda: self.address.startswith(address))

    def press(self, words: str, within: str = 'body') -> None:
        """Click the button or link of these words."""
        quoted = f'"{words}"'

        def click() -> bool:
            for place in self.shown(within):
                for each in place.find_elements(By.XPATH, PRESSABLE.format(quoted)):
                    if each.is_displayed() and each.is_enabled():
                        self._click(each)
                        return True
            return False

        self.wait(f'the button {words!r}', click)

    def _click(self, element: WebElement) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        element.click()

    def field(self, label: str) -> WebElement:
        """The input, select or box that a label names."""
        path = f'//label[starts-with(normalize-space(), "{label}")]'

        def labelled() -> WebElement | None:
            for each in self.driver.find_elements(By.XPATH, path):
                if each.is_displayed() and (key := each.get_attribute('for')):
                    return self.driver.find_element(By.ID, key)
            return None

        found: WebElement = self.wait(f'the field {label!r}', labelled)
        return found

    def fill(self, label: str, value: str) -> None:
        """Type into the field of this label, in the place of what is there."""
        field = self.field(label)
        if (field.get_attribute('type') or '') in ('datetime-local', 'date', 'time'):  # typed by parts, as the locale has them
            self.driver.execute_script(TYPE, field, value)
        else:
            field.clear()
            field.send_keys(value)

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a select."""
        field = self.field(label)
        self.wait(f'the option {option!r}', lambda: option in [each.text for each in Select(field).options])
        Select(field).select_by_visible_text(option)

    def tick(self, label: str) -> None:
        """Click the box or the button of a label."""
        field = self.field(label)
        self.wait(f'a click on {label!r}', lambda: self._click(field) is None)

    def complaints(self) -> list[str]:
        """What went wrong in the scripts, and at our own addresses, since the last time this was asked."""
        lines = [each['message'] for each in self.driver.get_log('browser') if each['level'] == 'SEVERE']  # type: ignore[attr-defined]
        return [line for line in lines if self.url in line and 'favicon' not in line]
