"""How high a target stands over the coming day: the bars are inside each other, true to the sky, and the best site comes first."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tom_cadence.core.altitude import LEVELS, SiteBar, Span, bars, spans
from tom_cadence.core.visibility import Constraints, Site, visible_intervals
from tom_cadence.core.windows import Window

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
LA_PALMA = Site(name='La Palma', latitude=28.76, longitude=-17.88, elevation=2300)
CHILE = Site(name='Cerro Tololo', latitude=-30.17, longitude=-70.81, elevation=2200)
POLE = Site(name='The Pole', latitude=89.9, longitude=0.0)
WHOLE = Window(start=NOON, end=NOON + DAY)


def shown(dec: float, window: Window = WHOLE) -> dict[str, SiteBar]:
    return {bar.site: bar for bar in bars((LA_PALMA, CHILE, POLE), (40.0, dec), window, NOON, NOON + DAY)}


def covers(outer: tuple[Span, ...], inner: Span) -> bool:
    return any(each.start <= inner.start + 0.02 and inner.start + inner.length <= each.start + each.length + 0.02 for each in outer)


@settings(max_examples=12)
@given(dec=st.floats(-90, 90))
def test_higher_is_inside_lower_which_is_inside_the_night(dec: float) -> None:
    for bar in shown(dec).values():
        rings = (bar.dark, *bar.up)
        assert all(each.start >= 0 and each.length > 0 and each.start + each.length <= 100.01 for ring in rings for each in ring)
        assert all(covers(outer, each) for outer, ring in pairwise(rings) for each in ring)


def test_the_bar_says_what_the_engine_decides_by() -> None:
    bar = shown(20.0)['La Palma']
    constraints = Constraints(min_altitude=LEVELS[0], darkness='nautical')
    (up,) = visible_intervals(LA_PALMA, 40.0, 20.0, constraints, NOON, NOON + DAY)
    assert bar.up[0] == spans([(up.start, up.end)], NOON, NOON + DAY)
    assert bar.words == f'above 30° in the dark from {up.start:%H:%M} to {up.end:%H:%M} UTC, up to more than 60°'
    assert bar.observable == up.end - up.start


def test_the_site_where_it_is_up_longest_within_the_window_comes_first() -> None:
    assert next(iter(shown(20.0))) != 'Cerro Tololo'
    assert next(iter(shown(-60.0))) == 'Cerro Tololo'
    late = Window(start=NOON + timedelta(hours=14), end=NOON + timedelta(hours=18))
    assert next(iter(shown(-10.0, late))) == 'Cerro Tololo'
    assert next(iter(shown(-10.0, Window(start=NOON + timedelta(hours=8), end=NOON + timedelta(hours=10))))) == 'La Palma'


def test_a_target_that_is_never_up_and_a_night_that_never_ends_are_said() -> None:
    found = shown(-80.0)
    assert (found['La Palma'].words, found['La Palma'].up) == ('never above 30° in the dark', ((), (), ()))
    assert found['The Pole'].dark == (Span(start=0.0, length=100.0),)
