"""The reader's guide: each step of a walk is a call in the code, no room is entered three times, the pictures are today's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.house.sources import ROOT


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / 'docs'))
    import walks

    return walks


def test_each_step_is_a_call_and_no_room_is_entered_more_than_twice(walks: Any) -> None:
    assert {walk.name: walks.complaints(walk) for walk in walks.WALKS} == {'walk-cadence': [], 'walk-query': []}


def test_a_step_that_the_code_does_not_take_is_found(walks: Any) -> None:
    steps = (walks.Step('engine/run.py:begin', 'engine/run.py:finish', ''),)
    wrong = walks.Walk(name='x', app='tom_cadence', title='x', rooms={'engine/run.py': (0.5, 0)}, steps=steps)
    assert walks.complaints(wrong) == ['engine/run.py:begin does not call finish']


def test_the_pictures_are_those_of_today(walks: Any) -> None:
    """``python docs/walks.py`` draws them anew."""
    for walk in walks.WALKS:
        assert (walks.FOLDER / f'{walk.name}.svg').read_text() == walks.drawn(walk)
