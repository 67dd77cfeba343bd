"""The clock of a rehearsal: real time plus an offset that is kept in a file, shared by all processes of the TOM.

``TOM_CADENCE['CLOCK']`` names ``custom_code.clock.now`` when EXAMPLE_TOM_CLOCK names such a file. Without the file it
is the ordinary clock.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

from django.utils import timezone


def _file() -> Path | None:
    name = os.environ.get('EXAMPLE_TOM_CLOCK')
    return Path(name) if name else None


def now() -> datetime:
    """The rehearsed instant, aware UTC."""
    path = _file()
    try:
        offset = json.loads(path.read_text())['offset_seconds'] if path else 0.0
    except FileNotFoundError:
        offset = 0.0
    return timezone.now() + timedelta(seconds=offset)


def set_now(instant: datetime) -> None:
    """Let it be ``instant`` now; time goes on from there."""
    path = _file()
    if path is None:
        raise RuntimeError('EXAMPLE_TOM_CLOCK names no file.')
    fresh = path.with_suffix('.new')
    fresh.write_text(json.dumps({'offset_seconds': (instant - timezone.now()).total_seconds()}))
    fresh.replace(path)
