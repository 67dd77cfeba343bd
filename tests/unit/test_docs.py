"""The documentation says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tom_cadence import checks, conf
from tom_cadence.parameters import OWN_FIELDS

DOCS = Path(__file__).parents[2] / 'docs'


def rows(page: str) -> dict[str, str]:
    """First cell (a name in backticks) -> the whole line, of all tables of a page."""
    found = re.findall(r'^\| `([^`]+)` \|(.*)$', (DOCS / page).read_text(), flags=re.MULTILINE)
    return dict(found)


def test_the_settings_page_lists_every_setting_and_no_other() -> None:
    assert {name for name in rows('settings.md') if name.isupper()} == set(conf.SETTINGS)


@pytest.mark.parametrize('name', conf.SETTINGS)
def test_the_settings_page_gives_the_default(name: str) -> None:
    default = conf.SETTINGS[name].default
    shown = ', '.join(default) if isinstance(default, tuple) else str(default)
    assert shown.replace("'", '') in re.sub("[`'()\\[\\]]", '', rows('settings.md')[name])


def test_the_checks_page_lists_every_check_and_no_other() -> None:
    assert set(rows('checks.md')) == set(checks.IDS)


def test_the_strategies_page_lists_every_parameter() -> None:
    assert set(OWN_FIELDS) <= set(rows('strategies.md'))


def test_no_page_names_a_path_of_somebodys_machine() -> None:
    for page in DOCS.glob('*.md'):
        assert not re.search(r'(?<![\w.])/(work|root|home)/\w', page.read_text()), page.name
