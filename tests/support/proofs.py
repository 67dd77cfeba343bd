"""Which cases are tried in ``make test``, and which are left to ``make prove``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def some(every: Iterable[Any], now: Collection[Any], later: pytest.MarkDecorator) -> list[Any]:
    """Parameters of a test: ``now`` as they are, all others with the mark ``later``, which says why."""
    return [each if each in now else pytest.param(each, marks=later) for each in every]
