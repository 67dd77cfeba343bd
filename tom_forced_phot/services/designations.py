"""Designations of minor planets and comets as services want them, out of the names that people give to targets. Pure.

The packed form is the Minor Planet Center's: https://www.minorplanetcenter.net/iau/info/PackedDes.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
#: Half months, and the letters of a designation: no I.
HALF, LETTER = 'A-HJ-Y', 'A-HJ-Z'
LONGEST = 100
#: Beyond it a cycle has no two characters any more: from 620 on the Center counts with base 62, in years from 2000 to 2035.
MOST_CYCLES, EXTENDED_YEARS = 619, (2000, 2035)
LETTERS = 'ABCDEFGHJKLMNOPQRSTUVWXYZ'

NUMBERED = re.compile(r'\(\s*(\d{1,7})\s*\)(?:\s.*)?')
NUMBER_AND_NAME = re.compile(r'(\d{1,7})(?:\s+[A-Z][a-z][^\d]*)?')
PROVISIONAL = re.compile(rf'(?:(1[89]|20|21)(\d\d))[\s_-]*([{HALF}])([{LETTER}])\s*(\d{{0,6}})', re.IGNORECASE)
SURVEY = re.compile(r'(\d{4})\s*(P-L|T-[123])', re.IGNORECASE)
COMET = re.compile(
    rf'([CPDXAI])/\s*(1[0-9]|20|21)(\d\d)\s*([{HALF}])\s*([{LETTER}]?)(\d{{0,3}})(?:-([A-Z]))?(?:\s*\(.*\))?', re.IGNORECASE
)
PERIODIC = re.compile(r'(\d{1,4})([PDI])(?:-([A-Z]))?(?:/.*)?', re.IGNORECASE)
PACKED_NUMBER = re.compile(r'[0-9A-Za-z]\d{4}|~[0-9A-Za-z]{4}')
PACKED = re.compile(
    rf'[IJK]\d\d[{HALF}][0-9A-Za-z]\d[{LETTER}]|_[P-Z][{HALF}][0-9A-Za-z]{{4}}|PLS\d{{4}}|T[123]S\d{{4}}'
    rf'|\d{{4}}[PDI][a-z]?|[CPDXAI][A-Z]\d\d[{HALF}][0-9A-Za-z]\d[0-9A-Za-z]'
)


def designation(names: Iterable[str]) -> str:
    """``(433)`` of a numbered minor planet, otherwise a packed designation, of the first name that is one; empty where none is."""
    for name in names:
        found = _of(' '.join(name.split()))
        if found:
            return found
    return ''


def _of(name: str) -> str:
    if not name or len(name) > LONGEST:
        return ''
    if match := NUMBERED.fullmatch(name):
        return f'({int(match[1])})' if int(match[1]) else ''
    if PACKED.fullmatch(name):
        return name
    for pattern, packed in PATTERNS:
        if match := pattern.fullmatch(name):
            return packed(match)
    return ''


def _provisional(match: re.Match[str]) -> str:
    century, year, half, letter, cycle = match.groups()
    times, number = _cycle(int(cycle or 0)), int(cycle or 0)
    if times:
        return f'{_century(century)}{year}{half.upper()}{times}{letter.upper()}'
    place = (number - MOST_CYCLES - 1) * len(LETTERS) + LETTERS.index(letter.upper())
    if not EXTENDED_YEARS[0] <= int(century + year) <= EXTENDED_YEARS[1] or place >= len(DIGITS) ** 4:
        return ''
    counted = ''.join(DIGITS[place // len(DIGITS) ** power % len(DIGITS)] for power in (3, 2, 1, 0))
    return f'_{DIGITS[int(year)]}{half.upper()}{counted}'


def _survey(match: re.Match[str]) -> str:
    kind = match[2].upper()
    return f'PLS{match[1]}' if kind == 'P-L' else f'T{kind[-1]}S{match[1]}'


def _comet(match: re.Match[str]) -> str:
    kind, century, year, half, letter, number, fragment = match.groups()
    times = _cycle(int(number or 0))
    if not times or not (letter or number):
        return ''
    last = letter.upper() or (fragment.lower() if fragment else '0')
    return f'{kind.upper()}{_century(century)}{year}{half.upper()}{times}{last}'


def _periodic(match: re.Match[str]) -> str:
    number, kind, fragment = match.groups()
    return f'{int(number):04d}{kind.upper()}{fragment.lower() if fragment else ""}' if int(number) else ''


def _packed_number(match: re.Match[str]) -> str:
    first, rest = match[0][0], match[0][1:]
    if first == '~':
        found = 620_000 + sum(DIGITS.index(digit) * len(DIGITS) ** place for place, digit in enumerate(reversed(rest)))
    else:
        found = DIGITS.index(first) * 10_000 + int(rest)
    return f'({found})' if found else ''


def _number_and_name(match: re.Match[str]) -> str:
    return f'({int(match[1])})' if int(match[1]) else ''


def _century(two: str) -> str:
    return DIGITS[int(two)]


def _cycle(number: int) -> str:
    """Two characters: the tens as a digit, a capital or a small letter, and the ones; empty where there are too many."""
    return f'{DIGITS[number // 10]}{number % 10}' if number <= MOST_CYCLES else ''


PATTERNS = (
    (PROVISIONAL, _provisional),
    (SURVEY, _survey),
    (COMET, _comet),
    (PERIODIC, _periodic),
    (PACKED_NUMBER, _packed_number),
    (NUMBER_AND_NAME, _number_and_name),
)
