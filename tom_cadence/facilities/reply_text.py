"""Texts from outside, as a person may read them: the portal's own words, one short line, and no secret in it.

Everything that a facility, its form or its portal says passes through ``short_line`` before it becomes a reason, a mail or a
row of a table.
"""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from django.conf import settings

from tom_cadence.core import bounds
from tom_followup import redaction

LONGEST = 300
MOST_READ = 4000
MOST_LINES = 20
DEEPEST = 12

_SECRET_KEY = re.compile(r'(?i)key|token|passw|secret|credential|auth')
_BYTES = re.compile(r'b(?:\'(?:[^\'\\]|\\.)*\'|"(?:[^"\\]|\\.)*")', re.DOTALL)
_NAME = re.compile(r'[\w-]{1,60}')
_TAG = re.compile(r'<[^<>]{0,500}>')
_HIDDEN = re.compile(r'(?is)<(script|style|head)\b.*?</\1\s*>')
_CONTAINERS = frozenset(
    ['', 'errors', 'error', 'detail', 'details', 'message', 'messages', 'non_field_errors', '__all__', 'requests']
)


def short_line(text: Any, most: int = LONGEST) -> str:
    """A text from outside in one short line: its words, without markup, Python's or JSON's signs, and without secrets."""
    try:
        read = str(text)
    except Exception:  # an error of the site, whose own __str__ fails
        return f'{type(text).__name__} (it cannot be shown)'
    if len(read) > MOST_READ:
        read = (read[:MOST_READ].rsplit(None, 1) or [''])[0]
    return bounds.bounded_text(redact(without_markup(read)), most)


def redact(text: str) -> str:
    """The text without secrets: those of the facilities' settings, wherever they stand, and what looks like one."""
    for secret in _configured():
        text = text.replace(secret, '…')
    return redaction.redact(text)


def without_markup(text: str) -> str:
    """What a web server's answer says where the text holds one: JSON, a web page, or Python's way of showing bytes."""
    text = _BYTES.sub(lambda found: _decoded(found.group()), text)
    head, brace, rest = _json_in(text)
    if brace:
        said = '; '.join(f'{key}: {line}' if key else line for key, line in messages_in(rest))
        text = f'{head}{said}'
    if '<' in text:
        text = html.unescape(_TAG.sub(' ', _HIDDEN.sub(' ', redaction.without_elements(text))))
    return text


Place = tuple[str | int, ...]
"""Where something stands in JSON: names, and positions from 0."""


def messages_in(said: Any) -> Iterator[tuple[str, str]]:
    """The texts in what a portal's JSON says, each with the name of the field it is about (or nothing)."""
    for place, text in placed_messages(said):
        yield name_in(place), text


def name_in(place: Place) -> str:
    """The name of the field that stands there, or nothing."""
    return next((name for name in reversed(place) if isinstance(name, str) and name not in _CONTAINERS), '')


def placed_messages(said: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """The texts in what a portal's JSON says, each with where it stands."""
    if len(place) > DEEPEST or said in (None, '', [], {}) or isinstance(said, bool):
        return
    if isinstance(said, Mapping):
        for name, value in list(said.items())[:MOST_LINES]:
            if redaction.SECRET_NAME.search(str(name)):
                yield (*place, str(name)), '…'
            else:
                yield from placed_messages(value, (*place, str(name)))
    elif isinstance(said, (list, tuple, set)):
        named = False
        for number, value in enumerate(list(said)[:MOST_LINES]):
            if named:  # a pair, ["token", "..."]: what follows a name is its value
                yield place, '…'
            else:
                yield from placed_messages(value, (*place, number))
            named = isinstance(value, str) and bool(_NAME.fullmatch(value) and redaction.SECRET_NAME.search(value))
    else:
        yield place, str(said)


def _decoded(shown: str) -> str:
    try:
        return bytes(ast.literal_eval(shown)).decode(errors='replace')
    except (SyntaxError, ValueError):
        return shown


def _json_in(text: str) -> tuple[str, bool, Any]:
    """The text before a JSON object or list that ends the text, whether there is one, and what it is."""
    begins = [place for place in (text.find('{'), text.find('[')) if place >= 0]
    if not begins:
        return text, False, None
    start = min(begins)
    try:
        return text[:start], True, json.loads(text[start:])
    except (ValueError, RecursionError):
        return text, False, None


def _configured() -> list[str]:
    """Keys, tokens and passwords of the facilities' settings, as they are and as an address writes them."""
    found: set[str] = set()
    _gather(getattr(settings, 'FACILITIES', None), False, found, 0)
    return sorted({*found, *(quote(each, safe='') for each in found)}, key=len, reverse=True)


def _gather(value: Any, secret: bool, found: set[str], depth: int) -> None:
    if isinstance(value, Mapping) and depth < DEEPEST:
        for key, inner in value.items():
            _gather(inner, secret or bool(_SECRET_KEY.search(str(key))), found, depth + 1)
    elif isinstance(value, (list, tuple)) and depth < DEEPEST:
        for inner in value:
            _gather(inner, secret, found, depth + 1)
    elif secret and isinstance(value, str) and len(value) >= 6:
        found.add(value)
