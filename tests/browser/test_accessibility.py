"""Every page of ours, in both themes, wide and narrow: axe-core finds nothing serious, and nothing sticks out sideways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from selenium.webdriver.common.keys import Keys

from tests.browser.axe import THEMES, sticking_out, violations
from tests.browser.seeding import Seeds, seed
from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.support.cadences import SIMULATED
from tom_cadence.models import ProposalBudget

OURS = '.cadences'
PAGE = '.cadence-page'
FORM = f'&what={SIMULATED}|IMAGING&strategy=ResumeCadenceAfterFailureStrategy'


@dataclass(frozen=True)
class Stop:
    """A page to look at: its name in the URLconf, its address, which part is ours, and what is done there first."""

    name: str
    address: str
    within: str = OURS
    first: Callable[[Browser], Any] = lambda browser: None


def open_panels(browser: Browser) -> None:
    """Everything that is folded away on the page of a cadence, unfolded; the last one with an error in it."""
    for words in ('Run now…', 'Change owner…', 'End…', 'Edit parameters and limits…'):
        browser.press(words)
    browser.press('What would happen now')
    browser.sees('Nothing was sent and nothing was written')
    browser.fill('Repeat every', '0')
    browser.press('Save')
    browser.find('#panel-edit .is-invalid')


def open_doubt(browser: Browser) -> None:
    """What a person may say about a lost reply."""
    for words in ('It is at the facility…', 'Send it again…', 'End…'):
        browser.press(words)


def show_preview(browser: Browser) -> None:
    """From the filled-in form to the preview."""
    browser.fill('Repeat every', '24')
    browser.press('Preview')
    browser.sees('Preview: nothing has been sent')


def make_mistakes(browser: Browser) -> None:
    """A form with errors beside its fields."""
    browser.press('Preview')
    browser.sees('Nothing was sent')


def open_tab(browser: Browser) -> None:
    """The tab on a target's page."""
    browser.press('Cadences', within='.nav-tabs')
    browser.find('#cadences .cadences')


def check(browser: Browser) -> None:
    """The form of an application posted empty."""
    browser.press('Check targets')
    browser.sees('Choose at least one target')


def search(browser: Browser) -> None:
    """A search that finds nothing."""
    browser.fill('Search', 'nothing of this name')
    browser.sees('No cadence matches')


def see_request(browser: Browser) -> None:
    """The list must have something to say, else nothing of it is looked at."""
    browser.sees('It is there', 'Look again now')


def see_sky(browser: Browser) -> None:
    """The bars come after the page."""
    browser.find('.tonight-bar svg')


def see_hours(browser: Browser) -> None:
    """The page of hours, which is for staff, with two proposals."""
    get_user_model().objects.filter(username='vera').update(is_staff=True)
    for proposal, hours in (('TOM2026B-001', 0.01), ('TOM2026B-002', 20)):
        ProposalBudget.objects.get_or_create(facility=SIMULATED, proposal=proposal, defaults={'hours': hours})
    browser.open('/cadences/budgets/')
    browser.sees('TOM2026B-002')


def cadences(seeds: Seeds) -> list[Stop]:
    """The list, one cadence in three states, and what hangs on pages of the host."""
    return [
        Stop('list', '/cadences/'),
        Stop('list', '/cadences/', first=search),
        Stop('bulk', f'/cadences/bulk/?facility={SIMULATED}'),
        Stop('notices', '/cadences/notices/'),
        Stop('tonight', '/cadences/tonight/', first=see_sky),
        Stop('requests', '/cadences/requests/', first=see_request),
        Stop('target-tab', f'/targets/{seeds.target.pk}/', '#cadences .cadences', open_tab),
        Stop('notice-preference', '/users/profile/', '.card.cadences'),
        Stop('page', f'/cadences/{seeds.active.pk}/', PAGE),
        Stop('edit', f'/cadences/{seeds.active.pk}/', PAGE, open_panels),
        Stop('change', f'/cadences/{seeds.active.pk}/change/'),
        Stop('proposal', f'/cadences/proposal/?selected-row={seeds.active.pk}'),
        Stop('page', f'/cadences/{seeds.in_doubt.pk}/', PAGE, open_doubt),
        Stop('page', f'/cadences/{seeds.ended.pk}/', PAGE),
        Stop('observation', f'/observations/{seeds.record.pk}/', PAGE),
        Stop('budgets', '/cadences/', first=see_hours),
    ]


