"""A cadence is paused, resumed, edited, run and ended with the buttons of its page; nothing reloads, nothing is booked unasked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.support.cadences import PLAIN, make, records


@pytest.fixture
def managed(tom: Tom) -> Any:
    """A cadence with its first observation booked."""
    from tom_cadence.models import ManagedCadence

    host = make(tom.vera, tom.target, book=tom.observatory, start=tom.observatory.clock.now())
    tom.cron()
    return ManagedCadence.objects.get(cadence=host)


@pytest.fixture
def in_doubt(tom: Tom) -> Any:
    """A cadence at a facility that cannot be asked: it booked the second observation, and the reply was lost."""
    from tom_cadence.models import ManagedCadence

    host = make(tom.vera, tom.target, book=tom.observatory, facility=PLAIN, start=tom.observatory.clock.now())
    tom.observatory.set_state(records(host)[0].observation_id, 'COMPLETED')
    tom.observatory.fault('submit', '500-after')
    tom.pass_hours(5)
    return ManagedCadence.objects.get(cadence=host)


def mark(browser: Browser) -> None:
    """Remember this page: a reload would forget it."""
    browser.driver.execute_script('window.thisPage = true')


def was_not_reloaded(browser: Browser) -> bool:
    return browser.driver.execute_script('return window.thisPage === true') is True


def test_pause_resume_edit_and_end_without_a_reload(vera: Browser, tom: Tom, managed: Any) -> None:
    vera.open(f'/cadences/{managed.pk}/')
    mark(vera)
    vera.press('Pause')
    vera.sees('Paused: nothing more is sent until it is resumed', 'vera paused it.')
    tom.pass_hours(30)
    assert len(tom.booked()) == 1, 'a paused cadence sent something'
    vera.press('Resume')
    vera.sees('Active again')
    vera.press('Edit parameters and limits…')
    vera.fill('Repeat every', '0')
    vera.press('Save')
    vera.find('#panel-edit .is-invalid')
    vera.fill('Repeat every', '72')
    vera.fill('Observations in all', '5')
    vera.press('Save')
    vera.sees('The parameters are saved', 'every 3 days', '1 of 5 done or booked')
    vera.press('What would happen now')
    vera.sees('Nothing was sent and nothing was written')
    assert len(tom.booked()) == 1
    vera.press('Run now…')
    vera.press('Run now', within='#panel-run-now')
    vera.wait('a second booking', lambda: len(tom.booked()) == 2)
    vera.sees('Booked: 2')
    vera.press('End…')
    vera.tick('Cancel it at the facility too')
    vera.press('End this cadence')
    vera.sees('The cadence has ended.', 'Finished', 'vera ended it.')
    assert was_not_reloaded(vera)
    assert tom.booked()[1]['state'] == 'CANCELED'
    tom.pass_hours(200)
    assert len(tom.booked()) == 2, 'a cadence that has ended sent something'


def test_what_is_selected_in_the_overview_is_paused_and_resumed_together(vera: Browser, tom: Tom, managed: Any) -> None:
    make(tom.vera, tom.add_target('T CrB'), book=tom.observatory, start=tom.observatory.clock.now())
    tom.cron()
    vera.open('/cadences/')
    vera.sees('2 cadences')
    vera.find('[aria-label="Select all on this page"]').click()
    vera.press('Pause', within='#bulk-form')
    vera.wait('two paused', lambda: vera.find('#cadence-table').text.count('Paused') == 2)
    vera.choose('State', 'Active')
    vera.sees('No cadence matches these filters')
    vera.press('Show all cadences')
    vera.fill('Search', 'crb')
    vera.sees('1 cadence')
    vera.find('#cadence-table [aria-label*="T CrB"]').click()
    vera.press('Resume', within='#bulk-form')
    vera.wait('one active', lambda: 'Active' in vera.find('#cadence-table').text)
    managed.refresh_from_db()
    assert managed.state == 'paused'


def test_a_lost_reply_is_found_at_the_facility_and_its_id_is_typed_in(vera: Browser, tom: Tom, in_doubt: Any) -> None:
    vera.open('/cadences/')
    vera.sees('Needs attention')
    vera.press('SN 2011fe', within='#cadence-table')
    vera.sees('Nobody knows whether Plain observatory has this request')
    vera.press('It is at the facility…')
    vera.fill('Its ID at the facility', '2')
    vera.sees('Nothing is sent now.')
    vera.press('Record it and go on')
    vera.sees('Recorded: 2. The cadence is active again.')
    assert len(tom.booked()) == 2
    tom.pass_hours(60)
    assert len(tom.booked()) == 3, 'it did not go on'


def test_a_request_that_never_arrived_is_sent_again_once(vera: Browser, tom: Tom, in_doubt: Any) -> None:
    tom.observatory.set_state('2', 'CANCELED')  # as if it had never come
    vera.open(f'/cadences/{in_doubt.pk}/')
    vera.press('Send it again…')
    vera.sees('If the first request did arrive, telescope time is booked twice.', 'one more observation of SN 2011fe is booked')
    assert len(tom.booked()) == 2
    vera.press('It is not there: send it again')
    vera.misses('Nobody knows whether')
    tom.cron()
    tom.cron()
    assert len(tom.booked()) == 3


def test_a_cadence_in_doubt_is_ended_and_sends_nothing_more(vera: Browser, tom: Tom, in_doubt: Any) -> None:
    vera.open(f'/cadences/{in_doubt.pk}/')
    vera.press('End…')
    vera.press('End this cadence')
    vera.sees('The cadence has ended.', 'Finished', 'look there')
    tom.pass_hours(100)
    assert len(tom.booked()) == 2


def test_the_owner_finds_a_notice_once(vera: Browser, tom: Tom, in_doubt: Any) -> None:
    tom.cron()
    vera.open('/')
    vera.find('[aria-label="Notices of your cadences: 1 unread"]').click()
    vera.sees('Mark all as read')
    vera.press('Mark all as read')
    vera.find('[aria-label="Notices of your cadences: 0 unread"]')
    vera.press('Open the cadence')
    vera.is_at(f'/cadences/{in_doubt.pk}/')


def test_what_is_asked_for_is_changed_with_the_facilitys_form_and_asked_for_next(vera: Browser, tom: Tom, managed: Any) -> None:
    vera.open(f'/cadences/{managed.pk}/')
    vera.press('Change what is asked for…')
    vera.resize(400)
    vera.sees('What you fill in is asked for from the next request on.')
    vera.fill('Exposure time', '45')
    vera.fill('Reason', 'It has faded.')
    vera.press('Preview')
    vera.sees('Preview: nothing has been changed yet', 'Reason: It has faded.')
    assert vera.driver.execute_script('return document.documentElement.scrollWidth') == 400
    vera.press('Ask for this from the next request on')
    vera.sees('From the next request on it asks for what you filled in.', 'changed by vera: Exposure time. Reason: It has faded.')
    vera.resize(1400)
    tom.observatory.set_state('1', 'COMPLETED')
    tom.pass_hours(25)
    assert records(managed.host)[-1].parameters['exposure_time'] == 45
