"""Parts that a test needs and that not every machine has."""

from __future__ import annotations

import os

import pytest

CI = os.environ.get('CI') == 'true'


def missing(part: str) -> None:
    """A part this test needs is not on this machine: skipped for a user, a failure in CI."""
    if CI:
        pytest.fail(f'{part} is missing, and CI must have it.')
    pytest.skip(f'{part} is not installed here.')