def starting(seeds: Seeds) -> list[Stop]:
    """Each step of a start."""
    return [
        Stop('start', '/cadences/start/'),
        Stop('start', f'/cadences/start/?target={seeds.target.pk}'),
        Stop('start', f'/cadences/start/?target={seeds.target.pk}{FORM}'),
        Stop('start-preview', f'/cadences/start/?target={seeds.target.pk}{FORM}', first=make_mistakes),
        Stop('start-preview', f'/cadences/start/?target={seeds.target.pk}{FORM}', first=show_preview),
        Stop('start', f'/cadences/start/?group={seeds.group.pk}&strategy=ResumeCadenceAfterFailureStrategy'),
    ]


def drawn(browser: Browser) -> None:
    """The figure of a simulation comes after its page."""
    browser.find('#simulation-fan .js-plotly-plot')


def simulations(seeds: Seeds) -> list[Stop]:
    """What a cadence would do, beside another; and one that is not started yet."""
    beside = '?b_strategy=ResumeCadenceAfterFailureStrategy&b-cadence_frequency=12&nights=30'
    return [
        Stop('simulation', f'/cadences/{seeds.active.pk}/simulation/', first=drawn),
        Stop('simulation', f'/cadences/{seeds.active.pk}/simulation/{beside}', first=drawn),
        Stop('simulate', '/cadences/simulate/'),
        Stop('simulate', f'/cadences/simulate/?target={seeds.target.pk}{FORM}&cadence_frequency=24&nights=30'),
    ]


def templates(seeds: Seeds) -> list[Stop]:
    """List, forms, and an application with every kind of result."""
    here = f'/observation-templates/{seeds.template.pk}'
    return [
        Stop('template-list', '/observation-templates/'),
        Stop('template-create', '/observation-templates/create/'),
        Stop('template-create', f'/observation-templates/create/?facility={SIMULATED}'),
        Stop('template-from-record', f'/observation-templates/from-record/{seeds.record.pk}/'),
        Stop('template-detail', f'{here}/'),
        Stop('template-edit', f'{here}/edit/'),
        Stop('template-delete', f'{here}/delete/'),
        Stop('template-apply', f'{here}/apply/?target={seeds.target.pk}'),
        Stop('template-apply', f'{here}/apply/', first=check),
        Stop('template-application', f'/observation-templates/applications/{seeds.application.pk}/'),
    ]


TOURS: dict[str, Callable[[Seeds], list[Stop]]] = {
    'cadences': cadences,
    'starting': starting,
    'simulations': simulations,
    'templates': templates,
}
#: Addresses that are not pages: parts of the pages above, files, and what buttons are posted to.
NOT_PAGES = {
    *('plotly', 'history', 'now', 'action', 'request-say', 'say-outcome'),
    *('template-targets', 'template-cadence', 'template-step', 'template-decide', 'template-duplicate'),
}


@pytest.mark.parametrize('theme', THEMES)
@pytest.mark.parametrize('tour', TOURS)
def test_nothing_bars_anybody_from_a_page(settings: Any, tom: Tom, vera: Browser, theme: str, tour: str) -> None:
    settings.CSS_THEME = 'Dark' if theme == 'dark' else None
    found = []
    for stop in TOURS[tour](seed(tom)):
        vera.resize(1400)
        vera.open(stop.address)
        stop.first(vera)
        for width in (1400, 400):
            vera.resize(width)
            vera.find(stop.within)
            wrong = violations(vera, [stop.within]) + [f'sticks out: {each}' for each in sticking_out(vera, stop.within)]
            found += [f'{stop.name} {stop.address} ({width} px) {each}' for each in wrong]
    assert not found, '\n'.join(found)


def test_each_address_of_this_app_is_looked_at_or_is_no_page(tom: Tom) -> None:
    from tom_cadence.urls import urlpatterns

    seeds = seed(tom)
    seen = {stop.name for tour in TOURS.values() for stop in tour(seeds)}
    assert {pattern.name for pattern in urlpatterns} - NOT_PAGES - seen == set()


def focused(browser: Browser) -> str:
    """What the keyboard is at, as a screen reader would name it."""
    return str(browser.driver.switch_to.active_element.accessible_name)


def go_to(browser: Browser, name: str) -> None:
    """Press Tab until the focus is there."""
    for _ in range(80):
        if focused(browser).startswith(name):
            return
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    raise AssertionError(f'{name} cannot be reached with the Tab key')


def test_a_cadence_is_paused_and_resumed_with_the_keyboard_alone(tom: Tom, vera: Browser) -> None:
    seeds = seed(tom)
    vera.open(f'/cadences/{seeds.active.pk}/')
    for button, answer in (('Pause', 'Paused: nothing more is sent'), ('Resume', 'Active again')):
        go_to(vera, button)
        vera.driver.switch_to.active_element.send_keys(Keys.ENTER)
        vera.sees(answer)
        vera.wait('the focus on what was said', lambda answer=answer: answer in vera.driver.switch_to.active_element.text)
