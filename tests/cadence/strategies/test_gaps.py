"""Fill the gaps: nothing is asked for that anybody has seen; a service is asked first, and never waited for in vain."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.samples import HOUR, NOON, attempt, cadence, window
from tom_cadence.core.decisions import Submit, Wait
from tom_cadence.core.history import PhotometryAnswer
from tom_cadence.core.photometry import Photometry
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.strategies import FillGapsStrategy, History
from tom_followup.units import mjd_of

OLD = attempt(1, 'succeeded', window=window(-100))


def points(*rows: tuple[float, str, float | None, float | None], **more: Any) -> Photometry:
    hours, bands, magnitudes, limits = zip(*rows, strict=True)
    return Photometry.of(
        [mjd_of(NOON - hour * HOUR) for hour in hours], bands, magnitudes, limit=limits, **{'error': 0.2, 'source': 'ATLAS', **more}
    )  # fmt: skip


def decide(
    seen: Photometry | None = None, *looks: PhotometryAnswer, now: datetime = NOON, attempts: Any = (OLD,), **parameters: Any
) -> Any:
    past = History(attempts=attempts, photometry=seen or Photometry(), looks=looks)
    return FillGapsStrategy(cadence(**{'cadence_frequency': 48, **parameters})).decide(past, now)


@pytest.mark.parametrize(
    ('rows', 'parameters', 'expected', 'words'),
    [
        ([(50, 'o', 17.0, None)], {}, Submit, 'Nobody has a point younger than 48 h.'),
        (
            [(47, 'o', 17.0, None)],
            {},
            Wait,
            'A point in o at 2026-11-19 13:00 UTC (ATLAS): there is no gap before 2026-11-21 13:00',
        ),
        ([(1, 'o', None, 19.0)], {}, Wait, 'there is no gap'),  # a look that saw nothing is a look
        ([(1, 'o', None, 19.0)], {'gap_snr': 3}, Submit, 'Nobody'),
        ([(1, 'o', 17.0, None)], {'gap_snr': 3}, Wait, 'no gap'),
        ([(1, 'o', 17.0, None)], {'gap_snr': 9}, Submit, 'Nobody'),
        ([(1, 'o', 17.0, None)], {'gap_bands': 'r, i'}, Submit, 'Nobody has a point in r, i younger'),
        ([(1, 'r', 17.0, None)], {'gap_bands': 'r, i'}, Wait, 'no gap'),
        ([(-1, 'o', 17.0, None)], {}, Submit, 'Nobody'),  # not from the future
    ],
)
def test_only_a_gap_is_filled(rows: Any, parameters: dict[str, Any], expected: type, words: str) -> None:
    decision = decide(points(*rows), **parameters)
    assert type(decision) is expected
    assert words in decision.reason
    if expected is Submit:
        assert decision.window == window(0)


def test_an_observation_of_one_s_own_is_a_point_that_has_not_arrived_yet() -> None:
    decision = decide(attempts=(attempt(1, 'succeeded'),))
    assert 'An observation of this cadence at 2026-11-21 08:00 UTC: there is no gap before 2026-11-23 08:00' in decision.reason


def test_a_failure_is_asked_for_again_only_while_the_gap_is_there() -> None:
    failed = (OLD, attempt(2, 'failed'))
    assert decide(attempts=failed, retry_backoff=3).window == window(3)
    assert isinstance(decide(points((1, 'o', 17.0, None)), attempts=failed), Wait)


ASK = {'gap_ask': 'ATLAS', 'gap_patience': 6}


def test_a_service_is_asked_first_with_one_question_a_day() -> None:
    decision = decide(**ASK)
    assert isinstance(decision, Wait)
    assert decision.wish.service == 'ATLAS'
    assert decision.wish.since == datetime(2026, 11, 12, tzinfo=NOON.tzinfo)
    assert decide(now=NOON + HOUR, **ASK) == decision


def look(asked: float, ended: float | None = None, problem: str = '', service: str = 'ATLAS') -> PhotometryAnswer:
    return PhotometryAnswer(
        service=service, asked=NOON + asked * HOUR, ended=None if ended is None else NOON + ended * HOUR, problem=problem
    )  # fmt: skip


@pytest.mark.parametrize(
    ('looks', 'expected', 'words'),
    [
        ([look(-1)], Wait, 'its answer is waited for until 2026-11-21 17:00 UTC'),
        ([look(-1, 0)], Submit, 'younger than 48 h, nor has ATLAS.'),
        ([look(-7)], Submit, 'and ATLAS has not answered in 6 h.'),
        ([look(-1, 0, 'it is too far south.')], Submit, 'and ATLAS could not be asked: it is too far south.'),
        ([look(-60, -59)], Wait, 'is asked for a fresh look first'),  # stale
        ([look(-1, 0, service='ZTF')], Wait, 'is asked for a fresh look first'),
        ([look(-9, -8), look(-1)], Wait, 'is waited for'),
    ],
)
def test_its_answer_is_waited_for_but_not_in_vain(looks: list[PhotometryAnswer], expected: type, words: str) -> None:
    decision = decide(None, *looks, **ASK)
    assert type(decision) is expected
    assert words in decision.reason
    if isinstance(decision, Wait) and 'waited' in words:
        assert decision.wish is None


def test_a_look_from_before_the_gap_began_is_not_fresh() -> None:
    seen = points((50, 'o', 17.0, None))  # the gap began two hours ago
    assert decide(seen, look(-3, -2.5), **ASK).wish is not None
    assert isinstance(decide(seen, look(-1, -0.5), **ASK), Submit)


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'cadence_frequency': None}, 'cadence_frequency is missing'),
        ({'gap_ask': 'ATLAS', 'gap_patience': 48}, 'the answer would always come too late'),
        ({'gap_snr': -1}, 'gap_snr is -1'),
    ],
)
def test_impossible_combinations_are_refused_in_words(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(NeedsAttention, match=words):
        decide(**parameters)


def test_who_asks_nobody_needs_no_patience() -> None:
    assert isinstance(decide(cadence_frequency=2, gap_patience=6), Submit)


def test_only_the_points_that_matter_are_read() -> None:
    assert FillGapsStrategy(cadence(cadence_frequency=48)).photometry_span() == timedelta(hours=48)
    assert FillGapsStrategy(cadence(cadence_frequency=48, **ASK)).asks_service() == 'ATLAS'
