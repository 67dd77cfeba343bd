"""Control light curves in the file of their target: as comments at its end, so that every reader of such files still reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.readers.atlas import read_atlas

MOST = 99
LINE = re.compile(rb'^#c(\d{1,2}) (.*)$', re.MULTILINE)


def pack(target: bytes, controls: Sequence[bytes]) -> bytes:
    """The target's file as the server sent it, and after it each line of each control's with ``#c`` and its number from 1."""
    lines = [b'#c%d %s' % (number, line) for number, file in enumerate(controls, 1) for line in file.splitlines() if line.strip()]
    return b'\n'.join([target.rstrip(b'\n'), *lines, b''])


def read_controls(content: bytes) -> list[Measurements]:
    """The control light curves of a file, in their order; none where it has none. BadFile where one cannot be read."""
    found: dict[int, list[bytes]] = {}
    for match in LINE.finditer(content):
        found.setdefault(int(match[1]), []).append(match[2].rstrip(b'\r'))
    return [read_atlas(b'\n'.join(lines)) for _, lines in sorted(found.items())]
