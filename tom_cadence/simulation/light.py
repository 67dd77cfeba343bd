"""An imagined light curve: how bright the target is at any time, and what a telescope would measure of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tom_cadence.core.photometry import Floats, Photometry
from tom_followup.units import POGSON

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
