"""What would this do? The figure comes after the page, and another strategy stands beside it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.support.cadences import make


@pytest.fixture
def managed(tom: Tom) -> Any:
    """A cadence with its first observation booked."""
    from tom_cadence.models import ManagedCadence

    host = make(tom.vera, tom.target, book=tom.observatory, start=tom.observatory.clock.now())
    tom.cron()
    return ManagedCadence.objects.get(cadence=host)


def test_the_figure_comes_after_the_page_and_another_strategy_stands_beside_it(vera: Browser, tom: Tom, managed: Any) -> None:
    query = 'b_strategy=ResumeCadenceAfterFailureStrategy&b-cadence_frequency=12&nights=30'
    vera.open(f'/cadences/{managed.pk}/simulation/?{query}')
    vera.sees('Observations done', 'Interval achieved', 'nine of ten runs')
    drawn = 'return document.querySelectorAll("#simulation-fan .js-plotly-plot .scatterlayer .trace").length'
    assert vera.driver.execute_script(drawn) >= 6
    assert vera.driver.execute_script('return document.documentElement.scrollWidth <= window.innerWidth')


def test_the_preview_of_a_start_shows_its_futures_when_they_are_opened(vera: Browser, tom: Tom) -> None:
    first = 'ResumeCadenceAfterFailureStrategy'
    vera.open(f'/cadences/start/?target={tom.target.pk}&what=Simulated observatory|IMAGING&strategy={first}')
    vera.fill('Repeat every', '24')
    vera.press('Preview')
    vera.sees('Preview: nothing has been sent')
    vera.press('What would this do? Fifty imagined futures')
    vera.find('#simulation-fan .js-plotly-plot .main-svg')
    vera.sees('Observations done')
    assert not tom.booked()
    vera.press('Other weather, or another strategy beside it')
    vera.is_at('/cadences/simulate/')
    vera.find('#simulation-fan .js-plotly-plot .main-svg')
