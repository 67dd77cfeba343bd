"""What a person chose on the switches of a light curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from astropy import units
from astropy.cosmology import Planck18

from tom_forced_phot.cleaning import BASELINE_COLUMNS, QUIET_AFTER, QUIET_BEFORE, Cut
from tom_forced_phot.lightcurve.bands import Dust
from tom_forced_phot.lightcurve.times import Search

STACKS = {'weighted': 'weighted mean (ATClean)', 'plain': 'plain mean (plot_atlas_fp)'}


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """When a transient gave no light: far from its maximum at MJD ``peak``, or between two MJD. ``rescale``: its errors, too."""

    peak: float | None = None
    quiet: tuple[float, float] | None = None
    rescale: bool = False

    def words(self) -> str:
        """Which epochs it is made of."""
        if self.quiet is not None:
            return f'epochs from MJD {self.quiet[0]:.10g} to {self.quiet[1]:.10g}'
        return (
            f'epochs more than {QUIET_BEFORE:g} d before the maximum at MJD {self.peak:.10g}, or, where those are too few, more '
            f'than {QUIET_AFTER:g} d after it'
        )


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How far: a luminosity distance in Mpc, or a redshift."""

    mpc: float | None = None
    redshift: float | None = None

    @property
    def modulus(self) -> float:
        """m - M in mag; of a redshift in the cosmology of Planck 2018, without K correction."""
        if self.mpc is not None:
            return float(5 * np.log10(self.mpc) + 25)
        return float(Planck18.distmod(self.redshift).to_value(units.mag))

    def words(self) -> str:
        """For the head of a file."""
        of = f'{self.mpc:g} Mpc' if self.mpc is not None else f'redshift {self.redshift:g} (Planck 2018), without K correction'
        return f'absolute magnitudes: distance modulus {self.modulus:.3f} of {of}'


@dataclass(frozen=True, kw_only=True)
class Options:
    """The switches that change which points there are; ``snr`` None leaves detections and limits as they were stored.

    ``cuts``: service -> the published cut for its points. ``hide``: keys of series. ``first``, ``last``: MJD. ``baselined``: the
    services whose difference images a baseline is for. ``inflated``: service -> the column of errors that is taken for its own.
    ``hidden``: ids of points that a person took out -> why.
    ``since``: MJD from which days, or phases of ``period`` (days), are counted; ``search``: find a period instead.
    ``shown``: columns of a service's own that are wanted besides.
    """

    snr: float | None = None
    cuts: Mapping[str, Cut] = field(default_factory=dict)
    baseline: Baseline | None = None
    baselined: frozenset[str] = frozenset()
    inflated: Mapping[str, str] = field(default_factory=dict)
    dust: Dust | None = None
    distance: Distance | None = None
    since: float | None = None
    period: float | None = None
    search: Search | None = None
    clip: bool = False
    stack: str = ''
    days: float = 1.0
    hide: frozenset[str] = frozenset()
    hidden: Mapping[int, str] = field(default_factory=dict)
    first: float | None = None
    last: float | None = None
    shown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def quality(self) -> Mapping[str, frozenset[str]]:
        """The services' own columns that are needed, by service."""
        needed = {service: frozenset(rule.column for rule in cut.rules) for service, cut in self.cuts.items()}
        for service, column in self.inflated.items():
            needed[service] = needed.get(service, frozenset()) | {column}
        for service, names in self.shown.items():
            needed[service] = needed.get(service, frozenset()) | frozenset(names)
        if self.baseline is not None:
            for service in self.baselined:
                needed[service] = needed.get(service, frozenset()) | frozenset(BASELINE_COLUMNS)
        return needed

    def words(self) -> Iterator[str]:
        """What differs from what is stored, for the head of a file."""
        for service, cut in self.cuts.items():
            yield f'{service}: {cut.name} ({cut.source})'
        if self.baseline is not None:
            for service in sorted(self.baselined):
                scaled = ', errors scaled to their scatter (section 6.3)' if self.baseline.rescale else ''
                yield (
                    f'{service}: baseline subtracted, the median in DN of {self.baseline.words()}, of each field, CCD, quadrant, '
                    f'filter and reference image (refjdstart, refjdend); Masci et al. 2023, arXiv:2305.16279, section 6.2{scaled}'
                )
        for service, column in self.inflated.items():
            yield f'{service}: errors of {column}, made larger by the scatter of the control light curves (ATClean, uncert_est)'
        if self.dust is not None:
            yield self.dust.words()
        if self.distance is not None:
            yield self.distance.words()
        if self.clip:
            yield 'outliers clipped by a rolling median per series'
        if self.snr is not None:
            yield f'detections above {self.snr:g} sigma, limits at {self.snr:g} sigma of the flux error'
        if self.stack:
            yield f'stacked per series in bins of {self.days:g} d: {STACKS[self.stack]}'
        if self.hide:
            yield 'left out: ' + ', '.join(sorted(key.replace('|', ' ') for key in self.hide))
        if self.first is not None or self.last is not None:
            yield f'MJD {"" if self.first is None else self.first} to {"" if self.last is None else self.last}'
