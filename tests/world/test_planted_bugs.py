"""The world finds bugs that are planted: without that, a world that finds nothing proves nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.world.bugs import BUGS, Bug
from tests.world.ledger import Broken
from tests.world.month import Month

pytestmark = pytest.mark.slow
MORE = pytest.mark.prove(why='more bugs of each kind, each a month or some')
ALL = [
    pytest.param(bug, id=f'{kind}: {bug.plant.__name__}', marks=[] if bug.always else [MORE])
    for kind, bugs in BUGS.items()
    for bug in bugs
]
SEEDS = 100


@pytest.mark.parametrize('bug', ALL)
def test_a_planted_bug_is_found(bug: Bug, world: Callable[..., Month], monkeypatch: pytest.MonkeyPatch) -> None:
    """Mostly in the first month; a hundred are what it may take."""
    bug.plant(monkeypatch)
    seeds = [bug.seed, *range(1, SEEDS + 1)]
    complaint = next(filter(None, (complaint_of(world(seed)) for seed in seeds)), '')
    assert re.search(bug.complaint, complaint), complaint


def complaint_of(month: Month) -> str:
    """What the ledger complains of in this month, or an empty text."""
    try:
        month.live()
    except Broken as error:
        return str(error).splitlines()[0]
    return ''
