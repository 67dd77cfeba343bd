"""How a point is drawn: the colour of its band as usual in the field, the symbol of its service."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from zlib import crc32

#: Bands with a colour of their own in ``lightcurve.css``; case counts: Johnson's R is not Sloan's r.
KNOWN = ('c', 'o', 'u', 'g', 'r', 'i', 'z', 'y', 'w', 'U', 'B', 'V', 'R', 'I', 'J', 'H', 'K', 'G', 'L')
WORDS = {'cyan': 'c', 'orange': 'o', 'clear': 'w', 'open': 'w', 'wide': 'w', 'lum': 'L', 'ks': 'K'}
#: ``ZTF_g``, ``zg``, ``gp``, ``g'``, ``SDSS-g``, ``LSST g``: the letter that counts.
NAMED = 'ztf|atlas|ps1?|pan-?starrs1?|sdss|sloan|lsst|des|decam|skymapper|gaia|goto|bessell|johnson|cousins'
SURVEYS = re.compile(rf'^(?:{NAMED})[\s_\-.:]*', re.IGNORECASE)
SYMBOLS = ('triangle-up', 'pentagon', 'hexagram', 'star', 'triangle-left', 'triangle-right', 'cross', 'x')
OTHER_COLOURS = 8


def letter(band: str) -> str:
    """The band that a name stands for, as one letter; empty where it is none of the known ones."""
    rest = SURVEYS.sub('', band.strip())
    plain = WORDS.get(rest.lower(), rest)
    return next((form for form in _forms(plain) if form in KNOWN), '')


def _forms(name: str) -> Iterator[str]:
    yield name
    if name.startswith('z'):
        yield name[1:]
    if len(name) == 2:
        yield name.rstrip("p'")
    if _suffixed(name):
        yield name[-1]


def _suffixed(name: str) -> bool:
    """``filter_g`` and the like: one letter after something that is no letter."""
    return len(name) > 1 and not name[-2].isalnum()


def colour(band: str) -> str:
    """The name of the band's colour in the style sheet, always the same for the same band."""
    known = letter(band)
    if known:
        return f'{"low" if known.islower() else "up"}-{known.lower()}'
    return f'other-{crc32(band.encode()) % OTHER_COLOURS}'


def symbol(service: str, known: Mapping[str, str]) -> str:
    """The symbol of a service that names one, or of another source: always the same for the same source."""
    return known.get(service) or SYMBOLS[crc32(service.encode()) % len(SYMBOLS)]
