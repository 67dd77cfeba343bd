"""Keys, tokens and passwords in texts from outside: what is named so, and what looks like one, is left out. Pure.

A text may be a portal's answer, an address, a header, JSON, XML, or any of these as Python or a shell shows it: quoted, with
escaped quotes, as bytes, as a pair, or percent-encoded. Every pattern is linear, or bounded.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NAMES = (
    r'(?:token|(?:api|access|private|secret|auth)[-_ ]?key|passw(?:or)?d|pass[-_ ]?phrase|pwd|user[-_]?pass|secret'
    r'|credentials?|signature|session[-_]?id|csrf)'
)
_SHORT = r'(?<![\w-])(?:key|pass|auth|sig)'
"""Words that also mean something else: they count where a sign follows that only data have."""
_VALUE = r'(?:\\?"[^"\\]{0,400}\\?"?|\\?\'[^\'\\]{0,400}\\?\'?|[^\s"\'&,;}<>)\]\\]{1,400})'
_QUOTED = r'\\?["\']\s{0,3}(?:,|=>|[:=])'
_IS = rf'(?:{_QUOTED}|\s{{0,3}}(?:=>|[:=]|%3[ad]))\s{{0,3}}b?'
_SCHEME = r'(?:(?:token|basic|bearer|digest|apikey)\s{1,3})?'
_HEADER = re.compile(r'(?i)((?:authorization|cookie)\\?["\']?\s{0,3}[:=,]\s{0,3}(?:b?\\?["\'])?)[^\r\n"\'}\\]{1,1000}')
_NAMED = re.compile(rf'(?i)((?:{_NAMES}[\w-]{{0,30}}|authorization){_IS}){_SCHEME}({_VALUE})')
_NAMED_SHORT = re.compile(rf'(?i)({_SHORT}(?:{_QUOTED}|\s{{0,3}}(?:=>|=|%3d))\s{{0,3}}b?)({_VALUE})')
_SPOKEN = re.compile(
    rf'(?i)({_NAMES}|\b(?:bearer|basic))(\s{{1,3}}(?:(?:is|was)\s{{1,3}})?)(?=[^\s]{{0,200}}\d)[\w.~+/=%-]{{6,400}}'
)
_ELEMENT = re.compile(rf'(?i)(<(?:[\w:-]{{0,30}}{_NAMES}[\w-]{{0,30}}|key|authorization)>)[^<>]{{1,400}}')
_USERINFO = re.compile(r'(?<=://)[^/\s]{0,400}@')
_ENCODED_USERINFO = re.compile(r'(?i)(?<=%3a%2f%2f)[\w.%~+-]{0,400}?%40')
_QUERY = re.compile(r'(/[^\s?#\'"<>]{0,400})[?#][^\s\'"<>)]{1,2000}')
_JWT = re.compile(r'\beyJ[\w-]{4,2000}\.[\w-]{4,2000}(?:\.[\w-]{0,2000})?')
_HEX = re.compile(r'(?i)(?<![0-9a-z])[0-9a-f]{32,128}(?![0-9a-z])')
SECRET_NAME = re.compile(rf'(?i)(?:{_NAMES}|authorization|cookie|\A(?:key|pass|auth|sig)\Z)')


@lru_cache(maxsize=4096)
def redact(text: str, *, queries: bool = False) -> str:
    """The text without keys, tokens and passwords.

    Of an address neither the user nor, unless ``queries`` are wanted, what follows the question mark is told.
    """
    text = _ENCODED_USERINFO.sub('', _USERINFO.sub('', text))
    text = text if queries else _QUERY.sub(r'\1', text)
    text = _HEADER.sub(r'\1…', text)
    for pattern in (_NAMED, _NAMED_SHORT):
        text = pattern.sub(lambda found: f'{found.group(1)}{_ellipsis(found.group(2))}', text)
    text = _SPOKEN.sub(r'\1\2…', without_elements(text))
    return _HEX.sub('…', _JWT.sub('…', text))


def without_elements(text: str) -> str:
    """XML whose elements that are named like a secret are empty: for whoever takes the marks of elements out afterwards."""
    return _ELEMENT.sub(r'\1…', text)


def _ellipsis(value: str) -> str:
    sign = value[:1] if value[:1] in ('"', "'") else ''
    return f'{sign}…{sign}'
