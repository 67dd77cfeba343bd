"""Bands: the letter that a name stands for, its colour and wavelength, and by how much dust dims it; symbols of services.

A(x)/A(V) = a(x) + b(x)/R_V with x = 1/wavelength in 1/micrometre: Cardelli, Clayton & Mathis 1989, ApJ 345, 245; with the optical
coefficients of O'Donnell 1994, ApJ 422, 158. Each band counts at one wavelength, not with a spectrum of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np

#: Bands with a colour of their own in ``lightcurve.css``; case counts: Johnson's R is not Sloan's r.
KNOWN = ('c', 'o', 'u', 'g', 'r', 'i', 'z', 'y', 'w', 'U', 'B', 'V', 'R', 'I', 'J', 'H', 'K', 'G', 'L')
WORDS = {'cyan': 'c', 'orange': 'o', 'clear': 'w', 'open': 'w', 'wide': 'w', 'lum': 'L', 'ks': 'K'}
#: ``ZTF_g``, ``zg``, ``gp``, ``g'``, ``SDSS-g``, ``LSST g``: the letter that counts.
NAMED = 'ztf|atlas|ps1?|pan-?starrs1?|sdss|sloan|lsst|des|decam|skymapper|gaia|goto|bessell|johnson|cousins'
SURVEYS = re.compile(rf'^(?:{NAMED})[\s_\-.:]*', re.IGNORECASE)
SYMBOLS = ('triangle-up', 'pentagon', 'hexagram', 'star', 'triangle-left', 'triangle-right', 'cross', 'x')
OTHER_COLOURS = 8
#: Micrometres: pivot wavelengths of ATLAS (Tonry et al. 2018, PASP 130, 064505), of Pan-STARRS (Tonry et al. 2012, ApJ 750, 99), of
#: SDSS' u, of Bessell's UBVRI and of JHK; ZTF's and LSST's g, r, i are taken as those of Pan-STARRS.
WAVELENGTHS = {
    'c': 0.533, 'o': 0.679, 'u': 0.355, 'g': 0.481, 'r': 0.617, 'i': 0.752, 'z': 0.866, 'y': 0.962, 'w': 0.608,
    'U': 0.366, 'B': 0.438, 'V': 0.545, 'R': 0.641, 'I': 0.798, 'J': 1.22, 'H': 1.63, 'K': 2.19, 'G': 0.622,
}  # fmt: skip


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
    if len(name) > 1 and not name[-2].isalnum():  # ``filter_g`` and the like: one letter after something that is no letter
        yield name[-1]


def colour(band: str) -> str:
    """The name of the band's colour in the style sheet, always the same for the same band."""
    known = letter(band)
    if known:
        return f'{"low" if known.islower() else "up"}-{known.lower()}'
    return f'other-{crc32(band.encode()) % OTHER_COLOURS}'


def symbol(service: str, known: Mapping[str, str]) -> str:
    """The symbol of a service that names one, or of another source: always the same for the same source."""
    return known.get(service) or SYMBOLS[crc32(service.encode()) % len(SYMBOLS)]


R_V = 3.1
OPTICAL = {
    'ccm89': (
        (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999),
        (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002),
    ),
    'odonnell94': (
        (1.0, 0.104, -0.609, 0.701, 1.137, -1.718, -0.827, 1.647, -0.505),
        (0.0, 1.952, 2.908, -3.989, -7.985, 11.102, 5.491, -10.805, 3.347),
    ),
}
USUAL_LAW = 'odonnell94'
LAWS = {'odonnell94': "O'Donnell 1994", 'ccm89': 'Cardelli, Clayton & Mathis 1989'}


@dataclass(frozen=True, kw_only=True)
class Dust:
    """Galactic extinction: E(B-V) in mag, the law by its key, R_V."""

    ebv: float
    law: str = USUAL_LAW
    r_v: float = R_V

    def of(self, band: str) -> float:
        """Magnitudes by which a band is dimmed; nan where nobody knows its wavelength."""
        wavelength = WAVELENGTHS.get(letter(band))
        return np.nan if wavelength is None else self.ebv * self.r_v * relative(wavelength, self.law, self.r_v)

    def words(self) -> str:
        """For the head of a file."""
        return f'corrected for Galactic extinction: E(B-V) = {self.ebv:g}, {LAWS[self.law]}, R_V = {self.r_v:g}'


def relative(wavelength: float, law: str, r_v: float) -> float:
    """A(wavelength)/A(V), micrometres, from 0.30 to 3.3."""
    x = 1 / wavelength
    if x <= 1.1:
        return float((0.574 - 0.527 / r_v) * x**1.61)
    a, b = (float(np.polynomial.polynomial.polyval(x - 1.82, column)) for column in OPTICAL[law])
    return a + b / r_v
