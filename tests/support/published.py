"""Real files of the services, published by others, for tests only: they are not part of this project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = 'TOM_FOLLOWUP_SAMPLES'
BESIDE = Path(__file__).resolve().parents[2].parent / 'shared' / 'samples'


def folder() -> Path:
    """Where the files are: named by the environment, else beside the checkout."""
    return Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else BESIDE


def sample(name: str) -> bytes:
    """The content of ``atlas/...``, ``ztf/...`` or ``ps1/...``; the test is skipped where the file is not."""
    path = folder() / name
    if not path.is_file():
        pytest.skip(f'{name} is not here: set {VARIABLE} to a folder of published result files to run this.')
    return path.read_bytes()
