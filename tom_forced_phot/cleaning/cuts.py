"""Which points published quality cuts keep. Nothing is changed: a cut says what passes, and what each other point failed.

A cut is a set of rules, each on one of the service's own columns, which
:class:`~tom_forced_phot.core.photometry.Measurements` carries: those of a file, or of stored points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import Floats, is_detection, limit_of, magnitude_error_of, magnitude_of
from tom_forced_phot.core.photometry import Measurements


@dataclass(frozen=True)
class Rule:
    """One condition: the column is above ``low`` and below ``high``, or (``inclusive``) at them; ``flag`` marks who fails it.

    With ``bits``, the column is a whole number that has none of these bits, and ``said`` is what one that has them means.
    """

    column: str
    flag: int
    low: float = -np.inf
    high: float = np.inf
    inclusive: bool = False
    bits: int = 0
    said: str = ''

    def passes(self, values: Floats) -> NDArray[np.bool_]:
        """Whether each value fulfils it; nan never does."""
        if self.bits:
            whole = np.isfinite(values) & (np.abs(values) < 2**53)
            return whole & ((np.where(whole, values, 0).astype(np.int64) & self.bits) == 0)
        if self.inclusive:
            return np.asarray((values >= self.low) & (values <= self.high))
        return np.asarray((values > self.low) & (values < self.high))

    def words(self) -> str:
        """What is wrong with a point that fails, for example ``duJy is not below 10000``."""
        if self.said:
            return self.said
        low, high = ('at least', 'at most') if self.inclusive else ('above', 'below')
        if self.low == self.high:
            return f'{self.column} is not {self.low:g}'
        wanted = [f'{low} {self.low:g}'] if np.isfinite(self.low) else []
        wanted += [f'{high} {self.high:g}'] if np.isfinite(self.high) else []
        return f'{self.column} is not ' + ' and '.join(wanted)


@dataclass(frozen=True)
class Verdict:
    """What a cut says: ``flags`` per point, the sum of the flags of the rules it fails, 0 where it passes."""

    flags: NDArray[np.int64]
    words: Mapping[int, str]

    @cached_property
    def keep(self) -> NDArray[np.bool_]:
        """The points that pass."""
        return self.flags == 0

    def counts(self) -> dict[str, int]:
        """How many points fail for each reason; a point can fail several."""
        return {text: int(np.count_nonzero(self.flags & flag)) for flag, text in self.words.items()}

    def reason(self, row: int) -> str:
        """Why a point fails; empty where it passes."""
        return '; '.join(text for flag, text in self.words.items() if int(self.flags[row]) & flag)


@dataclass(frozen=True)
class Cut:
    """A published set of rules, and where it was published; ``switch`` is what a form calls it beside others of its service."""

    name: str
    source: str
    rules: tuple[Rule, ...]
    switch: str = ''
    #: The kinds of photometry it is for; all where none is named.
    reductions: frozenset[str] = frozenset()

    def __call__(self, measured: Measurements) -> Verdict:
        """What each point fails; ValueError, in a sentence, where the measurements lack one of the columns."""
        lacking = [rule.column for rule in self.rules if rule.column not in measured.columns]
        if lacking:
            raise ValueError(
                f'{self.name} needs the column {", ".join(dict.fromkeys(lacking))}, which these measurements do not have.'
            )
        return self.of({rule.column: quality(measured, rule.column) for rule in self.rules})

    def of(self, columns: Mapping[str, Floats]) -> Verdict:
        """The same of columns by their names."""
        flags = np.zeros(len(next(iter(columns.values()))), dtype=np.int64)
        for rule in self.rules:
            flags[~rule.passes(columns[rule.column])] |= rule.flag
        return Verdict(flags, {rule.flag: rule.words() for rule in self.rules})


def quality(measured: Measurements, name: str) -> Floats:
    """A quality column as float64, nan where a point has no value.

    ValueError, in a sentence, where the measurements have no such column, or text in it.
    """
    if name not in measured.columns:
        raise ValueError(f'These measurements do not have the column {name}.')
    column = measured.columns[name]
    try:
        if column.dtype == object:
            return np.array([np.nan if value is None else float(value) for value in column], dtype=np.float64)
        return np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f'The column {name} of these measurements does not hold numbers.') from None


#: Flag of a frame without photometric solution: such points are certainly wrong, the others mostly only poor.
NO_SOLUTION = 0x100
ATLAS_OFFICIAL = Cut(
    'The quality cut of the ATLAS server',
    'FAQ of the ATLAS forced photometry server, 2025-04 (lukeshingles/atlasserver, faq page)',
    (
        Rule('duJy', 0x1, high=10000),
        Rule('err', 0x2, low=0, high=0, inclusive=True),
        Rule('x', 0x4, low=100, high=10460),
        Rule('y', 0x8, low=100, high=10460),
        Rule('maj', 0x10, low=1.6, high=5),
        Rule('min', 0x20, low=1.6, high=5),
        Rule('apfit', 0x40, low=-1, high=-0.1),
        Rule('mag5sig', 0x80, low=17),
        Rule('mag5sig', NO_SOLUTION, low=10, inclusive=True),
        Rule('Sky', 0x200, low=17),
    ),
    "the server's own",
)
ATLAS_PLOT = Cut(
    'The cut of plot_atlas_fp',
    'D. Young, plot_atlas_fp.py (thespacedoctor/plot-results-from-atlas-force-photometry-service): its fixed cuts before clipping',
    (Rule('duJy', 0x1, high=4000, inclusive=True), Rule('chi/N', 0x2, high=100, inclusive=True)),
    'plot_atlas_fp',
)
ATLAS_STATIC = Cut(
    'The static cut of ATClean',
    'Rest et al., ATClean (srest2021/atclean), config.ini: uncert_cut and x2_cut with their flags',
    (Rule('chi/N', 0x1, high=10, inclusive=True), Rule('duJy', 0x2, high=160, inclusive=True)),
    'ATClean, static',
)
#: ATClean's flag of an exposure on which the control light curves are bad.
CONTROLS_BAD = 0x400000
ATLAS_CONTROLS = Cut(
    'The cuts of ATClean with control light curves',
    'Rest et al., ATClean (srest2021/atclean), config.ini: uncert_cut, x2_cut and controls_cut with their flags',
    (
        *ATLAS_STATIC.rules,
        Rule('c2_flags', CONTROLS_BAD, bits=CONTROLS_BAD, said='the control light curves are bad on this exposure (c2_flags)'),
    ),
    'ATClean, with controls',
)
ZTF_RECOMMENDED = Cut(
    'The quality cut of the ZTF guide',
    'Masci et al. 2023, arXiv:2305.16279, section 6.1: bit 25 of infobitssci, noise per pixel and seeing of the science image',
    (
        Rule('infobitssci', 0x1, high=2**25),
        Rule('scisigpix', 0x2, high=25, inclusive=True),
        Rule('sciinpseeing', 0x4, high=4, inclusive=True),
    ),
    "the guide's",
)
ZTF_STRICT = Cut(
    'The strict quality cut for ZTF',
    'As the recommended one, with no bit of infobitssci set',
    (Rule('infobitssci', 0x1, low=0, high=0, inclusive=True), *ZTF_RECOMMENDED.rules[1:]),
    'strict: no bit set',
)
PANSTARRS_GOOD = Cut(
    "STScI's cut of Pan-STARRS detections",
    'STScI, example notebook of the Pan-STARRS DR2 catalogs API: detections with psfQfPerfect > 0.9',
    (Rule('psfQfPerfect', 0x1, low=0.9),),
    'psfQfPerfect above 0.9',
    frozenset({'detection'}),
)
CUTS: Mapping[str, Cut] = {
    'atlas': ATLAS_OFFICIAL,
    'plot_atlas_fp': ATLAS_PLOT,
    'atclean': ATLAS_STATIC,
    'atclean_controls': ATLAS_CONTROLS,
    'ztf': ZTF_RECOMMENDED,
    'ztf_strict': ZTF_STRICT,
    'panstarrs': PANSTARRS_GOOD,
}


def judge(measured: Measurements, detection: float, limit: float) -> Measurements:
    """A magnitude where flux over error exceeds ``detection``, else the magnitude of ``limit`` times the error as limit (AB).

    Neither where flux or error is no finite number, or the error not positive: such a point cannot be judged.
    """
    judgeable = np.isfinite(measured.flux) & np.isfinite(measured.flux_error) & (measured.flux_error > 0)
    flux, error = np.where(judgeable, measured.flux, np.nan), np.where(judgeable, measured.flux_error, np.nan)
    # A flux of nearly nothing overflows in formulas whose value is not used then.
    with np.errstate(over='ignore'):
        detected = is_detection(flux, error, detection)
        return replace(
            measured,
            magnitude=np.where(detected, magnitude_of(flux), np.nan),
            magnitude_error=np.where(detected, magnitude_error_of(flux, error), np.nan),
            limit=np.where(detected, np.nan, limit_of(error, limit)),
        )
