"""A new strategy is one file and one line of settings: the page that says so is followed to the letter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

import custom_code
import tom_cadence.strategies
from tests.cadence.pages.test_starting import asked, go
from tests.conftest import NIGHT, at
from tests.support.cadences import bookings
from tests.support.docs_blocks import block_for
from tom_cadence import registry
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = Path(__file__).parents[3] / 'docs' / 'howto' / 'add_a_strategy.md'
NAME = 'UntilFadedStrategy'
DESCRIPTION = 'Observes at the chosen interval until the target is a magnitude fainter than at its brightest.'


def clock() -> datetime:
    return NIGHT


@pytest.fixture
def written(tmp_path: Path, monkeypatch: Any) -> Iterator[None]:
    """The file of the class, as the page says to write it."""
    text = block_for(PAGE, 'custom_code/cadences.py').text
    code = [line for line in text.splitlines() if line.strip() and not line.startswith(('#', 'from', 'import'))]
    assert len(code) <= 30, 'a first strategy is a short one'
    (tmp_path / 'cadences.py').write_text(text)
    monkeypatch.setattr(custom_code, '__path__', [*custom_code.__path__, str(tmp_path)])
    yield
    sys.modules.pop('custom_code.cadences', None)


@pytest.fixture
def followed(settings: LazySettings, written: None) -> None:
    """The class, and the lines of the settings."""
    given: dict[str, Any] = {}
    exec(block_for(PAGE, 'settings.py').text, given)  # noqa: S102 (what the page says to write)
    settings.TOM_CADENCE_STRATEGIES = given['TOM_CADENCE_STRATEGIES']
    settings.TOM_CADENCE = {'CLOCK': f'{__name__}.clock', 'FACILITY_TIMEOUT': 4}


def test_a_strategy_that_is_written_as_the_page_says_is_offered_started_and_decides(
    followed: None, client: Client, astronomer: Any, observatory: Any, target: Any
) -> None:
    client.force_login(astronomer)
    offered = go(client, f'target={target.pk}')
    assert 'Until faded' in offered.text
    assert DESCRIPTION in offered.text
    assert NAME not in offered.text
    form = go(client, asked(target, strategy=NAME))
    assert 'Hours between observations' in form.text
    seen = form.preview()
    assert 'Until faded' in seen.text
    seen.press('Start')
    managed = ManagedCadence.objects.get()
    page = ' '.join(client.get(f'/cadences/{managed.pk}/').content.decode().split())
    sentence = f'Until faded for SN 2011fe at Simulated observatory, every 24 h: {DESCRIPTION}'
    assert sentence in page
    observatory.set_clock(at(30), frozen=True)
    [line] = run_cadences(now=at(30)).lines
    assert line.reason.endswith('has ended, and it has not faded.')
    assert len(bookings(observatory)) == 2


def test_its_test_passes(written: None) -> None:
    room: dict[str, Any] = {'__name__': 'tests.test_until_faded'}
    block = block_for(PAGE, 'tests/test_until_faded.py')
    exec(compile(block.text, block.file, 'exec'), room)  # noqa: S102 (what the page says to write)
    tests = [made for name, made in room.items() if name.startswith('test_')]
    assert len(tests) == 2
    for each in tests:
        each()


def test_a_file_beside_the_shipped_strategies_is_all_it_takes_to_be_offered(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / 'until_faded.py').write_text(block_for(PAGE, 'custom_code/cadences.py').text)
    monkeypatch.setattr(tom_cadence.strategies, '__path__', [*tom_cadence.strategies.__path__, str(tmp_path)])
    try:
        assert registry.shipped()[NAME] == f'tom_cadence.strategies.until_faded.{NAME}'
    finally:
        sys.modules.pop('tom_cadence.strategies.until_faded', None)
        vars(tom_cadence.strategies).pop('until_faded', None)
