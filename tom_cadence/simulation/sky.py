"""What is imagined: an observatory with its weather and troubles, surveys, and how bright the target is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import numpy as np

from tom_cadence.core.photometry import Floats, Photometry
from tom_cadence.core.visibility import Site
from tom_cadence.exceptions import CadenceError
from tom_followup.units import POGSON

__all__ = ['PERFECT', 'USUAL', 'BadSky', 'SimulatedSky', 'Site', 'Survey', 'changed']


class BadSky(CadenceError):
    """Something imagined that cannot be: the text says what, and what is expected."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Somebody who measures the target by themselves: every ``every`` days in one band, down to magnitude ``depth``.

    Points are known ``latency`` hours after they were measured; a share ``lost`` is missing.
    """

    name: str
    band: str
    every: float = 2.0
    depth: float = 19.5
    latency: float = 12.0
    lost: float = 0.3


@dataclass(frozen=True, kw_only=True)
class SimulatedSky:
    """An imagined observatory; as it is made it is perfect: every observation begins when its window opens, and is known at once.

    ``cloudy``: share of nights without observations (0 to 1); ``persistence``: how alike a night is to the one before (0 to
    1, the correlation of a two-state Markov chain). ``failures``: probability that an observation fails technically.
    ``delay``: mean wait of a request for its turn, in hours of time that can be observed. ``report``: hours from the end of an
    observation to its state; a share ``late`` comes up to ``late_by`` hours later. ``looks``: minutes between two runs of the
    engine, 0 for one that is always awake. ``sites``: with any, it must be night (the Sun below ``twilight`` degrees) and a
    ``target`` (RA, Dec, degrees) at least ``altitude`` degrees high; each site has its own weather.
    ``band`` and ``depth``: what the observatory measures of ``light``, down to which magnitude.
    """

    cloudy: float = 0.0
    persistence: float = 0.0
    failures: float = 0.0
    delay: float = 0.0
    report: float = 0.0
    late: float = 0.0
    late_by: float = 0.0
    looks: float = 0.0
    sites: tuple[Site, ...] = ()
    target: tuple[float, float] | None = None
    altitude: float = 30.0
    twilight: float = -12.0
    light: Light | None = None
    band: str = 'r'
    depth: float = 21.0
    surveys: tuple[Survey, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        """BadSky names the value that cannot be."""
        for name in ('cloudy', 'persistence', 'failures', 'late'):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise BadSky(f'{name} is {value!r}; a share from 0 to 1 is expected.')
        for name in ('delay', 'report', 'late_by', 'looks'):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= MOST):
                raise BadSky(f'{name} is {value!r}; a number from 0 to {MOST:g} is expected.')
        for site in self.sites:
            if not -90 <= site.latitude <= 90 or not -180 <= site.longitude <= 360:
                raise BadSky(f'{site.name}: latitude {site.latitude:g}, longitude {site.longitude:g} is not a place on Earth.')

    @property
    def in_words(self) -> str:
        """What is assumed, in one sentence."""
        parts = [
            f'{self.cloudy:.0%} of nights lost to weather' if self.cloudy else '',
            f'{self.failures:.0%} technical failures' if self.failures else '',
            f'{self.delay:g} h until a request has its turn' if self.delay else '',
            f'states known {self.report:g} h later' if self.report else '',
            f'a run every {self.looks:g} min' if self.looks else '',
            f'at night at {", ".join(site.name for site in self.sites)}' if self.sites else '',
        ]
        said = ', '.join(filter(None, parts))
        return f'{said[0].upper()}{said[1:]}.' if said else 'Perfect: every observation is taken when its window opens.'


MOST = 24 * 60.0
PERFECT = SimulatedSky()
USUAL = SimulatedSky(cloudy=0.3, persistence=0.4, failures=0.05, delay=1.0, report=0.25, late=0.05, late_by=12.0, looks=5.0)
"""Round numbers of a good site, for a first look; replace them by what your observatory reports."""
NUMBERS = tuple(each.name for each in fields(SimulatedSky) if each.type == 'float')
"""The names of what is a plain number."""


def changed(sky: SimulatedSky, numbers: Mapping[str, float]) -> SimulatedSky:
    """This sky with other numbers; BadSky for a name that does not exist or a value that cannot be."""
    for name in numbers:
        if name not in NUMBERS:
            raise BadSky(f'{name!r} is nothing a sky has; there are {", ".join(NUMBERS)}.')
    given: dict[str, Any] = dict(numbers)
    return replace(sky, **given)


NOISE_FLOOR = 0.01
"""Magnitudes: what calibration leaves over, however bright the target is."""
DETECTED = 3.0
"""A point needs this signal-to-noise ratio to be a detection; else it is a limit."""
DEPTH = 5.0
"""The signal-to-noise ratio at which a telescope's depth is stated."""


