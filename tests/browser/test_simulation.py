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
