"""Texts from outside, as they may be kept and shown: without secrets, short, and as a database can hold them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

LONGEST = 1000
#: More of a text than this is not even looked at.
CONSIDERED = 20_000
WORD = (
    r'(?:api[_-]?key|access[_-]?key|[a-z]{0,10}_?token|userpass|passw(?:or)?d|passwd|secret|auth|authorization|signature|sig|key)'
)
#: Secrets nobody told us of, where a word before them says what they are: in addresses, headers, JSON.
IN_ADDRESS = re.compile(rf'(?i)\b({WORD})=[^&\s"\'<>]{{1,2000}}')
IN_HEADER = re.compile(r'(?i)\b(authorization["\']?\s{0,5}[:=]\s{0,5}["\']?)(?:(?:token|bearer|basic)\s{1,5})?[^\s"\',;}]{1,2000}')
SCHEME = re.compile(r'(?i)\b(token|bearer|basic)\s{1,5}[a-z0-9+/=_.-]{16,2000}')
IN_JSON = re.compile(rf'(?i)(["\']{WORD}["\']\s{{0,5}}:\s{{0,5}}["\'])[^"\']{{1,2000}}')
IN_USER = re.compile(r'(?i)(\bhttps?://)[^/\s@"\'<>]{1,500}@')
MOST_ENTRIES, DEEPEST = 200, 6


def clean(text: str, longest: int = LONGEST) -> str:
    """``text`` without secrets that can be told by the words before them, without NUL and half characters, and shortened."""
    text = text[:CONSIDERED]
    text = IN_HEADER.sub(r'\1***', text)
    text = SCHEME.sub(r'\1 ***', text)
    text = IN_ADDRESS.sub(r'\1=***', text)
    text = IN_JSON.sub(r'\1***', text)
    text = IN_USER.sub(r'\1***@', text)
    text = storable(text)
    return text if len(text) <= longest else f'{text[: longest - 1]}\u2026'


def storable(text: str) -> str:
    """``text`` as every database can hold it: without NUL and without halves of characters."""
    return text.encode('utf-8', 'replace').decode().replace('\0', '')


def plain(value: Any, longest: int = 2000, depth: int = 0) -> Any:
    """What a service said, as JSON that every database can hold: bounded in length, number and depth, without NaN."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)[:40] if abs(value) < 2**200 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping) and depth < DEEPEST:
        kept = list(value.items())[:MOST_ENTRIES]
        return {storable(str(name)[:100]): plain(each, longest, depth + 1) for name, each in kept}
    if isinstance(value, (list, tuple)) and depth < DEEPEST:
        return [plain(each, longest, depth + 1) for each in value[:MOST_ENTRIES]]
    return storable(str(value)[:longest])
