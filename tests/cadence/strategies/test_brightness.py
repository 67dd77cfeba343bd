"""Brightness: which point decides, and what follows from its magnitude."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.support.samples import HOUR, NOON, attempt, cadence, history, window
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.photometry import Photometry
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies import BrightnessStrategy, History
from tom_cadence.strategies.brightness import read_table, row_for
from tom_followup.units import mjd_of

TABLE = 'up to 16: every 6 h, 30 s; up to 18: every 24 h, 120 s; fainter: every 2 days'


def points(*rows: tuple[float, str, float | None, float | None], **more: Any) -> Photometry:
    """Rows of hours before NOON, band, magnitude, limit."""
    hours, bands, magnitudes, limits = zip(*rows, strict=True)
    times = [mjd_of(NOON - hour * HOUR) for hour in hours]
    return Photometry.of(times, bands, magnitudes, limit=limits, **{'error': 0.05, 'source': 'ZTF', **more})


def decide(seen: Photometry | None, *outcomes: str, now: datetime = NOON, past: History | None = None, **parameters: Any) -> Any:
    given = {'bright_magnitude': 18, 'cadence_frequency': 12, **parameters}
    found = past or history(*(outcomes or ('succeeded',)))
    curve = Photometry() if seen is None else seen
    return BrightnessStrategy(cadence(**given)).decide(History(attempts=found.attempts, photometry=curve), now)


@pytest.mark.parametrize(
    ('rows', 'parameters', 'expected', 'words'),
    [
        ([(2, 'r', 17.5, None)], {}, Wait, 'r = 17.50 ± 0.05 at 2026-11-21 10:00 UTC (ZTF): every 12 h. The next'),
        ([(2, 'r', 18.5, None)], {}, Wait, 'observed only while brighter than 18'),
        ([(2, 'r', 18.5, None)], {'bright_stop': 18.4}, Stop, 'beyond 18.4, where this cadence ends'),
        ([(2, 'r', 18.5, None)], {'bright_follow': 'fainter'}, Wait, 'every 12 h'),
        ([(2, 'r', 17.5, None)], {'bright_follow': 'fainter'}, Wait, 'observed only while fainter than 18'),
        ([(2, 'r', 15.0, None)], {'bright_follow': 'fainter', 'bright_stop': 16}, Stop, 'beyond 16'),
        ([(9, 'r', 17.5, None), (2, 'r', None, 19.0)], {}, Wait, 'r > 19.00 at 2026-11-21 10:00 UTC (ZTF): observed only'),
        ([(2, 'r', None, 18.0)], {}, Wait, 'r > 18.00 at 2026-11-21 10:00 UTC (ZTF): observed only'),
        ([(9, 'r', 17.5, None), (2, 'r', None, 17.0)], {}, Wait, 'r = 17.50'),  # a limit too shallow to decide
        ([(9, 'r', 17.5, None), (2, 'g', 18.5, None)], {'bright_bands': 'r, i'}, Wait, 'r = 17.50'),
        ([(80, 'r', 17.5, None)], {}, Wait, 'There is no point with S/N of 5 younger than 72 h.'),
        ([(80, 'r', 17.5, None)], {'bright_age': 100}, Wait, 'r = 17.50'),
        ([(2, 'r', 17.5, None)], {'bright_snr': 50}, Wait, 'There is no point'),
        ([(-1, 'r', 12.0, None), (2, 'r', 17.5, None)], {}, Wait, 'r = 17.50'),  # not from the future
    ],
)  # fmt: skip
def test_the_point_that_decides_is_named(rows: Any, parameters: dict[str, Any], expected: type, words: str) -> None:
    decision = decide(points(*rows), **parameters)
    assert type(decision) is expected
    assert words in decision.reason


@pytest.mark.parametrize(
    ('magnitude', 'due', 'seconds'),
    [(15.5, 2, 30), (16.0, 2, 30), (16.01, 20, 120), (17.9, 20, 120)],
)
def test_interval_and_exposure_follow_the_magnitude(magnitude: float, due: float, seconds: float) -> None:
    past = History(attempts=(attempt(1, 'succeeded', parameters={'exposure_time': 60.0, 'filter': 'r'}),))
    seen = points((2, 'r', magnitude, None))
    early = decide(seen, past=past, bright_table=TABLE, now=NOON + (due - 1.1) * HOUR)
    assert isinstance(early, Wait)
    decision = decide(seen, past=past, bright_table=TABLE, now=NOON + (due - 0.5) * HOUR)
    assert isinstance(decision, Submit)
    assert decision.window == window(due)
    assert decision.changes == {'exposure_time': seconds}


def test_an_exposure_that_is_right_already_is_left_alone_and_every_configuration_follows() -> None:
    stored = {'c_1_ic_1_exposure_time': 30.0, 'c_1_ic_2_exposure_time': 90, 'c_2_ic_1_exposure_time': None, 'V': [60, 2, 1]}
    past = History(attempts=(attempt(1, 'succeeded', parameters=stored),))
    decision = decide(points((2, 'r', 15.0, None)), past=past, bright_table=TABLE, now=NOON + 20 * HOUR)
    assert decision.changes == {'c_1_ic_2_exposure_time': 30.0, 'V': [30.0, 2, 1]}


def test_a_failure_is_asked_for_again_with_the_present_exposure_as_long_as_it_is_followed() -> None:
    past = History(attempts=(attempt(1, 'failed', parameters={'exposure_time': 60}),))
    decision = decide(points((2, 'r', 15.0, None)), past=past, bright_table=TABLE)
    assert (decision.window, decision.changes) == (window(0), {'exposure_time': 30.0})
    assert isinstance(decide(points((2, 'r', 19.0, None)), past=past, bright_table=TABLE), Wait)


@pytest.mark.parametrize('now', [0, 30])
def test_without_a_point_it_waits_or_goes_on_as_it_was_told(now: float) -> None:
    assert isinstance(decide(None, now=NOON + now * HOUR), Wait)
    decision = decide(None, now=NOON + now * HOUR, bright_without='observe')
    assert isinstance(decision, Submit if now else Wait)
    assert 'No point is young enough: every 12 h.' in decision.reason


def test_an_unfinished_observation_is_waited_for_whatever_the_brightness() -> None:
    assert 'not finished' in decide(points((2, 'r', 25.0, None)), 'waiting', bright_stop=20).reason


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'bright_magnitude': None}, 'bright_magnitude is missing'),
        ({'bright_stop': 17}, 'it must be fainter than 18'),
        ({'bright_stop': 19, 'bright_follow': 'fainter'}, 'it must be brighter than 18'),
        ({'cadence_frequency': None}, 'bright_table is empty: add a row, or give the interval'),
        ({'cadence_frequency': None, 'bright_table': 'up to 16: every 6 h'}, 'does not go down to every magnitude'),
        ({'cadence_frequency': None, 'bright_table': TABLE, 'bright_without': 'observe'}, 'give the interval'),
        ({'bright_table': 'up to 16: every 6 h; up to 15: every 3 h'}, "row 2, 'up to 15: every 3 h', is not fainter"),
        ({'bright_table': 'up to 16, every 6 h'}, 'row 1, .*cannot be read. Write it like'),
        ({'bright_table': 'up to 16: every 0 h'}, 'an interval of 0.01 h'),
        ({'bright_table': 'up to 16: every 6 h, 0 s'}, 'an exposure of 0.01 s'),
        ({'bright_age': 0.0001, 'bright_snr': -1}, 'bright_snr is -1'),
    ],
)
def test_impossible_combinations_are_refused_in_words(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(NeedsAttention, match=words):
        decide(points((2, 'r', 15.0, None)), **parameters)


def test_a_table_that_goes_down_to_the_limit_needs_no_interval() -> None:
    assert isinstance(decide(points((2, 'r', 15.0, None)), cadence_frequency=None, bright_table='up to 18: every 6 h'), Wait)


def test_the_table_is_read_to_its_end() -> None:
    rows = read_table(TABLE)
    assert [row.every for row in rows] == [6, 24, 48]
    assert [row.seconds for row in rows] == [30, 120, None]
    assert row_for(rows, 30.0) is rows[2]
