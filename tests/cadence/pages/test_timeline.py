"""The timeline's figure, without a database."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import NIGHT, at
from tom_cadence.pages.cadence.timeline import MOST_LANES, Bar, TimelinePoint, figure, is_flux, lanes_of


def bar(start: float, kind: str = 'succeeded', hours: float = 4, **more: Any) -> Bar:
    return Bar(kind=kind, start=at(start), end=at(start + hours), label='Observation 1', **more)


def point(hour: float, value: float = 17.0, limit: bool = False, series: str = 'r') -> TimelinePoint:
    return TimelinePoint(time=at(hour), value=value, error=0.1, limit=limit, series=series)


def names(found: dict[str, Any]) -> list[str]:
    return [trace['name'] for trace in found['data']]


def test_each_outcome_has_its_own_name_colour_and_pattern() -> None:
    found = figure([bar(0), bar(24, 'failed'), bar(48, 'cancelled'), bar(72, 'waiting'), bar(96, 'planned')], [], at(70))
    assert names(found) == ['Succeeded', 'Failed', 'Waiting', 'Cancelled', 'Planned, if all succeed']
    assert len({trace['marker']['color'] for trace in found['data']}) == 5
    assert found['data'][1]['marker']['pattern']['shape'] == 'x'


def test_what_was_observed_has_a_row_of_its_own() -> None:
    found = figure([bar(0, observed=(at(1), at(1.5)))], [], at(5))
    assert names(found) == ['Succeeded', 'Observed']
    assert found['layout']['yaxis']['ticktext'] == ['Asked for', 'Observed']
    assert found['data'][1]['x'] == [1800000.0]


def test_the_light_curve_stands_below_on_the_same_axis_with_bright_above() -> None:
    found = figure([bar(0)], [point(1), point(2, limit=True)], at(5), 'mag')
    assert names(found) == ['Succeeded', 'r', 'r, upper limit']
    assert {trace.get('xaxis', 'x') for trace in found['data']} == {'x'}
    assert found['layout']['yaxis2']['autorange'] == 'reversed'
    assert found['layout']['yaxis2']['domain'][1] < found['layout']['yaxis']['domain'][0]


def test_fluxes_are_not_turned_round() -> None:
    assert 'autorange' not in figure([bar(0)], [point(1)], at(5), 'uJy')['layout']['yaxis2']
    assert is_flux('uJy')
    assert not is_flux('AB mag')


def test_the_first_view_holds_all_windows_and_the_present_whatever_the_light_curve() -> None:
    first, last = figure([bar(0), bar(24)], [point(-9000)], at(30))['layout']['xaxis']['range']
    assert first > '2026-11-20 00:00:00'
    assert last < '2026-11-24 00:00:00'


def test_windows_at_the_same_time_do_not_hide_each_other() -> None:
    assert lanes_of([bar(0), bar(1), bar(2), bar(5)]) == [0, 1, 2, 0]
    assert set(lanes_of([bar(0) for _ in range(20)])) == set(range(MOST_LANES))


def test_a_thousand_windows_and_points_are_plain_json_of_reasonable_size() -> None:
    found = figure([bar(6 * hour) for hour in range(1000)], [point(3 * hour) for hour in range(2000)], NIGHT)
    assert len(json.dumps(found)) < 500_000
    assert 'template' not in found['layout']