class Light(Protocol):
    """How bright a target is."""

    def magnitude(self, time: Floats, band: str) -> Floats:
        """Magnitude at these MJD; nan where it is not known."""
        ...


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Always as bright."""

    level: float = 18.0

    def magnitude(self, time: Floats, band: str) -> Floats:
        """The same everywhere."""
        return np.full(len(time), self.level)


@dataclass(frozen=True, kw_only=True)
class Supernova:
    """Rises and falls; the flux follows Bazin et al. 2009, A&A 499, 653, equation 1, without a constant.

    ``peak`` magnitude at MJD ``maximum``; ``rise`` and ``fall`` are e-folding times in days, ``fall`` the longer one (ValueError).
    """

    maximum: float
    peak: float = 16.0
    rise: float = 4.0
    fall: float = 30.0

    def __post_init__(self) -> None:
        """A light curve that falls faster than it rises has no maximum in this formula."""
        if not 0 < self.rise < self.fall:
            raise ValueError(f'It rises in {self.rise:g} days and falls in {self.fall:g}; it must fall more slowly.')

    def magnitude(self, time: Floats, band: str) -> Floats:
        """Scaled so that its brightest moment is the peak (the zero of the formula's derivative)."""
        top = -self.rise * np.log(self.fall / self.rise - 1)
        days = np.clip(time - self.maximum - top, -40 * self.rise, None)
        return self.peak + 2.5 * (np.log10(self._flux(-top)) - np.log10(self._flux(days)))

    def _flux(self, days: Floats | float) -> Floats:
        return np.asarray(np.exp(-np.asarray(days) / self.fall) / (1 + np.exp(-np.asarray(days) / self.rise)))


@dataclass(frozen=True, kw_only=True)
class Periodic:
    """A sine: ``mean`` magnitude, half ``amplitude``, ``period`` in days, brightest at MJD ``epoch``."""

    epoch: float
    period: float
    mean: float = 15.0
    amplitude: float = 0.5

    def magnitude(self, time: Floats, band: str) -> Floats:
        """Brightest at phase 0."""
        return self.mean - self.amplitude * np.cos(2 * np.pi * (time - self.epoch) / self.period)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Real points, joined by straight lines in their band; before the first and after the last nothing is known.

    ``shift``: days by which the light curve is moved, so that an old one can be lived through again.
    """

    points: Photometry = field(repr=False)
    shift: float = 0.0

    def magnitude(self, time: Floats, band: str) -> Floats:
        """Between two detections of the band, or of all bands where there are none in it."""
        found = self.points.detections()
        own = found.only(found.band == band)
        found = own if len(own) else found
        if not len(found):
            return np.full(len(time), np.nan)
        return np.interp(time - self.shift, found.time, found.magnitude, left=np.nan, right=np.nan)


def measure(light: Light, time: Floats, band: str, depth: float, source: str, rng: np.random.Generator) -> Photometry:
    """What a telescope with this 5-sigma ``depth`` measures at these MJD: noise of the sky, detections and limits.

    Where the sky's noise rules, the signal-to-noise ratio is 5 x 10^(-0.4 (m - depth)), and the error POGSON / ratio.
    """
    true = light.magnitude(time, band)
    known = np.isfinite(true)
    time, true = time[known], true[known]
    ratio = DEPTH * 10 ** (-0.4 * (true - depth))
    error = np.hypot(POGSON / ratio, NOISE_FLOOR)
    seen = ratio >= DETECTED
    measured = true + error * rng.standard_normal(len(true))
    return Photometry.of(
        time,
        band,
        magnitude=np.where(seen, measured, np.nan),
        error=np.where(seen, error, np.nan),
        limit=np.where(seen, np.nan, np.full(len(true), depth + 2.5 * np.log10(DEPTH / DETECTED))),
        source=source,
    )
