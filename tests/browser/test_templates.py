"""A template made of a record, edited, and applied to five targets, one of which is refused; repeating it books nothing twice."""

from __future__ import annotations

from collections import Counter

from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.browser.test_starting import make_record

TARGETS = ('SN 2011fe', 'SN 2026a', 'SN 2026b', 'SN 2026c', 'SN 2026d')


def make_template(browser: Browser, tom: Tom) -> None:
    """From the record's page to a saved template with another filter."""
    record = make_record(tom, filter='g', exposure_time=42.0)
    browser.open(f'/observations/{record.pk}/')
    browser.press('Create template from this observation')
    browser.sees('Taken over from observation')
    browser.fill('Name', 'Nightly')
    browser.press('Save template')
    browser.sees('The template Nightly was saved', '42')
    browser.press('Edit', within='.cadences')
    browser.choose('Filter', 'V')
    browser.press('Save template')
    browser.sees('The template Nightly was saved')


def test_from_a_record_to_five_targets_and_again(vera: Browser, tom: Tom) -> None:
    for name in TARGETS[1:]:
        tom.add_target(name)
    make_template(vera, tom)
    vera.press('Apply to targets')
    vera.fill('Search and add', 'SN')
    for name in TARGETS:
        vera.press(f'+ {name}, add')
    vera.choose('Repeat', 'Resume cadence after failure')
    vera.fill('Repeat every', '24')
    vera.fill('Start', '2026-11-21T10:00')
    vera.fill('End', '2026-11-21T14:00')
    vera.press('Check targets')
    vera.sees('0 of 5 booked, 5 ready to be sent', 'This books 5 observations')
    assert len(tom.booked()) == 1, 'checking must not book'
    tom.observatory.fault('submit', 'refuse', match='SN 2026c', errors={'target': ['Too close to the moon.']})
    vera.press('Send 5 observations')
    vera.sees('4 of 5 booked', '1 refused', 'Too close to the moon.')
    assert len(tom.booked()) == 5
    address = vera.address
    vera.driver.back()
    vera.driver.forward()
    vera.open(address)
    vera.press('Check those that failed again')
    vera.sees('4 of 5 booked, 1 ready to be sent', 'This books 1 observation')
    assert len(tom.booked()) == 5, 'checking must not book'
    vera.press('Send the remaining 1')
    vera.sees('5 of 5 booked')
    vera.open(address)
    assert Counter(each['target'] for each in tom.booked()[1:]) == Counter(TARGETS)
    assert all(not each['beside'] for each in tom.booked()[1:])
    assert {each['fields']['filter'] for each in tom.booked()[1:]} == {'V'}
    vera.open('/cadences/')
    vera.sees('5 cadences')
