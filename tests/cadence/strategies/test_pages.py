"""The strategy pages say what the strategies decide, and the example of the how-to works."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from tests.house.sources import ROOT
from tom_cadence import registry
from tom_cadence.core.parameters import FIELDS
from tom_cadence.core.relaxation import read_relaxations
from tom_cadence.strategies.brightness import read_table
from tom_cadence.strategies.staged import read_stages

sys.path.insert(0, str(ROOT / 'docs'))
import itertools

import strategy_examples as examples

DOCS = ROOT / 'docs'
PAGES = {
    'until-success': 'UntilSuccessStrategy',
    'staged': 'StagedStrategy',
    'brightness': 'BrightnessStrategy',
    'decline-following': 'DeclineFollowingStrategy',
    'phase-coverage': 'PhaseCoverageStrategy',
    'fill-the-gaps': 'FillGapsStrategy',
}


def text(page: str) -> str:
    return (DOCS / f'{page}.md').read_text()


@pytest.mark.parametrize(('page', 'name'), PAGES.items())
def test_a_page_names_every_parameter_and_shows_its_figure(page: str, name: str) -> None:
    strategy: Any = registry.import_string(registry.OURS[name])
    shown = text(f'strategies/{page}')
    assert shown.startswith(f'# {strategy.name}\n')
    assert set(re.findall(r'^\| `(\w+)` ', shown, re.MULTILINE)) == set(strategy.form.own_fields)
    figure = re.search(r'!\[.+\]\(\.\./(images/strategies/.+\.svg)\)', shown)
    assert figure is not None
    assert (DOCS / figure[1]).is_file()
    assert f'`{name}`' in text('strategies')


def test_what_may_be_asked_of_the_sky_is_on_its_page() -> None:
    shown = set(re.findall(r'^\| `(\w+)` ', text('strategies/visibility'), re.MULTILINE))
    assert shown == {name for name in FIELDS if name.startswith('sky_')}


@pytest.mark.parametrize(('page', 'lines'), [('brightness', examples.brightness), ('decline-following', examples.decline)])
def test_the_decisions_on_a_real_light_curve_are_those_of_the_code(page: str, lines: Any) -> None:
    shown = re.findall(r'^\| (\d{4}-.{11}) \| (.+) \|$', text(f'strategies/{page}'), re.MULTILINE)
    assert shown == [examples.shown(line) for line in lines()]
    assert len(shown) > 10


def test_phase_coverage_needs_fewer_observations_than_any_fixed_interval() -> None:
    shown = dict(re.findall(r'^\| (Phase coverage|every \d+ h) \| (\d+) \|$', text('strategies/phase-coverage'), re.MULTILINE))
    found = {name: examples.needed(phases) for name, phases in examples.coverage().items()}
    assert {name: int(number) for name, number in shown.items()} == found
    best = found.pop('Phase coverage')
    assert best == 20
    assert all(number is None or number > best for number in found.values())


def test_staged_keeps_its_definition_to_the_second() -> None:
    lines = examples.staged()
    taken = [examples.FIRST_NIGHT] + [at for _, at, *_ in lines[:-1]]
    hours = [(after - before).total_seconds() / 3600 for before, after in itertools.pairwise(taken)]
    assert hours == [6.0] * 8 + [24.0] * 10 + [72.0] * 19
    assert '8 intervals of 6 h, 10 of 24 h and 19 of 72 h' in text('strategies/staged')


@pytest.mark.parametrize(
    ('page', 'read'), [('staged', read_stages), ('brightness', read_table), ('relaxing', read_relaxations)]
)  # fmt: skip
def test_the_examples_of_what_to_type_can_be_typed(page: str, read: Any) -> None:
    typed = re.findall(r'```text\n(.+?)\n```', text(f'strategies/{page}'), re.DOTALL)
    assert typed
    assert all(read(each) for each in typed)
