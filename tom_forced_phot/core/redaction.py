"""Texts from outside, as they may be kept and shown: without secrets, short, and as a database can hold them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tom_followup.redaction import redact

LONGEST = 1000
#: More of a text than this is not even looked at.
CONSIDERED = 20_000
MOST_ENTRIES, DEEPEST = 200, 6
HIDDEN, SHORTEST = '***', 4
LONGEST_NAME = 100
#: Of an account: beside secrets, what names its owner. A service of the tutorial's kind keeps it among its parameters.
ACCOUNT = re.compile(r'key|token|pass|secret|mail|user|auth|login|credential', re.IGNORECASE)


def clean(text: str, longest: int = LONGEST) -> str:
    """``text`` without secrets that can be told by the words before them, without NUL and half characters, and shortened."""
    text = redact(text[:CONSIDERED], queries=True)
    text = storable(text)
    return text if len(text) <= longest else f'{text[: longest - 1]}\u2026'


def words(error: BaseException) -> str:
    """What an error says for itself, whole; of one whose own ``__str__`` fails, that it cannot be shown."""
    try:
        return str(getattr(error, 'whole', '') or error)
    except Exception:  # an error of the site
        return 'it cannot be shown'


def error_text(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """An error of somebody else's as its class and a short text without secrets; those that are known go first, whole."""
    name, said = clean(type(error).__name__, LONGEST_NAME), clean(without(words(error), secrets))
    return f'{name}: {said}' if said else name


def without(text: str, secrets: Iterable[str]) -> str:
    """``text`` without these very secrets; the longest go first, so that no part of one stays where another is contained in it."""
    for secret in sorted({each for each in secrets if each}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def secrets_in(config: Mapping[str, Any]) -> list[str]:
    """The values of a service's settings that belong to an account; what is shorter than four letters stands in many words."""
    named = (str(value) for name, value in config.items() if ACCOUNT.search(name))
    return [value for value in named if len(value) >= SHORTEST]


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
