"""Magnitudes and limits of fluxes that were corrected, averaged or rescaled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tom_forced_phot.photometry import Measurements, is_detection, limit_of, magnitude_error_of, magnitude_of


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
