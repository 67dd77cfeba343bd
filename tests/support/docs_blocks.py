"""The code on a page of the documentation, as its reader would copy it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r'^```(?P<kind>\{literalinclude\}|\w+)[ \t]*(?P<path>\S*)\n(?P<body>.*?)^```$', re.MULTILINE | re.DOTALL)
#: The first line of what is to be written into a file says which: ``# mytom/lighthouse.py``, or ``# settings.py, at its end``.
NAMED = re.compile(r'^# (?P<file>[\w/]+\.(?:py|md|txt|html))\b')
OPTION = re.compile(r'^:(?P<name>[\w-]+): (?P<value>.*)$', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of code: its language, its text, and the file that it is to be written into (empty: none is named)."""

    language: str
    text: str
    file: str = ''


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in their order; those that are included from files, too."""
    return list(_found(page))


def block_for(page: Path, file: str) -> Block:
    """The one block that the page says to write into a file."""
    (found,) = (each for each in blocks(page) if each.file == file)
    return found


def _found(page: Path) -> Iterator[Block]:
    for fence in FENCE.finditer(page.read_text()):
        options = {option['name']: option['value'] for option in OPTION.finditer(fence['body'])}
        text, language = fence['body'], fence['kind']
        if language == '{literalinclude}':
            text = _included((page.parent / fence['path']).read_text(), options.get('lines', '1-'))
            language = options.get('language', '')
        named = NAMED.match(text)
        yield Block(language=language, text=text, file=options.get('caption') or (named['file'] if named else ''))


def _included(text: str, lines: str) -> str:
    first, _, last = lines.partition('-')
    chosen = text.splitlines(keepends=True)[int(first) - 1 : int(last) if last else None]
    return ''.join(chosen)
